"""The end of a study: units put together to points, the table and the picture."""

from collections.abc import Mapping
from pathlib import Path

from memcore.errors import StudyError
from memcore.study.costs import with_known_prices, with_prices
from memcore.study.files import encoded, remove, write_atomic
from memcore.study.loading import Folder
from memcore.study.locks import Locks
from memcore.study.metrics import Score
from memcore.study.planning import Unit
from memcore.study.plots import plot
from memcore.study.results import Results, Row, csv_text
from memcore.study.stopping import needed
from memcore.study.store import LOG, gathered, row_of
from memcore.study.units import Units
from memcore.study.work import Bench


def finish(
    folder: Folder,
    baseline: Score,
    locks: Locks,
    known: Mapping[Unit, Score],
    bench: Bench | None = None,
) -> Results:
    """Put the units together to points, and write the table and the picture.

    Args:
        folder: results folder.
        baseline: what the digital network achieves.
        locks: locks in the folder.
        known: scores that need not be read again.
        bench: network that points are priced with; without one they have the prices that are known.
    """
    units = Units(folder.store.folder)
    with locks.claiming():
        rows = [_row(folder, units, number, known) for number in range(len(folder.points))]
        results = gathered(folder.study, rows, baseline, folder.store.folder)
        results = _with_prices(results, folder, bench)
        write_atomic(results.csv, encoded(csv_text(results)))
        if results.complete:
            units.end()
        _draw(results)
    return results


def _with_prices(results: Results, folder: Folder, bench: Bench | None) -> Results:
    if bench is not None:
        network, content = (bench.network, bench.dataset), bench.content
        parts = folder.subject.parts
        return with_prices(results, parts, network, content.points, content.configs)
    results = with_known_prices(results, folder.subject.parts, folder.points)
    if results.study.study.cost and len(results.prices) < len(folder.points):
        LOG.warning("some points are not priced yet: memcore run of the same study prices them")
    return results


def collect(folder: str | Path) -> Results:
    """Put together what shards have evaluated, and write the table and the picture.

    Args:
        folder: results folder of the shards.

    Returns:
        The results; points of which chips are missing are left out, and evaluated by another run.

    Raises:
        StudyError: there is no study in the folder, or its baseline is not known yet.
    """
    there = Folder.at(folder)
    with Locks(there.store.folder) as locks:
        locks.join()
        return finish(there, there.baseline, locks, {})


def _row(folder: Folder, units: Units, number: int, known: Mapping[Unit, Score]) -> Row | None:
    """The row of a point, whose file is written if all of its units are known."""
    point, general = folder.points[number], folder.study.study
    row = folder.store.row(point, folder.subject, general, quiet=True)
    if row is not None:
        return row
    scores, count = _scores(units, folder, number, known)
    if len(scores) < count:
        return None
    row = row_of(point, [scores[chip] for chip in range(count)], general)
    folder.store.write_row(row, point, folder.subject)
    return row


def _scores(
    units: Units, folder: Folder, number: int, known: Mapping[Unit, Score]
) -> tuple[dict[int, Score], int]:
    """The scores of a point by chip, and how many it needs; files are read for what is missing."""
    general = folder.study.study
    first = [known.get(Unit(number, chip)) for chip in range(general.chips)]
    values = [score.value for score in first if score is not None]
    if len(values) == len(first):
        count = needed(values, general)
        scores = {c: known[Unit(number, c)] for c in range(count) if Unit(number, c) in known}
        if len(scores) == count:
            return scores, count
    return units.known(folder.points[number], folder.subject, general, quiet=bool(known))


def _draw(results: Results) -> None:
    """Draw the picture; the table is complete whatever happens to it."""
    try:
        plot(results, results.plot)
    except StudyError as error:
        raise StudyError(f"{error}; the table is complete in '{results.csv}'") from error
    except Exception as error:  # matplotlib's own, for instance of a letter that no font has
        remove(results.plot)  # not that of an earlier run
        LOG.warning("there is no plot: %s; the table is complete in %s", error, results.csv)
