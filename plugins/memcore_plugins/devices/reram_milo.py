"""HfO2 1T1R ReRAM written by a ramp of the gate voltage: writing error and curved current."""

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from memcore import ConfigError, NonIdeality, parameter
from memcore.modelling import US, ProgrammingError, Statistical, polynomial, require_inside
from memcore_plugins._tensor import as_tensor

_LOWEST: Final = 50 * US  #: S, of the fit
_HIGHEST: Final = 225 * US  #: S, of the fit
_QUADRATIC: Final = (7.063e-3, 5.711e-3, 1.541e-3, 1.388e-4)  #: A/V^2, ascending in log10 of S
_CUBIC: Final = (1.2968e-3, 6.7919e-4, 8.871e-5)  #: A/V^3, ascending in log10 of S


@dataclass(frozen=True, kw_only=True)
class ReramMilo(Statistical):
    """Cells after IGVVA-100 programming, g from 50 to 225 uS:

        s = 4.782321 - 0.009107 g uS,   g in uS.

    Milo et al., IRPS (2021); constants of a public simulator, read there. Nothing is known of what
    happens after programming, so age changes nothing. The measured current is slightly curved,
    `curved_current`; arrays are read as ohmic, as long as no effect of the product says otherwise.
    """  # noqa: D415

    g_min: float = parameter(50e-6, "S", "conductance of the lowest level; Milo 2021")
    g_max: float = parameter(225e-6, "S", "conductance of the highest level; Milo 2021")

    @property
    def fitted_range(self) -> tuple[float, float]:
        return _LOWEST, _HIGHEST

    def programming_std(self, g: Tensor) -> Tensor:
        return -0.009107 * g + 4.782321 * US

    def curvature(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """The quadratic and the cubic coefficient of I(V), A/V^2 and A/V^3, for `g` S.

        Both are polynomials in log10 of g in siemens.

        Raises:
            ConfigError: conductances outside 62.5 to 110 uS.
        """
        require_inside(g, 62.5 * US, 110 * US, "ReramMilo.curvature")
        x = g.log10()
        return polynomial(x, _QUADRATIC), polynomial(x, _CUBIC)

    def curved_current(self, g: Tensor, voltage: Tensor) -> Tensor:
        """`I = g V + a V^2 + b V^3` in A.

        Raises:
            ConfigError: voltages beyond 0.5 V or conductances outside 62.5 to 110 uS.
        """
        if float(as_tensor(voltage).abs().max()) > 0.5:
            raise ConfigError("ReramMilo: the current is fitted up to 0.5 V; lower the voltage")
        a, b = self.curvature(g)
        return g * voltage + a * voltage**2 + b * voltage**3

    def effects(self) -> tuple[NonIdeality, ...]:
        return (ReramMiloProgramming(cell=self),)


@dataclass(frozen=True, kw_only=True)
class ReramMiloProgramming(ProgrammingError):
    """What the ramp of the gate voltage leaves, new at every write."""
