"""Sweeps unfolded into points: which crossbars each point evaluates, and after what a life."""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from memcore.errors import MemcoreError, StudyError
from memcore.study.axes import Sweep
from memcore.study.compressing import Compression, compression
from memcore.study.config import Study
from memcore.study.embedding import expand_devices
from memcore.study.in_place import InPlace, in_place
from memcore.study.layered import Arrays, arrays, patterns
from memcore.study.life import CONDITIONS, Life, life
from memcore.study.paths import assign, assign_in

IN_PLACE: Final = "in_place"
COMPRESS: Final = "compress"


@dataclass(frozen=True, eq=False)
class Point:
    """One setting of one sweep.

    Attributes:
        sweep: name of the sweep.
        index: index within the sweep, from 0.
        setting: value of each axis, by name.
        crossbar: mapping that `CrossbarConfig.from_mapping` reads; a table under the name of no
            setting is that of the layers which this name fits, as a glob.
        life: what the cells live through before the evaluation.
        in_place: how the chips are trained in place, if they are.
        compress: how the network is compressed before it is written, if it is.
    """

    sweep: str
    index: int
    setting: dict[str, Any]
    crossbar: dict[str, Any]
    life: Life = field(default_factory=Life)
    in_place: InPlace | None = None
    compress: Compression | None = None

    @property
    def name(self) -> str:
        """The name of the point's file."""
        return f"{self.sweep}-{self.index:03d}"

    def __str__(self) -> str:
        values = ", ".join(f"{axis} = {value}" for axis, value in self.setting.items())
        return f"sweep '{self.sweep}'" + (f" at {values}" if values else "")


def points(study: Study) -> list[Point]:
    """All points of a study, in the order of its table.

    Raises:
        StudyError: a dotted path leads nowhere; says which sweep, which path and what is there.
    """
    return [point for sweep in study.sweep for point in _points(study, sweep)]


def configuration(point: Point) -> Arrays:
    """Check and build the crossbars of a point: one for all layers, or one for each pattern.

    Raises:
        StudyError: a plugin or a parameter does not exist or does not fit; names the point.
    """
    try:
        return arrays(point.crossbar)
    except MemcoreError as error:
        raise StudyError(f"{point}: {error}") from error


def _points(study: Study, sweep: Sweep) -> Iterator[Point]:
    base, given = copy.deepcopy(study.crossbar), _conditions(study)
    if study.study.temperature is not None:
        _assign(base, given, "temperature", study.study.temperature, "[study] sets 'temperature'")
    for path, value in sweep.set.items():
        _assign(base, given, path, value, f"sweep '{sweep.name}' sets {path!r}")
    for index, grid in enumerate(_positions(sweep)):
        crossbar, conditions = copy.deepcopy(base), copy.deepcopy(given)
        setting = {}
        for (name, axis), position in zip(sweep.axes.items(), grid, strict=True):
            setting[name] = axis.values[position]
            for path, value in axis.settings(position).items():
                _assign(crossbar, conditions, path, value, f"sweep '{sweep.name}' moves {path!r}")
        try:
            expand_devices(crossbar, study.folder)  # so that a point is known by its parameters
        except MemcoreError as error:
            raise StudyError(f"sweep '{sweep.name}': {error}") from error
        what = f"sweep '{sweep.name}'"
        recipe = in_place(conditions.pop(IN_PLACE, None), what)
        passes = compression(conditions.pop(COMPRESS, None), what)
        lived = life(conditions, what)
        yield Point(sweep.name, index, setting, crossbar, lived, recipe, passes)


def _positions(sweep: Sweep) -> Iterator[tuple[int, ...]]:
    """The places of the values of all axes, point by point."""
    places = [range(len(axis.values)) for axis in sweep.axes.values()]
    if sweep.design == "grid" or not places:
        yield from itertools.product(*places)
    else:
        yield from zip(*places, strict=True)


def _conditions(study: Study) -> dict[str, Any]:
    conditions = {name: getattr(study.study, name) for name in CONDITIONS}
    if study.in_place is not None:
        conditions[IN_PLACE] = study.in_place.model_dump()
    if study.compress is not None:
        conditions[COMPRESS] = study.compress.model_dump(mode="json")
    return conditions


def _assign(
    crossbar: dict[str, Any], conditions: dict[str, Any], path: str, value: Any, what: str
) -> None:
    """Set a path in the crossbars or in the life of a point."""
    if path in CONDITIONS:
        conditions[path] = value
        return
    if path.startswith(f"{IN_PLACE}."):
        if IN_PLACE not in conditions:
            raise StudyError(f"{what}, but nothing is trained in place; expected [in_place]")
        key = path.removeprefix(f"{IN_PLACE}.")
        conditions[IN_PLACE] = {**conditions[IN_PLACE], key: value}
        return
    if path.startswith(f"{COMPRESS}."):
        if COMPRESS not in conditions:
            raise StudyError(f"{what}, but nothing is compressed; expected [compress]")
        assign_in(conditions[COMPRESS], path.removeprefix(f"{COMPRESS}."), value, what, COMPRESS)
        return
    if path == "temperature":  # one of the whole network, whatever tables of layers say
        for pattern in patterns(crossbar):
            if isinstance(crossbar[pattern], dict):
                crossbar[pattern].pop("temperature", None)
    assign(crossbar, path, value, what)
