"""A DAC that applies inputs a few bits at a time."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from memcore import Context, SerialLevels, parameter
from memcore_plugins.converters._range import Ranged


@dataclass(frozen=True, kw_only=True)
class BitSerial(Ranged):
    """Inputs digit by digit, the lowest first, with a digital sum over the phases.

    An input is rounded to the codes of `uniform` with the same bits and range. Each phase drives
    the word lines with one digit of `bits_per_step` bits, each with conversions of its own, and the
    digital adder counts it by its place. With ideal cells and a lossless ADC the sum is what
    `uniform` gives.

    A digit of all ones drives the whole read voltage, and a step has no more bits than the largest
    magnitude: codes of 4 bits with a sign are applied in one phase, in steps of 1/7 of the read
    voltage, with any `bits_per_step` from 3. The last phase applies what is left, less than the
    whole voltage where the bits of the magnitude are no multiple of those of a step: the DAC is
    the same one.
    """

    bits_per_step: int = parameter(
        1,
        "1",
        "bits of an input that one phase applies, resolution of the DAC; more than a magnitude "
        "has are not used",
        within=(1, 8),
    )
    signed: Literal["magnitude", "split", "twos_complement"] = parameter(
        "magnitude",
        "1",
        "how negative inputs are applied: magnitude, digits with the sign of the input; split, "
        "positive inputs in phases before negative ones; twos_complement, the sign bit in a phase "
        "of its own, which counts negative, also where symmetric=False",
    )

    @property
    def resolution(self) -> int:
        return min(self.bits_per_step, self.bits)

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del ctx
        # Every digit counts from zero, so that the range holds it.
        with_zero = torch.stack([full_scale[0].clamp(max=0), full_scale[1].clamp(min=0)])
        levels = self.levels(with_zero)
        step, lo, hi = levels.step, levels.lo, levels.hi
        if lo < 0 and self.signed == "twos_complement":
            hi = 2.0 ** (self.bits - 1) - 1
            lo, step = -hi - 1, full_scale.abs().max().reshape(1) / max(hi, 1.0)
        return SerialLevels(step, lo, hi, bits_per_step=self.bits_per_step, signed=self.signed)
