"""`Periphery`: what is around cells in the order of the weights when they are read."""

from typing import NamedTuple

from torch import nn

from memcore import native
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.crossbar.plan import ReadPlan
from memcore.ops.rehearsal import Codes, Terms


class Periphery(NamedTuple):
    """Converters and units of reads.

    Args:
        key: of the draws of a read.
        dac: quantiser of the inputs, None if they are applied exactly.
        adc: levels of the currents in A, None without an ADC.
        volts: V for an input of 1.
        plan: groups of word lines.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    key: int
    dac: nn.Module | None
    adc: UniformLevels | None
    volts: float
    plan: ReadPlan
    constant: bool

    def drawing(self, key: int) -> "Periphery":
        """The same for reads with other draws."""
        return self._replace(key=key)

    @property
    def converts(self) -> bool:
        """Whether the kernels make of inputs what drives the word lines."""
        dac = self.dac
        if not isinstance(dac, UniformLevels):
            return dac is None and not self.constant
        is_one = dac.step.numel() == 1 and not dac.offset
        return is_one and not isinstance(dac, SerialLevels) and not self.constant

    @property
    def is_fused(self) -> bool:
        """Whether the kernels convert what the ADC converts at once."""
        return native.cpu() is not None and (self.adc is None or self.plan.groups_are_even)

    def terms(self, *, converts: bool, narrow: bool) -> Terms:
        """As the kernels take them.

        Args:
            converts: whether a code of the DAC is an input.
            narrow: whether squares of inputs and variances are rounded.
        """
        dac = _codes(self.dac) if converts and isinstance(self.dac, UniformLevels) else None
        rows = max(1, self.plan.tiling.rows) if self.adc is None else self.plan.group_rows
        adc = None if self.adc is None else _codes(self.adc)
        return Terms(self.volts, dac, adc, rows, self.key, narrow)


def _codes(levels: UniformLevels) -> Codes:
    return Codes(levels.step, levels.lo, levels.hi)
