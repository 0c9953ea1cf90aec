"""Two parts of a matrix, of its positive and of its negative weights, onto arrays and back.

Each is one pass over memory, where single operations of PyTorch take ten; the results are the same
to the bit.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import native
from memcore.ops._library import is_plain, large_pages


class Grid(NamedTuple):
    """How both parts of a matrix [groups, rows, cols] lie on arrays of some lines.

    Arrays are counted by parts, groups, tiles of rows, and tiles of columns.
    """

    groups: int
    rows: int
    cols: int
    array_rows: int
    array_cols: int

    @property
    def tiles(self) -> tuple[int, int]:
        """Arrays that the rows, and the columns, are spread over."""
        return -(-self.rows // self.array_rows), -(-self.cols // self.array_cols)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the cells of all arrays."""
        row_tiles, col_tiles = self.tiles
        return 2 * self.groups * row_tiles * col_tiles, self.array_rows, self.array_cols


class Line(NamedTuple):
    """What a part makes of weights w: `min(max(w, 0) / scale, limit) * span + start`.

    The second part is that of -w.

    Args:
        scale: [] or [cols], above 0.
        span: in the unit of the results.
        start: likewise.
        limit: infinite for none.
    """

    scale: Tensor
    span: float
    start: float
    limit: float = float("inf")


def fits(*tensors: Tensor) -> bool:
    """Whether the kernels read these tensors."""
    return native.cpu() is not None and all(is_plain(each) and each.numel() for each in tensors)


def lay(weight: Tensor, line: Line, grid: Grid, fill: float) -> tuple[Tensor, float, float]:
    """Lay both parts of a matrix onto arrays.

    Args:
        weight: [groups, rows, cols], finite.
        line: what each part makes of it.
        grid: where it lies.
        fill: what cells hold that carry no weight.

    Returns:
        [arrays, rows, cols], and the least and the largest of it; NaN if any is infinite or NaN.
    """
    by_columns = not weight.is_contiguous()
    dense = weight.mT if by_columns else weight
    if not fits(dense, line.scale):
        return _lay_reference(weight, line, grid, fill)
    out = large_pages(weight.new_empty(grid.shape))
    found = torch.empty(3, device="cpu")
    kernels = native.cpu()
    assert kernels is not None
    kernels.lay_pairs(
        dense.data_ptr(),
        by_columns,
        *grid,
        line.scale.data_ptr(),
        line.scale.numel(),
        line.limit,
        line.span,
        line.start,
        fill,
        out.data_ptr(),
        found.data_ptr(),
    )
    least, most, check = found.tolist()
    return out, least + check, most + check


def _lay_reference(
    weight: Tensor, line: Line, grid: Grid, fill: float
) -> tuple[Tensor, float, float]:
    parts = [_part(each, line) for each in (weight.clamp(min=0), (-weight).clamp_(min=0))]
    row_tiles, col_tiles = grid.tiles
    beyond = (
        *(0, col_tiles * grid.array_cols - grid.cols),
        *(0, row_tiles * grid.array_rows - grid.rows),
    )
    whole = F.pad(torch.stack(parts), beyond, value=fill)
    tiles = whole.view(2, -1, row_tiles, grid.array_rows, col_tiles, grid.array_cols)
    cells = tiles.transpose(3, 4).reshape(grid.shape)
    least, most = torch.stack(cells.aminmax()).tolist()
    check = float(least - least + most - most)
    return cells, least + check, most + check


def _part(part: Tensor, line: Line) -> Tensor:
    """What one part is, in the memory of its weights."""
    return part.div_(line.scale).clamp_(max=line.limit).mul_(line.span).add_(line.start)


def fold(
    cells: Tensor, gain: Tensor, grid: Grid, *, reference: bool = False, out: Tensor | None = None
) -> tuple[Tensor, bool]:
    """The matrix that both parts stand for, their difference times a gain.

    Args:
        cells: [arrays, rows, cols]; with a reference only those of the first part, each with one
            more column.
        gain: [1] or [cols].
        grid: where it lies.
        reference: whether the second part is the last column of each array.
        out: takes the result; by default it gets new memory. The rows of one group may be some of
            those of a larger matrix.

    Returns:
        [groups, cols, rows], and whether all of it is finite.
    """
    if not fits(cells, gain) or not (out is None or _takes(out)):
        found, is_finite = _fold_reference(cells, gain, grid, reference=reference)
        return (found if out is None else out.copy_(found)), is_finite
    if out is None:
        out = large_pages(cells.new_empty(grid.groups, grid.cols, grid.rows))
    check = torch.empty(1, device="cpu")
    kernels = native.cpu()
    assert kernels is not None
    kernels.fold_pairs(
        cells.data_ptr(),
        reference,
        *grid,
        gain.data_ptr(),
        gain.numel(),
        out.data_ptr(),
        out.stride(1),
        check.data_ptr(),
    )
    return out, check.item() == 0


def _takes(out: Tensor) -> bool:
    """Whether the kernel may write what it folds there."""
    lies = out.is_contiguous() or (len(out) == 1 and out.stride(2) == 1)
    return lies and out.is_cpu and out.dtype is torch.float32


def _fold_reference(
    cells: Tensor, gain: Tensor, grid: Grid, *, reference: bool = False
) -> tuple[Tensor, bool]:
    row_tiles, col_tiles = grid.tiles
    if reference:
        net = cells[..., :-1] - cells[..., -1:]
    else:
        net = cells[: len(cells) // 2] - cells[len(cells) // 2 :]
    tiles = net.view(-1, row_tiles, col_tiles, grid.array_rows, grid.array_cols).transpose(2, 3)
    rows = tiles.reshape(-1, row_tiles * grid.array_rows, col_tiles * grid.array_cols)
    folded = (rows[:, : grid.rows, : grid.cols] * gain).transpose(1, 2).contiguous()
    return folded, bool(folded.isfinite().all())
