"""Writing in sequence: selection after selection, each with its trains, in one or more passes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.records import Context, Programmed
from memcore.writing.aim import Aim
from memcore.writing.cells import CellParameters, beginning, of_cells, report
from memcore.writing.energy import energy_of
from memcore.writing.metering import PulseMeter, of_cell
from memcore.writing.options import ReadOptions
from memcore.writing.reads import Reads
from memcore.writing.responses import Numbers, Response, as_numbers
from memcore.writing.selecting import Counts, Selection, selections, slots
from memcore.writing.trains import Part, Seen, Train, View, parts_of


@dataclass(frozen=True, eq=False)
class ArrayCells:
    """The cells of arrays that are written in step, numbered in C order within each array.

    Args:
        array: the cells.
        draws: context of this writing.
        first: state in which writing finds the cells, [k, arrays, rows x cols].
        parameters: of the cells.
        reads: of the cells.
        number: int64 [arrays, rows x cols], their numbers in C order over all arrays.
    """

    array: ArrayInfo
    draws: Context
    first: Tensor
    parameters: CellParameters
    reads: Reads
    number: Tensor

    @classmethod
    def of(
        cls, array: ArrayInfo, target: Tensor, ctx: Context, *, reads: ReadOptions
    ) -> "ArrayCells":
        """The cells as `Programmer.program` is handed them, read as the programmer says."""
        shape = (array.arrays, array.rows * array.cols)
        state = beginning(array, target, ctx)
        return cls(
            array=array,
            draws=ctx.child("write", ctx.writes),
            first=state.reshape(len(state), *shape),
            parameters=CellParameters(array, shape),
            reads=Reads.of(array, reads),
            number=torch.arange(target.numel(), device=target.device).view(shape),
        )


@dataclass(frozen=True, eq=False)
class _Books:
    """What was spent on each cell [arrays, rows x cols], counted in place."""

    energy: Tensor
    time: Numbers
    pulses: Counts
    reversals: Counts
    last: Counts  #: direction of the last pulses, 1 or -1, 0 before the first ones

    @classmethod
    def like(cls, energy: Tensor, goal: Numbers) -> "_Books":
        zeros = (0 * goal).astype(int)
        return cls(energy, 0 * goal, zeros.copy(), zeros.copy(), zeros)

    def send(self, count: Counts, response: Response, cells: slice) -> None:
        """Book trains for the selected cells."""
        sent, sign = count > 0, response.sign
        self.reversals[:, cells] += sent & (self.last[:, cells] == -sign)
        self.last[:, cells][sent] = sign
        self.pulses[:, cells] += count
        self.time[:, cells] += count * response.pulse.width


class SequentialLoop:
    """Arrays while they are written in sequence, all in step.

    Args:
        cells: of the arrays.
        view: how cells see trains.
        aim: where they should go.
        target: [arrays, rows, cols] in S.
        order: `"cell"` or `"row"`.
        accuracy: largest error of each part of a train in S.

    Examples:
        >>> from memcore import writing
        >>> from memcore.testing.cases import array, context
        >>> info, target = array(arrays=1, rows=2, cols=2), torch.full((1, 2, 2), 5e-5)
        >>> responses = writing.Trains(most=1000).responses(info.nominal)
        >>> cells = writing.ArrayCells.of(info, target, context(), reads=writing.ReadOptions())
        >>> path = writing.Path.of(info, 0.0, target.device)
        >>> alone = writing.ByShares(path, cells.number, shares=(0.0, 0.0))
        >>> aim = writing.Aim.at(writing.as_numbers(target.view(1, 4)), 1e-6, 1000, responses)
        >>> loop = writing.SequentialLoop(
        ...     cells, alone, aim, target, order="cell", accuracy=1e-7
        ... )
        >>> bool(loop.run(passes=2).verified.all())
        True
    """

    def __init__(
        self,
        cells: ArrayCells,
        view: View,
        aim: Aim,
        target: Tensor,
        *,
        order: str,
        accuracy: float,
    ) -> None:
        self.cells, self.view, self.aim, self.target = cells, view, aim, target
        self.order, self.accuracy = order, accuracy
        self.state = cells.first.clone()
        energy, self.noise = (torch.zeros_like(target).view(cells.number.shape) for _ in "12")
        self.books = _Books.like(energy, aim.goal)
        self.single = CellParameters(cells.array, (target.numel(),))
        self.meter = PulseMeter(self.single, of_cell)
        self.turn = 0

    def run(self, passes: int) -> Programmed:
        """Go over the arrays so many times, and read them once more."""
        array = self.cells.array
        for sweep in range(passes):
            self._begin(sweep)
            for at in selections(array.rows, array.cols, self.view.shares, self.order, self.target):
                self._write(at)
        return self._result(passes)

    def _begin(self, sweep: int) -> None:
        """Draw the noise of the reads of a pass, in standard deviations."""
        cells = self.cells
        if cells.reads.noisy:
            ctx = cells.draws.child("verify", sweep)
            self.noise = cells.reads.draw(self.noise, ctx, cells.number)

    def _write(self, at: Selection) -> None:
        """Read the selected cells of every array and pulse those that are off."""
        device, state = self.cells.parameters.pick(at.touched), _of(self.state, at.touched)
        read = self._read(device.conductance(state)[:, at.own], at.cells)
        for index, response in enumerate(self.aim.responses):
            count = self.aim.wanted(index, read, at.cells)
            if not np.count_nonzero(count):  # any() takes several times as long
                continue
            self.books.send(count, response, at.cells)
            for pulses, some in self._slots(count):
                driven = torch.from_numpy(some).to(self.books.energy)
                train = Train(at=at, driven=driven, response=response, device=device)
                state = self._sent(train, state, pulses)
                if isinstance(at.touched, slice):
                    self.state[..., at.touched] = state
                else:
                    self.state.index_copy_(-1, at.touched, state)

    def _slots(self, count: Counts) -> Iterator[tuple[int, np.ndarray]]:
        """Trains of a common length; cell by cell, arrays that are joined get theirs in turn."""
        parts = self.view.joined if self.order == "cell" else 1
        if parts == 1:
            yield from slots(count)
            return
        turns = np.eye(parts, dtype=np.int64).repeat(len(count) // parts, 1)[..., None]
        for among in turns:
            yield from slots(count * among)

    def _sent(self, train: Train, state: Tensor, pulses: int) -> Tensor:
        """The state of the touched cells after a train."""
        width = pulses * train.response.pulse.width
        for part in parts_of(
            train, state, width, view=self.view, moved=self._moved, accuracy=self.accuracy
        ):
            self._book(train, part)
            state = part.after
        return state

    def _moved(self, train: Train, state: Tensor, seen: Seen, width: float) -> Tensor:
        number = _of(self.cells.number, train.at.touched)
        ctx = of_cells(self.cells.draws, number, "pulse", self.turn)
        after = train.device.step(state, seen.voltage, width, ctx)
        if train.driven.shape[0] == 1:
            return after
        return torch.where(self.view.pulsed(train)[:, None] != 0, after, state)

    def _book(self, train: Train, part: Part) -> None:
        """Account for a part of a train; draws are new for the next one."""
        at, energy, spent = train.at, self.books.energy, self._spent(train, part)
        if isinstance(at.touched, slice):
            energy[:, at.touched] += spent
        else:
            energy.index_add_(1, at.touched, spent)
        if not self.view.steady:  # else lines take nothing
            energy[:, at.cells] += part.width * part.seen.lost
        self.turn += 1

    def _spent(self, train: Train, part: Part) -> Tensor:
        """Energy of the touched cells in J, [arrays, touched]."""
        ends = part.before, part.after
        spent = self.meter.energy(train.device, ends, part.seen.voltage, part.width)
        return self._followed(train, part) if spent is None else spent

    def _followed(self, train: Train, part: Part) -> Tensor:
        """The same by the steps of the device."""
        volts, number = part.seen.voltage, self.cells.number[:, train.at.touched].flatten()
        seen, draws = volts.flatten(), self.cells.draws.child("pulse", self.turn)

        def moved(cells: Tensor, state: Tensor, seconds: float) -> Tensor:
            ctx = of_cells(draws, number[cells])
            return self.single.pick(number[cells]).step(state, seen[cells], seconds, ctx)

        def power(cells: Tensor | slice, state: Tensor) -> Tensor:
            if isinstance(cells, slice):
                laid = state.view(-1, *volts.shape)
                return (volts * train.device.current(laid, volts)).flatten()
            return seen[cells] * self.single.pick(number[cells]).current(state, seen[cells])

        before, after = part.before.flatten(1), part.after.flatten(1)
        return energy_of(before, after, part.width, moved=moved, power=power).view(volts.shape)

    def _read(self, g: Tensor, cells: slice) -> Numbers:
        """What a read of the selected cells finds, in S."""
        reads = self.cells.reads
        if reads.noisy:
            g = g + reads.sigma(g, self.cells.number[:, cells]) * self.noise[:, cells]
        self.books.energy[:, cells] += reads.energy(g)
        self.books.time[:, cells] += reads.time
        return as_numbers(g)

    def _result(self, passes: int) -> Programmed:
        """A last look at all cells."""
        g = self.cells.parameters.pick(slice(None)).conductance(self.state)
        self._begin(passes)
        inside = abs(self._read(g, slice(None)) - self.aim.goal) <= self.aim.within
        books, where = self.books, self.target.device
        return report(
            self.cells.array,
            self.target,
            self.state,
            conductance=g,
            energy=books.energy,
            pulses=torch.from_numpy(books.pulses).to(where),
            reversals=torch.from_numpy(books.reversals).to(where),
            verified=torch.from_numpy(inside).to(where),
            time=torch.from_numpy(books.time).to(self.target),
        )


def _of(x: Tensor, cells: Tensor | slice) -> Tensor:
    """Some cells, which are the last dimension."""
    return x[..., cells] if isinstance(cells, slice) else x.index_select(-1, cells)
