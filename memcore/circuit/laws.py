"""Current-voltage laws of cells."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.circuit.per_cell import PerCell, require, require_one
from memcore.contracts.device import Memristor
from memcore.errors import ConfigError

#: V, at which device models have the slope of 0 V.
_BESIDE: Final = 1e-6


class CellLaw(Protocol):
    """Any object with these methods is a law: odd or not, but never falling with the voltage."""

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        """The current in A at cell voltages `u` in V, of cells of conductance `g` in S.

        A positive voltage is that of the word line above the bit line. The current is 0 at 0 V and
        never falls with the voltage. `u` is [..., rows, cols] and `g` broadcasts to it.
        """

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        """The derivative of the current with respect to the voltage, in S."""


@dataclass(frozen=True)
class Ohmic:
    """I = G U."""

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        return g * u

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        return g.expand_as(u)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sinh(PerCell):
    """I = G V_r sinh(U / V0) / sinh(V_r / V0), of hopping and tunnelling cells.

    Attributes:
        v0: voltage V0 in V, the smaller the more curved the law; a number or a tensor, one for each
            cell.
        read_voltage: voltage V_r in V at which the current is that of the conductance, G V_r. With
            0, G is the slope at the origin.
    """

    v0: float | Tensor
    read_voltage: float = 0.0

    def __post_init__(self) -> None:
        require(self, "v0", lambda v: v > 0, "V, above 0")
        require_one(self, "read_voltage", lambda v: v >= 0, "V, at least 0")

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        return self._scale(g) * torch.sinh(u / self.v0)

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        return self._scale(g) / self.v0 * torch.cosh(u / self.v0)

    def _scale(self, g: Tensor) -> Tensor:
        if self.read_voltage == 0:
            return g * self.v0
        at_read = torch.as_tensor(self.read_voltage / self.v0, dtype=g.dtype, device=g.device)
        return g * self.read_voltage / torch.sinh(at_read)


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """I = G V_r p(U) / p(V_r) with p(U) = a_1 U + a_2 U^2 + ..., for fits of measured curves.

    Attributes:
        coefficients: coefficients a_1, a_2, ... in 1, 1/V, ...; only their ratios count. (1, 0,
            -0.25) is U - 0.25 U^3.
        read_voltage: voltage V_r in V at which the current is G V_r. With 0, G is the slope at the
            origin.
        limit: voltage in V up to which the polynomial holds. It must rise from -limit to limit;
            beyond, its tangent is followed.
    """

    coefficients: tuple[float, ...]
    read_voltage: float = 0.0
    limit: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", _coefficients(self.coefficients))
        require_one(self, "read_voltage", lambda v: v >= 0, "V, at least 0")
        require_one(self, "limit", lambda v: v > 0, "V, above 0")
        if self.read_voltage > self.limit:
            raise ConfigError(
                f"Polynomial: read_voltage={self.read_voltage!r} is above limit={self.limit!r}; "
                "expected it inside the range of the fit"
            )
        slope = np.polynomial.Polynomial((0.0, *self.coefficients)).deriv()
        turns = slope.deriv().roots()
        inside = turns.real[(abs(turns.imag) < 1e-9) & (abs(turns.real) < self.limit)]
        lowest = slope(np.array([-self.limit, self.limit, *inside])).min()
        if not lowest > 0:
            raise ConfigError(
                f"Polynomial: coefficients={self.coefficients!r} have a slope of {lowest:.3g} "
                f"between -{self.limit!r} and {self.limit!r} V; expected it above 0: fit anew, or "
                "give a smaller limit"
            )

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        inside = u.clamp(-self.limit, self.limit)
        return self._scale() * g * (_value(self._p, inside) + (u - inside) * self._rise(inside))

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        return self._scale() * g * self._rise(u.clamp(-self.limit, self.limit))

    @property
    def _p(self) -> tuple[float, ...]:
        return (0.0, *self.coefficients)

    def _rise(self, u: Tensor) -> Tensor:
        return _value(tuple(k * a for k, a in enumerate(self._p))[1:], u)

    def _scale(self) -> float:
        if self.read_voltage == 0:
            return 1 / self.coefficients[0]
        powers = (a * self.read_voltage**k for k, a in enumerate(self._p))
        return self.read_voltage / sum(powers)


@dataclass(frozen=True, kw_only=True, eq=False)
class OfDevice:
    """The current of a device model in a given state, `device.current(state, u)`.

    The conductance that is handed to `solve` has no part in it, apart from its shape.

    Attributes:
        device: a model whose current never falls with the voltage.
        state: state of the cells, [k, ..., rows, cols], as `device.step` returns it.
    """

    device: Memristor
    state: Tensor

    def __post_init__(self) -> None:
        device, state = self.device, self.state
        if isinstance(device, type) or not callable(getattr(device, "current", None)):
            raise ConfigError(
                f"OfDevice: device={device!r}; expected a device model, "
                "memcore.devices['vteam']() for instance"
            )
        if not isinstance(state, Tensor) or not state.is_floating_point():
            raise ConfigError(
                f"OfDevice: state={state!r}; expected a tensor, as device.state_of(g) returns it"
            )

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        del g
        return self.device.current(self.state, u)

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        del g
        # Models that tell the signs of voltages apart mostly have no derivative at 0 V itself.
        beside = torch.where(u < 0, -_BESIDE, _BESIDE)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.where(u.abs() < _BESIDE, beside, u).detach().clone().requires_grad_()
            current = self.device.current(self.state.detach().clone(), x)
            (slope,) = torch.autograd.grad(current.sum(), x)
        return slope


def _coefficients(given: Any) -> tuple[float, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise ConfigError(
            f"Polynomial: coefficients={shown(given)}; expected numbers, (1.0, 0.0, -0.25) say"
        )
    numbers = tuple(_check.number("a coefficient of Polynomial", a) for a in given)
    if not any(numbers):
        raise ConfigError(
            f"Polynomial: coefficients={shown(given)}; expected numbers that are not all 0"
        )
    return numbers


def _value(coefficients: tuple[float, ...], u: Tensor) -> Tensor:
    total = torch.zeros_like(u)
    for a in reversed(coefficients):
        total = total * u + a
    return total
