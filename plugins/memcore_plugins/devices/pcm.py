"""Phase-change memory by its measured statistics."""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from memcore import NonIdeality, parameter
from memcore.modelling import (
    PhaseChange,
    PhaseChangeDrift,
    PhaseChangeReadNoise,
    ProgrammingError,
    polynomial,
)

_REFERENCE: Final = 25.0  #: uS, the g_max of the fits


@dataclass(frozen=True, kw_only=True)
class Pcm(PhaseChange):
    """Phase-change cells, with x = g / g_max and z ~ N(0, 1).

        programming   g_p = g + s z,  s = max(0.26348 + 1.9650 x - 1.1731 x^2, 0) uS
        drift         g(t) = g_p ((t + t0) / t0)^-nu,   nu = |m + d z|,   t0 = 20 s
                      m = clip(-0.0155 ln x + 0.0244, 0.049, 0.1)
                      d = clip(-0.0125 ln x - 0.0059, 0.008, 0.045)
        read          std = g(t) Q sqrt(ln((t + t0 + t_r) / (2 t_r))),   t_r = 250 ns
                      Q = min(0.0088 / x^0.65, 0.2)

    Nandakumar et al., ICECS (2019); Joshi et al., Nat. Commun. 11:2473 (2020); constants as a
    public simulator has them, read there. The fits are made at g_max = 25 uS and scale with g_max.
    z of the drift is drawn once for each cell, so that drift is a trajectory.
    """

    t0 = 20.0
    t_read = 250e-9

    g_min: float = parameter(
        2.5e-8, "S", "conductance after RESET; assumed 1/1000 of g_max, the fits begin at 0"
    )
    g_max: float = parameter(25e-6, "S", "conductance after SET; Nandakumar 2019")
    fit: Literal["nandakumar", "joshi_fig3b", "state_independent"] = parameter(
        "nandakumar", "1", "fit of the programming error; the last one simplifies drift too"
    )

    def programming_std(self, g: Tensor) -> Tensor:
        x = g / self.g_max
        if self.fit == "state_independent":
            us = torch.full_like(g, 0.2)
        elif self.fit == "joshi_fig3b":
            us = polynomial(_REFERENCE * x, (0.28638599, 0.07585724, -0.00178767))
        else:
            us = polynomial(x, (0.26348, 1.9650, -1.1731))
        return us.clamp(min=0) * (self.g_max / _REFERENCE)

    def drift_mean(self, g: Tensor) -> Tensor:
        if self.fit == "state_independent":
            return torch.full_like(g, 0.1)
        return (-0.0155 * self.share(g).log() + 0.0244).clamp(0.049, 0.1)

    def drift_std(self, g: Tensor) -> Tensor:
        if self.fit == "state_independent":
            return torch.full_like(g, 0.05)
        return (-0.0125 * self.share(g).log() - 0.0059).clamp(0.008, 0.045)

    def noise_ratio(self, g: Tensor) -> Tensor:
        return (0.0088 / self.share(g) ** 0.65).clamp(max=0.2)

    def effects(self) -> tuple[NonIdeality, ...]:
        return PcmProgramming(cell=self), PcmDrift(cell=self), PcmReadNoise(cell=self)


@dataclass(frozen=True, kw_only=True)
class PcmProgramming(ProgrammingError):
    """The error of writing, new at every write."""


@dataclass(frozen=True, kw_only=True)
class PcmDrift(PhaseChangeDrift):
    """Structural relaxation of the amorphous phase, with one exponent for each cell for life."""


@dataclass(frozen=True, kw_only=True)
class PcmReadNoise(PhaseChangeReadNoise):
    """1/f noise of a read; reads are drawn independently, so averaging helps too much."""
