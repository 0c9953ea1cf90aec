"""The data-driven model: switching rates measured pulse by pulse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from memcore import ConfigError, Context, Memristor, Parameter, parameter
from memcore.modelling import as_state, filled, fraction

_FAR: Final = 60.0  #: beyond, e^(k d) is left to logarithms
_LARGEST: Final = 1e25  #: so that absurd pulses stay finite numbers in single precision


@dataclass(frozen=True, kw_only=True)
class DataDriven(Memristor):
    """Resistance moves towards a limit r_p(v) or r_n(v) that the voltage sets, and stays there.

        dR/dt = A (e^(t |v|) - 1) f(R, v),       i = a sinh(b v) / R
        exponential (2018):  f = e^(k d) - 1     while d > 0, else 0
        quadratic (2017):    f = d^2
        d = eta (r_p(v) - R)  for v > 0,         d = eta (R - r_n(v))  for v < 0
        r(v) = r0 + r1 v + r2 v^2

    A, t, k, r, a, b each for v > 0 (`_p`) and v < 0 (`_n`). Positive voltage raises R for
    eta = 1 (sign of A_p t_p) and lowers it for eta = -1. Messaris et al., IEEE TCAD 37:3151
    (2018), doi 10.1109/TCAD.2018.2791468; the quadratic form: its first version,
    arXiv:1703.01167, which writes e^(|v|/t). Defaults: TiOx device 2 of table I.
    A constant voltage is integrated exactly.

    The state is (R - r_on) / (r_off - r_on), in [0, 1]: r_on to r_off is the fitted range, where
    alone the model holds, and the state stops at its ends. R is what the paper read at 0.5 V;
    `conductance` is that of small signals, a_p b_p / R.
    """

    r_on: Parameter = parameter(
        10e3, "ohm", "lower end of the fitted range", above=0, below="r_off"
    )
    r_off: Parameter = parameter(17e3, "ohm", "upper end of the fitted range", above=0)
    eta: int = parameter(
        1, "1", "1 if positive voltage raises R, -1 if it lowers R", choices=(1, -1)
    )
    law: Literal["exponential", "quadratic"] = parameter(
        "exponential", "1", "window function of 2018 or of 2017"
    )
    A_p: Parameter = parameter(743.47, "ohm/s", "rate for v > 0; 1/(ohm s) if quadratic")
    A_n: Parameter = parameter(-6.80e4, "ohm/s", "rate for v < 0; 1/(ohm s) if quadratic")
    t_p: Parameter = parameter(6.51, "1/V", "growth of the rate with the voltage for v > 0")
    t_n: Parameter = parameter(0.31, "1/V", "growth of the rate with the voltage for v < 0")
    k_p: Parameter = parameter(
        5.11e-4, "1/ohm", "steepness of the window for v > 0; unused if quadratic", above=0
    )
    k_n: Parameter = parameter(
        1.17e-3, "1/ohm", "steepness of the window for v < 0; unused if quadratic", above=0
    )
    rp0: Parameter = parameter(16.71e3, "ohm", "limit of R for v > 0, at 0 V")
    rp1: Parameter = parameter(0.0, "ohm/V", "linear term of that limit")
    rp2: Parameter = parameter(0.0, "ohm/V^2", "quadratic term of that limit")
    rn0: Parameter = parameter(29.30e3, "ohm", "limit of R for v < 0, at 0 V")
    rn1: Parameter = parameter(
        23.69e3, "ohm/V", "linear term of that limit; printed e4, a misprint"
    )
    rn2: Parameter = parameter(0.0, "ohm/V^2", "quadratic term of that limit")
    a_p: Parameter = parameter(0.24, "V", "scale of the current for v > 0", above=0)
    a_n: Parameter = parameter(0.24, "V", "scale of the current for v < 0", above=0)
    b_p: Parameter = parameter(2.81, "1/V", "curvature of the current for v > 0", above=0)
    b_n: Parameter = parameter(2.81, "1/V", "curvature of the current for v < 0", above=0)
    s0: Parameter = parameter(
        0.5, "1", "state of fresh cells, 0 at r_on and 1 at r_off", within=(0, 1)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        plan = self.nominal()
        for side, sign in (("p", self.eta), ("n", -self.eta)):
            rate, growth = getattr(plan, f"A_{side}"), getattr(plan, f"t_{side}")
            if not isinstance(rate * growth, Tensor) and not rate * growth * sign > 0:
                raise ConfigError(
                    f"DataDriven: A_{side}={rate!r} and t_{side}={growth!r}; expected their "
                    f"product {'> 0' if sign > 0 else '< 0'} with eta={self.eta}"
                )

    @property
    def polarity(self) -> int:  # type: ignore[override]
        """Minus eta: raising R is a RESET."""
        return -self.eta

    def resistance(self, state: Tensor) -> Tensor:
        """Resistance R in ohm, [*cells]."""
        return self.r_on + (self.r_off - self.r_on) * state[0]

    def conductance(self, state: Tensor) -> Tensor:
        return self.a_p * self.b_p / self.resistance(state)

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        up = self.a_p * torch.sinh(self.b_p * voltage.clamp(min=0))
        down = self.a_n * torch.sinh(self.b_n * voltage.clamp(max=0))
        return (up + down) / self.resistance(state)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        r, v = self.resistance(state), voltage
        to_p = self.eta * (self.rp0 + self.rp1 * v + self.rp2 * v**2 - r)
        to_n = self.eta * (r - self.rn0 - self.rn1 * v - self.rn2 * v**2)
        up = self._travel(to_p, self.A_p * (self.t_p * v.clamp(min=0)).expm1(), self.k_p, dt)
        down = self._travel(to_n, self.A_n * (-self.t_n * v.clamp(max=0)).expm1(), self.k_n, dt)
        moved = state[0] + self.eta * (up - down) / (self.r_off - self.r_on)
        return as_state(moved.clamp(0, 1))

    def _travel(self, distance: Tensor, speed: Tensor, k: Parameter, dt: float) -> Tensor:
        """How far R goes towards its limit, in ohm, at a speed A (e^(t |v|) - 1)."""
        d = distance.clamp(0, _LARGEST)
        push = (speed.abs().clamp(max=_LARGEST) * dt).clamp(max=_LARGEST)
        if self.law == "quadratic":
            z = push * d
            return d * (z.clamp(max=_LARGEST) / (1 + z.clamp(max=_LARGEST)))
        w, q = k * d, -torch.expm1(-k * push)
        near = torch.log1p(q * torch.expm1(w.clamp(max=_FAR)))
        far = w + torch.log(q + (1 - q) * torch.exp(-w))
        return torch.where(w < _FAR, near, far) / k

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        r = self.a_p * self.b_p / conductance.clamp(min=0)
        return as_state(fraction(r, self.r_on, self.r_off))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        slope = self.a_p * self.b_p
        return slope / self.r_off, slope / self.r_on
