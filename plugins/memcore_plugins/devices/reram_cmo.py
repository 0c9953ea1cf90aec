"""CMO/HfOx ReRAM: writing error, relaxation and read noise."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    Gaussian,
    NonIdeality,
    Stage,
    parameter,
)
from memcore_plugins.devices._parameters import positive, require
from memcore_plugins.devices._statistical import (
    US,
    YEAR,
    Scattered,
    Statistical,
    per_write,
    require_time,
)

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

    g_min: float = parameter(9e-6, "S", "HRS; Falcone 2025")
    g_max: float = parameter(88.2e-6, "S", "LRS; Falcone 2025")
    acceptance: float = parameter(
        0.002, "1", "relative error that write-verify accepts, 0.002 or 0.02: there is no other fit"
    )
    longest: float = parameter(
        YEAR, "s", "longest time to age; assumed a year, the fit is a logarithm of time"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_window(_LOWEST, _HIGHEST)
        require(self, positive, "a number > 0", ["longest"])
        if self.acceptance not in _WRITTEN:
            raise ConfigError(
                f"ReramCmo: acceptance={self.acceptance!r}; there are fits for 0.002 (0.2 %) and "
                "0.02 (2 %) only"
            )

    def programming_std(self, g: Tensor) -> Tensor:
        """S, of a target in S."""
        slope, offset = _WRITTEN[self.acceptance]
        return slope * g + offset * US

    def relaxed(self, g: Tensor, seconds: Tensor | float, z: Tensor) -> Tensor:
        """S, `seconds` after programming, 0 or from 1 on, of cells programmed to `g` S."""
        t = torch.as_tensor(seconds, dtype=torch.float64)
        log = t.clamp(min=1.0).log().to(g)
        moved = US * (_SHIFT * log + (_WIDENING[0] * log + _WIDENING[1]) * z)
        return (g + torch.where(t.to(g) > 0, moved, 0)).clamp(min=0)

    def read_std(self, g: Tensor, seconds: Tensor | float) -> Tensor:
        """S, of one read of `g` S at `seconds` after programming, from the first read on."""
        t = torch.as_tensor(seconds, dtype=torch.float64).clamp(min=_T_READ)
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
class ReramCmoProgramming(NonIdeality):
    """What write-verify leaves, new at every write."""

    stage = Stage.PROGRAM
    cell: ReramCmo = parameter(None, "1", "the cells that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        z = per_write(ctx).random.normal(array.shape, device=ctx.torch_device)
        return Scattered(z, self.cell.programming_std, (_LOWEST, _HIGHEST), "ReramCmo")


@dataclass(frozen=True, kw_only=True)
class ReramCmoRelaxation(NonIdeality):
    """Shift and widening with the logarithm of time."""

    stage = Stage.AGE
    cell: ReramCmo = parameter(None, "1", "the cells that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        z = per_write(ctx).random.normal(array.shape, device=ctx.torch_device)
        return _Relaxing(self.cell, z)


@dataclass(frozen=True, kw_only=True)
class ReramCmoReadNoise(NonIdeality):
    """1/f noise of a read; reads are drawn independently."""

    stage = Stage.READ
    cell: ReramCmo = parameter(None, "1", "the cells that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del array, ctx
        return _Noisy(self.cell)


class _Relaxing(nn.Module):
    z: Tensor

    def __init__(self, cell: ReramCmo, z: Tensor) -> None:
        super().__init__()
        self.cell = cell
        self.register_buffer("z", z)

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        require_time(seconds, self.cell.longest, "ReramCmo", shortest=1.0)
        return self.cell.relaxed(g, seconds, self.z.to(g.dtype))


class _Noisy(Gaussian):
    def __init__(self, cell: ReramCmo) -> None:
        super().__init__()
        self.cell = cell

    def variance(self, x: Tensor) -> Tensor:
        return self.cell.read_std(x, self.seconds).square()
