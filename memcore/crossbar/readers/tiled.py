"""The product of all tiles, converters included, as one kernel call for each phase of the input."""

import torch
from torch import Tensor, nn

from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import Part, added, subtracted
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.phases import drive, in_phases
from memcore.ops.crossbar_mvm import crossbar_mvm, pack


class Tiled(nn.Module):
    """Reads of tiles through uniform converters.

    The matrix is scaled so that one step of an ADC is 1 and a code of the DAC is an input.

    Args:
        matrices: conductances of each value that is digitised, [values, groups, rows, cols] S.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        volts: V for an input of 1.
        dac: levels of the inputs, None if they are applied exactly.
        adc: levels of the currents in A, of each lane.
        parts: how columns that are converted one by one are subtracted, in the order of the values.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        plan: phases of the input, groups of word lines, lanes.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    panels: Tensor
    codes: Tensor
    scale: Tensor
    gain: Tensor
    folded: Tensor
    ratio: Tensor | None

    def __init__(
        self,
        matrices: Tensor,
        folded: Tensor,
        volts: float,
        dac: UniformLevels | None,
        adc: list[UniformLevels],
        parts: tuple[Part, ...],
        gain: Tensor,
        plan: ReadPlan,
        *,
        constant: bool,
    ) -> None:
        super().__init__()
        serial = isinstance(dac, SerialLevels)
        self.register_buffer("folded", folded, persistent=False)
        self.dac = dac
        self.parts, self.plan, self.constant = parts, plan, constant
        self.lo, self.hi = adc[0].lo, adc[0].hi
        values, groups, _, cols = matrices.shape
        self.shape = (groups, values, cols)
        of_value = [adc[lane].step for lane in plan.values]
        unit = of_value[0].new_ones(1) if dac is None or serial else dac.step
        largest = unit.max()
        #: The inputs in units of the largest step, where they have steps of their own, [rows].
        self.register_buffer("ratio", largest / unit if len(unit) > 1 else None, persistent=False)
        if len(unit) > 1 and constant:
            unit = torch.cat([unit, largest.reshape(1)])
        volts_of_code = volts * unit.unsqueeze(1)
        scaled = [m * (volts_of_code / step) for m, step in zip(matrices, of_value, strict=True)]
        columns = torch.stack(scaled).permute(1, 2, 0, 3).flatten(2)
        #: The constant input as the kernel takes it: the largest level of the DAC.
        self.level = 1.0
        codes = [0.0, 0.0, 0.0]
        if dac is not None and not serial:
            codes = [float(1 / largest), dac.lo, dac.hi]
            self.level = max(dac.lo, dac.hi, key=abs) * float(largest)
            if constant:
                columns[:, -1] /= self.level
        self.register_buffer("panels", pack(columns), persistent=False)
        self.register_buffer("codes", columns.new_tensor(codes), persistent=False)
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("scale", self._scale(of_value, gain, volts), persistent=False)

    def _scale(self, steps: list[Tensor], gain: Tensor, volts: float) -> Tensor:
        """What one step of an ADC stands for in each column, [1] or [groups * values * cols]."""
        groups, _, cols = self.shape
        if self.plan.per_column:
            scales = [step * (gain.new_ones(1) / volts) for step in steps]
        else:
            pairs = zip(steps, gain, strict=True)
            scales = [step * (share.reshape(-1) / volts) for step, share in pairs]
        if len(scales) == 1 and scales[0].numel() == 1:
            return scales[0]
        if self.plan.per_column and len({float(scale) for scale in scales}) == 1:
            return scales[0]
        return torch.cat([scale.expand(cols) for scale in scales]).repeat(groups)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: not used: nothing is drawn at a read.
            lines: not used: the kernel has a DAC of its own.
        """
        del reads, lines
        if isinstance(self.dac, SerialLevels):
            phases = in_phases(self.dac, x, self.constant)
            y = sum((place * self._product(digits) for digits, place in phases), x.new_zeros(()))
        else:
            codes = x if self.ratio is None else x * self.ratio
            y = self._product(drive(codes, self.constant, self.level))
        return self._added(y)

    def _product(self, x: Tensor) -> Tensor:
        _, values, cols = self.shape
        return crossbar_mvm(
            x,
            self.panels,
            self.codes,
            self.scale,
            None,
            cols=values * cols,
            tile_rows=self.plan.group_rows,
            lo=self.lo,
            hi=self.hi,
        )

    def _added(self, y: Tensor) -> Tensor:
        """Outputs [n, groups, cols] of [n, groups, values * cols]."""
        groups, values, cols = self.shape
        if self.plan.per_column:
            parts = y.view(-1, groups, values, cols).movedim(2, 0)
            return added(subtracted(parts, self.parts), self.gain)
        return y if values == 1 else y.view(-1, groups, values, cols).sum(2)
