"""Open-loop programming: a computed number of identical pulses, and no look at the result."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Memristor, Programmed, Programmer, parameter
from memcore_plugins.programmers._cells import (
    CellParameters,
    Reads,
    beginning,
    of_cells,
    read_energy,
)
from memcore_plugins.programmers._checks import require_choice, require_numbers
from memcore_plugins.programmers._lines import Path
from memcore_plugins.programmers._trains import Numbers, Response, Trains, as_numbers

#: A nominal cell that ends this near to its target reaches it, as a share of the nominal window.
_NEAR = 0.02


@dataclass(frozen=True, kw_only=True)
class OpenLoop(Programmer):
    """Send each cell as many SET or RESET pulses as take the nominal device to the target.

    The response of the nominal device to identical pulses is simulated once and inverted; no cell
    is looked at afterwards. What makes a cell differ from the nominal one, and half a step of the
    response, stays as an error. `verified` says that the nominal device ends within 2 % of its
    window of the target.

    The polarity is the device's. Voltages that are not given are the first of 1, 1.5, 2, 3, 0.5,
    5, 0.2, 8, 0.1 V that take the nominal device across its window, widths divide this way into
    `max_pulses`. Before a rewrite each cell is read once, with the noise of a read; its pulses take
    the nominal device from there to the target. Otherwise cells are fresh.

    The wires of the config and a `transistor` are in series with the cell that is written, which
    moves by what is left of the voltage at the beginning of each pulse: far cells end short of
    their targets.
    """

    incremental = True
    through_wires = True

    set_voltage: float | None = parameter(None, "V", "magnitude of SET pulses; None: found")
    reset_voltage: float | None = parameter(None, "V", "magnitude of RESET pulses; None: found")
    set_width: float | None = parameter(None, "s", "of SET pulses; None: found")
    reset_width: float | None = parameter(None, "s", "of RESET pulses; None: found")
    max_pulses: int = parameter(256, "1", "the longest train")
    wires: Literal["array", "none"] = parameter(
        "array", "1", "the wires of the array, as configured for reading, or ideal ones"
    )
    transistor: float = parameter(0.0, "ohm", "of the access transistor")
    read_voltage: float | None = parameter(
        None, "V", "of the read before a rewrite, for its energy; None: that of the config"
    )
    read_time: float = parameter(1e-7, "s", "of the read before a rewrite, for time and energy")

    def __post_init__(self) -> None:
        require_numbers(self, above=("max_pulses",))
        require_choice(self, "wires", ("array", "none"))

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx = dataclasses.replace(ctx, torch_device=target.device)
        if self.wires == "none":
            array = array.with_ideal_lines()
        rise, fall = self._responses(array.nominal, fresh=array.present is None)
        goal = as_numbers(target.reshape(-1))
        run = _Trains(self, array, target, ctx)
        run.path.warn_without_headroom([rise.pulse, fall.pulse])
        start = rise.conductance[:1] if array.present is None else as_numbers(run.read())
        up = goal > start
        count = np.where(up, _needed(rise, start, goal), _needed(fall, start, goal))
        for train, mask in ((rise, up), (fall, ~up)):
            run.apply(train, *(torch.from_numpy(x).to(target.device) for x in (count, mask)))
        ends = np.where(up, rise.after(start, count), fall.after(start, count))
        low, high = array.nominal.nominal_range()
        return run.result(count, abs(ends - goal) <= _NEAR * (high - low))

    def _responses(self, nominal: Memristor, *, fresh: bool) -> tuple[Response, Response]:
        return Trains(
            set_voltage=self.set_voltage,
            reset_voltage=self.reset_voltage,
            set_width=self.set_width,
            reset_width=self.reset_width,
            most=self.max_pulses,
            fresh=fresh,
        ).responses(nominal)


def _needed(train: Response, start: Numbers, goal: Numbers) -> npt.NDArray[np.int64]:
    return train.needed(start, train.position(goal), goal).astype(np.int64)


class _Trains:
    """All cells of the arrays under trains of their own length."""

    def __init__(self, how: OpenLoop, array: ArrayInfo, target: Tensor, ctx: Context) -> None:
        self.how, self.array, self.target = how, array, target
        self.writing = ctx.child("write", ctx.writes)
        state = beginning(array, target, ctx)
        self.state = state.reshape(len(state), target.numel()).clone()
        self.parameters = CellParameters(array, (target.numel(),))
        self.path = Path(array, how.transistor, target)
        self.energy, self.time = (torch.zeros_like(target).view(-1) for _ in "12")

    def read(self) -> Tensor:
        """What a read of all cells finds, S."""
        how, reads = self.how, Reads(self.array, None, None)
        g = self.parameters.pick(slice(None)).conductance(self.state)
        self.energy += read_energy(how, self.array, g)
        self.time += how.read_time
        cells = torch.arange(g.numel(), device=g.device)
        return reads.taken(g, reads.sigma(g, cells), self.writing.child("read"), cells)

    def apply(self, train: Response, count: Tensor, mask: Tensor) -> None:
        """Pulse the masked cells; sorted by their count, those that go on are the first ones."""
        cells = mask.nonzero().squeeze(1)
        if not cells.numel():
            return
        order = cells[count[cells].argsort(descending=True, stable=True)]
        going = torch.bincount(count[order]).flip(0).cumsum(0).flip(0).tolist()
        state, energy = self.state[:, order], torch.zeros_like(self.energy[order])
        v, width = train.pulse.voltage, train.pulse.width
        direction = "set" if train.up else "reset"
        for k, still in enumerate(going[1:]):
            device, some = self.parameters.pick(order[:still]), state[:, :still]
            voltage = self.path.seen(some.new_full((still,), v), device, some, order[:still])
            ctx = of_cells(self.writing, order[:still], direction, k)
            after = device.step(some, voltage, width, ctx)
            current = device.current(some, voltage) + device.current(after, voltage)
            energy[:still] += 0.5 * width * v * current
            state[:, :still] = after
        self.state[:, order] = state
        self.energy[order] += energy
        self.time[order] += count[order].to(self.time) * width

    def result(self, count: npt.NDArray[np.int64], planned: npt.NDArray[np.bool_]) -> Programmed:
        """Everything in the shape of the arrays."""
        shape = self.array.shape
        pulses, reached = (
            torch.from_numpy(x).to(self.target.device).view(shape) for x in (count, planned)
        )
        g = self.parameters.pick(slice(None)).conductance(self.state).view(shape)
        return Programmed(
            conductance=g,
            pulses=pulses,
            energy=self.energy.view(shape),
            verified=reached,
            time=self.time.view(shape),
            error=g - self.target,
            state=self.state.view(-1, *shape),
        )
