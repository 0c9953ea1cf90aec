"""Reads of tiled crossbars: windows of images, and the noise of the cells."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
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
from memcore.ops.crossbar_mvm import PANEL, pack, unpack
from memcore.ops.mapped import rows
from memcore.ops.windows import Window

#: Currents of one block of reads of the reference.
_CURRENTS: Final = 1 << 20


class Columns(NamedTuple):
    """What the bit lines hold, and how they are converted.

    Args:
        panels: weights W [groups, rows, cols] laid out by `pack`, as `crossbar_mvm` takes them.
        variance: variances of the noise of the weights, laid out likewise or by `narrow`; None
            for no noise.
        dac: inverse step, lowest and highest code, [3]; an inverse step of 0 means no DAC.
        scale: value of one ADC step, [1] or [groups * cols].
        cols: number of columns of W.
        tile_rows: number of rows of one tile; the last one may be shorter.
        lo: lowest ADC code.
        hi: highest ADC code; lower than `lo` means no ADC.
        key: of the draws.
        values: sets of as many columns, whose draws have the keys `key`, `key + 1` and so on.
        unit: what the sums of products of each column are multiplied by, [groups * cols]; None
            for nothing.
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
    unit: Tensor | None = None


def narrows(like: Tensor) -> bool:
    """Whether variances of this dtype and device are multiplied faster as `narrow` has them."""
    cpu = native.cpu()
    if cpu is None or like.dtype != torch.float32 or not like.is_cpu:
        return False
    return bool(cpu.multiplies_narrow())


def narrow(variance: Tensor, tile_rows: int) -> Tensor:
    """Round variances to bfloat16, and lay them out for `crossbar_read`.

    Squares of inputs are rounded likewise. As no term of their products is negative, a standard
    deviation is wrong by 2^-8 of itself, 0.4 %, at most, whatever the inputs.

    Args:
        variance: [groups, rows, cols], not negative.
        tile_rows: number of rows of one tile; the last one may be shorter.

    Returns:
        Bits of bfloat16, int32 [groups, ceil(cols / 32), tiles * ceil(tile_rows / 2), 32]; a number
        holds rows 2 k and 2 k + 1 of a tile.
    """
    groups, rows, cols = variance.shape
    tiles, pairs, panels = -(-rows // tile_rows), -(-tile_rows // 2), -(-cols // PANEL)
    padded = F.pad(variance, (0, panels * PANEL - cols, 0, tiles * tile_rows - rows))
    cut = padded.view(groups, tiles, tile_rows, panels * PANEL)
    even = F.pad(cut, (0, 0, 0, 2 * pairs - tile_rows)).to(torch.bfloat16)
    split = even.view(groups, tiles * pairs, 2, panels, PANEL)
    return split.permute(0, 3, 1, 4, 2).contiguous().view(torch.int32).squeeze(-1)


def widen(narrowed: Tensor, rows: int, cols: int, tile_rows: int) -> Tensor:
    """Undo `narrow`: bfloat16 [groups, rows, cols]."""
    groups, panels, steps = narrowed.shape[:3]
    pairs = -(-tile_rows // 2)
    split = narrowed.unsqueeze(-1).view(torch.bfloat16).permute(0, 2, 4, 1, 3)
    cut = split.reshape(groups, steps // pairs, 2 * pairs, panels * PANEL)[:, :, :tile_rows, :cols]
    return cut.reshape(groups, -1, cols)[:, :rows]


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
    panels, variance, dac, scale, cols, tile_rows, lo, hi, key, values, unit = columns
    return _READ(
        x,
        panels,
        variance,
        reads,
        dac,
        scale,
        bias,
        unit,
        [] if window is None else window.numbers,
        key,
        values,
        cols,
        tile_rows,
        lo,
        hi,
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
    columns: Columns,
    reads: Tensor | None,
    bias: Tensor | None,
    window: Sequence[int],
    channels_first: bool,
) -> Tensor:
    require_floating("x", x)
    positions = _positions(x, window)
    panels, variance, dac, scale, cols, tile_rows, *_, values, unit = columns
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
    if variance is not None and variance.dtype == torch.int32:
        steps = -(-rows // tile_rows) * -(-tile_rows // 2)
        require_shape("variance", variance, (*shape[:2], steps, PANEL))
        require_same_device("variance", variance, "x", x)
    else:
        _expect("variance", variance, x, shape)
    _expect("dac", dac, x, (3,))
    _expect("scale", scale, x, (1,), (groups * cols,))
    _expect("bias", bias, x, (groups * cols,))
    _expect("unit", unit, x, (groups * cols,))
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
    columns: Columns,
    reads: Tensor | None,
    bias: Tensor | None,
    window: Sequence[int],
    channels_first: bool,
) -> Tensor:
    panels, variance, dac, scale, cols, tile_rows, lo, hi, key, values, unit = columns
    images, x = x, _inputs(x, window, panels.shape[0])
    wide = torch.promote_types(x.dtype, torch.float32)
    rounds = variance is not None and variance.dtype == torch.int32
    every = [unpack(panels, cols).to(wide)]
    if variance is not None:
        rows = panels.shape[2]
        v = widen(variance, rows, cols, tile_rows) if rounds else unpack(variance, cols)
        every.append(v.to(wide))
    weights = [torch.split(matrix, tile_rows, 1) for matrix in every]
    codes = torch.where(dac[0] == 0, x, _convert(x * dac[0], dac[1], dac[2]))
    tiles = -(-x.shape[2] // tile_rows)
    block = max(1, _CURRENTS // max(1, x.shape[1] * tiles * cols))
    units = None if unit is None else unit.to(wide).view(-1, 1, cols)
    pieces = []
    for k in range(0, max(1, len(x)), block):
        some = codes[k : k + block].transpose(0, 1).to(wide)
        numbers = None if reads is None else reads[k : k + block]
        draws = key, values, tile_rows
        pieces.append(_summed(some, weights, units, numbers, draws, (lo, hi), rounds))
    total = torch.cat(pieces, dim=1).transpose(0, 1)
    factor = scale if scale.shape[0] == 1 else scale.view(x.shape[1], cols)
    out = total * factor
    if bias is not None:
        out = out + bias.view(x.shape[1], cols)
    if window and channels_first:
        out = _by_channels(out, _positions(images, window))
    return out.to(x.dtype).contiguous()


def _inputs(x: Tensor, window: Sequence[int], groups: int) -> Tensor:
    """What is read, [reads, groups, rows]: `x` itself, or what is under the windows of images."""
    if not window:
        return x
    each = Window.of(window)
    return each.cut(each.padded(x), groups).flatten(0, len(window) // 5)


def _by_channels(out: Tensor, positions: Sequence[int]) -> Tensor:
    """Results [reads, groups, cols] as images, [n, groups * cols, *positions]."""
    return out.reshape(-1, *positions, out.shape[1] * out.shape[2]).movedim(-1, 1)


def _summed(
    codes: Tensor,
    weights: list[tuple[Tensor, ...]],
    units: Tensor | None,
    reads: Tensor | None,
    draws: tuple[int, int, int],
    ends: tuple[float, float],
    rounds: bool,
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
        sums = some @ weights[0][t]
        current = sums if units is None else sums * units
        if noise is not None:
            squares = some.square()
            squares = squares.to(torch.bfloat16).to(squares.dtype) if rounds else squares
            sigma = (squares @ weights[1][t]).sqrt()
            current = current + sigma * noise[:, :, t].transpose(0, 1).to(codes.dtype)
        total = total + (current if ends[1] < ends[0] else _convert(current, *ends))
    return total


def _native(
    x: Tensor,
    columns: Columns,
    reads: Tensor | None,
    bias: Tensor | None,
    window: Sequence[int],
    channels_first: bool,
) -> Tensor:
    given = (x, columns, reads, bias, window, channels_first)
    out = _empty(*given)
    if x.dtype != torch.float32 or not (x.numel() and out.numel()):
        return _reference(*given)
    panels, variance, dac, scale, cols, tile_rows, lo, hi, key, values, unit = columns
    is_narrow = variance is not None and variance.dtype == torch.int32
    if x.is_cuda:
        return _reference(*given) if is_narrow else _by_cuda(*given)
    cpu = native.cpu()
    assert cpu is not None
    if is_narrow and not cpu.multiplies_narrow():  # laid out on another machine
        return _reference(*given)
    wide, narrowed = (None, variance) if is_narrow else (variance, None)
    every = (x, panels, wide, dac, scale, bias, unit, narrowed, reads)
    tensors = [None if each is None else each.contiguous() for each in every]
    groups = panels.shape[0]
    arguments = [
        *_sizes(x, window),
        *map(address, tensors),
        out.data_ptr(),
        key,
        scale.shape[0],
        x.shape[0],
        groups,
        x.shape[1] // groups if window else x.shape[2],
        cols,
        values,
        tile_rows,
        channels_first and bool(window),
    ]
    row = torch.tensor(arguments, dtype=torch.int64, device="cpu")
    cpu.crossbar_read(row.data_ptr(), lo, hi)
    return out


def _by_cuda(
    x: Tensor,
    columns: Columns,
    reads: Tensor | None,
    bias: Tensor | None,
    window: Sequence[int],
    channels_first: bool,
) -> Tensor:
    """As `_reference` by the kernels for CUDA, which get all that is under windows as inputs."""
    panels, variance, dac, scale, cols, tile_rows, lo, hi, key, values, unit = columns
    if unit is not None:
        panels = pack(unpack(panels, cols) * unit.view(-1, 1, cols))
    inputs = _inputs(x, window, panels.shape[0])
    every = (inputs, panels, variance, reads, dac, scale, bias)
    tensors = [None if each is None else each.contiguous() for each in every]
    at = [*map(address, tensors)]
    out = x.new_empty((*inputs.shape[:2], cols))
    ends = lo, hi, out.data_ptr(), *_library.where(x)
    kernels = native.cuda()
    assert kernels is not None
    if variance is None:
        units = *at[4:6], scale.shape[0], at[6]
        kernels.crossbar_mvm(*at[:2], *units, *inputs.shape, cols, tile_rows, *ends)
    else:
        sizes = *inputs.shape, cols, values, tile_rows
        kernels.crossbar_read(*at, key, scale.shape[0], *sizes, *ends)
    if not (window and channels_first):
        return out
    return _by_channels(out, _positions(x, window)).contiguous()


def _sizes(x: Tensor, window: Sequence[int]) -> list[int]:
    """The fields of the window of the kernel, each for three dimensions."""
    if not window:
        return [*([1] * 3), *([0] * 3), *([1] * 15)]
    w, space = Window.of(window), tuple(x.shape[2:])
    padded = tuple(map(sum, zip(space, w.before, w.after, strict=True)))
    fields = (space, w.before, padded, w.kernel, w.stride, w.dilation, tuple(w.positions(space)))
    missing = 3 - len(space)
    return [n for field in fields for n in (*[0 if field is w.before else 1] * missing, *field)]


def _of_columns(read: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of columns as the operator calls it, which knows tensors and numbers only."""

    def flat(
        x: Tensor,
        panels: Tensor,
        variance: Tensor | None,
        reads: Tensor | None,
        dac: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        unit: Tensor | None,
        window: Sequence[int],
        key: int,
        values: int,
        cols: int,
        tile_rows: int,
        lo: float,
        hi: float,
        channels_first: bool,
    ) -> Tensor:
        each = panels, variance, dac, scale, cols, tile_rows, lo, hi, key, values, unit
        columns = Columns(*each)
        return read(x, columns, reads, bias, window, channels_first)

    return flat


_READ = _library.register(
    "crossbar_read(Tensor x, Tensor panels, Tensor? variance, Tensor? reads, Tensor dac, "
    "Tensor scale, Tensor? bias, Tensor? unit, int[] window, int key, int values, int cols, "
    "int tile_rows, float lo, float hi, bool channels_first) -> Tensor",
    fake=_of_columns(_empty),
    reference=_of_columns(_reference),
    kernel=_of_columns(_native),
    mapped=rows(0, 3),
)
