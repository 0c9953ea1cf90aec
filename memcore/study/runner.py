"""Running a study: train, evaluate what is missing, write the table and the picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcore.contracts.executor import Executor
from memcore.errors import StudyError
from memcore.study.config import Study, read
from memcore.study.executors import ExecutorSpec, made
from memcore.study.files import encoded, remove, write_atomic
from memcore.study.head import Head
from memcore.study.locks import Locks
from memcore.study.metrics import Score
from memcore.study.plots import plot
from memcore.study.progress import Progress
from memcore.study.results import Results, Row, csv_text
from memcore.study.spread import Spread
from memcore.study.store import LOG, Store, collect, row_of
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
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Returns:
        The results; `print` them for the table.

    Raises:
        StudyError: something in the study or in the folder does not fit; says what to do.
    """
    spread = made(executor, workers)
    head = Head.of(read(source, **overrides))
    folder, shown = _folder(out, head), Progress(progress)
    with Locks(folder) as locks:
        plan, baseline = head.claim(folder, locks, shown, fresh=fresh)
        work = Spread(plan, head.content, Store(folder), locks)
        _evaluate(work, spread, shown)
        return _finish(work, baseline)


def plan(source: Source, out: str | Path | None = None, **overrides: Any) -> Plan:
    """Prepare a study for a scheduler of one's own: check it, train its network, claim the folder.

    Args:
        source: a study file, a mapping of the same form, or a `Study`.
        out: results folder; "results/<name>" by default.
        overrides: entries of `[study]` that win over those of the file, such as `chips=3`.

    Returns:
        The plan; `memcore.study.evaluate` evaluates any unit of it in any process.

    Raises:
        StudyError: something in the study or in the folder does not fit; says what to do.
    """
    head = Head.of(read(source, **overrides))
    folder = _folder(out, head)
    with Locks(folder) as locks:
        return head.claim(folder, locks, Progress(False), fresh=False)[0]


def _folder(out: str | Path | None, head: Head) -> Path:
    return Path(out) if out is not None else Path("results") / head.content.study.study.name


def _evaluate(work: Spread, executor: Executor, progress: Progress) -> None:
    todo = work.missing()
    total = len(work.content.points) * work.content.study.study.chips
    if todo:
        with progress.bar("evaluating", total, total - len(todo), "chip") as advance:
            work.evaluate(executor, todo, advance)


def _finish(work: Spread, baseline: Score) -> Results:
    """Put the units together to points, and write the table and the picture."""
    with work.locks.claiming():
        rows = [_row(work, number) for number in range(len(work.content.points))]
        results = collect(work.content.study, rows, baseline, work.store.folder)
        write_atomic(results.csv, encoded(csv_text(results)))
        if results.complete:
            work.units.end()
        _draw(results)
    return results


def _row(work: Spread, number: int) -> Row | None:
    """The row of a point, whose file is written if all of its units are known."""
    point, subject = work.content.points[number], work.plan.subject
    chips = range(work.content.study.study.chips)
    row = work.store.row(point, subject, len(chips), quiet=True)
    if row is not None:
        return row
    scores = work.known(number)
    if len(scores) < len(chips):
        return None
    row = row_of(point, [scores[chip] for chip in chips])
    work.store.write_row(row, point, subject)
    return row


def _draw(results: Results) -> None:
    """Draw the picture; the table is complete whatever happens to it."""
    try:
        plot(results, results.plot)
    except StudyError as error:
        raise StudyError(f"{error}; the table is complete in '{results.csv}'") from error
    except Exception as error:  # matplotlib's own, for instance of a letter that no font has
        remove(results.plot)  # not that of an earlier run
        LOG.warning("there is no plot: %s; the table is complete in %s", error, results.csv)
