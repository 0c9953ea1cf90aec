"""Cells whose conductances follow from their states, back to the weights that they stand for.

The kernel does for some cells after the others what a recorded device and `pairs.fold` do for all
of them, so that no conductances are in memory.
"""

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ShapeError
from memcore.ops._library import address_of, integers, lies_plain
from memcore.ops.checks import require_shape
from memcore.ops.pairs import Grid, fits
from memcore.ops.pulse_trains import Motion


def fold_states(
    state: Tensor,
    law: Motion,
    gain: Tensor,
    grid: Grid,
    rows: slice,
    *,
    reference: bool,
    out: Tensor,
) -> bool | None:
    """What some rows of both parts stand for, their difference times a gain, as `pairs.fold`.

    Args:
        state: variables of all cells, [k, arrays, rows, cols]; with a reference the arrays are
            those of the first part, each with one more column.
        law: what makes a conductance in S of the first variable and leaves the others, recorded
            for all cells in float32.
        gain: weight for one siemens, [1] or [cols].
        grid: where both parts lie.
        rows: which ones are wanted, with a start and a stop.
        reference: whether the second part is the last column of each array.
        out: takes the result, [groups, cols, wanted rows], of which rows lie one after the other.

    Returns:
        Whether all of it is finite; None, with `out` as it was, where no kernel reads the tensors.

    Raises:
        ShapeError: the shapes do not fit each other.
    """
    _require_shapes(state, gain, grid, rows, reference=reference, out=out)
    if not fits(state, gain) or not _takes(out):
        return None
    check = torch.empty(1, device="cpu")
    variables, parameters = integers(map(Tensor.data_ptr, state)), integers(law.parameters)
    row = integers(
        [
            *(*grid, reference, rows.start, rows.stop),
            *(gain.data_ptr(), gain.numel(), out.data_ptr(), *out.stride()[:2], check.data_ptr()),
            *(address_of(variables), *law.model, address_of(parameters), law.keys.data_ptr()),
        ]
    )
    kernels = native.cpu()
    assert kernels is not None
    kernels.fold_states(address_of(row))
    return check.item() == 0


def _require_shapes(
    state: Tensor, gain: Tensor, grid: Grid, rows: slice, *, reference: bool, out: Tensor
) -> None:
    arrays, lines, cols = grid.shape
    cells = (arrays // 2, lines, cols + 1) if reference else (arrays, lines, cols)
    require_shape("state", state, (len(state), *cells))
    require_shape("gain", gain, (1,), (grid.cols,))
    if not 0 <= rows.start <= rows.stop <= grid.rows:
        raise ShapeError(f"rows are {rows.start} to {rows.stop}; expected some of {grid.rows}")
    require_shape("out", out, (grid.groups, grid.cols, rows.stop - rows.start))


def _takes(out: Tensor) -> bool:
    """Whether the kernel may write what it folds there."""
    return lies_plain(out[:1, :1])
