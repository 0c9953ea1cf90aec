"""Pulses on the cells of a matrix on a GPU: counted, ordered and applied in one pass over memory.

The kernel does at once what `coincidences`, `first_of` and single operations of a device do for all
cells one after the other. It runs a device that was recorded as a list of instructions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.ops import _library
from memcore.ops.coincidences import fired
from memcore.ops.pulse_order import Arrays, Draw, Sums
from memcore.ops.pulse_trains import Moved, Sent

#: Marks an operand that is a constant, in an instruction.
SCALAR = 1 << 15
#: Of the bytes of shared memory that any GPU gives a block, and what a row of a thread takes.
_SHARED, _ROW = 48 * 1024, 16
#: Threads of a block that are tried.
_THREADS = (64, 32)
#: Variables of a state, with what comes second of pulses.
_MOST_VARIABLES = 8


class Recorded(NamedTuple):
    """A recorded device in the memory of a GPU.

    Args:
        code: instructions, int64: 8 bits of the operation, 8 of the row of the result, and three
            operands of 16, which are rows or `SCALAR` and the number of a constant.
        once: how many of these, the first ones, compute constants.
        constants: float32, those that are given and room for the others.
        registers: rows of results.
        variables: rows of the state, which follow them, the last one that of pulses that come
            second and then of conductances.
        parameters: values of each cell, float32 at multiples of 16 bytes, whose rows follow; those
            of pulses are the last.
        addresses: where they lie, int64.
        keys: of its draws, int64.
    """

    code: Tensor
    once: int
    constants: Tensor
    registers: int
    variables: int
    parameters: Sequence[Tensor]
    addresses: Tensor
    keys: Tensor

    @property
    def threads(self) -> int:
        """Threads of a block, whose rows are in shared memory; 0 where these are too many."""
        rows = self.registers + self.variables + len(self.parameters) + 1
        room = _SHARED - 4 * (self.constants.numel() + 3)
        few = max(rows, self.constants.numel()) < 256 and self.variables <= _MOST_VARIABLES
        fitting = [each for each in _THREADS if few and rows * each * _ROW <= room]
        return fitting[0] if fitting else 0


def move_by_trains(
    sent: Sent, arrays: Arrays, draw: Draw, cells: Moved, recorded: Recorded
) -> Sums:
    """As `pulse_trains`, of cells on a GPU.

    Numbers of pulses, their order and draws are those of the CPU; states and conductances differ by
    a few units in the last place, as elementary functions do.
    """
    bits = fired(sent.rows, sent.cols, sent.length)
    n, groups, inputs = sent.rows.probability.shape
    sizes = n, groups, inputs, sent.cols.probability.shape[2]
    keys = sent.rows.key, sent.cols.key, sent.first
    words = bits.ends.data_ptr(), bits.words, bits.rows.data_ptr(), bits.cols.data_ptr()
    row = [*map(Tensor.data_ptr, sent.tensors), *sizes, *keys, 0, 0, *words]
    return _moved(row, arrays, draw, cells, recorded, always=False)


def move_by_counts(
    counts: tuple[Tensor, Tensor] | None,
    arrays: Arrays,
    draw: Draw,
    cells: Moved,
    recorded: Recorded,
) -> Sums:
    """As `move_by_trains`, by numbers of pulses that raise weights and that lower them.

    Args:
        counts: float32 [groups, rows, cols] each; None for no pulses, and all cells are told what
            they conduct.
        arrays: where each part lies.
        draw: what says which pulses come first; its `read` is the number of the call.
        cells: which are moved.
        recorded: what pulses make of them.
    """
    groups = 1 if counts is None else counts[0].shape[0]
    sizes = 0, groups, arrays.rows, arrays.cols
    given = (0, 0) if counts is None else tuple(map(Tensor.data_ptr, counts))
    row = [0, 0, 0, *sizes, 0, 0, 0, *given, 0, 0, 0, 0]
    return _moved(row, arrays, draw, cells, recorded, always=counts is None)


def _moved(
    trains: Sequence[int],
    arrays: Arrays,
    draw: Draw,
    cells: Moved,
    recorded: Recorded,
    *,
    always: bool,
) -> Sums:
    g, parts = cells.conductance, len(cells.opposite)
    assert isinstance(g, Tensor)  # conductances are derived on the CPU alone
    lines = g.shape[0] * arrays.array_rows // parts
    threads = recorded.threads
    blocks = -(-lines * -(-arrays.array_cols // 4) // threads)
    sums = torch.empty((blocks, 4), dtype=torch.float64, device=g.device)
    tables = recorded.code, recorded.constants, recorded.addresses, recorded.keys
    length = recorded.code.numel() - recorded.once
    sizes = recorded.once, length, recorded.constants.numel(), recorded.registers
    opposite = sum(1 << part for part, each in enumerate(cells.opposite) if each)
    row = [
        *trains,
        *(*arrays, lines, *draw, sums.data_ptr()),
        *(*map(Tensor.data_ptr, tables), *sizes, recorded.variables, len(recorded.parameters)),
        *(g.data_ptr(), *map(Tensor.data_ptr, cells.state)),
        *(parts, opposite, always, draw.read, threads),
    ]
    arguments = torch.tensor(row, dtype=torch.int64, device="cpu")
    kernels = native.cuda()
    assert kernels is not None
    kernels.move_cells(arguments.data_ptr(), *_library.where(g))
    both, pulses, sets, resets = sums.sum(0).tolist()
    return Sums(round(both), round(pulses), sets, resets)
