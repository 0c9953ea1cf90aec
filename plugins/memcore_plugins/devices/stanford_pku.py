"""Stanford-PKU RRAM: a filament's gap that field and heat open and close."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import VOLT_PER_KELVIN, advance, as_state, exp, filled, fraction, log

_LARGEST_EXPONENT: Final = 80.0  #: currents stay finite in single precision
_NO_COMPLIANCE: Final = 1e3  #: A
_NEWTON: Final = 12


def _any(value: Parameter) -> bool:
    return isinstance(value, Tensor) or value != 0


@dataclass(frozen=True, kw_only=True)
class StanfordPku(Memristor):
    """The current tunnels through a gap g, which ions close (SET, v > 0) or open (RESET).

        i = I0 e^(-g/g0) sinh(u/V0),    v = u + r_series i,    |i| <= i_max while v > 0
        dg/dt = -v0 e^(-Ea/kT) sinh(gamma (a0/t_ox) q u/kT),    T = T0 + |u i| r_th
        gamma = gamma0 - beta (g / 1 nm)^alpha, 0 where gamma |u| / t_ox < f_min
        noise: dg = delta_g sqrt(dt dt_ref) N(0, 1),
               delta_g = delta_g0 / (1 + e^((T_crit - T)/T_smth))

    with u the voltage across the gap. The state is (g - g_min) / (g_max - g_min), 0 at the most
    conductive end. Guan, Yu, Wong, IEEE EDL 33:1405 (2012), doi 10.1109/LED.2012.2210856; Jiang
    et al., IEEE TED 63:1884 (2016), doi 10.1109/TED.2016.2545412. Defaults: Verilog-A release
    1.0.0, whose RESET has a constant gamma.

    The paper multiplies a unit random number by dt, so its spread depends on the step; here the
    noise is a Wiener process that agrees with it at steps of `dt_ref`, and it acts only while the
    gap moves. It is drawn from `ctx.random`: each step needs a context of its own,
    `ctx.child(n)`. The default has none (`preset("dynamic")` has).

    A constant voltage is integrated in sub-steps whose rate is exponential in the gap; SET is
    regenerative, so use steps of 1 ns or less to follow it. Valid with a series resistance or a
    compliance current only: without either, as released, a SET ends at hundreds of milliamperes
    and thousands of kelvin.
    """

    feels_temperature: ClassVar[bool | None] = False  #: but for its own parameter, T0

    g0: Parameter = parameter(
        0.25e-9, "m", "decay of the current with the gap; release 1.0.0", above=0
    )
    V0: Parameter = parameter(0.25, "V", "curvature of the current; release 1.0.0", above=0)
    I0: Parameter = parameter(1e-3, "A", "current scale; release 1.0.0", above=0)
    v0: Parameter = parameter(10.0, "m/s", "attempt velocity; release 1.0.0", above=0)
    Ea: Parameter = parameter(0.6, "eV", "activation energy of ion hopping; release 1.0.0", above=0)
    gamma0_set: Parameter = parameter(16.0, "1", "field enhancement in SET; release 1.0.0", above=0)
    gamma0_reset: Parameter = parameter(
        16.0, "1", "field enhancement in RESET; release 1.0.0", above=0
    )
    beta_set: Parameter = parameter(
        0.8, "1", "loss of field enhancement with the gap in SET; release 1.0.0", at_least=0
    )
    beta_reset: Parameter = parameter(
        0.0, "1", "loss of field enhancement with the gap in RESET; release 1.0.0", at_least=0
    )
    alpha: Parameter = parameter(3.0, "1", "exponent of that loss; release 1.0.0", above=0)
    a0: Parameter = parameter(0.25e-9, "m", "hopping distance; release 1.0.0", above=0)
    t_ox: Parameter = parameter(12e-9, "m", "oxide thickness; release 1.0.0", above=0)
    f_min: Parameter = parameter(
        1.4e9, "V/m", "least field that moves the gap; release 1.0.0", at_least=0
    )
    T0: Parameter = parameter(298.0, "K", "ambient temperature; release 1.0.0", above=0)
    r_th: Parameter = parameter(2.1e3, "K/W", "thermal resistance; release 1.0.0", at_least=0)
    g_min: Parameter = parameter(0.2e-9, "m", "smallest gap; release 1.0.0", above=0, below="g_max")
    g_max: Parameter = parameter(1.7e-9, "m", "largest gap; release 1.0.0", above=0)
    r_series: Parameter = parameter(
        0.0, "ohm", "resistance in series with the gap; not in the release", at_least=0
    )
    i_max: Parameter = parameter(
        1e3, "A", "compliance current while v > 0, 1e3 for none; not in the release", above=0
    )
    delta_g0: Parameter = parameter(
        0.0, "m/s", "noise of the gap; release 1.0.0 has 0.02 when switched on", at_least=0
    )
    T_crit: Parameter = parameter(
        450.0, "K", "temperature at which noise sets in; release 1.0.0", above=0
    )
    T_smth: Parameter = parameter(500.0, "K", "width of the onset of noise; release 1.0.0", above=0)
    dt_ref: float = parameter(
        1e-9, "s", "step at which delta_g0 has its published meaning", above=0
    )
    s0: Parameter = parameter(
        1.0, "1", "state of fresh cells, 0 at g_min and 1 at g_max", within=(0, 1)
    )
    substeps: int = parameter(4, "1", "number of sub-steps per call", above=0)

    def gap(self, s: Tensor) -> Tensor:
        """Gap g in m of a normalised state."""
        return self.g_min + (self.g_max - self.g_min) * s

    def conductance(self, state: Tensor) -> Tensor:
        gap_ohm = self.V0 / self.I0 * torch.exp(self.gap(state[0]) / self.g0)
        return (gap_ohm + self.r_series).reciprocal()

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        return self._divide(state[0], voltage)[1]

    def _divide(self, s: Tensor, voltage: Tensor) -> tuple[Tensor, Tensor]:
        """The voltage across the gap and the current, with series resistance and compliance."""
        scale = self.I0 * torch.exp(self.gap(s) * (-1 / self.g0))
        y = voltage.abs() / self.V0
        if _any(self.r_series):
            y = self._behind_resistance(y, self.r_series * scale / self.V0)
        y = y.clamp(max=_LARGEST_EXPONENT)
        if not (isinstance(self.i_max, int | float) and self.i_max >= _NO_COMPLIANCE):
            limit = torch.asinh((self.i_max / scale).clamp(max=1e30))
            y = torch.where(voltage > 0, torch.minimum(y, limit), y)
        y = y * voltage.sign()
        return y * self.V0, scale * torch.sinh(y)

    def _behind_resistance(self, a: Tensor, b: Tensor) -> Tensor:
        """The root y of a = y + b sinh(y), which is convex: Newton from above stays above."""
        y = torch.minimum(a, torch.asinh((a / b).clamp(max=1e30))).clamp(max=_LARGEST_EXPONENT)
        for _ in range(_NEWTON):
            y = (y - (y + b * torch.sinh(y) - a) / (1 + b * torch.cosh(y))).clamp(min=0)
        return y

    def temperature(self, s: Tensor, voltage: Tensor) -> Tensor:
        """T in K of the filament."""
        u, i = self._divide(s, voltage)
        return self.T0 + u * i * self.r_th

    def log_rate(self, s: Tensor, voltage: Tensor) -> Tensor:
        """Ln |dg/dt|, g in m; -inf below the least field. It moves down for v > 0."""
        u, i = self._divide(s, voltage)
        cold = 1 / (VOLT_PER_KELVIN * (self.T0 + i * (u * self.r_th)))
        field = self._field(s, voltage, u)
        z = field * cold * (self.a0 / self.t_ox)
        log_sinh = z + torch.log(torch.expm1(-2 * z) * -0.5)
        rate = log(self.v0) - self.Ea * cold + log_sinh
        return torch.where(field < self.f_min * self.t_ox, -torch.inf, rate)

    def _field(self, s: Tensor, voltage: Tensor, u: Tensor) -> Tensor:
        """Gamma |u| in V."""
        up, zero = voltage > 0, torch.zeros_like(voltage)
        gamma0 = torch.where(up, self.gamma0_set + zero, self.gamma0_reset + zero)
        beta = torch.where(up, self.beta_set + zero, self.beta_reset + zero)
        return (gamma0 - beta * (self.gap(s) * 1e9) ** self.alpha).clamp(min=0) * u.abs()

    def _rests(self, s: Tensor, voltage: Tensor) -> Tensor:
        field = self._field(s, voltage, self._divide(s, voltage)[0])
        return (field < self.f_min * self.t_ox) | (field <= 0)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        s, width = state[0], log(self.g_max - self.g_min)
        moved = advance(
            lambda s: self.log_rate(s, voltage) - width,
            s,
            -voltage.sign(),
            dt,
            self.substeps,
            lambda s: self._rests(s, voltage),
        )
        if _any(self.delta_g0):
            moved = moved + self._noise(s, voltage, dt, ctx)
        return as_state(moved.clamp(0, 1))

    def _noise(self, s: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        heat = (self.T_crit - self.temperature(s, voltage)) / self.T_smth
        size = self.delta_g0 * torch.sigmoid(-heat) * (dt * self.dt_ref) ** 0.5
        size = torch.where(self.log_rate(s, voltage).isfinite(), size, 0)
        draw = ctx.random.normal(s.shape, device=s.device, dtype=s.dtype)
        return size / (self.g_max - self.g_min) * draw

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        gap_ohm = (1 / conductance.clamp(min=0) - self.r_series).clamp(min=0)
        gap = self.g0 * (gap_ohm * self.I0 / self.V0).log()
        return as_state(fraction(gap, self.g_min, self.g_max))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        scale = self.V0 / self.I0
        low, high = (scale * exp(g / self.g0) + self.r_series for g in (self.g_max, self.g_min))
        return 1 / low, 1 / high
