"""Open-loop programming: a computed number of identical pulses, and no look at the result."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Programmed, parameter
from memcore.writing import (
    Counts,
    LineOptions,
    Numbers,
    PulseOptions,
    ReadOptions,
    Response,
    SingleCells,
    Trains,
    as_numbers,
    report,
)

#: A nominal cell that ends this near to its target reaches it, as a share of the nominal window.
_NEAR = 0.02


@dataclass(frozen=True, kw_only=True)
class OpenLoop(PulseOptions, LineOptions, ReadOptions):
    """Send each cell as many SET or RESET pulses as take the nominal device to the target.

    The response of the nominal device to identical pulses is simulated once and inverted; no cell
    is looked at afterwards. Half a step of the response stays as an error, and so does everything
    in which a cell differs from the nominal one. `verified` says that the nominal device ends
    within 2 % of its window of the target.

    The device knows the sign of its voltages. Voltages that are not given are the first of 1, 1.5,
    2, 3, 0.5, 5, 0.2, 8, 0.1 V that take the nominal device across its window, and widths divide
    this way into `max_pulses`. Before a rewrite each cell is read once, with the noise of a read,
    and its pulses take the nominal device from there to the target. Otherwise cells are fresh.

    The wires of the configuration and a `transistor` are in series with the cell that is written.
    It moves by the voltage that is left at the beginning of each pulse, so that far cells end short
    of their targets.
    """

    incremental = True
    lines = "path"

    max_pulses: int = parameter(256, "1", "Number of pulses in the longest train", above=0)

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx = dataclasses.replace(ctx, torch_device=target.device)
        rise, fall = responses = Trains(
            set=self.wanted(up=True),
            reset=self.wanted(up=False),
            most=self.max_pulses,
            fresh=array.present is None,
        ).responses(array.nominal)
        cells = SingleCells.of(array, target, ctx, lines=self, reads=self)
        cells.path.warn_without_headroom([train.pulse for train in responses])
        spent = _Spent(*(torch.zeros_like(target).view(-1) for _ in "12"))
        start = rise.conductance[:1] if array.present is None else _read(cells, spent)
        goal = as_numbers(target.reshape(-1))
        up = goal > start
        count = np.where(up, _needed(rise, start, goal), _needed(fall, start, goal))
        state = cells.first.clone()
        pulses, rising = (torch.from_numpy(x).to(target.device) for x in (count, up))
        for train, mask in ((rise, rising), (fall, ~rising)):
            _send(cells, train, pulses, mask, state, spent)
        ends = np.where(up, rise.after(start, count), fall.after(start, count))
        low, high = array.nominal.nominal_range()
        reached = abs(ends - goal) <= _NEAR * (high - low)
        return report(
            array,
            target,
            state,
            conductance=cells.all.conductance(state),
            pulses=pulses,
            energy=spent.energy,
            time=spent.time,
            verified=torch.from_numpy(reached).to(target.device),
        )


@dataclass(frozen=True)
class _Spent:
    """Energy in J and time in s of each cell, counted in place."""

    energy: Tensor
    time: Tensor


def _needed(train: Response, start: Numbers, goal: Numbers) -> Counts:
    return train.needed(start, train.position(goal), goal).astype(np.int64)


def _read(cells: SingleCells, spent: _Spent) -> Numbers:
    """What a read of all cells finds, in S."""
    reading = cells.all.read(cells.first, "read")
    spent.energy.add_(reading.energy)
    spent.time.add_(cells.reads.time)
    return as_numbers(reading.value)


def _send(
    cells: SingleCells, train: Response, count: Tensor, mask: Tensor, state: Tensor, spent: _Spent
) -> None:
    """Pulse the masked cells; sorted by their count, those that go on are the first ones."""
    masked = mask.nonzero().squeeze(1)
    if not masked.numel():
        return
    order = masked[count[masked].argsort(descending=True, stable=True)]
    going = torch.bincount(count[order]).flip(0).cumsum(0).flip(0).tolist()
    moving, energy = state[:, order], torch.zeros_like(spent.energy[order])
    direction = "set" if train.up else "reset"
    some = cells.chosen(order)
    for k, still in enumerate(going[1:]):
        if still < len(some.number):
            some = cells.chosen(order[:still])
        pulsed = some.pulse(moving[:, :still], train.pulse.voltage, train.pulse.width, direction, k)
        energy[:still] += pulsed.energy
        moving[:, :still] = pulsed.state
    state[:, order] = moving
    spent.energy[order] += energy
    spent.time[order] += count[order].to(spent.time) * train.pulse.width
