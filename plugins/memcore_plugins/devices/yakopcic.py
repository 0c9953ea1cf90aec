"""Yakopcic's generalised model: thresholds, sinh current, damped motion near the ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import as_state, exp, filled

X_MIN: Final = 1e-6  #: x = 0 would be an open circuit for ever
_SUBSTEPS: Final = 4
_FASTEST: Final = 1e25  #: 1/s, so that absurd voltages stay finite in single precision


@dataclass(frozen=True, kw_only=True)
class Yakopcic(Memristor):
    """A state in [0, 1] that scales a sinh current and moves beyond two thresholds.

        i = a1 x sinh(b v)  (v >= 0),  a2 x sinh(b v)  (v < 0);       dx/dt = eta g(v) f(x)
        g = A_p (e^v - e^V_p)  for v > V_p,  -A_n (e^-v - e^V_n)  for v < -V_n,  else 0
        f = e^(-alpha_p (x - x_p)) (1 - x) / (1 - x_p)  for x > x_p, else 1   (rising x)
        f = e^(alpha_n (x + x_n - 1)) x / (1 - x_n)     for x < 1 - x_n, else 1   (falling x)

    Yakopcic, Taha, Subramanyam, Pino, Rogers, IEEE EDL 32:1436 (2011), doi
    10.1109/LED.2011.2163292, and IEEE TCAD 32:1201 (2013), doi 10.1109/TCAD.2013.2252057;
    defaults: the fit to Oblea's device under a sine, as in public implementations.

    A constant voltage is integrated exactly where f = 1, beyond by Runge-Kutta steps in the
    logarithm of the distance to the end, which no pulse overshoots. Valid for the device and the
    kind of waveform it was fitted to. Reads below the thresholds disturb nothing. The
    conductance is that of small positive signals, a1 b x.
    """

    a1: Parameter = parameter(0.17, "A", "scale of the current for v >= 0; Oblea", above=0)
    a2: Parameter = parameter(0.17, "A", "scale of the current for v < 0; Oblea", above=0)
    b: Parameter = parameter(0.05, "1/V", "curvature of the current; Oblea", above=0)
    A_p: Parameter = parameter(4000.0, "1/s", "speed for v > V_p; Oblea", above=0)
    A_n: Parameter = parameter(4000.0, "1/s", "speed for v < -V_n; Oblea", above=0)
    V_p: Parameter = parameter(0.16, "V", "positive threshold; Oblea", above=0)
    V_n: Parameter = parameter(0.15, "V", "magnitude of the negative threshold; Oblea", above=0)
    alpha_p: Parameter = parameter(1.0, "1", "damping of the rising state; Oblea", at_least=0)
    alpha_n: Parameter = parameter(5.0, "1", "damping of the falling state; Oblea", at_least=0)
    x_p: Parameter = parameter(
        0.3, "1", "position x beyond which rising is damped; Oblea", at_least=0, below=1
    )
    x_n: Parameter = parameter(
        0.5, "1", "position 1 - x beyond which falling is damped; Oblea", at_least=0, below=1
    )
    x0: Parameter = parameter(0.11, "1", "state x of fresh cells; Oblea", within=(0, 1))
    eta: int = parameter(1, "1", "1 if positive voltage raises x, else -1", choices=(1, -1))

    @property
    def polarity(self) -> int:  # type: ignore[override]
        """Eta: raising x is a SET."""
        return self.eta

    def conductance(self, state: Tensor) -> Tensor:
        return self.a1 * self.b * state[0]

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        x = state[0]
        amplitude = torch.where(voltage >= 0, self.a1 * x, self.a2 * x)
        return amplitude * torch.sinh(self.b * voltage)

    def speed(self, voltage: Tensor) -> Tensor:
        """g(v) in 1/s."""
        up = self.A_p * exp(self.V_p) * (voltage - self.V_p).clamp(min=0).expm1()
        down = self.A_n * exp(self.V_n) * (-voltage - self.V_n).clamp(min=0).expm1()
        return (up - down).clamp(-_FASTEST, _FASTEST)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        x, push = state[0], self.eta * self.speed(voltage) * dt
        rising, zero = push > 0, torch.zeros_like(push)
        alpha = torch.where(rising, self.alpha_p + zero, self.alpha_n + zero)
        start = torch.where(rising, self.x_p + zero, self.x_n + zero)
        way = _travel(torch.where(rising, x, 1 - x), push.abs(), alpha, start)
        return as_state((x + push.sign() * way).clamp(X_MIN, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.x0, ctx).clamp(X_MIN, 1)

    def state_of(self, conductance: Tensor) -> Tensor:
        return as_state((conductance / (self.a1 * self.b)).clamp(X_MIN, 1))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        highest = self.a1 * self.b
        return X_MIN * highest, highest


def _travel(x: Tensor, push: Tensor, alpha: Tensor, start: Tensor) -> Tensor:
    """How far x in [0, 1] rises under `push`, freely up to `start`, damped from there on."""
    free = torch.minimum(push, (start - x).clamp(min=0))
    left = 1 - x - free
    h = (push - free) / _SUBSTEPS
    damping, offset = alpha * left, -alpha * (1 - start) - torch.log(1 - start)

    def rate(y: Tensor) -> Tensor:  # at which y = ln((1 - x) / left) falls
        return torch.exp(damping * torch.exp(y) + offset)

    y = torch.zeros_like(push)
    for _ in range(_SUBSTEPS):
        a = rate(y)
        b = rate(y - h / 2 * a)
        c = rate(y - h / 2 * b)
        y = y - h / 6 * (a + 2 * (b + c) + rate(y - h * c))
    return free - torch.where(h > 0, left * torch.expm1(y), 0)  # nothing while it rises freely
