"""An ADC or DAC with equidistant levels."""

from dataclasses import dataclass

from torch import Tensor, nn

from memcore import Context
from memcore_plugins.converters._range import Ranged


@dataclass(frozen=True, kw_only=True)
class UniformConverter(Ranged):
    """Mid-tread quantiser: zero is a level of a range that holds it, values outside saturate.

    The range is fixed at design time (`full_scale`) or calibrated on typical inputs, never taken
    from the batch at hand. A signed converter has 2^bits - 1 levels in [-peak, peak], an unsigned
    one 2^bits in [0, peak], and one with `symmetric=False` 2^bits in just the range that was asked
    for; where zero lies inside of it, one end is moved outward by less than a step.
    """

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del ctx
        return self.levels(full_scale)
