"""Electrochemical cells, written by counted pulses from the empty state."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, Context, NonIdeality, parameter
from memcore.modelling import ProgrammingError, Scattered, Statistical, normal_per_write


@dataclass(frozen=True, kw_only=True)
class Ecram(Statistical):
    """Lithium ECRAM whose pulses take equal steps, each with noise in proportion to the step.

        error of writing   s = c2c pulse_step sqrt(n),   n = x / pulse_step

    with x the position of a target in the window and s a share of it: the noise of n independent
    pulses from the empty state. No cell gets emptier than empty or fuller than full, so that noise
    at an end of the window is cut off: the mean of a full cell lies 0.4 s below it. Steps
    and noise are the published `dw_min` over the published range of weights and `c2c`; that steps
    grow smaller towards the ends is left out here: `linear_step` with the preset `ecram` models the
    pulses one by one. Retention is that of an open gate, the leak being that of the access device:
    age changes nothing.
    """

    g_min: float = parameter(
        1e-7, "S", "conductance when empty; assumed, the fit is published in weights"
    )
    g_max: float = parameter(
        1e-5, "S", "conductance when full; assumed, the fit is published in weights"
    )
    pulse_step: float = parameter(
        0.002 / 2.0,
        "1",
        "mean step of a pulse over the window; Tang 2018: 0.002 of -0.83 to 1.17",
        at_least=1e-9,
        at_most=1,
    )
    c2c: float = parameter(
        0.3, "1", "noise of a pulse over its step; fit of Tang 2018", at_least=0, at_most=1e3
    )

    def programming_std(self, g: Tensor) -> Tensor:
        step = self.pulse_step * (self.g_max - self.g_min)
        return self.c2c * step * ((g - self.g_min).clamp(min=0) / step).sqrt()

    def effects(self) -> tuple[NonIdeality, ...]:
        return (EcramProgramming(cell=self),)


@dataclass(frozen=True, kw_only=True)
class EcramProgramming(ProgrammingError):
    """The noise of the pulses that lead to a target, new at every write."""

    cell: Ecram = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        return _Written(self.cell, normal_per_write(array, ctx))


class _Written(Scattered):
    """The noise of writing; a cell can be neither emptier than empty nor fuller than full."""

    def __init__(self, cell: Ecram, z: Tensor) -> None:
        super().__init__(z, cell.programming_std, cell.fitted_range, "Ecram")
        self.cell = cell

    def forward(self, g: Tensor) -> Tensor:
        written: Tensor = super().forward(g)
        return torch.clamp(written, self.cell.g_min, self.cell.g_max)
