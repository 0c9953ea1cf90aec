"""The parameters to fit, with their limits and scales."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, get_args, get_type_hints

import numpy as np

from memcore._text import hint
from memcore.contracts.device import Memristor
from memcore.errors import ConfigError
from memcore.fitting.predictions import Numbers, accepts
from memcore.fitting.scaling import DataScale

_DECADES: Final = 8  #: how far a parameter of one sign may go from its start
_AROUND: Final = 10.0  #: by which factor the search looks about a start that data do not scale
_NUMBER: Final = 5.0  #: the same for a pure number, such as an exponent
_BEYOND: Final = 1e3  #: by which factor a search may leave the range that the data suggest
_OUTSIDE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class SearchAxis:
    """One fitted parameter as the search sees it.

    A parameter that cannot change its sign is searched by the logarithm of its magnitude, any
    other as a multiple of its scale.

    Args:
        name: name of the parameter.
        unit: unit of the parameter.
        start: value at the start in SI units.
        low: least value.
        high: greatest value.
        log: whether the search is on a logarithmic scale.
        scale: size of one unit of the search on a linear scale.
        suggested: least and greatest magnitude that the data suggest; None where they do not tell.
    """

    name: str
    unit: str
    start: float
    low: float
    high: float
    log: bool
    scale: float
    suggested: tuple[float, float] | None = None

    def value(self, u: float) -> float:
        """The parameter at a place of the search; exactly the start at that of the start."""
        if u == self.place(self.start):
            return self.start
        if self.log:
            return math.copysign(math.exp(u), self.start)
        return u * self.scale

    def values(self, places: Numbers) -> Numbers:
        """The parameter at many places of the search."""
        first, start = self.place(self.start), self.start
        if not self.log:
            return np.where(places == first, start, places * self.scale)
        sign = math.copysign(1.0, start)
        # As for one place, to the last digit.
        return np.array([start if u == first else sign * math.exp(u) for u in places.tolist()])

    def place(self, value: float) -> float:
        """The place of a value in the search."""
        return math.log(abs(value)) if self.log else value / self.scale

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest place."""
        first, second = (self.place(v) if math.isfinite(v) else v for v in (self.low, self.high))
        return min(first, second), max(first, second)

    def distance(self, value: float, down: float, up: float) -> float:
        """The larger distance from a value to those that some way down or up in the search."""
        if not self.log:
            return self.scale * max(down, up)
        with np.errstate(over="ignore"):
            return abs(value) * float(max(-np.expm1(-down), np.expm1(up)))

    @property
    def scaled(self) -> bool:
        """Whether the data suggest a range, or it has two ends by itself."""
        return self.suggested is not None or not self.log

    @property
    def region(self) -> tuple[float, float]:
        """The places between which the whole range is searched."""
        low, high = self.limits
        if not self.log:
            if math.isfinite(high - low):
                return low, high
            most = self.suggested[1] / self.scale if self.suggested else abs(self.place(self.start))
            return max(low, -most - 1), min(high, most + 1)
        if self.suggested is not None:
            first, second = (math.log(value) for value in self.suggested)
            inside = max(low, first), min(high, second)
            return inside if inside[0] < inside[1] else (low, high)
        middle = self.place(self.start)
        around = math.log(_NUMBER if self.unit == "1" else _AROUND)
        return max(low, middle - around), min(high, middle + around)


def numbers(plugin: object) -> dict[str, float]:
    """The parameters of a nominal device, or of an effect, that are real numbers."""
    hints = get_type_hints(type(plugin))
    values = {}
    for field in dataclasses.fields(plugin):  # type: ignore[arg-type]
        value, kind = getattr(plugin, field.name), hints[field.name]
        real = kind is float or float in get_args(kind)
        if real and isinstance(value, int | float) and not isinstance(value, bool):
            values[field.name] = float(value)
    return values


def units(device: Memristor) -> dict[str, str]:
    """The unit of each parameter."""
    fields = dataclasses.fields(device)  # type: ignore[arg-type]
    return {field.name: field.metadata.get("unit", "1") for field in fields}


def lengths(device: Memristor) -> list[float]:
    """The lengths among the parameters, in m."""
    unit = units(device)
    return [abs(v) for name, v in numbers(device).items() if unit[name] == "m" and v]


def require_known(argument: str, device: Memristor, names: Iterable[str]) -> None:
    """Refuse names that are not those of numbers of the device.

    Raises:
        ConfigError: with the argument and what may be meant.
    """
    known = numbers(device)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{argument}: {type(device).__name__} has no number {name!r}{hint(name, known)}"
            )


def axes(
    device: Memristor,
    *,
    free: Sequence[str] | None,
    fixed: Sequence[str],
    bounds: Mapping[str, tuple[float, float]],
    scale: DataScale | None = None,
) -> list[SearchAxis]:
    """The parameters to fit.

    Args:
        device: nominal device at the start of the search.
        free: names of the only parameters to fit; by default all numbers but those that are 0,
            which say nothing of a scale.
        fixed: names of parameters not to fit.
        bounds: least and greatest values of some parameters.
        scale: size of the data, which suggests where to search.

    Raises:
        ConfigError: a name is unknown, bounds do not fit, or nothing is left.
    """
    known = numbers(device)
    for argument, names in (("free", free or ()), ("fixed", fixed), ("bounds", bounds)):
        require_known(argument, device, names)
    both = set(free or ()) & set(fixed)
    if both:
        raise ConfigError(f"{', '.join(sorted(both))} are both free and fixed; expected one")
    chosen = [name for name in dict.fromkeys(free or known) if name not in fixed]
    idle = [name for name in bounds if name not in chosen]
    if idle:
        raise ConfigError(f"bounds: {', '.join(idle)} is not fitted; leave it out, or free it")
    unit = units(device)
    made = [
        axis
        for name in chosen
        if (axis := _axis(device, name, unit[name], bounds.get(name), free is not None, scale))
    ]
    if not made:
        raise ConfigError(
            f"{type(device).__name__}: no parameter is left to be fitted; expected one at least"
        )
    return made


def _axis(
    device: Memristor,
    name: str,
    unit: str,
    bounds: tuple[float, float] | None,
    demanded: bool,
    scale: DataScale | None,
) -> SearchAxis | None:
    start = numbers(device)[name]
    axis = partial(SearchAxis, name=name, unit=unit, start=start)
    share = _is_share(device, name, unit)
    if bounds is not None:
        low, high = _checked(name, bounds, start)
        log = low * high > 0 and not share
        size = 1.0 if share else (high - low) / 2
        ends = (min(abs(low), abs(high)), max(abs(low), abs(high))) if log else None
        return axis(low=low, high=high, log=log, scale=size, suggested=ends)
    if share:
        return axis(low=0.0, high=1.0, log=False, scale=1.0)
    if start == 0:
        if demanded:
            raise ConfigError(
                f"{name} starts at 0 and may be of any size; expected bounds={{{name!r}: (least, "
                "greatest)} or a start"
            )
        return None
    suggested = scale.interval(unit) if scale is not None else None
    log = not accepts(device, {name: -start})
    low, high = _reach(start, suggested) if log else (-math.inf, math.inf)
    return axis(low=low, high=high, log=log, scale=abs(start), suggested=suggested)


def _reach(start: float, suggested: tuple[float, float] | None) -> tuple[float, float]:
    """How far a parameter of one sign may go, from its start and from what data suggest."""
    near, far = abs(start) * 10.0**-_DECADES, abs(start) * 10.0**_DECADES
    if suggested is not None:
        near, far = min(near, suggested[0] / _BEYOND), max(far, suggested[1] * _BEYOND)
    return (near, far) if start > 0 else (-far, -near)


def _is_share(device: Memristor, name: str, unit: str) -> bool:
    """Whether the device takes pure numbers in [0, 1] only."""
    inside, outside = (0.0, 0.5), (-_OUTSIDE, 1 + _OUTSIDE)
    return (
        unit == "1"
        and all(accepts(device, {name: value}) for value in inside)
        and not any(accepts(device, {name: value}) for value in outside)
    )


def _checked(name: str, bounds: tuple[float, float], start: float) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in bounds)
    except (TypeError, ValueError):
        raise ConfigError(f"bounds of {name}: {bounds!r}; expected (least, greatest)") from None
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"bounds of {name}: {bounds!r}; expected two numbers, least < greatest")
    if not low <= start <= high:
        raise ConfigError(
            f"{name} starts at {start!r}, outside its bounds {bounds!r}; expected a start in "
            f"between: start={{{name!r}: ...}}"
        )
    return low, high
