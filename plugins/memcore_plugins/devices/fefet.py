"""Ferroelectric transistor of HZO, written by counted pulses from the empty state."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, ConfigError, Context, NonIdeality, parameter
from memcore.modelling import (
    ProgrammingError,
    Scattered,
    Statistical,
    normal_per_write,
    require_inside,
)


@dataclass(frozen=True, kw_only=True)
class FeFet(Statistical):
    """HZO FeFET with a number of levels, each one pulse above the one before.

        error of writing   s = c2c (g_max - g_min) sqrt(n),   n = (states - 1) x pulses

    with x the position of the target in the window: the noise of n independent pulses. It is cut
    off at the ends of the window: the mean of the top level lies 0.4 s below it, by default 1.1 %.
    Window, levels and noise are those of the HZO row of the NeuroSim manual (Chen, Peng, Yu,
    TCAD 37:3067, 2018). `neurosim` with the preset `hzo_fefet` models the pulses one by one.

    Nucleation-limited switching (Alessandri, EDL 2018) is a function, `switched`, without defaults:
    the share of the polarisation after a pulse, 1 - exp(-(t / tau)^b), tau = tau0 exp((v_a / V)^a).
    """

    g_min: float = parameter(
        1 / (45 * 559.28e3), "S", "conductance when off; 559.28 kohm and a ratio of 45, manual"
    )
    g_max: float = parameter(1 / 559.28e3, "S", "conductance when on; 559.28 kohm, manual")
    states: int = parameter(32, "1", "number of levels, both ends included; manual", at_least=2)
    c2c: float = parameter(
        0.005, "1", "noise of a pulse over the window; manual: below 0.5 %", at_least=0, at_most=1e3
    )

    def _pulses(self, g: Tensor) -> Tensor:
        return (self.states - 1) * ((g - self.g_min) / (self.g_max - self.g_min)).clamp(0, 1)

    def level(self, g: Tensor) -> Tensor:
        """The nearest level in S."""
        step = (self.g_max - self.g_min) / (self.states - 1)
        return self.g_min + step * self._pulses(g).round()

    def programming_std(self, g: Tensor) -> Tensor:
        return self.c2c * (self.g_max - self.g_min) * self._pulses(g).sqrt()

    @staticmethod
    def switched(
        voltage: float, seconds: float, *, tau0: float, v_a: float, a: float, b: float
    ) -> float:
        """Share of the polarisation that a pulse switches.

        Args:
            voltage: amplitude of the pulse in V, above 0.
            seconds: duration of the pulse.
            tau0: shortest time constant, s.
            v_a: activation voltage, V.
            a: exponent of the field.
            b: exponent of the time.

        Raises:
            ConfigError: a number that is not positive.
        """
        if not (min(voltage, tau0, v_a, a, b) > 0 and seconds >= 0):
            raise ConfigError(f"voltage={voltage!r}, seconds={seconds!r}; expected numbers > 0")
        exponent = min((v_a / voltage) ** a, 700.0)
        return -math.expm1(-((seconds / (tau0 * math.exp(exponent))) ** b))

    def effects(self) -> tuple[NonIdeality, ...]:
        return (FeFetProgramming(cell=self),)


@dataclass(frozen=True, kw_only=True)
class FeFetProgramming(ProgrammingError):
    """The nearest level, and the noise of the pulses that lead to it, new at every write."""

    cell: FeFet = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        return _Written(self.cell, normal_per_write(array, ctx))


class _Written(Scattered):
    """The noise about a level, within the window."""

    def __init__(self, cell: FeFet, z: Tensor) -> None:
        super().__init__(z, cell.programming_std, cell.fitted_range, "FeFet")
        self.cell = cell

    def forward(self, g: Tensor) -> Tensor:
        require_inside(g, *self.limits, self.who)
        written: Tensor = super().forward(self.cell.level(g))
        return torch.clamp(written, self.cell.g_min, self.cell.g_max)
