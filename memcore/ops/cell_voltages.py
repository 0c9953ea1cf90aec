"""Voltages across the cells of crossbars for many drives, by one elimination of each array."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ShapeError
from memcore.ops import _effective_reference
from memcore.ops._library import large_pages
from memcore.ops.checks import (
    require_dense,
    require_same_device,
    require_same_dtype,
    require_shape,
)


def cell_voltages(
    g: Tensor,
    word: Tensor,
    bit: Tensor,
    drive_both: bool,
    sense_both: bool,
    word_volts: Tensor,
    bit_volts: Tensor,
) -> Tensor:
    """Solve arrays of ohmic cells for all their drives; nothing is iterated.

    An array of n x n cells takes O(n^3) operations once and O(n^2 log n) for each drive. No
    resistance is inverted: 0 is exact. The kernel runs on the CPU, the PyTorch reference elsewhere.
    There are no gradients.

    Args:
        g: conductances in S, at least 0, [arrays, rows, cols]; driven at the left, sensed at the
            bottom.
        word: segments in front of the cells in ohm, [arrays, rows, cols]; one more, to a second
            driver at the right, with `drive_both`.
        bit: segments below the cells in ohm, [arrays, rows, cols]; one more, to a second sense node
            at the top, comes first with `sense_both`.
        drive_both: whether word lines are driven at both ends.
        sense_both: whether bit lines are sensed at both ends.
        word_volts: voltages of the drivers in V, [arrays, drives, rows].
        bit_volts: voltages of the sense nodes in V, [arrays, drives, cols].

    Returns:
        Voltages from word lines to bit lines in V, [arrays, drives, rows, cols].
    """
    inputs = (g, word, bit, drive_both, sense_both, word_volts, bit_volts)
    _check(*inputs)
    if native.cpu() is None or g.device.type != "cpu" or not g.numel() or not word_volts.numel():
        return _effective_reference.voltages(*inputs)
    return _native(*inputs)


def _check(
    g: Tensor,
    word: Tensor,
    bit: Tensor,
    drive_both: bool,
    sense_both: bool,
    word_volts: Tensor,
    bit_volts: Tensor,
) -> None:
    others = {"word": word, "bit": bit, "word_volts": word_volts, "bit_volts": bit_volts}
    require_dense(g, *others.values())
    if g.dtype not in (torch.float32, torch.float64):
        raise ArgumentTypeError(f"g is {g.dtype}; expected float32 or float64")
    if g.dim() != 3:
        raise ShapeError(f"g has shape {list(g.shape)}; expected [arrays, rows, cols]")
    if word_volts.dim() != 3:
        raise ShapeError(
            f"word_volts has shape {list(word_volts.shape)}; expected [arrays, drives, rows]"
        )
    arrays, rows, cols = g.shape
    drives = word_volts.shape[1]
    shapes = {
        "word": (arrays, rows, cols + drive_both),
        "bit": (arrays, rows + sense_both, cols),
        "word_volts": (arrays, drives, rows),
        "bit_volts": (arrays, drives, cols),
    }
    for name, tensor in others.items():
        require_shape(name, tensor, shapes[name])
        require_same_dtype(name, tensor, "g", g)
        require_same_device(name, tensor, "g", g)


def _native(
    g: Tensor,
    word: Tensor,
    bit: Tensor,
    drive_both: bool,
    sense_both: bool,
    word_volts: Tensor,
    bit_volts: Tensor,
) -> Tensor:
    drives = word_volts.shape[1]
    out = large_pages(g.new_empty(g.shape[0], drives, *g.shape[1:]))
    arrays = [tensor.contiguous() for tensor in (g, word, bit)]
    volts = [tensor.contiguous() for tensor in (word_volts, bit_volts)]
    kind = "double" if g.dtype == torch.float64 else "float"
    solve = cast(Callable[..., Any], getattr(native.cpu(), f"cell_voltages_{kind}"))
    of_array = [tensor.data_ptr() for tensor in arrays]
    of_drives = [tensor.data_ptr() for tensor in (*volts, out)]
    solve(*of_array, *g.shape, drive_both, sense_both, drives, *of_drives)
    return out
