"""One column for each output, and in every array one reference column to subtract."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memcore import Context, Mapped, Mapper, Memristor, Part, Reference, parameter
from memcore_plugins.mappers.differential import largest


@dataclass(frozen=True, kw_only=True)
class Offset(Mapper):
    """Single-column mapping: `g = g_mid + w (g_max - g_min) / (2 w_max)`.

    The reference column of an array holds g_mid in every row. It halves the cells of the
    differential mapping and doubles the error of a weight; an error of the reference is common to
    all outputs of the array.
    """

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
        middle, half = 0.5 * (g_max + g_min), 0.5 * (g_max - g_min)
        g = middle + half * (weight / w_max).clamp(-1, 1)
        reference = weight.new_full((*weight.shape[:2], 1), middle)
        parts = (Part(target=g), Reference(target=reference))
        return Mapped(parts=parts, gain=(w_max / half).unsqueeze(0))
