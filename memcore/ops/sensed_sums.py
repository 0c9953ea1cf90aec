"""Sums of one-bit cells in operation units, each told through a table of sense amplifiers."""

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.ops import _library, philox
from memcore.ops._library import address
from memcore.ops.checks import require_same_device, require_shape


def sensed_sums(
    bits: Tensor,
    cells: Tensor,
    reads: Tensor,
    threshold: Tensor | None,
    other: Tensor | None,
    key: int,
    lines: int,
    sensed: int,
) -> Tensor:
    """Add up over all units what is told of the number of rows in which bit and cell are both 1.

    A sum is told by the aliases of its row of a table: with the uniform number U of read `reads[i]`
    and element `(g units + u) cols + j`, the integer part of `U sensed` is meant if the fraction
    lies below its `threshold`, and its `other` if not. Where no word line is open, 0 is told.

    Args:
        bits: which word lines are open, 0 or 1, uint8 [n, groups, units, rows].
        cells: what cells hold, 0 or 1, uint8 [groups, units, rows, cols].
        reads: numbers of the reads, int64 [n].
        threshold: float32 [lines + 1, lines + 1, sensed] by open lines, ideal sum and column; None
            tells every sum right.
        other: float32 of the same shape, or None.
        key: signed 64-bit integer, of the uniform numbers.
        lines: word lines that may be open at once, at least the rows.
        sensed: columns of the table, a power of two.

    Returns:
        float32 [n, groups, cols]. There is no gradient.

    Raises:
        ArgumentTypeError: if a dtype is another one.
        ConfigError: if a shape, a device or a size does not fit.
    """
    return _SUMS(bits, cells, reads, threshold, other, key, lines, sensed)


def _expect(name: str, tensor: Tensor, dtype: torch.dtype, like: Tensor) -> None:
    if tensor.dtype != dtype:
        raise ArgumentTypeError(f"{name} is {tensor.dtype}; expected {dtype}")
    require_same_device(name, tensor, "bits", like)


def _empty(
    bits: Tensor,
    cells: Tensor,
    reads: Tensor,
    threshold: Tensor | None,
    other: Tensor | None,
    key: int,
    lines: int,
    sensed: int,
) -> Tensor:
    del key
    _expect("bits", bits, torch.uint8, bits)
    _expect("cells", cells, torch.uint8, bits)
    _expect("reads", reads, torch.int64, bits)
    n, groups, units, rows = bits.shape
    require_shape("cells", cells, (groups, units, rows, cells.shape[-1]))
    require_shape("reads", reads, (n,))
    if not rows <= lines <= 1024 or sensed < 1 or sensed & (sensed - 1):
        raise ConfigError(
            f"lines is {lines} for units of {rows} rows, and sensed is {sensed}; expected at least "
            "as many lines as rows and at most 1024, and a power of two"
        )
    for name, table in (("threshold", threshold), ("other", other)):
        if table is not None:
            _expect(name, table, torch.float32, bits)
            require_shape(name, table, (lines + 1, lines + 1, sensed))
    return bits.new_empty((n, groups, cells.shape[-1]), dtype=torch.float32)


def _reference(
    bits: Tensor,
    cells: Tensor,
    reads: Tensor,
    threshold: Tensor | None,
    other: Tensor | None,
    key: int,
    lines: int,
    sensed: int,
) -> Tensor:
    n, groups, units, _ = bits.shape
    cols = cells.shape[-1]
    total = bits.new_zeros((n, groups, cols), dtype=torch.float32)
    first = torch.arange(groups, device=bits.device)[:, None] * (units * cols)
    column = torch.arange(cols, device=bits.device)
    for u in range(units):
        values = torch.einsum("ngk,gko->ngo", bits[:, :, u].float(), cells[:, u].float())
        if threshold is not None and other is not None:
            elements = (first + (u * cols + column)).flatten()
            uniform = philox.uniform(reads, groups * cols, key, elements).view_as(values)
            opened = bits[:, :, u].sum(-1, keepdim=True)
            values = told(values, opened, uniform, threshold, other, lines, sensed)
        total = total + values
    return total


def told(
    values: Tensor,
    opened: Tensor,
    uniform: Tensor,
    threshold: Tensor,
    other: Tensor,
    lines: int,
    sensed: int,
) -> Tensor:
    """What is told of ideal sums, float32 of their shape, where 0 open lines tell 0."""
    point = uniform * sensed
    column = point.floor()
    row = (opened * (lines + 1) + values).long() * sensed
    index = (row + column.long()).flatten()
    kept = (point - column) < threshold.flatten().index_select(0, index).view(values.shape)
    drawn = torch.where(kept, column, other.flatten().index_select(0, index).view(values.shape))
    return torch.where(opened > 0, drawn, 0.0)


def _native(
    bits: Tensor,
    cells: Tensor,
    reads: Tensor,
    threshold: Tensor | None,
    other: Tensor | None,
    key: int,
    lines: int,
    sensed: int,
) -> Tensor:
    out = _empty(bits, cells, reads, threshold, other, key, lines, sensed)
    if bits.is_cuda or not (bits.numel() and out.numel()):
        return _reference(bits, cells, reads, threshold, other, key, lines, sensed)
    bits, cells, reads = bits.contiguous(), cells.contiguous(), reads.contiguous()
    if threshold is None or other is None:
        threshold = other = None
    else:
        threshold, other = threshold.contiguous(), other.contiguous()
    addresses = (bits.data_ptr(), cells.data_ptr(), reads.data_ptr(), key)
    tables = (address(threshold), address(other))
    sizes = (*bits.shape, cells.shape[-1], lines, sensed)
    native.cpu().sensed_sums(*addresses, *tables, *sizes, out.data_ptr())  # type: ignore[union-attr]
    return out


_SUMS = _library.register(
    "sensed_sums(Tensor bits, Tensor cells, Tensor reads, Tensor? threshold, Tensor? other, "
    "int key, int lines, int sensed) -> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
)
