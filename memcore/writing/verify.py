"""Closed loops: read, pulse and read again, until a cell is near enough to its target."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from memcore.contracts.records import Programmed
from memcore.writing.ramps import Ramps
from memcore.writing.single import ChosenCells, Reading, SingleCells
from memcore.writing.working import Course, Goal, Memory, Results, Working, take

#: Cells that no longer move go less than this share of the tolerance.
_RESTING: Final = 0.1
#: Largest apparent change that read noise alone explains, in standard deviations of a read; the
#: difference of two reads has sqrt(2) times that of one.
_EXPLAINED: Final = 4.0 * 2**0.5
#: Finished cells are dropped from the working set when they make up this share of it.
_DROP: Final = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class VerifyLoop:
    """Write-verify of the cells of an array.

    Args:
        cells: of the array.
        ramps: pulses of both directions.
        target: in S, [cells].
        within: half widths of the stop windows in S, [cells].
        max_pulses: most pulses of each cell.
        max_reversals: most reversals of each cell.
        growth: ratio of the effects of subsequent pulses.
        patience: number of pulses at the end of a ramp after which a cell is given up if they have
            had no effect.
        centred: whether cells inside the stop window go on while that brings them nearer.
        parts: number of parts of a pulse, where lines take part of its voltage.

    Examples:
        >>> from memcore.testing.cases import array, context
        >>> from memcore.writing import Pulse, Ramps, SingleCells, VerifyLoop
        >>> info, how = array(arrays=1, rows=2, cols=2), memcore.programmers["open_loop"]()
        >>> target = torch.full((1, 2, 2), 5e-5)
        >>> loop = VerifyLoop(
        ...     cells=SingleCells.of(info, target, context(), lines=how, reads=how),
        ...     ramps=Ramps([Pulse(-1.0, 1e-8)], [Pulse(1.0, 1e-8)]),
        ...     target=target.flatten(),
        ...     within=torch.full((4,), 1e-6),
        ...     max_pulses=100,
        ... )
        >>> bool((loop.run().error.abs() <= 1e-6).all())
        True
    """

    cells: SingleCells
    ramps: Ramps
    target: Tensor
    within: Tensor
    max_pulses: int
    max_reversals: int = 30
    growth: float = 1.0
    patience: int = 5
    centred: bool = True
    parts: int = 1

    def run(self) -> Programmed:
        """Write all cells and report them in the shape of the arrays."""
        now, chosen = Working.begin(self.cells, Goal(self.target, self.within)), self.cells.all
        sender, results = _Sender(self.ramps, self.parts, self.target), Results.of(now)
        for pulse in range(self.max_pulses + 1):
            reading = chosen.read(now.state, "verify", pulse)
            now, done, inside = self._judged(now, reading, pulse)
            now = results.noted(now, done, inside, reading.true, pulse)
            finished = int(now.done.sum())
            if finished == now.done.numel():
                break
            if finished > _DROP * now.done.numel():
                now = take(now, (~now.done).nonzero().squeeze(1))
                chosen = self.cells.chosen(now.number)
            now = sender.sent(now, chosen, pulse)
        array = self.cells.array
        return results.report(array, self.target.view(array.shape))

    def _judged(self, now: Working, reading: Reading, pulse: int) -> tuple[Working, Tensor, Tensor]:
        """After a read: the cells with their next pulse; who is done; who is in its window."""
        read, course = reading.value, now.course
        missing = now.goal.target - read
        up, inside = missing > 0, missing.abs() <= now.goal.within
        crossed = up != course.up if pulse else torch.ones_like(up)
        memory, stuck = now.memory, torch.zeros_like(up)
        reversals, nearer = course.reversals, stuck
        if pulse:
            nearer = self._nears(now, read, missing, crossed) if self.centred else nearer
            memory, stuck = self._rests(now, reading, crossed)
            reversals = reversals + (crossed & ~inside)
        else:
            memory = dataclasses.replace(memory, anchor=read)
        following = self.ramps.following(course.level, up)
        level = torch.where(crossed, self.ramps.first(up), following)
        spent = reversals > self.max_reversals if pulse < self.max_pulses else torch.ones_like(up)
        done = (inside & ~nearer) | stuck | spent
        after = dataclasses.replace(
            now,
            course=Course(up, level, reversals),
            memory=dataclasses.replace(memory, read=read),
            seconds=now.seconds + self.cells.reads.time,
            energy=now.energy + reading.energy,
        )
        return after, done if pulse else inside, inside

    def _nears(self, now: Working, read: Tensor, missing: Tensor, crossed: Tensor) -> Tensor:
        """Whether the next pulse, like the last one but grown, should end nearer to the target."""
        sign = torch.where(now.course.up, 1.0, -1.0).to(read)
        step = sign * (read - now.memory.read) * self.growth
        nearer: Tensor = ~crossed & (step > 0) & (step < 2 * missing.abs())
        return nearer

    def _rests(self, now: Working, reading: Reading, crossed: Tensor) -> tuple[Memory, Tensor]:
        """Whether the pulses at the end of the ramp have no effect."""
        memory, at_end = now.memory, self.ramps.at_end(now.course.level) & ~crossed
        waited = torch.where(at_end, memory.waited + 1, 0)
        anchor = torch.where(waited > 1, memory.anchor, memory.read)
        noise = _EXPLAINED * reading.sigma
        rests = (reading.value - anchor).abs() <= _RESTING * now.goal.within + noise
        judged = waited >= self.patience
        after = Memory(memory.read, anchor, torch.where(judged, 0, waited))
        return after, judged & rests


class _Sender:
    """Sends every cell its pulse; those of one width go together."""

    def __init__(self, ramps: Ramps, parts: int, like: Tensor) -> None:
        self.widths, self.parts = ramps.widths, parts
        self.voltages, self.kinds = ramps.voltages(like), ramps.kinds(like.device)
        self.seconds = like.new_tensor([*self.widths, 0.0])  # none for the cells that are done

    def sent(self, now: Working, chosen: ChosenCells, pulse: int) -> Working:
        """The cells after a pulse."""
        kinds = torch.where(now.done, len(self.widths), self.kinds[now.course.level])
        counts = torch.bincount(kinds, minlength=len(self.widths) + 1).tolist()[:-1]
        voltages, names = self.voltages[now.course.level], ("pulse", pulse)
        if max(counts) == len(kinds):
            width = self.widths[counts.index(len(kinds))]
            after = chosen.pulse(now.state, voltages, width, *names, parts=self.parts)
            return dataclasses.replace(
                now,
                state=after.state,
                energy=now.energy + after.energy,
                seconds=now.seconds + width,
            )
        state, spent = now.state.clone(), torch.zeros_like(now.energy)
        for kind, width in enumerate(self.widths):
            if not counts[kind]:
                continue
            cells = (kinds == kind).nonzero().squeeze(1)  # much faster than to sort them
            some = chosen.among.chosen(now.number[cells])
            after = some.pulse(state[:, cells], voltages[cells], width, *names, parts=self.parts)
            state[:, cells] = after.state
            spent[cells] = after.energy
        return dataclasses.replace(
            now,
            state=state,
            energy=now.energy + spent,
            seconds=now.seconds + self.seconds[kinds.long()],
        )
