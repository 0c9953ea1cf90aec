"""The working set of a closed loop: cells that are still being written, and results of others."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.records import Programmed
from memcore.writing.cells import report
from memcore.writing.single import SingleCells


@dataclass(frozen=True, eq=False)
class Goal:
    """Where cells should go: targets and half widths of the stop windows in S, [n]."""

    target: Tensor
    within: Tensor


@dataclass(frozen=True, eq=False)
class Course:
    """Where cells are on their way.

    Args:
        up: whether the next pulse is a SET.
        level: of the next pulse in the ramps.
        reversals: how often the direction has changed.
    """

    up: Tensor
    level: Tensor
    reversals: Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """What is remembered of the reads.

    Args:
        read: the last one in S.
        anchor: the one before the pulses at the end of the ramp in S.
        waited: number of these pulses.
    """

    read: Tensor
    anchor: Tensor
    waited: Tensor


@dataclass(frozen=True, eq=False)
class Working:
    """The cells that are still being written, one element of each tensor for each cell.

    Args:
        number: of the cell in the arrays.
        state: [k, n].
        goal: where it should go.
        course: where it is.
        memory: what was read.
        energy: spent, in J.
        seconds: spent, in s.
        done: whether its result is written down already.
    """

    number: Tensor
    state: Tensor
    goal: Goal
    course: Course
    memory: Memory
    energy: Tensor
    seconds: Tensor
    done: Tensor

    @classmethod
    def begin(cls, cells: SingleCells, goal: Goal) -> "Working":
        zero, none = torch.zeros_like(goal.target), torch.zeros_like(cells.all.number)
        no = torch.zeros_like(none, dtype=torch.bool)
        return cls(
            number=cells.all.number,
            state=cells.first,
            goal=goal,
            course=Course(up=no, level=none, reversals=none),
            memory=Memory(read=zero, anchor=zero, waited=none),
            energy=zero,
            seconds=zero,
            done=no,
        )


def take(record: Any, cells: Tensor) -> Any:
    """The same record of fewer cells, which are the last dimension of all tensors in it."""
    parts = {entry.name: getattr(record, entry.name) for entry in dataclasses.fields(record)}
    return type(record)(
        **{
            name: part[..., cells] if isinstance(part, Tensor) else take(part, cells)
            for name, part in parts.items()
        }
    )


@dataclass(frozen=True, eq=False)
class Results:
    """What is known of the cells that are done, by their number: fields of `Programmed`."""

    cells: dict[str, Tensor]
    state: Tensor

    @classmethod
    def of(cls, now: Working) -> "Results":
        numbers = ("conductance", "energy", "time")
        counts = ("pulses", "reversals")
        cells = {name: torch.zeros_like(now.goal.target) for name in numbers}
        cells |= {name: torch.zeros_like(now.number) for name in counts}
        cells["verified"] = torch.zeros_like(now.done)
        return cls(cells, torch.zeros_like(now.state))

    def noted(self, now: Working, done: Tensor, inside: Tensor, g: Tensor, pulse: int) -> Working:
        """Write down the cells that are newly done."""
        new = (done & ~now.done).nonzero().squeeze(1)
        if new.numel():
            number = now.number[new]
            known = {"conductance": g, "energy": now.energy, "time": now.seconds}
            known |= {"reversals": now.course.reversals, "verified": inside}
            for name, value in known.items():
                self.cells[name][number] = value[new]
            self.cells["pulses"][number] = pulse
            self.state[:, number] = now.state[:, new]
        return dataclasses.replace(now, done=now.done | done)

    def report(self, array: ArrayInfo, target: Tensor) -> Programmed:
        return report(array, target, self.state, **self.cells)
