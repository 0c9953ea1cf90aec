"""Elements in series with the memristor of a cell: transistors and selectors."""

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import _check
from memcore._keywords import hinted
from memcore._tensor import as_tensor
from memcore.circuit.per_cell import PerCell, require, require_one, volts
from memcore.contracts.units import MOST_VOLTS, VOLTS
from memcore.errors import ConfigError

_POSITIVE_VOLTS: Final = f"V, above 0, at most {MOST_VOLTS:.0f}: {VOLTS}"


class SeriesElement(Protocol):
    """Any object with these methods can be in series with the memristor of a cell."""

    def current(self, u: Tensor) -> Tensor:
        """The current in A at voltages `u` [..., rows, cols] in V across the element.

        It is 0 at 0 V and never falls with the voltage.
        """

    def slope(self, u: Tensor) -> Tensor:
        """The derivative of the current with respect to the voltage, in S."""


class Between(NamedTuple):
    """The current through an element between two nodes, and how it goes with their potentials.

    Attributes:
        current: current from the upper to the lower node in A.
        upper: its derivative with respect to the potential of the upper node in S, at least 0.
        lower: its derivative with respect to the potential of the lower node in S, the sign
            turned, so that it is at least 0.
    """

    current: Tensor
    upper: Tensor
    lower: Tensor


@runtime_checkable
class GatedElement(Protocol):
    """An element in series with a third terminal, whose potential against ground is given.

    Its current depends on the potentials of both of its nodes, not on their difference alone.
    """

    @property
    def gate_line(self) -> float | Tensor | None:
        """The potential of the third terminal in V; None if it follows the other ones."""

    def between(self, upper: Tensor, lower: Tensor) -> Between:
        """The current at potentials [..., rows, cols] in V of its nodes.

        The upper node is on the side of the memristor and the word line, the lower one is the bit
        line. The current is 0 where they have the same potential, never falls as that of the upper
        node rises, and never rises as that of the lower node rises.
        """


def _positive_volts(value: Any) -> Any:
    return (value > 0) & volts(value)


def gated(element: object) -> GatedElement | None:
    """The element itself if a line against ground controls it, else None."""
    if isinstance(element, GatedElement) and element.gate_line is not None:
        return element
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Transistor(PerCell):
    """The access transistor of a 1T1R cell, a square law with linear and saturation region.

    The current is::

        I = B ((V_GS - V_T) U - U^2 / 2) (1 + m U)    for 0 <= U < V_GS - V_T
          = B/2 (V_GS - V_T)^2 (1 + m U)              beyond
          = 0                                         for V_GS <= V_T
        V_T = V_T0 + gamma (sqrt(phi + V_SB) - sqrt(phi))

    and odd in U: the source is the terminal of lower potential, whichever that is. This is
    the level-1 model of SPICE. The transistor lies between the memristor and the bit line.

    With `gate_line` the gate is a line at a potential against ground, as on a chip. Where the
    memristor is on the side of the source (a RESET with the bit line at the higher potential), the
    voltage across the memristor takes from V_GS, so that less is left for it than in a SET. Drive
    the lines as the chip does, with no potential below `body`.

    With `gate_voltage` it is V_GS itself: the gate follows the potential of the source, whatever
    voltage memristor and wires take, and both directions of the current are alike.

    Attributes:
        gate_voltage: gate voltage V_GS against the source in V: a number, or a tensor [rows, 1]
            where gates run along word lines, [1, cols] where they run along bit lines, or
            [..., rows, cols]. None where `gate_line` is given.
        gate_line: potential of the gate line against ground in V, likewise. None where
            `gate_voltage` is given.
        threshold: threshold voltage V_T0 in V, without body effect.
        gain: gain B = mu C_ox W / L in A/V^2.
        modulation: channel-length modulation m in 1/V.
        body_effect: coefficient gamma of the body effect in V^0.5; only with a `gate_line`.
        surface_potential: surface potential phi in strong inversion, in V.
        body: potential of the body against ground in V.
    """

    gate_voltage: float | Tensor | None = None
    gate_line: float | Tensor | None = None
    threshold: float | Tensor = 0.5
    gain: float | Tensor = 1e-3
    modulation: float = 0.0
    body_effect: float | Tensor = 0.0
    surface_potential: float = 0.7
    body: float = 0.0

    def __post_init__(self) -> None:
        if (self.gate_voltage is None) == (self.gate_line is None):
            raise ConfigError(
                f"Transistor: gate_voltage={self.gate_voltage!r} and gate_line={self.gate_line!r}; "
                "expected one of the two: gate_line=... V against ground as on a chip, or "
                "gate_voltage=... V against the source"
            )
        gate = "gate_line" if self.gate_voltage is None else "gate_voltage"
        require(self, f"{gate} threshold body", volts, f"V, at most {MOST_VOLTS:.0f}: {VOLTS}")
        require(self, "gain", lambda b: b > 0, "A/V^2, above 0")
        require(self, "modulation", lambda m: m >= 0, "1/V, at least 0")
        require(self, "body_effect", lambda y: y >= 0, "V^0.5, at least 0")
        require_one(self, "surface_potential", lambda p: p > 0, "V, above 0")
        if self.gate_line is None and bool(as_tensor(self.body_effect).any()):
            raise ConfigError(
                f"Transistor: body_effect={self.body_effect!r} with gate_voltage, a gate that "
                "follows the source; expected gate_line=..., the potential against ground"
            )

    def current(self, u: Tensor) -> Tensor:
        """The current in A at voltages in V; with a `gate_line`, for a source at 0 V."""
        size, channel, _ = self._alone(u)
        return u.sign() * channel * (1 + self.modulation * size)

    def slope(self, u: Tensor) -> Tensor:
        size, channel, rise = self._alone(u)
        return rise * (1 + self.modulation * size) + self.modulation * channel

    def between(self, upper: Tensor, lower: Tensor) -> Between:
        source, u = torch.minimum(upper, lower), upper - lower
        over, fall = self._over(source)
        over = over.clamp(min=0)
        size, channel, rise = self._channel(u, over)
        more = 1 + self.modulation * size
        drain = rise * more + self.modulation * channel
        side = drain + self.gain * torch.minimum(size, over) * more * fall
        forward = u >= 0
        return Between(
            current=u.sign() * channel * more,
            upper=torch.where(forward, drain, side),
            lower=torch.where(forward, side, drain),
        )

    def _alone(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.gate_line is not None:
            return self._channel(u, self._over(torch.zeros_like(u))[0].clamp(min=0))
        assert self.gate_voltage is not None
        over = torch.as_tensor(self.gate_voltage - self.threshold, dtype=u.dtype, device=u.device)
        return self._channel(u, over.clamp(min=0))

    def _over(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """V_GS - V_T for potentials of the source, and how fast it falls with them."""
        assert self.gate_line is not None
        if isinstance(self.body_effect, float | int) and not self.body_effect:
            return self.gate_line - source - self.threshold, torch.ones_like(source)
        back, root = source - self.body, math.sqrt(self.surface_potential)
        # A body above the source: the tangent, as in SPICE.
        below = (root + back / (2 * root)).clamp(min=0)
        bent = (self.surface_potential + back.clamp(min=0)).sqrt()
        part = torch.where(back >= 0, bent, below)
        steep = torch.where(back >= 0, 0.5 / bent, (below > 0).to(bent.dtype) * (0.5 / root))
        over = self.gate_line - source - self.threshold - self.body_effect * (part - root)
        return over, 1 + self.body_effect * steep

    def _channel(self, u: Tensor, over: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The magnitude of u, the current without modulation, and the slope of that current."""
        size = u.abs()
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
        require(self, "v0", _positive_volts, _POSITIVE_VOLTS)

    @classmethod
    @hinted
    def from_half_bias_ratio(cls, ratio: float, voltage: float, current: float) -> Self:
        """The selector with `current` A at `voltage` V, `ratio` times that at half the voltage.

        I(V) / I(V/2) = 2 cosh(V / 2 V0), so that the ratio is above 2.

        Raises:
            ConfigError: the ratio is not above 2, or the voltage or the current not above 0.
        """
        ratio = _check.number("ratio of the selector", ratio, above=2, remedy="2 is ohmic")
        voltage = _check.number("voltage", voltage, unit="V", above=0, largest=MOST_VOLTS)
        current = _check.number("current", current, unit="A", above=0)
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
        require(self, "v_th smoothing", _positive_volts, _POSITIVE_VOLTS)
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
