"""`PulsedCells`: the cells of one matrix, moved by pulses that a rule asks for."""

from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.update import Pair
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import Effects
from memcore.crossbar.fingerprint import Fingerprint
from memcore.errors import NoEffectWarning, warn
from memcore.ops.coincidences import coincidences
from memcore.ops.pulse_order import Sums
from memcore.ops.surrogate import for_training
from memcore.optim.calls import PulseCall
from memcore.optim.columns import largest_inputs, shows_columns
from memcore.optim.granularity import change_of, courses_of, lost_share
from memcore.optim.left import Left, require_beside
from memcore.optim.mover import Mover
from memcore.optim.placement import pair_of, place, renewal, require_pulses_alone
from memcore.optim.places import Places
from memcore.optim.spent import durations, energies_of, of_resistors, time_of
from memcore.optim.trains import Trains
from memcore.optim.units import units_of
from memcore.random import Stream

#: Number of the first look at cells that may be renewed, beyond those of all reads.
_LOOKS: Final = 1 << 60
#: Share of pulses that may be lost by rounding without a word.
_FEW: Final = 0.05


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
        self._mover = Mover(crossbar, self, array.device, Places(crossbar, self.pair))
        stuck = Effects.stuck(cells.config.effects, array, cells.context())
        self.register_buffer("stuck", stuck, persistent=False)
        self._change = change_of(self._nominal, cells.context().child("granularity"), self.pair)
        self._window = self._nominal.nominal_range()
        self._look_at_precision()
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

    def _look_at_precision(self) -> None:
        """Say that pulses are lost where the states of cells are too coarse for them."""
        cells = self.crossbar.cells
        dtype, ctx = cells.programmed.dtype, cells.context().child("precision")
        lost = lost_share(self._nominal, ctx, dtype)
        if lost > _FEW:
            warn(
                f"{100 * lost:.2g} % of single pulses on cells of {cells.name or 'the layer'} "
                f"change nothing in {str(dtype).removeprefix('torch.')}, which rounds them away; "
                "expected a network in float32, model.float() before the conversion, or a device "
                "with larger steps",
                NoEffectWarning,
            )

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
            self._note(self._mover.push(up, down, asked))

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
        moved = None if self._net else self._mover.push_trains(sent, asked)
        if moved is None:
            moved = self._mover.push(*self._as_cells(*coincidences(*sent)), asked)
        self._note(moved)

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
        self.time.add_(time_of(self._device, slots, one_sided=self.pair == "one_sided"))
        return PulseCall(most, call, self.crossbar.cells.context().child("in place"))

    def _note(self, moved: list[Sums]) -> None:
        """Count the pulses of cells that were moved, and let reads know that they were."""
        for sums in moved:
            self.pulses.add_(sums.pulses)
            for energy in energies_of(self._device, sums):
                self.energy.add_(energy)
        self._mover.show_stuck()
        self._is_stale = True

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
        for pulses, duration in zip(sent, reversed(durations(self._device)), strict=True):
            count = pulses.reshape(g.shape).to(g.dtype).contiguous()
            ctx = cells.context().child("in place")
            asked = PulseCall(float(count.abs().max()), int(self.calls), ctx)
            self.calls.add_(1)
            self.time.add_(asked.most * duration)
            moved = of_resistors(count, cells.held)
            self._mover.advance(count, None, asked)
            self._note([moved])

    def _seen(self) -> Tensor:
        """What a look at each cell finds now, [arrays, rows, cols] S; no read has its noise."""
        (effects,) = self.crossbar.cells.effects.each  # lanes of their own are refused
        return effects.seen(self.crossbar.conductance, _LOOKS + int(self.calls))

    @cached_property
    def _courses(self) -> tuple[Tensor, Tensor]:
        """How pulses towards SET and towards RESET lead through the window of a nominal cell."""
        ctx = self.crossbar.cells.context().child("course")
        return courses_of(self._nominal, ctx, self._change)

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
        if shows_columns(self.crossbar):
            return self.stored(inputs=columns)
        most = largest_inputs(self.crossbar, self.precision)
        drive = most.diag()[columns].unsqueeze(1).expand(-1, self.shape[0], -1)
        return self.read(drive).permute(1, 2, 0) / most[columns]

    @for_training
    def stored(self, outputs: slice = slice(None), inputs: slice = slice(None)) -> Tensor:
        """What cells stand for, without converters and noise of reads, [groups, outputs, inputs].

        Of all outputs, nothing but the cells of these inputs is looked at, where that can be.
        """
        derived = self._mover.deriving() if outputs == slice(None) else None
        if derived is not None:
            begin, end, _ = inputs.indices(self.shape[2])
            v = self.state.new_empty(*self.shape[:2], end - begin)
            if derived.fold_rows(slice(begin, end), v):
                return self.in_units(v.mT).mT.to(self.precision)
        self.settle()
        held = self.in_units(self.crossbar.folded[:, :, inputs].mT).mT[:, outputs]
        return held.to(self.precision, copy=True)

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
        self._mover.conduct()
        self._mover.show_stuck()
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
        require_beside(cells, self.state)
        left = Left.of(cells)
        self.resume()
        if not left.is_in(cells):
            left.put_back(self.crossbar)
            self._given = None
            left.refuse(cells)

    def stands_for(self, matrix: Tensor) -> None:
        """Say that the cells are what they should be: `matrix` is read from them."""
        self.crossbar.cells.origin.copy_(Fingerprint.of(matrix).packed())
