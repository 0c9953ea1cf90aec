"""The positions of the lines of arrays: parts that share word lines, and the order of the lines."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The map from arrays and lines as they are numbered to their positions on the chip, and back.

    Attributes:
        parts: number of parts of a weight that are neighbouring bit lines of one array, whose bit
            line j * parts + k is column j of part k.
        row_order: word line at each position from top to bottom, [..., rows]; None if they lie as
            they are numbered.
        col_order: bit line at each position from left to right, [..., cols]; None if they lie as
            they are numbered.
    """

    parts: int = 1
    row_order: Tensor | None = None
    col_order: Tensor | None = None

    def lay(self, cells: Tensor) -> Tensor:
        """Cells [arrays, rows, cols] as they are numbered, by their positions on the chip."""
        return self.place(self.join(cells))

    def number(self, cells: Tensor) -> Tensor:
        """The inverse of `lay`."""
        return self.separate(self.restore(cells))

    def join(self, g: Tensor) -> Tensor:
        """The cells on common word lines, [..., arrays / parts, rows, cols * parts]."""
        if self.parts == 1:
            return g
        *lead, arrays, rows, cols = g.shape
        count = arrays // self.parts
        pairs = g.reshape(*lead, self.parts, count, rows, cols).movedim(-4, -1)
        return pairs.reshape(*lead, count, rows, cols * self.parts)

    def separate(self, a: Tensor) -> Tensor:
        """The inverse of `join`."""
        if self.parts == 1:
            return a
        *lead, count, rows, cols = a.shape
        parts = a.reshape(*lead, count, rows, cols // self.parts, self.parts).movedim(-1, -4)
        return parts.reshape(*lead, count * self.parts, rows, cols // self.parts)

    def place(self, cells: Tensor) -> Tensor:
        """Cells [..., rows, cols] of numbered lines, by their positions."""
        return _cells(cells, self.row_order, self.col_order)

    def restore(self, cells: Tensor) -> Tensor:
        """The inverse of `place`."""
        return _cells(cells, _inverse(self.row_order), _inverse(self.col_order))

    def restore_cols(self, lines: Tensor) -> Tensor:
        """Bit lines [..., cols] by their numbers."""
        return _lines(lines, _inverse(self.col_order))

    def place_rows(self, lines: Tensor) -> Tensor:
        """Word lines [..., rows] by their positions."""
        return _lines(lines, self.row_order)

    def restore_rows(self, lines: Tensor) -> Tensor:
        """The inverse of `place_rows`."""
        return _lines(lines, _inverse(self.row_order))

    def place_cols(self, lines: Tensor) -> Tensor:
        """Bit lines [..., cols] by their positions."""
        return _lines(lines, self.col_order)


def _lines(x: Tensor, order: Tensor | None) -> Tensor:
    return x if order is None else _gather(x, order, -1)


def _cells(x: Tensor, rows: Tensor | None, cols: Tensor | None) -> Tensor:
    x = x if rows is None else _gather(x, rows.unsqueeze(-1), -2)
    return x if cols is None else _gather(x, cols.unsqueeze(-2), -1)


def _gather(x: Tensor, order: Tensor, dim: int) -> Tensor:
    shape = np.broadcast_shapes(x.shape, order.shape)
    order = order.to(x.device)
    return x.expand(shape).gather(dim, order.expand(shape))


def _inverse(order: Tensor | None) -> Tensor | None:
    return None if order is None else order.argsort(-1)
