"""Pulse trains on the cells of a matrix: counted, ordered and applied in one pass over memory.

The kernel does for some word lines after the others what `coincidences`, `ordered` and a recorded
device do for all of them, so that no numbers of pulses as large as the matrix are in memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.ops._library import address_of, integers
from memcore.ops.coincidences import Lines
from memcore.ops.pairs import fits
from memcore.ops.pulse_order import Arrays, Draw, Sums


class Sent(NamedTuple):
    """Trains of n vectors.

    Args:
        rows: the inputs.
        cols: the outputs.
        length: slots of the train of each vector, [n, groups].
        first: number of the first vector, by which draws are keyed.
    """

    rows: Lines
    cols: Lines
    length: Tensor
    first: int

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both sides and the lengths."""
        return self.rows.probability, self.cols.probability, self.length


class Motion(NamedTuple):
    """A recorded device, as the kernel takes it.

    Args:
        model: addresses and sizes of the recording.
        parameters: those of its parameters of each cell.
        keys: of its draws, int64.
    """

    model: Sequence[int]
    parameters: Sequence[int]
    keys: Tensor


class Moved(NamedTuple):
    """The cells of all parts of a matrix, one part after the other.

    Args:
        state: variables, [arrays, rows, cols] each.
        conductance: S, the same, or what makes it of the variables, in their place.
        opposite: for each part, whether pulses that raise a weight lower its cells.
    """

    state: Sequence[Tensor]
    conductance: Tensor | Motion
    opposite: Sequence[bool]


def is_known(sent: Sent) -> bool:
    """Whether the kernel takes these trains."""
    return fits(*sent.tensors)


def pulse_trains(sent: Sent, arrays: Arrays, draw: Draw, cells: Moved, motion: Motion) -> Sums:
    """Move cells by the coincidences of trains, and tell what they conduct then.

    All tensors are float32 on the CPU and contiguous. Numbers of pulses are those of
    `coincidences`, their order that of `ordered`, and cells those of the device, to the bit.

    Args:
        sent: the trains.
        arrays: where each part lies.
        draw: what says which pulses come first; its `read` is the number of the call.
        cells: which are moved; their conductances, if they are in memory.
        motion: what pulses make of them.
    """
    sums = torch.empty(4, dtype=torch.float64, device="cpu")
    lines = cells.state[0].shape[0] * arrays.array_rows // len(cells.opposite)
    law = cells.conductance if isinstance(cells.conductance, Motion) else None
    kept = 0 if isinstance(cells.conductance, Motion) else cells.conductance.data_ptr()
    # Pulses that come second, the last variable before, become conductances.
    state = integers([*map(Tensor.data_ptr, cells.state), kept])
    parameters, opposite = integers(motion.parameters), integers(cells.opposite)
    of_law = integers(() if law is None else law.parameters)
    row = integers(
        [
            *_trains(sent),
            *(*arrays, lines, kept, *draw, sums.data_ptr()),
            *motion.model,
            *(address_of(parameters), motion.keys.data_ptr()),
            *map(address_of, (state, state, opposite)),
            *(draw.read, len(cells.opposite)),
            *(() if law is None else (*law.model, address_of(of_law), law.keys.data_ptr())),
        ]
    )
    kernels = native.cpu()
    assert kernels is not None
    kernels.pulse_trains(address_of(row))
    both, pulses, sets, resets = sums.tolist()
    return Sums(int(both), int(pulses), sets, resets)


def _trains(sent: Sent) -> tuple[int, ...]:
    n, groups, inputs = sent.rows.probability.shape
    sizes = n, groups, inputs, sent.cols.probability.shape[2]
    return (*map(Tensor.data_ptr, sent.tensors), *sizes, sent.rows.key, sent.cols.key, sent.first)
