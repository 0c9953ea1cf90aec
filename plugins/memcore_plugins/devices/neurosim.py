"""The NeuroSim nonlinearity: exponential potentiation and depression curves with a label NL."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memcore import Distribution, Parameter, parameter
from memcore.modelling import AffinePulsed, tensor
from memcore_plugins.devices._neurosim_label import line_of


@dataclass(frozen=True, kw_only=True)
class NeuroSim(AffinePulsed):
    """Conductance against the number of pulses is an exponential that a label NL bends.

        LTP: G = g_min + B (1 - e^(-P/A)),                A = A_norm(NL) P_max
        LTD: G = g_max - B (1 - e^((P - P_max)/A)),       B = (g_max - g_min) / (1 - e^(-P_max/A))

    Chen, Peng, Yu, IEEE TCAD 37:3067 (2018), doi 10.1109/TCAD.2018.2789723. The state is
    (G - g_min) / (g_max - g_min). Both curves are the LTP formula with A of either sign: a positive
    label of LTP and a negative one of LTD rise and drop steeply at first, the usual device; with
    the other signs they start slowly. |NL| < 1e-3 is a straight line. A follows from NL by the
    closed relation behind the published table.

    The noise is c2c N(0, 1) of the window. With `noise="per_pulse"` each pulse draws it, so that n
    pulses spread by c2c sqrt(n), less what the curve itself draws back on the way; with
    `"per_update"` all pulses of one call have one draw between them. Both are in use: the former in
    the MLP simulator V3, the latter in DNN+NeuroSim V2.1. Give nl_ltp and nl_ltd distributions for
    spread between cells; they are drawn separately. Defaults: Ag:a-Si. Valid for identical pulses
    of the published amplitude and duration.
    """

    even_noise: ClassVar[bool] = True

    r_on: Parameter = parameter(26e6, "ohm", "lowest resistance; Ag:a-Si", above=0, below="r_off")
    r_off: Parameter = parameter(325e6, "ohm", "highest resistance; Ag:a-Si, ratio 12.5", above=0)
    nl_ltp: Parameter = parameter(
        2.4, "1", "label of LTP, above 0 for steep at first; Ag:a-Si", above=-10, below=10
    )
    nl_ltd: Parameter = parameter(
        -4.88, "1", "label of LTD, below 0 for steep at first; Ag:a-Si", above=-10, below=10
    )
    n_ltp: Parameter = parameter(97.0, "1", "number of pulses of LTP; Ag:a-Si", at_least=1)
    n_ltd: Parameter = parameter(100.0, "1", "number of pulses of LTD; Ag:a-Si", at_least=1)
    v_set: float = parameter(
        3.2, "V", "amplitude of a SET pulse, with the sign of the polarity; Ag:a-Si"
    )
    v_reset: float = parameter(
        -2.8, "V", "amplitude of a RESET pulse, of the opposite sign; Ag:a-Si"
    )
    t_set: float = parameter(300e-6, "s", "duration of a SET pulse; Ag:a-Si")
    t_reset: float = parameter(300e-6, "s", "duration of a RESET pulse; Ag:a-Si")
    c2c: float = parameter(0.035, "1", "noise of a pulse over the window; Ag:a-Si")
    noise: str = parameter(
        "per_pulse",
        "1",
        "whether each pulse is noisy or an update as a whole",
        choices=("per_pulse", "per_update"),
    )
    x0: Parameter = parameter(0.0, "1", "position of fresh cells, 0 at the lowest conductance")

    #: The a and k of a pulse of LTP and of LTD, computed once.
    _lines: ClassVar[tuple[tuple[Tensor, Tensor], ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        curves = (self.nl_ltp, self.n_ltp, self.nl_ltd, self.n_ltd)
        if not any(isinstance(value, Distribution) for value in curves):
            lines = line_of(self.nl_ltp, self.n_ltp), line_of(-self.nl_ltd, self.n_ltd)
            object.__setattr__(self, "_lines", lines)

    @property
    def additive(self) -> bool:
        return True

    @property
    def noisy(self) -> bool:
        return self.c2c > 0 and self.noise == "per_pulse"

    @property
    def noise_of_update(self) -> float:
        return self.c2c if self.noise == "per_update" else 0.0

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        del up
        return torch.full_like(w, self.c2c)

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        (a_ltp, k_ltp), (a_ltd, k_ltd) = ((tensor(a, w), tensor(k, w)) for a, k in self._lines)
        return torch.where(up, a_ltp, k_ltd - a_ltd), torch.where(up, k_ltp, k_ltd)

    def conductance(self, state: Tensor) -> Tensor:
        x = self.position(state)
        return (1 - x) / self.r_off + x / self.r_on
