"""Weights as integers, whose digits lie in cells of their own: bit slices."""

from dataclasses import dataclass

from torch import Tensor

from memcore import Context, Mapped, Memristor, parameter
from memcore_plugins.mappers._scale import Scaled
from memcore_plugins.mappers._slices import Sliced


@dataclass(frozen=True, kw_only=True)
class BitSlice(Scaled, Sliced):
    """Slices of a weight, each in a lane with an ADC of its own.

    A weight is rounded to an integer code of B bits, `w = step * code`, with `step = w_max /
    (2^(B-1) - 1)`. The code is cut into digits of c bits; a digit d is the conductance `g_min +
    (g_max - g_min) d / (2^c - 1)`, and a digital adder sums the slices by their places. With
    ideal cells and lossless converters the result is the product of the integers.
    """

    w_max: float | None = parameter(
        None,
        "1",
        "weight that the largest code stands for, fixed at design time; None takes it from the "
        "weights, as `clip` and `scale` say",
        above=0,
    )

    @property
    def _steps(self) -> int:
        highest: int = 2 ** (self.weight_bits - 1) - 1
        return highest

    def peak_of(self, weight: Tensor, scale: str) -> Tensor:
        if self.w_max is not None:
            return weight.new_tensor(self.w_max)
        return super().peak_of(weight, scale)

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        highest = self._steps
        references = int(self.encoding != "differential")
        peak = self.largest(weight, ctx, references)
        if self.encoding == "midpoint":
            step = peak / (highest + 0.5)
            code = (weight / step + (highest + 0.5)).round().clamp(0, 2 * highest + 1)
            # Else zeros would be half a step.
            step = step * (self.peak(weight, ctx, references) > 0)
        else:
            step = peak / highest
            code = (weight / step).round().clamp(self._lowest, highest)
        return self.slices(code, step, device)
