"""Which settings of several axes make the points of a sweep: all, listed ones, or spread evenly."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from memcore.errors import ConfigError


class Spanned(Protocol):
    """An axis, as far as designs see it."""

    @property
    def values(self) -> tuple[Any, ...]:
        """Its values."""

    @property
    def range(self) -> tuple[int | float, int | float] | None:
        """Its lowest and highest value."""

    @property
    def scale(self) -> str:
        """Its scale in the plot, by which it is spread as well."""


def require_range(ends: tuple[int | float, int | float], *, log: bool) -> None:
    """Refuse a range that has no width.

    Raises:
        ConfigError: it has none, or none on a logarithmic scale.
    """
    low, high = ends
    if not all(map(math.isfinite, ends)) or not low < high or (log and low <= 0):
        above = " above 0" if log else ""
        raise ConfigError(
            f"range {list(ends)}; expected two finite numbers{above}, the lower first"
        )


def require_design(design: str, points: int | None, axes: Mapping[str, Spanned]) -> None:
    """Refuse axes that do not make the points of a design.

    Raises:
        ConfigError: they do not.
    """
    ranged = [name for name, axis in axes.items() if axis.range is not None]
    if design == "quasi_random":
        if points is None or not axes or len(ranged) < len(axes):
            raise ConfigError(
                'design "quasi_random" needs the number of its points and a range of each axis, '
                "range = [low, high]; give settings that have none in set"
            )
        return
    if points is not None or ranged:
        what = f"range, but {ranged[0]!r} has one" if ranged else "points"
        raise ConfigError(f'design {design!r} takes no {what}; expected design = "quasi_random"')
    lengths = {name: len(axis.values) for name, axis in axes.items()}
    if design == "listed" and len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise ConfigError(
            f'design "listed" needs as many values of each axis, but there are {told}'
        )


def spread_out(axes: Mapping[str, Spanned], points: int) -> dict[str, tuple[int | float, ...]]:
    """Values of each axis that fill their ranges together: a Sobol sequence, the same every time.

    Any number of points covers the ranges more evenly than random ones, and a larger number begins
    with the points of a smaller one. Axes with a logarithmic scale are filled by ratios.

    Args:
        axes: axes with ranges, by name.
        points: number of points.
    """
    engine = torch.quasirandom.SobolEngine(  # type: ignore[no-untyped-call]
        len(axes), scramble=True, seed=0
    )
    places = engine.draw(points, dtype=torch.float64).T.tolist()
    return {
        name: tuple(_at(place, axis) for place in row)
        for row, (name, axis) in zip(places, axes.items(), strict=True)
    }


def _at(place: float, axis: Spanned) -> int | float:
    """The value at a place from 0 to 1, in few digits."""
    low, high = axis.range or (0, 1)
    whole = isinstance(low, int) and isinstance(high, int)
    low, high = (low, high + 1) if whole else (low, high)  # each whole number has an equal part
    value = low * (high / low) ** place if axis.scale == "log" else low + place * (high - low)
    return min(math.floor(value), int(high) - 1) if whole else in_few_digits(value, (low, high))


def in_few_digits(value: float, ends: tuple[int | float, int | float]) -> float:
    """A value from a range, with as many digits as tell a thousandth of the range, and in it."""
    low, high = ends
    digits = 4 + max(0, math.ceil(math.log10(max(abs(low), abs(high)) / (high - low))))
    return float(min(max(float(f"{value:.{digits}g}"), low), high))
