"""The order in which cells take pulses that raise a weight and pulses that lower it.

The kernel lays the pulses of a batch onto arrays and adds up what they take in one pass.
`first_of` is the same order without arrays, by a kernel for CUDA or with PyTorch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.ops import _library, philox

_WORD = 0xFFFFFFFF


class Draw(NamedTuple):
    """Which bits say what comes first: of a stream of this key, those of a read, 128 a block."""

    key: int
    read: int


class Arrays(NamedTuple):
    """Where one part of a matrix [groups, rows, cols] lies.

    Args:
        rows: of the matrix.
        cols: of the matrix.
        array_rows: word lines of an array.
        array_cols: its bit lines.
        data_cols: how many of these, the first ones, carry weights.
    """

    rows: int
    cols: int
    array_rows: int
    array_cols: int
    data_cols: int


class Sums(NamedTuple):
    """What an order adds up to.

    Args:
        both: cells that take pulses both ways.
        pulses: pulses of all cells.
        sets: conductances in S of the cells, added up over their pulses towards SET.
        resets: the same over those towards RESET.
    """

    both: int
    pulses: int
    sets: float
    resets: float


def ordered(
    counts: tuple[Tensor, Tensor],
    conductance: Tensor,
    arrays: Arrays,
    draw: Draw,
    lines: slice,
    *,
    opposite: bool,
    out: tuple[Tensor, Tensor],
) -> Sums:
    """Signed pulses of the cells of some word lines, those that come first and those that follow.

    Where a weight takes pulses both ways, it is drawn which direction comes first; opposite pulses
    are never subtracted. All tensors are float32 on the CPU and contiguous.

    Args:
        counts: whole numbers of pulses that raise a weight, and of those that lower it,
            [groups, rows, cols].
        conductance: of the cells in S, [lines, array_cols].
        arrays: where they lie.
        draw: what says which comes first, by the number of the weight.
        lines: which word lines, of all arrays one after another.
        opposite: whether pulses that raise a weight lower its cells.
        out: takes both, [lines, array_cols] each.
    """
    kernels = native.cpu()
    assert kernels is not None
    sums = torch.empty(4, dtype=torch.float64, device="cpu")
    kernels.pulse_order(
        *(each.data_ptr() for each in counts),
        *arrays,
        *(lines.start, lines.stop, opposite),
        conductance.data_ptr(),
        *draw,
        *(each.data_ptr() for each in out),
        sums.data_ptr(),
    )
    both, pulses, sets, resets = sums.tolist()
    return Sums(int(both), int(pulses), sets, resets)


def first_of(up: Tensor, down: Tensor, draw: Draw) -> Tensor:
    """The signed pulses that come first; those that follow are up - down - first.

    Args:
        up: whole numbers of pulses that raise a weight, [groups, rows, cols].
        down: those that lower it.
        draw: what says which comes first, by the number of the weight.
    """
    if _library.fits_cuda(up, down):
        return _first_by_cuda(up, down, draw)
    return _first_reference(up, down, draw)


def _first_by_cuda(up: Tensor, down: Tensor, draw: Draw) -> Tensor:
    kernels = native.cuda()
    assert kernels is not None
    first = torch.empty_like(up)
    addresses = up.data_ptr(), down.data_ptr()
    kernels.first_pulses(*addresses, up.numel(), *draw, first.data_ptr(), *_library.where(first))
    return first


def _first_reference(up: Tensor, down: Tensor, draw: Draw) -> Tensor:
    both = (up > 0) & (down > 0)
    if not bool(both.any()):  # nothing to draw
        return up - down
    block = torch.arange(-(-up.numel() // 128), device=up.device)
    read = torch.tensor([draw.read & _WORD, draw.read >> 32], device=up.device)
    words = philox.philox4x32((block & _WORD, block >> 32, read[0], read[1]), draw.key)
    bits = words.unsqueeze(-1) >> torch.arange(32, device=up.device) & 1
    up_first = bits.flatten()[: up.numel()].view(up.shape) > 0
    return torch.where(both, torch.where(up_first, up, -down), up - down)
