"""Any effects and converters: with the currents of every tile, or of every bit line, in memory."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.forms import SerialLevels
from memcore.contracts.mapper import Part, added, subtracted
from memcore.contracts.transfer import Transfer
from memcore.crossbar.effects import Effects
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.noise import CellNoise, Source, numbered
from memcore.crossbar.readers.phases import drive, in_phases
from memcore.crossbar.together import process
from memcore.random import ReadStream

#: Currents of one block of inputs.
_CURRENTS: Final = 1 << 20


#: For each digitised value a form that draws noise and the key of its draws; empty for none.
Noises = tuple[tuple[Transfer, int] | None, ...]


class Electrical(nn.Module):
    """Reads of arrays as circuits, converter by converter.

    Linear products with at most Gaussian noise of the cells keep the matrices of each digitised
    value; everything else goes through the effects at every read.

    Args:
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        effective: what multiplies the voltages, [arrays, rows, cols] S.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        effects: of the cells, which own them.
        converters: quantisers of the inputs and of the currents, None where there are none, and
            for each digitised value the noise of its conversions, if any has noise.
        noise: of the cells, if reads are products with noise; None for none.
        parts: how parts add up to lanes.
        gain: weight for one siemens of net conductance in each lane, [lanes], [lanes, cols] or
            [lanes, rows, cols].
        volts: V for an input of 1.
        plan: phases of the input, groups of word lines, lanes.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    folded: Tensor
    gain: Tensor
    tile_gain: Tensor | None
    matrices: Tensor | None
    settled: Tensor | None
    effective: Tensor | None
    variance: Tensor | None
    _sources: tuple[Source, ...]

    def __init__(
        self,
        settled: Tensor,
        effective: Tensor,
        folded: Tensor,
        effects: Effects | LaneEffects,
        converters: tuple[nn.Module | None, nn.Module | None, Noises],
        noise: CellNoise | None,
        parts: tuple[Part, ...],
        gain: Tensor,
        volts: float,
        plan: ReadPlan,
        *,
        constant: bool,
    ) -> None:
        super().__init__()
        self.dac, self.adc, self._conversions = converters
        self._effects = (effects,)  # not a submodule: the cells own it
        self.parts, self.volts, self.plan, self.constant = parts, volts, plan, constant
        #: Called with all currents before the ADC, for its calibration.
        self.watch: Callable[[Tensor], None] | None = None
        self._keep("folded", folded)
        products = effects.is_product
        by_tile = gain.dim() == 3
        self._keep("gain", gain.new_ones(len(gain)) if by_tile else gain)
        self._keep("tile_gain", self._of_groups(gain, products) if by_tile else None)
        joined = plan.tiling.join(effective) if products else None
        self._keep("matrices", None if joined is None else self._values(joined))
        self._keep("settled", None if products else settled)
        self._keep("effective", None if products or effective is settled else effective)
        self._sources: tuple[Source, ...] = () if noise is None else noise.sources
        self._keep("variance", None if noise is None else noise.variance)

    def _of_groups(self, gain: Tensor, products: bool) -> Tensor:
        """The gain of each value in each group of word lines, [values, 1, 1, groups, cols]."""
        plan, t = self.plan, self.plan.tiling
        (effects,) = self._effects
        whole = plan.adc_bits is None and not products and not effects.lines
        first = range(0, t.rows, t.array_rows) if whole else plan.first_rows
        return gain[list(plan.values)][:, list(first)][:, None, None]

    def _keep(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        x: Tensor,
        reads: Tensor,
        lines: Tensor | None = None,
    ) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: what drives the word lines, if it is known already.
        """
        block = self._block()
        # `len` would make the batch of a graph a constant.
        if block is None or block >= x.shape[0]:
            return self._read(x, reads, lines)
        pieces = [
            self._read(
                x[k : k + block],
                (reads[k : k + block] if reads.dim() else reads) + k,
                None if lines is None else lines[k : k + block],
            )
            for k in range(0, len(x), block)
        ]
        return torch.cat(pieces)

    def _block(self) -> int | None:
        """How many inputs are read together: so many that memory for their currents is bounded.

        None stands for all of them. Noise is that of the numbers of the reads, whatever the blocks.
        Who watches the currents sees those of all inputs together.
        """
        if self.watch is not None or torch.compiler.is_compiling():
            return None
        t, values = self.plan.tiling, len(self.plan.values)
        return max(1, _CURRENTS // (values * t.groups * self.plan.row_groups * t.cols))

    def _read(self, x: Tensor, reads: Tensor, lines: Tensor | None) -> Tensor:
        phases = self._phases(x, lines)
        _, ranks = process()
        numbers = numbered(reads, x.shape[0], len(phases))
        total = None
        for index, (values, place) in enumerate(phases):
            current = self.watched(values, numbers + index * ranks)
            digital = self.summed(self._digitised(current, numbers + index * ranks))
            part = digital if place == 1.0 else place * digital
            total = part if total is None else total + part
        assert total is not None
        return self.added(total)

    def watched(self, driven: Tensor, numbers: Tensor) -> Tensor:
        """As `currents`, which `watch` sees."""
        current = self.currents(driven, numbers)
        if self.watch is not None:
            self.watch(current)
        return current

    def _digitised(self, current: Tensor, numbers: Tensor) -> Tensor:
        return self.converted(self.unsure(current, numbers))

    def unsure(self, current: Tensor, numbers: Tensor) -> Tensor:
        """Currents with the noise of their conversions."""
        if self.adc is None or not self._conversions:
            return current
        pairs = zip(current, self._conversions, strict=True)
        return torch.stack(
            [self._unsure(k, each, noise, numbers) for k, (each, noise) in enumerate(pairs)]
        )

    def converted(self, current: Tensor) -> Tensor:
        """What the ADC makes of currents."""
        return current if self.adc is None else self.adc(current)

    def summed(self, digital: Tensor) -> Tensor:
        """Digitised values of all groups of word lines added up, [values, n, groups, cols] A."""
        if self.tile_gain is not None:
            digital = digital * self.tile_gain
        return digital.sum(3)

    def _unsure(
        self, value: int, current: Tensor, noise: tuple[Transfer, int] | None, numbers: Tensor
    ) -> Tensor:
        """Currents [n, groups, groups of word lines, cols] with the noise of conversions.

        A reference column is converted once for all outputs of its array.
        """
        if noise is None:
            return current
        form, key = noise
        t = self.plan.tiling
        step = t.data_cols if self.plan.per_column and t.shared[value] else 1
        shape = (*current.shape[1:-1], -(-t.cols // step))
        draws = ReadStream(key, numbers).normal(shape).to(current.dtype)
        return current + form.sigma * draws.repeat_interleave(step, -1)[..., : t.cols]

    def _phases(self, x: Tensor, lines: Tensor | None) -> list[tuple[Tensor, float]]:
        """What drives the word lines in each phase, and what the phase counts for."""
        if isinstance(self.dac, SerialLevels):
            return in_phases(self.dac, x, self.constant)
        if lines is None:
            lines = drive(x if self.dac is None else self.dac(x), self.constant)
        return [(lines, 1.0)]

    def currents(self, driven: Tensor, numbers: Tensor) -> Tensor:
        """Currents before the ADC, [values, n, groups, groups of word lines, cols] A.

        Args:
            driven: what drives the word lines, [n, groups, rows], in units of the inputs.
            numbers: of the reads, int64 [n].
        """
        voltage = driven * self.volts
        if self.matrices is not None:
            return self._products(voltage, numbers)
        assert self.settled is not None
        (effects,) = self._effects
        tiling, pieces = self.plan.tiling, []
        for group, (lines, tiles) in enumerate(self._groups(tiling.spread(voltage))):
            current = effects.currents(lines, self.settled, numbers, self.effective, group)
            pieces.append(self._values(tiling.gather(current)[:, :, :, :tiles]))
        return pieces[0] if len(pieces) == 1 else self._joined(pieces)

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        """All groups of word lines, in the order of the tiles where converters differ."""
        forms = () if self.adc is None else self.adc.modules()
        if self.tile_gain is None and not any(isinstance(form, Transfer) for form in forms):
            return torch.cat(pieces, dim=3)
        places = [(tile, k) for k, piece in enumerate(pieces) for tile in range(piece.shape[3])]
        order = sorted(range(len(places)), key=places.__getitem__)
        return torch.cat(pieces, dim=3)[:, :, :, order]

    def _groups(self, v: Tensor) -> list[tuple[Tensor, int]]:
        """Word-line voltages [n, arrays, rows] of one group at a time, the others at 0 V.

        With each, the number of tiles that have such a group: a shorter last one may not.
        """
        rows, at_once, tiles = v.shape[-1], self.plan.group_rows, self.plan.tiling.row_tiles
        (effects,) = self._effects
        is_one_sum = self.plan.adc_bits is None and not effects.lines
        if is_one_sum or at_once >= rows:
            return [(v, tiles)]
        at, groups = torch.arange(rows, device=v.device), []
        for k in range(0, rows, at_once):
            lines = torch.where((at >= k) & (at < k + at_once), v, 0.0)
            groups.append((lines, tiles - (k >= self.plan.last_rows)))
        return groups

    def added(self, digital: Tensor) -> Tensor:
        """Outputs [n, groups, cols] of digitised values [values, n, groups, cols] A."""
        lanes = subtracted(digital, self.parts) if self.plan.per_column else digital
        return added(lanes, self.gain / self.volts)

    def _values(self, parts: Tensor) -> Tensor:
        """What an ADC sees: each part, or each lane after the analogue sum of its parts."""
        return parts if self.plan.per_column else subtracted(parts, self.parts)

    def _products(self, voltage: Tensor, numbers: Tensor) -> Tensor:
        assert self.matrices is not None
        v = self._cut(voltage, -1)
        current = torch.einsum("ngtk,pgtko->pngto", v, self._cut(self.matrices, -2))
        return current if self.variance is None else self._noisy(current, v, numbers)

    def _noisy(self, current: Tensor, v: Tensor, numbers: Tensor) -> Tensor:
        """Currents with the noise of the cells.

        The sum of independent normal draws of the cells of a column is one normal draw with the
        summed variance: exact in distribution, with `rows` times fewer draws.

        Args:
            current: [values, n, groups, groups of word lines, cols] A.
            v: of the word lines, [n, groups, groups of word lines, rows] V.
            numbers: of the reads, int64 [n].
        """
        t, squares, (effects,) = self.plan.tiling, v.square(), self._effects
        values = list(current)
        for index, (value, sign, shared) in enumerate(self._sources):
            step = t.data_cols if shared else 1
            assert self.variance is not None
            cells = self._cut(self.variance[index, :, :, ::step], -2)
            sigma = torch.einsum("ngtk,gtko->ngto", squares, cells).sqrt()
            draws = ReadStream(effects.noise_key + index, numbers).normal(sigma.shape[1:])
            noise = torch.mul(sigma, draws.to(v.dtype))
            if shared:
                noise = noise.repeat_interleave(step, -1)[..., : t.cols]
            values[value] = torch.add(values[value], noise, alpha=sign)
        return torch.stack(values)

    def _cut(self, x: Tensor, dim: int) -> Tensor:
        """Groups of word lines; without an ADC nothing happens between them."""
        if self.plan.adc_bits is None and self.tile_gain is None:
            return x.unsqueeze(dim - 1)
        return self.plan.cut(x, dim)
