"""A conductance that can be set to anything in its window."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import as_state, filled, fraction


@dataclass(frozen=True, kw_only=True)
class Ideal(Memristor):
    """The device that a designer wishes for: linear, continuous, without a threshold.

    The state x in [0, 1] is the position between the ends of the cell's own window,

        G = 1/r_off + x (1/r_on - 1/r_off),      dx/dt = rate * v,

    and stops at either end. It is no model of a material: use it to see what a network loses
    when only the window or only the periphery is real. The defaults are round numbers.
    """

    r_on: Parameter = parameter(
        1e4, "ohm", "lowest resistance; a round number", above=0, below="r_off"
    )
    r_off: Parameter = parameter(1e6, "ohm", "highest resistance; a round number", above=0)
    rate: Parameter = parameter(1e6, "1/(V s)", "speed; 1 V crosses the window in 1 us", above=0)
    x0: Parameter = parameter(
        0.0, "1", "position of fresh cells, 0 at r_off and 1 at r_on", within=(0, 1)
    )

    def conductance(self, state: Tensor) -> Tensor:
        x = state[0]
        return (1 - x) / self.r_off + x / self.r_on

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        x = state[0]
        return as_state((x + self.rate * dt * voltage).clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.x0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        return as_state(fraction(conductance, 1 / self.r_off, 1 / self.r_on))
