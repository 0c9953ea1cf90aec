"""Elements in series with the memristor of a cell: transistors and selectors."""

import math
from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore.circuit.per_cell import PerCell, require
from memcore.errors import ConfigError


class SeriesElement(Protocol):
    """Any object with these methods can be in series with the memristor of a cell."""

    def current(self, u: Tensor) -> Tensor:
        """The current in A at voltages `u` [..., rows, cols] in V across the element.

        It is 0 at 0 V and never falls with the voltage.
        """

    def slope(self, u: Tensor) -> Tensor:
        """The derivative of the current with respect to the voltage, in S."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transistor(PerCell):
    """The access transistor of a 1T1R cell, a square law with linear and saturation region.

        I = B ((V_GS - V_T) U - U^2 / 2) (1 + m U)    for 0 <= U < V_GS - V_T
          = B/2 (V_GS - V_T)^2 (1 + m U)              beyond
          = 0                                         for V_GS <= V_T

    and I(-U) = -I(U): the source is the terminal of lower potential, whichever that is. V_GS is
    meant against the cell's own source: the gate follows the potential of the source, so that what
    wires drop does not change it, and there is no body effect.

    Attributes:
        gate_voltage: gate voltage V_GS in V: a number, or a tensor [rows, 1] where gates run along
            word lines, [1, cols] where they run along bit lines, or [..., rows, cols].
        threshold: threshold voltage V_T in V.
        gain: gain B = mu C_ox W / L in A/V^2.
        modulation: channel-length modulation m in 1/V.
    """

    gate_voltage: float | Tensor
    threshold: float | Tensor = 0.5
    gain: float | Tensor = 1e-3
    modulation: float = 0.0

    def __post_init__(self) -> None:
        require(self, "gate_voltage threshold", expected="V")
        require(self, "gain", lambda b: b > 0, "A/V^2, above 0")
        require(self, "modulation", lambda m: m >= 0, "1/V, at least 0")

    def current(self, u: Tensor) -> Tensor:
        size, channel, _ = self._channel(u)
        return u.sign() * channel * (1 + self.modulation * size)

    def slope(self, u: Tensor) -> Tensor:
        size, channel, rise = self._channel(u)
        return rise * (1 + self.modulation * size) + self.modulation * channel

    def _channel(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The magnitude of u, the current without modulation, and the slope of that current."""
        over = torch.as_tensor(self.gate_voltage - self.threshold, dtype=u.dtype, device=u.device)
        over, size = over.clamp(min=0), u.abs()
        linear = torch.minimum(size, over)
        return size, self.gain * linear * (over - linear / 2), self.gain * (over - linear)


@dataclass(frozen=True, kw_only=True, eq=False)
class Selector(PerCell):
    """An exponential selector, I = I0 sinh(U / V0).

    Attributes:
        i0: scale I0 of the current in A.
        v0: scale V0 of the voltage in V.
    """

    i0: float | Tensor
    v0: float | Tensor

    def __post_init__(self) -> None:
        require(self, "i0", lambda i: i > 0, "A, above 0")
        require(self, "v0", lambda v: v > 0, "V, above 0")

    @classmethod
    def from_half_bias_ratio(cls, ratio: float, voltage: float, current: float) -> Self:
        """The selector with `current` A at `voltage` V, `ratio` times that at half the voltage.

        I(V) / I(V/2) = 2 cosh(V / 2 V0), so that the ratio is above 2.

        Raises:
            ConfigError: the ratio is not above 2, or the voltage or the current not above 0.
        """
        if not (ratio > 2 and voltage > 0 and current > 0):
            raise ConfigError(
                f"Selector: ratio={ratio!r}, voltage={voltage!r}, current={current!r}; expected a "
                "ratio above 2, which is ohmic, and a voltage and a current above 0"
            )
        v0 = voltage / (2 * math.acosh(ratio / 2))
        # 1 / sinh(2 x) from cosh(x) = ratio / 2, which does not overflow.
        return cls(i0=current / (ratio * math.sqrt(ratio**2 / 4 - 1)), v0=v0)

    def current(self, u: Tensor) -> Tensor:
        return self.i0 * torch.sinh(u / self.v0)

    def slope(self, u: Tensor) -> Tensor:
        return self.i0 / self.v0 * torch.cosh(u / self.v0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ThresholdSelector(PerCell):
    """A threshold selector: almost open up to V_th, conducting beyond, seen from rising voltages.

        I(U) = U / R_off + h(U) - h(-U)
        h(U) = (V_th - V_hold) / R_on / (1 + e^-x) + s / R_on ln(1 + e^x),    x = (U - V_th) / s

    which is U / R_off well below V_th and U / R_off + (U - V_hold) / R_on well above, with a steep
    transition of width s that never falls. It is a law without memory: where the load does not let
    the switched selector keep V_th, the solution lies on the transition, and the fall of the
    voltage back to V_hold is not followed; `memcore.circuit.ramp` follows it. For a selector that
    has switched, give its cell `v_th=v_hold`: all fields may be tensors, one number for each cell.

    Attributes:
        v_th: voltage V_th in V at which it switches.
        v_hold: voltage V_hold in V to which the line of the conducting state is extrapolated; at
            most V_th.
        r_on: resistance R_on of the conducting selector in ohm.
        r_off: resistance R_off of the open selector in ohm.
        smoothing: width s of the transition in V.
    """

    v_th: float | Tensor
    v_hold: float | Tensor
    r_on: float | Tensor
    r_off: float | Tensor
    smoothing: float = 0.01

    def __post_init__(self) -> None:
        require(self, "v_th smoothing", lambda v: v > 0, "V, above 0")
        require(self, "v_hold", lambda v: (v >= 0) & (v <= self.v_th), "V, from 0 to v_th")
        require(self, "r_on r_off", lambda r: r > 0, "ohm, above 0")

    def current(self, u: Tensor) -> Tensor:
        return u / self.r_off + self._above(u)[0] - self._above(-u)[0]

    def slope(self, u: Tensor) -> Tensor:
        return 1 / self.r_off + self._above(u)[1] + self._above(-u)[1]

    def _above(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Value and slope of h."""
        x = (u - self.v_th) / self.smoothing
        on, jump = torch.sigmoid(x), (self.v_th - self.v_hold) / self.r_on
        value = jump * on + self.smoothing * F.softplus(x, threshold=40) / self.r_on
        return value, jump * on * torch.sigmoid(-x) / self.smoothing + on / self.r_on
