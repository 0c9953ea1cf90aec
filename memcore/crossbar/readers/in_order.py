"""Cells in the order of the weights, which only a training writes."""

from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.forms import UniformLevels
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.readers.phases import drive
from memcore.random import ReadStream

#: Currents of one block of inputs.
_CURRENTS: Final = 1 << 20


class InOrder(nn.Module):
    """Reads of cells in the order of the weights, with the currents of each tile in memory.

    Args:
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        variance: S^2 of the noise of a read, of all cells of a weight; None without any.
        gain: weight for one siemens, [1] or [outputs].
        key: of the draws of a read.
        dac: quantiser of the inputs, None if they are applied exactly.
        adc: levels of the currents in A, None without an ADC.
        volts: V for an input of 1.
        plan: groups of word lines.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    folded: Tensor
    variance: Tensor | None
    gain: Tensor
    step: Tensor | None

    def __init__(
        self,
        folded: Tensor,
        variance: Tensor | None,
        gain: Tensor,
        key: int,
        dac: nn.Module | None,
        adc: UniformLevels | None,
        volts: float,
        plan: ReadPlan,
        *,
        constant: bool,
    ) -> None:
        super().__init__()
        self.key, self.dac, self.plan, self.constant = key, dac, plan, constant
        self.lo, self.hi = (0.0, 0.0) if adc is None else (adc.lo, adc.hi)
        self._keep("folded", folded)
        self._keep("variance", variance)
        self._keep("gain", gain)
        self._keep("step", None if adc is None else adc.step * (gain / volts))

    def _keep(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: what drives the word lines, if it is known already.
        """
        if lines is None:
            lines = drive(x if self.dac is None else self.dac(x), self.constant)
        if self.step is None and self.variance is None:
            return torch.einsum("ngk,gok->ngo", lines, self.folded)
        groups, outputs, _ = self.folded.shape
        block = max(1, _CURRENTS // (groups * outputs * self.plan.row_groups))
        pieces = [
            self._read(lines[k : k + block], reads + k) for k in range(0, max(1, len(x)), block)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _read(self, lines: Tensor, reads: Tensor) -> Tensor:
        v = self._cut(lines)
        current = torch.einsum("ngtk,gotk->ngto", v, self._cut(self.folded))
        if self.variance is not None:
            sigma = torch.einsum("ngtk,gotk->ngto", v.square(), self._cut(self.variance)).sqrt_()
            draws = ReadStream(self.key, numbered(reads, len(v))).normal(sigma.shape[1:])
            current.addcmul_(sigma.mul_(self.gain), draws.to(sigma.dtype))
        if self.step is not None:
            current.div_(self.step).round_().clamp_(self.lo, self.hi)
            return current.sum(2).mul_(self.step)
        return current.sum(2)

    def _cut(self, x: Tensor) -> Tensor:
        """The inputs, the last dimension, of each group of word lines that is converted."""
        return x.unsqueeze(-2) if self.step is None else self.plan.cut(x, -1)
