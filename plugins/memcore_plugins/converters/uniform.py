"""An ADC or DAC with equidistant levels."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from memcore import ConfigError, Context, Converter, UniformLevels, parameter


@dataclass(frozen=True, kw_only=True)
class UniformConverter(Converter):
    """Mid-tread quantiser: zero is a level, values outside the range saturate.

    The range is fixed at design time (`full_scale`) or calibrated on typical inputs, never taken
    from the batch at hand.
    """

    bits: int = parameter(8, "1", "resolution in bits", within=(1, 24))
    symmetric: bool = parameter(
        True,
        "1",
        "whether there are 2^bits - 1 levels in [-peak, peak], or 2^bits in [lowest, highest]",
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
            return (-self.full_scale if self.symmetric else 0.0, float(self.full_scale))
        return (float(self.full_scale[0]), float(self.full_scale[1]))

    def observe(self, values: Tensor) -> Tensor | None:
        if self.full_scale is not None:
            return values.new_tensor(self._fixed())
        if not values.numel():
            return None
        if self.calibration == "max":
            return values.new_tensor((float(values.min()), float(values.max())))
        if self.symmetric:
            peak = _quantile(values.abs(), self.percentile / 100)
            return values.new_tensor((-peak, peak))
        share = self.percentile / 100
        return values.new_tensor((_quantile(values, 1 - share), _quantile(values, share)))

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del ctx
        lowest, highest = full_scale.tolist()
        if self.symmetric:
            top = 2 ** (self.bits - 1) - 1
            peak = max(abs(lowest), abs(highest)) or 1.0
            return UniformLevels(full_scale.new_tensor([peak / top]), -top, top)
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
        steps = 2**self.bits - 1
        step = (highest - lowest) / steps or 1.0
        first = round(lowest / step)
        return UniformLevels(full_scale.new_tensor([step]), first, first + steps)


def _quantile(values: Tensor, share: float) -> float:
    flat = values.flatten()
    rank = min(flat.numel(), max(1, math.ceil(share * flat.numel())))
    return float(flat.kthvalue(rank).values)
