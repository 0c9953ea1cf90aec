"""Sums of one-bit cells in operation units, each told through a table of sense amplifiers."""

from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.ops import _library, philox
from memcore.ops._library import address
from memcore.ops.checks import require_same_device, require_shape
from memcore.ops.mapped import rows

_LOW = 2**40  #: the first of the words that give lower bits
_MOST_SENSED = 2**16
_ROWS = 32  #: of a word of bits


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

    A sum is told by the aliases of its row of a table: with the number U that `numbers` draws for
    read `reads[i]` and element `(g units + u) cols + j`, the integer part of `U sensed` is meant if
    the fraction lies below its `threshold`, and its `other` if not. Where no word line is open, 0
    is told.

    Args:
        bits: which word lines are open, 0 or 1, uint8 [n, groups, units, rows].
        cells: what cells hold, 0 or 1, uint8 [groups, units, rows, cols].
        reads: numbers of the reads, int64 [n].
        threshold: float32 [lines + 1, lines + 1, sensed] by open lines, ideal sum and column; None
            tells every sum right.
        other: float32 of the same shape, or None.
        key: signed 64-bit integer, of the uniform numbers.
        lines: word lines that may be open at once, at least the rows.
        sensed: columns of the table, a power of two, at most 65 536.

    Returns:
        float32 [n, groups, cols]. There is no gradient.

    Raises:
        ArgumentTypeError: if a dtype is another one.
        ConfigError: if a shape, a device or a size does not fit.
    """
    return _SUMS(bits, cells, reads, threshold, other, key, lines, sensed)


class _Asked(NamedTuple):
    """What `sensed_sums` was given."""

    bits: Tensor
    cells: Tensor
    reads: Tensor
    threshold: Tensor | None
    other: Tensor | None
    key: int
    lines: int
    sensed: int

    @property
    def dense(self) -> "_Asked":
        """As kernels read it: whole, with both tables or none."""
        whole = self._replace(
            bits=self.bits.contiguous(),
            cells=self.cells.contiguous(),
            reads=self.reads.contiguous(),
        )
        if self.threshold is None or self.other is None:
            return whole._replace(threshold=None, other=None)
        return whole._replace(threshold=self.threshold.contiguous(), other=self.other.contiguous())

    @property
    def addresses(self) -> tuple[int, ...]:
        """Of bits, cells and reads, and the key."""
        return (self.bits.data_ptr(), self.cells.data_ptr(), self.reads.data_ptr(), self.key)

    @property
    def sizes(self) -> tuple[int, ...]:
        """In the order of both kernels."""
        return (*self.bits.shape, self.cells.shape[-1], self.lines, self.sensed)


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
    if not rows <= lines <= 1024 or not 1 <= sensed <= _MOST_SENSED or sensed & (sensed - 1):
        raise ConfigError(
            f"lines is {lines} for units of {rows} rows, and sensed is {sensed}; expected at least "
            f"as many lines as rows and at most 1024, and a power of two, at most {_MOST_SENSED}"
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
            uniform = numbers(reads, elements, key).view_as(values)
            opened = bits[:, :, u].sum(-1, keepdim=True)
            values = told(values, opened, uniform, threshold, other, lines, sensed)
        total = total + values
    return total


def numbers(reads: Tensor, elements: Tensor, key: int) -> Tensor:
    """Uniform numbers of 24 bits, of which a kernel draws the lower 8 only where they decide.

    The upper 16 bits of element e are the lower half of word e // 2 of the stream for an even e and
    the upper half for an odd one; the lower 8 are the upper 8 of word 2^40 + e.

    Args:
        reads: numbers of the reads, int64 [n].
        elements: elements of each read, int64 [size].
        key: signed 64-bit integer.

    Returns:
        float32 [n, size] in [0, 1).
    """
    words = philox.words(reads, elements >> 1, key)
    halves = torch.where((elements & 1).bool(), words >> 16, words & 0xFFFF)
    low = philox.uniform(reads, len(elements), key, elements + _LOW).mul(256).floor()
    return (halves.to(torch.float32) * 256 + low) * 2.0**-24


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
    asked = _Asked(bits, cells, reads, threshold, other, key, lines, sensed)
    out = _empty(*asked)
    if not (bits.numel() and out.numel()):
        return _reference(*asked)
    (_by_cuda if bits.is_cuda else _by_cpu)(asked.dense, out)
    return out


def _by_cpu(asked: _Asked, out: Tensor) -> None:
    tables = (address(asked.threshold), address(asked.other))
    cpu = native.cpu()
    assert cpu is not None
    cpu.sensed_sums(*asked.addresses, *tables, *asked.sizes, out.data_ptr())


def _by_cuda(asked: _Asked, out: Tensor) -> None:
    bits, cells = asked.bits, asked.cells
    words = -(-bits.shape[-1] // _ROWS)
    bit_words = bits.new_empty((*bits.shape[:-1], words), dtype=torch.int32)
    shape = (*cells.shape[:2], words, cells.shape[-1])
    cell_words = cells.new_empty(shape, dtype=torch.int32)
    threshold, other = asked.threshold, asked.other
    pairs = None if threshold is None or other is None else torch.stack((threshold, other), dim=-1)
    work = (bit_words.data_ptr(), cell_words.data_ptr(), address(pairs))
    cuda = native.cuda()
    assert cuda is not None
    cuda.sensed_sums(*asked.addresses, *asked.sizes, out.data_ptr(), *work, *_library.where(out))


_SUMS = _library.register(
    "sensed_sums(Tensor bits, Tensor cells, Tensor reads, Tensor? threshold, Tensor? other, "
    "int key, int lines, int sensed) -> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
    mapped=rows(0, 2),
)
