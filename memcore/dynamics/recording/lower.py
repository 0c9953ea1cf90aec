"""Sorts the operations of a recorded step by how often they must run and gives them places.

What depends neither on the time nor on the cell runs once; what is the same for all cells runs
once per step; what is the same at all times runs once per cell; only the rest runs for every step
of every cell, and of that only what some cell of a block needs. See `Simulate` in
native/include/memcore/kernels.h for the form of the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor

from memcore.dynamics.recording.graph import (
    CONSTANT,
    DURATION,
    LEAVES,
    PARAMETER,
    RANDOM,
    STATE,
    TABLE,
    VOLTAGE,
    Graph,
    Value,
)
from memcore.dynamics.recording.schedule import Skip, schedule
from memcore.dynamics.recording.trace import Recording

#: Kinds of places, as in kernels.h.
_CONSTANT, _SERIES, _PARAMETER, _REGISTER, _STATE, _VOLTAGE = (i << 24 for i in range(6))
_TIME, _CELL = 1, 2
ONCE, PER_STEP, PER_CELL, PER_BOTH = range(4)
_NONE: Final = -1


@dataclass
class Program:
    """The program that the native simulator runs.

    Attributes:
        lists: instructions (operation, result, three operands) of the four lists; the result of
            "skip_unless" and "skip_if" is the number of instructions to leave out.
        constants: constants that are given; the results of the first list follow them.
        n_constants: number of given constants and results of the first list.
        series: number of results of the second list, and of the shared waveform or the durations,
            which come first.
        registers: number of scratch places of a block.
        parameters: parameters of each cell, one tensor [*cells] each.
        keys: keys of the streams of random numbers, and the round of each.
        packed: what `run` has made of it for each dtype and number of state variables, shared by
            programs that differ in `parameters` only.
    """

    lists: list[list[tuple[str, int, int, int, int]]]
    constants: list[float] = field(default_factory=list)
    n_constants: int = 0
    series: int = 0
    registers: int = 0
    parameters: list[Tensor] = field(default_factory=list)
    keys: list[tuple[int, int]] = field(default_factory=list)
    packed: dict[tuple[torch.dtype, int], Any] = field(
        default_factory=dict, compare=False, repr=False
    )

    def with_parameters(self, parameters: list[Tensor]) -> "Program":
        """The same for cells of other parameters."""
        return replace(self, parameters=parameters)


def lower(recording: Recording, *, shared: bool) -> Program:
    """Make a program; `shared` says that all cells see one waveform, at steps of one duration."""
    return _Lowering(recording, shared).program


class _Lowering:
    def __init__(self, recording: Recording, shared: bool) -> None:
        self.values, self.outputs = _contracted(recording)
        self.shared, self.tables = shared, recording.graph.tables
        self.levels = self._levels()
        self.used = self._reachable()
        self.place: dict[int, int] = {}
        self.program = Program(
            [[], [], [], []], parameters=recording.parameters, keys=recording.keys
        )
        self._place_leaves()
        self._place_shared()
        self._place_registers()
        self._write_states()

    def _levels(self) -> list[int]:
        given = {
            CONSTANT: 0,
            PARAMETER: _CELL,
            STATE: _TIME | _CELL,
            VOLTAGE: _TIME if self.shared else _TIME | _CELL,
            DURATION: _TIME,
        }
        levels: list[int] = []
        for value in self.values:
            level = given.get(value.operation, _TIME | _CELL if value.operation in RANDOM else 0)
            for operand in value.operands:
                level |= levels[operand]
            levels.append(level)
        return levels

    def _reachable(self) -> list[int]:
        """The values that the outputs need, in order."""
        reached, waiting = set[int](), list(self.outputs)
        while waiting:
            index = waiting.pop()
            if index not in reached:
                reached.add(index)
                waiting += self.values[index].operands
        return sorted(reached)

    def _computed(self, *levels: int) -> list[int]:
        return [i for i in self.used if self.levels[i] in levels and not self._is_leaf(i)]

    def _is_leaf(self, index: int) -> bool:
        return self.values[index].operation in LEAVES

    def _place_leaves(self) -> None:
        program = self.program
        program.series = int(self.shared or any(v.operation == DURATION for v in self.values))
        for i in self.used:
            value = self.values[i]
            if value.operation == CONSTANT:
                self.place[i] = _CONSTANT | len(program.constants)
                program.constants.append(value.number)
            elif value.operation == TABLE:  # behind its length
                self.place[i] = _CONSTANT | len(program.constants)
                numbers = self.tables[int(value.number)]
                program.constants += [float(len(numbers)), *numbers]
            elif value.operation == PARAMETER:
                self.place[i] = _PARAMETER | int(value.number)
            elif value.operation == STATE:
                self.place[i] = _STATE | int(value.number)
            elif value.operation == VOLTAGE:
                self.place[i] = _SERIES if self.shared else _VOLTAGE
            elif value.operation == DURATION:
                self.place[i] = _SERIES

    def _place_shared(self) -> None:
        """Results that are single numbers: constants, and series that other lists read."""
        program = self.program
        program.n_constants = len(program.constants)
        for i in self._computed(0):
            self.place[i] = _CONSTANT | program.n_constants
            program.n_constants += 1
            self._emit(ONCE, i)
        read_later = set(self.outputs).union(
            *(self.values[i].operands for i in self._computed(_TIME | _CELL))
        )
        pool = _Registers()
        last_use = self._last_uses(self._computed(_TIME))
        for i in self._computed(_TIME):
            self._free(pool, i, last_use)
            if i in read_later:
                self.place[i] = _SERIES | program.series
                program.series += 1
            else:
                self.place[i] = pool.take()
            self._emit(PER_STEP, i)
        program.registers = pool.count

    def _place_registers(self) -> None:
        """Results per cell. Those of the third list that the fourth one reads stay in place."""
        constant, varying = self._computed(_CELL), self._computed(_TIME | _CELL)
        pool = _Registers()
        kept = set(self.outputs).union(*(self.values[i].operands for i in varying))
        last_use = self._last_uses(constant)
        for i in constant:
            self._free(pool, i, last_use, keep=kept)
            self.place[i] = pool.take()
            self._emit(PER_CELL, i)
        self._place_varying(varying, pool, keep={*self.outputs, *constant})
        self.pool = pool

    def _place_varying(self, varying: list[int], pool: "_Registers", keep: set[int]) -> None:
        order = schedule(self.values, varying, self.outputs)
        computed = [entry for entry in order if not isinstance(entry, Skip)]
        last_use, direct = self._last_uses(computed), self._direct_outputs(computed)
        for entry in order:
            if isinstance(entry, Skip):
                operation = "skip_if" if entry.where else "skip_unless"
                self._append(PER_BOTH, operation, entry.count, self.place[entry.condition])
                continue
            self._free(pool, entry, last_use, keep)
            self.place[entry] = _STATE | direct[entry] if entry in direct else pool.take()
            self._emit(PER_BOTH, entry)

    def _direct_outputs(self, varying: list[int]) -> dict[int, int]:
        """The results that may be written over the old state at once, with its variable."""
        last_read = dict.fromkeys(range(len(self.outputs)), -1)
        for at, i in enumerate(varying):
            for operand in self.values[i].operands:
                if self.values[operand].operation == STATE:
                    last_read[int(self.values[operand].number)] = at
        position = {i: at for at, i in enumerate(varying)}
        old = {
            int(self.values[o].number) for o in self.outputs if self.values[o].operation == STATE
        }
        return {
            o: k
            for k, o in enumerate(self.outputs)
            if o in position
            and last_read[k] <= position[o]
            and self.outputs.count(o) == 1
            and k not in old
        }

    def _write_states(self) -> None:
        """Move what is not yet in the place of the state; old states through a register."""
        moves = []
        for k, output in enumerate(self.outputs):
            source, target = self.place[output], _STATE | k
            if source == target:
                continue
            if self.values[output].operation == STATE:
                through = self.pool.take()
                self._append(PER_BOTH, "copy", through, source)
                source = through
            moves.append((source, target))
        for source, target in moves:
            self._append(PER_BOTH, "copy", target, source)
        self.program.registers = max(self.program.registers, self.pool.count)

    def _last_uses(self, indices: Iterable[int]) -> dict[int, int]:
        return {operand: i for i in indices for operand in self.values[i].operands}

    def _free(
        self, pool: "_Registers", i: int, last_use: dict[int, int], keep: Iterable[int] = ()
    ) -> None:
        """Give back what is read for the last time here: a result may replace an operand."""
        keep = set(keep)
        for operand in set(self.values[i].operands):
            place = self.place[operand]
            if last_use[operand] == i and operand not in keep and place & ~_INDEX == _REGISTER:
                pool.give(place)

    def _emit(self, which: int, index: int) -> None:
        value = self.values[index]
        operands = (
            [int(value.number)]
            if value.operation in RANDOM
            else [self.place[o] for o in value.operands]
        )
        self._append(which, value.operation, self.place[index], *operands)

    def _append(self, which: int, operation: str, result: int, *operands: int) -> None:
        first, second, third = (*operands, _NONE, _NONE, _NONE)[:3]
        self.program.lists[which].append((operation, result, first, second, third))


_INDEX: Final = (1 << 24) - 1


class _Registers:
    def __init__(self) -> None:
        self.count = 0
        self._free: list[int] = []

    def take(self) -> int:
        if self._free:
            return self._free.pop()
        self.count += 1
        return _REGISTER | (self.count - 1)

    def give(self, place: int) -> None:
        self._free.append(place)


_CONTRACTED: Final = {
    ("add", 0): "mul_add",
    ("add", 1): "mul_add",
    ("sub", 0): "mul_sub",
    ("sub", 1): "sub_mul",
}


def _contracted(recording: Recording) -> tuple[list[Value], list[int]]:
    """Products that are only added or subtracted join that operation; clamps become one."""
    graph: Graph = recording.graph
    values = list(graph.values)
    uses = [0] * len(values)
    for value in values:
        for operand in value.operands:
            uses[operand] += 1
    for output in recording.outputs:
        uses[output] += 1
    for i, value in enumerate(values):
        if value.operation not in {"add", "sub"}:
            continue
        for position, operand in enumerate(value.operands):
            factor = values[operand]
            if factor.operation == "mul" and uses[operand] == 1:
                other = value.operands[1 - position]
                operation = _CONTRACTED[value.operation, position]
                values[i] = Value(operation, (*factor.operands, other))
                break
    return values, recording.outputs
