"""CMO/HfOx ReRAM: writing error, relaxation and read noise."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from memcore import NonIdeality, parameter
from memcore.modelling import (
    US,
    YEAR,
    CellReadNoise,
    ProgrammingError,
    Relaxation,
    Statistical,
    require_time,
)
from memcore_plugins._tensor import as_tensor

_LOWEST: Final = 9 * US  #: S, of the fits
_HIGHEST: Final = 88.2 * US  #: S, of the fits
_WRITTEN: Final = {  # accepted relative error: slope, and offset in uS
    0.002: (0.00106879, 0.00081107),
    0.02: (0.01129027, 0.01121854),
}
_SHIFT: Final = -0.08900206  #: uS per e-fold of time
_WIDENING: Final = (0.04201137, 0.41183342)  #: uS per e-fold of time, uS at 1 s
_NOISE: Final = 0.0277316  #: uS
_T_READ: Final = 1e-6  #: s


@dataclass(frozen=True, kw_only=True)
class ReramCmo(Statistical):
    """Conductive metal oxide on HfOx, g from 9 to 88.2 uS, with z ~ N(0, 1).

        programming   g_p = g + s z,    s = 0.00106879 g + 0.00081107 uS   accepted to 0.2 %
                                        s = 0.01129027 g + 0.01121854 uS   accepted to 2 %
        relaxation    g(t) = g_p - 0.08900206 ln t + (0.04201137 ln t + 0.41183342) z uS,   t >= 1 s
        read          std = 0.0277316 log10(g) sqrt(ln((t + t_r) / (2 t_r))) uS,   t_r = 1 us

    with g in uS and t in s. Falcone et al. (2025); constants of a public simulator, read there. The
    logarithm of g is taken of 1 uS at least, so that no conductance makes it negative or NaN.
    Relaxation has one normal draw for each cell and all times.
    """

    g_min: float = parameter(9e-6, "S", "conductance in HRS; Falcone 2025")
    g_max: float = parameter(88.2e-6, "S", "conductance in LRS; Falcone 2025")
    acceptance: float = parameter(
        0.002,
        "1",
        "relative error that write-verify accepts",
        choices=tuple(_WRITTEN),
        remedy="there are fits for 0.002 (0.2 %) and 0.02 (2 %) only",
    )
    longest: float = parameter(
        YEAR, "s", "longest time to age; assumed a year, the fit is a logarithm of time", above=0
    )

    @property
    def fitted_range(self) -> tuple[float, float]:
        return _LOWEST, _HIGHEST

    def programming_std(self, g: Tensor) -> Tensor:
        slope, offset = _WRITTEN[self.acceptance]
        return slope * g + offset * US

    def relaxed(self, g: Tensor, seconds: Tensor | float, z: Tensor) -> Tensor:
        """Conductance in S of cells programmed to `g` S, `seconds` later: 0, or 1 and more."""
        t = as_tensor(seconds, dtype=torch.float64)
        log = t.clamp(min=1.0).log().to(g)
        moved = US * (_SHIFT * log + (_WIDENING[0] * log + _WIDENING[1]) * z)
        return (g + torch.where(t.to(g) > 0, moved, 0)).clamp(min=0)

    def aged(self, g: Tensor, target: Tensor, seconds: Tensor, z: Tensor) -> Tensor:
        del target  # all conductances relax alike
        require_time(seconds, self.longest, "ReramCmo", shortest=1.0)
        return self.relaxed(g, seconds, z)

    def read_std(self, g: Tensor, seconds: Tensor | float) -> Tensor:
        """Standard deviation in S of one read of `g` S at `seconds` after programming."""
        t = as_tensor(seconds, dtype=torch.float64).clamp(min=_T_READ)
        band = ((t + _T_READ) / (2 * _T_READ)).log()
        log = (g / US).clamp(min=1.0).log() / math.log(10)
        return _NOISE * US * log * band.sqrt().to(g)

    def effects(self) -> tuple[NonIdeality, ...]:
        return (
            ReramCmoProgramming(cell=self),
            ReramCmoRelaxation(cell=self),
            ReramCmoReadNoise(cell=self),
        )


@dataclass(frozen=True, kw_only=True)
class ReramCmoProgramming(ProgrammingError):
    """What write-verify leaves, new at every write."""


@dataclass(frozen=True, kw_only=True)
class ReramCmoRelaxation(Relaxation):
    """Shift and widening with the logarithm of time."""

    needs_target = False


@dataclass(frozen=True, kw_only=True)
class ReramCmoReadNoise(CellReadNoise):
    """1/f noise of a read; reads are drawn independently."""
