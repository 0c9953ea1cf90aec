"""The product of a layer's tiles, converters included, as one kernel call."""

from torch import Tensor, nn

from memcore.contracts.forms import UniformLevels
from memcore.ops.crossbar_mvm import crossbar_mvm, pack


class Fused(nn.Module):
    """Inputs to the sum of the ADC codes of all tiles, times `scale`.

    The matrix is scaled so that one step of the ADC is 1 and a code of the DAC is an input.

    Args:
        matrices: conductances of each part, [parts, groups, rows, cols] S.
        volts: V for an input of 1.
        dac: levels of the inputs, None if they are applied exactly.
        adc: levels of the currents, A.
        scale: what an ampere of the result stands for, [1] or [groups * parts * cols].
        tile_rows: word lines of one array.
        constant: the last row is driven by a constant input of 1, past the DAC.
    """

    panels: Tensor
    codes: Tensor
    scale: Tensor

    def __init__(
        self,
        matrices: Tensor,
        volts: float,
        dac: UniformLevels | None,
        adc: UniformLevels,
        scale: Tensor,
        *,
        tile_rows: int,
        constant: bool,
    ) -> None:
        super().__init__()
        step = adc.step.new_ones(1) if dac is None else dac.step
        columns = matrices.permute(1, 2, 0, 3).flatten(2) * (volts * step / adc.step)
        self.cols = columns.shape[-1]
        self.tile_rows = tile_rows
        self.lo, self.hi = adc.lo, adc.hi
        #: The constant input as the kernel takes it: the largest level of the DAC.
        self.constant = 1.0
        codes = [0.0, 0.0, 0.0]
        if dac is not None:
            codes = [float(1 / dac.step), dac.lo, dac.hi]
            self.constant = max(dac.lo, dac.hi, key=abs) * float(dac.step)
            if constant:
                columns[:, -1] /= self.constant
        self.register_buffer("panels", pack(columns), persistent=False)
        self.register_buffer("codes", columns.new_tensor(codes), persistent=False)
        self.register_buffer("scale", adc.step * scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, groups, rows] to [n, groups, parts * cols]."""
        return crossbar_mvm(
            x,
            self.panels,
            self.codes,
            self.scale,
            None,
            cols=self.cols,
            tile_rows=self.tile_rows,
            lo=self.lo,
            hi=self.hi,
        )
