"""`search`: the best settings of a study, found by Optuna, with what they cost as a second aim."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from memcore._text import needed, shown
from memcore.errors import NotFiniteError, StudyError
from memcore.study.config import Study, read
from memcore.study.executors import ExecutorSpec
from memcore.study.files import encoded, read_json, write_atomic
from memcore.study.prices import FIGURES
from memcore.study.results import Results, Row, name_of
from memcore.study.runner import Source, plan, run
from memcore.study.space import distributions, listed, space_of
from memcore.study.store import CHECKPOINT, LOG, RESOLVED
from memcore.study.trials import Search, Trial

_NETWORK: Final = "network"
Figure = Literal["energy", "time", "area"]


def search(
    source: Source,
    out: str | Path | None = None,
    *,
    trials: int = 50,
    batch: int = 8,
    against: Figure = "energy",
    fresh: bool = False,
    executor: ExecutorSpec = "inline",
    workers: int | None = None,
    progress: bool | None = None,
    **overrides: Any,
) -> Search:
    """Search the axes of a study for the best settings.

    The axes of the only sweep say what may be chosen: `values`, or `range = [low, high]`. Settings
    are tried in batches, each of which is a study of its own in the folder, so that any executor
    evaluates it and a search that was interrupted goes on where it was, and one that has ended with
    more trials: the same seed asks for the same settings. With `cost` in the study, the first cost
    model is the second aim, and the result is the front of those settings that no other beats.
    Settings of which a chip has no finite value have failed: they are told, and the search goes on.

    Args:
        source: a study file, a mapping of the same form, or a `Study`.
        out: folder; "results/<name>-search" by default.
        trials: number of settings to try; batches that are in the folder are taken as they are.
        batch: number of settings that are chosen at once, and evaluated in any order.
        against: figure of the cost model that is made small.
        fresh: whether to discard what another search left in the folder; a trained network that
            still fits is kept.
        executor: where chips are evaluated, as for `run`.
        workers: number of workers of the executor.
        progress: whether to show a progress bar on stderr; by default only on a terminal.
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Raises:
        MissingPackageError: Optuna is not installed.
        StudyError: something in the study or in the folder does not fit, or all settings have
            failed; says what to do.
    """
    needed("optuna", "a search", "search")
    _require(trials, batch, against)
    study = read(source, **overrides)
    space_of(study)
    folder = Path(out) if out is not None else Path("results") / f"{study.study.name}-search"
    study = _with_network(study, folder, fresh)
    how = {"fresh": fresh, "executor": executor, "workers": workers, "progress": progress}
    batches = _Batches(study, against if study.study.cost else "")
    found: list[Trial] = []
    results: Results | None = None
    while len(found) < trials:
        place = folder / f"batch-{len(found):05d}"
        count = 0 if fresh else _asked_before(place)
        batches.ask(count or min(batch, trials - len(found)))
        results = batches.run(place, how) or results
        found += batches.trials
    if results is None:
        raise StudyError(f"all {len(found)} settings have failed, the first one: {found[0].failed}")
    searched = Search(tuple(found), results.baseline, results.kind, batches.against, folder)
    write_atomic(searched.csv, encoded(searched.text))
    return searched


def _require(trials: int, batch: int, against: str) -> None:
    for name, value in (("trials", trials), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise StudyError(f"{name}={shown(value)}; expected a whole number of at least 1")
    if against not in FIGURES:
        raise StudyError(f"against={shown(against)}; expected one of {', '.join(FIGURES)}")


def _with_network(study: Study, folder: Path, fresh: bool) -> Study:
    """The study with a checkpoint, of a network that is trained once for all batches."""
    if study.study.checkpoint is not None:
        return study
    point = study.model_copy(update={"sweep": (space_of(study).model_copy(update=_NO_AXES),)})
    plan(point, folder / _NETWORK, fresh=fresh)
    weights = str((folder / _NETWORK / CHECKPOINT).absolute())
    general = study.study.model_copy(update={"checkpoint": weights})
    return study.model_copy(update={"study": general})


_NO_AXES: Final[dict[str, Any]] = {"axes": {}, "design": "grid", "points": None}


def _asked_before(place: Path) -> int:
    """How many settings a batch has that is in a folder; 0 if there is none."""
    try:
        (sweep,) = read_json(place / RESOLVED)["study"]["sweep"]
        return min(len(axis["values"]) for axis in sweep["axes"].values())
    except (TypeError, LookupError, ValueError, AttributeError):  # nothing, or something else
        return 0


class _Batches:
    """Asks Optuna for settings, and tells it what came of them."""

    def __init__(self, study: Study, against: str) -> None:
        import optuna

        self.study, self.against = study, against
        self.space = space_of(study)
        better = "maximize"
        with _quiet():
            sampler = optuna.samplers.TPESampler(seed=study.study.seed, constant_liar=True)
            aims: Any = [better, "minimize"] if against else [better]
            self.optuna = optuna.create_study(sampler=sampler, directions=aims)
        self.asked: list[Any] = []
        #: What came of the settings that were asked for last.
        self.trials: list[Trial] = []

    def ask(self, count: int) -> None:
        """Ask for the next settings."""
        with _quiet():
            self.asked = [self.optuna.ask(distributions(self.space)) for _ in range(count)]

    def run(self, place: Path, how: Mapping[str, Any]) -> Results | None:
        """Evaluate these settings; gives the last results that there are.

        They are one study, of which a setting without a finite value lets none be finished; then
        each is a study of its own.
        """
        try:
            results = run(self._study(self.asked), place, **how)
        except NotFiniteError:
            return self._run_alone(place, how)
        self.trials = [self._tell(*pair, results) for pair in zip(self.asked, results, strict=True)]
        return results

    def _run_alone(self, place: Path, how: Mapping[str, Any]) -> Results | None:
        self.trials, results = [], None
        for number, asked in enumerate(self.asked):
            study = self._study([asked])
            try:
                results = run(study, place / f"setting-{number:02d}", **how)
            except NotFiniteError as error:
                self.trials.append(self._failed(asked, study, error))
            else:
                (row,) = results
                self.trials.append(self._tell(asked, row, results))
        return results

    def _study(self, asked: list[Any]) -> Study:
        sweep = listed(self.space, [trial.params for trial in asked])
        return self.study.model_copy(update={"sweep": (sweep,)})

    def _failed(self, asked: Any, study: Study, error: NotFiniteError) -> Trial:
        """Tell Optuna of a setting that has no finite value."""
        import optuna

        LOG.warning("a setting has failed: %s", error)
        with _quiet():
            self.optuna.tell(asked, state=optuna.trial.TrialState.FAIL)
        setting = {name: axis.values[0] for name, axis in study.sweep[0].axes.items()}
        return Trial(setting, math.nan, None, None, str(error))

    def _tell(self, asked: Any, row: Row, results: Results) -> Trial:
        """Tell Optuna what came of a setting."""
        sign = -1 if results.kind.smaller_is_better else 1
        price = results.prices.get(name_of(row), ())
        cost = float(getattr(price[0], self.against)) if self.against else None
        aims = [sign * row.mean] + ([] if cost is None else [cost])
        with _quiet():
            self.optuna.tell(asked, aims)
        return Trial(row.setting, row.mean, row.interval, cost)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its log on stderr, and without warnings of what it calls experimental."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
