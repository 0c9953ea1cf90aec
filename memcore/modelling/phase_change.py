"""What phase-change cells have in common: writing error, drift with a power of time, 1/f noise."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from memcore._tensor import as_tensor
from memcore.contracts.array import ArrayInfo
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Gaussian
from memcore.contracts.parameters import parameter
from memcore.contracts.records import Context, Stage
from memcore.modelling.effects import Relaxation, Trajectory
from memcore.modelling.statistical import YEAR, Statistical, require_time

_LEAST: Final = 1e-7  #: share of g_max at which the logarithms of the fits stop


@dataclass(frozen=True, kw_only=True)
class PhaseChange(Statistical):
    """A trajectory of drift and the noise of reads; a subclass gives the fits of a technology.

        drift   g(t) = g ((t + t0) / t0)^-nu,   nu = abs(mean(G) + std(G) z),   z ~ N(0, 1)
        read    std = g(t) Q(g) sqrt(ln((t + t0 + t_read) / (2 t_read)))

    The fits `programming_std`, `drift_mean` and `drift_std` are those of the target G of a cell,
    `noise_ratio` is that of the conductance g which programming left. The effects
    `ProgrammingError`, `PhaseChangeDrift` and `PhaseChangeReadNoise` are subclassed once for each
    technology and returned by `effects()`.
    """

    t0: ClassVar[float]  #: s from programming to the read of the fit
    t_read: ClassVar[float]  #: s, duration of a read

    longest: float = parameter(
        YEAR,
        "s",
        "longest time to age; a year, to which the fits are commonly extrapolated",
        above=0,
    )

    @property
    def fitted_range(self) -> tuple[float, float]:
        return 0.0, self.g_max

    @property
    def first_read(self) -> float:
        """The t0 of this cell in s."""
        return self.t0

    def share(self, g: Tensor) -> Tensor:
        """Conductance over g_max, at least 1e-7, so that it has a logarithm."""
        return (g / self.g_max).clamp(min=_LEAST)

    def drift_mean(self, g: Tensor) -> Tensor:
        """Mean drift exponent of cells with a target of `g` S."""
        raise NotImplementedError

    def drift_std(self, g: Tensor) -> Tensor:
        """Standard deviation of the drift exponent of cells with a target of `g` S."""
        raise NotImplementedError

    def noise_ratio(self, g: Tensor) -> Tensor:
        """The noise ratio Q of cells that were programmed to `g` S."""
        raise NotImplementedError

    def drifted(self, g: Tensor, target: Tensor, seconds: Tensor | float, z: Tensor) -> Tensor:
        """Conductance in S, `seconds` after the first read, of cells that were left at `g` S.

        The exponent is `|mean + std z|` of the target in S, with one standard normal z for each
        cell and all times.
        """
        nu = (self.drift_mean(target) + self.drift_std(target) * z).abs()
        elapsed = (as_tensor(seconds, dtype=torch.float64) / self.first_read).log1p()
        return g * torch.exp(-nu * elapsed.to(g.dtype))

    def aged(self, g: Tensor, target: Tensor, seconds: Tensor, z: Tensor) -> Tensor:
        require_time(seconds, self.longest, type(self).__name__)
        return self.drifted(g, target, seconds, z)

    def read_std(  # type: ignore[override]
        self, g: Tensor, programmed: Tensor, seconds: Tensor | float
    ) -> Tensor:
        """Standard deviation in S of one read of `g` S at `seconds` after the first read."""
        t = as_tensor(seconds, dtype=torch.float64) + self.first_read
        band = ((t + self.t_read) / (2 * self.t_read)).log()
        return g * self.noise_ratio(programmed) * band.sqrt().to(g.dtype)


class _Flicker(Gaussian):
    """1/f noise from the duration of a read to the age of the cell: `std = g Q sqrt(ln ...)`.

    Q belongs to the programmed conductance, not to what drift left of it.
    """

    programmed: Tensor | None

    def __init__(self, cell: PhaseChange) -> None:
        super().__init__()
        self.cell = cell
        self.register_buffer("programmed", None, persistent=False)

    def settle(self, programmed: Tensor, seconds: Tensor) -> None:
        super().settle(programmed, seconds)
        self.programmed = programmed

    def variance(self, x: Tensor) -> Tensor:
        programmed = x if self.programmed is None else self.programmed
        return self.cell.read_std(x, programmed, self.seconds).to(x.dtype).square()


@dataclass(frozen=True, kw_only=True)
class PhaseChangeDrift(Relaxation):
    """Structural relaxation of the amorphous phase, with one exponent for each cell for life."""

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        z = ctx.random.normal(array.shape, device=ctx.torch_device)
        return Trajectory(z, self.cell.aged, array.target)


@dataclass(frozen=True, kw_only=True)
class PhaseChangeReadNoise(NonIdeality):
    """1/f noise of a read; reads are drawn independently, so averaging helps too much."""

    stage = Stage.READ
    cell: PhaseChange = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del array, ctx
        return _Flicker(self.cell)
