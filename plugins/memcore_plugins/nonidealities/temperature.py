"""Conductances at the temperature of the read."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    NoEffectWarning,
    NonIdeality,
    Stage,
    Steady,
    parameter,
)
from memcore.modelling import VOLT_PER_KELVIN


@dataclass(frozen=True, kw_only=True)
class Temperature(NonIdeality):
    """Conductance at the temperature T of the arrays of cells that were programmed at T_0:

        G(T) = G exp(-E(G)/k (1/T - 1/T_0)) / (1 + alpha x (T - T_0))
        E(G) = ea_hrs + (ea_lrs - ea_hrs) x,   x = ln(G / G_min) / ln(G_max / G_min) in [0, 1]

    with the nominal window. The exponential is activated conduction, the more so the higher the
    resistance; the fraction is the metallic filament of LRS, whose resistance rises with T. T is
    the `temperature` of the `CrossbarConfig`; it is the same at every read.

    Commonly quoted: 0.03 to 0.1 eV for HRS of oxide cells and +1e-3/K for LRS; 0.1 to 0.3 eV for
    the amorphous phase of phase-change cells. These are ranges over many devices: measure yours.
    """  # noqa: D415

    stage = Stage.READ

    ea_hrs: float = parameter(
        0.05, "eV", "activation energy at the lowest conductance; mid-range", at_least=0, at_most=10
    )
    ea_lrs: float = parameter(
        0.0, "eV", "activation energy at the highest conductance", at_least=0, at_most=10
    )
    alpha: float = parameter(
        1e-3, "1/K", "relative rise of the resistance at the highest conductance", within=(-1, 1)
    )
    reference: float = parameter(
        300.0, "K", "temperature T_0 at which the cells were programmed", at_least=4.0
    )

    neutral: ClassVar = {"ea_hrs": 0.0, "ea_lrs": 0.0, "alpha": 0.0}

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        t = ctx.temperature
        if t == self.reference:
            warnings.warn(
                f"the arrays are at {t:g} K, which is the reference of the effect of temperature; "
                "it has no effect: give the CrossbarConfig another temperature",
                NoEffectWarning,
                stacklevel=2,
            )
        growth = self.alpha * (t - self.reference)
        if growth <= -1:
            raise ConfigError(
                f"Temperature: alpha={self.alpha!r} 1/K makes the resistance negative at {t:g} K; "
                f"expected alpha (T - {self.reference:g}) > -1"
            )
        beta = (1 / t - 1 / self.reference) / VOLT_PER_KELVIN
        low, high = array.nominal.nominal_range()
        ends = (self.ea_hrs * beta, self.ea_lrs * beta)
        return _AtTemperature(ends, growth, (low, high))


class _AtTemperature(Steady):
    """`g exp(-E/k (1/T - 1/T_0)) / (1 + alpha x (T - T_0))`.

    Args:
        exponents: E/k (1/T - 1/T_0) at the lowest and at the highest conductance.
        growth: alpha (T - T_0).
        window: lowest and highest conductance, S.
    """

    def __init__(
        self, exponents: tuple[float, float], growth: float, window: tuple[float, float]
    ) -> None:
        super().__init__()
        self.exponents, self.growth, self.window = exponents, growth, window

    def forward(self, g: Tensor) -> Tensor:
        (hrs, lrs), (low, high) = self.exponents, self.window
        x = (g.clamp(low, high) / low).log() / math.log(high / low)
        return g * (-(hrs + (lrs - hrs) * x)).exp() / (1 + self.growth * x)
