"""Two columns for each output: one holds the positive weights, the other the negative ones."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memcore import Context, Mapped, Memristor, Part, TwoParts, parameter
from memcore_plugins.mappers._scale import Stepless


@dataclass(frozen=True, kw_only=True)
class Differential(Stepless):
    """Double-column mapping.

    The parts max(w, 0) and max(-w, 0), scaled by the largest weight w_max, go onto the nominal
    window of the device. Linear in conductance, `g = g_min + (g_max - g_min) |w| / w_max`, the
    product is exact: `w = (g+ - g-) w_max / (g_max - g_min)`. Linear in resistance, as in eq. (1)
    of Lammie and Azghadi, "MemTorch", ISCAS 2020, `1/g = r_off + (r_on - r_off) |w| / w_max`, the
    same gain is exact only for w = 0 and |w| = w_max.
    """

    cellwise = True

    linear_in: Literal["conductance", "resistance"] = parameter(
        "conductance", "1", "quantity that is proportional to the weight"
    )

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        whole = self.two_parts(weight, device, ctx)
        if whole is not None:
            return whole.mapped(weight)
        g_min, g_max = device.nominal_range()
        w_max = self.largest(weight, ctx)
        targets = []
        for part in (weight.clamp(min=0), (-weight).clamp_(min=0)):
            share = part.div_(w_max)
            if self.clips:
                share.clamp_(max=1)
            targets.append(share.mul_(1 / g_max - 1 / g_min).add_(1 / g_min).reciprocal_())
        parts = (Part(target=targets[0]), Part(target=targets[1], sign=-1))
        return Mapped(parts=parts, gain=(w_max / (g_max - g_min)).unsqueeze(0))

    def two_parts(self, weight: Tensor, device: Memristor, ctx: Context) -> TwoParts | None:
        if self.linear_in == "resistance":
            return None
        g_min, g_max = device.nominal_range()
        return TwoParts(
            scale=None if self.takes_largest else self.largest(weight, ctx),
            start=g_min,
            span=g_max - g_min,
            limited=self.clips,
        )
