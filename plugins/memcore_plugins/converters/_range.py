"""What the bundled converters share: the range, fixed or from values, and its levels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Converter, UniformLevels, parameter

#: Values on which the error of a range is tried.
_TRIED = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Ranged(Converter):
    """Base of converters with a range of equidistant levels."""

    bits: int = parameter(8, "1", "resolution in bits", within=(1, 24))
    symmetric: bool | None = parameter(
        None,
        "1",
        "True for [-peak, peak], False for [lowest, highest]; None for [-peak, peak] or, where no "
        "value is negative, [0, peak]",
    )
    calibration: Literal["max", "percentile", "least_error"] = parameter(
        "max",
        "1",
        "whether the range covers all values seen, leaves out the tails, or has the least mean "
        "squared error of rounding and clipping together",
    )
    percentile: float = parameter(
        99.9,
        "%",
        "share of the values that the range covers on either side",
        above=50,
        at_most=100,
    )
    full_scale: float | tuple[float, float] | None = parameter(
        None,
        "input units (DAC) or A (ADC)",
        "fixed range, its peak or (lowest, highest); None for a calibrated one",
    )
    ratios: Literal["free", "powers_of_two"] = parameter(
        "free",
        "1",
        "of the steps of the lanes of an ADC, counted in weights: free, each lane has the range of "
        "its own currents; powers_of_two, ranges are widened until a digital shift lines lanes up",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.symmetric and self.bits < 2:
            raise ConfigError(
                f"{type(self).__name__}: bits={self.bits!r}; expected an integer from 2 to 24 if "
                "symmetric=True"
            )
        if self.full_scale is not None and not self._fixed()[0] < self._fixed()[1]:
            raise ConfigError(
                f"{type(self).__name__}: full_scale={self.full_scale!r}; expected a peak > 0 or "
                "(lowest, highest)"
            )
        if self.ratios == "powers_of_two" and self.symmetric is False:
            raise ConfigError(
                f"{type(self).__name__}: ratios='powers_of_two' with symmetric=False; expected "
                "symmetric=True or None: ranges of different shape have no common step"
            )

    def _fixed(self) -> tuple[float, float]:
        assert self.full_scale is not None
        if isinstance(self.full_scale, int | float):
            return (0.0 if self.symmetric is False else -self.full_scale, float(self.full_scale))
        return (float(self.full_scale[0]), float(self.full_scale[1]))

    @property
    def of_all_values(self) -> bool:
        return self.full_scale is None and self.calibration != "max"

    def observe(self, values: Tensor) -> Tensor | None:
        if self.full_scale is not None:
            return values.new_tensor(self._fixed())
        if not values.numel():
            return None
        lowest, highest = map(float, values.aminmax())
        if self.calibration == "max":
            return values.new_tensor((lowest, highest))
        if self.calibration == "least_error":
            return values.new_tensor(self._of_least_error(thinned(values), lowest, highest))
        share = self.percentile / 100
        if self._is_signed(lowest):
            peak = _quantile(values.abs(), share)
            return values.new_tensor((-peak, peak))
        low = _quantile(values, 1 - share) if self.symmetric is False else 0.0
        return values.new_tensor((low, _quantile(values, share)))

    def _is_signed(self, lowest: float) -> bool:
        """Whether the range is [-peak, peak], for the lowest value to represent."""
        return lowest < 0 and self.bits > 1 if self.symmetric is None else self.symmetric

    def _of_least_error(self, values: Tensor, lowest: float, highest: float) -> tuple[float, float]:
        """The range whose levels have the least mean squared error for these values."""

        def error(low: float, high: float) -> float:
            form = self.levels(values.new_tensor((low, high)))
            return float((form(values) - values).square().mean())

        if self._is_signed(lowest):
            peak = max(abs(lowest), abs(highest))
            peak = _least(lambda p: error(-p, p), peak)
            return -peak, peak
        if self.symmetric is not False or lowest >= 0 or highest <= 0:
            low = 0.0 if self.symmetric is not False else lowest
            return low, low + _least(lambda p: error(low, low + p), highest - low)
        return _least_ends(error, *_least_ends(error, lowest, highest))

    def agree(self, ranges: Tensor, gain: Tensor) -> Tensor:
        if self.ratios == "free" or len(ranges) == 1:
            return ranges
        peak = ranges.abs().amax(1)
        weights = peak * gain
        largest = weights.max()
        exponent = torch.ceil(torch.log2(weights / largest) - 1e-6)
        exponent = torch.where(weights > 0, exponent, 0.0)
        peak = torch.where(largest > 0, largest * torch.exp2(exponent) / gain, peak)
        low = -peak if self._is_signed(float(ranges.min())) else torch.zeros_like(peak)
        return torch.stack([low, peak], dim=1)

    def levels(self, full_scale: Tensor) -> UniformLevels:
        """The levels of a range, [2] (lowest, highest)."""
        lowest, highest = full_scale.tolist()
        if self._is_signed(lowest):
            top = 2 ** (self.bits - 1) - 1
            peak = max(abs(lowest), abs(highest)) or 1.0
            return UniformLevels(full_scale.new_tensor([peak / top]), -top, top)
        if self.symmetric is None:
            lowest = min(lowest, 0.0)
        steps = 2**self.bits - 1
        step = (highest - lowest) / steps or 1.0
        if not lowest <= 0 <= highest:
            return UniformLevels(full_scale.new_tensor([step]), 0, steps, offset=lowest)
        below, step = _around_zero(lowest, highest, steps)
        return UniformLevels(full_scale.new_tensor([step]), -below, steps - below)


def _around_zero(lowest: float, highest: float, steps: int) -> tuple[int, float]:
    """Steps below zero and the smallest step with which levels, zero among them, cover a range."""
    share = -lowest * steps / (highest - lowest) if highest > lowest else 0.0

    def step(below: int) -> float:
        down = -lowest / below if below else (0.0 if lowest == 0 else math.inf)
        up = highest / (steps - below) if below < steps else (0.0 if highest == 0 else math.inf)
        return max(down, up)

    below = min({math.floor(share), math.ceil(share)}, key=step)
    return below, step(below) or 1.0


def _quantile(values: Tensor, share: float) -> float:
    flat = values.flatten()
    rank = min(flat.numel(), max(1, math.ceil(share * flat.numel())))
    return float(flat.kthvalue(rank).values)


def thinned(values: Tensor) -> Tensor:
    """Values with the same quantiles, few enough to try ranges on."""
    flat = values.flatten()
    every = -(-flat.numel() // _TRIED)
    return flat if every == 1 else flat.sort().values[every // 2 :: every]


def _least_ends(
    error: Callable[[float, float], float], lowest: float, highest: float
) -> tuple[float, float]:
    """Both ends of a range around zero moved inward to the least error, one after the other."""
    high = _least(lambda p: error(lowest, p), highest)
    return -_least(lambda p: error(-p, high), -lowest), high


def _least(error: Callable[[float], float], largest: float) -> float:
    """The size between 0 and `largest` with the least error, to a part in a thousand."""
    if not largest > 0:
        return largest
    shares = [k / 50 for k in range(50, 0, -1)]
    best = min(shares, key=lambda share: error(share * largest))
    near = [min(best + k / 1000, 1.0) for k in range(20, -20, -1) if best + k / 1000 > 0]
    return largest * min([best, *near], key=lambda share: error(share * largest))
