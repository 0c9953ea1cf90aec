"""Cells in the order of the weights, which only a training writes."""

from typing import Final

import torch
from torch import Tensor, nn

from memcore.crossbar.readers.noise import numbered, numbers_of
from memcore.crossbar.readers.periphery import Periphery
from memcore.crossbar.readers.phases import drive
from memcore.ops import rehearsal
from memcore.ops._library import is_plain
from memcore.ops.crossbar_mvm import pack
from memcore.ops.crossbar_read import Columns, crossbar_read, narrow, narrows
from memcore.ops.windows import Images
from memcore.random import ReadStream

#: Currents of one block of inputs.
_CURRENTS: Final = 1 << 20


class InOrder(nn.Module):
    """Reads of cells in the order of the weights.

    One kernel multiplies, draws, converts and adds; without it, the currents of each tile are in
    memory.

    Args:
        cells: levels of their pairs, or what these stand for in the weight's domain.
        around: converters and units.
    """

    pairs: Tensor
    variance: Tensor | None
    gain: Tensor

    def __init__(self, cells: rehearsal.Known, around: Periphery) -> None:
        super().__init__()
        self.around, self.dac, self.constant = around, around.dac, around.constant
        for name in ("pairs", "variance", "gain"):
            self.register_buffer(name, getattr(cells, name), persistent=False)
        self._levels = cells.levels
        #: Whether variances are rounded as the kernels of this machine do it.
        self.rounds = cells.variance is not None and narrows(cells.pairs)
        self._is_exact = around.adc is None and cells.variance is None
        self._is_fused = around.is_fused and is_plain(cells.pairs)
        #: Whether the windows of images are read without writing them out.
        self.reads_images = self._is_fused and not self._is_exact and around.converts
        self._columns: Columns | None = None

    @property
    def known(self) -> rehearsal.Known:
        """The cells."""
        return rehearsal.Known(self.pairs, self.variance, self.gain, self._levels)

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        return self.known.folded

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: what drives the word lines, if it is known already.
        """
        around = self.around
        fuses = self._is_fused and is_plain(x) and bool(x.numel())
        if fuses and around.converts:
            return self._fused(x, reads, converts=True)
        if lines is None:
            lines = drive(x if self.dac is None else self.dac(x), around.constant)
        if fuses:
            return self._fused(lines, reads, converts=False)
        if self._is_exact:
            return torch.einsum("ngk,gok->ngo", lines, self.folded)
        groups, outputs, _ = self.pairs.shape
        block = max(1, _CURRENTS // (groups * outputs * around.plan.row_groups))
        pieces = [
            self._read(lines[k : k + block], reads + k) for k in range(0, max(1, len(x)), block)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def convolve(self, images: Images, reads: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs of images as `Tiled.convolve` has them, if `reads_images`."""
        x, window, channels_first = images
        if self._columns is None:
            self._columns = self._laid_out()
        numbers = None if self.variance is None else numbered(reads, images.reads)
        y = crossbar_read(
            x,
            self._columns,
            window=window,
            reads=numbers,
            bias=bias,
            channels_first=channels_first,
        )
        if channels_first:
            return y
        return y.view(x.shape[0], *images.positions, -1).movedim(-1, 1)

    def _fused(self, x: Tensor, reads: Tensor, *, converts: bool) -> Tensor:
        numbers = None if self.variance is None else numbers_of(reads)
        y = rehearsal.read(self.known, self._terms(converts=converts), x, numbers)
        assert y is not None
        return y

    def _terms(self, *, converts: bool) -> rehearsal.Terms:
        return self.around.terms(converts=converts, narrow=self.rounds)

    def _laid_out(self) -> Columns:
        """The cells as the kernel that reads images takes them."""
        t, (groups, outputs, _) = self._terms(converts=True), self.pairs.shape
        units, level = t.units(self.gain), self.known.unit
        return Columns(
            pack(_by_inputs(self.pairs, units.factor if level is None else None)),
            self._laid_variance(t, units),
            units.codes,
            units.scale if len(units.scale) == 1 else units.scale.repeat(groups),
            outputs,
            t.tile_rows,
            *((1.0, 0.0) if t.adc is None else t.adc[1:]),
            t.key,
            unit=None if level is None else _each(level * units.factor, outputs).repeat(groups),
        )

    def _laid_variance(self, terms: rehearsal.Terms, units: rehearsal.Units) -> Tensor | None:
        if self.variance is None:
            return None
        columns = _by_inputs(self.variance, units.square)
        return narrow(columns, terms.tile_rows) if self.rounds else pack(columns)

    def _read(self, lines: Tensor, reads: Tensor) -> Tensor:
        v, t = self._cut(lines), self._terms(converts=False)
        current = torch.einsum("ngtk,gotk->ngto", v, self._cut(self.folded))
        if self.variance is not None:
            sigma = self._deviation(v, self.variance)
            draws = ReadStream(self.around.key, numbered(reads, len(v))).normal(sigma.shape[1:])
            current.add_(sigma * draws.to(sigma.dtype))
        if t.adc is not None:
            scale = t.units(self.gain).scale
            codes = current.div_(scale).round_().clamp(*t.adc[1:])  # clamp_ is not mapped over
            return codes.sum(2).mul_(scale)
        return current.sum(2)

    def _deviation(self, v: Tensor, variance: Tensor) -> Tensor:
        """Standard deviations [n, groups, tiles, outputs] of currents, in units of the outputs."""
        if not self.rounds:
            sums = torch.einsum("ngtk,gotk->ngto", v.square(), self._cut(variance))
            return sums.sqrt_().mul_(self.gain)
        units = self._terms(converts=self.around.converts).units(self.gain)
        codes = v if self.dac is None or not self.around.converts else (v * units.codes[0]).round()
        factors = codes.square(), self._cut(variance * units.square.unsqueeze(1))
        rounded = [each.to(torch.bfloat16).to(v.dtype) for each in factors]
        return torch.einsum("ngtk,gotk->ngto", *rounded).sqrt_().mul_(units.scale)

    def _cut(self, x: Tensor) -> Tensor:
        """The inputs, the last dimension, of each group of word lines that is converted."""
        return x.unsqueeze(-2) if self.around.adc is None else self.around.plan.cut(x, -1)


def _by_inputs(matrix: Tensor, factor: Tensor | None) -> Tensor:
    """Cells [groups, outputs, inputs] times a factor, [1] or [outputs], inputs first."""
    return (matrix if factor is None else matrix * factor.unsqueeze(1)).transpose(1, 2)


def _each(value: Tensor, outputs: int) -> Tensor:
    """The value of each output, [1] or [outputs]."""
    return value if len(value) == outputs else value.expand(outputs)
