"""Phase-change memory of the Hermes inference chip, with one or two cells for each weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True)
class _Branches:
    """`clip(slope ln x + offset, low, high)` below `edge`, a polynomial in x from there on."""

    edge: float
    slope: float
    offset: float
    low: float
    high: float
    above: Sequence[float]

    def __call__(self, x: Tensor) -> Tensor:
        below = (self.slope * x.log() + self.offset).clamp(self.low, self.high)
        return torch.where(x < self.edge, below, polynomial(x, self.above))


@dataclass(frozen=True)
class _Fit:
    g_max: float  # uS
    t0: float  # s
    programming: Sequence[float]  # uS, ascending in x
    drift_std: _Branches
    noise: _Branches


_DRIFT: Final = _Branches(0.0945, -0.0387, -0.0182, 0.0720, 0.13, (0.0736, -0.0126, -0.0436))
_FITS: Final = {
    1: _Fit(
        10.35,
        200.0,
        (0.15781817, 2.32443916, -2.16310839, 0.68841818),
        _Branches(0.3039, -0.0120, -0.0023, 0.0124, 0.04, (0.0104, 0.0116, -0.0165)),
        _Branches(0.1591, -0.0078, 0.0038, 0.0179, 0.04, (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    2: _Fit(
        20.7,
        300.0,
        (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        _Branches(0.3055, -0.0117, -0.0057, 0.0091, 0.04, (0.0073, 0.0093, -0.0118)),
        _Branches(0.16, -0.0117, -0.0069, 0.015, 0.04, (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PcmHermes(PhaseChange):
    """Cells of the 64-core Hermes chip: the equations of `pcm` with other fits, x = g / g_max.

        one cell    s = 0.15782 + 2.32444 x - 2.16311 x^2 + 0.68842 x^3 uS,   t0 = 200 s
        two cells   s = 0.16603 + 4.71806 x - 8.48101 x^2 + 4.68961 x^3 uS,   t0 = 300 s

    The mean exponent is clip(-0.0387 ln x - 0.0182, 0.072, 0.13) below x = 0.0945 and
    0.0736 - 0.0126 x - 0.0436 x^2 above; its spread and the noise ratio have two branches of the
    same kind for each number of cells. t_r = 512 ns. Le Gallo et al., Nat. Electron. (2023);
    constants as a public simulator has them, read there.
    """

    t_read = 512e-9
    t0 = 200.0

    g_min: float = parameter(
        1e-8, "S", "conductance after RESET; assumed about 1/1000 of g_max, the fits begin at 0"
    )
    g_max: float = parameter(
        10.35e-6, "S", "conductance after SET; 10.35 uS of one cell, 20.7 uS of two"
    )
    devices: int = parameter(
        1, "1", "number of cells in parallel that hold one conductance", choices=(1, 2)
    )

    @property
    def _fit(self) -> _Fit:
        return _FITS[self.devices]

    @property
    def first_read(self) -> float:
        return self._fit.t0

    def programming_std(self, g: Tensor) -> Tensor:
        us = polynomial(g / self.g_max, self._fit.programming).clamp(min=0)
        return us * (self.g_max / self._fit.g_max)

    def drift_mean(self, g: Tensor) -> Tensor:
        return _DRIFT(self.share(g))

    def drift_std(self, g: Tensor) -> Tensor:
        return self._fit.drift_std(self.share(g)).clamp(min=0)

    def noise_ratio(self, g: Tensor) -> Tensor:
        return self._fit.noise(self.share(g)).clamp(min=0)

    def effects(self) -> tuple[NonIdeality, ...]:
        return HermesProgramming(cell=self), HermesDrift(cell=self), HermesReadNoise(cell=self)


@dataclass(frozen=True, kw_only=True)
class HermesProgramming(ProgrammingError):
    """The error of writing, new at every write."""


@dataclass(frozen=True, kw_only=True)
class HermesDrift(PhaseChangeDrift):
    """Drift with one exponent for each cell for life."""


@dataclass(frozen=True, kw_only=True)
class HermesReadNoise(PhaseChangeReadNoise):
    """1/f noise of a read; reads are drawn independently."""
