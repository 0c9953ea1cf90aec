"""Cells in the order of the weights, which only a training writes."""

from typing import Final

import torch
from torch import Tensor, nn

from memcore import native
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.readers.phases import drive
from memcore.ops._library import is_plain
from memcore.ops.crossbar_mvm import pack
from memcore.ops.crossbar_read import Columns, crossbar_read
from memcore.ops.windows import Images
from memcore.random import ReadStream

#: Currents of one block of inputs.
_CURRENTS: Final = 1 << 20


class InOrder(nn.Module):
    """Reads of cells in the order of the weights.

    One kernel multiplies, draws, converts and adds; without it, the currents of each tile are in
    memory.

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
        self._is_exact = adc is None and variance is None
        fits = adc is None or plan.groups_are_even
        self._is_fused = native.cpu() is not None and fits and is_plain(folded)
        #: Whether the windows of images are read without writing them out.
        self.reads_images = self._is_fused and not self._is_exact and self._converts
        self._columns: dict[bool, Columns] = {}

    def _keep(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    @property
    def _converts(self) -> bool:
        """Whether the kernel makes of inputs what drives the word lines."""
        dac = self.dac
        if not isinstance(dac, UniformLevels):
            return dac is None and not self.constant
        is_one = dac.step.numel() == 1 and not dac.offset
        return is_one and not isinstance(dac, SerialLevels) and not self.constant

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: what drives the word lines, if it is known already.
        """
        fuses = self._is_fused and not self._is_exact and x.dtype is self.folded.dtype
        if fuses and self._converts:
            return crossbar_read(x, self._laid(True), reads=self._numbers(reads, len(x)))
        if lines is None:
            lines = drive(x if self.dac is None else self.dac(x), self.constant)
        if fuses:
            return crossbar_read(lines, self._laid(False), reads=self._numbers(reads, len(x)))
        if self._is_exact:
            return torch.einsum("ngk,gok->ngo", lines, self.folded)
        groups, outputs, _ = self.folded.shape
        block = max(1, _CURRENTS // (groups * outputs * self.plan.row_groups))
        pieces = [
            self._read(lines[k : k + block], reads + k) for k in range(0, max(1, len(x)), block)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def convolve(self, images: Images, reads: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs of images as `Tiled.convolve` has them, if `reads_images`."""
        x, window, channels_first = images
        y = crossbar_read(
            x,
            self._laid(True),
            window=window,
            reads=self._numbers(reads, images.reads),
            bias=bias,
            channels_first=channels_first,
        )
        if channels_first:
            return y
        return y.view(x.shape[0], *images.positions, -1).movedim(-1, 1)

    def _numbers(self, reads: Tensor, count: int) -> Tensor | None:
        return None if self.variance is None else numbered(reads, count)

    def _laid(self, converts: bool) -> Columns:
        """The cells as the kernel takes them, a code of the DAC as an input if it `converts`."""
        if converts not in self._columns:
            self._columns[converts] = self._laid_out(converts and self.dac is not None)
        return self._columns[converts]

    def _laid_out(self, converts: bool) -> Columns:
        groups, outputs, _ = self.folded.shape
        unit, codes = self.folded.new_ones(1), [0.0, 0.0, 0.0]
        if converts:
            assert isinstance(self.dac, UniformLevels)
            unit, codes = self.dac.step, [float(1 / self.dac.step), self.dac.lo, self.dac.hi]
        factor = unit if self.step is None else unit / self.step
        scale, has_adc = self.folded.new_ones(1), self.step is not None
        if self.step is not None:
            scale = self.step if len(self.step) == 1 else self.step.repeat(groups)
        noise = None
        if self.variance is not None:
            noise = _packed(self.variance, (self.gain * factor).square())
        return Columns(
            _packed(self.folded, factor),
            noise,
            self.folded.new_tensor(codes),
            scale,
            outputs,
            self.plan.group_rows if has_adc else max(1, self.plan.tiling.rows),
            self.lo if has_adc else 1.0,
            self.hi if has_adc else 0.0,
            self.key,
        )

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


def _packed(matrix: Tensor, factor: Tensor) -> Tensor:
    """Cells [groups, outputs, inputs] times a factor, [1] or [outputs], for the kernel."""
    return pack((matrix * factor.unsqueeze(1)).transpose(1, 2))
