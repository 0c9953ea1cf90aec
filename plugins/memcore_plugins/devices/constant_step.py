"""Constant step: the pulsed device that a designer specifies."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import Context, Parameter
from memcore.modelling import AffinePulsed, Weighted, tensor


@dataclass(frozen=True, kw_only=True)
class ConstantStep(Weighted, AffinePulsed):
    """Every pulse moves a cell by the same step until it stops at its bound.

        w -> w + s_up    or    w - s_down

    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi 10.3389/fnins.2016.00333; conductance
    and s_up, s_down as in `memcore.modelling.Weighted`. Noise multiplies the step of each
    pulse by 1 + c2c N(0, 1). The defaults are round numbers.

    Valid as a specification, not as a material: no device steps evenly up to its bounds.
    """

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.scales(w, up)
        return torch.where(up, scale, -scale), tensor(0.0, w)

    def moved(self, state: Tensor, count: Tensor, most: float, ctx: Context) -> Tensor:
        if self.noisy or self.variables > 1:
            return super().moved(state, count, most, ctx)
        low, high = self.ends  # without noise, counts are distances
        higher, lower = (scale * (self.dw_min / (high - low)) for scale in self.relative_scales)
        if _is_one(higher, lower):
            after: Tensor = state + count * higher
        else:
            after = state + count.clamp(min=0) * higher + count.clamp(max=0) * lower
        return after.clamp(0, 1)


def _is_one(higher: Parameter, lower: Parameter) -> bool:
    return isinstance(higher, float) and higher == lower
