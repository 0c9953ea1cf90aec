"""What stands between the source and a cell: a resistor in series and a limit of the current."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any, Final, cast

import torch
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.errors import ConfigError

#: Halvings of the interval in which the voltage of a cell lies, before a straight line ends it.
_HALVINGS: Final = 30


def _is_held(value: object) -> bool:
    """Whether torch can calculate with a number: it has no integers of more than 64 bits."""
    return _check.is_integer(value) if isinstance(value, Integral) else _check.is_number(value)


@dataclass(frozen=True)
class Load:
    """A resistor in series with a cell, and the largest current that the source lets through.

    A source that limits the current lowers its voltage until the current is the limit.

    Args:
        series: resistance in series in ohm.
        limit: largest magnitude of the current in A, None for no limit.

    Raises:
        ConfigError: a value does not fit.
    """

    series: float = 0.0
    limit: float | None = None

    def __post_init__(self) -> None:
        if not _is_held(self.series) or not 0 <= self.series < math.inf:
            raise ConfigError(f"series={shown(self.series)}; expected a resistance >= 0 in ohm")
        if self.limit is not None and not (_is_held(self.limit) and 0 < self.limit < math.inf):
            raise ConfigError(
                f"limit={shown(self.limit)}; expected a current > 0 in A, or None for no limit"
            )

    def __bool__(self) -> bool:
        return bool(self.series > 0) or self.limit is not None

    def across(self, device: Memristor, state: Tensor, voltage: Tensor) -> Tensor:
        """The voltage across a cell in V where the source has `voltage`."""
        cls = type(device)
        if cls.current is Memristor.current:
            return self._ohmic(device.conductance(state), voltage)
        return self._bisected(lambda u: device.current(state, u), voltage)

    def _ohmic(self, g: Tensor, voltage: Tensor) -> Tensor:
        across = voltage / (1 + self.series * g)
        if self.limit is None:
            return across
        least = torch.finfo(g.dtype).tiny
        most = self.limit / g.clamp(min=least)
        return torch.maximum(torch.minimum(across, most), -most)

    def _bisected(self, current: Callable[[Tensor], Tensor], voltage: Tensor) -> Tensor:
        """The largest voltage that neither exceeds the source with the resistor nor the limit."""
        sign = voltage.sign()
        most = voltage.abs()
        low, high = torch.zeros_like(most), most
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            over = self._excess(current(sign * middle).abs(), middle, most) > 0
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        first, last = (self._excess(current(sign * u).abs(), u, most) for u in (low, high))
        span = last - first
        share = torch.where(span > 0, -first / torch.where(span > 0, span, 1.0), 1.0).clamp(0, 1)
        # Where even the whole voltage is not too much, the source is what the cell sees.
        return sign * torch.where(last <= 0, high, low + (high - low) * share)

    def _excess(self, current: Tensor, across: Tensor, most: Tensor) -> Tensor:
        """What a voltage across the cell is too large by, in V; the limit counts alike."""
        excess = across + self.series * current - most
        if self.limit is None:
            return excess
        return torch.maximum(excess, (current - self.limit) * (most / self.limit))


def loaded(device: Memristor, load: Load) -> Memristor:
    """The device whose `step` takes the voltage of the source in place of its own.

    A step takes the voltage that the cell has in its middle, found with half a step, so that
    errors fall with the square of its duration.
    """
    if not load:
        return device
    made: Any = object.__new__(_kind(type(device), load))
    vars(made).update(vars(device))
    return cast(Memristor, made)


@lru_cache(maxsize=64)
def _kind(cls: type, load: Load) -> type:
    """The class of loaded devices of a class, one for each load: programs are known by it."""
    return type(cls.__name__, (_Loaded, cls), {"__module__": cls.__module__, "_load": load})


class _Loaded:
    """Goes before the class of a device."""

    _load: Load

    def step(self: Any, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        load, bare = self._load, cast(Any, super())
        begin = load.across(self, state, voltage)
        halfway = bare.step(state, begin, dt / 2, ctx.child("load"))
        moved: Tensor = bare.step(state, load.across(self, halfway, voltage), dt, ctx)
        return moved


NO_LOAD: Final = Load()
