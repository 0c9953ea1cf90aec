"""A bipolar resistive cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter


@dataclass(frozen=True, kw_only=True)
class ExampleRram(Memristor):
    """Switches at a rate that is exponential in the voltage, ever slower near its bounds.

        G = 1/r_off + x (1/r_on - 1/r_off)
        dx/dt = 2 rate sinh(v / v_0) * (1 - x  for v > 0;  x  for v < 0)

    A synthetic model: its form is that of many resistive memories (thermally activated ion hopping,
    soft bounds), its constants are invented: a cell approaches its bound with a time constant of
    1 us at 1 V, and of two hours at a read voltage of 0.2 V. A constant voltage is integrated
    exactly.
    """

    r_on: Parameter = parameter(1e4, "ohm", "lowest resistance; invented", above=0, below="r_off")
    r_off: Parameter = parameter(2e5, "ohm", "highest resistance; invented", above=0)
    rate: Parameter = parameter(
        4e-7, "1/s", "rate of hops at no voltage, either way; invented", above=0
    )
    v_0: Parameter = parameter(
        0.035, "V", "voltage that multiplies the rate by e; invented", above=0
    )

    def conductance(self, state: Tensor) -> Tensor:
        (x,) = state
        g: Tensor = (1 - x) / self.r_off + x / self.r_on
        return g

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        # No voltage that a cell survives comes near the clamp; it keeps sinh finite in float32.
        speed = 2 * self.rate * torch.sinh((voltage / self.v_0).clamp(-80, 80))
        bound = (voltage > 0).to(state.dtype)
        return bound + (state - bound) * torch.exp(-speed.abs() * dt)

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return torch.zeros((1, *shape), device=ctx.torch_device)

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = self.conductance_range()
        return ((conductance - low) / (high - low)).clamp(0, 1).unsqueeze(0)
