"""Soft bounds: the step vanishes at the bound, with or without a reference."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memcore import Parameter, parameter
from memcore.modelling import AffinePulsed, Weighted, choose


@dataclass(frozen=True, kw_only=True)
class SoftBounds(Weighted, AffinePulsed):
    """The nearer the bound, the smaller the step; the bound is approached, never passed.

        w -> w + s_up (1 - w / w_max)    or    w - s_down (1 - w / w_min)
        n pulses:  w_max - w -> (w_max - w) (1 - s_up / w_max)^n
        G = g_zero + g_unit (w - reference)

    Up and down agree at the symmetry point (s_up - s_down) / (s_up/w_max - s_down/w_min). With
    `about="symmetry"` the reference of each cell is its own symmetry point, plus `offset`.
    Rasch et al., AICAS (2021), doi 10.1109/AICAS51828.2021.9458494; with a reference: Gong, Rasch
    et al., IEDM (2022). Noise: c2c N(0, 1) times s (`additive`) or times the step
    (`multiplicative`). The defaults are round numbers.

    Valid for filamentary ReRAM, loosely; conductances are relative to a reference that is drawn
    once, does not move and is read without error.
    """

    even_noise: ClassVar[bool] = True

    w_min: Parameter = parameter(
        -1.0,
        "weight",
        "lowest position, which steps down are relative to",
        below=0,
    )
    noise: Literal["multiplicative", "additive"] = parameter(
        "additive", "1", "whether the noise of a pulse is in proportion to its step"
    )
    about: Literal["zero", "symmetry"] = parameter(
        "zero", "1", "reference of a cell: 0 or its symmetry point"
    )
    offset: Parameter = parameter(
        0.0, "weight", "error of the reference of a cell; usually a distribution"
    )

    @property
    def additive(self) -> bool:
        return self.noise == "additive"

    @property
    def symmetry_point(self) -> Parameter:
        """Where a step up and a step down are equal, in weights."""
        higher, lower = self.relative_scales
        point: Parameter = (higher - lower) / (higher / self.w_max - lower / self.w_min)
        return point

    @property
    def reference(self) -> Parameter:
        if self.about == "zero":
            return self.offset
        return self.symmetry_point + self.offset

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        scale = torch.where(up, 1, -1) * self.scales(w, up)
        return scale, scale / choose(up, self.w_max, self.w_min, w)
