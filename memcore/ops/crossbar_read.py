"""Reads of tiled crossbars: windows of images, and the noise of the cells."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import _library, philox
from memcore.ops._library import address
from memcore.ops.checks import (
    require_floating,
    require_same_device,
    require_same_dtype,
    require_shape,
)
from memcore.ops.crossbar_mvm import PANEL, unpack
from memcore.ops.windows import Window

#: Currents of one block of reads of the reference.
_CURRENTS: Final = 1 << 20


class Columns(NamedTuple):
    """What the bit lines hold, and how they are converted.

    Args:
        panels: weights W [groups, rows, cols] laid out by `pack`, as `crossbar_mvm` takes them.
        variance: variances of the noise of the weights, laid out likewise; None for no noise.
        dac: inverse step, lowest and highest code, [3]; an inverse step of 0 means no DAC.
        scale: value of one ADC step, [1] or [groups * cols].
        cols: number of columns of W.
        tile_rows: number of rows of one tile; the last one may be shorter.
        lo: lowest ADC code.
        hi: highest ADC code; lower than `lo` means no ADC.
        key: of the draws.
        values: sets of as many columns, whose draws have the keys `key`, `key + 1` and so on.
    """

    panels: Tensor
    variance: Tensor | None
    dac: Tensor
    scale: Tensor
    cols: int
    tile_rows: int
    lo: float
    hi: float
    key: int = 0
    values: int = 1


def crossbar_read(
    x: Tensor,
    columns: Columns,
    *,
    window: Window | None = None,
    reads: Tensor | None = None,
    bias: Tensor | None = None,
    channels_first: bool = False,
) -> Tensor:
    """Read crossbars as `crossbar_mvm` does, with noise, or with the windows of images as inputs.

    To the current of column j in tile t of a read is added the square root of the sum of squared
    codes times variances, times a normal draw: number (g * tiles + t) * c + j % c of the read,
    under the key `key + j // c`, with c columns in each of the sets.

    Args:
        x: inputs [n, groups, rows], or images [n, groups * channels, *space].
        columns: what the bit lines hold.
        window: what is read at each position of the images; None for inputs.
        reads: numbers of the reads, int64 [n] or [n * positions], if there is noise.
        bias: added to the results, [groups * cols], or None.
        channels_first: whether the results of images are [n, groups * cols, *positions].

    Returns:
        [reads, groups, cols], or as `channels_first` says, of x's dtype. On one machine a result
        depends neither on the other reads nor on the number of threads, but for the last bits of
        currents without an ADC where there is no compiled module. There is no gradient.

    Raises:
        ArgumentTypeError: if dtypes differ or are not floating point.
        ConfigError: if a shape or a device does not fit.
    """
    c = columns
    return _READ(
        x,
        c.panels,
        c.variance,
        reads,
        c.dac,
        c.scale,
        bias,
        [] if window is None else window.numbers,
        c.key,
        c.values,
        c.cols,
        c.tile_rows,
        c.lo,
        c.hi,
        channels_first,
    )


def _expect(name: str, tensor: Tensor | None, x: Tensor, *shapes: tuple[int, ...]) -> None:
    if tensor is not None:
        require_shape(name, tensor, *shapes)
        require_same_dtype(name, tensor, "x", x)
        require_same_device(name, tensor, "x", x)


def _positions(x: Tensor, window: Sequence[int]) -> list[int]:
    """How many positions images have in each dimension; none for inputs.

    Raises:
        ShapeError: `x` has another number of dimensions, or its images are too small.
    """
    dims = len(window) // 5
    if x.dim() != (dims + 2 if dims else 3):
        wanted = f"[n, channels, {dims} dimension(s) of space]" if dims else "[n, groups, rows]"
        raise ShapeError(f"x has shape {list(x.shape)}; expected {wanted}")
    if not dims:
        return []
    positions = Window.of(window).positions(x.shape[2:])
    if min(positions) < 1:
        raise ShapeError(
            f"x has shape {list(x.shape)}, padded less than a window of "
            f"{list(window[:dims])} needs; expected larger images"
        )
    return positions


def _empty(
    x: Tensor,
    panels: Tensor,
    variance: Tensor | None,
    reads: Tensor | None,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    window: Sequence[int],
    key: int,
    values: int,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
    channels_first: bool,
) -> Tensor:
    del key, lo, hi
    require_floating("x", x)
    positions = _positions(x, window)
    if values < 1 or cols < 0 or cols % values or tile_rows < 1:
        raise ConfigError(
            f"cols is {cols}, values {values} and tile_rows {tile_rows}; expected a multiple of "
            "values, and 1 or more"
        )
    groups, rows = panels.shape[0], panels.shape[2] if panels.dim() == 4 else -1
    kernel = prod(window[: len(window) // 5])
    inputs = (groups, rows) if not window else (groups * (rows // max(1, kernel)),)
    if tuple(x.shape[1 : 1 + len(inputs)]) != inputs or (window and rows % kernel):
        raise ShapeError(f"x has shape {list(x.shape)}, panels {list(panels.shape)}; they differ")
    shape = (groups, -(-cols // PANEL), rows, PANEL)
    _expect("panels", panels, x, shape)
    _expect("variance", variance, x, shape)
    _expect("dac", dac, x, (3,))
    _expect("scale", scale, x, (1,), (groups * cols,))
    _expect("bias", bias, x, (groups * cols,))
    count = x.shape[0] * prod(positions)
    if variance is not None:
        _check_reads(reads, x, count)
    if window and channels_first:
        return x.new_empty((x.shape[0], groups * cols, *positions))
    return x.new_empty((count, groups, cols))


def _check_reads(reads: Tensor | None, x: Tensor, count: int) -> None:
    if reads is None or reads.dtype != torch.int64:
        raise ArgumentTypeError(
            f"reads is {None if reads is None else reads.dtype}; expected torch.int64, since there "
            "is noise"
        )
    require_shape("reads", reads, (count,))
    require_same_device("reads", reads, "x", x)


def _convert(values: Tensor, lo: Any, hi: Any) -> Tensor:
    return torch.clamp(torch.round(values), lo, hi)


def _reference(
    x: Tensor,
    panels: Tensor,
    variance: Tensor | None,
    reads: Tensor | None,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    window: Sequence[int],
    key: int,
    values: int,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
    channels_first: bool,
) -> Tensor:
    positions = _positions(x, window)
    if window:
        each = Window.of(window)
        x = each.cut(each.padded(x), panels.shape[0]).flatten(0, len(positions))
    wide = torch.promote_types(x.dtype, torch.float32)
    every = [unpack(p, cols).to(wide) for p in (panels, variance) if p is not None]
    weights = [torch.split(matrix, tile_rows, 1) for matrix in every]
    codes = torch.where(dac[0] == 0, x, _convert(x * dac[0], dac[1], dac[2]))
    tiles = -(-x.shape[2] // tile_rows)
    block = max(1, _CURRENTS // max(1, x.shape[1] * tiles * cols))
    pieces = []
    for k in range(0, max(1, len(x)), block):
        some = codes[k : k + block].transpose(0, 1).to(wide)
        numbers = None if reads is None else reads[k : k + block]
        pieces.append(_summed(some, weights, numbers, (key, values, tile_rows), (lo, hi)))
    total = torch.cat(pieces, dim=1).transpose(0, 1)
    factor = scale if scale.shape[0] == 1 else scale.view(x.shape[1], cols)
    out = total * factor
    if bias is not None:
        out = out + bias.view(x.shape[1], cols)
    if window and channels_first:
        out = out.reshape(-1, *positions, x.shape[1] * cols).movedim(-1, 1)
    return out.to(x.dtype).contiguous()


def _summed(
    codes: Tensor,
    weights: list[tuple[Tensor, ...]],
    reads: Tensor | None,
    draws: tuple[int, int, int],
    ends: tuple[float, float],
) -> Tensor:
    """Digitised currents of all tiles together, [groups, reads, cols], of codes laid out so."""
    key, values, tile_rows = draws
    groups, n, cols = len(codes), codes.shape[1], weights[0][0].shape[2]
    total = codes.new_zeros((groups, n, cols))
    inputs = torch.split(codes, tile_rows, 2) if codes.shape[2] else ()
    noise = None
    if reads is not None and len(weights) > 1:
        size = groups * len(inputs) * cols // values
        sets = [philox.normal(reads, size, key + value) for value in range(values)]
        shape = (n, groups, len(inputs), cols // values)
        noise = torch.stack([each.view(shape) for each in sets], 3).flatten(3)
    for t, some in enumerate(inputs):
        current = some @ weights[0][t]
        if noise is not None:
            sigma = (some.square() @ weights[1][t]).sqrt()
            current = current + sigma * noise[:, :, t].transpose(0, 1).to(codes.dtype)
        total = total + (current if ends[1] < ends[0] else _convert(current, *ends))
    return total


def _native(
    x: Tensor,
    panels: Tensor,
    variance: Tensor | None,
    reads: Tensor | None,
    dac: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    window: Sequence[int],
    key: int,
    values: int,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
    channels_first: bool,
) -> Tensor:
    rest = (variance, reads, dac, scale, bias, window, key, values, cols, tile_rows, lo, hi)
    out = _empty(x, panels, *rest, channels_first)
    if x.dtype != torch.float32 or x.is_cuda or not (x.numel() and out.numel()):
        return _reference(x, panels, *rest, channels_first)
    groups = panels.shape[0]
    sizes = _sizes(x, window) if window else [*([1] * 3), *([0] * 3), *([1] * 15)]
    channels = x.shape[1] // groups if window else x.shape[2]
    tensors = [
        None if each is None else each.contiguous()
        for each in (x, panels, variance, dac, scale, bias, reads)
    ]
    arguments = [
        *sizes,
        *map(address, tensors),
        out.data_ptr(),
        key,
        scale.shape[0],
        x.shape[0],
        groups,
        channels,
        cols,
        values,
        tile_rows,
        channels_first and bool(window),
    ]
    row = torch.tensor(arguments, dtype=torch.int64)
    native.cpu().crossbar_read(row.data_ptr(), lo, hi)  # type: ignore[union-attr]
    return out


def _sizes(x: Tensor, window: Sequence[int]) -> list[int]:
    """The fields of the window of the kernel, each for three dimensions."""
    w, space = Window.of(window), tuple(x.shape[2:])
    padded = tuple(map(sum, zip(space, w.before, w.after, strict=True)))
    fields = (space, w.before, padded, w.kernel, w.stride, w.dilation, tuple(w.positions(space)))
    missing = 3 - len(space)
    return [n for field in fields for n in (*[0 if field is w.before else 1] * missing, *field)]


_READ = _library.register(
    "crossbar_read(Tensor x, Tensor panels, Tensor? variance, Tensor? reads, Tensor dac, "
    "Tensor scale, Tensor? bias, int[] window, int key, int values, int cols, int tile_rows, "
    "float lo, float hi, bool channels_first) -> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
)
