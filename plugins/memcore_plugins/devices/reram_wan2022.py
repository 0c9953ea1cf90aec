"""HfO2 ReRAM of the NeuRRAM chip: writing error and relaxation."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from memcore import NonIdeality, parameter
from memcore.modelling import (
    DAY,
    US,
    ProgrammingError,
    Relaxation,
    Statistical,
    polynomial,
    require_time,
)

_REFERENCE: Final = 40.0  #: uS, the g_max of the fits
_TIMES: Final = (1.0, DAY, 2 * DAY)  #: s
_FITS: Final = (  # uS, ascending in g / g_max, at each of the times
    (0.348, 16.030, -43.853, 45.393, -16.815),
    (0.701, 22.086, -50.773, 47.095, -16.458),
    (0.782, 20.274, -43.507, 37.062, -11.934),
)
_CUBIC_TO: Final = 39.26 * US  #: S, the highest conductance that the cubic fit was made for
_CUBIC: Final = (1.053, 0.2374, -1.167e-2, 1.536e-4)  #: uS, ascending in uS, at 1 s


@dataclass(frozen=True, kw_only=True)
class ReramWan2022(Statistical):
    """HfO2 1T1R cells, written and verified, whose distribution widens within days.

    With x = g / g_max, the standard deviation of the conductance about its target is a quartic in x
    for 1 s, 1 day and 2 days after programming, in uS at g_max = 40 uS:

        1 s      0.348 + 16.030 x - 43.853 x^2 + 45.393 x^3 - 16.815 x^4
        1 day    0.701 + 22.086 x - 50.773 x^2 + 47.095 x^3 - 16.458 x^4
        2 days   0.782 + 20.274 x - 43.507 x^2 + 37.062 x^3 - 11.934 x^4

    The 1 s row is the error of writing; what comes on top, the variance at t less that at 1 s, is
    relaxation, of the target as well, with one normal draw for each cell: a trajectory. Between the
    three times the variance is linear in ln t. Wan et al., Nature 608:504 (2022); the quartics are
    constants of a public simulator, read there; they scale with g_max, 40 uS being the reference.
    """

    g_min: float = parameter(
        4e-7, "S", "conductance in HRS; assumed 1/100 of g_max, the fits begin at 0"
    )
    g_max: float = parameter(40e-6, "S", "conductance in LRS; Wan 2022")
    fit: Literal["quartic", "cubic"] = parameter(
        "quartic", "1", "fit of the error at 1 s; the cubic one ends at 39.26 uS and 1 s"
    )

    @property
    def fitted_range(self) -> tuple[float, float]:
        return 0.0, _CUBIC_TO if self.fit == "cubic" else self.g_max

    def _row(self, g: Tensor, row: int) -> Tensor:
        std = polynomial(g / self.g_max, _FITS[row]).clamp(min=0)
        return std * (self.g_max / _REFERENCE)

    def programming_std(self, g: Tensor) -> Tensor:
        """Standard deviation in S, 1 s after writing, for targets in S."""
        if self.fit == "cubic":
            return polynomial(g / US, _CUBIC).clamp(min=0) * US
        return self._row(g, 0)

    def total_std(self, g: Tensor, seconds: float) -> Tensor:
        """Standard deviation in S, 1 s to 2 days after writing, for targets in S."""
        extra = self.relaxation_std(g, torch.tensor(seconds, dtype=torch.float64, device="cpu"))
        return (self._row(g, 0).square() + extra.square()).sqrt()

    def relaxation_std(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Standard deviation in S of what relaxation adds for targets in S; 0 up to 1 s."""
        rows = [self._row(g, row).square() for row in range(len(_TIMES))]
        at = [math.log(t) for t in _TIMES]
        variance, log = rows[0], seconds.clamp(min=1.0).log()
        for low, high, a, b in zip(rows, rows[1:], at, at[1:], strict=False):
            share = ((log - a) / (b - a)).clamp(0, 1).to(g)
            variance = variance + share * (high - low)
        return (variance - rows[0]).clamp(min=0).sqrt()

    def aged(self, g: Tensor, target: Tensor, seconds: Tensor, z: Tensor) -> Tensor:
        require_time(seconds, 2 * DAY, "ReramWan2022")
        std = self.relaxation_std(target.clamp(max=self.g_max), seconds)
        return (g + std * z).clamp(min=0)

    def effects(self) -> tuple[NonIdeality, ...]:
        written = ReramWanProgramming(cell=self)
        return (written,) if self.fit == "cubic" else (written, ReramWanRelaxation(cell=self))


@dataclass(frozen=True, kw_only=True)
class ReramWanProgramming(ProgrammingError):
    """The error 1 s after write-verify, new at every write."""


@dataclass(frozen=True, kw_only=True)
class ReramWanRelaxation(Relaxation):
    """The widening of the distribution from 1 s to 2 days."""
