"""Running a study: train, evaluate what is missing, write the table and the picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from memcore.crossbar.config import CrossbarConfig
from memcore.errors import MemcoreError, StudyError
from memcore.study import checkpoints, data, environment, models
from memcore.study.config import Study, read
from memcore.study.data import Dataset
from memcore.study.evaluation import count_correct, evaluate_chips
from memcore.study.files import locked, write_atomic
from memcore.study.plots import plot
from memcore.study.progress import Progress
from memcore.study.results import Results, Row, csv_text
from memcore.study.store import LOG, Store, Subject, collect, resolved
from memcore.study.sweeps import Point, configuration, points
from memcore.study.training import Training

CHECKPOINT: Final = "model.safetensors"
SNAPSHOT: Final = "training.snapshot"


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
    device = _device(study.study.device)
    dataset = data.dataset(study.study.data, study.folder)
    recipe = study.train.over(dataset.augment, models.RECIPES.get(study.study.model["name"], {}))
    study = study.model_copy(update={"train": recipe})
    folder = Path(out) if out is not None else Path("results") / study.study.name
    pairs = zip(todo, configs, strict=True)
    crossbars = {p.sweep: config.to_mapping() for p, config in pairs if p.index == 0}
    record = resolved(study, environment.versions(), environment.plugins(configs), crossbars)
    with locked(folder):
        store = Store(folder)
        store.claim(record, fresh=fresh)
        work = _Run(study, dataset, store, device, Progress(progress))
        return work.finish(record["identity"], todo, configs)


@dataclass(frozen=True)
class _Run:
    study: Study
    dataset: Dataset
    store: Store
    device: torch.device
    progress: Progress

    def finish(
        self, identity: str, todo: Sequence[Point], configs: Sequence[CrossbarConfig]
    ) -> Results:
        self.store.report_strangers(todo)
        content = checkpoints.digest_dataset(self.dataset)
        model = self._network(content)
        subject = Subject(identity, checkpoints.digest(model), content)
        baseline = self.store.baseline(subject) or self._baseline(model, subject)
        rows = [self.store.row(point, subject) for point in todo]
        done = sum(row is not None for row in rows)
        if done:
            LOG.info("%d of %d points were already finished", done, len(rows))
        chips = self.study.study.chips
        with self.progress.bar("evaluating", len(rows) * chips, done * chips, "chip") as advance:
            for index, (point, config) in enumerate(zip(todo, configs, strict=True)):
                if rows[index] is None:
                    row = self._evaluate(model, point, config, advance)
                    self.store.write_row(row, point, subject)
                    rows[index] = row
        results = collect(self.study, rows, baseline, self.store.folder)
        write_atomic(results.csv, csv_text(results).encode())
        plot(results, results.plot)
        return results

    def _evaluate(
        self,
        model: nn.Module,
        point: Point,
        config: CrossbarConfig,
        advance: Callable[[str], None],
    ) -> Row:
        general = self.study.study
        try:
            correct = evaluate_chips(
                model, config, self.dataset, general, lambda: advance(point.name)
            )
        except MemcoreError as error:
            raise StudyError(f"{point}: {error}") from error
        samples = len(self.dataset.test.head(general.samples))
        return Row(point.sweep, point.index, point.setting, tuple(correct), samples)

    def _baseline(self, model: nn.Module, subject: Subject) -> tuple[int, int]:
        test = self.dataset.test.head(self.study.study.samples)
        correct = count_correct(model, self.dataset, test, self.study.study)
        self.store.write_baseline(correct, len(test), subject)
        return correct, len(test)

    def _network(self, content: str) -> nn.Module:
        """The trained network: given, kept from an earlier run, or trained now."""
        general = self.study.study
        with torch.random.fork_rng():  # initial weights come from torch's global seed
            torch.manual_seed(general.seed)
            model = models.model(general.model, self.study.folder).to(self.device)
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
        if path.exists():
            if checkpoints.checkpoint_record(path) == record:
                LOG.info("using the network trained before, %s", path.name)
                snapshot.unlink(missing_ok=True)
                return checkpoints.load_weights(model, path)
            LOG.warning("%s is torn or of another network or recipe; training again", path.name)
        LOG.info("training %s on %s", general.model["name"], general.data["name"])
        work = Training(self.dataset, recipe, general.seed, self.device, snapshot)
        with self.progress.bar("training", recipe.epochs, unit="epoch") as advance:
            work.run(model, advance)
        checkpoints.save_checkpoint(model, path, record)
        return snapshot.unlink(missing_ok=True)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise StudyError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device
