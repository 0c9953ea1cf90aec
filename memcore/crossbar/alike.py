"""`Alike`: arrays of cells of one kind, all of a matrix or those of one lane, and their writing."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.layout import Layout
from memcore.contracts.product import Product
from memcore.contracts.records import Context, Programmed
from memcore.crossbar import blocks
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import Effects
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.product import circuit_of, warn_of_approximate_wires
from memcore.crossbar.tiling import Tiling
from memcore.errors import ConfigError


class Alike(NamedTuple):
    """Arrays whose cells are of one device and have the same effects.

    Args:
        config: device, programmer and effects.
        arrays: which of the arrays of the matrix.
        tiling: where the parts of the matrix on these arrays lie.
        ctx: of their writing.
    """

    config: CrossbarConfig
    arrays: slice
    tiling: Tiling
    ctx: Context

    def array(self, name: str) -> ArrayInfo:
        """The arrays of a matrix of this name, their cells sampled (always the same cells)."""
        config, t = self.config, self.tiling
        shape = (t.arrays, t.array_rows, t.array_cols)
        if config.mapper is not None:
            _require_nominal(config.device)
        return ArrayInfo(
            arrays=shape[0],
            rows=shape[1],
            cols=shape[2],
            device=config.device.sample(shape, self.ctx.child("device")),
            nominal=config.device.nominal(),
            name=name,
            parts=t.full_parts,
            read_voltage=ArrayInfo.read_voltage if config.mapper is None else config.read_voltage,
        )

    def informed(self, array: ArrayInfo, target: Tensor | None) -> ArrayInfo:
        """With what is known of the single cells before any effect acts on them."""
        effects = self.config.effects
        if target is None:
            stuck = Effects.stuck(effects, array, self.ctx)
        else:
            stuck = blocks.stuck(effects, array, self.ctx, target)
        return dataclasses.replace(array, target=target, stuck=stuck)

    def bound(self, array: ArrayInfo, before: Effects | None) -> Effects:
        """What acts on the cells; what was decided for life `before` stays."""
        effects = Effects(self.config.effects, array, self.ctx).to(self.ctx.torch_device)
        old, product = None if before is None else before.product, effects.product
        if isinstance(old, Product) and isinstance(product, Product):
            product.stay(old)
        return effects

    def told(
        self, array: ArrayInfo, effects: Effects, target: Tensor, present: Tensor | None
    ) -> ArrayInfo:
        """With what programmers alone are told."""
        circuit = circuit_of(effects.product, target)  # which also places lines, for life
        felt = circuit if self._feels_wires else None
        wires = None if felt is None else felt.wires
        routine = self.config.programmer
        is_asked = routine is not None and routine.incremental
        same = is_asked and present is not None and present.shape == array.shape
        return dataclasses.replace(
            array,
            present=present.to(target.dtype) if present is not None and same else None,
            noises=tuple(effects.noises),
            wires=wires,
            layout=Layout() if felt is None or wires is None else felt.layout,
        )

    @property
    def _feels_wires(self) -> bool:
        programmer = self.config.programmer
        if programmer is None or not programmer.through_lines:
            return False
        warn_of_approximate_wires(self.config.effects)
        return True

    def programmed(self, array: ArrayInfo, target: Tensor) -> Programmed:
        """What the programmer makes of the targets."""
        if self.config.programmer is None:
            return Programmed(conductance=target)
        ctx = self.ctx.child("programmer")
        return blocks.programmed(self.config.programmer, array, target, ctx)

    def written(self, conductance: Tensor, array: ArrayInfo) -> Tensor:
        """Conductances after the effects of a writing, [arrays, rows, cols] S."""
        g = conductance.expand(array.shape)
        return blocks.written(g, self.config.effects, array, self.ctx)


class Kinds:
    """The arrays of a matrix by what their cells are: all together, or lane by lane.

    Args:
        config: of the matrix.
        tiling: where its parts lie.
        ctx: of a writing.
        name: of the matrix.
    """

    def __init__(self, config: CrossbarConfig, tiling: Tiling, ctx: Context, name: str) -> None:
        self.name = name
        self._noise_key = ctx.random.key_of("cells", "read")
        self.every = [Alike(config, slice(0, tiling.arrays), tiling, ctx)]
        if config.lanes_differ:
            self.every = [
                Alike(own, tiling.arrays_of(lane), tiling.of_lane(lane), ctx.child("lane", lane))
                for lane, own in enumerate(config.of_lanes)
            ]

    def split(self, cells: Tensor | None) -> list[Any]:
        """Cells [arrays, rows, cols] of each kind; None for each if nothing is known."""
        if cells is None or len(self.every) == 1:
            return [cells] * len(self.every)
        return [cells[kind.arrays] for kind in self.every]

    def arrays(self) -> list[ArrayInfo]:
        """The arrays of each kind, their cells sampled (always the same cells)."""
        return [kind.array(self.name) for kind in self.every]

    def informed(self, target: Tensor | None) -> list[ArrayInfo]:
        """With what is known of the single cells before any effect acts on them."""
        pairs = zip(self.every, self.arrays(), self.split(target), strict=True)
        return [kind.informed(array, some) for kind, array, some in pairs]

    def bound(
        self, arrays: Sequence[ArrayInfo], before: Effects | LaneEffects | None
    ) -> Effects | LaneEffects:
        """What acts on the cells; what was decided for life `before` stays."""
        known: list[Effects | None] = [None] * len(self.every)
        if before is not None:
            known = [*before.each] if len(before.each) == len(known) else known
        rows = zip(self.every, arrays, known, strict=True)
        every = [kind.bound(array, each) for kind, array, each in rows]
        if len(every) == 1:
            return every[0]
        return LaneEffects(every, [array.arrays for array in arrays], self._noise_key)

    def told(
        self,
        arrays: Sequence[ArrayInfo],
        effects: Effects | LaneEffects,
        target: Tensor,
        present: Tensor | None,
    ) -> list[ArrayInfo]:
        """With what programmers alone are told."""
        pieces = self.split(target), self.split(present)
        rows = zip(self.every, arrays, effects.each, *pieces, strict=True)
        return [kind.told(*rest) for kind, *rest in rows]

    def programmed(self, arrays: Sequence[ArrayInfo], target: Tensor) -> list[Programmed]:
        """What the programmers make of the targets."""
        rows = zip(self.every, arrays, self.split(target), strict=True)
        return [kind.programmed(array, some) for kind, array, some in rows]

    def written(self, done: Sequence[Programmed], arrays: Sequence[ArrayInfo]) -> Tensor:
        """Conductances after the effects of a writing, [arrays, rows, cols] S."""
        rows = zip(self.every, done, arrays, strict=True)
        every = [kind.written(each.conductance, array) for kind, each, array in rows]
        return every[0] if len(every) == 1 else torch.cat(every)


def joined_arrays(arrays: Sequence[ArrayInfo], target: Tensor | None = None) -> ArrayInfo:
    """What is known of all arrays of a matrix, of what is known of each kind."""
    first = arrays[0]
    if len(arrays) == 1:
        return first
    return dataclasses.replace(
        first,
        arrays=sum(each.arrays for each in arrays),
        device=first.nominal,
        parts=sum(each.parts for each in arrays),
        target=target,
        present=_joined([each.present for each in arrays], arrays),
        stuck=_joined([each.stuck for each in arrays], arrays),
        noises=(),
        wires=None,
        layout=Layout(),
        lanes=tuple(arrays),
    )


def joined_programmed(done: Sequence[Programmed], arrays: Sequence[ArrayInfo]) -> Programmed:
    """What the programmers of all kinds of cells achieved."""
    if len(done) == 1:
        return done[0]

    def of(take: Callable[[Programmed], Tensor | float]) -> Tensor:
        like = done[0].conductance
        every = (torch.as_tensor(take(each), device=like.device) for each in done)
        pairs = zip(every, arrays, strict=True)
        return torch.cat([value.expand(array.shape) for value, array in pairs])

    errors = [each.error for each in done]
    return Programmed(
        conductance=of(lambda each: each.conductance),
        pulses=of(lambda each: each.pulses),
        energy=of(lambda each: each.energy),
        verified=of(lambda each: each.verified),
        time=of(lambda each: each.time),
        reversals=of(lambda each: each.reversals),
        error=None if any(error is None for error in errors) else _joined(errors, arrays),
    )


def _joined(values: Sequence[Tensor | None], arrays: Sequence[ArrayInfo]) -> Tensor | None:
    """Numbers of all cells, NaN where nothing is known; None if nothing is known of any."""
    like = next((value for value in values if value is not None), None)
    if like is None:
        return None
    nothing = like.new_full((), torch.nan)
    pairs = zip(values, arrays, strict=True)
    return torch.cat([(nothing if v is None else v).expand(a.shape) for v, a in pairs])


def _require_nominal(device: Memristor) -> None:
    """Refuse a device for single cells: what plans for an array needs a number or a law for all."""
    for field in dataclasses.fields(device):  # type: ignore[arg-type]
        value = getattr(device, field.name)
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ConfigError(
                f"{type(device).__name__}: {field.name} has shape {list(value.shape)}; expected a "
                "number, or a distribution, which is drawn for each cell"
            )
