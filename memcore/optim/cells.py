"""`PulsedCells`: the cells of one matrix, moved by pulses that a rule asks for."""

import math
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.mapper import Reference
from memcore.contracts.update import Pair
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import Effects
from memcore.crossbar.fingerprint import Fingerprint
from memcore.dynamics.pulses import PulseKernels, both_ways
from memcore.dynamics.recording.run import Ready
from memcore.errors import ConfigError
from memcore.ops._library import fits_cuda, is_plain
from memcore.ops.cell_moves import Recorded, move_by_counts, move_by_trains
from memcore.ops.coincidences import coincidences
from memcore.ops.pulse_order import Arrays, Sums, first_of, ordered
from memcore.ops.pulse_trains import Moved, Sent, is_known, pulse_trains
from memcore.ops.surrogate import for_training
from memcore.optim.calls import PulseCall, pieces
from memcore.optim.derived import DerivedCells
from memcore.optim.granularity import change_of, course_of
from memcore.optim.placement import pair_of, place, renewal, require_pulses_alone
from memcore.optim.trains import Trains
from memcore.optim.units import units_of
from memcore.random import Stream

#: Pulses that are tried to reset a cell, in even ways through its window, and at most.
_WAYS: Final = 8
_LONGEST: Final = 100_000
#: Number of the first look at cells that may be renewed, beyond those of all reads.
_LOOKS: Final = 1 << 60


class PulsedCells(nn.Module):
    """Cells of one matrix that pulses move, as `PulsedWeights`.

    A pulse that raises a weight goes towards SET on the cell that enters the output with a positive
    sign, and towards RESET on that with a negative one: a differential pair is pushed and pulled,
    the column of an offset mapping is pulsed alone, reference columns are left alone. With
    `pair="one_sided"` all pulses go towards SET, on one cell of the pair or on the other.

    Args:
        crossbar: the arrays, which are read as they are configured.
        headroom: how much larger than its largest weight a matrix may become.
        net: whether pulses up and down of one weight are subtracted before they are applied.
        pair: which cells take pulses; by default those that the mapping suggests.

    Raises:
        ConfigError: the device has no pulses, or the mapping does not fit.
    """

    state: Tensor  #: of the device, [k, arrays, rows, cols]
    gain: Tensor  #: of the arrays, which headroom widens
    calls: Tensor  #: how often pulses were applied, which keys their noise
    pulses: Tensor  #: how many there were, of all cells
    energy: Tensor  #: J that they took
    time: Tensor  #: s that they took
    stuck: Tensor | None

    def __init__(
        self,
        crossbar: Crossbar,
        *,
        headroom: float = 1.0,
        net: bool = False,
        pair: Pair | None = None,
    ) -> None:
        super().__init__()
        self._crossbar, self._net = (crossbar,), net  # not a submodule: the network owns it
        self.pair = pair_of(crossbar, pair)
        require_pulses_alone(crossbar)
        units_of(crossbar.cells)
        cells = crossbar.cells
        cells.keep()  # another training may have derived them from its own states
        array = cells.array()
        #: As sampled, cell by cell, and what all cells have in common.
        self._device, self._nominal = array.device, cells.config.device
        self._kernels = PulseKernels(array.device, cells.programmed.shape)
        law = self._kernels.law
        self._derived = None if law is None else DerivedCells(cells, self, law)
        stuck = Effects.stuck(cells.config.effects, array, cells.context())
        self.register_buffer("stuck", stuck, persistent=False)
        self._change = change_of(self._nominal, cells.context().child("granularity"), self.pair)
        self._window = self._nominal.nominal_range()
        place(crossbar, self.pair, headroom)
        self.register_buffer("state", self._device.state_of(cells.programmed))
        self.register_buffer("gain", cells.gain.clone())
        for name, dtype in (("calls", torch.int64), ("pulses", torch.int64)):
            self.register_buffer(name, torch.zeros((), dtype=dtype, device=cells.writes.device))
        for name in ("energy", "time"):
            zero = torch.zeros((), dtype=torch.float64, device=cells.writes.device)
            self.register_buffer(name, zero)
        #: How often the cells had been given when their states were theirs.
        self._given: int | None = None
        self._is_stale = True  # stuck cells were not where they are put
        self.resume()

    @property
    def crossbar(self) -> Crossbar:
        """The arrays."""
        return self._crossbar[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, outputs and inputs."""
        tiling = self.crossbar.tiling
        return tiling.groups, tiling.cols, tiling.rows

    @property
    def precision(self) -> torch.dtype:
        """In which rules calculate, and are told what reads give: at least that of float32."""
        return torch.promote_types(self.state.dtype, torch.float32)

    @property
    def granularity(self) -> float:
        """Mean change of a weight by one pulse in the middle of its window, in weights."""
        pulsed = 2 if self.pair == "push_pull" else 1
        return float(self.crossbar.cells.scale.mean()) * self._change * pulsed

    def in_units(self, values: Tensor) -> Tensor:
        """Errors or reads [*any, outputs] for which a pulse means the same at each output."""
        units = units_of(self.crossbar.cells)
        return values if units is None else values / units

    # Pulses --------------------------------------------------------------------------------------

    @for_training
    def pulse(self, up: Tensor, down: Tensor, slots: int | None = None) -> None:
        """As `PulsedWeights.pulse`."""
        up, down = self._as_cells(up, down)
        most = max(float(up.max()), float(down.max())) if up.numel() else 0.0
        asked = self._asked(most, int(most) if slots is None else slots)
        if most > 0:
            self._push(up, down, asked)

    @for_training
    def take(self, trains: Trains, stream: Stream, first: int) -> None:
        """Apply the coincidences of trains, as `pulse` does.

        Args:
            trains: what was sent.
            stream: of their draws.
            first: number of their first vector, by which draws are keyed.
        """
        slots = trains.slots
        asked = self._asked(float(slots), slots)  # no weight has more pulses
        if not slots:
            return
        sent = trains.sent(stream, first)
        at_once = self._lies_in_order and not self._net
        kernel = self._kernel(asked) if is_known(sent) else self._on_gpu(asked, *sent.tensors)
        if at_once and kernel is not None:
            self._push_trains(sent, asked, kernel)
        else:
            self._push(*self._as_cells(*coincidences(*sent)), asked)

    def _as_cells(self, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Pulses [groups, inputs, outputs] as cells lie, opposite ones subtracted if wanted."""
        up, down = (each.to(self.state.dtype).mT.contiguous() for each in (up, down))
        if not self._net:
            return up, down
        net = up - down
        return net.clamp(min=0), (-net).clamp(min=0)

    def _asked(self, most: float, slots: int) -> PulseCall:
        """The next call, whose time is spent."""
        call = int(self.calls)
        self.calls.add_(1)
        self._spend_time(slots)
        return PulseCall(most, call, self.crossbar.cells.context().child("in place"))

    def _push(self, up: Tensor, down: Tensor, asked: PulseCall) -> None:
        kernel, recorded = self._kernel(asked), self._on_gpu(asked, up, down)
        if self._lies_in_order and kernel is not None:
            self._push_in_pieces(up, down, asked, kernel)
        elif recorded is not None:
            given = (up, down), self._arrays, asked.draw, self._moved
            self._count(move_by_counts(*given, recorded))
        else:
            self._push_at_once(up, down, asked)
        self._show_stuck()

    @property
    def _lies_in_order(self) -> bool:
        """Whether each cell of a part takes the pulses of a weight that lies where it does."""
        return self.pair != "one_sided" and self.crossbar.tiling.order is None

    @property
    def _arrays(self) -> Arrays:
        """Where each part lies."""
        tiling = self.crossbar.tiling
        lines = tiling.array_rows, self.state.shape[-1], tiling.data_cols
        return Arrays(tiling.rows, tiling.cols, *lines)

    def _push_trains(self, sent: Sent, asked: PulseCall, kernel: Ready | Recorded) -> None:
        """Trains, in one pass in which nothing is as large as the matrix."""
        given = sent, self._arrays, asked.draw, self._moved
        if isinstance(kernel, Ready):
            self._count(pulse_trains(*given, kernel.motion))
        else:
            self._count(move_by_trains(*given, kernel))
        self._show_stuck()

    @property
    def _moved(self) -> Moved:
        """The cells that take pulses, one part after the other."""
        opposite = [sign < 0 for sign in self._signs]
        derived = self._deriving()
        g = self.crossbar.cells.programmed if derived is None else derived.law.motion
        return Moved([*self.state], g, opposite)

    @property
    def _signs(self) -> list[int]:
        """Of the parts that take pulses."""
        parts = self.crossbar.cells.parts
        return [int(part.sign) for part in parts if not isinstance(part, Reference)]

    def _kernel(self, asked: PulseCall) -> Ready | None:
        """What moves cells natively, if anything does."""
        return self._kernels.kernel(asked.most, asked.ctx) if is_plain(self.state) else None

    def _on_gpu(self, asked: PulseCall, *given: Tensor) -> Recorded | None:
        """What moves cells on a GPU, if anything does."""
        if not (self.state.is_cuda and self._lies_in_order):
            return None
        if not fits_cuda(self.state, self.crossbar.cells.programmed, *given):
            return None
        return self._kernels.on_gpu(asked.most, asked.ctx, self.state.device)

    def _push_in_pieces(self, up: Tensor, down: Tensor, asked: PulseCall, kernel: Ready) -> None:
        """Pulses [groups, inputs, outputs] of weights, on one piece of the arrays after the other.

        Nothing but these numbers then is as large as the matrix.
        """
        lines, derived = self.state.shape[-1], self._deriving()
        state = self.state.view(len(self.state), len(self._signs), -1, lines)
        found = []
        for part, sign in enumerate(self._signs):
            for piece in pieces(state.shape[2], lines):
                at = (part * state.shape[2] + piece.start) * lines
                x = state[:, part, piece]
                if derived is None:
                    g = self.crossbar.cells.programmed.view(state.shape[1:])[part, piece]
                else:
                    g = derived.of(x, at)
                first, second = work = g.new_empty(2, *g.shape)
                sums = ordered(
                    *((up, down), g, self._arrays, asked.draw, piece),
                    opposite=sign < 0,
                    out=(*work,),
                )
                if not sums.pulses:
                    continue
                found.append(sums)
                kernel(
                    [*x, second],
                    [*x, g],
                    first.unsqueeze(0),
                    first_step=asked.call,
                    first_cell=at,
                )
        if found:
            self._count(Sums(*map(sum, zip(*found, strict=True))))

    def _push_at_once(self, up: Tensor, down: Tensor, asked: PulseCall) -> None:
        """The same on all cells, which may lie anywhere or be one-sided."""
        if self.pair == "one_sided":
            counts = [self._laid([up, down])]
        else:
            first = first_of(up, down, asked.draw)
            both = (first, up - down - first)
            counts = [self._laid([sign * each for sign in self._signs]) for each in both]
        g = self.crossbar.programmed
        for each in counts:
            self._spend_energy(each, g)
        self._advance(counts[0], counts[1] if len(counts) > 1 else None, asked)

    def _advance(self, first: Tensor, second: Tensor | None, asked: PulseCall) -> None:
        """Signed pulses [arrays, rows, cols] on cells, and those that come second."""
        kernel, cells = self._kernel(asked), self.crossbar.cells
        derived = self._deriving()
        if kernel is not None:
            x, behind = [*self.state], torch.zeros_like(first) if second is None else second
            out = [*x, cells.programmed if derived is None else torch.empty_like(first)]
            kernel([*x, behind], out, first.unsqueeze(0), first_step=asked.call)
            return
        counts, ctx = (first, second), asked.context_for(self._device)
        self.state.copy_(both_ways(self._device, self.state, counts, asked.most, ctx))
        self._conduct()

    def _laid(self, counts: list[Tensor]) -> Tensor:
        """Pulses of cells, of those [groups, inputs, outputs] of each part that takes some."""
        tiling, own = self.crossbar.tiling, iter(counts)
        nothing = counts[0].new_zeros(tiling.groups, tiling.rows, 1)
        parts = self.crossbar.cells.parts
        return tiling.split(
            [nothing if isinstance(part, Reference) else next(own) for part in parts], 0.0
        )

    def _show_stuck(self) -> None:
        """Let stuck cells conduct what they do, and reads know that cells were moved."""
        if self.stuck is not None:
            g, stuck = self.crossbar.cells.programmed, self.stuck
            g.copy_(torch.where(stuck.isnan(), g, stuck.to(g.dtype)))
        self._is_stale = True

    def _deriving(self) -> DerivedCells | None:
        """What tells conductances in place of memory for them, if anything does.

        They are kept where no law is known, where stuck cells follow none, and where the network
        was moved away from the states of its cells.
        """
        cells, derived = self.crossbar.cells, self._derived
        if derived is not None and cells.source is derived:
            return derived
        cells.keep()
        plain = is_plain(cells.programmed) and is_plain(self.state)
        if derived is None or self.stuck is not None or not plain:
            return None
        cells.derive(derived)
        return derived

    def _conduct(self) -> None:
        """Let the cells conduct what their states do, to the bit the same whoever moved them."""
        if self._deriving() is not None:
            return
        programmed = self.crossbar.cells.programmed
        asked = PulseCall(0.0, 0, self.crossbar.cells.context().child("in place"))
        recorded = self._on_gpu(asked)
        if recorded is not None:
            move_by_counts(None, self._arrays, asked.draw, self._moved, recorded)
        elif self._derived is not None and is_plain(self.state):
            programmed.copy_(self._derived.conductance())
        else:
            programmed.copy_(self._device.conductance(self.state))

    # Costs ---------------------------------------------------------------------------------------

    def _spend_time(self, slots: int) -> None:
        sets, resets = self._durations()
        # One-sided pairs are raised and lowered by a SET pulse each.
        self.time.add_(slots * (2 * sets if self.pair == "one_sided" else sets + resets))

    def _durations(self) -> tuple[float, float]:
        """s, of a SET and of a RESET pulse."""
        sets, resets = (
            math.nan if end is None else end[1]
            for end in (self._device.set_pulse, self._device.reset_pulse)
        )
        return sets, resets

    def _spend_energy(self, pulses: Tensor, conductance: Tensor) -> None:
        """That of resistors of these conductances [arrays, rows, cols] S."""
        net, g = pulses.flatten(), conductance.flatten()
        sets = net.clamp(min=0)
        total = int((2 * sets.sum() - net.sum()).round())
        of_sets = float(torch.dot(sets, g))
        self._count(Sums(0, total, of_sets, of_sets - float(torch.dot(net, g))))

    def _count(self, sums: Sums) -> None:
        self.pulses.add_(sums.pulses)
        ends = (self._device.set_pulse, self._device.reset_pulse)
        for spent, end in zip((sums.sets, sums.resets), ends, strict=True):
            self.energy.add_(spent * (math.nan if end is None else end[0] ** 2 * end[1]))

    @property
    def wear(self) -> float:
        """Write cycles of a mean cell: its pulses as ways over the whole window and back."""
        lowest, highest = self._window
        ways = float(self.pulses) * self._change / (highest - lowest)
        return 0.5 * ways / max(1, self.state[0].numel())

    # Renewing ------------------------------------------------------------------------------------

    @for_training
    def renew(self, share: float) -> None:
        """As `PulsedWeights.renew`; cells that are pulsed both ways need none.

        Cells are looked at as reads find them: aged, and with the noise of a read.
        """
        if self.pair != "one_sided":
            return
        cells = self.crossbar.cells
        lowest, highest = self._nominal.nominal_range()
        g = self._seen()
        pair = (g.view(2, -1, *g.shape[1:]) - lowest) / (highest - lowest)
        sent = renewal(pair, share, *(course.to(pair) for course in self._courses))
        if sent is None:
            return
        for pulses, duration in zip(sent, reversed(self._durations()), strict=True):
            count = pulses.reshape(g.shape).to(g.dtype).contiguous()
            ctx = cells.context().child("in place")
            asked = PulseCall(float(count.abs().max()), int(self.calls), ctx)
            self.calls.add_(1)
            self.time.add_(asked.most * duration)
            self._spend_energy(count, cells.held)
            self._advance(count, None, asked)
            self._show_stuck()

    def _seen(self) -> Tensor:
        """What a look at each cell finds now, [arrays, rows, cols] S; no read has its noise."""
        (effects,) = self.crossbar.cells.effects.each  # lanes of their own are refused
        return effects.seen(self.crossbar.conductance, _LOOKS + int(self.calls))

    @cached_property
    def _courses(self) -> tuple[Tensor, Tensor]:
        """How pulses towards SET and towards RESET lead through the window of a nominal cell."""
        lowest, highest = self._nominal.nominal_range()
        most = min(_LONGEST, math.ceil(_WAYS * (highest - lowest) / self._change))
        ctx = self.crossbar.cells.context().child("course")
        rising, falling = (course_of(self._nominal, ctx.child(s), s, most) for s in (1, -1))
        return rising, falling

    # Reading and keeping -------------------------------------------------------------------------

    @for_training
    def read(self, x: Tensor) -> Tensor:
        """As `PulsedWeights.read`.

        A constant input, of a bias on the arrays, is the last one; arrays always have it on, and
        what it adds is read by itself and taken off.
        """
        self.settle()
        x = x.to(self.state.dtype)
        if not self.crossbar.constant:
            return self.in_units(self.crossbar(x)).to(self.precision)
        x, constant = x[..., :-1], x[..., -1:]
        y = self.crossbar(x) + (constant - 1) * self.crossbar(torch.zeros_like(x[:1]))
        return self.in_units(y).to(self.precision)

    @for_training
    def read_columns(self, columns: slice) -> Tensor:
        """What the cells of some inputs show one by one, [groups, outputs, columns].

        Each is driven with the largest input of the DAC, which rounds it least and clips it not at
        all, and what is read is divided by it. Where reads are exact, nothing but these columns is
        looked at.
        """
        if self._shows_columns:
            return self.stored(inputs=columns)
        most = self._most
        drive = most.diag()[columns].unsqueeze(1).expand(-1, self.shape[0], -1)
        return self.read(drive).permute(1, 2, 0) / most[columns]

    @for_training
    def stored(self, outputs: slice = slice(None), inputs: slice = slice(None)) -> Tensor:
        """What cells stand for, without converters and noise of reads, [groups, outputs, inputs].

        Of all outputs, nothing but the cells of these inputs is looked at, where that can be.
        """
        derived = self._deriving() if outputs == slice(None) else None
        if derived is not None:
            begin, end, _ = inputs.indices(self.shape[2])
            v = self.state.new_empty(*self.shape[:2], end - begin)
            if derived.fold_rows(slice(begin, end), v):
                return self.in_units(v.mT).mT.to(self.precision)
        self.settle()
        held = self.in_units(self.crossbar.folded[:, :, inputs].mT).mT[:, outputs]
        return held.to(self.precision, copy=True)

    @property
    def _most(self) -> Tensor:
        """The largest input that the DAC of each word line represents, with its sign, [inputs]."""
        port, constants = self.crossbar.input, int(self.crossbar.constant)
        low, high = port.range.to(self.precision).unbind(1)
        most = torch.where(high >= -low, high, low)
        most = torch.where(most.abs() > 0, most, 1.0)  # without a DAC, or with a range of 0
        sizes = port.parts or (self.shape[2] - constants,)
        each = [one.expand(size) for one, size in zip(most, sizes, strict=True)]
        return torch.cat([*each, most.new_ones(constants)])

    @property
    def _shows_columns(self) -> bool:
        """Whether a read of a single input of 1 is a column of what the cells stand for."""
        crossbar = self.crossbar
        exact = crossbar.exact_reader if crossbar.reads_exactly else None
        return exact is not None and exact.dac is None and not exact.constant

    @for_training
    def settle(self) -> None:
        """Derive what a read uses, if pulses have moved cells since it was derived."""
        if self._is_stale:
            self.crossbar.refold()
            self._is_stale = False

    @for_training
    def resume(self) -> None:
        """Derive everything from a state that was loaded."""
        self.crossbar.cells.gain.copy_(self.gain)
        self._conduct()
        self._show_stuck()
        self.crossbar.refresh()
        self._is_stale = False
        self._given = self.crossbar.cells.given

    @for_training
    def wake(self) -> None:
        """Go on from what the cells hold by now, if time has passed since the last pulse.

        Raises:
            ConfigError: they hold something else than pulses and time have left there.
        """
        cells = self.crossbar.cells
        self._require_left()
        if not cells.clock.has_moved:
            return
        aged = cells.effects.aged(cells.held, cells.clock)
        self.state.copy_(self._device.state_of(aged))
        cells.clock.segments = cells.clock.segments * cells.clock.segments.new_tensor(
            [1.0, 0.0, 1.0, 0.0]
        )
        self.resume()

    def _require_left(self) -> None:
        """Refuse to go on from cells that were loaded or written since, or moved elsewhere."""
        cells = self.crossbar.cells
        if cells.given == self._given:
            return
        whose, held, gain = cells.name or "the layer", cells.held.clone(), cells.gain.clone()
        if (held.dtype, held.device) != (self.state.dtype, self.state.device):
            raise ConfigError(
                f"the cells of {whose} became {held.dtype} on {held.device}, and their states in "
                f"the optimiser are {self.state.dtype} on {self.state.device}; expected an InSitu "
                "that is made after the network was moved"
            )
        self.resume()
        if torch.equal(held, cells.held) and torch.equal(gain, cells.gain):
            return
        self._put_back(held, gain)
        raise ConfigError(
            f"the cells of {whose} were loaded or written since the last step, and their states "
            "in the optimiser are others; expected its state of the same time, "
            "optimizer.load_state_dict(...), or a new InSitu, which goes on from these cells"
        )

    def _put_back(self, held: Tensor, gain: Tensor) -> None:
        """Let the cells conduct what they did, whatever their states say."""
        cells = self.crossbar.cells
        cells.keep()
        cells.programmed.copy_(held)
        cells.gain.copy_(gain)
        self.crossbar.refresh()
        self._given = None

    def stands_for(self, matrix: Tensor) -> None:
        """Say that the cells are what they should be: `matrix` is read from them."""
        self.crossbar.cells.origin.copy_(Fingerprint.of(matrix).packed())
