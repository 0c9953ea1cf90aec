"""Which cells see which share of a pulse when a cell or a row of an array is selected."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Counts = npt.NDArray[np.int64]

#: So many different trains are applied one by one, more of them by the bits of their counts.
_FEW: Final = 3


@dataclass(frozen=True)
class Selection:
    """One turn in the sequence; cells of an array are numbered in C order.

    Args:
        cells: the selected ones.
        touched: all that see a voltage, an index into the cells.
        own: where the selected ones are among these.
        drive: from what is driven, 0 or 1, [arrays, selected], to the share of the voltage that
            each touched cell sees, [arrays, touched].
    """

    cells: slice
    touched: Tensor | slice
    own: slice
    drive: Callable[[Tensor], Tensor]


def selections(
    rows: int, cols: int, shares: tuple[float, float] | None, order: str, like: Tensor
) -> Iterator[Selection]:
    """All turns of one pass over an array.

    Args:
        rows: word lines.
        cols: bit lines.
        shares: of the voltage on the other cells of selected lines, and on all the rest; None if
            a network says what each cell sees.
        order: `"cell"` or `"row"`.
        like: a tensor of the dtype and the device of the arrays.
    """
    if shares is None:
        step = cols if order == "row" else 1
        for first in range(0, rows * cols, step):
            line = slice(first, first + step)
            yield Selection(line, slice(0, rows * cols), line, _same)
        return
    alone = not any(shares)
    if order == "row":
        for row in range(rows):
            line = slice(row * cols, (row + 1) * cols)
            if alone:
                yield Selection(line, line, slice(0, cols), _same)
            else:
                drive = partial(_row_drive, row, rows, shares)
                yield Selection(line, slice(0, rows * cols), line, drive)
        return
    if alone:
        for cell in range(rows * cols):
            yield Selection(slice(cell, cell + 1), slice(cell, cell + 1), slice(0, 1), _same)
    elif shares[1]:
        yield from _cells_of_all(rows, cols, shares, like)
    else:
        yield from _cells_of_cross(rows, cols, shares[0], like)


def _cells_of_cross(rows: int, cols: int, share: float, like: Tensor) -> Iterator[Selection]:
    """The selected cell first, then the others of its lines."""
    weights = like.new_full((rows + cols - 1,), share)
    weights[0] = 1.0
    number = torch.arange(rows * cols, device=like.device).view(rows, cols)
    drive = partial(torch.mul, weights)
    for row in range(rows):
        others = torch.cat([number[:row], number[row + 1 :]])
        for col in range(cols):
            line = number[row]
            touched = torch.cat([line[col:], line[:col], others[:, col]])
            cell = row * cols + col
            yield Selection(slice(cell, cell + 1), touched, slice(0, 1), drive)


def _cells_of_all(
    rows: int, cols: int, shares: tuple[float, float], like: Tensor
) -> Iterator[Selection]:
    on_lines, elsewhere = shares
    for row in range(rows):
        for col in range(cols):
            weights = like.new_full((rows, cols), elsewhere)
            weights[row] = on_lines
            weights[:, col] = on_lines
            weights[row, col] = 1.0
            cell = slice(row * cols + col, row * cols + col + 1)
            yield Selection(cell, slice(0, rows * cols), cell, partial(torch.mul, weights.view(-1)))


def _same(driven: Tensor) -> Tensor:
    return driven


def _row_drive(row: int, rows: int, shares: tuple[float, float], driven: Tensor) -> Tensor:
    """A row against columns of which some are driven."""
    on_lines, elsewhere = shares
    others = on_lines * driven + elsewhere * (1 - driven)
    drive = others.unsqueeze(1).repeat(1, rows, 1)
    drive[:, row] = driven + on_lines * (1 - driven)
    return drive.flatten(1) * driven.any(1, keepdim=True)


def slots(count: Counts) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Cut trains of `count` pulses into pulses of a common length, and who gets each.

    A few different counts are taken as they are, many by their bits, so that the work grows with
    the logarithm of the longest train. At a constant voltage the time is all that matters.
    """
    if not count.any():
        return
    values = [int(count.item())] if count.size == 1 else np.unique(count[count > 0]).tolist()
    if len(values) <= _FEW:
        for value in values:
            yield value, count == value
        return
    for bit in range(int(values[-1]).bit_length()):
        some = (count >> bit & 1).astype(bool)
        if some.any():
            yield 1 << bit, some
