"""Nonlinear ion drift: motion by a power of the voltage, current by tunnelling and a diode."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import (
    Window,
    WindowName,
    as_state,
    filled,
    fraction,
    require_vanishing,
)

_LARGEST_EXPONENT: Final = 80.0  #: currents stay finite in single precision
_FASTEST: Final = 1e25  #: 1/s, and so does the motion


@dataclass(frozen=True, kw_only=True)
class NonlinearIonDrift(Memristor):
    """A state x in [0, 1] that moves with the m-th power of the voltage.

        i = x^n beta sinh(alpha v) + chi (e^(gamma v) - 1),      dx/dt = a f(x) sign(v) |v|^m

    Lehtonen and Laiho, CNNA 2010, doi 10.1109/CNNA.2010.5430304, after Yang et al., Nature
    Nanotechnology 3:429 (2008); m is odd there, which the sign stands for. Defaults: Kvatinsky
    et al., IEEE TCAS-I 60:211 (2013), fig 6. Windows f: `none` (the state stops at its ends),
    `joglekar`, `biolek`, `prodromakis`; a cell at an end where the window vanishes counts as 1e-6
    away from it. With `ends="published"` it stays there, and the state holds both x and 1 - x.

    A constant voltage is integrated exactly without a window and for p = 1 of Joglekar and
    Prodromakis, else by Runge-Kutta steps that no pulse overshoots. There is no threshold, but
    the power makes reads slow: 0.1 V moves the state 1e5 times less than 1 V. The conductance is
    that of small signals.
    """

    alpha: Parameter = parameter(2.0, "1/V", "curvature of the tunnelling current; fig 6", above=0)
    beta: Parameter = parameter(0.9e-6, "A", "scale of the tunnelling current; fig 6", above=0)
    gamma: Parameter = parameter(4.0, "1/V", "exponent of the diode; fig 6", above=0)
    chi: Parameter = parameter(1e-10, "A", "scale of the diode's current; fig 6", above=0)
    n: Parameter = parameter(2.0, "1", "exponent of the state in the current; fig 6", above=0)
    m: Parameter = parameter(5.0, "1", "exponent of the voltage in the motion; fig 6", above=0)
    a: Parameter = parameter(1.0, "1/(V^m s)", "speed at 1 V; fig 6", above=0)
    x0: Parameter = parameter(
        0.5, "1", "state of fresh cells, 1 is the most conductive", within=(0, 1)
    )
    window: WindowName = parameter("none", "1", "window function")
    p: float = parameter(1.0, "1", "exponent of the window", above=0)
    j: float = parameter(1.0, "1", "height of Prodromakis' window", above=0)
    substeps: int = parameter(
        8, "1", "number of Runge-Kutta steps per call where no closed form exists", above=0
    )
    ends: Literal["reachable", "published"] = parameter(
        "reachable", "1", "what Joglekar's and Prodromakis' windows do at their ends"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_vanishing(self.window, self.ends)

    def conductance(self, state: Tensor) -> Tensor:
        return state[0] ** self.n * (self.alpha * self.beta) + self.chi * self.gamma

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        limit = _LARGEST_EXPONENT
        tunnel = self.beta * torch.sinh((self.alpha * voltage).clamp(-limit, limit))
        diode = self.chi * torch.expm1((self.gamma * voltage).clamp(max=limit))
        return state[0] ** self.n * tunnel + diode

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        x = state[0]
        speed = (self.a * voltage.abs() ** self.m).clamp(max=_FASTEST)
        push = speed * voltage.sign() * dt
        window = Window(self.window, self.p, self.j, self.substeps)
        if self.ends == "published":
            return as_state(*window.carried(x, state[1], push, 1.0, 1.0))
        return as_state((x + window.travel(x, push, 1.0, 1.0)).clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return self._state(filled(shape, self.x0, ctx)[0])

    def state_of(self, conductance: Tensor) -> Tensor:
        return self._state(fraction(conductance, *self.conductance_range()) ** (1 / self.n))

    def _state(self, x: Tensor) -> Tensor:
        return as_state(x, 1 - x) if self.ends == "published" else as_state(x)

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        lowest = self.chi * self.gamma
        return lowest, lowest + self.alpha * self.beta
