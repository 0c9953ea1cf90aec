"""VTEAM: a device with voltage thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import as_state, filled, fraction, log


@dataclass(frozen=True, kw_only=True)
class Vteam(Memristor):
    """Voltage-threshold adaptive memristor: at rest between two thresholds, a power law beyond.

        dx/dt = k_off (v/v_off - 1)^alpha_off   for v > v_off > 0      (towards x_off: RESET)
              = k_on  (v/v_on  - 1)^alpha_on    for v < v_on  < 0      (towards x_on: SET)
              = 0                               between
        R = r_on + (r_off - r_on) s   (`linear`)   or   r_on (r_off/r_on)^s   (`exponential`)

    with s = (x - x_on) / (x_off - x_on), which is the state: 0 at r_on, 1 at r_off; it stops at
    its ends (rectangular window). As the rate does not depend on the state, a constant voltage is
    integrated exactly. Kvatinsky, Ramadan, Friedman, Kolodny, "VTEAM", IEEE TCAS-II 62:786
    (2015), doi 10.1109/TCSII.2015.2433536. The defaults are the demonstration set of its authors
    as it circulates in public simulators; they belong to no material.

    Valid where it was fitted. SET takes picoseconds at -1 V with the defaults, RESET 122 ns at
    +1 V: resolve pulses, not the transient. Reads below the thresholds disturb nothing.
    """

    polarity: ClassVar[int] = -1

    r_on: Parameter = parameter(
        50.0, "ohm", "resistance at x_on; demonstration set", above=0, below="r_off"
    )
    r_off: Parameter = parameter(1e3, "ohm", "resistance at x_off; demonstration set", above=0)
    v_on: Parameter = parameter(
        -0.2,
        "V",
        "threshold towards r_on, negative; demonstration set",
        below=0,
        remedy="magnitudes are often printed; give it its sign",
    )
    v_off: Parameter = parameter(0.02, "V", "threshold towards r_off; demonstration set", above=0)
    k_on: Parameter = parameter(
        -10.0,
        "m/s",
        "speed towards x_on, negative; demonstration set",
        below=0,
        remedy="magnitudes are often printed; give it its sign",
    )
    k_off: Parameter = parameter(5e-4, "m/s", "speed towards x_off; demonstration set", above=0)
    alpha_on: Parameter = parameter(3.0, "1", "exponent towards r_on; demonstration set", above=0)
    alpha_off: Parameter = parameter(1.0, "1", "exponent towards r_off; demonstration set", above=0)
    x_on: Parameter = parameter(0.0, "m", "position at r_on; demonstration set", below="x_off")
    x_off: Parameter = parameter(3e-9, "m", "position at r_off; demonstration set")
    s0: Parameter = parameter(
        1.0, "1", "state of fresh cells, 0 at r_on and 1 at r_off", within=(0, 1)
    )
    iv: Literal["linear", "exponential"] = parameter("linear", "1", "form of R(x)")

    def conductance(self, state: Tensor) -> Tensor:
        s = state[0]
        if self.iv == "linear":
            return (self.r_on + (self.r_off - self.r_on) * s).reciprocal()
        return (s * log(self.r_on / self.r_off)).exp() / self.r_on

    def rate(self, voltage: Tensor) -> Tensor:
        """dx/dt in m/s at `voltage`."""
        off: Tensor = self.k_off * (voltage / self.v_off - 1).clamp(min=0) ** self.alpha_off
        on: Tensor = self.k_on * (voltage / self.v_on - 1).clamp(min=0) ** self.alpha_on
        return off + on

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        s = state[0]
        moved = s + self.rate(voltage) * (dt / (self.x_off - self.x_on))
        return as_state(moved.clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        r = 1 / conductance.clamp(min=0)
        if self.iv == "linear":
            return as_state(fraction(r, self.r_on, self.r_off))
        return as_state(fraction(r.log(), log(self.r_on), log(self.r_off)))
