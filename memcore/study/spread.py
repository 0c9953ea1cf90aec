"""The part of a run that is shared: units are claimed, evaluated by an executor and kept."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from memcore.contracts.executor import Executor
from memcore.errors import warn
from memcore.study.locks import Locks
from memcore.study.metrics import Score
from memcore.study.planning import Described, Unit
from memcore.study.stopping import most, needed
from memcore.study.store import LOG, Store
from memcore.study.units import Units
from memcore.study.work import Plan, Result, Work, keep

_LOOK: Final = 0.1  # seconds between two looks at units that other runs are at


@dataclass
class Spread:
    """The units of one run, and what is known of them.

    Attributes:
        plan: plan of the study.
        content: study in detail.
        store: results folder.
        locks: locks of this run.
        scores: scores of the units that are known, of points that are not finished.
    """

    plan: Plan
    content: Described
    store: Store
    locks: Locks
    scores: dict[Unit, Score] = field(default_factory=dict)
    _told: set[tuple[type[Warning], str]] = field(default_factory=set)

    @property
    def units(self) -> Units:
        """The unit files."""
        return Units(self.store.folder)

    def missing(self) -> list[Unit]:
        """The units that are not known yet; reports files that do not count."""
        general, todo = self.content.study.study, list[Unit]()
        rows = 0
        for number, point in enumerate(self.content.points):
            if self.store.row(point, self.plan.subject, general) is not None:
                rows += 1
                continue
            there, count = self.units.known(point, self.plan.subject, general)
            self.scores |= {Unit(number, chip): score for chip, score in there.items()}
            todo += [Unit(number, chip) for chip in range(count) if chip not in there]
        if rows:
            LOG.info("%d of %d points were already finished", rows, len(self.content.points))
        if self.scores:
            LOG.info("%d chips of other points were already finished", len(self.scores))
        return todo

    def more(self) -> list[Unit]:
        """The units that are needed now that the spread of the first chips is known."""
        general, todo = self.content.study.study, list[Unit]()
        for number in {unit.point for unit in self.scores}:
            first = [self.scores.get(Unit(number, chip)) for chip in range(general.chips)]
            values = [score.value for score in first if score is not None]
            if len(values) == len(first):
                chips = range(general.chips, needed(values, general))
                todo += [Unit(number, c) for c in chips if Unit(number, c) not in self.scores]
        return sorted(todo)

    def evaluate(
        self, executor: Executor, units: Iterable[Unit], advance: Callable[[str], None]
    ) -> None:
        """Evaluate units, those that other runs are at excepted; in the end all are known.

        Args:
            executor: where units are evaluated.
            units: units that are not known.
            advance: function that is called for each unit with a few words.
        """
        self.units.begin()
        waiting: list[Unit] = list(units)
        while waiting:
            elsewhere: list[Unit] = []
            mine = self._claimed(waiting, elsewhere, advance)
            first = next(mine, None)  # a pool is made for work only
            if first is not None:
                results = executor.evaluate(Work(self.plan), chain([first], mine))
                with closing(results):  # type: ignore[type-var]
                    for result in results:
                        self._note(result, advance)
            waiting = elsewhere
            if waiting and first is None:
                time.sleep(_LOOK)

    def _claimed(
        self, units: list[Unit], elsewhere: list[Unit], advance: Callable[[str], None]
    ) -> Iterator[Unit]:
        for unit in units:
            if not self.locks.take(self._number(unit)):
                elsewhere.append(unit)
                continue
            score = self._known(unit)
            if score is None:
                yield unit
                continue
            self.locks.give(self._number(unit))
            self.scores[unit] = score
            advance(self.content.points[unit.point].name)

    def _known(self, unit: Unit) -> Score | None:
        """What another run has found out about a unit by now."""
        point, subject = self.content.points[unit.point], self.plan.subject
        there = self.units.read(point, subject, [unit.chip], quiet=True)
        if there:
            return there[unit.chip]
        scores = self.store.scores(point, subject, self.content.study.study, quiet=True)
        return None if scores is None else scores[unit.chip]

    def _note(self, result: Result, advance: Callable[[str], None]) -> None:
        if not result.kept:
            keep(self.plan, result)
        self.scores[result.unit] = result.score
        self.locks.give(self._number(result.unit))
        advance(self.content.points[result.unit.point].name)
        for category, text in result.warnings:
            if (category, text) not in self._told:
                self._told.add((category, text))
                warn(text, category)

    def _number(self, unit: Unit) -> int:
        return unit.point * most(self.content.study.study) + unit.chip
