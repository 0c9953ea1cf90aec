"""Laws and series elements of numbered cells, for the same cells where they lie on the chip."""

import dataclasses
from typing import Any

from torch import Tensor

from memcore.circuit.laws import CellLaw, Ohmic, Polynomial
from memcore.circuit.per_cell import PerCell
from memcore.circuit.series import Between, GatedElement, SeriesElement, gated
from memcore.contracts.layout import Layout


class LaidLaw:
    """A law of cells [..., arrays, rows, cols], for the same cells as `layout` lays them."""

    def __init__(self, law: CellLaw, layout: Layout) -> None:
        self.law, self.layout = law, layout

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        lay, number = self.layout.lay, self.layout.number
        return lay(self.law.current(number(u), number(g)))

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        lay, number = self.layout.lay, self.layout.number
        return lay(self.law.slope(number(u), number(g)))


def laid_series(element: SeriesElement, layout: Layout) -> SeriesElement:
    """The same for what is in series with the memristors."""
    gate = gated(element)
    return LaidSeries(element, layout) if gate is None else LaidGate(element, gate, layout)


class LaidSeries:
    """A series element of numbered cells, for cells where they lie."""

    def __init__(self, element: SeriesElement, layout: Layout) -> None:
        self.element, self.layout = element, layout

    def current(self, u: Tensor) -> Tensor:
        return self.layout.lay(self.element.current(self.layout.number(u)))

    def slope(self, u: Tensor) -> Tensor:
        return self.layout.lay(self.element.slope(self.layout.number(u)))


class LaidGate(LaidSeries):
    """An element with a gate line of numbered cells, for cells where they lie."""

    def __init__(self, element: SeriesElement, gate: GatedElement, layout: Layout) -> None:
        super().__init__(element, layout)
        self.gate, self.gate_line = gate, gate.gate_line

    def between(self, upper: Tensor, lower: Tensor) -> Between:
        number = self.layout.number
        return Between(*map(self.layout.lay, self.gate.between(number(upper), number(lower))))


def joined_law(law: CellLaw, layout: Layout, shape: tuple[int, ...]) -> CellLaw:
    """A law of cells of `shape` [arrays, rows, cols], for arrays with common word lines."""
    if isinstance(law, Ohmic | Polynomial):
        return law
    known: CellLaw | None = _joined(law, layout, shape)
    return LaidLaw(law, layout) if known is None else known


def joined_series(element: SeriesElement, layout: Layout, shape: tuple[int, ...]) -> SeriesElement:
    """The same for what is in series with the memristors."""
    known: SeriesElement | None = _joined(element, layout, shape)
    return laid_series(element, layout) if known is None else known


def _joined(element: Any, layout: Layout, shape: tuple[int, ...]) -> Any:
    """An element of memcore.circuit with its parameters in place; None for any other one."""
    if not isinstance(element, PerCell):
        return None
    tensors = {name: x for name, x in vars(element).items() if isinstance(x, Tensor) and x.dim()}
    changes = {name: layout.join(x.expand(shape)) for name, x in tensors.items()}
    return dataclasses.replace(element, **changes)  # type: ignore[type-var]
