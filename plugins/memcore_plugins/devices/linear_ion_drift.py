"""Linear ion drift: the model of the first memristor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, kw_only=True)
class LinearIonDrift(Memristor):
    """Dopants drift through a film of thickness D and move the border x = w/D of the doped part.

        v = [r_on x + r_off (1 - x)] i,      dx/dt = (mobility r_on / D^2) i f(x, i)

    Strukov, Snider, Stewart, Williams, Nature 453:80 (2008), doi 10.1038/nature06932, eqs 5-7;
    the defaults are its figure 2b. Windows f: `none` (1 inside, the state stops at its ends),
    `joglekar`, `biolek`, `prodromakis` (p = 1 and j = 1 is Strukov's x (1 - x)).

    A constant voltage is integrated exactly without a window and for p = 1 of Joglekar and
    Prodromakis; otherwise by `substeps` Runge-Kutta steps in a variable that no push overshoots.

    Valid as an illustration: real devices are exponential in the voltage. There is no threshold,
    so every read moves the state. Joglekar's and Prodromakis' windows vanish at both ends, where
    the published model stays for ever; here an end counts as 1e-6 away from itself, and a cell
    driven there takes long to come back. With `ends="published"` the state holds both x and 1 - x,
    so that a charge takes back what the opposite one took to an end, however near, and a cell at an
    end stays there.
    """

    r_on: Parameter = parameter(
        100.0, "ohm", "resistance of the doped film; Strukov fig 2b", above=0, below="r_off"
    )
    r_off: Parameter = parameter(
        16e3, "ohm", "resistance of the undoped film; Strukov fig 2b, ratio 160", above=0
    )
    thickness: Parameter = parameter(1e-8, "m", "thickness D of the film; Strukov fig 2", above=0)
    mobility: Parameter = parameter(
        1e-14, "m^2/(V s)", "mobility of the dopants; Strukov fig 2", above=0
    )
    x0: Parameter = parameter(0.1, "1", "position w/D of fresh cells, 1 at r_on", within=(0, 1))
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
        rest = state[1] if self.ends == "published" else 1 - state[0]
        return torch.reciprocal(self.r_on * state[0] + self.r_off * rest)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        x = state[0]
        push = self.mobility * self.r_on / self.thickness**2 * dt * voltage
        window = Window(self.window, self.p, self.j, self.substeps)
        if self.ends == "published":
            return as_state(*window.carried(x, state[1], push, self.r_on, self.r_off))
        moved = x + window.travel(x, push, self.r_on, self.r_off)
        return as_state(moved.clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        x = filled(shape, self.x0, ctx)[0]
        return as_state(x, 1 - x) if self.ends == "published" else as_state(x)

    def state_of(self, conductance: Tensor) -> Tensor:
        r = 1 / conductance.clamp(min=0)
        x = fraction(r, self.r_off, self.r_on)
        if self.ends == "published":
            return as_state(x, fraction(r, self.r_on, self.r_off))
        return as_state(x)
