"""Running a study: prepare it, evaluate what is missing, write the table and the picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memcore.contracts.executor import Executor
from memcore.errors import StudyError
from memcore.study.config import Study, read
from memcore.study.estimate_units import tell_units
from memcore.study.executors import ExecutorSpec, made
from memcore.study.finishing import finish
from memcore.study.head import Head
from memcore.study.loading import Folder
from memcore.study.locks import Locks
from memcore.study.progress import Progress
from memcore.study.results import Results
from memcore.study.shards import Shard
from memcore.study.spread import Spread
from memcore.study.store import Store
from memcore.study.work import Plan

Source = Study | Mapping[str, Any] | str | Path


def run(
    source: Source,
    out: str | Path | None = None,
    *,
    fresh: bool = False,
    progress: bool | None = None,
    executor: ExecutorSpec = "inline",
    workers: int | None = None,
    devices: Sequence[str] = (),
    shard: str | None = None,
    **overrides: Any,
) -> Results:
    """Run a study, or finish one that was interrupted.

    Args:
        source: a study file, a mapping of the same form, or a `Study`.
        out: results folder; "results/<name>" by default.
        fresh: whether to discard what another study, or this one, left in the folder; a trained
            network that still fits is kept.
        progress: whether to show a progress bar on stderr; by default only on a terminal.
        executor: where chips are evaluated: a name of `memcore.executors` such as "processes", a
            mapping `{"name": ..., parameters}`, a `memcore.Executor`, or anything that offers
            `concurrent.futures`.
        workers: number of workers of the executor.
        devices: torch devices that the workers take in turn, such as "cuda:0" and "cuda:1" for a
            study on "cuda"; that of the study for all when empty.
        shard: part of the units to evaluate, such as "3/8"; `memcore.study.collect` makes the
            table when all parts are there.
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Returns:
        The results; `print` them for the table.

    Raises:
        StudyError: something in the study or in the folder does not fit; says what to do.
    """
    spread = made(executor, workers, devices)
    part = None if shard is None else Shard.of(shard)
    asked = read(source, **overrides)
    if part is not None:
        _require_alone(asked, fresh=fresh)
    head = Head.of(asked)
    place, shown = _folder(out, head), Progress(progress)
    with Locks(place) as locks:
        plan, baseline = head.claim(place, locks, shown, fresh=fresh)
        work = Spread(plan, head.content, Store(place), locks)
        _evaluate(work, spread, shown, part)
        folder = Folder(work.store, head.content.study, tuple(head.content.points), plan.subject)
        if part is not None:
            return folder.results(baseline)
        return finish(folder, baseline, locks, work.scores, plan.bench)


def plan(
    source: Source, out: str | Path | None = None, *, fresh: bool = False, **overrides: Any
) -> Plan:
    """Prepare a study for a scheduler of one's own: check it, train its network, claim the folder.

    Args:
        source: a study file, a mapping of the same form, or a `Study`.
        out: results folder; "results/<name>" by default.
        fresh: as for `run`.
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Returns:
        The plan; `memcore.study.evaluate` evaluates any unit of it in any process.

    Raises:
        StudyError: something in the study or in the folder does not fit; says what to do.
    """
    head = Head.of(read(source, **overrides))
    folder = _folder(out, head)
    with Locks(folder) as locks:
        return head.claim(folder, locks, Progress(False), fresh=fresh)[0]


def _require_alone(study: Study, *, fresh: bool) -> None:
    """Refuse what a part of a study cannot do without the others."""
    if study.study.interval is not None:
        raise StudyError(
            "interval needs all chips of a point to see how many more it takes, and a shard has "
            "some of them; expected a fixed number of chips, or no shard"
        )
    if fresh:
        raise StudyError(
            "fresh discards what is in the folder, that of other shards too; expected one of fresh "
            "and shard: empty the folder, or choose another one, before the first shard"
        )


def _folder(out: str | Path | None, head: Head) -> Path:
    return Path(out) if out is not None else Path("results") / head.content.study.study.name


def _evaluate(work: Spread, executor: Executor, progress: Progress, shard: Shard | None) -> None:
    chips = work.content.study.study.chips
    todo = work.missing()
    if shard is not None:
        todo = [unit for unit in todo if shard.takes(unit, chips)]
    total = len(work.content.points) * chips
    if work.plan.bench is not None:
        tell_units(work.plan.bench, todo)
    done = 0 if shard is not None else max(0, total - len(todo))
    while todo:
        with progress.bar("evaluating", done + len(todo), done, "chip") as advance:
            work.evaluate(executor, todo, advance)
        done, todo = done + len(todo), work.more()
