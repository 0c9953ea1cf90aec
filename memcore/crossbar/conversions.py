"""`Conversions`: how many of its values a converter clipped, and how well it resolved them."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Conversions:
    """Sums over the values that the converters of one lane have seen.

    Attributes:
        count: number of values.
        beyond: how many of them lie beyond the range.
        total: their sum, in their unit.
        squares: sum of their squares.
        error: sum of the squared errors of their conversion.
    """

    count: int = 0
    beyond: int = 0
    total: float = 0.0
    squares: float = 0.0
    error: float = 0.0

    def add(self, values: Tensor, converted: Tensor, low: Tensor, high: Tensor) -> None:
        """Take note of some more values, what they became, and the ends of the range."""
        slack = 1e-6 * (high - low)
        self.count += values.numel()
        self.beyond += int(((values < low - slack) | (values > high + slack)).sum())
        exact = values.double()
        self.total += float(exact.sum())
        self.squares += float(exact.square().sum())
        self.error += float((converted - exact).square().sum())

    @property
    def clipped(self) -> float:
        """Share of the values that lie beyond the range."""
        return self.beyond / self.count if self.count else 0.0

    @property
    def bits(self) -> float:
        """Effective bits: half log2 of the variance of the values over the mean squared error.

        An ideal converter of b bits has b for values that are even over its range.
        """
        variance = self.squares - self.total**2 / max(self.count, 1)
        if not variance > 0:
            return 0.0
        return 0.5 * math.log2(variance / self.error) if self.error > 0 else math.inf
