"""One column for each output, and in every array one reference column to subtract."""

from dataclasses import dataclass

from torch import Tensor

from memcore import Context, Mapped, Memristor, Part, Reference
from memcore_plugins.mappers._scale import Stepless


@dataclass(frozen=True, kw_only=True)
class Offset(Stepless):
    """Single-column mapping: `g = g_mid + w (g_max - g_min) / (2 w_max)`.

    The reference column of an array holds g_mid in every row. It halves the cells of the
    differential mapping and doubles the error of a weight; an error of the reference is common to
    all outputs of the array.
    """

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        g_min, g_max = device.nominal_range()
        w_max = self.largest(weight, ctx, references=1)
        middle, half = 0.5 * (g_max + g_min), 0.5 * (g_max - g_min)
        g = middle + half * (weight / w_max).clamp(-1, 1)
        reference = weight.new_full((*weight.shape[:2], 1), middle)
        parts = (Part(target=g), Reference(target=reference))
        return Mapped(parts=parts, gain=(w_max / half).unsqueeze(0))
