"""Sweeps unfolded into points: which crossbar each point evaluates."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcore._text import did_you_mean
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import MemcoreError, StudyError
from memcore.registry import device_file
from memcore.study.config import Study, Sweep

#: Entries of `[crossbar]` that hold a plugin, and so may be a mere name.
PLUGINS = ("device", "mapper", "programmer", "dac", "adc")


@dataclass(frozen=True, eq=False)
class Point:
    """One setting of one sweep.

    Attributes:
        sweep: name of the sweep.
        index: index within the sweep, from 0.
        setting: value of each axis, by name.
        crossbar: mapping that `CrossbarConfig.from_mapping` reads.
    """

    sweep: str
    index: int
    setting: dict[str, Any]
    crossbar: dict[str, Any]

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


def configuration(point: Point) -> CrossbarConfig:
    """Check and build the crossbar of a point.

    Raises:
        StudyError: a plugin or a parameter does not exist or does not fit; names the point.
    """
    try:
        return CrossbarConfig.from_mapping(point.crossbar)
    except MemcoreError as error:
        raise StudyError(f"{point}: {error}") from error


def _points(study: Study, sweep: Sweep) -> Iterator[Point]:
    base = copy.deepcopy(study.crossbar)
    for path, value in sweep.set.items():
        _assign(base, path, value, f"sweep '{sweep.name}' sets {path!r}")
    positions = [range(len(axis.values)) for axis in sweep.axes.values()]
    for index, grid in enumerate(itertools.product(*positions)):
        crossbar, setting = copy.deepcopy(base), {}
        for (name, axis), position in zip(sweep.axes.items(), grid, strict=True):
            setting[name] = axis.values[position]
            for path, value in axis.settings(position).items():
                _assign(crossbar, path, value, f"sweep '{sweep.name}' moves {path!r}")
        if "device" in crossbar:
            crossbar["device"] = _device(crossbar["device"], study.folder, sweep.name)
        yield Point(sweep.name, index, setting, crossbar)


def _device(spec: Any, folder: Path, sweep: str) -> Any:
    """The content of a device file beside the study, so that a point is known by its parameters."""
    try:
        return device_file.expanded(spec, folder)
    except MemcoreError as error:
        raise StudyError(f"sweep '{sweep}': {error}") from error


def _assign(crossbar: dict[str, Any], path: str, value: Any, what: str) -> None:
    """Set one dotted path of a crossbar mapping in place."""
    *parents, last = path.split(".")
    node: Any = crossbar
    for depth, key in enumerate(parents):
        node = _entered(node, key, ".".join(parents[:depth]), what)
    if isinstance(node, list):
        node[_position(node, last, ".".join(parents), what)] = copy.deepcopy(value)
    else:
        node[last] = copy.deepcopy(value)


def _entered(node: Any, key: str, where: str, what: str) -> Any:
    """The mapping or list under `key`; a plugin given by its mere name becomes a mapping."""
    place = f"crossbar.{where}" if where else "crossbar"
    slot: Any = _position(node, key, where, what) if isinstance(node, list) else key
    if isinstance(node, Mapping) and key not in node:
        there = ", ".join(map(str, node)) or "nothing"
        raise StudyError(
            f"{what}, but {place} has no {key!r}{did_you_mean(key, map(str, node))}\n"
            f"  there is: {there}; write it into [crossbar] or into the sweep's 'set' first"
        )
    child = node[slot]
    if isinstance(child, str) and (isinstance(node, list) or (not where and key in PLUGINS)):
        child = {"name": child}
    elif isinstance(child, tuple):
        child = list(child)
    elif not isinstance(child, dict | list):
        raise StudyError(
            f"{what}, but {place}.{key} is {child!r}, which has no parts; "
            "write it as a table, for instance { normal = { mean = ..., std = ... } }"
        )
    node[slot] = child
    return child


def _position(node: list[Any], key: str, where: str, what: str) -> int:
    """The position in a list of plugins of the one with that name or number."""
    names = [item["name"] if isinstance(item, Mapping) else str(item) for item in node]
    if key.isdecimal() and int(key) < len(names):
        return int(key)
    if names.count(key) > 1:
        raise StudyError(
            f"{what}, but crossbar.{where} has {names.count(key)} entries named {key!r}; "
            f"say which by its number, 0 to {len(names) - 1}"
        )
    if key not in names:
        raise StudyError(
            f"{what}, but crossbar.{where} has no {key!r}{did_you_mean(key, names)}\n"
            f"  there is: {', '.join(names) or 'nothing'}; write it into [crossbar] or into the "
            "sweep's 'set' first"
        )
    return names.index(key)
