"""A results folder that goes on with more chips: what it holds counts for the larger study too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memcore.study.config import General, Study
from memcore.study.metrics import Score
from memcore.study.stopping import most
from memcore.study.store import LOG, Store, Subject
from memcore.study.sweeps import Point
from memcore.study.units import Units


class Grown:
    """The results of a study of fewer chips, which a larger one takes over.

    A chip is the same whatever the number of others, but its files name the study that they belong
    to. So they are sealed anew, as files of single chips first, before the folder says that it
    holds the larger study: a run that is stopped in between loses nothing.

    Args:
        store: results folder.
        there: content of its `study.resolved.json`.
        subject: what the results will belong to.
        points: points of the study.
    """

    def __init__(
        self, store: Store, there: Mapping[str, Any], subject: Subject, points: Sequence[Point]
    ) -> None:
        self._store, self._subject, self._points = store, subject, points
        self._before = replace(subject, identity=there["identity"])
        self._general: General = Study.model_validate(there["study"]).study
        self._units = Units(store.folder)

    def take_units(self) -> None:
        """Write a file for each chip that is known."""
        self._units.begin()
        count = 0
        for point in self._points:
            for chip, score in self._known(point):
                count += self._units.write(point, chip, self._subject, score)
        LOG.info("going on from %d chips of %d at each point", count, self._general.chips)

    def take_baseline(self) -> None:
        """Seal what the digital network achieves anew, and drop the points of fewer chips."""
        baseline = self._store.baseline(self._before)
        if baseline is not None:
            self._store.write_baseline(baseline, self._subject)
        self._store.drop([point.name for point in self._points])

    def _known(self, point: Point) -> Iterator[tuple[int, Score]]:
        """The chips of a point that are known, but those that were taken over before."""
        scores = self._store.scores(point, self._before, self._general, quiet=True)
        if scores is not None:
            yield from enumerate(scores)
            return
        chips = range(most(self._general))
        yield from self._units.read(point, self._before, chips, quiet=True).items()
