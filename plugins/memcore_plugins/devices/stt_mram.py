"""Spin-transfer-torque MRAM: one bit in each cell, written and kept with a probability."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import (
    Affine,
    ArrayInfo,
    ConfigError,
    Context,
    NonIdeality,
    Normal,
    Stage,
    parameter,
)
from memcore.modelling import Unpulsed, per_write, require_inside


@dataclass(frozen=True, kw_only=True)
class SttMram(Unpulsed):
    """A magnetic tunnel junction, parallel (P, conducting) or antiparallel (AP).

        R_P = ra / area,   R_AP = R_P (1 + TMR(v_read)),   TMR(V) = tmr / (1 + (V / v_half)^2)

        retention     P(t) = 1 - exp(-(t / tau0) e^-delta)
        read disturb  P(t) = 1 - exp(-(t / tau0) e^(-delta (1 - i)))
        write error   P(t) = 1 - exp(-(pi^2 delta / 4) (i - 1) / (i e^(2 (i - 1) t / tau_d) - 1))

    with i the current in units of the critical one, below 1 to read and above 1 to write.
    Butler et al., IEEE Trans. Magn. (2012) for the error of writing; the numbers are typical ranges
    of reviews, not one device. A target takes the nearer of the two states, so that weights with
    more than one bit need slicing. Resistances are normal, with the same factor in both states.
    """

    ra: float = parameter(
        7.5e-12, "ohm m^2", "resistance-area product; typical of reviews", within=(5e-12, 1e-11)
    )
    area: float = parameter(1.96e-15, "m^2", "area of the junction; assumed, 50 nm across", above=0)
    tmr: float = parameter(1.5, "1", "magnetoresistance at 0 V; typical of reviews", within=(1, 2))
    v_half: float = parameter(
        0.5, "V", "voltage at which it has halved; about 0.5 V, typical of reviews", above=0
    )
    v_read: float = parameter(
        0.1, "V", "voltage at which conductance means I / V; assumed", above=0
    )
    delta: float = parameter(60.0, "1", "thermal stability; typical of reviews", within=(40, 80))
    tau0: float = parameter(1e-9, "s", "attempt time; 1 ns, typical of reviews", above=0)
    std: float = parameter(
        0.05, "1", "relative spread of resistances; typical of reviews", within=(0, 0.06)
    )
    overdrive: float = parameter(1.5, "1", "write current over critical current; assumed", above=1)
    write_time: float = parameter(2e-8, "s", "duration of the write pulse; assumed", above=0)
    tau_d: float = parameter(1e-9, "s", "time constant of the precession; assumed", above=0)

    def magnetoresistance(self, voltage: float) -> float:
        """R_AP / R_P - 1 at a voltage."""
        return self.tmr / (1 + (voltage / self.v_half) ** 2)

    def conductance_range(self) -> tuple[float, float]:
        parallel = self.area / self.ra
        return parallel / (1 + self.magnetoresistance(self.v_read)), parallel

    def lost(self, seconds: float) -> float:
        """Probability that a bit has flipped by itself."""
        return -math.expm1(-seconds / self.tau0 * math.exp(-self.delta))

    def disturbed(self, current: float, seconds: float) -> float:
        """Probability that reading flips a bit; `current` in units of the critical one.

        Raises:
            ConfigError: the current is no read current.
        """
        if not 0 <= current < 1:
            raise ConfigError(f"current={current!r} of the critical one; expected [0, 1) to read")
        return -math.expm1(-seconds / self.tau0 * math.exp(-self.delta * (1 - current)))

    def write_error(self) -> float:
        """Probability that a write leaves the bit as it was."""
        i = self.overdrive
        grown = i * math.exp(min(2 * (i - 1) * self.write_time / self.tau_d, 700.0)) - 1
        return -math.expm1(-(math.pi**2) * self.delta / 4 * (i - 1) / grown)

    def effects(self) -> tuple[NonIdeality, ...]:
        return SttMramWriting(cell=self), SttMramSpread(cell=self), SttMramRetention(cell=self)


@dataclass(frozen=True, kw_only=True)
class SttMramWriting(NonIdeality):
    """Two states, and a bit that is not written now and then, anew at every write.

    A cell whose write fails is taken to be in the other state.
    """

    stage = Stage.PROGRAM
    cell: SttMram = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        u = per_write(ctx).random.uniform(array.shape, device=ctx.torch_device)
        return _Written(u < self.cell.write_error(), self.cell.conductance_range())


@dataclass(frozen=True, kw_only=True)
class SttMramSpread(NonIdeality):
    """Junctions differ in area and barrier, for life."""

    stage = Stage.PROGRAM
    cell: SttMram = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        resistance = Normal(1.0, self.cell.std, min=0.1)
        drawn = resistance.sample(ctx.random, array.shape, device=ctx.torch_device)
        return Affine(gain=1 / drawn)


@dataclass(frozen=True, kw_only=True)
class SttMramRetention(NonIdeality):
    """A bit flips once, at a time of its own."""

    stage = Stage.AGE
    cell: SttMram = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        u = per_write(ctx).random.uniform(array.shape, device=ctx.torch_device).double()
        life = -torch.log1p(-u) * (self.cell.tau0 * math.exp(self.cell.delta))
        return _Kept(life, self.cell.conductance_range())


class _Written(nn.Module):
    fails: Tensor

    def __init__(self, fails: Tensor, ends: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("fails", fails)
        self.ends = ends

    def forward(self, g: Tensor) -> Tensor:
        low, high = self.ends
        require_inside(g, low, high, "SttMram")
        parallel = (g > 0.5 * (low + high)) ^ self.fails
        return torch.where(parallel, high, low).to(g.dtype)


class _Kept(nn.Module):
    life: Tensor

    def __init__(self, life: Tensor, ends: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("life", life)
        self.ratio = ends[1] / ends[0]
        self.between = math.sqrt(ends[0] * ends[1])

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        flipped = torch.where(g > self.between, g / self.ratio, g * self.ratio)
        return torch.where(seconds > self.life, flipped, g)
