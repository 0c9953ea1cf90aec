"""TEAM: a device with current thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import advance, as_state, filled, fraction, log


@dataclass(frozen=True, kw_only=True)
class Team(Memristor):
    """Threshold adaptive memristor: a power law of the current beyond two thresholds.

        dx/dt = k_off (i/i_off - 1)^alpha_off f_off(x)   for i > i_off > 0   (RESET)
              = k_on  (i/i_on  - 1)^alpha_on  f_on(x)    for i < i_on  < 0   (SET)
        f_off = exp(-exp((x - a_off)/w_c)),  f_on = exp(-exp((a_on - x)/w_c))   (window `team`)
        R = r_on + (r_off - r_on) s   (`linear`)   or   r_on (r_off/r_on)^s   (`exponential`)

    with s = (x - x_on) / (x_off - x_on), which is the state: 0 at r_on, 1 at r_off. Window `none`
    lets it stop at its ends. Kvatinsky, Friedman, Kolodny, Weiser, "TEAM", IEEE TCAS-I 60:211
    (2013), doi 10.1109/TCSI.2012.2215714; defaults: figures 10 to 13. i_on and k_on are negative,
    though papers print magnitudes: a positive i_on would make the device drift at rest.
    A constant voltage is integrated in sub-steps whose rate is exponential in the state. Valid
    for the fitted currents, 0.1 uA to 1 mA; with its window x stays about a_off to a_on.
    """

    polarity: ClassVar[int] = -1

    r_on: Parameter = parameter(50.0, "ohm", "resistance at x_on; fig 10", above=0, below="r_off")
    r_off: Parameter = parameter(1e3, "ohm", "resistance at x_off; fig 10", above=0)
    i_on: Parameter = parameter(
        -8.9e-6,
        "A",
        "threshold towards r_on, negative; fig 10",
        below=0,
        remedy="magnitudes are often printed; give it its sign",
    )
    i_off: Parameter = parameter(115e-6, "A", "threshold towards r_off; fig 10", above=0)
    k_on: Parameter = parameter(
        -4.68e-22,
        "m/s",
        "speed towards x_on, negative; fig 10",
        below=0,
        by_logarithm=True,
        remedy="magnitudes are often printed; give it its sign",
    )
    k_off: Parameter = parameter(
        1.46e-18, "m/s", "speed towards x_off; fig 10", above=0, by_logarithm=True
    )
    alpha_on: Parameter = parameter(10.0, "1", "exponent towards r_on; fig 10", above=0)
    alpha_off: Parameter = parameter(10.0, "1", "exponent towards r_off; fig 10", above=0)
    x_on: Parameter = parameter(0.0, "m", "position at r_on; fig 10", below="x_off")
    x_off: Parameter = parameter(3e-9, "m", "position at r_off; fig 10")
    a_on: Parameter = parameter(1.8e-9, "m", "position at which the window of SET ends; fig 10")
    a_off: Parameter = parameter(1.2e-9, "m", "position at which the window of RESET ends; fig 10")
    w_c: Parameter = parameter(107e-12, "m", "width of the window's flanks; fig 10", above=0)
    s0: Parameter = parameter(
        0.5, "1", "state of fresh cells, 0 at r_on and 1 at r_off", within=(0, 1)
    )
    iv: Literal["linear", "exponential"] = parameter("linear", "1", "form of R(x)")
    window: Literal["team", "none"] = parameter("team", "1", "window function")
    substeps: int = parameter(16, "1", "number of sub-steps per call", above=0)

    def conductance(self, state: Tensor) -> Tensor:
        s = state[0]
        if self.iv == "linear":
            return (self.r_on + (self.r_off - self.r_on) * s).reciprocal()
        return (s * log(self.r_on / self.r_off)).exp() / self.r_on

    def log_rate(self, s: Tensor, current: Tensor) -> Tensor:
        """Ln |dx/dt|, x in m, at a current in A; -inf between the thresholds."""
        off = log(self.k_off) + self.alpha_off * (current / self.i_off - 1).clamp(min=0).log()
        on = log(-self.k_on) + self.alpha_on * (current / self.i_on - 1).clamp(min=0).log()
        if self.window == "team":
            x = self.x_on + (self.x_off - self.x_on) * s
            off = off - torch.exp((x - self.a_off) / self.w_c)
            on = on - torch.exp((self.a_on - x) / self.w_c)
        return torch.where(current > 0, off, on)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        s, span = state[0], log(self.x_off - self.x_on)

        def log_rate(s: Tensor) -> Tensor:
            return self.log_rate(s, voltage * self.conductance(as_state(s))) - span

        return as_state(advance(log_rate, s, voltage.sign(), dt, self.substeps))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        r = 1 / conductance.clamp(min=0)
        if self.iv == "linear":
            return as_state(fraction(r, self.r_on, self.r_off))
        return as_state(fraction(r.log(), log(self.r_on), log(self.r_off)))
