"""Products, converters and noise of all tiles as one kernel call for each phase of the input."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memcore import native
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import Part
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.digital import added_up, step_values
from memcore.crossbar.readers.noise import CellNoise, numbered
from memcore.crossbar.readers.phases import drive, in_phases
from memcore.crossbar.together import process
from memcore.ops._library import address, is_plain
from memcore.ops.crossbar_mvm import crossbar_mvm, pack
from memcore.ops.crossbar_read import Columns, crossbar_read, narrow, narrows
from memcore.ops.windows import Images


class Tiled(nn.Module):
    """Reads of tiles through uniform converters, and with noise of the cells without an ADC too.

    The matrix is scaled so that one step of an ADC is 1, or else one unit of the outputs, and a
    code of the DAC is an input.

    Args:
        matrices: conductances of each value that is digitised, [values, groups, rows, cols] S.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        volts: V for an input of 1.
        dac: levels of the inputs, None if they are applied exactly.
        adc: levels of the currents in A, of each lane; none without an ADC.
        parts: how columns that are converted one by one are subtracted, in the order of the values.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        plan: phases of the input, groups of word lines, lanes.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
        noise: of the cells, with a draw for each digitised value; None for none.
    """

    panels: Tensor
    variance: Tensor | None
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
        noise: CellNoise | None = None,
    ) -> None:
        super().__init__()
        serial = isinstance(dac, SerialLevels)
        self.register_buffer("folded", folded, persistent=False)
        self.dac = dac
        self.parts, self.plan, self.constant = parts, plan, constant
        self.lo, self.hi = (adc[0].lo, adc[0].hi) if adc else (1.0, 0.0)
        self.tile_rows = plan.group_rows if adc else plan.tiling.rows
        self.key = 0 if noise is None else noise.key
        values, groups, _, cols = matrices.shape
        self.shape = (groups, values, cols)
        steps = [adc[lane].step for lane in plan.values] if adc else []
        inputs = _inputs(None if serial else dac, matrices, constant=constant)
        #: The constant input as the kernel takes it: the largest level of the DAC.
        self.level = inputs.level
        #: The inputs in units of the largest step, where they have steps of their own, [rows].
        self.register_buffer("ratio", inputs.ratio, persistent=False)
        self.register_buffer("codes", inputs.codes, persistent=False)
        unit = inputs.unit.unsqueeze(1)
        factors = [volts * unit / step for step in steps] or [unit * share for share in gain]
        if constant and self.level != 1:
            factors = [self._constant(factor, matrices.shape[2]) for factor in factors]
        self.register_buffer("panels", pack(_joined(matrices, factors)), persistent=False)
        variance = None if noise is None else self._packed(noise.variance, factors)
        self.register_buffer("variance", variance, persistent=False)
        self.register_buffer("gain", gain, persistent=False)
        scale = step_values(self.shape, plan, steps, gain, volts)
        self.register_buffer("scale", scale, persistent=False)
        plain = not serial and not constant and self.ratio is None
        #: Whether the windows of images are read without writing them out.
        self.reads_images = plain and native.cpu() is not None
        #: Whether `directly` reads inputs.
        self.reads_directly = self.reads_images and values == 1 and not plan.per_column

    def _packed(self, variance: Tensor, factors: list[Tensor]) -> Tensor:
        """Variances of conductances as those of codes, laid out for the kernel."""
        squares = _joined(variance, [factor.square() for factor in factors])
        return narrow(squares, self.tile_rows) if narrows(squares) else pack(squares)

    def _constant(self, factor: Tensor, rows: int) -> Tensor:
        """Factors whose last row is that of the constant input."""
        factor = factor.expand(rows, -1).clone()
        factor[-1] /= self.level
        return factor

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before; not used where nothing is drawn.
            lines: not used: the kernel has a DAC of its own.
        """
        del lines
        if not isinstance(self.dac, SerialLevels):
            codes = x if self.ratio is None else x * self.ratio
            numbers = None if self.variance is None else numbered(reads, x.shape[0])
            y = self._product(drive(codes, self.constant, self.level), numbers)
            return added_up(y, self.shape, self.plan, self.parts, self.gain)
        phases = in_phases(self.dac, x, self.constant)
        _, ranks = process()
        first = None if self.variance is None else numbered(reads, x.shape[0], len(phases))
        y = x.new_zeros(())
        for k, (digits, place) in enumerate(phases):
            numbers = None if first is None else first + k * ranks
            y = y + place * self._product(digits, numbers)
        return added_up(y, self.shape, self.plan, self.parts, self.gain)

    def _product(self, x: Tensor, numbers: Tensor | None) -> Tensor:
        if numbers is not None:
            return crossbar_read(x, self._columns(), reads=numbers)
        _, values, cols = self.shape
        return crossbar_mvm(
            x,
            self.panels,
            self.codes,
            self.scale,
            None,
            cols=values * cols,
            tile_rows=self.tile_rows,
            lo=self.lo,
            hi=self.hi,
        )

    def _columns(self) -> Columns:
        _, values, cols = self.shape
        return Columns(
            self.panels,
            self.variance,
            self.codes,
            self.scale,
            values * cols,
            self.tile_rows,
            self.lo,
            self.hi,
            self.key,
            values,
        )

    def directly(self, x: Tensor, first: int, bias: Tensor | None) -> Tensor | None:
        """What `forward` gives, the bias added, by one call of a kernel.

        Args:
            x: inputs [..., groups, inputs], or [..., inputs] of one group, plain and not empty.
            first: how many reads there were before; not used where nothing is drawn.
            bias: added to the outputs, [groups * outputs], plain; None for none.

        Returns:
            Outputs with the dimensions of x; None where this is no way to read.
        """
        cpu, buffers = native.cpu(), self._buffers
        panels, variance = buffers["panels"], buffers["variance"]
        assert panels is not None
        if cpu is None or not self.reads_directly or not is_plain(panels):
            return None
        (groups, _, cols), rows = self.shape, panels.shape[2]
        scale, n = self.scale, x.numel() // (groups * rows)
        out = x.new_empty((*x.shape[:-1], cols))
        inputs = (x.data_ptr(), panels.data_ptr())
        units = (self.codes.data_ptr(), scale.data_ptr(), scale.shape[0], address(bias))
        sizes = (n, groups, rows, cols)
        place = (self.lo, self.hi, out.data_ptr())
        if variance is None:
            cpu.crossbar_mvm(*inputs, *units, *sizes, self.tile_rows, *place)
        else:
            mine, ranks = process()
            draws = (self.key, first * ranks + mine, ranks)
            noise = (variance.data_ptr(), 0)
            if variance.dtype is torch.int32:
                if not cpu.multiplies_narrow():
                    return None
                noise = (0, variance.data_ptr())
            cpu.crossbar_rows(*inputs, *noise, *units, *sizes, 1, self.tile_rows, *draws, *place)
        return out

    def convolve(self, images: Images, reads: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs [n, groups * outputs, *positions] of images, if `reads_images`.

        They are those of `forward` with the inputs of all positions, image by image.

        Args:
            images: what is read.
            reads: how many reads there were before.
            bias: added to the outputs, [groups * outputs]; None for none.
        """
        x, window, channels_first = images
        groups, values, cols = self.shape
        columns = self._columns()
        numbers = None if self.variance is None else numbered(reads, images.reads)
        if values == 1 and not self.plan.per_column and channels_first:
            return crossbar_read(
                x, columns, window=window, reads=numbers, bias=bias, channels_first=True
            )
        y = crossbar_read(x, columns, window=window, reads=numbers)
        y = added_up(y, self.shape, self.plan, self.parts, self.gain)
        y = y.view(x.shape[0], *images.positions, groups * cols)
        y = (y if bias is None else y + bias).movedim(-1, 1)
        return y.contiguous() if channels_first else y


class _Inputs(NamedTuple):
    """How the kernel takes inputs.

    Args:
        unit: input of a code of 1, [1 or rows].
        codes: inverse step, lowest and highest code, [3]; zeros for no DAC.
        level: the constant input.
        ratio: the largest step in units of that of each input, [inputs]; None where they are alike.
    """

    unit: Tensor
    codes: Tensor
    level: float = 1.0
    ratio: Tensor | None = None


def _inputs(dac: UniformLevels | None, like: Tensor, *, constant: bool) -> _Inputs:
    """How the kernel takes inputs through a DAC, the constant one too if there is one."""
    if dac is None:
        return _Inputs(like.new_ones(1), like.new_zeros(3))
    step = dac.step
    largest = step.max()
    codes = like.new_tensor([float(1 / largest), dac.lo, dac.hi])
    level = max(dac.lo, dac.hi, key=abs) * float(largest)
    if len(step) == 1:
        return _Inputs(step, codes, level)
    unit = torch.cat([step, largest.reshape(1)]) if constant else step
    return _Inputs(unit, codes, level, largest / step)


def _joined(matrices: Tensor, factors: list[Tensor]) -> Tensor:
    """Matrices [values, groups, rows, cols] times a factor each, [groups, rows, values * cols]."""
    scaled = [m * factor for m, factor in zip(matrices, factors, strict=True)]
    return torch.stack(scaled).permute(1, 2, 0, 3).flatten(2)
