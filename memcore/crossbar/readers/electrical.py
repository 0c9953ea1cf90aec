"""Any effects and converters: with the currents of every tile, or of every bit line, in memory."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from memcore.contracts.forms import SerialLevels
from memcore.contracts.mapper import Part, added, subtracted
from memcore.crossbar.effects import Effects, sensitivity
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.phases import drive, in_phases
from memcore.random import ReadStream


class Electrical(nn.Module):
    """Reads of arrays as circuits, converter by converter.

    Linear products with at most Gaussian noise of the cells keep the matrices of each digitised
    value; everything else goes through the effects at every read.

    Args:
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        effective: what multiplies the voltages, [arrays, rows, cols] S.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        effects: of the cells, which own them.
        converters: quantisers of the inputs and of the currents, None where there are none.
        parts: how parts add up to lanes.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        volts: V for an input of 1.
        plan: phases of the input, groups of word lines, lanes.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    folded: Tensor
    gain: Tensor
    matrices: Tensor | None
    settled: Tensor | None
    effective: Tensor | None

    def __init__(
        self,
        settled: Tensor,
        effective: Tensor,
        folded: Tensor,
        effects: Effects,
        converters: tuple[nn.Module | None, nn.Module | None],
        parts: tuple[Part, ...],
        gain: Tensor,
        volts: float,
        plan: ReadPlan,
        *,
        constant: bool,
    ) -> None:
        super().__init__()
        self.dac, self.adc = converters
        self._effects = (effects,)  # not a submodule: the cells own it
        self.parts, self.volts, self.plan, self.constant = parts, volts, plan, constant
        #: Called with all currents before the ADC, for its calibration.
        self.watch: Callable[[Tensor], None] | None = None
        self._keep("folded", folded)
        self._keep("gain", gain)
        products = effects.is_product
        joined = plan.tiling.join(effective) if products else None
        self._keep("matrices", None if joined is None else self._values(joined))
        self._keep("settled", None if products else settled)
        self._keep("effective", None if products or effective is settled else effective)
        for index, (form, _) in enumerate(effects.noises if products else ()):
            variance = form.variance(settled).expand_as(settled)
            if effective is not settled:
                variance = variance * sensitivity(effective, settled).square()
            self._keep(f"variance_{index}", plan.tiling.join(variance))

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
        phases = self._phases(x, lines)
        rank, ranks = _rank()
        count = torch.arange(x.shape[0], device=reads.device)
        numbers = len(phases) * (reads + count) * ranks + rank
        total = None
        for index, (values, place) in enumerate(phases):
            current = self.currents(values, numbers + index * ranks)
            if self.watch is not None:
                self.watch(current)
            digital = (current if self.adc is None else self.adc(current)).sum(3)
            part = digital if len(phases) == 1 else place * digital
            total = part if total is None else total + part
        assert total is not None
        return self.added(total)

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
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=3)

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
        (effects,) = self._effects
        for index, (_, key) in enumerate(effects.noises):
            current = current + self._noise(v, getattr(self, f"variance_{index}"), key, numbers)
        return current

    def _noise(self, v: Tensor, variance: Tensor, key: int, numbers: Tensor) -> Tensor:
        """Noise of the currents, [values, n, groups, groups of word lines, cols] A.

        The sum of independent normal draws of the cells of a column is one normal draw with the
        summed variance: exact in distribution, with `rows` times fewer draws. A reference column
        is read once for all outputs of its array.
        """
        t = self.plan.tiling
        noise = []
        for part, shared in enumerate(t.shared):
            step = t.data_cols if shared else 1
            cells = self._cut(variance[part, :, :, ::step], -2)
            sigma = torch.einsum("ngtk,gtko->ngto", v**2, cells).sqrt()
            draws = ReadStream(key + part, numbers).normal(sigma.shape[1:]).to(v.dtype)
            noise.append((sigma * draws).repeat_interleave(step, -1)[..., : t.cols])
        return self._values(torch.stack(noise))

    def _cut(self, x: Tensor, dim: int) -> Tensor:
        """Groups of word lines; without an ADC nothing happens between them."""
        if self.plan.adc_bits is None:
            return x.unsqueeze(dim - 1)
        return self.plan.cut(x, dim)


def _rank() -> tuple[int, int]:
    """The rank of this process among those that train together: each draws noise of its own."""
    if not dist.is_available() or not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()
