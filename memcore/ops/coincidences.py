"""Coincidences of pulse trains on word and bit lines, counted for each weight.

The kernels, for the CPU and for CUDA, draw which lines fire in which slots, keep them as bits and
count those that two lines have in common. The reference multiplies matrices of zeros and ones;
counts are the same to the bit.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.ops import _library, philox
from memcore.ops.pairs import fits

#: Of a word of bits.
_SLOTS = 32


class Lines(NamedTuple):
    """The lines of one side.

    Args:
        probability: of a pulse in a slot, with the sign of what it stands for, [n, groups, lines].
        key: of the draws.
    """

    probability: Tensor
    key: int


def coincidences(rows: Lines, cols: Lines, length: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """How often lines fire together, with opposite signs and with equal ones.

    Args:
        rows: the inputs.
        cols: the outputs.
        length: slots of the train of each vector, [n, groups].
        first: number of the first vector, by which draws are keyed.

    Returns:
        Whole numbers, [groups, outputs, inputs] each, with the outputs running fastest in memory.
    """
    tensors = rows.probability, cols.probability, length
    if fits(*tensors):
        return _by_cpu(rows, cols, length, first)
    if _library.fits_cuda(*tensors):
        return _by_cuda(rows, cols, length, first)
    return _reference(rows, cols, length, first)


def _by_cpu(rows: Lines, cols: Lines, length: Tensor, first: int) -> tuple[Tensor, Tensor]:
    kernels = native.cpu()
    assert kernels is not None
    up, down = _counts(rows, cols)
    kernels.coincidences(*_trains(rows, cols, length, first), up.data_ptr(), down.data_ptr())
    return up.mT, down.mT


def _by_cuda(rows: Lines, cols: Lines, length: Tensor, first: int) -> tuple[Tensor, Tensor]:
    kernels = native.cuda()
    assert kernels is not None
    bits = fired(rows, cols, length)
    up, down = _counts(rows, cols)
    kernels.coincidences(
        *_trains(rows, cols, length, first),
        *(up.data_ptr(), down.data_ptr()),
        *(bits.ends.data_ptr(), bits.words, bits.rows.data_ptr(), bits.cols.data_ptr()),
        *_library.where(up),
    )
    return up.mT, down.mT


class Fired(NamedTuple):
    """Memory for the bits of lines on a GPU.

    Args:
        ends: where the slots of each vector end, [groups, n].
        words: of 32 slots, of a line.
        rows: [groups, words, inputs, 2], of which kernels make something.
        cols: [groups, words, outputs, 2].
    """

    ends: Tensor
    words: int
    rows: Tensor
    cols: Tensor


def fired(rows: Lines, cols: Lines, length: Tensor) -> Fired:
    """Memory for the bits of these lines."""
    ends = length.mT.long().cumsum(1).contiguous()
    words = -(-int(ends[:, -1].max()) // _SLOTS)
    return Fired(ends, words, *(_words(side.probability, words) for side in (rows, cols)))


def _counts(rows: Lines, cols: Lines) -> tuple[Tensor, Tensor]:
    """Where both counts go, [groups, inputs, outputs] each."""
    shape = (*rows.probability.shape[1:], cols.probability.shape[2])
    return rows.probability.new_empty(shape), rows.probability.new_empty(shape)


def _words(probability: Tensor, words: int) -> Tensor:
    """Where the bits of one side go, [groups, words, lines, 2]."""
    _, groups, lines = probability.shape
    return probability.new_empty((groups, words, lines, 2), dtype=torch.int32)


def _trains(rows: Lines, cols: Lines, length: Tensor, first: int) -> tuple[int, ...]:
    """Addresses, sizes and keys, as both kernels take them."""
    addresses = map(Tensor.data_ptr, (rows.probability, cols.probability, length))
    sizes = (*rows.probability.shape, cols.probability.shape[2])
    return (*addresses, *sizes, rows.key, cols.key, first)


def _reference(rows: Lines, cols: Lines, length: Tensor, first: int) -> tuple[Tensor, Tensor]:
    x, d = (_fired(side, length, first) for side in (rows, cols))
    both = torch.einsum("sgo,sgi->gio", d.abs(), x.abs())
    net = torch.einsum("sgo,sgi->gio", d, x)
    return both.sub(net).div_(2).mT, both.add_(net).div_(2).mT


def _fired(lines: Lines, length: Tensor, first: int) -> Tensor:
    """Pulses of each line, -1, 0 or 1, in the slots that are used, [slots, groups, lines]."""
    signed = lines.probability
    n, groups, count = signed.shape
    longest = int(length.max()) if length.numel() else 0
    if not longest:
        return signed.new_zeros(0, groups, count)
    numbers = first + torch.arange(n, device=signed.device)
    draws = philox.uniform(numbers, longest * groups * count, lines.key)
    draws = draws.view(n, longest, groups, count)
    slot = torch.arange(longest, device=signed.device)
    vector, at = (slot < length.amax(1, keepdim=True)).nonzero(as_tuple=True)
    chosen = signed[vector]
    fires = draws[vector, at] < chosen.abs()
    if groups > 1:
        fires &= (at.unsqueeze(1) < length[vector]).unsqueeze(2)
    return fires * chosen.sign()
