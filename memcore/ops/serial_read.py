"""Reads of cells that hold whole numbers, digit by digit of the input."""

from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import _library
from memcore.ops._library import address
from memcore.ops.checks import require_floating, require_same_device, require_shape
from memcore.ops.mapped import rows

#: The largest magnitude of a number that a cell may hold: four of them make a byte.
LARGEST = 63
#: Word lines that are added up at once; the sums of the kernel are 16 bits wide.
_MOST_ROWS = 1024
#: Columns whose tables lie side by side.
_BESIDE = 4
#: Columns whose cells lie side by side.
_WIDTH = 128
#: The largest number of 16 bits.
_MOST = 2**15 - 1
#: Planes of the kernel of a GPU at most, and phases.
_MOST_PLANES = 64
#: Words of digits that it packs at a time: 32 MB, which stay in the cache of large GPUs.
_WORDS = 1 << 23
#: Currents of one block of reads of the reference.
_CURRENTS = 1 << 20


class Numbers(NamedTuple):
    """Whole numbers in cells, laid out by `lay_out`.

    Args:
        tables: what four rows give for each subset of them, uint8 [groups, ceil(cols / 4), tiles,
            quads, 4, 16].
        shift: what the sums of a column and tile are too large by, float32 [groups, cols, tiles].
        together: how many numbers of tables add up to a byte at most.
        tile_rows: rows of one tile; the last one may be shorter.
        cells: the numbers themselves, which few reads take, int8
            [groups, ceil(cols / 128), rows, 128].
        within: how many numbers of cells add up to a byte with its sign at most.
    """

    tables: Tensor
    shift: Tensor
    together: int
    tile_rows: int
    cells: Tensor
    within: int


class Digits(NamedTuple):
    """How codes of inputs are applied, phase by phase.

    Args:
        step: distance of two codes, [1].
        planes: phase, source, bit and weight of each bit, one behind the other, by phases: a digit
            is the sum of weights of bits that are set. Source 0 is a positive code, 1 the magnitude
            of a negative one, 2 its two's complement, and bit 0 of 3 whether a code is negative.
        places: what each phase counts for.
        lo: lowest code.
        hi: highest code.
    """

    step: Tensor
    planes: Sequence[int]
    places: Sequence[float]
    lo: float
    hi: float


class Adc(NamedTuple):
    """How sums become codes, and what these count for; see `adc_of`.

    Args:
        factor: ADC steps of a sum of 1, [cols].
        base: what each row holds beside its numbers, [cols]; None for 0.
        scale: value of one ADC step, [1] or [groups * cols].
        lo: lowest code.
        hi: highest code.
        short: a multiplier and a shift, int32 [2, cols]: the code of a sum N is
            (N 2^shift multiplier + 2^14) / 2^15, rounded down; 0 where that gives other codes.
    """

    factor: Tensor
    base: Tensor | None
    scale: Tensor
    lo: float
    hi: float
    short: Tensor


def adc_of(
    numbers: Numbers,
    digit: int,
    factor: Tensor,
    base: Tensor | None,
    scale: Tensor,
    ends: tuple[float, float],
) -> Adc:
    """Converters of the sums of these numbers.

    Args:
        numbers: what the cells hold.
        digit: the largest digit.
        factor: ADC steps of a sum of 1, [cols].
        base: what each row holds beside its numbers, [cols]; None for 0.
        scale: value of one ADC step, [1] or [groups * cols].
        ends: lowest and highest code.

    Raises:
        ConfigError: sums do not fit into 16 bits.
    """
    cols, tiles = numbers.shift.shape[1:]
    reach = numbers.tables.amax(-1).sum(3, dtype=torch.int64).amax((0, 2)).flatten()[:cols] * digit
    if reach.numel() and int(reach.max()) > _MOST:
        raise ConfigError(
            f"sums of numbers in a tile are up to {int(reach.max())}; expected at most {_MOST}: "
            "take smaller tiles or digits"
        )
    short = torch.zeros((2, len(factor)), dtype=torch.int32, device=factor.device)
    for each in sorted(set(factor.tolist())) if base is None else ():
        own = factor == each
        pair = _short(each, int(reach[own].max()), ends, tiles)
        short[:, own] = short.new_tensor(pair).unsqueeze(1)
    return Adc(factor, base, scale, *ends, short)


def _short(factor: float, most: int, ends: tuple[float, float], tiles: int) -> tuple[int, int]:
    """A multiplier and a shift that give the codes of all sums up to `most`; zeros if none do."""
    if not all(float(end).is_integer() for end in ends):  # infinite ones are none either
        return 0, 0
    sums = torch.arange(-most, most + 1, device="cpu")
    codes = (sums.float() * factor).round().clamp(*ends).long()
    if int(codes.abs().max()) * tiles > _MOST:
        return 0, 0
    for raised in range(15):
        if most << raised > _MOST:
            break
        nearest = round(factor * 2 ** (15 - raised))
        for multiplier in (nearest, nearest + 1, nearest - 1, nearest + 2, nearest - 2):
            found = ((sums << raised) * multiplier + (1 << 14)) >> 15
            if 0 < multiplier <= _MOST and torch.equal(found.clamp(*map(int, ends)), codes):
                return multiplier, raised
    return 0, 0


def lay_out(numbers: Tensor, tile_rows: int) -> Numbers:
    """Lay whole numbers out for `serial_read`.

    Args:
        numbers: int8 [groups, rows, cols], from -`LARGEST` to `LARGEST`.
        tile_rows: rows of one tile, at most 1024; the last one may be shorter.

    Raises:
        ConfigError: numbers or tiles are too large.
    """
    if numbers.dtype != torch.int8 or numbers.dim() != 3:
        raise ShapeError(
            f"numbers is {numbers.dtype} of shape {list(numbers.shape)}; expected torch.int8 "
            "[groups, rows, cols]"
        )
    groups, rows, cols = numbers.shape
    largest = int(numbers.to(torch.int16).abs().max()) if numbers.numel() else 0
    if largest > LARGEST or not 1 <= tile_rows <= _MOST_ROWS:
        raise ConfigError(
            f"numbers are up to {largest} and tile_rows is {tile_rows}; expected at most {LARGEST} "
            f"and 1 to {_MOST_ROWS}"
        )
    tiles, quads = -(-rows // tile_rows), -(-tile_rows // 4)
    padded = F.pad(numbers.transpose(1, 2), (0, tiles * tile_rows - rows))
    cut = F.pad(padded.reshape(groups, cols, tiles, tile_rows), (0, 4 * quads - tile_rows))
    four = cut.reshape(groups, cols, tiles, quads, 4).to(torch.int16)
    sums = four.new_zeros((*four.shape[:-1], 1))
    for k in range(4):
        sums = torch.cat([sums, sums + four[..., k : k + 1]], dim=-1)
    least = sums.amin(-1)
    tables = (sums - least.unsqueeze(-1)).to(torch.uint8)
    shift = -least.sum(-1, dtype=torch.float32)
    beside = F.pad(tables, (*(0, 0) * 3, 0, -cols % _BESIDE))
    beside = beside.view(groups, -1, _BESIDE, tiles, quads, 16).permute(0, 1, 3, 4, 2, 5)
    most = int(tables.max()) if tables.numel() else 0
    cells = F.pad(numbers, (0, -cols % _WIDTH)).view(groups, rows, -(-cols // _WIDTH), _WIDTH)
    within = 127 // max(1, largest)
    together = 255 // max(1, most)
    laid = beside.contiguous(), shift, together, tile_rows
    return Numbers(*laid, cells.transpose(1, 2).contiguous(), within)


def serial_read(x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> Tensor:
    """Read cells that hold whole numbers W, phase by phase of the inputs.

    With the digits z of codes clamp(round(x / step), digits.lo, digits.hi) and tiles t of
    consecutive rows, it is the sum over phases p of

        places[p] * (scale * sum_t clamp(round(factor * sum_{k in t} z[p, k] (W_k + base)), lo, hi))

    Sums of whole numbers are exact, whatever their order; halves round to even.

    Args:
        x: inputs, [n, groups, rows].
        numbers: what the cells hold.
        digits: how inputs are applied.
        adc: how sums are converted.

    Returns:
        [n, groups, cols] of x's dtype; it depends neither on the other reads nor on the number of
        threads. Outputs of an input that is NaN are NaN. There is no gradient.

    Raises:
        ArgumentTypeError: if a dtype does not fit.
        ConfigError: if a shape or a device does not fit.
    """
    tables, shift, together, tile_rows, cells, within = numbers
    step, planes, places, dac_lo, dac_hi = digits
    factor, base, scale, lo, hi, short = adc
    ends = [dac_lo, dac_hi, lo, hi]
    converters = (step, factor, base, scale, short)
    counts = (together, within, tile_rows)
    return _READ(x, tables, shift, cells, *converters, planes, places, *counts, ends)


def _empty(x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> Tensor:
    require_floating("x", x)
    tables, shift, together, tile_rows, cells, within = numbers
    if tables.dtype != torch.uint8 or shift.dim() != 3 or x.dim() != 3:
        raise ArgumentTypeError(
            f"tables is {tables.dtype} of shape {list(tables.shape)} for x of shape "
            f"{list(x.shape)}; expected torch.uint8 as `lay_out` gives it, and [n, groups, rows]"
        )
    groups, cols = x.shape[1], shift.shape[1]
    tiles, quads = -(-x.shape[2] // tile_rows), -(-tile_rows // 4)
    require_shape("tables", tables, (groups, -(-cols // _BESIDE), tiles, quads, _BESIDE, 16))
    require_shape("shift", shift, (groups, cols, tiles))
    if cells.dtype != torch.int8:
        raise ArgumentTypeError(
            f"cells is {cells.dtype}; expected torch.int8 as `lay_out` gives it"
        )
    require_shape("cells", cells, (groups, -(-cols // _WIDTH), x.shape[2], _WIDTH))
    require_shape("step", digits.step, (1,))
    require_shape("factor", adc.factor, (cols,))
    require_shape("scale", adc.scale, (1,), (groups * cols,))
    require_shape("short", adc.short, (2, cols))
    if adc.base is not None:
        require_shape("base", adc.base, (cols,))
    own = {"tables": tables, "cells": cells, "shift": shift, "step": digits.step, "base": adc.base}
    for name, tensor in {**own, "factor": adc.factor, "scale": adc.scale}.items():
        if tensor is not None:
            require_same_device(name, tensor, "x", x)
    _require_phases(digits, min(together, within))
    return x.new_empty((x.shape[0], groups, cols))


def _require_phases(digits: Digits, together: int) -> None:
    """Refuse planes that are not sorted by phases, or of phases that there are not."""
    phases = list(digits.planes[::4])
    if len(digits.planes) % 4 or phases != sorted(phases) or together < 1:
        raise ConfigError(
            f"planes is {list(digits.planes)} and together {together}; expected four numbers for "
            "each plane, by phases, and 1 or more"
        )
    if any(not 0 <= phase < len(digits.places) for phase in phases):
        raise ConfigError(
            f"planes is {list(digits.planes)}; expected phases below {len(digits.places)}"
        )


def _driven(codes: Tensor, digits: Digits, phase: int) -> Tensor:
    """The digits of one phase, of whole codes."""
    words = {
        0: codes.clamp(min=0),
        1: (-codes).clamp(min=0),
        2: torch.where(codes < 0, codes - int(digits.lo), codes),
        3: (codes < 0).to(codes.dtype),
    }
    digit = torch.zeros_like(codes)
    for at, source, bit, weight in zip(*(iter(digits.planes),) * 4, strict=True):
        if at == phase:
            digit = digit + weight * (words[source] >> bit & 1)
    return digit


def _reference(x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    tables, tile_rows, base = numbers.tables, numbers.tile_rows, adc.base
    groups, cols, tiles = numbers.shift.shape
    wrong = x.isnan()
    codes = torch.clamp(torch.round(x.to(wide) / digits.step.to(wide)), digits.lo, digits.hi)
    codes = torch.where(wrong, 0, codes).to(torch.int32)
    padded = F.pad(codes, (0, tiles * tile_rows - x.shape[2]))
    cut = padded.reshape(*x.shape[:2], tiles, tile_rows)
    single = tables[..., [1, 2, 4, 8]].to(wide) - tables[..., :1].to(wide)
    every = single.permute(0, 1, 4, 2, 3, 5).reshape(groups, -1, tiles, 4 * tables.shape[3])
    held = every[:, :cols, :, :tile_rows]
    scale = adc.scale.to(wide)
    factors = scale if scale.shape[0] == 1 else scale.view(groups, cols)
    pieces = []
    block = max(1, _CURRENTS // max(1, groups * cols * tiles))
    for some in torch.split(cut, block):
        total = torch.zeros((), dtype=wide, device=x.device)
        for phase, place in enumerate(digits.places):
            driven = _driven(some, digits, phase).to(wide)
            current = torch.einsum("ngtk,gctk->ngct", driven, held)
            if base is not None:
                opened = driven.sum(-1).unsqueeze(2)
                current = current + opened * base.to(wide).view(-1, 1)
            steps = torch.round(current * adc.factor.to(wide).view(-1, 1))
            total = total + place * (factors * torch.clamp(steps, adc.lo, adc.hi).sum(-1))
        pieces.append(total)
    y = torch.cat(pieces) if pieces else x.new_empty((0, groups, cols), dtype=wide)
    return torch.where(wrong.any(-1, keepdim=True), torch.nan, y).to(x.dtype)


def _native(x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> Tensor:
    out = _empty(x, numbers, digits, adc)
    floats = (x, numbers.shift, adc.factor, adc.base, adc.scale, digits.step)
    single = all(each is None or each.dtype == torch.float32 for each in floats)
    if not single or not (x.numel() and out.numel()) or (x.is_cuda and not _is_packable(digits)):
        return _reference(x, numbers, digits, adc)
    dense = _dense(x, numbers, digits, adc)
    (_by_cuda if x.is_cuda else read_into)(out, *dense)
    return out


def _dense(
    x: Tensor, numbers: Numbers, digits: Digits, adc: Adc
) -> tuple[Tensor, Numbers, Digits, Adc]:
    held = numbers._replace(
        tables=numbers.tables.contiguous(),
        cells=numbers.cells.contiguous(),
        shift=numbers.shift.contiguous(),
    )
    converters = adc._replace(
        factor=adc.factor.contiguous(),
        base=None if adc.base is None else adc.base.contiguous(),
        scale=adc.scale.contiguous(),
        short=adc.short.contiguous(),
    )
    return x.contiguous(), held, digits._replace(step=digits.step.contiguous()), converters


def read_into(out: Tensor, x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> None:
    """As `serial_read` by the kernel, past the dispatcher; nothing is checked.

    Args:
        out: takes the results, [n, groups, cols].
        x: inputs, [n, groups, rows]; all numbers are dense, in the memory of the processor.
        numbers: what the cells hold.
        digits: how inputs are applied.
        adc: how sums are converted.
    """
    arguments = _Arguments(out, x, numbers, digits, adc)
    cpu = native.cpu()
    assert cpu is not None
    cpu.serial_read(arguments.address, digits.lo, digits.hi, adc.lo, adc.hi)


def _by_cuda(out: Tensor, x: Tensor, numbers: Numbers, digits: Digits, adc: Adc) -> None:
    slots, wide = _slots(digits)
    n, groups, _ = x.shape
    quads = numbers.tables.shape[2] * numbers.tables.shape[3]
    together = min(n, max(1, _WORDS // (groups * quads * slots)))
    words = x.new_empty((groups, quads, together, slots), dtype=torch.int32)
    invalid = x.new_zeros((groups, n), dtype=torch.uint8)
    work = (words.data_ptr(), invalid.data_ptr(), together, slots, wide)
    arguments = _Arguments(out, x, numbers, digits, adc, work)
    cuda = native.cuda()
    assert cuda is not None
    ends = (digits.lo, digits.hi, adc.lo, adc.hi)
    cuda.serial_read(arguments.address, *ends, *_library.where(x))


class _Arguments:
    """Addresses and sizes in one row, in the order of native/src/bind_serial.h.

    They are good for as long as this object and the tensors live.
    """

    def __init__(
        self,
        out: Tensor,
        x: Tensor,
        numbers: Numbers,
        digits: Digits,
        adc: Adc,
        work: Sequence[int] = (),
    ) -> None:
        groups, cols, _ = numbers.shift.shape
        rows = numbers.cells.shape[2]
        self._planes, self._places = array("q", digits.planes), array("f", digits.places)
        tensors = (numbers.tables, numbers.cells, x, numbers.shift, adc.factor, adc.base, adc.scale)
        short = adc.short.data_ptr()
        arguments = (
            *map(address, tensors),
            digits.step.data_ptr(),
            self._places.buffer_info()[0],
            short,
            short + 4 * cols,
            out.data_ptr(),
            self._planes.buffer_info()[0],
            len(self._planes) // 4,
            len(self._places),
            len(adc.scale),
            x.numel() // (groups * rows),
            groups,
            rows,
            cols,
            numbers.tile_rows,
            numbers.together,
            numbers.within,
            *work,
        )
        self._row = array("q", arguments)

    @property
    def address(self) -> int:
        """Of the row."""
        return self._row.buffer_info()[0]


def _reaches(digits: Digits) -> tuple[int, int]:
    """What no digit is below, and what none is above."""
    low, high = [0] * len(digits.places), [0] * len(digits.places)
    for phase, _, _, weight in zip(*(iter(digits.planes),) * 4, strict=True):
        low[phase] += min(weight, 0)
        high[phase] += max(weight, 0)
    return min(low, default=0), max(high, default=0)


def _is_packable(digits: Digits) -> bool:
    """Whether the kernel of a GPU takes these digits, in two bytes at most."""
    low, high = _reaches(digits)
    many = max(len(digits.planes) // 4, len(digits.places)) > _MOST_PLANES
    return not many and low >= -_MOST and high < _MOST - 127


def _slots(digits: Digits) -> tuple[int, bool]:
    """Words of four inputs of one read, and whether a phase has two of them."""
    low, high = _reaches(digits)
    wide = low < -128 or high > 127
    count = len(digits.places) * (2 if wide else 1)
    few = next((slots for slots in (1, 2, 4) if count <= slots), None)
    return (-(-count // 8) * 8 if few is None or wide else few), wide


def _gathered(read: Callable[[Tensor, Numbers, Digits, Adc], Tensor]) -> Callable[..., Tensor]:
    """A function of these as the operator calls it, which knows tensors and numbers only."""

    def flat(
        x: Tensor,
        tables: Tensor,
        shift: Tensor,
        cells: Tensor,
        step: Tensor,
        factor: Tensor,
        base: Tensor | None,
        scale: Tensor,
        short: Tensor,
        planes: Sequence[int],
        places: Sequence[float],
        together: int,
        within: int,
        tile_rows: int,
        ends: Sequence[float],
    ) -> Tensor:
        if len(ends) != 4:
            raise ConfigError(f"ends is {list(ends)}; expected four, of digits and of codes")
        dac_lo, dac_hi, lo, hi = ends
        numbers = Numbers(tables, shift, together, tile_rows, cells, within)
        digits = Digits(step, planes, places, dac_lo, dac_hi)
        return read(x, numbers, digits, Adc(factor, base, scale, lo, hi, short))

    return flat


_READ = _library.register(
    "serial_read(Tensor x, Tensor tables, Tensor shift, Tensor cells, Tensor step, Tensor factor, "
    "Tensor? base, Tensor scale, Tensor short, int[] planes, float[] places, int together, "
    "int within, int tile_rows, float[] ends) -> Tensor",
    fake=_gathered(_empty),
    reference=_gathered(_reference),
    kernel=_gathered(_native),
    mapped=rows(0),
)
