"""Pickett's model: a Simmons tunnel barrier whose width ions change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import advance, as_state, filled, log
from memcore_plugins._tensor import as_tensor

NM: Final = 1e9  #: the barrier's formula counts in nanometres and volts
_SECANTS: Final = 11
_HALVINGS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Simmons(Memristor):
    """A tunnel barrier of width w in series with a resistance.

        dw/dt =  f_off sinh(|i|/i_off) exp(-exp((w - a_off)/w_c - |i|/b) - w/w_c)    i > 0 (RESET)
              = -f_on  sinh(|i|/i_on)  exp(-exp((a_on - w)/w_c - |i|/b) - w/w_c)     i < 0 (SET)
        i = (0.0617 A / dw^2) (h(phi_I) - h(phi_I + |u|)),   h(p) = p e^(-10.246 dw sqrt(p))
        v = u + r_s i;  w, dw in nm, phi in eV:
        phi_I = phi0 - |u| (w1 + w2)/(2 w) - 1.15 lambda w/dw ln(w2 (w - w1)/(w1 (w - w2)))
        w1 = 0.1261,  w2 = w1 + w - 0.9183/(2.85 + 4 lambda - 2|u|),  dw = w2 - w1,
        lambda = 0.0998/w

    Pickett et al., JAP 106:074508 (2009), doi 10.1063/1.3236506: the constants of the motion are
    read there. Abdalla and Pickett, ISCAS 2011, doi 10.1109/ISCAS.2011.5937942: those of the
    current (area 1e4 nm^2, relative permittivity 5), recalled and still to be compared with print.

    The state is (w - w_min) / (w_max - w_min), 0 at the most conductive end. Rates span more than
    100 decades; they are calculated as logarithms and a constant voltage is integrated in
    sub-steps whose rate is exponential in w. Slow: for reference, not for arrays. Valid to about
    1 V across the barrier, beyond which it is drawn down; there the excess falls on r_s alone.
    """

    polarity: ClassVar[int] = -1

    f_off: Parameter = parameter(3.5e-6, "m/s", "speed of opening; Pickett 2009", above=0)
    i_off: Parameter = parameter(115e-6, "A", "current scale of opening; Pickett 2009", above=0)
    a_off: Parameter = parameter(1.20e-9, "m", "width at which opening ends; Pickett 2009", above=0)
    f_on: Parameter = parameter(40e-6, "m/s", "speed of closing; Pickett 2009", above=0)
    i_on: Parameter = parameter(
        8.9e-6, "A", "current scale of closing, a magnitude; Pickett 2009", above=0
    )
    a_on: Parameter = parameter(1.80e-9, "m", "width at which closing ends; Pickett 2009", above=0)
    b: Parameter = parameter(500e-6, "A", "current that shifts the ends; Pickett 2009", above=0)
    w_c: Parameter = parameter(107e-12, "m", "scale of the width; Pickett 2009", above=0)
    r_s: Parameter = parameter(215.0, "ohm", "resistance in series; Pickett 2009", above=0)
    phi0: Parameter = parameter(0.95, "eV", "height of the tunnel barrier; Pickett 2009", above=0)
    w_min: Parameter = parameter(
        1.1e-9,
        "m",
        "width of the narrowest barrier",
        within=(1e-9, 2e-9),
        remedy="the formula of the barrier holds between 1 and 2 nm",
        below="w_max",
    )
    w_max: Parameter = parameter(
        1.9e-9,
        "m",
        "width of the widest barrier",
        within=(1e-9, 2e-9),
        remedy="the formula of the barrier holds between 1 and 2 nm",
    )
    s0: Parameter = parameter(
        0.5, "1", "state of fresh cells, 0 at w_min and 1 at w_max", within=(0, 1)
    )
    substeps: int = parameter(4, "1", "number of sub-steps per call", above=0)

    def width(self, s: Tensor) -> Tensor:
        """Width w in m of a normalised state."""
        return self.w_min + (self.w_max - self.w_min) * s

    def conductance(self, state: Tensor) -> Tensor:
        return self._conductance(self.width(state[0]))

    def _conductance(self, width: Tensor) -> Tensor:
        phi, _, b = self._barrier(width * NM, torch.zeros_like(width))
        # -h'(phi): all else drops out at 0 V.
        slope = (b * phi.sqrt() / 2 - 1) * torch.exp(-b * phi.sqrt())
        return ((b / 10.246) ** 2 / (0.0617 * slope) + self.r_s).reciprocal()

    def _barrier(self, w: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi_I in eV, the current in A and 10.246 dw at |u| >= 0."""
        w1 = 0.1261
        w2 = w1 + w - 0.9183 / (2.85 + 4 * 0.0998 / w - 2 * u)
        dw = w2 - w1
        mirror = 1.15 * 0.0998 / dw * torch.log(w2 * (w - w1) / (w1 * (w - w2)))
        phi = self.phi0 - u * (w1 + w2) / (2 * w) - mirror
        b = 10.246 * dw
        there, back = phi.sqrt(), (phi + u).sqrt()
        net = phi * torch.exp(-b * there) - (phi + u) * torch.exp(-b * back)
        return phi, 0.0617 / dw**2 * net, b

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        v = voltage.abs() + torch.zeros_like(state[0])
        w = self.width(state[0]) * NM + torch.zeros_like(v)
        highest = 0.85 + 0.44 * (w - 1.1)  # the formula's current rises up to here
        low, high = torch.zeros_like(v), torch.minimum(v, highest)
        nudge, u = 1e-3 * high + 1e-12, high
        before, known = u - nudge, self._barrier(w, u - nudge)[1]
        for _ in range(_SECANTS):  # v = u + r_s i(u), kept between low and high
            i = self._barrier(w, u)[1]
            excess, way = u + self.r_s * i - v, u - before
            low, high = torch.where(excess < 0, u, low), torch.where(excess < 0, high, u)
            slope = 1 + self.r_s * (i - known) / torch.where(way == 0, nudge, way)
            before, known = u, i
            u = u - excess / slope
            u = torch.where((u >= low) & (u <= high), u, 0.5 * (low + high))
        i = self._barrier(w, u)[1]
        beyond = (v - highest) / self.r_s
        return torch.maximum(i, beyond) * voltage.sign()

    def log_rate(self, s: Tensor, current: Tensor) -> Tensor:
        """Ln |dw/dt|, w in m, at a current in A; w grows for positive ones."""
        w, i = self.width(s), current.abs()
        off = log(self.f_off) + _log_sinh(i / self.i_off)
        on = log(self.f_on) + _log_sinh(i / self.i_on)
        off = off - torch.exp((w - self.a_off) / self.w_c - i / self.b)
        on = on - torch.exp((self.a_on - w) / self.w_c - i / self.b)
        return torch.where(current > 0, off, on) - w / self.w_c

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        span = log(self.w_max - self.w_min)

        def log_rate(s: Tensor) -> Tensor:
            return self.log_rate(s, self.current(as_state(s), voltage)) - span

        def rests(s: Tensor) -> Tensor:  # far less than the current to evaluate
            return voltage + torch.zeros_like(s) == 0

        moved = advance(log_rate, state[0], voltage.sign(), dt, self.substeps, rests)
        return as_state(moved)

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = torch.zeros_like(conductance), torch.ones_like(conductance)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = self._conductance(self.width(middle)) > conductance
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return as_state(torch.where(low == 0, low, high))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        ends = (as_tensor(w, dtype=torch.float64) for w in (self.w_max, self.w_min))
        low, high = (self._conductance(w) for w in ends)
        return (low, high) if low.ndim or high.ndim else (low.item(), high.item())


def _log_sinh(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-2 * x) / 2)
