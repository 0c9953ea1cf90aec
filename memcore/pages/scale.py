"""Where values stand on an axis, and what is written beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal


@dataclass(frozen=True)
class Tick:
    """A label of an axis.

    Attributes:
        place: place along the axis, from 0 to 1.
        label: text beside it.
    """

    place: float
    label: str


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        kind: how values become places.
        low: value at the beginning; for categories 0.
        high: value at the end; for categories their number.
        values: values with a label of their own; with none, round numbers have one.
        zero: value in whose place 0 stands on a logarithmic axis; None where it has no place.
    """

    kind: Literal["linear", "log", "category"]
    low: float
    high: float
    values: tuple[Any, ...] = ()
    zero: float | None = None

    @classmethod
    def over(cls, kind: Any, values: Sequence[Any], *, labelled: bool = False) -> "Scale":
        """A scale on which all values have a place, with some room at its ends."""
        if kind == "category":
            return cls("category", 0.0, float(len(values)), tuple(values))
        numbers = [float(value) for value in values]
        low, high = min(numbers), max(numbers)
        if kind == "log":
            zero = zero_place(numbers)
            low = min(numbers) if zero is None else zero
            room = (high / low) ** 0.06 if high > low else 2.0
            return cls("log", low / room, high * room, tuple(values) if labelled else (), zero)
        room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        return cls("linear", low - room, high + room, tuple(values) if labelled else ())

    def place(self, value: Any) -> float:
        """The place of a value, from 0 to 1."""
        if self.kind == "category":
            return (self.values.index(value) + 0.5) / self.high
        if self.kind == "log":
            value = value or self.zero
            return math.log(float(value) / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    @cached_property
    def ticks(self) -> tuple[Tick, ...]:
        """The labels, in order."""
        if self.values:
            return tuple(Tick(self.place(value), written(value)) for value in self.values)
        marks = _decades(self) if self.kind == "log" else _round(self.low, self.high)
        if self.zero is not None:
            marks = [0.0, *(mark for mark in marks if mark > 1.5 * self.zero)]
        return tuple(Tick(self.place(mark), written(mark)) for mark in marks)


def zero_place(numbers: Sequence[float]) -> float | None:
    """Where 0 stands beside others on a logarithmic axis, some way below the smallest of them."""
    above = [number for number in numbers if number > 0]
    if 0 not in numbers or not above:
        return None
    return float(min(above) / max((max(above) / min(above)) ** 0.15, 3.0))


def written(value: Any) -> str:
    """A value as a label."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _round(low: float, high: float) -> list[float]:
    """About five round numbers between two values."""
    width = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(width))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= width * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _decades(scale: Scale) -> list[float]:
    """Powers of ten; where there are fewer than three, 2 and 5 between them too."""
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for steps in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        marks = [float(f"{m * 10.0**p:.6g}") for p in powers for m in steps]
        inside = [mark for mark in marks if scale.low <= mark <= scale.high]
        if len(inside) >= 3:
            return inside
    return inside or [scale.low, scale.high]
