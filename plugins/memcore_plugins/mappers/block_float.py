"""Weights as integers with an exponent for each column of an array: block floating point."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import Context, Mapped, Memristor, parameter
from memcore_plugins.mappers._slices import Sliced


@dataclass(frozen=True, kw_only=True)
class BlockFloat(Sliced):
    """Block floating point: the weights of one column of an array share an exponent.

    A weight is `w = code 2^e` with an integer code of B bits. The exponent e of a block, the
    weights on one bit line of one array, is the least with which its largest code fits. Codes lie
    in slices as those of `bit_slice`; behind the ADC the result of each array is shifted by its
    exponent before it is added, which no multiplier is needed for.
    """

    encoding: Literal["differential", "offset", "twos_complement"] = parameter(
        "differential",
        "1",
        "how the sign is kept: differential, the magnitude in B - 1 bits on two columns; offset, "
        "code + 2^(B-1) beside reference columns that hold 2^(B-1); twos_complement, the top bit "
        "counting negative",
    )
    exponent_bits: int = parameter(
        4,
        "1",
        "bits of an exponent, counted down from that of the largest block; smaller blocks have the "
        "least that there is",
        within=(1, 8),
    )

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        highest = 2 ** (self.weight_bits - 1) - 1
        rows = weight.shape[1] if ctx.tile is None else ctx.tile[0]
        peaks = [
            block.abs().amax((0, 1)).expand(block.shape[1:])
            for block in torch.split(weight, rows, 1)
        ]
        step = self._step(torch.cat(peaks) / highest)
        code = (weight / step).round().clamp(-highest, highest)
        return self.slices(code, step, device)

    def _step(self, least: Tensor) -> Tensor:
        """The powers of two that are at least this, as far as exponents reach."""
        largest = least.max()
        whole = torch.where(largest > 0, largest, torch.ones_like(largest))
        top = whole.log2().ceil()
        exponent = torch.where(least > 0, least, whole).log2().ceil()
        exponent = torch.where(least > 0, exponent, -torch.inf)
        return torch.exp2(exponent.clamp(min=top - (2**self.exponent_bits - 1)))
