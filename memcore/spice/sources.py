"""Waveforms as the piecewise linear sources of SPICE."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memcore import _check
from memcore.errors import ConfigError, ShapeError

#: Points in one line of a netlist.
_IN_LINE = 4

_Given = Tensor | Sequence[float]


def pwl(times: _Given, voltages: _Given, *, edge: float | None = None) -> str:
    """Write a waveform as the text of a SPICE source, such as `V1 in 0` before it.

    Lines after the first begin with `+`, which continues a line of a netlist. Numbers have all
    their digits. Before the first point a source has its voltage, behind the last one the last.

    Args:
        times: times in s, [points], at least 0 and ascending.
        voltages: voltages in V, [points]; for a current source, currents in A.
        edge: None for straight lines between the points. Or the time in s that a change takes:
            each voltage then holds until the next time, as samples of `memcore.simulate` do.

    Returns:
        `PWL(` and pairs of time and voltage.

    Raises:
        ConfigError: the numbers are not finite, times do not ascend, or the edge does not fit
            between two times.

    Examples:
        >>> memcore.spice.pwl([0.0, 1e-6], [0.0, 0.5])
        'PWL(0.0 0.0 1e-06 0.5)'
        >>> memcore.spice.pwl([0.0, 1e-6], [0.0, 0.5], edge=1e-9)
        'PWL(0.0 0.0 1e-06 0.0 1.001e-06 0.5)'
    """
    at, volts = _column("times", times, "s"), _column("voltages", voltages, "V")
    if len(at) != len(volts):
        raise ShapeError(f"there are {len(at)} times and {len(volts)} voltages; expected as many")
    _require_ascending(at)
    points = list(zip(at.tolist(), volts.tolist(), strict=True))
    if edge is not None:
        points = _held(points, _fitting(edge, at))
    pairs = [f"{time!r} {value!r}" for time, value in points]
    lines = [" ".join(pairs[k : k + _IN_LINE]) for k in range(0, len(pairs), _IN_LINE)]
    return "PWL(" + "\n+ ".join(lines) + ")"


def _held(points: Sequence[tuple[float, float]], edge: float) -> list[tuple[float, float]]:
    """The points of a waveform that changes just behind each time."""
    out = [points[0]]
    for (_, before), (time, value) in itertools.pairwise(points):
        if value != before:
            out += [(time, before), (time + edge, value)]
    return out


def _column(name: str, given: Any, unit: str) -> Tensor:
    try:
        column = (
            given
            if isinstance(given, Tensor)
            else torch.tensor(given, dtype=torch.float64, device="cpu")
        )
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"{name} are a {type(given).__name__}; expected a tensor or a list of numbers in {unit}"
        ) from None
    if column.dim() != 1 or not len(column):
        raise ShapeError(f"{name} have shape {tuple(column.shape)}; expected [points]")
    _check.tensor(name, column, "[points]", unit, any_real=True)
    column = column.detach().to("cpu", torch.float64)
    if not bool(column.isfinite().all()):
        raise ConfigError(f"{name} have infinite entries or NaN; expected {unit}")
    return column


def _require_ascending(times: Tensor) -> None:
    if float(times[0]) < 0 or bool((times.diff() <= 0).any()):
        raise ConfigError(
            f"times from {float(times[0])!r} s on do not ascend from 0; expected s, at least 0, "
            "each above the one before"
        )


def _fitting(edge: object, times: Tensor) -> float:
    edge = _check.number("edge", edge, unit="s", above=0)
    shortest = float(times.diff().min()) if len(times) > 1 else float("inf")
    if not edge < shortest or bool((times + edge <= times).any()):
        raise ConfigError(
            f"edge={edge!r} s, but times are {shortest!r} s apart from 0 to {float(times[-1])!r} "
            "s; expected less than between two times, and more than their rounding"
        )
    return edge
