"""Cells that jump between two conductances."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    LogNormal,
    NonIdeality,
    ReadStream,
    Stage,
    parameter,
)

#: What remains of the correlation with the reads that are no longer looked at, exp(-12).
_FORGOTTEN = 12.0
#: How many earlier reads are looked at, at most.
_LONGEST = 256


@dataclass(frozen=True, kw_only=True)
class TelegraphNoise(NonIdeality):
    """Random telegraph noise: a trap that is empty or occupied, where the resistance is higher.

        R = R_0 (1 + a) while occupied,   a = min(A (R_0 / R_LRS)^slope, largest)

    Only a `share` of the cells has such a trap, with an A of its own each, lognormal over the cells
    and drawn once. It stays empty for tau_c on average and occupied for tau_e, so it is occupied
    for a share p = tau_e / (tau_c + tau_e) of the time, and the spectrum of the conductance is

        S(f) = 4 dG^2 / {(tau_c + tau_e) [(1/tau_c + 1/tau_e)^2 + (2 pi f)^2]}.

    By default reads are taken as far apart compared with tau: each finds the trap anew, occupied
    with probability p, and only p matters. With a finite `interval` between reads the state is
    followed from read to read, with the correlation exp(-interval (1/tau_c + 1/tau_e)): between
    reads the trap either forgets its state, with probability 1 - exp(-interval (...)), and is then
    occupied with probability p, or keeps it. That is the same process, and the state at a read is
    a function of the read's number.

    Amplitudes are lognormal over devices and rise with the resistance up to some ten per cent in
    HRS: Ambrogio et al., TED 61:2912 (2014); Veksler et al. (2013). The numbers are round ones.
    """

    stage = Stage.READ

    amplitude: float = parameter(
        0.05,
        "1",
        "median amplitude A = dR/R in the low-resistance state; a round number",
        at_least=0,
        at_most=1e3,
    )
    spread: float = parameter(
        0.5,
        "1",
        "standard deviation of ln A from cell to cell; a round number",
        at_least=0,
        at_most=10,
    )
    slope: float = parameter(
        0.0,
        "1",
        "increase of ln A with ln R; 0 for the same amplitude in every state",
        at_least=0,
        at_most=10,
    )
    largest: float = parameter(
        0.5, "1", "largest amplitude; a round number", at_least=0, at_most=1e3
    )
    share: float = parameter(
        0.3, "1", "share of the cells that have a trap; a round number", within=(0, 1)
    )
    tau_c: float = parameter(
        1e-3, "s", "mean time until an empty trap captures an electron", above=0
    )
    tau_e: float = parameter(1e-3, "s", "mean time until an occupied trap emits it", above=0)
    interval: float = parameter(
        math.inf,
        "s",
        "time between two reads; infinite for reads that are far apart",
        above=0,
        finite=False,
    )

    neutral: ClassVar = {"amplitude": 0.0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory > _LONGEST:
            raise ConfigError(
                f"TelegraphNoise: interval={self.interval!r} with tau_c={self.tau_c!r} and "
                f"tau_e={self.tau_e!r}: a read would depend on {self.memory} reads before it, at "
                f"most {_LONGEST} are followed; take a longer interval, or leave it out for reads "
                "that are far apart"
            )

    @property
    def occupancy(self) -> float:
        """The share of the time for which a trap is occupied."""
        return self.tau_e / (self.tau_c + self.tau_e)

    @property
    def forgetting(self) -> float:
        """The probability that a trap forgets its state between two reads."""
        return -math.expm1(-self.interval * (1 / self.tau_c + 1 / self.tau_e))

    @property
    def memory(self) -> int:
        """Number of earlier reads that matter to a read."""
        decays = self.interval * (1 / self.tau_c + 1 / self.tau_e)
        return 0 if decays > _FORGOTTEN else math.ceil(_FORGOTTEN / decays)

    def spectrum(self, frequency: Tensor) -> Tensor:
        """Power spectral density over the square of the step, 1/Hz, one-sided."""
        rate = 1 / self.tau_c + 1 / self.tau_e
        return 4 / ((self.tau_c + self.tau_e) * (rate**2 + (2 * math.pi * frequency) ** 2))

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        where = ctx.torch_device
        amplitude = torch.zeros(array.shape, device=where)
        if self.amplitude:
            spread = LogNormal(self.amplitude, self.spread)
            amplitude = spread.sample(ctx.random.child("amplitude"), array.shape, device=where)
        has_trap = ctx.random.child("share").uniform(array.shape, device=where) < self.share
        return _Traps(self, amplitude * has_trap, array.nominal.nominal_range()[1])


class _Traps(nn.Module):
    """`g / (1 + a)` where a trap is occupied."""

    amplitude: Tensor

    def __init__(self, noise: TelegraphNoise, amplitude: Tensor, g_lrs: float) -> None:
        super().__init__()
        self.register_buffer("amplitude", amplitude)
        self.noise = noise
        self.g_lrs = g_lrs

    def forward(self, g: Tensor, stream: ReadStream) -> Tensor:
        a = self.amplitude.to(g.dtype)
        if self.noise.slope:
            a = a * (g / self.g_lrs).clamp(min=1e-7) ** -self.noise.slope
        a = a.clamp(max=self.noise.largest)
        return torch.where(self._occupied(g, stream), g / (1 + a), g)

    def _occupied(self, g: Tensor, stream: ReadStream) -> Tensor:
        """Follow the traps through the reads before: one draw says both whether and what."""
        p, forgets, memory = self.noise.occupancy, self.noise.forgetting, self.noise.memory
        draw = ReadStream(stream.key, stream.reads - memory).uniform(g.shape[1:])
        occupied = draw < p
        for back in reversed(range(memory)):
            draw = ReadStream(stream.key, stream.reads - back).uniform(g.shape[1:])
            occupied = torch.where(draw < forgets, draw < forgets * p, occupied)
        return occupied
