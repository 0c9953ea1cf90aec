"""Laws and series elements as the expressions of ngspice's B sources.

A law or an element of one's own has a method `spice`: for a law `spice(u, g, row, col)`, for a
series element `spice(u, row, col)`, with the voltage as text, the conductance in S, and the place
of the cell. It returns the current in A as an expression of ngspice. An element with a gate line
has `spice_between(upper, lower, row, col)` instead, with the potentials of its nodes as text.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memcore._tensor import as_tensor
from memcore.circuit import (
    CellLaw,
    Ohmic,
    Polynomial,
    Selector,
    SeriesElement,
    Sinh,
    ThresholdSelector,
    Transistor,
)
from memcore.circuit.series import GatedElement
from memcore.errors import ConfigError

#: The current of a cell, of its voltage and its place; None where nothing flows.
Expression = Callable[[str, int, int], str | None]


def of_law(law: CellLaw, g: Tensor) -> Expression | None:
    """The currents of the memristors as expressions; None if they are resistors.

    Raises:
        ConfigError: there is no expression for the law.
    """
    if isinstance(law, Ohmic):
        return None
    if type(law) in _LAWS:
        return _LAWS[type(law)](law, g)
    spice = _own(law, "law", "u, g, row, col")
    siemens = g.tolist()
    return lambda u, i, j: str(spice(u, siemens[i][j], i, j))


def of_gated(element: GatedElement, g: Tensor) -> "Mosfets | Callable[[str, str, int, int], str]":
    """Elements with a gate line: transistors, or their currents from both node names and place.

    Raises:
        ConfigError: there is no expression for the element.
    """
    if isinstance(element, Transistor):
        return Mosfets(element, g)
    spice = getattr(element, "spice_between", None)
    if not callable(spice):
        raise ConfigError(
            f"the series element {type(element).__name__} has a gate line and no expression in "
            "ngspice; expected a Transistor, or an object with a method spice_between(upper, "
            "lower, row, col) that returns the current as text"
        )
    return lambda upper, lower, i, j: str(spice(upper, lower, i, j))


class Mosfets:
    """Access transistors as MOSFETs of level 1, with a node for each potential of a gate line."""

    def __init__(self, element: Transistor, g: Tensor) -> None:
        assert element.gate_line is not None
        self._gate = _table(element.gate_line, g)
        fields = ("threshold", "gain", "modulation", "body_effect", "surface_potential")
        tables = [_table(getattr(element, name), g) for name in fields]
        self._model = [list(zip(*rows, strict=True)) for rows in zip(*tables, strict=True)]
        self._body = element.body
        self._gates: dict[float, str] = {}
        self._models: dict[tuple[float, ...], str] = {}

    def line(self, row: int, col: int) -> str:
        """The transistor of a cell, between m_row_col and b_row_col."""
        gate = self._gates.setdefault(self._gate[row][col], f"gate_{len(self._gates)}")
        model = self._models.setdefault(self._model[row][col], f"access_{len(self._models)}")
        name = f"{row}_{col}"
        return f"M_{name} m_{name} {gate} b_{name} body {model} w=1u l=1u"

    def common(self) -> list[str]:
        """The gate lines, the body, and the models of the transistors that `line` has written."""
        lines = [f"Vbody body 0 {self._body!r}"]
        lines += [f"V{node} {node} 0 {volts!r}" for volts, node in self._gates.items()]
        for (threshold, gain, modulation, body, phi), name in self._models.items():
            lines.append(
                f".model {name} nmos level=1 vto={threshold!r} kp={gain!r} lambda={modulation!r} "
                f"gamma={body!r} phi={phi!r} is=1e-32"
            )
        return lines


def of_series(element: SeriesElement, g: Tensor) -> Expression:
    """The currents of the series elements as expressions; only the shape of `g` counts.

    Raises:
        ConfigError: there is no expression for the element.
    """
    if type(element) in _SERIES:
        return _SERIES[type(element)](element, g)
    spice = _own(element, "series element", "u, row, col")
    return lambda u, i, j: str(spice(u, i, j))


def _own(element: Any, what: str, arguments: str) -> Callable[..., Any]:
    spice = getattr(element, "spice", None)
    if not callable(spice):
        raise ConfigError(
            f"the {what} {type(element).__name__} has no expression in ngspice; expected one of "
            f"memcore.circuit that is a formula, or an object with a method spice({arguments}) "
            "that returns the current as text"
        )
    return spice  # type: ignore[no-any-return]


def _table(value: float | Tensor, like: Tensor) -> list[list[float]]:
    cells = as_tensor(value, dtype=like.dtype).expand(like.shape)
    return cells.tolist()


def _sinh(law: Sinh, g: Tensor) -> Expression:
    v0 = as_tensor(law.v0, dtype=g.dtype)
    at = law.read_voltage
    size = _table(g * at / torch.sinh(at / v0) if at else g * v0, g)
    volts = _table(v0, g)
    return lambda u, i, j: f"{size[i][j]!r}*sinh({u}/{volts[i][j]!r})"


def _polynomial(law: Polynomial, g: Tensor) -> Expression:
    a, at, end = (0.0, *law.coefficients), law.read_voltage, law.limit
    value = sum(x * at**k for k, x in enumerate(a))
    size = _table(g * (at / value if at else 1 / a[1]), g)
    rise = [k * x for k, x in enumerate(a)][1:]

    def current(u: str, i: int, j: int) -> str:
        inside = f"min(max({u},{-end!r}),{end!r})"
        tangent = f"({u}-{inside})*{_horner(rise, inside)}"
        return f"{size[i][j]!r}*({_horner(a, inside)}+{tangent})"

    return current


def _horner(coefficients: Any, u: str) -> str:
    *lower, text = [f"({a!r})" for a in coefficients]
    for a in reversed(lower):
        text = f"({a}+{u}*{text})"
    return text


def _transistor(element: Transistor, g: Tensor) -> Expression:
    assert element.gate_voltage is not None
    over = _table(element.gate_voltage - as_tensor(element.threshold, dtype=g.dtype), g)
    gain, m = _table(element.gain, g), element.modulation

    def current(u: str, i: int, j: int) -> str | None:
        most = over[i][j]
        if most <= 0:
            return None
        linear = f"min(max({u},{-most!r}),{most!r})"
        channel = f"{gain[i][j]!r}*{linear}*({most!r}-abs({linear})/2)"
        return f"{channel}*(1+{m!r}*abs({u}))" if m else channel

    return current


def _selector(element: Selector, g: Tensor) -> Expression:
    i0, v0 = _table(element.i0, g), _table(element.v0, g)
    return lambda u, i, j: f"{i0[i][j]!r}*sinh({u}/{v0[i][j]!r})"


def _threshold(element: ThresholdSelector, g: Tensor) -> Expression:
    names = ("v_th", "v_hold", "r_on", "r_off", "smoothing")
    tables = [_table(getattr(element, name), g) for name in names]

    def current(u: str, i: int, j: int) -> str:
        v_th, v_hold, r_on, r_off, s = (table[i][j] for table in tables)

        def above(u: str) -> str:
            x = f"(({u}-{v_th!r})/{s!r})"
            # As ln(1 + e^x) without overflow.
            soft = f"(max({x},0)+ln(1+exp(-abs({x}))))"
            return f"({(v_th - v_hold) / r_on!r}/(1+exp(min(-{x},200)))+{s / r_on!r}*{soft})"

        return f"{u}/{r_off!r}+{above(u)}-{above(f'(-{u})')}"

    return current


_LAWS: dict[type, Callable[[Any, Tensor], Expression]] = {Sinh: _sinh, Polynomial: _polynomial}
_SERIES: dict[type, Callable[[Any, Tensor], Expression]] = {
    Transistor: _transistor,
    Selector: _selector,
    ThresholdSelector: _threshold,
}
