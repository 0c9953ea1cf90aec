"""An ADC or DAC with equidistant levels."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from memcore import ConfigError, Context, Converter, UniformLevels, parameter


@dataclass(frozen=True, kw_only=True)
class UniformConverter(Converter):
    """Mid-tread quantiser: zero is a level of a range that holds it, values outside saturate.

    The range is fixed at design time (`full_scale`) or calibrated on typical inputs, never taken
    from the batch at hand. A signed converter has 2^bits - 1 levels in [-peak, peak], an unsigned
    one 2^bits in [0, peak], and one with `symmetric=False` 2^bits in just the range that was asked
    for; where zero lies inside of it, one end is moved outward by less than a step.
    """

    bits: int = parameter(8, "1", "resolution in bits", within=(1, 24))
    symmetric: bool | None = parameter(
        None,
        "1",
        "True for [-peak, peak], False for [lowest, highest]; None for [-peak, peak] or, where no "
        "value is negative, [0, peak]",
    )
    calibration: Literal["max", "percentile"] = parameter(
        "max", "1", "whether the range covers all values seen or leaves out the tails"
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.symmetric and self.bits < 2:
            raise ConfigError(
                f"UniformConverter: bits={self.bits!r}; expected an integer from 2 to 24 if "
                "symmetric=True"
            )
        if self.full_scale is not None and not self._fixed()[0] < self._fixed()[1]:
            raise ConfigError(
                f"UniformConverter: full_scale={self.full_scale!r}; expected a peak > 0 or "
                "(lowest, highest)"
            )

    def _fixed(self) -> tuple[float, float]:
        assert self.full_scale is not None
        if isinstance(self.full_scale, int | float):
            return (0.0 if self.symmetric is False else -self.full_scale, float(self.full_scale))
        return (float(self.full_scale[0]), float(self.full_scale[1]))

    @property
    def of_all_values(self) -> bool:
        return self.full_scale is None and self.calibration == "percentile"

    def observe(self, values: Tensor) -> Tensor | None:
        if self.full_scale is not None:
            return values.new_tensor(self._fixed())
        if not values.numel():
            return None
        lowest, highest = map(float, values.aminmax())
        if self.calibration == "max":
            return values.new_tensor((lowest, highest))
        share = self.percentile / 100
        if self._is_signed(lowest):
            peak = _quantile(values.abs(), share)
            return values.new_tensor((-peak, peak))
        low = _quantile(values, 1 - share) if self.symmetric is False else 0.0
        return values.new_tensor((low, _quantile(values, share)))

    def _is_signed(self, lowest: float) -> bool:
        """Whether the range is [-peak, peak], for the lowest value to represent."""
        return lowest < 0 and self.bits > 1 if self.symmetric is None else self.symmetric

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del ctx
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
