"""Half-select: writing cell after cell, or row after row, while the neighbours see a share."""

import dataclasses
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from memcore import ArrayInfo, ConfigError, Context, Programmed, Programmer, parameter
from memcore_plugins.programmers._cells import (
    CellParameters,
    Cells,
    Reads,
    beginning,
    of_cells,
    read_energy,
)
from memcore_plugins.programmers._checks import require_choice, require_numbers
from memcore_plugins.programmers._lines import Network, Path, Scheme
from memcore_plugins.programmers._selections import Counts, Selection, selections, slots
from memcore_plugins.programmers._trains import Numbers, Response, Trains, as_numbers

#: Share of the voltage on the other cells of the selected lines, and on all the rest; of floating
#: lines, the most that ideal ones can bring about.
SHARES: Final = {"V/2": (1 / 2, 0.0), "V/3": (1 / 3, -1 / 3), "floating": (1 / 2, 0.0)}

#: A device that jumps has no short enough part; this share of a train is taken as it is.
_SHORTEST: Final = 2.0**-16


@dataclass(frozen=True, kw_only=True)
class SequentialHalfSelect(Programmer):
    """Write the cells of each array in sequence; neighbours on driven lines see part of the pulse.

    A selected cell sees V. In a passive array the others on its word or bit line see V/2 and the
    rest nothing (`V/2`), or the others see V/3 and the rest -V/3 (`V/3`), or the lines that are not
    selected are open and sneak currents decide (`floating`). They move by the same `step` as the
    selected one, before or after their own turn. With `1t1r` the transistors of the other cells are
    off and nothing is disturbed.

    The wires of the config, those of `ir_drop` for instance, act while the cells are written too:
    every cell moves by the voltage that is left of it, solved with all cells of the array
    (`memcore.circuit`), or, with `1t1r`, behind the lines that lead to it. As the voltage changes
    while cells move, a train is cut into parts, each so short that it makes no difference of more
    than `accuracy` whether cells see the voltage of its beginning or the mean of both ends. The
    arrays of a layer are written in step, and their trains are cut alike.

    At its turn a cell is read and gets the number of SET or RESET pulses that takes the nominal
    device from there to the target, which is applied as one pulse of their total width. `passes`
    go over the array again; cells inside the tolerance are left alone, so that many passes are a
    write-verify in the array. By rows, all cells of a word line are written together, first those
    to SET, then those to RESET. `verified` is what a read after the last pass says; reads see the
    cell alone. Energy is counted in the cells where it is spent, neighbours included, that of wires
    and transistors in the selected ones; `time` and `pulses` for the selected cell alone.

    Voltages that are not given are those among 0.1 to 8 V that take the nominal device across its
    window and disturb its neighbours least, widths the longest that move no state of it further
    than the tolerance. A device without a threshold cannot be written this
    way: voltages of word and bit lines add up to single cells only where the response is
    non-linear. A rewrite starts from what the cells hold.
    """

    incremental = True
    through_wires = True

    scheme: Scheme = parameter("V/2", "1", "what the other cells see, or floating lines")
    cell: Literal["passive", "1t1r"] = parameter("passive", "1", "bare cells or with a transistor")
    order: Literal["cell", "row"] = parameter("cell", "1", "what is written at a time")
    wires: Literal["array", "none"] = parameter(
        "array", "1", "the wires of the array, as configured for reading, or ideal ones"
    )
    transistor: float = parameter(0.0, "ohm", "of a transistor that is on, cell `1t1r`")
    accuracy: float = parameter(0.002, "1", "of each part of a train behind wires, of the window")
    passes: int = parameter(1, "1", "how often to go over the array")
    tolerance: float = parameter(0.02, "1", "accepted error as a share of the nominal window")
    set_voltage: float | None = parameter(None, "V", "magnitude of SET pulses; None: found")
    reset_voltage: float | None = parameter(None, "V", "magnitude of RESET pulses; None: found")
    set_width: float | None = parameter(None, "s", "of SET pulses; None: found")
    reset_width: float | None = parameter(None, "s", "of RESET pulses; None: found")
    max_pulses: int = parameter(1 << 24, "1", "of one train")
    read_noise: float | None = parameter(
        None, "1", "standard deviation of a read, share of G; None: the noise of a read"
    )
    read_noise_std: float | None = parameter(None, "S", "the same, not depending on G")
    read_voltage: float | None = parameter(
        None, "V", "of a read, for its energy; None: that of the config"
    )
    read_time: float = parameter(1e-7, "s", "of a read, for time and energy")

    def __post_init__(self) -> None:
        require_numbers(self, above=("max_pulses", "accuracy", "passes", "tolerance"))
        require_choice(self, "scheme", tuple(SHARES))
        require_choice(self, "cell", ("passive", "1t1r"))
        require_choice(self, "order", ("cell", "row"))
        require_choice(self, "wires", ("array", "none"))
        if self.cell == "1t1r" and self.scheme == "floating":
            raise ConfigError(
                "scheme='floating' with cell='1t1r'; expected cell='passive': behind a "
                "transistor that is off it does not matter what its lines are connected to"
            )
        if self.cell == "passive" and self.transistor:
            raise ConfigError(
                f"transistor={self.transistor!r} with cell='passive'; expected cell='1t1r'"
            )

    @property
    def shares(self) -> tuple[float, float]:
        """What cells on the selected lines and all others see, in units of V."""
        return SHARES[self.scheme] if self.cell == "passive" else (0.0, 0.0)

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx = dataclasses.replace(ctx, torch_device=target.device)
        if self.wires == "none":
            array = array.with_ideal_lines()
        responses = Trains(
            set_voltage=self.set_voltage,
            reset_voltage=self.reset_voltage,
            set_width=self.set_width,
            reset_width=self.reset_width,
            most=self.max_pulses,
            share=self.shares[0],
            step=self.tolerance,
        ).responses(array.nominal)
        run = _Run(self, responses, array, target, ctx)
        for sweep in range(self.passes):
            run.start(sweep)
            shares = None if run.network else self.shares
            for selection in selections(array.rows, array.cols, shares, self.order, target):
                run.write(selection)
        return run.result()


@dataclass(frozen=True)
class _Train:
    """What a selection is given.

    Args:
        at: the selection.
        driven: which of the selected cells get it, 0 or 1, [arrays, selected].
        response: of the nominal device to the pulses.
        device: the touched cells.
    """

    at: Selection
    driven: Tensor
    response: Response
    device: Cells


@dataclass(frozen=True)
class _Seen:
    """V across the touched cells, and W lost in the lines of each of the selected ones."""

    voltage: Tensor
    lost: Tensor

    def mean(self, other: "_Seen") -> "_Seen":
        return _Seen(0.5 * (self.voltage + other.voltage), 0.5 * (self.lost + other.lost))


class _Run:
    """The arrays while they are written; all arrays go in step, cells are numbered in C order."""

    def __init__(
        self,
        how: SequentialHalfSelect,
        responses: tuple[Response, Response],
        array: ArrayInfo,
        target: Tensor,
        ctx: Context,
    ) -> None:
        self.how, self.responses, self.array, self.target = how, responses, array, target
        self.writing = ctx.child("write", ctx.writes)
        shape = (array.arrays, array.rows * array.cols)
        state = beginning(array, target, ctx)
        self.state = state.reshape(len(state), *shape).clone()
        self.reads = Reads(array, how.read_noise, how.read_noise_std)
        self.parameters = CellParameters(array, shape)
        self.number = torch.arange(target.numel(), device=target.device).view(shape)
        self.energy, self.noise = (torch.zeros_like(target).view(shape) for _ in "12")
        low, high = array.nominal.nominal_range()
        self.within, self.allowed = how.tolerance * (high - low), how.accuracy * (high - low)
        self.goal = as_numbers(target.reshape(shape))
        self.positions = [response.position(self.goal) for response in responses]
        self.time, zeros = 0 * self.goal, (0 * self.goal).astype(int)
        self.pulses, self.reversals, self.last = zeros.copy(), zeros.copy(), zeros
        self.turn = 0
        self.path = Path(array, how.transistor, target)
        self.path.warn_without_headroom([response.pulse for response in responses])
        self.network: Network | None = None
        one_conducts = how.cell == "1t1r" and how.order == "cell"
        joined = self.path.resists or array.layout.parts > 1
        if how.scheme == "floating" or (joined and not one_conducts):
            transistor = how.transistor if how.cell == "1t1r" else None
            self.network = Network(array, how.scheme, transistor)
        #: Which arrays are pulsed at the same time: cell by cell, one of those that are joined.
        parts = array.layout.parts if self.network and how.order == "cell" else 1
        self.among = np.eye(parts, dtype=np.int64).repeat(array.arrays // parts, 1)[..., None]

    def start(self, sweep: int) -> None:
        """Begin a pass: the noise of its reads, in standard deviations."""
        if self.reads.noisy:
            ctx = self.writing.child("verify", sweep)
            self.noise = self.reads.draw(self.noise, ctx, self.number)

    def write(self, at: Selection) -> None:
        """Read the selected cells of every array and pulse those that are off."""
        device, state = self.parameters.pick(at.touched), self.state[..., at.touched]
        read = self._read(device.conductance(state)[:, at.own], at.cells)
        for index, response in enumerate(self.responses):
            count = self._wanted(index, read, at.cells)
            for pulses, some in (slot for among in self.among for slot in slots(count * among)):
                train = _Train(
                    at=at,
                    driven=torch.from_numpy(some).to(self.energy),
                    response=response,
                    device=device,
                )
                width = pulses * response.pulse.width
                state = self.state[..., at.touched] = self._apply(train, state, width)

    def _apply(self, train: "_Train", state: Tensor, width: float) -> Tensor:
        """The state of the touched cells after a train, as one pulse or in parts."""
        seen, left, part = self._seen(train, state), width, width
        if self.network is None and not self.path.resists:
            return self._part(train, state, self._moved(train, state, seen, width), seen, width)
        while left > 0:
            first = self._moved(train, state, seen, part)
            both = seen.mean(self._seen(train, first))
            after = self._moved(train, state, both, part)
            change = train.device.conductance(after) - train.device.conductance(first)
            if float(change.abs().max()) > self.allowed and part > _SHORTEST * width:
                part *= 0.5
                continue
            state = self._part(train, state, after, both, part)
            left -= part
            if left > 0:
                seen, part = self._seen(train, state), min(2 * part, left)
        return state

    def _moved(self, train: "_Train", state: Tensor, seen: "_Seen", width: float) -> Tensor:
        number = self.number[:, train.at.touched]
        ctx = of_cells(self.writing, number, "pulse", self.turn)
        after = train.device.step(state, seen.voltage, width, ctx)
        if len(train.driven) == 1:
            return after
        count = train.driven.sum(1)
        busy = count if self.network is None else self.network.together(count)
        return torch.where(busy[:, None] != 0, after, state)

    def _part(
        self, train: "_Train", state: Tensor, after: Tensor, seen: "_Seen", width: float
    ) -> Tensor:
        """Account for a part of a train."""
        device, v, at = train.device, seen.voltage, train.at
        spent = 0.5 * width * v * (device.current(state, v) + device.current(after, v))
        spent[:, at.own] *= self._evenness(train, state, after, width)
        self.energy[:, at.touched] += spent
        self.energy[:, at.cells] += width * seen.lost
        self.turn += 1
        return after

    def _evenness(self, train: "_Train", state: Tensor, after: Tensor, width: float) -> Tensor:
        """Of the currents of selected cells: most of a train may find them at its end already."""
        ends = (train.device.conductance(x)[:, train.at.own] for x in (state, after))
        start, end = map(as_numbers, ends)
        count = width / train.response.pulse.width
        even = torch.from_numpy(train.response.evenness(start, end, count)).to(after)
        return torch.where(train.driven != 0, even, 1)

    def _seen(self, train: "_Train", state: Tensor) -> "_Seen":
        at, driven = train.at, train.driven
        if self.network is not None:
            found = self.network.seen(at.cells.start, driven, train.response.pulse.voltage, state)
            share = driven / driven.sum(1, keepdim=True).clamp(min=1)
            return _Seen(found.voltage, share * found.lost[:, None])
        applied = train.response.pulse.voltage * at.drive(driven)
        if not self.path.resists:
            return _Seen(applied, torch.zeros_like(driven))
        across = self.path.seen(applied, train.device, state, self.number[:, at.touched])
        return _Seen(across, (applied - across) * train.device.current(state, across))

    def _read(self, g: Tensor, cells: slice) -> Numbers:
        how = self.how
        if self.reads.noisy:
            g = g + self.reads.sigma(g, self.number[:, cells]) * self.noise[:, cells]
        self.energy[:, cells] += read_energy(how, self.array, g)
        self.time[:, cells] += how.read_time
        return as_numbers(g)

    def _wanted(self, index: int, read: Numbers, cells: slice) -> Counts:
        """How many pulses of one direction the selected cells [arrays, n] get, and its account."""
        response, missing = self.responses[index], self.goal[:, cells] - read
        off = (missing if response.up else -missing) > self.within
        if not off.any():
            return off.astype(np.int64)
        needed = response.needed(read, self.positions[index][:, cells], self.goal[:, cells])
        count: Counts = (off * needed.clip(0, self.how.max_pulses)).astype(np.int64)
        sent, sign = count > 0, 1 if response.up else -1
        self.reversals[:, cells] += sent & (self.last[:, cells] == -sign)
        self.last[:, cells][sent] = sign
        self.pulses[:, cells] += count
        self.time[:, cells] += count * response.pulse.width
        return count

    def result(self) -> Programmed:
        """A last look at all cells, in the shape of the arrays."""
        array, like = self.array, self.target
        g = self.parameters.pick(slice(None)).conductance(self.state)
        self.start(self.how.passes)
        read = self._read(g, slice(None))
        time, pulses, reversals, verified = (
            torch.from_numpy(x).to(like.device).view(array.shape)
            for x in (self.time, self.pulses, self.reversals, abs(read - self.goal) <= self.within)
        )
        return Programmed(
            conductance=g.view(array.shape),
            pulses=pulses,
            energy=self.energy.view(array.shape),
            verified=verified,
            time=time.to(like),
            reversals=reversals,
            error=g.view(array.shape) - like,
            state=self.state.view(-1, *array.shape),
        )
