"""Cells in blocks that need little memory, for all that is done to each cell for itself.

What is drawn and computed for a million cells at once goes through memory at each operation, and
the memory is new. Streams give each cell the same draws whichever cells are asked for.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.programmer import Programmer
from memcore.contracts.records import Context, Programmed, Stage
from memcore.crossbar.effects import Effects, is_off
from memcore.errors import MemcoreError
from memcore.ops._library import large_pages

#: Cells of a block, enough for all threads, few beside a large layer; cells from which blocks pay.
_CELLS, _FEW = 1 << 20, 1 << 22


class Block(NamedTuple):
    """Some word lines of arrays that are counted through, as one array.

    Args:
        lines: which word lines.
        array: what is known of their cells.
        ctx: whose streams begin with the first of them.
    """

    lines: slice
    array: ArrayInfo
    ctx: Context

    def of(self, cells: Tensor) -> Tensor:
        """The cells of the block, [1, lines, cols], of all [arrays, rows, cols]."""
        return cells.view(-1, cells.shape[-1])[self.lines].unsqueeze(0)


def programmed(
    programmer: Programmer, array: ArrayInfo, target: Tensor, ctx: Context
) -> Programmed:
    """What a programmer makes of targets [arrays, rows, cols], in blocks where that is the same.

    Cells of half precision are written in single precision, unless each is written at once: the
    steps of single pulses would be lost in the rounding of their states.
    """
    if torch.finfo(target.dtype).bits < 32 and not programmer.cellwise:
        return _rounded(programmed(programmer, _single(array), target.float(), ctx), target.dtype)
    is_simple = array.device is array.nominal and array.stuck is None  # nothing is copied then
    if not programmer.in_blocks or is_simple or not _fits(target, [], array):
        return programmer.program(array, target, ctx)
    out = large_pages(torch.empty_like(target))
    try:
        for block in _blocks(array, ctx):
            done = programmer.program(block.array, block.of(target), block.ctx)
            block.of(out).copy_(done.conductance)
    except MemcoreError:  # which should speak of all cells
        return programmer.program(array, target, ctx)
    return Programmed(conductance=out)


def _single(array: ArrayInfo) -> ArrayInfo:
    """What is known of arrays, their cells in single precision."""
    cells = {name: getattr(array, name) for name in ("target", "present", "stuck")}
    known = {name: each.float() for name, each in cells.items() if each is not None}
    return dataclasses.replace(array, **known)


def _rounded(done: Programmed, dtype: torch.dtype) -> Programmed:
    """What was written, as cells of a precision keep it."""
    fields = dataclasses.fields(done)
    kept = {field.name: getattr(done, field.name) for field in fields if field.name != "pulses"}
    coarse = {
        name: each.to(dtype)
        for name, each in kept.items()
        if isinstance(each, Tensor) and each.is_floating_point()
    }
    return dataclasses.replace(done, **coarse)


def written(
    conductance: Tensor, effects: Mapping[str, NonIdeality], array: ArrayInfo, ctx: Context
) -> Tensor:
    """As `Effects.written`, in blocks where that gives the same."""
    acting = [each for each in effects.values() if each.stage is Stage.PROGRAM and not is_off(each)]
    if not acting or not _fits(conductance, acting, array):
        return Effects.written(conductance, effects, array, ctx)
    out = large_pages(torch.empty_like(conductance))
    try:
        for block in _blocks(array, ctx):
            given, place = block.of(conductance), block.of(out)
            done = Effects.written(given, effects, block.array, block.ctx, place)
            if done is not place:
                place.copy_(done)
    except MemcoreError:  # which should speak of all cells
        return Effects.written(conductance, effects, array, ctx)
    return out


def stuck(
    effects: Mapping[str, NonIdeality], array: ArrayInfo, ctx: Context, like: Tensor
) -> Tensor | None:
    """As `Effects.stuck`, in blocks where that gives the same.

    Args:
        effects: by name.
        array: the physical arrays.
        ctx: of the layer.
        like: gives dtype and torch device.
    """
    failing = [each for each in effects.values() if not is_off(each) and _may_fail(each)]
    if not failing or not _fits(like, failing, array):
        return Effects.stuck(effects, array, ctx)
    out = large_pages(torch.empty_like(like))
    for block in _blocks(array, ctx):
        found = Effects.stuck(effects, block.array, block.ctx)
        if found is None or found.dtype != out.dtype or found.shape != block.array.shape:
            return Effects.stuck(effects, array, ctx)
        block.of(out).copy_(found)
    return out


def _may_fail(effect: NonIdeality) -> bool:
    return type(effect).stuck_cells is not NonIdeality.stuck_cells


def _fits(cells: Tensor, effects: list[NonIdeality], array: ArrayInfo) -> bool:
    """Whether blocks give the same, and pay."""
    plain = cells.is_cpu and cells.dtype == torch.float32 and cells.is_contiguous()
    if not plain or cells.numel() < _FEW or cells.shape != array.shape:
        return False
    return all(each.in_blocks for each in effects) and _is_cut(array.device, array)


def _is_cut(device: Memristor, array: ArrayInfo) -> bool:
    """Whether the parameters of a device are for all cells, or one for each."""
    values = (getattr(device, field.name) for field in dataclasses.fields(device))  # type: ignore[arg-type]
    tensors = (value for value in values if isinstance(value, Tensor))
    return all(each.shape == array.shape or each.numel() == 1 for each in tensors)


def _blocks(array: ArrayInfo, ctx: Context) -> Iterator[Block]:
    lines = array.arrays * array.rows
    step = max(4, _CELLS // array.cols // 4 * 4)
    for start in range(0, lines, step):
        some = slice(start, min(lines, start + step))
        stream = ctx.random.from_cell(start * array.cols)
        yield Block(some, _cut(array, some), dataclasses.replace(ctx, random=stream))


def _cut(array: ArrayInfo, lines: slice) -> ArrayInfo:
    """What is known of some word lines of all arrays."""

    def of(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != array.shape:
            return value
        return value.reshape(-1, array.cols)[lines].unsqueeze(0)

    fields = dataclasses.fields(array.device)  # type: ignore[arg-type]
    values = {field.name: getattr(array.device, field.name) for field in fields}
    drawn = {name: of(value) for name, value in values.items() if of(value) is not value}
    device = dataclasses.replace(array.device, **drawn) if drawn else array.device  # type: ignore[type-var]
    cells = {name: of(getattr(array, name)) for name in ("target", "present", "stuck")}
    rows = lines.stop - lines.start
    return dataclasses.replace(array, arrays=1, rows=rows, device=device, **cells)
