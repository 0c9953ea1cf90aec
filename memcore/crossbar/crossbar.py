"""`Crossbar`: the arrays of one matrix, and how they are read.

A read takes one of four ways, decided when the arrays change, never per call:

* exact: without an ADC and without effects at a read, one product with the folded matrix;
* tiled: with uniform ADCs, one fused kernel that multiplies, converts and adds tile by tile;
* sensed: with sense amplifiers, sums of one-bit cells that are drawn from a table;
* electrical: anything else, with the currents of every tile or of every bit line in memory.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from memcore._text import shown
from memcore.circuit.array import ArrayCircuit
from memcore.circuit.drive import Drive
from memcore.circuit.laws import CellLaw
from memcore.circuit.series import SeriesElement
from memcore.circuit.solution import Solution
from memcore.contracts.array import ArrayInfo
from memcore.contracts.forms import SerialLevels
from memcore.contracts.records import Context, Programmed
from memcore.contracts.wires import Wires
from memcore.crossbar import together
from memcore.crossbar.calibrated import Calibrated, warn_uncalibrated
from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.given import (
    GivenCircuit,
    check,
    check_inputs,
    check_rows,
    check_weight,
    warn_of_gradients,
    window,
)
from memcore.crossbar.lane import sequence
from memcore.crossbar.lock import Lock
from memcore.crossbar.numbering import Numbering
from memcore.crossbar.observing import Observer
from memcore.crossbar.packing import Packing
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import AnyReader, Electrical, Exact, Reader, Sensed
from memcore.crossbar.readers.choose import Derived, choose, derived, plan_of
from memcore.crossbar.readers.per_vector import PerVector, sizes
from memcore.crossbar.readers.phases import drive
from memcore.crossbar.solving import circuit_behind, solved
from memcore.crossbar.states import State, complete_numbers, complete_ranges, rename_of_arrays
from memcore.crossbar.tiling import Tiling
from memcore.crossbar.units import with_unit
from memcore.crossbar.unused import warn_of_unused
from memcore.crossbar.yields import ArrayYield
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.ops.surrogate import for_training
from memcore.random import Stream
from memcore.registry.specs import PluginSpec


class Crossbar(nn.Module):
    """Arrays of conductances that multiply: `Crossbar(g) @ v`.

    Currents have gradients with respect to the voltages if the cells are ohmic. There are none with
    respect to conductances and wires: `effective_conductance` has them.

    Args:
        conductance: [rows, cols] S; rows are word lines, columns bit lines.
        device: what the cells are, for effects that ask; an ideal one by default.
        nonidealities: names, mappings or instances.
        wires: their resistances; none by default.
        law: current of a cell for its voltage, from `memcore.circuit`; ohmic by default. Parameters
            of single cells broadcast to [arrays, rows, cols], and so do those of `series`.
        series: transistor or selector in series with each cell, from `memcore.circuit`.
        tile: word and bit lines of one array; None for a single array.
        dac: converter of the voltages.
        adc: converter of the currents of each array.
        temperature: K.
        seed: the virtual chip.

    Raises:
        ConfigError: conductances are not finite, negative, or not a matrix; or another argument
            does not fit.

    Warns:
        NoEffectWarning: conductances or parameters require gradients.

    Examples:
        >>> g = torch.tensor([[1e-4, 2e-5], [1e-5, 8e-5]])
        >>> Crossbar(g) @ torch.tensor([0.2, 0.1])
        tensor([2.1000e-05, 1.2000e-05])
    """

    reads: Tensor  #: how many reads with numbers of their own there were in evaluation
    training_reads: Tensor  #: the same in training mode, so that neither shifts the other's draws

    def __init__(
        self,
        conductance: Tensor,
        *,
        device: PluginSpec | None = None,
        nonidealities: Sequence[PluginSpec] = (),
        wires: Wires | None = None,
        law: CellLaw | None = None,
        series: SeriesElement | None = None,
        tile: tuple[int, int] | None = None,
        dac: PluginSpec | None = None,
        adc: PluginSpec | None = None,
        temperature: float = 300.0,
        seed: int = 0,
    ) -> None:
        check(conductance)
        plain = wires is None and law is None and series is None
        circuit = GivenCircuit(wires=wires, law=law, series=series)
        warn_of_gradients(conductance, circuit)
        conductance = conductance.detach()
        config = CrossbarConfig.of_conductances(
            device=window(conductance) if device is None else device,
            nonidealities=(
                *sequence("nonidealities", nonidealities),
                *([] if plain else [circuit]),
            ),
            tile=tile,
            dac=dac,
            adc=adc,
            read_voltage=1.0,
            temperature=temperature,
        )
        warn_of_unused(config)
        self._setup(conductance.unsqueeze(0), config, Stream(seed), "", False)

    @classmethod
    def of_weight(
        cls,
        weight: Tensor,
        config: CrossbarConfig,
        random: Stream,
        *,
        name: str = "",
        constant: bool = False,
        parts: tuple[int, ...] = (),
        write: Callable[[Cells, Tensor], object] = Cells.write,
    ) -> Self:
        """Arrays that hold `weight` [groups, rows, cols] as `config` says.

        Args:
            weight: rows are inputs, columns outputs.
            config: device, mapping, converters, effects.
            random: the stream of the matrix.
            name: qualified name of the matrix, for messages.
            constant: whether the last row is driven by a constant input of 1, past the DAC.
            parts: sizes of the parts of the inputs that have a DAC range each, () for one range.
            write: lets the cells hold the weight; by default they are written the first time.
        """
        crossbar = cls.__new__(cls)
        crossbar._setup(weight, config, random, name, constant, parts, write)
        return crossbar

    @for_training
    def _setup(
        self,
        weight: Tensor,
        config: CrossbarConfig,
        random: Stream,
        name: str,
        constant: bool,
        parts: tuple[int, ...] = (),
        write: Callable[[Cells, Tensor], object] = Cells.write,
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.constant = constant
        self._lock = Lock()
        #: What stands around the reader for a while, say to count what it does.
        self.around: Callable[[AnyReader, ReadPlan], nn.Module] | None = None
        told = Context(random=random, tile=config.tile)
        self.packing = Packing.of(config, tuple(weight.shape), told, constant)
        self.cells = Cells(config, random, name, weight.device, self.packing, weight.dtype)
        self.register_buffer("reads", weight.new_zeros((), dtype=torch.int64))
        self.register_buffer("training_reads", self.reads.clone())
        self.numbering = Numbering(self._lock)
        self.register_load_state_dict_pre_hook(_prepare_loaded)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_refresh_loaded)  # type: ignore[no-untyped-call]
        ctx = self.cells.context()
        write(self.cells, weight)
        self.input = Calibrated(config.dac, ctx.child("dac"), weight, parts=parts)
        plan = plan_of(self.cells)
        told = with_unit(ctx.child("adc"), config, plan)
        of_lanes = config.adcs if config.lanes else ()
        self.output = Calibrated(
            config.adc, told, weight, plan.values, of_lanes=of_lanes, lines=plan.lines
        )
        self.observer = Observer(name, self.input, self.output)
        self.refresh()

    # What the cells are --------------------------------------------------------------------

    @property
    def tiling(self) -> Tiling:
        """How the parts of the matrix lie on arrays."""
        return self.cells.tiling

    @property
    def seconds(self) -> Tensor:
        """How long ago the arrays were written, s."""
        return self.cells.clock.seconds

    @property
    def programmed(self) -> Tensor:
        """What the cells conducted right after writing, [arrays, rows, cols] S."""
        return self.cells.held

    @property
    def gain(self) -> Tensor:
        """Weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols]."""
        return self.cells.gain

    @property
    def written(self) -> ArrayYield:
        """How the last writing went."""
        return self.cells.last

    @property
    def conductance(self) -> Tensor:
        """What the cells conduct now, [arrays, rows, cols] S, without the noise of a read."""
        return self.cells.conductance

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        folded: Tensor = self.reader.folded  # type: ignore[assignment]
        return folded

    def array(self) -> ArrayInfo:
        """The physical arrays, their cells sampled (always the same cells)."""
        return self.cells.array()

    @for_training
    def write(self, weight: Tensor) -> Programmed:
        """Program the arrays again, with new draws of what a rewrite draws anew.

        Raises:
            ArgumentTypeError: the weight is no tensor.
            ShapeError: it has another shape than [groups, rows, cols].
        """
        check_weight(weight)
        with self._lock:
            written = self.cells.write(weight)
            self.refresh()
        return written.programmed

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
        with self._lock:
            before = self.cells.clock.segments
            try:
                self.cells.clock.advance(at, seconds=seconds, cycles=cycles, reads=reads)
                self.refresh()
            except BaseException:
                self.set_clock(before)
                raise

    @for_training
    def set_clock(self, segments: Tensor) -> None:
        """Let the arrays have lived through what `Clock.segments` says."""
        with self._lock:
            self.cells.clock.segments = segments
            self.refresh()

    @for_training
    def correct(self, factor: Tensor | None) -> None:
        """Multiply the outputs digitally by a factor, [] or [cols], until the next writing.

        Raises:
            ArgumentTypeError: it is no tensor.
        """
        if factor is not None and not isinstance(factor, Tensor):
            raise ArgumentTypeError(
                f"factor={shown(factor)}; expected a tensor [] or [cols], or None for no factor"
            )
        with self._lock:
            self.cells.correction = factor
            self.refresh()

    @for_training
    def watch(self, around: Callable[[AnyReader, ReadPlan], nn.Module] | None) -> None:
        """Put something around the reader, say to count what it does; None takes it away."""
        with self._lock:
            self.around = around
            self._take(self._alone[0])

    def prepare(self, state: dict[str, Tensor], prefix: str) -> None:
        """Bring a state of arrays into the form of these, before anything of it is taken.

        Args:
            state: names and tensors, which change.
            prefix: of the names of these arrays.

        Raises:
            ConfigError: no arrays have such a state, or these cannot hold it.
        """
        rename_of_arrays(self, state, prefix)
        complete_numbers(self, state, prefix)
        self.cells.prepare(state, f"{prefix}cells.")
        for name, port in (("input", self.input), ("output", self.output)):
            complete_ranges(port, state, f"{prefix}{name}.")

    # Deriving ------------------------------------------------------------------------------

    @for_training
    def refresh(self) -> None:
        """Derive from conductances and ranges what a forward pass uses."""
        state = derived(self.cells, self.input_scale)
        self.input.bind()
        self.output.bind()
        self._choose(state)

    @for_training
    def refold(self) -> None:
        """As `refresh`, where nothing has changed but what the cells conduct.

        Exact reads then find it in the memory where it was.
        """
        exact = self.exact_reader
        if exact is None:
            self.refresh()
            return
        source, out = self.cells.source, exact.folded
        is_finite = None if source is None else source.fold(out)
        if is_finite is None:
            folded = derived(self.cells, self._volts, out).folded
            if folded is not out:
                out.copy_(folded)
        elif not is_finite:
            self.cells.require_finite("weights that the cells stand for", out)
        exact.was_refolded()

    @property
    def exact_reader(self) -> Exact | None:
        """What reads the arrays, where that is one product with the folded matrix."""
        (alone,) = self._alone
        return alone if self.is_product and isinstance(alone, Exact) else None

    @for_training
    def lie_in(self, place: Tensor) -> None:
        """Let exact reads use memory that a parameter has too and what cells stand for is in.

        Args:
            place: shares the changes of the parameter, [groups, outputs, inputs].
        """
        exact = self.exact_reader
        assert exact is not None
        exact.lie_in(place)

    @for_training
    def lie_alone(self) -> None:
        """Let reads and cells have memory of their own again, whatever a training has shared."""
        (alone,) = self._alone
        if isinstance(alone, Exact):
            alone.lie_alone()
        self.cells.keep()

    @for_training
    def mind(self) -> None:
        """Go on reading the cells where somebody has changed a parameter in their memory."""
        (alone,) = self._alone
        if isinstance(alone, Exact) and alone.was_overwritten:
            self.refresh()

    def _rebind(self) -> bool:
        """Give a reader of the folded matrix other converters; others have to be derived anew."""
        (alone,) = self._alone
        self.input.bind()
        if not isinstance(alone, Exact) or isinstance(self.input.form, SerialLevels):
            return False
        self.output.bind()
        self.plan = plan_of(self.cells, self.input, constant=self.constant)
        self._volts = self.input_scale
        self._take(Exact(alone.folded, self.input.form, constant=self.constant))
        return True

    def _choose(self, state: Derived) -> None:
        """Take the fastest reader that does what converters and effects want."""
        self.plan = plan_of(self.cells, self.input, constant=self.constant)
        self._volts = state.volts
        reader = self._reader(self.cells, self.plan, state)
        drawn = bool(self.output.noises) or isinstance(reader, Sensed)
        #: Whether a read needs a number of its own.
        self.is_stochastic = self.cells.effects.is_stochastic or drawn
        self._take(reader)

    def _take(self, reader: Reader) -> None:
        """Read with a reader, and what is around it."""
        self._alone = (reader,)  # no submodule: it is one already, around or not
        self.reader = self._with_surroundings(reader, self.plan)
        is_set = self.input.is_ready and self.output.is_ready and self.observer.port is None
        #: Whether a read is one product with the folded matrix, whatever stands around it.
        self.is_product = isinstance(reader, Exact) and is_set
        #: Whether nothing does.
        self.reads_exactly = self.is_product and reader is self.reader
        self._is_set = is_set  # last: from here on other threads read without the lock

    def _reader(
        self, cells: Cells, plan: ReadPlan, state: Derived, *, ranges: bool = False
    ) -> Reader:
        """The reader of some cells through the converters."""
        return choose(
            cells,
            plan,
            self.input,
            self.output,
            state,
            fuse=self.observer.port is None,
            constant=self.constant,
            ranges=ranges,
        )

    def _with_surroundings(self, reader: Reader, plan: ReadPlan) -> nn.Module:
        outer = reader if self.around is None else self.around(reader, plan)
        return outer if self.config.dac_per == "layer" else PerVector(outer)

    @for_training
    def reader_of(self, cells: Cells, *, ranges: bool = False) -> nn.Module:
        """What reads other cells through the converters of these arrays.

        Args:
            cells: the others.
            ranges: whether a `Ranging` is to find how outputs follow the ranges of the ADCs.
        """
        plan = plan_of(cells, self.input, constant=self.constant)
        reader = self._reader(cells, plan, derived(cells, self.input_scale), ranges=ranges)
        return self._with_surroundings(reader, plan)

    # Reading -------------------------------------------------------------------------------

    @property
    def is_exact(self) -> bool:
        """Whether a read is one product with the folded matrix."""
        return self.config.adc is None and self.cells.effects.is_exact

    @property
    def is_set(self) -> bool:
        """Whether every converter has its range, and none is looking for one."""
        return self._is_set

    @property
    def lock(self) -> Lock:
        """Held by the thread that changes the state of the arrays."""
        return self._lock

    @property
    def is_observed(self) -> bool:
        """Whether its reads set ranges or count what is clipped, as `observe` says."""
        return self.observer.port is not None

    @property
    def input_scale(self) -> float:
        """V for an input of 1."""
        if self.config.mapper is None:
            return 1.0
        return self.config.read_voltage / self.largest_input

    @property
    def largest_input(self) -> float:
        """The largest input that the DAC represents; 1 without one, or where its range is 0."""
        largest = float(self.input.range.abs().max())
        return largest if largest > 0 else 1.0

    @for_training
    def take_range(self, peak: float) -> None:
        """Let the DAC represent inputs from -peak to peak; the ADC still covers the same outputs.

        What reads the arrays is derived anew by `refresh`.
        """
        before = self.input_scale
        self.input.range.copy_(self.input.range.new_tensor([-peak, peak]))
        self.input.bind()
        if self.input.is_learned:
            self.output.rescale(self.input_scale / before)
            self.output.bind()
        self.input.is_learned = True

    def __matmul__(self, voltage: Tensor) -> Tensor:
        """Currents [..., cols] A of voltages [..., rows] V.

        Raises:
            ConfigError: the arrays hold weights, or the voltages do not fit.
        """
        if self.config.mapper is not None:
            raise ConfigError(
                f"the arrays of {self.cells.name!r} hold weights, not given conductances; expected "
                "a Crossbar of conductances for `@`: call the layer, or use `crossbar.solve(v)` "
                "for its currents"
            )
        rows, cols = self.tiling.rows, self.tiling.cols
        check_rows(voltage, rows)
        current: Tensor = self(voltage.reshape(-1, 1, rows).to(self.folded.dtype))
        return current.view(*voltage.shape[:-1], cols)

    def forward(self, x: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, cols] of inputs [n, groups, rows].

        Args:
            x: inputs.
            lines: what `driven` gave for them, if it is known already.

        Raises:
            ArgumentTypeError: `x` is no tensor.
            ShapeError: its shape is another one.
        """
        check_inputs(x, self.tiling.groups, self.tiling.rows - self.constant)
        if not self.is_set and self._is_observed(x):
            self.observer.require_typical(x)
            return self._observe(x)
        first = self.first_read(x) if self.is_stochastic else self.reads
        y: Tensor = self.reader(x, first, lines)
        return y

    def first_read(self, x: Tensor, count: int | None = None) -> Tensor:
        """The number at which the reads of these inputs begin, which no other reads have.

        Args:
            x: inputs.
            count: number of reads, by default that of the inputs.
        """
        count = x.shape[0] if count is None else count
        reads = self.training_reads if self.training else self.reads
        return self.numbering.first(reads, x, count, learns=self.training)

    def driven(self, x: Tensor) -> Tensor:
        """What drives the word lines, [n, groups, rows] in the unit of the inputs.

        It is what the DAC makes of them, and the constant input.
        """
        if not self.is_set:
            self._is_observed(x)
        if self.config.dac_per == "vector":
            size = sizes(x)
            applied: Tensor = self.input(x / size) * size
            return applied
        return drive(self.input(x), self.constant)

    def solve(self, v: Tensor | Drive) -> Solution:
        """All node voltages and cell currents, see `memcore.circuit.solve`, in float64.

        Converters and noise are left out, and so are gradients; without line resistance cells see
        what is applied. Arrays are counted by parts, groups, tiles of rows, and tiles of columns.
        Parts that share word lines are one array: of two, its bit lines 2 j and 2 j + 1 are column
        j of each. Lines that `ir_drop` has sorted keep their numbers.

        Args:
            v: voltages of the word lines, [..., rows] V, or [..., groups, rows] of several groups,
                with the bit lines at virtual ground; or any `memcore.circuit.Drive`, whose leading
                dimensions broadcast with [arrays].

        Returns:
            [..., arrays, rows, cols], without `arrays` if there is one only.

        Raises:
            ArgumentTypeError: `v` is something else.
            ConfigError: a shape does not fit, or there is no circuit behind an effect.
            ConvergenceError: the circuit could not be solved.
        """
        return solved(self.cells, v)

    def circuit(self) -> ArrayCircuit:
        """What `solve` solves.

        Raises:
            ConfigError: there is no circuit behind an effect.
        """
        return circuit_behind(self.cells)

    # Calibrating ---------------------------------------------------------------------------

    @for_training
    def observe(self, port: str | None) -> None:
        """Let the next reads set the range of `"input"` or `"output"` anew; None ends it.

        `"clipping"` leaves the ranges and counts what they clip. Meanwhile converters without a
        range pass values unchanged and no read number is used up.
        """
        with self._lock:
            self._is_set = False
            self.observer.turn(port, self.gain)
            if not self._rebind():
                self.refresh()

    @torch.no_grad()
    def _observe(self, x: Tensor) -> Tensor:
        (reader,) = self._alone  # whatever stands around it
        self.observer.see_inputs(x / sizes(x) if self.config.dac_per == "vector" else x)
        if self.observer.port == "input":
            self._volts = self.input_scale
        if isinstance(reader, Electrical):
            reader.volts = self._volts
            is_seen = self.observer.port != "input"
            reader.watch = self.observer.see_currents if is_seen else None
        # Ranges are part of a training: what was evaluated before must not shift them.
        y: Tensor = self.reader(x, self.training_reads)
        return y

    def _is_observed(self, x: Tensor) -> bool:
        """Whether a read sets ranges; where nobody calibrates, the first one has set them by now.

        Other threads wait here until it has.
        """
        if torch.compiler.is_compiling():
            if self.observer.port is None:
                self._take_ranges(x)  # which refuses
            return self.observer.port is not None
        with self._lock:
            if self.observer.port is None and not self.is_set:
                self._take_ranges(x)
            return self.observer.port is not None

    def _take_ranges(self, x: Tensor) -> None:
        """Calibrate on the batch at hand; where that fails, there are no ranges as before."""
        joins = together.trains(self)
        warn_uncalibrated(len(x), joins=joins)
        self.observer.require_typical(x)
        try:
            for port in ("input", "output"):
                self.observe(port)
                self._observe(x)
                if joins:
                    self.join(port)
        except BaseException:
            self.observe("input")
            raise
        finally:
            self.observe(None)

    def join(self, port: str) -> None:
        """Let the range of `"input"` or `"output"` be that of all processes that train together."""
        (self.input if port == "input" else self.output).join()

    def extra_repr(self) -> str:
        """Geometry, for `print(model)`."""
        return str(self.tiling)


def _prepare_loaded(crossbar: Crossbar, state: State, prefix: str, *rest: Any) -> None:
    del rest
    crossbar.prepare(state, prefix)


@for_training
def _refresh_loaded(crossbar: Crossbar, keys: Any) -> None:
    del keys
    crossbar.input.follow(crossbar.cells.random.child("dac"))
    crossbar.output.follow(crossbar.cells.random.child("adc"))
    with crossbar._lock:
        crossbar.refresh()
