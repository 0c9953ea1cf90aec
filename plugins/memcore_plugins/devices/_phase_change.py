"""What phase-change cells have in common: writing error, drift with a power of time, 1/f noise."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, Context, Gaussian, NonIdeality, Stage, parameter
from memcore_plugins.devices._parameters import positive, require
from memcore_plugins.devices._statistical import (
    YEAR,
    Scattered,
    Statistical,
    per_write,
    require_time,
)

_LEAST: Final = 1e-7  #: of g_max: where the logarithms of the fits stop


@dataclass(frozen=True, kw_only=True)
class PhaseChange(Statistical):
    """The trajectory and the noise; the fits of a technology are methods of a subclass."""

    t0: ClassVar[float]  #: s from programming to the read of the fit
    t_read: ClassVar[float]  #: s, duration of a read

    longest: float = parameter(
        YEAR, "s", "longest time to age; a year, to which the fits are commonly extrapolated"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, positive, "a number > 0", ["longest"])

    @property
    def first_read(self) -> float:
        """The t0 of this cell in s."""
        return self.t0

    def share(self, g: Tensor) -> Tensor:
        """Of g_max, at least 1e-7."""
        return (g / self.g_max).clamp(min=_LEAST)

    def programming_std(self, g: Tensor) -> Tensor:
        """S, of a target in S."""
        raise NotImplementedError

    def drift_mean(self, g: Tensor) -> Tensor:
        """Of the drift exponent of a cell that was programmed to `g` S."""
        raise NotImplementedError

    def drift_std(self, g: Tensor) -> Tensor:
        """Of the drift exponent of a cell that was programmed to `g` S."""
        raise NotImplementedError

    def noise_ratio(self, g: Tensor) -> Tensor:
        """The Q_s of a cell that was programmed to `g` S."""
        raise NotImplementedError

    def drifted(self, g: Tensor, seconds: Tensor | float, z: Tensor) -> Tensor:
        """S, `seconds` after the first read, of cells programmed to `g`.

        The exponent is `|mean + std z|`, with one standard normal z for each cell and all times.
        """
        nu = (self.drift_mean(g) + self.drift_std(g) * z).abs()
        elapsed = (torch.as_tensor(seconds, dtype=torch.float64) / self.first_read).log1p()
        return g * torch.exp(-nu * elapsed.to(g.dtype))

    def read_std(self, g: Tensor, programmed: Tensor, seconds: Tensor | float) -> Tensor:
        """S, of one read of `g` S at `seconds` after the first read."""
        t = torch.as_tensor(seconds, dtype=torch.float64) + self.first_read
        band = ((t + self.t_read) / (2 * self.t_read)).log()
        return g * self.noise_ratio(programmed) * band.sqrt().to(g.dtype)


def scattered(cell: PhaseChange, array: ArrayInfo, ctx: Context) -> nn.Module:
    """The error of one write."""
    z = per_write(ctx).random.normal(array.shape, device=ctx.torch_device)
    return Scattered(z, cell.programming_std, (0.0, cell.g_max), type(cell).__name__)


class PowerLaw(nn.Module):
    """`g (t / t0)^-nu`, a trajectory of each cell.

    Args:
        cell: whose drift.
        z: standard normal, [arrays, rows, cols], for life.
    """

    z: Tensor

    def __init__(self, cell: PhaseChange, z: Tensor) -> None:
        super().__init__()
        self.cell = cell
        self.register_buffer("z", z)

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Conductances after `seconds`."""
        require_time(seconds, self.cell.longest, type(self.cell).__name__)
        return self.cell.drifted(g, seconds, self.z.to(g.dtype))


class Flicker(Gaussian):
    """1/f noise from the duration of a read to the age of the cell: `std = g Q_s sqrt(ln ...)`.

    Q_s belongs to the programmed conductance, not to what drift left of it.
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
class PhaseChangeEffect(NonIdeality):
    """An effect of one kind of phase-change cell; a NonIdeality only through its subclasses."""

    stage = Stage.PROGRAM
    cell: PhaseChange = parameter(None, "1", "the cells that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        if self.stage is Stage.PROGRAM:
            return scattered(self.cell, array, ctx)
        if self.stage is Stage.READ:
            return Flicker(self.cell)
        z = ctx.random.normal(array.shape, device=ctx.torch_device)
        return PowerLaw(self.cell, z)
