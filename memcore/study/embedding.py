"""Files of devices and effects put into a study, so that its record stands for itself anywhere."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from memcore.errors import MemcoreError
from memcore.registry import device_file
from memcore.study.layered import patterns


def expand_devices(crossbar: dict[str, Any], folder: Path) -> None:
    """Put the contents of device files and effect files in place, also in tables of layers.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    for table in (crossbar, *(crossbar[pattern] for pattern in patterns(crossbar))):
        if isinstance(table, dict):
            table.update(device_file.table_expanded(table, folder))


def _effects(specs: Any, folder: Path) -> Any:
    """The non-idealities of a list, with what effect files hold in place of their names."""
    if not isinstance(specs, list):
        return specs
    return [device_file.expanded(each, folder, "nonidealities") for each in specs]


def embedded(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A study as plain values, with what its files hold in place of their names.

    Args:
        content: plain values of a study, in which lists and mappings may be replaced.
        folder: folder of the study file, to which the names refer.
    """
    crossbar = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in content["crossbar"].items()
    }
    with suppress(MemcoreError):  # said with the point, where points are made
        expand_devices(crossbar, folder)
    return {
        **content,
        "crossbar": crossbar,
        "sweep": [_sweep(sweep, folder) for sweep in content["sweep"]],
    }


def _sweep(sweep: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    axes = {name: {**axis, "moves": _moves(axis, folder)} for name, axis in sweep["axes"].items()}
    given = {path: _setting(path, value, folder) for path, value in sweep["set"].items()}
    return {**sweep, "axes": axes, "set": given}


def _moves(axis: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        path: [_setting(path, each, folder) for each in move] if isinstance(move, list) else move
        for path, move in axis["moves"].items()
    }


def _setting(path: str, value: Any, folder: Path) -> Any:
    setting = path.rpartition(".")[2]
    with suppress(MemcoreError):
        if setting == "device":
            return device_file.expanded(value, folder)
        if setting == "nonidealities":
            return _effects(value, folder)
        if setting == "lanes" and isinstance(value, list):
            return device_file.lanes_expanded(value, folder)
    return value
