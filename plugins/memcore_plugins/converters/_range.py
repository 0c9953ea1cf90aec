"""What the bundled converters share: the range, fixed or from values, and its levels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Converter, UniformLevels, parameter

#: Values on which the error of a range is tried; on fewer at first.
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
            return values.new_tensor(self._of_least_error(values))
        share = self.percentile / 100
        if self._is_signed(lowest):
            peak = _quantile(values.abs(), share)
            return values.new_tensor((-peak, peak))
        low = _quantile(values, 1 - share) if self.symmetric is False else 0.0
        return values.new_tensor((low, _quantile(values, share)))

    def _is_signed(self, lowest: float) -> bool:
        """Whether the range is [-peak, peak], for the lowest value to represent."""
        return lowest < 0 and self.bits > 1 if self.symmetric is None else self.symmetric

    def _of_least_error(self, values: Tensor) -> tuple[float, float]:
        """The range whose levels have the least mean squared error for these values."""
        flat = values.flatten().sort().values
        fine, coarse = _thinned(flat, _TRIED), _thinned(flat, _TRIED >> 4)
        lowest, highest = float(flat[0]), float(flat[-1])

        def least(ends: Callable[[float], tuple[float, float]], largest: float) -> float:
            def error(some: Tensor, size: float) -> float:
                form = self.levels(some.new_tensor(ends(size)))
                return float((form(some) - some).square().mean())

            return _least(lambda size: error(coarse, size), lambda size: error(fine, size), largest)

        if self._is_signed(lowest):
            peak = least(lambda size: (-size, size), max(abs(lowest), abs(highest)))
            return -peak, peak
        if self.symmetric is not False or lowest >= 0 or highest <= 0:
            low = 0.0 if self.symmetric is not False else lowest
            return low, low + least(lambda size: (low, low + size), highest - low)
        # One end after the other.
        high = least(lambda size: (lowest, size), highest)
        low = -least(lambda size: (-size, high), -lowest)
        return low, least(lambda size: (low, size), highest)

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
        """The levels of a range, [2] (lowest, highest).

        Raises:
            ConfigError: one bit is to represent values of both signs.
        """
        lowest, highest = full_scale.tolist()
        if self.bits < 2 and lowest < 0 < highest:
            raise ConfigError(
                f"{type(self).__name__}: bits=1 has the levels 0 and one more, and the range goes "
                f"from {lowest:.3g} to {highest:.3g}; expected bits=2 or more, of which one is the "
                "sign, or values of one sign, as behind a ReLU"
            )
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

    least, most = int(lowest < 0), steps - int(highest > 0)  # the share of a tiny end rounds to 0
    near = {min(max(each, least), most) for each in (math.floor(share), math.ceil(share))}
    below = min(near, key=step)
    return below, step(below) or 1.0


def _quantile(values: Tensor, share: float) -> float:
    flat = values.flatten()
    rank = min(flat.numel(), max(1, math.ceil(share * flat.numel())))
    return float(flat.kthvalue(rank).values)


def _thinned(ordered: Tensor, count: int) -> Tensor:
    """At most so many of the sorted values, with the same quantiles."""
    every = -(-ordered.numel() // count)
    return ordered[every // 2 :: every]


def _least(
    coarse: Callable[[float], float], fine: Callable[[float], float], largest: float
) -> float:
    """The size between 0 and `largest` with the least error, to 0.4 % of `largest`.

    Args:
        coarse: error of a size by few values.
        fine: error of a size by many.
        largest: largest size.
    """
    if not largest > 0:
        return largest
    best = min((k / 50 for k in range(50, 0, -1)), key=lambda share: coarse(share * largest))
    near = [share for k in range(10, -11, -1) if 0 < (share := best + k / 250) <= 1]
    return largest * min([*near, 1.0], key=lambda share: fine(share * largest))
