"""Soft bounds: the step vanishes at the bound, with or without a reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memcore import Normal, Parameter, Preset, parameter
from memcore_plugins.devices._affine import Affine
from memcore_plugins.devices._parameters import (
    negative,
    number,
    published,
    require,
    require_choice,
)
from memcore_plugins.devices._pulsed import choose
from memcore_plugins.devices._weights import Weighted, between_cells
from memcore_plugins.devices.linear_step import NOISES


@dataclass(frozen=True, kw_only=True)
class SoftBounds(Affine, Weighted):
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

    noise: Literal["multiplicative", "additive"] = parameter(
        "additive", "1", "whether the noise of a pulse is in proportion to its step"
    )
    about: Literal["zero", "symmetry"] = parameter(
        "zero", "1", "what the reference of a cell is: 0 or its symmetry point"
    )
    offset: Parameter = parameter(0.0, "weight", "error of the reference; a distribution")

    def __post_init__(self) -> None:
        require(self, negative, "a number < 0: steps down are relative to it", ["w_min"])
        require(self, number, "a number", ["offset"])
        require_choice(self, "noise", NOISES)
        require_choice(self, "about", ("zero", "symmetry"))
        super().__post_init__()

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

    presets: ClassVar[Mapping[str, Preset]] = {
        "reram_sb": published(
            "Gong et al., Nat. Commun. 9:2102 (2018), loose fit in a public simulator, constants "
            "read there; published in weights, symmetry point at 0",
            "HfO2 ReRAM, about its symmetry point; exp_step's reram_es is the closer fit",
            dw_min=0.002,
            c2c=3.75,
            write_std=56.0,
            **between_cells(w_max=1.25, w_min=-0.75, step=0.3, bounds=(0.24, 0.4), up_down=0.01),
        ),
        "reram_array_om": published(
            "Gong, Rasch et al., IEDM (2022), optimised material, fit in a public simulator, "
            "constants read there; published in weights with the bounds at +-1 (measured 1.4839 "
            "and -0.6192); its 13.48 % of corrupt cells are left to `stuck_at`",
            "ReRAM array, compliance adjusted",
            dw_min=0.0949,
            c2c=0.4158,
            write_std=1.4113,
            about="symmetry",
            offset=Normal(0.0, 0.05),
            g_zero=6e-5,
            **between_cells(step=0.7829, bounds=(0.3499, 0.5695), up_down=0.01, lognormal=True),
        ),
        "reram_array_hfo2": published(
            "Gong, Rasch et al., IEDM (2022), baseline HfO2, fit in a public simulator, constants "
            "read there; published in weights with the bounds at +-1 (measured 1.1490 and "
            "-1.0284); its 9.77 % of corrupt cells are left to `stuck_at`",
            "ReRAM array, compliance adjusted",
            dw_min=0.4622,
            c2c=0.2174,
            write_std=0.5841,
            about="symmetry",
            offset=Normal(0.0, 0.05),
            g_zero=6e-5,
            **between_cells(step=0.7125, bounds=(0.4295, 0.5990), up_down=0.01, lognormal=True),
        ),
    }
