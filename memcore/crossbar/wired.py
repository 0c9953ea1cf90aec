"""Arrays whose wires resist: what multiplies the voltages is the matrix of cells and wires."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from memcore.circuit.array import ArrayCircuit
from memcore.circuit.effective import effective_conductance
from memcore.contracts.array import ArrayInfo
from memcore.contracts.layout import Layout
from memcore.contracts.product import Product
from memcore.contracts.wires import Wires

#: Cells that are solved together: 64 MB in float64, several times that for the ports of blocks.
_AT_ONCE = 1 << 23


class Wired(Product):
    """The exact matrix of each array, in float64, once for each state of the cells.

    Args:
        wires: resistances in ohm.
        array: the physical arrays.
        shared: whether the parts of a weight (a positive and a negative one) are neighbouring bit
            lines on the same word lines, rather than arrays with word lines of their own.
        sort: whether lines that conduct more lie nearer to what they load: word lines to the sense
            nodes, bit lines to the drivers. The targets of the first writing decide, for life.
    """

    row_order: Tensor
    col_order: Tensor

    def __init__(
        self, wires: Wires, array: ArrayInfo, *, shared: bool = False, sort: bool = False
    ) -> None:
        super().__init__()
        self.wires = wires
        self.parts = array.parts if shared else 1
        self.sort = sort
        if sort:
            count, rows, cols = array.arrays // self.parts, array.rows, array.cols * self.parts
            self.register_buffer("row_order", torch.full((count, rows), -1, device="cpu"))
            self.register_buffer("col_order", torch.full((count, cols), -1, device="cpu"))

    def stay(self, before: Product) -> None:
        if isinstance(before, Wired) and self.sort and before.sort:
            self.row_order.copy_(before.row_order)
            self.col_order.copy_(before.col_order)

    def matrix(self, g: Tensor) -> Tensor:
        layout = self.layout(g)
        return layout.number(self._effective(layout.lay(g)))

    def circuit(self, g: Tensor) -> ArrayCircuit:
        layout = self.layout(g)
        return ArrayCircuit(g=layout.join(g), wires=self.wires, layout=layout)

    def layout(self, g: Tensor) -> Layout:
        """Where the lines lie, which the first conductances [arrays, rows, cols] S decide."""
        if not self.sort:
            return Layout(parts=self.parts)
        if bool((self.row_order < 0).any()):
            self._place(Layout(parts=self.parts).join(g))
        return Layout(parts=self.parts, row_order=self.row_order, col_order=self.col_order)

    def _place(self, g: Tensor) -> None:
        near_sense = {"top": (0,), "bottom": (-1,), "both": (0, -1)}[self.wires.sense_at]
        near_driver = {"left": (0,), "right": (-1,), "both": (0, -1)}[self.wires.drive]
        self.row_order.copy_(_order(g.sum(2), near_sense))
        self.col_order.copy_(_order(g.sum(1), near_driver))

    def _effective(self, g: Tensor) -> Tensor:
        at_once = max(1, _AT_ONCE // g[0].numel())
        found = []
        for first in range(0, len(g), at_once):
            some = g[first : first + at_once].double()
            wires = _of_arrays(self.wires.like(some), first, len(some))
            found.append(effective_conductance(some, wires).to(g))
        return torch.cat(found)


def _of_arrays(wires: Wires, first: int, count: int) -> Wires:
    """The wires of some of the arrays, where each array has its own."""
    changes: dict[str, Any] = {}
    for name, dim in (("word_line", -3), ("bit_line", -3), ("driver", -2), ("sense", -2)):
        value = getattr(wires, name)
        if isinstance(value, Tensor) and value.dim() >= -dim and value.shape[dim] > 1:
            changes[name] = value.narrow(dim, first, count)
    return dataclasses.replace(wires, **changes) if changes else wires


def _order(total: Tensor, ends: tuple[int, ...]) -> Tensor:
    """Which line lies at each position, the largest totals next to the ends."""
    count = total.shape[1]
    at = torch.arange(count, device=total.device)
    distance = torch.stack([(at - end % count).abs() for end in ends]).amin(0)
    positions = distance.argsort(stable=True)
    order = torch.empty_like(total, dtype=torch.int64)
    order[:, positions] = total.argsort(dim=1, descending=True, stable=True)
    return order
