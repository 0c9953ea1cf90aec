"""`Cells`: what the cells of one matrix hold, how it came there, and how it ages."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.contracts.array import ArrayInfo
from memcore.contracts.layout import Layout
from memcore.contracts.mapper import Mapped, Part
from memcore.contracts.records import Context, Programmed, Stage
from memcore.contracts.units import MOST_DRAWN_SIEMENS, MOST_SIEMENS
from memcore.crossbar.alike import Kinds, joined_arrays, joined_programmed
from memcore.crossbar.arrangement import laid
from memcore.crossbar.clock import Clock
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import Effects
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.laying import laid_at_once
from memcore.crossbar.mapping import mapping
from memcore.crossbar.packed import Packed, packed
from memcore.crossbar.packing import Packing
from memcore.crossbar.source import CellSource
from memcore.crossbar.states import State, complete_cells
from memcore.crossbar.tiling import Tiling, in_order
from memcore.crossbar.yields import ArrayYield
from memcore.errors import ConfigError, ConversionError
from memcore.ops.surrogate import for_training
from memcore.random import Stream
from memcore.registry.hooks import Hooks, call
from memcore.registry.instances import manager


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """What writing a matrix gives; nothing is kept of it until `Cells.store` takes it.

    Attributes:
        conductance: what the cells hold, effects of `Stage.PROGRAM` included, [arrays, rows, cols].
        target: what they should hold, [arrays, rows, cols] S.
        mapped: the parts and the gain of the mapping.
        tiling: where the parts lie.
        writes: the number of this writing.
        effects: what acts on the cells from now on.
        array: what the programmer was told.
        programmed: what the programmer returned.
        origin: of the matrix that was written.
    """

    conductance: Tensor
    target: Tensor
    mapped: Mapped
    tiling: Tiling
    writes: int
    effects: Effects | LaneEffects
    array: ArrayInfo
    programmed: Programmed
    origin: Fingerprint


class Cells(nn.Module):
    """The cells of one matrix.

    The conductances that were programmed are kept; ageing and what follows from it is derived from
    them whenever something changed.

    Args:
        config: device, mapping, programmer, effects; without a mapper, matrices are conductances.
        random: the stream of the matrix.
        name: qualified name of the matrix, for messages.
        device: where the cells are simulated.
        packing: how many groups of the matrix have an array in common.
        dtype: of the weights, which plugins calculate in if it has more bits than float32.
    """

    effects: Effects | LaneEffects
    tiling: Tiling
    parts: tuple[Part, ...]
    last: ArrayYield
    #: What they were written to in S, or what stands for it, as `table` says; None with a `source`.
    programmed: Tensor
    table: Tensor | None  #: of `Packed`, if the conductances are kept in fewer bits
    target: Tensor | None  #: of the cells in S, if an effect looks it up
    before: Tensor | None
    gain: Tensor
    correction: Tensor | None  #: digital factor of the outputs against drift, [] or [cols]
    writes: Tensor
    seed: Tensor
    row_order: Tensor | None  #: word line of each position, [arrays, rows], if they are assigned
    col_order: Tensor | None  #: bit line of each position, [arrays, cols]
    origin: Tensor  #: packed `Fingerprint` of the matrix that was written; zeros if not known
    rehearsals: Tensor  #: the number of the last rehearsal of a training
    rehearsed: Tensor  #: packed `Fingerprint` of its weights, in states; zeros if not known

    def __init__(
        self,
        config: CrossbarConfig,
        random: Stream,
        name: str,
        device: torch.device,
        packing: Packing | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self._dtype = dtype
        self.config = config
        self.packing = Packing() if packing is None else packing
        self.name = name
        self.random = random
        self.clock = Clock(device)
        self._proved: tuple[int, int, torch.Size] | None = None
        #: Knows what they hold, if a training in place derives it from the state of the cells.
        self.source: CellSource | None = None
        #: How often they were written, loaded or moved, as no pulse does it.
        self.given = 0
        #: Of the lines of all arrays, if it is decided already.
        self.order: Layout | None = None
        #: Called with what was written whenever it is stored.
        self.listeners: list[Callable[[Written], None]] = []
        self.register_buffer("seed", torch.tensor(random.seed, device=device))
        whole = {"writes": (), "rehearsals": (), "origin": (3,), "rehearsed": (3,)}
        for number, shape in whole.items():
            self.register_buffer(number, torch.zeros(shape, dtype=torch.int64, device=device))
        self.register_load_state_dict_pre_hook(complete_cells)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_shape_like_loaded)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_draw_as_loaded)  # type: ignore[no-untyped-call]

    def context(self, writes: int | None = None) -> Context:
        """What plugins are handed at the writing of a number, the last one by default."""
        return Context(
            random=self.random,
            temperature=self.config.temperature,
            writes=int(self.writes) if writes is None else writes,
            torch_device=self.writes.device,
            dtype=self._precision,
            tile=self.config.tile,
        )

    @property
    def _precision(self) -> torch.dtype:
        """Of what is calculated for the cells, of which fewer bits may be kept."""
        gain = self._buffers.get("gain")  # there once they are written, and moved with the network
        return torch.promote_types(self._dtype if gain is None else gain.dtype, torch.float32)

    @property
    def conductance(self) -> Tensor:
        """What the cells conduct now, [arrays, rows, cols] S, without the noise of a read."""
        held = self.held
        return self.effects.settled(held, self.clock).expand_as(held)

    @property
    def held(self) -> Tensor:
        """What the cells conducted right after writing, [arrays, rows, cols] S."""
        if self.source is not None:
            return self.source.conductance()
        if self.table is None:
            return self.programmed
        return Packed(self.programmed, self.table).unpacked()

    def holds(self, conductance: Tensor) -> bool:
        """Whether the cells hold conductances [arrays, rows, cols] S, as far as they are kept."""
        if self.table is not None:
            conductance = packed(conductance, self.config.cells, self._whose, "").unpacked()
        return torch.equal(conductance, self.held)

    def feels(self, temperature: float) -> bool:
        """Whether anything ages at another pace at this temperature in K."""
        return self.effects.feels(self.clock.segments.new_tensor([temperature]))

    @property
    def scale(self) -> Tensor:
        """The gain as it is corrected digitally against drift, [lanes] or [lanes, cols]."""
        if self.correction is None:
            return self.gain
        of_columns = self.gain.dim() == 1 and self.correction.dim() == 1
        return (self.gain.unsqueeze(1) if of_columns else self.gain) * self.correction

    @property
    def _is_incremental(self) -> bool:
        """Whether a rewrite starts from what the cells conduct, rather than from fresh cells."""
        routines = (each.programmer for each in self.config.of_lanes or (self.config,))
        return any(routine is not None and routine.incremental for routine in routines)

    def array(self, tiling: Tiling | None = None, writes: int | None = None) -> ArrayInfo:
        """The physical arrays, their cells sampled (always the same cells)."""
        kinds = self._kinds(self.tiling if tiling is None else tiling, self.context(writes))
        return joined_arrays(kinds.arrays())

    def _kinds(self, tiling: Tiling, ctx: Context) -> Kinds:
        return Kinds(self.config, tiling, ctx, self.name)

    # Writing: from a matrix to what its cells hold, without touching what they hold now ---------

    def mapped(self, weight: Tensor, writes: int) -> Mapped:
        """The parts that stand for a matrix [groups, rows, cols], on the lines of arrays."""
        if self.config.mapper is None:
            return Mapped(parts=(Part(target=weight),), gain=weight.new_ones(1))
        ctx = self.context(writes).child("mapper")
        mapped = mapping(self.config, weight, ctx)
        return self.packing.mapped(mapped, self.unused)

    @property
    def unused(self) -> list[float]:
        """What cells that hold nothing conduct in each lane, S; one number for all alike."""
        return [float(device.nominal_range()[0]) for device in self.config.devices]

    def written(self, weight: Tensor, *, writes: int, present: Tensor | None = None) -> Written:
        """What the cells would hold after writing a matrix.

        Args:
            weight: [groups, rows, cols], rows are inputs.
            writes: the number of the writing, on which depends what it draws anew.
            present: what the cells conduct before, [arrays, rows, cols] S; None for fresh ones.

        Raises:
            ConfigError: there are weights that are infinite or NaN.
        """
        weight = weight.detach()
        origin = Fingerprint.of(weight)
        if not origin.is_finite:
            _check.finite("weights", weight, self._whose, "what trained or loaded them")
        ctx = self.context(writes)
        mapped, tiling, target, reach = self._laid(weight, writes)
        tiling, target = laid(
            tiling,
            target,
            mapped.gain,
            self.config,
            lambda target: joined_arrays(self._kinds(tiling, ctx).informed(target)).stuck,
            self.order,
        )
        if reach is None:
            self.require_finite("target conductances", target)
        kept = target.clone() if self._needs_target else target  # weights may change in place
        kinds = self._kinds(tiling, ctx)
        arrays = kinds.informed(kept)
        effects = kinds.bound(arrays, self._bound)
        arrays = kinds.told(arrays, effects, target, present)
        arrays = [dataclasses.replace(array, reach=reach) for array in arrays]
        programmed = kinds.programmed(arrays, target)
        g = kinds.written(programmed, arrays)
        if not is_same(g, target):  # which is finite
            self.require_finite("siemens", g, self.most)
        return Written(
            conductance=g.to(target.dtype).contiguous(),
            target=target,
            mapped=mapped,
            tiling=tiling,
            writes=writes,
            effects=effects,
            array=joined_arrays(arrays, kept),
            programmed=joined_programmed(programmed, arrays),
            origin=origin,
        )

    def _laid(
        self, weight: Tensor, writes: int
    ) -> tuple[Mapped, Tiling, Tensor, tuple[float, float] | None]:
        """The mapping of a matrix, where its parts lie, the targets, and how far these reach."""
        packing = self.packing
        if packing.count == 1:
            at_once = laid_at_once(weight, self.config, self.context(writes).child("mapper"))
            if at_once is not None:
                return at_once
        mapped = self.mapped(in_order(weight), writes)
        tiling = Tiling.of(
            mapped.parts,
            mapped.parts[0].target.shape,
            self.config.tile,
            packed=packing.count,
            common=int(packing.constant),
            spare=self.config.spare_cols,
        )
        _require_gain(mapped, tiling)
        parts = [part.target for part in mapped.parts]
        unused = self.unused
        target = tiling.split(parts, unused if len(unused) > 1 else unused[0])
        return mapped, tiling, target, None

    @property
    def _needs_target(self) -> bool:
        adc = self.config.adc  # one that tells sums has a table for the spread of the cells
        told = adc is not None and adc.counts_open
        return told or any(effect.needs_target for effect in self.config.effects.values())

    @property
    def _bound(self) -> Effects | LaneEffects | None:
        """What acts on the cells until they are bound again."""
        bound: Effects | LaneEffects | None = getattr(self, "effects", None)
        return bound

    def is_proved(self, conductance: Tensor) -> bool:
        """Whether these are the cells as they were written, which are finite."""
        return self._proved is not None and _state_of(conductance) == self._proved

    @property
    def _whose(self) -> str:
        return self.name or "the layer"

    def require_finite(self, what: str, values: Tensor, largest: float = math.inf) -> None:
        """Refuse what would make every output NaN, and say what could have caused it.

        Raises:
            ConfigError: there are infinite values or NaN, or some above the largest.
        """
        causes = f"the parameters of {self._causes}"
        _check.finite(what, values, self._whose, causes, largest=largest)

    @property
    def most(self) -> float:
        """What a cell conducts at most right after writing, S; less if nothing is drawn for it."""
        stages = [effect.stage for effect in self.config.effects.values()]
        is_given = self.config.programmer is None and Stage.PROGRAM not in stages
        return MOST_SIEMENS if is_given else MOST_DRAWN_SIEMENS

    @property
    def _causes(self) -> str:
        """What conductances depend on, by name."""
        config = self.config
        parts = [*config.devices, config.mapper, config.programmer]
        named = [type(part).__name__ for part in parts if part is not None]
        return ", ".join(dict.fromkeys([*named, *config.effects]))

    # Keeping: what changes the state -----------------------------------------------------------

    @for_training
    def write(self, weight: Tensor) -> Written:
        """Write a matrix as the next writing, which starts the clock again."""
        is_first = not hasattr(self, "programmed")
        present = None
        if not is_first and self._is_incremental:
            present = self.effects.aged(self.held, self.clock)
        writes = 0 if is_first else int(self.writes) + 1
        written = self.written(weight, writes=writes, present=present)
        self.take(written)
        if not is_first or self.config.programmer is not None:  # given ones were not written
            self.clock.rewrite(self.config.temperature)
        self._tell(written)
        return written

    def again(self, weight: Tensor) -> Written:
        """What the last writing would have given for a matrix, with its draws; nothing is kept."""
        return self.written(weight, writes=int(self.writes), present=self.before)

    @for_training
    def repeat(self, other: "Cells", weight: Tensor) -> Written:
        """Write as `other` was written last: with its draws, from what its cells were before."""
        present = other.before if self._is_incremental else None
        written = self.written(weight, writes=int(other.writes), present=present)
        self.store(written)
        return written

    @for_training
    def adopt(self, written: Written) -> None:
        """Hold what other cells of the same chip hold that were written alike.

        Args:
            written: of cells whose configuration differs in what happens after the writing.
        """
        target = written.target.clone() if self._needs_target else written.target
        kinds = self._kinds(written.tiling, self.context(written.writes))
        known = written.array.lanes or (written.array,)
        arrays = [
            dataclasses.replace(array, target=some, noises=(), wires=None, layout=Layout())
            for array, some in zip(known, kinds.split(target), strict=True)
        ]
        effects = kinds.bound(arrays, self._bound)
        arrays = kinds.told(arrays, effects, written.target, written.array.present)
        arrays = [dataclasses.replace(array, reach=None) for array in arrays]
        array = joined_arrays(arrays, target)
        self.store(dataclasses.replace(written, effects=effects, array=array), is_new=False)

    def store(self, written: Written, *, is_new: bool = True) -> None:
        """Keep what was written, count its yield and tell the hooks."""
        self.take(written)
        self._tell(written, is_new=is_new)

    def _tell(self, written: Written, *, is_new: bool = True) -> None:
        """Count the yield of what was written, and tell all who asked."""
        if is_new:
            call(
                manager(),
                Hooks.memcore_array_programmed,
                array=written.array,
                programmed=written.programmed,
            )
        self.last = ArrayYield.of(written.programmed, written.target, written.array)
        for listener in self.listeners:
            listener(written)

    def take(self, written: Written) -> None:
        """Keep what was written, and tell nobody; nothing changes if it cannot be kept.

        Raises:
            ConfigError: the conductances do not fit into the bits that the configuration gives.
        """
        g, table = self._kept(written)
        self.tiling = written.tiling
        self.effects = written.effects
        self.source = None
        self.given += 1
        self.parts = tuple(_without_target(part) for part in written.mapped.parts)
        self.writes.fill_(written.writes)
        self.register_buffer("target", written.array.target if self._needs_target else None)
        self.register_buffer("before", written.array.present)
        self.register_buffer("programmed", g)
        self.register_buffer("table", table)
        self._proved = _state_of(g)
        self.register_buffer("gain", written.mapped.gain.to(written.target.dtype))
        self.register_buffer("correction", None)
        self.origin.copy_(written.origin.packed())
        order = written.tiling.order
        self.register_buffer("row_order", None if order is None else order.row_order)
        self.register_buffer("col_order", None if order is None else order.col_order)

    def derive(self, source: CellSource) -> None:
        """Keep no conductances, which follow from something else from now on."""
        self.source, self._proved = source, None
        self.register_buffer("programmed", None)

    @for_training
    def keep(self) -> None:
        """Have conductances in memory again, if they followed from something else."""
        if self.source is not None:
            g, self.source = self.held, None
            self.register_buffer("programmed", g)

    def _kept(self, written: Written) -> tuple[Tensor, Tensor | None]:
        """The conductances and their table, in as many bits as the configuration says."""
        g, config = written.conductance, self.config
        if config.cells == "full" or g.is_meta:
            return g, None
        self._require_products(written.effects)
        return packed(g, config.cells, self._whose, self._causes)

    def _require_products(self, effects: Effects | LaneEffects) -> None:
        """Refuse to keep cells in few bits beside a copy in full that reads need."""
        if effects.is_product:
            return
        stages = (Stage.READ, Stage.MVM, Stage.CURRENT)
        names = [name for name, each in self.config.effects.items() if each.stage in stages]
        raise ConfigError(
            f"cells={self.config.cells!r} with {', '.join(names)}, whose reads need every cell in "
            "full; expected cells='full', or effects of reads that are products with normal noise"
        )

    @for_training
    def prepare(self, state: State, prefix: str) -> None:
        """Bring a state of cells into the form of these, before anything of it is taken.

        Raises:
            ConfigError: no cells hold it, or it does not fit into the bits of these.
        """
        complete_cells(self, state, prefix)
        self.clock.prepare(state, f"{prefix}clock.")
        if f"{prefix}programmed" in state:
            _pack(self, state, prefix)

    def _refresh_order(self) -> None:
        """Lay the lines as those of the chip are whose state was loaded."""
        if self.row_order is not None and not self.row_order.is_meta:
            order = Layout(row_order=self.row_order, col_order=self.col_order)
            self.tiling = dataclasses.replace(self.tiling, order=order)

    def _refresh_draws(self) -> None:
        """Draw as the chip does whose state was loaded, for the targets that it had."""
        seed = int(self.seed)
        if seed != self.random.seed or self.target is not None:
            self.random = Stream(seed, self.random.path)
            kinds = self._kinds(self.tiling, self.context())
            self.effects = kinds.bound(kinds.informed(self.target), self._bound)

    def _apply(self, fn: Any, recurse: bool = True) -> "Cells":
        if fn(self.gain.new_empty(0)).dtype == torch.float16:
            raise ConversionError(
                f"the cells of {self.name or 'the layer'} cannot become float16, which is too "
                "coarse for conductances in S; expected bfloat16 or float32: use .bfloat16(), or "
                "torch.autocast for the digital layers"
            )
        self.keep()
        self.given += 1
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._proved = None
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.source is not None:
            destination[f"{prefix}programmed"] = self.held

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_proved": None, "source": None}
        if self.source is not None:  # which stays with the training of the original
            state["_buffers"] = {**self._buffers, "programmed": self.held}
        return state

    def extra_repr(self) -> str:
        """Geometry, for `print(model)`."""
        return str(self.tiling)


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers at the same place."""
    state = _state_of(one)
    return one.dtype == other.dtype and state is not None and state == _state_of(other)


def _state_of(values: Tensor) -> tuple[int, int, torch.Size] | None:
    """What changes with the values of contiguous tensors that are alive; None if nobody knows."""
    if values.is_meta or values.is_inference() or not values.is_contiguous():
        return None
    return values.data_ptr(), values._version, values.shape


def _require_gain(mapped: Mapped, tiling: Tiling) -> None:
    gain, whole = mapped.gain, (mapped.lanes, tiling.rows, tiling.cols)
    if tuple(gain.shape) not in (whole[:1], (whole[0], whole[2]), whole):
        raise ConfigError(
            f"the gain of a mapping has shape {tuple(gain.shape)}; expected [lanes], here "
            f"{whole[:1]}, [lanes, cols], here {(whole[0], whole[2])}, or [lanes, rows, cols]"
        )
    if not gain.is_meta and not bool(gain.reshape(len(gain), -1).any(1).all()):
        raise ConfigError(
            "the gain of a mapping is 0 in a lane, which then counts for nothing; expected the "
            "weight for one siemens of each lane: 1 where all weights are 0, say"
        )
    if gain.dim() < 3 or gain.is_meta:
        return
    for tile in gain.split(tiling.array_rows, dim=1):  # type: ignore[no-untyped-call]
        if bool((tile != tile[:, :1]).any()):
            raise ConfigError(
                "the gain of a mapping differs between word lines of one array, whose currents are "
                "added before the ADC; expected the same for all of them: ctx.tile says how many"
            )


def _without_target(part: Part) -> Part:
    return dataclasses.replace(part, target=part.target.new_zeros(0))


@for_training
def _shape_like_loaded(cells: Cells, state: State, prefix: str, *rest: Any) -> None:
    """Make room for what is loaded: another life may have begun with fresh cells."""
    del rest
    cells.keep()
    cells.given += 1
    if f"{prefix}programmed" in state:
        kept = state.get(f"{prefix}before")
        cells.before = None if kept is None else torch.empty_like(cells.held)
        _repack(cells, state, prefix)
        factor = state.get(f"{prefix}correction")
        cells.correction = None if factor is None else cells.gain.new_empty(factor.shape)


def _repack(cells: Cells, state: State, prefix: str) -> None:
    """Let what is loaded be kept as these cells are, and make room for its table."""
    _pack(cells, state, prefix)
    table = state.get(f"{prefix}table")
    if table is not None and cells.table is not None:
        cells.table = cells.table.new_empty(table.shape)


def _pack(cells: Cells, state: State, prefix: str) -> None:
    """Pack what is about to be loaded as these cells are; nothing happens the second time."""
    name, key = f"{prefix}programmed", f"{prefix}table"
    values, table = state[name], state.pop(key, None)
    there = None if table is None else Packed.of_state(values, table)
    if there is not None:
        state[name] = there.values
    if cells.table is None or there is None or not there.is_kept_like(cells.programmed):
        g = values if there is None else there.unpacked()
        state[name], table = g, None
        if cells.table is not None:
            state[name], table = packed(g, cells.config.cells, cells._whose, "what was loaded")
    if table is not None and cells.table is not None:
        state[key] = table


@for_training
def _draw_as_loaded(cells: Cells, keys: Any) -> None:
    del keys
    cells._refresh_order()
    cells._refresh_draws()
