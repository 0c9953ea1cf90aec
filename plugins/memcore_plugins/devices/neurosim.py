"""The NeuroSim nonlinearity: exponential potentiation and depression curves with a label NL."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Distribution, Parameter, parameter
from memcore_plugins.devices._affine import Affine
from memcore_plugins.devices._parameters import (
    fraction,
    positive,
    require,
    require_ascending,
)
from memcore_plugins.devices._pulsed import tensor

#: NL over the largest deviation of the normalised curve from the straight line.
_LABEL: Final = 1 / (0.07 * math.sqrt(2))
_LINEAR: Final = 1e-3  #: smaller labels are straight lines
_NEWTON: Final = 12


def rate_of(nl: Parameter) -> Tensor:
    """1 / A_norm of a label NL, float64 [*cells]; 0 for |NL| < 1e-3 and of the sign of NL.

    The label is 1 / (0.07 sqrt(2)) times the largest deviation of the curve
    (1 - e^(-x/A)) / (1 - e^(-1/A)) from x, so that A follows without a table.

    Args:
        nl: label, |NL| < 10.
    """
    label = torch.as_tensor(nl, dtype=torch.float64)
    wanted = label.abs().clamp(min=_LINEAR) / _LABEL
    # Towards small labels the deviation is 1 / (8 A), towards large ones 1 - (1 + ln a) / a.
    rate = 8 * wanted / (1 - wanted)
    for _ in range(_NEWTON):
        deviation, slope = _deviation(rate)
        rate = torch.maximum(rate - (deviation - wanted) / slope, 0.2 * rate)
    return torch.where(label.abs() < _LINEAR, 0, rate * label.sign())


def _deviation(rate: Tensor) -> tuple[Tensor, Tensor]:
    """The largest deviation from the straight line at a = 1/A, and its derivative."""
    kept = -(-rate).expm1()
    log = (rate / kept).log()
    # The maximum is stationary in x: only the explicit dependence on a counts.
    place = log / rate
    slope = (
        place * (-rate * place).exp() - (-(-rate * place).expm1()) * (-rate).exp() / kept
    ) / kept
    return 1 / kept - (1 + log) / rate, slope


@dataclass(frozen=True, kw_only=True)
class NeuroSim(Affine):
    """Conductance against the number of pulses is an exponential that a label NL bends.

        LTP: G = g_min + B (1 - e^(-P/A)),                A = A_norm(NL) P_max
        LTD: G = g_max - B (1 - e^((P - P_max)/A)),       B = (g_max - g_min) / (1 - e^(-P_max/A))

    Chen, Peng, Yu, IEEE TCAD 37:3067 (2018), doi 10.1109/TCAD.2018.2789723. The state is
    (G - g_min) / (g_max - g_min). Both curves are the LTP formula with A of either sign: a positive
    label of LTP and a negative one of LTD rise and drop steeply at first, the usual device; with
    the other signs they start slowly. |NL| < 1e-3 is a straight line. A follows from NL by the
    closed relation behind the published table.

    The noise of a pulse is c2c N(0, 1) of the window: n pulses spread by c2c sqrt(n), less what the
    curve itself draws back on the way. Give nl_ltp and nl_ltd distributions for spread between
    cells; they are drawn separately. Defaults: Ag:a-Si. Valid for identical pulses of
    the published amplitude and duration.
    """

    r_on: Parameter = parameter(26e6, "ohm", "lowest resistance; Ag:a-Si")
    r_off: Parameter = parameter(325e6, "ohm", "highest resistance; Ag:a-Si, ratio 12.5")
    nl_ltp: Parameter = parameter(2.4, "1", "label of LTP, > 0 steep at first; Ag:a-Si")
    nl_ltd: Parameter = parameter(-4.88, "1", "label of LTD, < 0 steep at first; Ag:a-Si")
    n_ltp: Parameter = parameter(97.0, "1", "pulses from the lowest to the highest G; Ag:a-Si")
    n_ltd: Parameter = parameter(100.0, "1", "pulses from the highest to the lowest G; Ag:a-Si")
    v_set: float = parameter(3.2, "V", "amplitude that SETs; its sign is the polarity; Ag:a-Si")
    v_reset: float = parameter(-2.8, "V", "amplitude that RESETs, of the other sign; Ag:a-Si")
    t_set: float = parameter(300e-6, "s", "duration of a SET pulse; Ag:a-Si")
    t_reset: float = parameter(300e-6, "s", "duration of a RESET pulse; Ag:a-Si")
    c2c: float = parameter(0.035, "1", "noise of a pulse over the window; Ag:a-Si")
    x0: Parameter = parameter(0.0, "1", "position of fresh cells, 0 at the lowest conductance")

    #: The a and k of a pulse of LTP and of LTD, computed once.
    _lines: ClassVar[tuple[tuple[Tensor, Tensor], ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, positive, "a number > 0", ["r_on", "r_off"])
        require(self, lambda n: n >= 1, "a number >= 1", ["n_ltp", "n_ltd"])
        require(self, lambda nl: abs(nl) < 10, "a number between -10 and 10", ["nl_ltp", "nl_ltd"])
        require_ascending(self, "r_on", "r_off")
        curves = (self.nl_ltp, self.n_ltp, self.nl_ltd, self.n_ltd)
        if not any(isinstance(value, Distribution) for value in curves):
            lines = _line(self.nl_ltp, self.n_ltp), _line(-self.nl_ltd, self.n_ltd)
            object.__setattr__(self, "_lines", lines)

    @property
    def ends(self) -> tuple[Parameter, Parameter]:
        return 0.0, 1.0

    @property
    def additive(self) -> bool:
        return True

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        del up
        return torch.full_like(w, self.c2c)

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        (a_ltp, k_ltp), (a_ltd, k_ltd) = ((tensor(a, w), tensor(k, w)) for a, k in self._lines)
        return torch.where(up, a_ltp, k_ltd - a_ltd), torch.where(up, k_ltp, k_ltd)

    def conductance(self, state: Tensor) -> Tensor:
        x = self.position(state)
        return (1 - x) / self.r_off + x / self.r_on

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = self.conductance_range()
        return self.state_at(fraction(conductance, low, high))


def _line(nl: Parameter, pulses: Parameter) -> tuple[Tensor, Tensor]:
    """The a and k of a pulse x -> x + a - k x on the curve of a label."""
    rate, count = rate_of(nl), torch.as_tensor(pulses, dtype=torch.float64)
    fall = -rate / count
    bent = torch.where(rate == 0, 1, -rate).expm1()
    return torch.where(rate == 0, 1 / count, fall.expm1() / bent), -fall.expm1()
