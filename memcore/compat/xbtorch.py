"""Jump tables of XBTorch as a measured device."""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from memcore.compat.imported import Imported, mapping, normal, number, table
from memcore.errors import ConfigError

_PULSES: Final = 2000  #: at most, until a cell has arrived
_PLACES: Final = 33  #: conductances at which the spread of a pulse is told


def tables(
    set_g: str | Path,
    set_dg: str | Path,
    set_cdf: str | Path,
    reset_g: str | Path,
    reset_dg: str | Path,
    reset_cdf: str | Path,
) -> Imported:
    """The device `tabular` of the tables of XBTorch's `TabularDevice`.

    A pulse moves a cell along the mean of its jumps, which makes the curve of SET pulses from the
    lowest conductance and that of RESET pulses from the highest; the standard deviation of the
    jumps becomes that of a pulse. Their distribution is normal here.

    Args:
        set_g: path of the conductances of the rows of the table of SET pulses, in S.
        set_dg: path of the jumps of its columns, in S.
        set_cdf: path of the cumulated probabilities, a row for each conductance.
        reset_g: path of the conductances of the rows of the table of RESET pulses, in S.
        reset_dg: path of the jumps of its columns, in S.
        reset_cdf: path of the cumulated probabilities, a row for each conductance.

    Raises:
        ConfigError: a file cannot be read, or the tables do not fit each other.
    """
    raised = _Table(set_g, set_dg, set_cdf)
    lowered = _Table(reset_g, reset_dg, reset_cdf)
    low, high = _window(raised, lowered)
    device = {
        "name": "tabular",
        "ltp": (_curve(raised.mean, low, high),),
        "ltd": (_curve(lowered.mean, high, low),),
        "std_set": _spreads(raised, low, high),
        "std_reset": _spreads(lowered, low, high),
    }
    left_out = "shape of the distribution of jumps: they are normal, with the same mean and spread"
    return Imported({"device": device}, (left_out,))


def analytical(parameters: Mapping[str, Any]) -> Imported:
    """The device `neurosim` of the arguments of XBTorch's `AnalyticalDevice`.

    Args:
        parameters: `min_conductance`, `max_conductance`, `c2c_var`, `d2d_var`, `nonlinearity_set`,
            `nonlinearity_reset` and `max_level`.

    Raises:
        ConfigError: one of them is missing or no number.
    """
    needed = ("min_conductance", "max_conductance", "nonlinearity_set", "nonlinearity_reset")
    for name in (*needed, "max_level"):
        if name not in mapping(parameters, "parameters"):
            raise ConfigError(f"the device has no {name}; expected the arguments of XBTorch's")
    spread = number(parameters, "d2d_var")
    device: dict[str, Any] = {
        "name": "neurosim",
        "r_on": 1 / number(parameters, "max_conductance", above=0),
        "r_off": 1 / number(parameters, "min_conductance", above=0),
        "c2c": number(parameters, "c2c_var", 0.0),
        "n_ltp": float(number(parameters, "max_level")),
        "n_ltd": float(number(parameters, "max_level")),
    }
    for here, there in (("nl_ltp", "nonlinearity_set"), ("nl_ltd", "nonlinearity_reset")):
        device[here] = normal(float(number(parameters, there)), spread)
    shared = ("d2d_var: the labels of SET and RESET are drawn separately here",) if spread else ()
    return Imported({"device": device}, shared)


class _Table:
    """Mean and standard deviation of the jumps at each conductance."""

    def __init__(self, g: str | Path, dg: str | Path, cdf: str | Path) -> None:
        self.places = [value for row in table(g, "conductances") for value in row]
        jumps = [value for row in table(dg, "jumps") for value in row]
        rows = table(cdf, "probabilities")
        if len(rows) != len(self.places) or any(len(row) != len(jumps) for row in rows):
            raise ConfigError(
                f"'{cdf}' has {len(rows)} rows of {len(rows[0])}; expected {len(self.places)}, one "
                f"for each conductance, of {len(jumps)}, one for each jump"
            )
        if any(b <= a for a, b in zip(self.places, self.places[1:], strict=False)):
            raise ConfigError(f"'{g}' does not rise; expected ascending conductances")
        self._moments = [_moments(jumps, row) for row in rows]

    def mean(self, g: float) -> float:
        return self._at(g, 0)

    def spread(self, g: float) -> float:
        return self._at(g, 1)

    def _at(self, g: float, which: int) -> float:
        """Interpolated between the rows."""
        k = min(max(bisect.bisect_right(self.places, g), 1), len(self.places) - 1)
        a, b = self.places[k - 1], self.places[k]
        share = min(max((g - a) / (b - a), 0.0), 1.0)
        return (1 - share) * self._moments[k - 1][which] + share * self._moments[k][which]


def _window(raised: _Table, lowered: _Table) -> tuple[float, float]:
    """The lowest and the highest conductance of both tables."""
    low, high = raised.places[0], raised.places[-1]
    if not 0 < low < high or (low, high) != (lowered.places[0], lowered.places[-1]):
        raise ConfigError(
            f"the tables of SET go from {low} to {high} S, those of RESET from "
            f"{lowered.places[0]} to {lowered.places[-1]} S; expected the same window above 0"
        )
    return low, high


def _moments(jumps: Sequence[float], cdf: Sequence[float]) -> tuple[float, float]:
    shares = [max(b - a, 0.0) for a, b in zip((0.0, *cdf), cdf, strict=False)]
    total = math.fsum(shares) or 1.0
    mean = math.fsum(s * j for s, j in zip(shares, jumps, strict=True)) / total
    square = math.fsum(s * (j - mean) ** 2 for s, j in zip(shares, jumps, strict=True)) / total
    return mean, math.sqrt(square)


def _curve(mean: Callable[[float], float], start: float, end: float) -> tuple[float, ...]:
    """Conductances from one end to the other, pulse by pulse; the last one is the end."""
    curve, sign = [start], 1.0 if end > start else -1.0
    least = 1e-6 * abs(end - start)
    for _ in range(_PULSES):
        g = curve[-1] + mean(curve[-1])
        if sign * (g - curve[-1]) <= least or sign * (end - g) <= least:
            break
        curve.append(g)
    return (*curve, end)


def _spreads(of: _Table, low: float, high: float) -> tuple[float, ...]:
    places = [low + (high - low) * k / (_PLACES - 1) for k in range(_PLACES)]
    return tuple(of.spread(place) for place in places)
