"""Cells that lose what was written as time passes."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from torch import Tensor

from memcore import ConfigError, LogNormal, Parameter, parameter
from memcore.modelling import VOLT_PER_KELVIN
from memcore_plugins.nonidealities._wear import Wear, Worn

_APART: Final = 2.0  #: ratio of two conductances by which LRS and HRS can be told apart


class _Retained(Worn):
    """Counts seconds."""

    clock = "seconds"


@dataclass(frozen=True, kw_only=True)
class Retention(Wear):
    """A cell fails once the time t since programming exceeds a threshold:

        t_th = p0 exp(p1 s + p2 T_c + Ea/k (1/T - 1/T_ref)),   T_c = min(T_th / T, 1)
        gradual   log10 R = log10 R_0 + p3 (p1 s + p2 T_c) (log10 t - log10 t_th)   for t > t_th
        sudden    R = the stable value                                            for t > t_th

    with the cell size s and a set of p for LRS and for HRS, which meet at the geometric middle of a
    cell's window. Gradual failure ends at the stable value, or at the end of the window where it
    leads away from it; so a p3 > 0 lets R rise. p0 may be a distribution: then each cell has a
    threshold of its own, drawn once.

    Lammie, Rahimi Azghadi, Ielmini, Semicond. Sci. Technol. (2021). The Arrhenius term is ours to
    add: the activation energy of resistive cells is commonly given as 1 to 1.6 eV. Time that passes
    at another temperature, `memcore.age(model, seconds=..., temperature=...)`, counts by the ratio
    of the thresholds at the two temperatures. The slope is that at the temperature of the arrays.

    The numbers are round ones and describe no material: no public set was fitted. Fit yours.
    """  # noqa: D415

    form = _Retained

    p0_lrs: Parameter = parameter(
        1e6, "s", "scale of the threshold in LRS; a round number", finite=False, at_least=1e-30
    )
    p0_hrs: Parameter = parameter(
        1e6, "s", "scale of the threshold in HRS; a round number", finite=False, at_least=1e-30
    )
    activation: float = parameter(
        0.0,
        "eV",
        "activation energy of both states; 0 leaves the temperature to p2",
        at_least=0,
        at_most=10,
    )
    reference: float = parameter(
        300.0, "K", "reference temperature T_ref of the activation", at_least=4.0
    )

    neutral: ClassVar = Wear.neutral
    fitted: ClassVar = {"p0_lrs": LogNormal, "p3_lrs": None, "p0_hrs": LogNormal, "p3_hrs": None}

    def anchored(self, conductance: Tensor, window: tuple[float, float] | None) -> Self:
        """The same, where its law can be fitted to cells in a window that is known.

        Raises:
            ConfigError: a sudden failure has no slopes, or LRS and HRS cannot be told apart.
        """
        if self.mode == "sudden":
            raise ConfigError(
                "Retention: mode='sudden' cannot be fitted: nothing changes but at one time; "
                "expected mode='gradual'"
            )
        low, high = (float(end) for end in conductance.aminmax())
        if window is None and high < _APART * low:
            raise ConfigError(
                f"Retention: the cells begin at {low:.4g} to {high:.4g} S, which does not tell LRS "
                "from HRS; expected the device whose window they have: device=..."
            )
        return self

    @property
    def feels_temperature(self) -> bool:  # type: ignore[override]
        return self.activation > 0 or super().feels_temperature

    def log_threshold(self, temperature: Tensor) -> Tensor:
        arrhenius = (1 / temperature - 1 / self.reference) * (self.activation / VOLT_PER_KELVIN)
        return super().log_threshold(temperature) + arrhenius
