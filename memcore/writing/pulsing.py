"""Pulses for a device: those that are asked for, or those that a search finds."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from memcore.dynamics.probe import DURATIONS, NEARLY, ROUNDING, VOLTAGES, Probe, Pulse
from memcore.errors import ConfigError, MemcoreWarning, NoEffectWarning


def name_of(probe: Probe, what: str) -> str:
    """The parameter that asks for a pulse: `what` is `voltage` or `width`."""
    return f"{'set' if probe.up else 'reset'}_{what}"


def find_voltage(probe: Probe, wanted: float | None = None, share: float = 0.0) -> float:
    """A voltage that takes the device across its window, with its sign, in V.

    Args:
        probe: the nominal device and the direction.
        wanted: magnitude in V, which is then checked; None tries `VOLTAGES`.
        share: of the voltage that neighbours see; of several voltages that will do, the one is
            chosen whose neighbours move least.

    Raises:
        ConfigError: the device does not move in this direction.

    Examples:
        >>> from memcore.writing import Probe, find_voltage
        >>> find_voltage(Probe(memcore.devices["vteam"](), up=True))
        -1.0
    """
    magnitudes = VOLTAGES if wanted is None else (wanted,)
    v = probe.sign * torch.tensor(magnitudes, dtype=torch.float64, device="cpu")
    try:
        reach = probe.progress(v).amax(0)
    except NotImplementedError as error:  # known by its statistics only
        raise ConfigError(str(error)) from error
    if not float(reach.max()) > ROUNDING:
        direction, kind = "SET" if probe.up else "RESET", type(probe.device).__name__
        tried = ", ".join(f"{x:g}" for x in v.tolist())
        raise ConfigError(
            f"{kind} does not {direction} at {tried} V; expected a {name_of(probe, 'voltage')} in "
            "V at which its step() moves it, or a programmer that needs no pulses, such as 'direct'"
        )
    good = v[reach >= NEARLY * reach.max()].tolist()
    if share and len(good) > 1:
        return float(min(good, key=lambda voltage: probe.disturbed(voltage, share)))
    return float(good[0])


def warn_of_reach(probe: Probe, voltage: float) -> None:
    """Warn if pulses lead across no more than a part of the window that targets are planned in.

    Args:
        probe: the nominal device and the direction.
        voltage: of the pulses in V, with its sign.

    Warns:
        MemcoreWarning: how far they lead.
    """
    reach = remembered(Probe.reach, probe, voltage)
    if reach < NEARLY and not probe.goes_on(voltage):
        direction, kind = "SET" if probe.up else "RESET", type(probe.device).__name__
        warnings.warn(
            f"pulses of {voltage:g} V {direction} {kind} only {100 * reach:.2g} % of the way "
            f"across its window, however long they are (up to {DURATIONS[-1]:.0e} s); expected "
            "pulses that cross it, targets beyond are missed: give another voltage, or parameters "
            "whose window pulses cross",
            MemcoreWarning,
            stacklevel=4,
        )


def warn_of_rest(probe: Probe, pulse: Pulse, most: int) -> None:
    """Warn if not even the longest train of a pulse moves the device.

    Args:
        probe: the nominal device and the direction.
        pulse: each of the train.
        most: number of pulses in the longest train.

    Warns:
        NoEffectWarning: they do not.
    """
    after = probe.from_far_end(pulse.voltage, most * pulse.width)
    if not abs(after - probe.window[0]) > ROUNDING * probe.span:
        warnings.warn(
            f"{most} pulses of {pulse.width:g} s at {pulse.voltage:g} V do not move "
            f"{type(probe.device).__name__}; expected pulses that do, its cells stay as they are: "
            f"give a longer {name_of(probe, 'width')} in s, or none to search for one",
            NoEffectWarning,
            stacklevel=5,
        )


def remembered(find: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a search, from memory for the same arguments: layers share their device."""
    try:
        hash(arguments)
    except TypeError:  # a device with a list or a dictionary among its parameters
        return find(*arguments)
    return _remember(find, *arguments)


@lru_cache(maxsize=64)
def _remember(find: Callable[..., Any], *arguments: Any) -> Any:
    return find(*arguments)
