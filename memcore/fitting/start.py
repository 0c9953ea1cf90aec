"""The device from which a fit starts: the given one, with some of its numbers replaced."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from memcore.contracts.device import Memristor
from memcore.contracts.units import MOST_SIEMENS, too_conductive
from memcore.errors import ConfigError
from memcore.fitting.options import FitOptions
from memcore.fitting.space import numbers, require_known
from memcore.fitting.tabulated import Tabulating
from memcore.registry import device_file
from memcore.registry.specs import PluginSpec, plugin, provided_name


def starting_device(spec: PluginSpec, options: FitOptions) -> tuple[Memristor, tuple[str, ...]]:
    """The nominal device from which the search starts, and remarks for the user.

    Args:
        spec: the device. A name or a class by itself says nothing of parameters.
        options: the options of the fit, of which `start`, `free` and `fixed` count.

    Raises:
        ConfigError: A name is unknown or not fitted, or the values do not fit together.
    """
    device: Memristor = plugin("devices", spec).nominal()
    start, free, fixed = options.start, options.free, options.fixed
    held = fixed if isinstance(fixed, Mapping) else {}
    notes: tuple[str, ...] = ()
    values: Mapping[str, Any] = {}
    if isinstance(start, str):
        preset = type(device).preset(start).nominal()
        if says_nothing(spec):
            device = preset
        else:
            searched = _searched(device, free, fixed)
            if not searched:
                raise ConfigError(f"start={start!r}, but nothing is fitted; leave start out")
            values = _values_of(preset, searched, free is None)
            notes = _kept(device, preset, start, {*searched, *held})
    elif start:
        require_known("start", device, start)
        _require_searched(start, _searched(device, free, fixed))
        values = start
    made = _changed(device, {**values, **held}, start)
    _require_ohms(made, {**values, **held})
    return made, notes


def _require_ohms(device: Memristor, given: Mapping[str, Any]) -> None:
    """Refuse a cell of more than a siemens, which siemens given for ohm make.

    Raises:
        ConfigError: with the values and the conductance, before the search.
    """
    try:
        highest = float(device.nominal().conductance_range()[1])  # type: ignore[arg-type]
    except Exception:  # a device of one's own may not know its range
        return
    if MOST_SIEMENS < highest < math.inf:
        listed = ", ".join(f"{name}={value!r}" for name, value in given.items())
        what = f"{f'with {listed}, ' if listed else ''}the conductance of {type(device).__name__}"
        raise ConfigError(too_conductive(what, highest))


def says_nothing(spec: PluginSpec) -> bool:
    """Whether a device is given by its name or class alone."""
    if isinstance(spec, Mapping):
        return set(spec) == {"name"} and not device_file.is_device_file(spec["name"])
    return isinstance(spec, str | type) and not device_file.is_device_file(spec)


def _searched(
    device: Memristor, free: Sequence[str] | None, fixed: Collection[str]
) -> Collection[str]:
    if isinstance(device, Tabulating):
        return ()
    return [name for name in (numbers(device) if free is None else free) if name not in fixed]


def _values_of(preset: Memristor, searched: Collection[str], all_numbers: bool) -> dict[str, float]:
    """The fitted values of a preset; among all numbers, 0 would not be fitted any more."""
    return {
        name: value
        for name, value in numbers(preset).items()
        if name in searched and (value or not all_numbers)
    }


def _kept(
    device: Memristor, preset: Memristor, start: str, replaced: Collection[str]
) -> tuple[str, ...]:
    """Remarks on values of the preset that the device given has otherwise."""
    said = type(device).presets[start].parameters
    differing = [
        f"{name}={getattr(device, name)!r} (not {getattr(preset, name)!r})"
        for name in said
        if name not in replaced and getattr(device, name) != getattr(preset, name)
    ]
    if not differing:
        return ()
    return (
        f"start={start!r} sets only what is fitted; of the device given are {', '.join(differing)}",
    )


def _require_searched(start: Mapping[str, float], searched: Collection[str]) -> None:
    for name, value in start.items():
        if name not in searched:
            raise ConfigError(
                f"start has {name}={value!r}, but {name} is not fitted; leave it out of start, or "
                f"hold it by fixed={{{name!r}: {value!r}}}"
            )


def _changed(
    device: Memristor, values: Mapping[str, Any], start: str | Mapping[str, float] | None
) -> Memristor:
    if not values:
        return device
    name = provided_name(device)
    own = {f.name: getattr(device, f.name) for f in dataclasses.fields(device) if f.init}  # type: ignore[arg-type]
    try:
        return cast(Memristor, plugin("devices", {"name": name, **own, **values}))
    except ConfigError as error:
        if not isinstance(start, str):
            raise
        raise ConfigError(
            f"start={start!r} sets only what is fitted, which does not fit the rest of the device "
            f"given: {error}; to take all of the preset; expected "
            f"device={{'name': {name!r}, 'preset': {start!r}, ...}} without start"
        ) from None
