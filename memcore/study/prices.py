"""What an inference costs at each point of a study, and which points nothing beats."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memcore._text import scaled

#: Units of the figures of a price, in the order of the table.
FIGURES: Final = {"energy": "J", "time": "s", "area": "m^2"}


@dataclass(frozen=True)
class Price:
    """What an inference costs by one cost model.

    Attributes:
        model: name of the cost model; with a number if the study has several of the name.
        energy: energy in J, the mean over the inferences that were counted.
        time: time in s, likewise.
        area: area of the chip in m^2.
    """

    model: str
    energy: float
    time: float
    area: float


#: Prices by the names of points.
Prices = Mapping[str, tuple[Price, ...]]


def labels(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cost models of a study by names that differ: mnsim, mnsim_2."""
    named: list[str] = []
    for each in models:
        before = sum(name.partition("_#")[0] == each["name"] for name in named)
        named.append(f"{each['name']}_#{before + 1}" if before else str(each["name"]))
    return [name.replace("_#", "_") for name in named]


def front(points: Iterable[tuple[float, float]]) -> list[bool]:
    """Which (cost, quality) no other beats: none is as good for less, or better for as little."""
    listed = list(points)
    return [
        not any(
            other <= cost and better >= quality and (other, better) != (cost, quality)
            for other, better in listed
        )
        for cost, quality in listed
    ]


class Fronts:
    """The Pareto fronts of a study: for each cost model and figure, over all its points.

    Args:
        prices: prices of the points.
        quality: quality of the points by their names, larger is better.
    """

    def __init__(self, prices: Prices, quality: Mapping[str, float]) -> None:
        self._on: set[tuple[str, str, str]] = set()
        names = [name for name in prices if name in quality]
        for number, model in enumerate(prices[names[0]] if names else ()):
            for figure in FIGURES:
                costs = [getattr(prices[name][number], figure) for name in names]
                pairs = zip(costs, (quality[name] for name in names), strict=True)
                chosen = zip(names, front(pairs), strict=True)
                self._on |= {(name, model.model, figure) for name, on in chosen if on}

    def has(self, point: str, model: str, figure: str) -> bool:
        """Whether no other point is as good and cheaper."""
        return (point, model, figure) in self._on

    def cells(self, point: str, prices: Sequence[Price]) -> list[str]:
        """The prices of a point for the table, those on a front with an asterisk."""
        return [
            scaled(getattr(price, figure), unit)
            + (" *" if self.has(point, price.model, figure) else "  ")
            for price in prices
            for figure, unit in FIGURES.items()
        ]


def heads(prices: Sequence[Price]) -> list[str]:
    """The heads of the columns of the table."""
    return [f"{price.model} {figure}  " for price in prices for figure in FIGURES]


def columns(prices: Sequence[Price]) -> list[str]:
    """The heads of the columns of the CSV."""
    units = ("J", "s", "m2")
    return [
        f"{price.model}_{figure}_{unit}"
        for price in prices
        for figure, unit in zip(FIGURES, units, strict=True)
    ]


def figures(prices: Sequence[Price]) -> list[str]:
    """The prices of a point for the CSV."""
    return [f"{getattr(price, figure):.6g}" for price in prices for figure in FIGURES]


def checked(content: Any, names: Sequence[str]) -> tuple[Price, ...] | None:
    """Prices that a file holds; None for anything else."""
    try:
        found = tuple(
            Price(name, *(float(content[name][figure]) for figure in FIGURES)) for name in names
        )
    except (LookupError, TypeError, ValueError):
        return None
    values = [getattr(price, figure) for price in found for figure in FIGURES]
    return found if all(math.isfinite(value) and value >= 0 for value in values) else None
