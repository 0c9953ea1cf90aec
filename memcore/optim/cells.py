"""`PulsedCells`: the cells of one matrix, moved by pulses that a rule asks for."""

import math
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.mapper import Reference
from memcore.contracts.records import Context
from memcore.contracts.update import Pair
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import Effects
from memcore.crossbar.fingerprint import Fingerprint
from memcore.nn.walk import named_matrices
from memcore.ops.surrogate import for_training
from memcore.optim.granularity import change_of, course_of
from memcore.optim.placement import pair_of, place, renewal, require_pulses_alone

#: Pulses that are tried to reset a cell, in even ways through its window, and at most.
_WAYS: Final = 8
_LONGEST: Final = 100_000


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
        cells = crossbar.cells
        array = cells.array()
        #: As sampled, cell by cell, and what all cells have in common.
        self._device, self._nominal = array.device, cells.config.device
        stuck = Effects.stuck(cells.config.effects, array, cells.context())
        self.register_buffer("stuck", stuck, persistent=False)
        self._change = change_of(self._nominal, cells.context().child("granularity"), self.pair)
        place(crossbar, self.pair, headroom)
        self.register_buffer("state", self._device.state_of(cells.programmed))
        self.register_buffer("gain", cells.gain.clone())
        for name, dtype in (("calls", torch.int64), ("pulses", torch.int64)):
            self.register_buffer(name, torch.zeros((), dtype=dtype, device=cells.writes.device))
        for name in ("energy", "time"):
            zero = torch.zeros((), dtype=torch.float64, device=cells.writes.device)
            self.register_buffer(name, zero)
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
    def granularity(self) -> float:
        """Mean change of a weight by one pulse in the middle of its window, in weights."""
        pulsed = 2 if self.pair == "push_pull" else 1
        return float(self.crossbar.gain.mean()) * self._change * pulsed

    # Pulses --------------------------------------------------------------------------------------

    @for_training
    def pulse(self, up: Tensor, down: Tensor, slots: int | None = None) -> None:
        """As `PulsedWeights.pulse`."""
        if self._net:
            net = up - down
            up, down = net.clamp(min=0), (-net).clamp(min=0)
        ctx = self.crossbar.cells.context().child("in place", int(self.calls))
        self.calls.add_(1)
        self._spend_time(up, down, slots)
        has_up, has_down = bool(up.sum() > 0), bool(down.sum() > 0)  # any() is slower on floats
        if not (has_up or has_down):
            return
        if self.pair == "one_sided":
            self._move(self._laid([up, down]), ctx)
        elif not (has_up and has_down) or not bool(torch.dot(up.flatten(), down.flatten()) > 0):
            self._push(up - down, ctx)
        else:
            first = ctx.random.bernoulli(0.5, up.shape, device=up.device).bool()
            begin = torch.where(first, up, -down)
            self._push(begin, ctx.child("first"))
            self._push(up - down - begin, ctx.child("second"))
        self._expose()

    def _push(self, count: Tensor, ctx: Context) -> None:
        """Signed pulses [groups, outputs, inputs] on weights."""
        signs = [p.sign for p in self.crossbar.cells.parts if not isinstance(p, Reference)]
        self._move(self._laid([count if sign > 0 else -count for sign in signs]), ctx)

    def _laid(self, counts: list[Tensor]) -> Tensor:
        """Pulses of the cells [arrays, rows, cols] of those of each part that has some."""
        tiling, dtype = self.crossbar.tiling, self.state.dtype
        by_row = [each.transpose(1, 2) for each in counts]
        if tiling.tile is None and tiling.order is None:  # one array for each part and group
            cells = self.state.new_zeros(self.state.shape[1:])
            for part, place in zip(by_row, cells.chunk(len(by_row)), strict=True):
                place[..., : tiling.cols] = part
            return cells
        nothing = by_row[0].new_zeros(tiling.groups, tiling.rows, 1, dtype=dtype)
        own = (each.to(dtype) for each in by_row)
        parts = self.crossbar.cells.parts
        return tiling.split(
            [nothing if isinstance(part, Reference) else next(own) for part in parts], 0.0
        )

    def _move(self, pulses: Tensor, ctx: Context) -> None:
        """Signed pulses [arrays, rows, cols] on cells."""
        self._spend_energy(pulses)
        self.state.copy_(self._device.pulses(self.state, pulses, ctx))

    def _expose(self) -> None:
        """Let the arrays hold what the state of the cells conducts."""
        self.crossbar.programmed.copy_(self._conductance())
        self._is_stale = True

    def _conductance(self) -> Tensor:
        g = self._device.conductance(self.state).to(self.crossbar.programmed.dtype)
        if self.stuck is None:
            return g
        return torch.where(self.stuck.isnan(), g, self.stuck.to(g.dtype))

    # Costs ---------------------------------------------------------------------------------------

    def _spend_time(self, up: Tensor, down: Tensor, slots: int | None) -> None:
        if slots is None:
            slots = int(torch.maximum(up.max(), down.max())) if up.numel() else 0
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

    def _spend_energy(self, pulses: Tensor) -> None:
        """That of a resistor at the conductance that the arrays were last known to have."""
        net, g = pulses.flatten(), self.crossbar.programmed.flatten()
        sets = net.clamp(min=0)
        self.pulses.add_((2 * sets.sum() - net.sum()).round().long())
        of_sets = torch.dot(sets, g)
        of_resets = of_sets - torch.dot(net, g)
        ends = (self._device.set_pulse, self._device.reset_pulse)
        for spent, end in zip((of_sets, of_resets), ends, strict=True):
            self.energy.add_(spent * (math.nan if end is None else end[0] ** 2 * end[1]))

    @property
    def wear(self) -> float:
        """Write cycles of a mean cell: its pulses as ways over the whole window and back."""
        lowest, highest = self._nominal.nominal_range()
        ways = float(self.pulses) * self._change / (highest - lowest)
        return 0.5 * ways / max(1, self.state[0].numel())

    # Renewing ------------------------------------------------------------------------------------

    @for_training
    def renew(self, share: float) -> None:
        """As `PulsedWeights.renew`; cells that are pulsed both ways need none."""
        if self.pair != "one_sided":
            return
        cells = self.crossbar.cells
        lowest, highest = self._nominal.nominal_range()
        g = cells.effects.aged(cells.programmed, cells.clock)
        pair = (g.view(2, -1, *g.shape[1:]) - lowest) / (highest - lowest)
        sent = renewal(pair, share, *(course.to(pair) for course in self._courses))
        if sent is None:
            return
        ctx = cells.context().child("renewed", int(self.calls))
        self.calls.add_(1)
        durations = reversed(self._durations())
        for stage, pulses, duration in zip(("reset", "set"), sent, durations, strict=True):
            self.time.add_(float(pulses.abs().max()) * duration)
            self._move(pulses.reshape(g.shape).to(g.dtype), ctx.child(stage))
            self._expose()

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
        """As `PulsedWeights.read`."""
        self.settle()
        y: Tensor = self.crossbar(x.to(self.state.dtype))
        return y

    @for_training
    def settle(self) -> None:
        """Derive what a read uses, if pulses have moved cells since it was derived."""
        if self._is_stale:
            self.crossbar.refresh()
            self._is_stale = False

    @for_training
    def resume(self) -> None:
        """Derive everything from a state that was loaded."""
        self.crossbar.cells.gain.copy_(self.gain)
        self.crossbar.programmed.copy_(self._conductance())
        self.crossbar.refresh()
        self._is_stale = False

    @for_training
    def wake(self) -> None:
        """Go on from what the cells hold by now, if time has passed since the last pulse."""
        cells = self.crossbar.cells
        seconds, reads = (float(cells.clock.elapsed(count)) for count in ("seconds", "reads"))
        if not seconds and not reads:
            return
        aged = cells.effects.aged(cells.programmed, cells.clock)
        self.state.copy_(self._device.state_of(aged))
        cells.clock.segments = cells.clock.segments * cells.clock.segments.new_tensor(
            [1.0, 0.0, 1.0, 0.0]
        )
        self.resume()

    def stands_for(self, matrix: Tensor) -> None:
        """Say that the cells are what they should be: `matrix` is read from them."""
        self.crossbar.cells.origin.copy_(Fingerprint.of(matrix).packed())


def granularity(model: nn.Module) -> dict[str, float]:
    """Mean change of a weight by one pulse, for each matrix of a network by its name.

    Args:
        model: a converted network.

    Raises:
        ConfigError: a device has no pulses.
        ConversionError: there is no memristive layer.
    """
    result = {}
    for name, (_, matrix) in named_matrices(model).items():
        crossbar = matrix.crossbar
        pair = pair_of(crossbar, None)
        device, ctx = crossbar.cells.config.device, crossbar.cells.context()
        change = change_of(device, ctx.child("granularity"), pair)
        pulsed = 2 if pair == "push_pull" else 1
        result[name] = float(crossbar.gain.mean()) * change * pulsed
    return result
