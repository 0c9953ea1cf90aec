"""What is to be evaluated: the units of a study, and what their results depend on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from memcore.crossbar.config import CrossbarConfig
from memcore.study import environment, sources
from memcore.study.config import Study
from memcore.study.layered import Arrays, arrays, each, told
from memcore.study.record import resolved
from memcore.study.store import LOG
from memcore.study.sweeps import Point, configuration, points


@dataclass(frozen=True, order=True)
class Unit:
    """One chip at one point: the smallest piece of work.

    Attributes:
        point: number of the point among all points of the study, from 0.
        chip: number of the chip, from 0.
    """

    point: int
    chip: int

    def __str__(self) -> str:
        return f"chip {self.chip} at point {self.point}"


@dataclass(frozen=True)
class Described:
    """A study in detail.

    Attributes:
        study: study.
        points: points in the order of the table.
        configs: crossbars of each point.
    """

    study: Study
    points: Sequence[Point]
    configs: Sequence[Arrays]

    def units(self) -> Iterator[Unit]:
        """All units, point by point."""
        for point in range(len(self.points)):
            yield from (Unit(point, chip) for chip in range(self.study.study.chips))

    def entries(self) -> Iterator[CrossbarConfig]:
        """The crossbars of all points, and those that the network is trained through."""
        yield from (entry for config in self.configs for entry in each(config))
        trained = self.study.train.crossbar
        if trained is not None and self.study.study.checkpoint is None:
            yield from each(arrays(trained))

    def record(self) -> dict[str, Any]:
        """The content of `study.resolved.json`."""
        general = self.study.study
        pairs = zip(self.points, self.configs, strict=True)
        crossbars = {point.sweep: told(config) for point, config in pairs if point.index == 0}
        plugins = environment.plugins(self.entries())
        plugins += environment.rules(point.in_place for point in self.points)
        plugins += environment.passes(point.compress for point in self.points)
        names = [component["name"] for component in (general.model, general.data, general.metric)]
        code = sources.code(names, self.study.folder)
        for name in names:
            if ":" in name and name.partition(":")[0] not in code:
                LOG.warning(
                    "the text of %s cannot be seen; a change of it will not be noticed", name
                )
        return resolved(self.study, environment.versions(), plugins, crossbars, code)


def described(study: Study) -> Described:
    """Unfold a study; what is wrong with a setting is said here, before there is work to lose.

    Raises:
        StudyError: a path, a plugin or a parameter does not fit.
    """
    todo = points(study)
    return Described(study, todo, [configuration(point) for point in todo])
