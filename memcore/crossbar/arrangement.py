"""Which line of an array carries which row or column, so that known stuck cells do least harm."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from memcore.contracts.layout import Layout
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.tiling import Tiling


def laid(
    tiling: Tiling,
    target: Tensor,
    gain: Tensor,
    config: CrossbarConfig,
    stuck_cells: Callable[[Tensor], Tensor | None],
    order: Layout | None,
) -> tuple[Tiling, Tensor]:
    """What the cells of all arrays should hold, [arrays, rows, cols] S, and the order of lines.

    Args:
        tiling: where the parts lie, in their own order.
        target: S, in the order in which lines are numbered, [arrays, rows, cols].
        gain: weight for one siemens in each lane, [lanes, ...].
        config: whether faults are avoided.
        stuck_cells: from targets to what the cells conduct that no pulse moves, if there are any.
        order: of the lines, if it is decided already.
    """
    if config.faults == "ignored":
        return tiling, target
    if order is None:
        stuck = stuck_cells(target)
        stuck = target.new_full((), torch.nan) if stuck is None else stuck
        at_once = config.rows_at_once
        order = around_faults(
            tiling,
            target,
            stuck.expand(target.shape),
            _significance(tiling, gain),
            rows=at_once is None or at_once >= tiling.array_rows,
        )
    return dataclasses.replace(tiling, order=order), order.place(target)


def _significance(tiling: Tiling, gain: Tensor) -> Tensor:
    """What a siemens counts for in each part with arrays of its own, the most as 1, [parts]."""
    weight = gain.detach().double().abs().reshape(len(gain), -1).amax(1)
    own = [lane for lane, shared in zip(tiling.lanes, tiling.shared, strict=True) if not shared]
    largest = weight.max()
    return weight[own] / largest if largest > 0 else torch.ones_like(weight[own])


def around_faults(
    tiling: Tiling, target: Tensor, stuck: Tensor, significance: Tensor, *, rows: bool
) -> Layout:
    """The order of the lines of all arrays.

    Columns are assigned first, then rows. The bit lines with the most stuck cells come first, and
    each takes the column that is left to which its cells do least harm, by the sum of squared
    errors of the weights, so that digits count by their places; a spare one that is nobody's takes
    none. Arrays that hold the same rows and columns of different parts have one order, since their
    currents are subtracted.

    Args:
        tiling: where the parts lie, in their own order.
        target: S, what the cells should hold in that order, [arrays, rows, cols].
        stuck: S, what cells conduct that no pulse moves, NaN for all others, by their positions.
        significance: what a siemens counts for in each part, [parts].
        rows: whether word lines are assigned too.
    """
    shape = (tiling.full_parts, -1, tiling.array_rows, tiling.array_cols)
    counts = significance.to(target.device).view(-1, 1, 1, 1)
    wanted, fixed = (counts * cells.double().view(shape) for cells in (target, stuck))
    count = wanted.shape[1]
    used_rows, used_cols = _used(tiling, target.device)
    movable = torch.ones(tiling.array_cols, dtype=torch.bool, device=target.device)
    movable[tiling.data_cols : tiling.data_cols + tiling.references] = False
    harm = _harm(wanted * used_rows[:, :, None], fixed, used_rows[:, :, None])
    col_order = _assigned(harm * used_cols.unsqueeze(2), movable)
    row_order = torch.arange(tiling.array_rows, device=target.device).expand(count, -1)
    if rows:
        placed = Layout(col_order=col_order).place(wanted)
        carried = Layout(col_order=col_order).place_cols(used_cols.double())
        across = _harm(placed.transpose(2, 3), fixed.transpose(2, 3), carried[:, :, None])
        # All arrays along a word line of the matrix are driven alike.
        alike = across.view(-1, tiling.col_tiles, *across.shape[1:]).sum(1)
        alike = alike * used_rows[:: tiling.col_tiles].unsqueeze(2)
        order = _assigned(alike, torch.ones_like(alike[0, 0], dtype=torch.bool))
        row_order = order.repeat_interleave(tiling.col_tiles, 0)
    parts = tiling.full_parts
    return Layout(row_order=row_order.repeat(parts, 1), col_order=col_order.repeat(parts, 1))


def _used(tiling: Tiling, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which lines of the arrays of one part carry something, [arrays, rows] and [arrays, cols]."""
    places = torch.arange(tiling.arrays // tiling.full_parts, device=device)
    col, row = places % tiling.col_tiles, places // tiling.col_tiles % tiling.row_tiles
    lines = torch.arange(tiling.array_rows, device=device)
    rows = row[:, None] * tiling.array_rows + lines < tiling.rows
    lines = torch.arange(tiling.array_cols, device=device)
    cols = (lines < tiling.data_cols) & (col[:, None] * tiling.data_cols + lines < tiling.cols)
    return rows.double(), cols


def _harm(wanted: Tensor, fixed: Tensor, weight: Tensor) -> Tensor:
    """Squared errors of each column on each bit line, summed over parts, [arrays, cols, lines].

    Args:
        wanted: S, [parts, arrays, rows, cols].
        fixed: S, NaN where cells can be written, [parts, arrays, rows, lines].
        weight: 1 for rows that carry something, else 0, that broadcasts with both.
    """
    is_stuck = (~fixed.isnan()) * weight
    value = torch.where(fixed.isnan(), 0.0, fixed) * is_stuck
    squares = torch.einsum("parc,parl->acl", wanted.square(), is_stuck)
    crossed = torch.einsum("parc,parl->acl", wanted, value)
    return squares - 2 * crossed + value.square().sum((0, 2)).unsqueeze(1)


def _assigned(harm: Tensor, movable: Tensor) -> Tensor:
    """The column of each line, [arrays, lines], for what each would cost, [arrays, cols, lines]."""
    arrays, count, _ = harm.shape
    harm = harm.masked_fill(~movable[:, None], torch.inf).masked_fill(~movable, torch.inf)
    own = torch.arange(count, device=harm.device)
    harm[:, own[~movable], own[~movable]] = 0.0
    order = own.expand(arrays, -1).clone()
    every = torch.arange(arrays, device=harm.device)
    # A line costs the more, the more of its cells are stuck.
    mean = torch.where(movable, harm.masked_fill(harm.isinf(), 0.0).sum(1), torch.inf)
    for line in mean.argsort(dim=1, descending=True, stable=True).unbind(1):
        of_line = harm[every, :, line]
        # Where nothing is stuck it stays what it is, if that is free.
        of_line[every, line] -= torch.where(of_line[every, line].isfinite(), 1e-18, 0.0)
        column = of_line.argmin(1)
        order[every, line] = column
        harm[every, column] = torch.inf
    return order
