"""Running a study: train, evaluate what is missing, write the table and the picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcore.errors import MemcoreError, StudyError
from memcore.study import checkpoints, data, environment, metrics, models, sources
from memcore.study.config import Study, read
from memcore.study.costs import require_models, with_prices
from memcore.study.data import Dataset
from memcore.study.evaluation import evaluate_chips, judged
from memcore.study.files import encoded, locked, remove, write_atomic
from memcore.study.layered import Arrays, each, require_layers, told
from memcore.study.life import warn_if_nothing_passes
from memcore.study.metrics import Metric, Score
from memcore.study.plots import plot
from memcore.study.progress import Progress
from memcore.study.record import resolved
from memcore.study.results import Results, Row, csv_text
from memcore.study.store import CHECKPOINT, LOG, SNAPSHOT, Store, Subject, collect
from memcore.study.sweeps import Point, configuration, points
from memcore.study.training import Training


def run(
    source: Study | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    fresh: bool = False,
    progress: bool | None = None,
    **overrides: Any,
) -> Results:
    """Run a study, or finish one that was interrupted.

    Args:
        source: a study file, a mapping of the same form, or a `Study`.
        out: results folder; "results/<name>" by default.
        fresh: whether to discard what another study, or this one, left in the folder; a trained
            network that still fits is kept.
        progress: whether to show a progress bar on stderr; by default only on a terminal.
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Returns:
        The results; `print` them for the table.

    Raises:
        StudyError: something in the study or in the folder does not fit; says what to do.
    """
    study = read(source, **overrides)
    todo = points(study)
    configs = [configuration(point) for point in todo]  # what is wrong is said before training
    _warn_of_vain_waiting(study, todo, configs)
    device = _device(study.study.device)
    general = study.study
    require_models(general)
    dataset = data.dataset(general.data, study.folder)
    judge = metrics.metric(general.metric, study.folder)
    judge.require(dataset.test.labels)
    recipe = study.train.over(dataset.augment, models.RECIPES.get(general.model["name"], {}))
    study = study.model_copy(update={"train": recipe})
    folder = Path(out) if out is not None else Path("results") / general.name
    record = _record(study, todo, configs)
    with locked(folder):
        store = Store(folder)
        store.claim(record, todo, fresh=fresh)
        work = _Run(study, dataset, judge, store, device, Progress(progress))
        return work.finish(record["identity"], todo, configs)


def _record(study: Study, todo: Sequence[Point], configs: Sequence[Arrays]) -> dict[str, Any]:
    general = study.study
    pairs = zip(todo, configs, strict=True)
    crossbars = {point.sweep: told(config) for point, config in pairs if point.index == 0}
    plugins = environment.plugins(entry for config in configs for entry in each(config))
    names = [component["name"] for component in (general.model, general.data, general.metric)]
    code = sources.code(names, study.folder)
    for name in names:
        if ":" in name and name.partition(":")[0] not in code:
            LOG.warning("the text of %s cannot be seen; a change of it will not be noticed", name)
    return resolved(study, environment.versions(), plugins, crossbars, code)


def _warn_of_vain_waiting(study: Study, todo: Sequence[Point], configs: Sequence[Arrays]) -> None:
    for sweep in study.sweep:
        pairs = zip(todo, configs, strict=True)
        mine = [(point, config) for point, config in pairs if point.sweep == sweep.name]
        warn_if_nothing_passes(
            f"sweep '{sweep.name}'",
            [point.life for point, _ in mine],
            [entry for _, config in mine for entry in each(config)],
        )


@dataclass(frozen=True)
class _Run:
    study: Study
    dataset: Dataset
    metric: Metric
    store: Store
    device: torch.device
    progress: Progress

    def finish(self, identity: str, todo: Sequence[Point], configs: Sequence[Arrays]) -> Results:
        self.store.report_strangers(todo)
        content = checkpoints.digest_dataset(self.dataset)
        model = self._network(content, configs)
        subject = Subject(identity, checkpoints.digest(model), content)
        baseline = self.store.baseline(subject) or self._baseline(model, subject)
        chips = self.study.study.chips
        rows = [self.store.row(point, subject, chips) for point in todo]
        done = sum(row is not None for row in rows)
        if done:
            LOG.info("%d of %d points were already finished", done, len(rows))
        with self.progress.bar("evaluating", len(rows) * chips, done * chips, "chip") as advance:
            for index, (point, config) in enumerate(zip(todo, configs, strict=True)):
                if rows[index] is None:
                    row = self._evaluate(model, point, config, advance)
                    self.store.write_row(row, point, subject)
                    rows[index] = row
        results = collect(self.study, rows, baseline, self.store.folder)
        results = with_prices(results, subject.parts, (model, self.dataset), todo, configs)
        write_atomic(results.csv, encoded(csv_text(results)))
        _draw(results)
        return results

    def _evaluate(
        self,
        model: nn.Module,
        point: Point,
        config: Arrays,
        advance: Callable[[str], None],
    ) -> Row:
        general = self.study.study
        try:
            scores = evaluate_chips(
                model,
                config,
                self.dataset,
                general,
                self.metric,
                point.life,
                lambda: advance(point.name),
            )
        except MemcoreError as error:
            raise StudyError(f"{point}: {error}") from error
        right = tuple(score.right for score in scores if score.right is not None)
        values = () if right else tuple(score.value for score in scores)
        return Row(point.sweep, point.index, point.setting, right, scores[0].samples, values)

    def _baseline(self, model: nn.Module, subject: Subject) -> Score:
        test = self.dataset.test.head(self.study.study.samples)
        score = judged(model, self.dataset, test, self.study.study, self.metric)
        self.store.write_baseline(score, subject)
        return score

    def _network(self, content: str, configs: Sequence[Arrays]) -> nn.Module:
        """The trained network: given, kept from an earlier run, or trained now."""
        general = self.study.study
        with torch.random.fork_rng():  # initial weights come from torch's global seed
            torch.manual_seed(general.seed)
            model = models.model(general.model, self.study.folder).to(self.device)
            for config in configs:
                require_layers(model, config)
            if general.checkpoint is not None:
                path = checkpoints.located(general.checkpoint, self.study.folder)
                LOG.info("using the weights of %s", path)
                checkpoints.load_weights(model, path)
            else:
                self._trained(model, content)
        return model.eval()

    def _trained(self, model: nn.Module, content: str) -> None:
        general, recipe = self.study.study, self.study.train
        path, snapshot = (self.store.folder / name for name in (CHECKPOINT, SNAPSHOT))
        record = {"model": general.model, "data": content, "seed": general.seed}
        record |= {"recipe": recipe.model_dump(mode="json")}
        names = [general.model["name"], general.data["name"]]
        code = sources.code(names, self.study.folder)
        record |= {"code": code} if code else {}
        if self._kept(model, path, record):
            return remove(snapshot)
        LOG.info("training %s on %s", general.model["name"], general.data["name"])
        self.metric.require(self.dataset.train.labels)
        work = Training(self.dataset, recipe, general.seed, self.device, snapshot, self.metric.loss)
        with self.progress.bar("training", recipe.epochs, unit="epoch") as advance:
            work.run(model, advance)
        checkpoints.save_checkpoint(model, path, record)
        return remove(snapshot)

    def _kept(self, model: nn.Module, path: Path, record: Mapping[str, Any]) -> bool:
        """Whether the network of an earlier run is this one; its weights are then in `model`."""
        if not path.exists():
            return False
        if checkpoints.checkpoint_record(path) != record:
            LOG.warning(
                "%s is torn or of another network, code or recipe; training again", path.name
            )
            return False
        try:
            checkpoints.load_weights(model, path)
        except StudyError as error:
            LOG.warning("%s; training again", error)
            return False
        LOG.info("using the network trained before, %s", path.name)
        return True


def _draw(results: Results) -> None:
    """Draw the picture; the table is complete whatever happens to it."""
    try:
        plot(results, results.plot)
    except StudyError as error:
        raise StudyError(f"{error}; the table is complete in '{results.csv}'") from error
    except Exception as error:  # matplotlib's own, for instance of a letter that no font has
        remove(results.plot)  # not that of an earlier run
        LOG.warning("there is no plot: %s; the table is complete in %s", error, results.csv)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        (torch.zeros(1, device=device) + 1).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise StudyError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}; expected one that "
            "computes, such as cpu or cuda"
        ) from None
    return device
