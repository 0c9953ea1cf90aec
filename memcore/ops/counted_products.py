"""Products of lines as whole numbers of pulses, vector after vector, in one pass over memory."""

from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore._text import shown
from memcore.errors import ArgumentTypeError, ShapeError
from memcore.ops.checks import (
    require_floating,
    require_same_device,
    require_same_dtype,
    require_shape,
)
from memcore.ops.pairs import fits


class Counted(NamedTuple):
    """Numbers of pulses of all vectors.

    Args:
        up: those that raise a weight, [groups, outputs, inputs].
        down: those that lower it.
        slots: the most of a weight, vector by vector, added up.
    """

    up: Tensor
    down: Tensor
    slots: int


def counted_products(rows: Tensor, cols: Tensor, carry: Tensor | None = None) -> Counted:
    """Whole numbers of pulses for products `-cols rows` of each vector, added up by direction.

    With a carry, what is left of a product after whole pulses is kept for the next vector, so that
    nothing is lost; without one, each product is rounded, halves to even. The kernel gives what
    PyTorch's operations give, to the bit.

    Args:
        rows: of the inputs, [n, groups, inputs].
        cols: of the outputs, [n, groups, outputs].
        carry: what was left so far, [groups, outputs, inputs], which changes; None for none.

    Raises:
        ArgumentTypeError: an argument is no tensor of real numbers, or dtypes differ.
        ConfigError: devices differ.
        ShapeError: numbers of dimensions, vectors or groups do not fit.
    """
    for name, each in {"rows": rows, "cols": cols, "carry": carry}.items():
        if not isinstance(each, Tensor) and (each is not None or name != "carry"):
            raise ArgumentTypeError(f"{name} is {shown(each)}; expected a tensor")
    _require_one_kind(rows, cols, carry)
    if not fits(rows, cols, *(() if carry is None else (carry,))):
        return _reference(rows, cols, carry)
    n, groups, inputs = rows.shape
    outputs = cols.shape[2]
    up, down = rows.new_empty(2, groups, inputs, outputs)
    slots = torch.empty(1, dtype=torch.float64, device="cpu")
    kernels = native.cpu()
    assert kernels is not None
    kernels.counted_products(
        *(rows.data_ptr(), cols.data_ptr(), n, groups, inputs, outputs),
        0 if carry is None else carry.data_ptr(),
        *(each.data_ptr() for each in (up, down, slots)),
    )
    return Counted(up.mT, down.mT, int(slots))


def _require_one_kind(rows: Tensor, cols: Tensor, carry: Tensor | None) -> None:
    require_floating("rows", rows)
    if rows.dim() != 3:
        raise ShapeError(f"rows has shape {list(rows.shape)}; expected [n, groups, inputs]")
    n, groups, inputs = rows.shape
    outputs = cols.shape[-1] if cols.dim() else 0
    _require_like("cols", cols, rows, (n, groups, outputs))
    if carry is not None:
        _require_like("carry", carry, rows, (groups, outputs, inputs))


def _require_like(name: str, tensor: Tensor, rows: Tensor, shape: tuple[int, ...]) -> None:
    require_same_dtype(name, tensor, "rows", rows)
    require_same_device(name, tensor, "rows", rows)
    require_shape(name, tensor, shape)


def _reference(rows: Tensor, cols: Tensor, carry: Tensor | None) -> Counted:
    shape = cols.shape[1], cols.shape[2], rows.shape[2]
    up, down, slots = rows.new_zeros(shape), rows.new_zeros(shape), 0
    for row, col in zip(rows, cols, strict=True):
        product = col.unsqueeze(2) * row.unsqueeze(1)
        if carry is None:
            whole = -product.round()
        else:
            carry.sub_(product)
            whole = carry.trunc()
            carry.sub_(whole)
        up.add_(whole.clamp(min=0))
        down.sub_(whole.clamp(max=0))
        slots += int(whole.abs().max())
    return Counted(up, down, slots)
