"""Two columns for each output: one holds the positive weights, the other the negative ones."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import Context, Mapped, Mapper, Memristor, Part, parameter


@dataclass(frozen=True, kw_only=True)
class Differential(Mapper):
    """Double-column mapping.

    The parts max(w, 0) and max(-w, 0), scaled by the largest weight w_max, go onto the nominal
    window of the device. Linear in conductance, `g = g_min + (g_max - g_min) |w| / w_max`, the
    product is exact: `w = (g+ - g-) w_max / (g_max - g_min)`. Linear in resistance, as in eq. (1)
    of Lammie and Azghadi, "MemTorch", ISCAS 2020, `1/g = r_off + (r_on - r_off) |w| / w_max`, the
    same gain is exact only for w = 0 and |w| = w_max.
    """

    linear_in: Literal["conductance", "resistance"] = parameter(
        "conductance", "1", "quantity that is proportional to the weight"
    )
    clip: float | None = parameter(
        None,
        "1",
        "quantile of |w| that is mapped to the end of the window; None for the maximum",
        above=0,
        at_most=1,
    )
    scale: Literal["matrix", "column"] = parameter(
        "matrix",
        "1",
        "what shares a largest weight: the whole matrix, or each column, whose outputs are then "
        "scaled by digital factors of their own",
    )

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        del ctx
        g_min, g_max = device.nominal_range()
        w_max = largest(weight, self.clip, self.scale)
        targets = []
        for part in (weight.clamp(min=0), (-weight).clamp_(min=0)):
            share = part.div_(w_max)
            if self.clip is not None:
                share.clamp_(max=1)
            if self.linear_in == "conductance":
                targets.append(share.mul_(g_max - g_min).add_(g_min))
            else:
                targets.append(share.mul_(1 / g_max - 1 / g_min).add_(1 / g_min).reciprocal_())
        parts = (Part(target=targets[0]), Part(target=targets[1], sign=-1))
        return Mapped(parts=parts, gain=(w_max / (g_max - g_min)).unsqueeze(0))


def largest(weight: Tensor, quantile: float | None, scale: str) -> Tensor:
    """The largest magnitude, or a quantile of the magnitudes; 1 where all weights are zero.

    Args:
        weight: [groups, rows, cols].
        quantile: the share of the magnitudes that is not larger; None for all of them.
        scale: "matrix" for one number [], "column" for each column, [cols].
    """
    if quantile is None or quantile == 1:
        if scale == "column":
            peak = weight.abs().amax((0, 1))
        else:
            peak = torch.stack(weight.aminmax()).abs().max()
    else:
        magnitude = weight.abs().flatten(0, 1)
        magnitude = magnitude if scale == "column" else magnitude.flatten()
        rank = max(1, round(quantile * magnitude.shape[0]))
        peak = magnitude.kthvalue(rank, dim=0).values
    return torch.where(peak > 0, peak, torch.ones_like(peak))
