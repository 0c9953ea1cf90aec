"""Which cells see which share of a pulse when a cell or a row of an array is selected."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore import circuit

#: Numbers of pulses, [arrays, selected].
Counts = npt.NDArray[np.int64]

#: Share of the voltage on the other cells of the selected lines, and on all the rest; of floating
#: lines the most that ideal ones can bring about.
SHARES: Final[Mapping[circuit.Scheme, tuple[float, float]]] = {
    "V/2": (1 / 2, 0.0),
    "V/3": (1 / 3, -1 / 3),
    "floating": (1 / 2, 0.0),
}

#: Up to so many different counts are applied one by one, more of them by their bits.
_FEW: Final = 3


@dataclass(frozen=True)
class Selection:
    """One turn in the sequence; the cells of an array are numbered in C order.

    Args:
        cells: numbers of the selected cells.
        touched: numbers of all cells that see a voltage.
        own: positions of the selected cells among the touched ones.
        drive: function from which of the selected cells are driven, 0 or 1, [arrays, selected], to
            the share of the voltage that each touched cell sees, [arrays, touched].
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
        rows: number of word lines.
        cols: number of bit lines.
        shares: of the voltage on the other cells of selected lines, and on all the rest, such as
            `SHARES["V/2"]`; (0, 0) where the transistors of the other cells are off; None if a
            network says what each cell sees.
        order: `"cell"` selects cell after cell, `"row"` all cells of a word line at a time.
        like: a tensor with the dtype and the device of the arrays.

    Examples:
        >>> from memcore.writing import SHARES, selections
        >>> first = next(selections(2, 3, SHARES["V/2"], "cell", torch.zeros(())))
        >>> first.touched, first.drive(torch.ones(1, 1))  # the cell, then its lines
        (tensor([0, 1, 2, 3]), tensor([[1.0000, 0.5000, 0.5000, 0.5000]]))
    """
    if shares is None or not any(shares):
        step = cols if order == "row" else 1
        for first in range(0, rows * cols, step):
            line = slice(first, first + step)
            if shares is None:
                yield Selection(line, slice(0, rows * cols), line, _same)
            else:
                yield Selection(line, line, slice(0, step), _same)
    elif order == "row":
        for row in range(rows):
            line = slice(row * cols, (row + 1) * cols)
            drive = partial(_row_drive, row, rows, shares)
            yield Selection(line, slice(0, rows * cols), line, drive)
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
        others = torch.cat([number[:row], number[row + 1 :]]).t().contiguous()
        around = torch.cat([number[row], number[row]])
        for col in range(cols):
            touched = torch.cat([around[col : col + cols], others[col]])
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
    """Cut trains of different lengths into trains of a common length, and who gets each.

    A few different counts are taken as they are, many by their bits, so that the work grows with
    the logarithm of the longest train. At a constant voltage the time is all that matters.

    Args:
        count: pulses of each cell, [arrays, selected].

    Yields:
        A number of pulses, and which cells get so many.

    Examples:
        >>> import numpy as np
        >>> from memcore.writing import slots
        >>> [pulses for pulses, cells in slots(np.array([[3, 0, 7, 3]]))]
        [3, 7]
    """
    if not np.count_nonzero(count):
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
