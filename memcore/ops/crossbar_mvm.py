"""The product of inputs with tiled crossbars, with DAC and ADC."""

from typing import Any

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ConfigError, ShapeError
from memcore.ops import _library
from memcore.ops._library import address
from memcore.ops.checks import (
    require_floating,
    require_same_device,
    require_same_dtype,
    require_shape,
)
from memcore.ops.mapped import rows

#: Columns of one panel, the unit in which the kernels read weights (kPanel in kernels.h).
PANEL = 32


def pack(weight: Tensor) -> Tensor:
    """Lay weights out for `crossbar_mvm`.

    Args:
        weight: weights, [groups, rows, cols].

    Returns:
        [groups, P, rows, 32] with P = ceil(cols / 32): panels[g, p, k, j] = weight[g, k, 32 p + j],
        zero beyond cols.
    """
    if weight.dim() != 3:
        raise ShapeError(f"weight has shape {tuple(weight.shape)}; expected [groups, rows, cols]")
    groups, rows, cols = weight.shape
    count = -(-cols // PANEL)
    padded = torch.nn.functional.pad(weight, (0, count * PANEL - cols))
    return padded.view(groups, rows, count, PANEL).transpose(1, 2).contiguous()


def unpack(panels: Tensor, cols: int) -> Tensor:
    """Undo `pack`: [groups, P, rows, 32] to [groups, rows, cols]."""
    if panels.dim() != 4 or panels.shape[3] != PANEL or panels.shape[1] != -(-cols // PANEL):
        raise ShapeError(
            f"panels has shape {tuple(panels.shape)}; "
            f"expected [groups, {-(-cols // PANEL)}, rows, {PANEL}] for {cols} columns"
        )
    return panels.transpose(1, 2).flatten(2)[..., :cols].contiguous()


def crossbar_mvm(
    x: Tensor,
    panels: Tensor,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
) -> Tensor:
    """Multiply inputs with crossbars whose rows are split into tiles, each read out by an ADC.

    With codes c = clamp(round(x * dac[0]), dac[1], dac[2]) and tiles t of tile_rows consecutive
    rows, y = scale * sum_t clamp(round(sum_{k in t} c_k W_k), lo, hi) + bias; halves round to even.

    Args:
        x: inputs, [n, groups, rows].
        panels: weights W [groups, rows, cols] laid out by `pack`, in which one ADC step is 1 and
            one DAC step is folded in.
        dac: inverse step, lowest and highest code, [3]; an inverse step of 0 means no DAC (x is
            used as it is).
        scale: value of one ADC step, [1] or [groups * cols].
        bias: bias, [groups * cols], or None.
        cols: number of columns of W.
        tile_rows: number of rows of one tile; the last one may be shorter.
        lo: lowest ADC code.
        hi: highest ADC code; lower than `lo` means no ADC (the plain product).

    Returns:
        [n, groups, cols] of x's dtype. On one machine the result of a batch row depends neither on
        the other rows nor on the number of threads. There is no gradient.

    Raises:
        ArgumentTypeError: if dtypes differ or are not floating point.
        ConfigError: if a shape or a device does not fit.
    """
    return _MVM(x, panels, dac, scale, bias, cols, tile_rows, lo, hi)


def _expect(name: str, tensor: Tensor, x: Tensor, *shapes: tuple[int, ...]) -> None:
    require_shape(name, tensor, *shapes)
    require_same_dtype(name, tensor, "x", x)
    require_same_device(name, tensor, "x", x)


def _empty(
    x: Tensor,
    panels: Tensor,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
) -> Tensor:
    del lo, hi
    require_floating("x", x)
    if x.dim() != 3:
        raise ShapeError(f"x has shape {list(x.shape)}; expected [n, groups, rows]")
    if cols < 0 or tile_rows < 1:
        raise ConfigError(f"cols is {cols} and tile_rows is {tile_rows}; expected 0 and 1 or more")
    groups, rows = x.shape[1], x.shape[2]
    _expect("panels", panels, x, (groups, -(-cols // PANEL), rows, PANEL))
    _expect("dac", dac, x, (3,))
    _expect("scale", scale, x, (1,), (groups * cols,))
    if bias is not None:
        _expect("bias", bias, x, (groups * cols,))
    return x.new_empty((x.shape[0], groups, cols))


def _convert(values: Tensor, lo: Any, hi: Any) -> Tensor:
    return torch.clamp(torch.round(values), lo, hi)


def _reference(
    x: Tensor,
    panels: Tensor,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
) -> Tensor:
    codes = torch.where(dac[0] == 0, x, _convert(x * dac[0], dac[1], dac[2]))
    inputs = torch.split(codes.double().transpose(0, 1), tile_rows, 2) if x.shape[2] else ()
    weights = torch.split(unpack(panels, cols).double(), tile_rows, 1) if x.shape[2] else ()
    total = x.new_zeros((x.shape[1], x.shape[0], cols), dtype=torch.float64)
    for values, weight in zip(inputs, weights, strict=True):
        product = values @ weight
        total = total + (product if hi < lo else _convert(product, lo, hi))
    factor = scale.double() if scale.shape[0] == 1 else scale.double().view(x.shape[1], cols)
    out = total.transpose(0, 1) * factor
    if bias is not None:
        out = out + bias.double().view(x.shape[1], cols)
    return out.to(x.dtype).contiguous()


def _native(
    x: Tensor,
    panels: Tensor,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
) -> Tensor:
    out = _empty(x, panels, dac, scale, bias, cols, tile_rows, lo, hi)
    if x.dtype != torch.float32 or not (x.numel() and cols):  # kernels divide by sizes
        return _reference(x, panels, dac, scale, bias, cols, tile_rows, lo, hi)
    inputs = [tensor.contiguous() for tensor in (x, panels, dac, scale)]
    bias = None if bias is None else bias.contiguous()
    addresses = [tensor.data_ptr() for tensor in inputs]
    sizes = (scale.shape[0], address(bias), *x.shape, cols, tile_rows)
    args = (*addresses, *sizes, lo, hi, out.data_ptr())
    if x.is_cuda:
        native.cuda().crossbar_mvm(*args, *_library.where(x))  # type: ignore[union-attr]
    else:
        native.cpu().crossbar_mvm(*args)  # type: ignore[union-attr]
    return out


_MVM = _library.register(
    "crossbar_mvm(Tensor x, Tensor panels, Tensor dac, Tensor scale, Tensor? bias, int cols, "
    "int tile_rows, float lo, float hi) -> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
    mapped=rows(0),
)
