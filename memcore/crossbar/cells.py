"""`Arrays`: the cells of one matrix, written, disturbed and aged."""

import dataclasses
from typing import Any, Self

import torch
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.layout import Layout
from memcore.contracts.records import Context, Programmed
from memcore.contracts.wires import Wires
from memcore.crossbar.clock import Clock
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import Pipeline
from memcore.crossbar.given import AsGiven, wires_of
from memcore.crossbar.tiling import Tiling
from memcore.crossbar.wired import Wired
from memcore.crossbar.yields import ArrayYield
from memcore.errors import ConfigError
from memcore.ops.surrogate import for_training
from memcore.random import Stream
from memcore.registry.instances import manager


class Arrays(nn.Module):
    """What the cells of one matrix hold, and how it came there; `Crossbar` reads it.

    The conductances that were programmed are kept; ageing and what follows from it is derived from
    them, by `refresh`, whenever something changed.
    """

    pipeline: Pipeline
    programmed: Tensor
    before: Tensor | None
    gain: Tensor
    writes: Tensor
    seed: Tensor

    def _begin(
        self, config: CrossbarConfig, random: Stream, name: str, device: torch.device
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.name = name
        self.random = random
        self.register_buffer("seed", torch.tensor(random.seed, device=device))
        self.clock = Clock(device)
        self.register_buffer("writes", torch.zeros((), dtype=torch.int64, device=device))
        self.register_load_state_dict_pre_hook(_shape_like_loaded)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_refresh_loaded)  # type: ignore[no-untyped-call]

    def _bind_effects(self, array: ArrayInfo) -> None:
        bound: Pipeline | None = getattr(self, "pipeline", None)
        self.pipeline = Pipeline(self.config.effects, array, self.context).to(self.seed.device)
        before, product = None if bound is None else bound.product, self.pipeline.product
        if isinstance(before, Wired) and isinstance(product, Wired):
            product.stay(before)

    @property
    def context(self) -> Context:
        """What plugins are handed."""
        return Context(
            random=self.random,
            temperature=self.config.temperature,
            writes=int(self.writes),
            torch_device=self.writes.device,
        )

    def array(self) -> ArrayInfo:
        """The physical arrays, their cells sampled (always the same cells)."""
        tiling = self.tiling
        shape = (tiling.arrays, tiling.array_rows, tiling.array_cols)
        device = self.config.device
        in_volts = isinstance(self.config.mapper, AsGiven)
        return ArrayInfo(
            arrays=shape[0],
            rows=shape[1],
            cols=shape[2],
            device=device.sample(shape, self.context.child("device")),
            nominal=device.nominal(),
            name=self.name,
            parts=tiling.full_parts,
            read_voltage=ArrayInfo.read_voltage if in_volts else self.config.read_voltage,
        )

    @for_training
    def write(self, weight: Tensor) -> Programmed:
        """Program the arrays again, with new draws of what a rewrite draws anew."""
        present = None
        if self.config.programmer.incremental:
            present = self.pipeline.aged(self.programmed, self.clock)
        self.writes += 1
        self.clock.rewrite(self.config.temperature)
        return self._store(weight, present)

    @for_training
    def repeat(self, other: Self, weight: Tensor) -> Programmed:
        """Write as `other` was written last: with its draws, from what its cells were before."""
        self.writes.copy_(other.writes)
        return self._store(weight, other.before)

    def _map(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Target conductances [arrays, rows, cols] and the gain of the mapping."""
        device = self.config.device.nominal()
        mapped = self.config.mapper.map(weight.detach(), device, self.context.child("mapper"))
        shared = tuple(part.shape[-1] == 1 < weight.shape[-1] for part in mapped.targets)
        groups, rows, cols = weight.shape
        self.tiling = Tiling(groups, rows, cols, shared, self.config.tile)
        unused, _ = device.nominal_range()
        return self.tiling.split(mapped.targets, unused), mapped.gain

    def _store(self, weight: Tensor, present: Tensor | None = None) -> Programmed:
        self._require_finite(weight)
        target, gain = self._map(weight)
        ctx, array = self.context, self.array()
        self._bind_effects(array)
        array = self._to_write(array, target, None if present is None else present.to(target.dtype))
        self.register_buffer("before", array.present)
        programmed = self.config.programmer.program(array, target, ctx.child("programmer"))
        manager().hook.memcore_array_programmed(array=array, programmed=programmed)
        self.written = ArrayYield.of(programmed, target, array)
        g = programmed.conductance.expand(array.shape)
        g = Pipeline.written(g, self.config.effects, array, ctx)
        self.register_buffer("programmed", g.to(target.dtype).contiguous())
        self.register_buffer("gain", gain.to(target.dtype))
        self.refresh()
        return programmed

    def _require_finite(self, weight: Tensor) -> None:
        wrong = 0 if weight.is_meta else int((~weight.isfinite()).sum())
        if wrong:
            raise ConfigError(
                f"{wrong} of {weight.numel()} weights of {self.name or 'the layer'} are infinite "
                "or NaN; expected finite weights: look at what trained or loaded them"
            )

    def _to_write(self, array: ArrayInfo, target: Tensor, present: Tensor | None) -> ArrayInfo:
        """With what programmers alone are told."""
        product, wires = self.pipeline.product, self._wires()
        layout = product.layout(target) if isinstance(product, Wired) else Layout()
        same = present is not None and present.shape == array.shape
        return dataclasses.replace(
            array,
            present=present if same and self.config.programmer.incremental else None,
            stuck=Pipeline.stuck(self.config.effects, array, self.context),
            noises=tuple(form for form, _ in self.pipeline.noises),
            wires=wires,
            layout=Layout() if wires is None else layout,
        )

    def _wires(self) -> Wires | None:
        programmer = self.config.programmer
        if not programmer.through_wires or getattr(programmer, "wires", "array") == "none":
            return None
        return wires_of(self.pipeline.product, self.config.effects)

    @for_training
    def age(
        self,
        seconds: float = 0.0,
        *,
        temperature: float | None = None,
        cycles: float = 0.0,
        reads: float = 0.0,
    ) -> None:
        """Let time pass on the simulated clock, see `memcore.age`."""
        at = self.config.temperature if temperature is None else temperature
        self.clock.advance(at, seconds=seconds, cycles=cycles, reads=reads)
        self.refresh()

    @property
    def seconds(self) -> Tensor:
        """How long ago the arrays were written, s."""
        return self.clock.seconds

    @property
    def conductance(self) -> Tensor:
        """What the cells conduct now, [arrays, rows, cols] S, without the noise of a read."""
        return self.pipeline.settled(self.programmed, self.clock).expand_as(self.programmed)

    def refresh(self) -> None:
        """Derive from the cells what a read uses."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Geometry, for `print(model)`."""
        return str(self.tiling)


def _shape_like_loaded(
    arrays: Arrays, state_dict: dict[str, Tensor], prefix: str, *rest: Any
) -> None:
    del rest
    if f"{prefix}programmed" in state_dict:  # another life may have begun with fresh cells
        kept = state_dict.get(f"{prefix}before")
        arrays.before = None if kept is None else torch.empty_like(arrays.programmed)


def _refresh_loaded(arrays: Arrays, keys: Any) -> None:
    del keys
    seed = int(arrays.seed)
    if seed != arrays.random.seed:  # the cells of another chip came, so draw as that chip does
        arrays.random = Stream(seed, arrays.random.path)
        arrays._bind_effects(arrays.array())
    arrays.refresh()
