"""Runs a recorded device model natively: the simulation loop outside the Python interpreter."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from memcore import native
from memcore.dynamics.recording.lower import PER_BOTH, Program
from memcore.dynamics.recording.regions import packed_regions
from memcore.errors import RecordingError
from memcore.ops._library import address_of, integers
from memcore.ops.pulse_trains import Motion
from memcore.random import STEPS

#: Device-steps of one native call: between calls, Python sees an interrupt from the keyboard.
_CALL = 1 << 30


@functools.cache
def codes() -> dict[str, int]:
    """The code of every operation that the native module knows; empty without it."""
    module = native.cpu()
    names: list[str] = []
    while module is not None and (name := module.simulate_operation(len(names))) is not None:
        names.append(name)
    return {name: code for code, name in enumerate(names)}


def run(
    program: Program, state: Tensor, voltage: Tensor, stride: int, first_step: int = 0
) -> tuple[Tensor, Tensor]:
    """Carry the states of all cells through all steps.

    Args:
        program: program of a device and a step width.
        state: state of the cells, [k, *cells], float32 or float64 on the CPU.
        voltage: voltages in V, [time] or [time, *cells], of the same dtype, in the form that the
            program was made for.
        stride: number of steps between two records, 0 for no records.
        first_step: index of the first step, which random numbers depend on.

    Returns:
        The state after the last step [k, *cells], and the states before every recorded step
        [rows, k, *cells].
    """
    state, voltage = state.contiguous(), voltage.contiguous()
    rows = -(-voltage.shape[0] // stride) if stride else 0
    last = state.clone()
    record = state.new_empty((rows, *state.shape))
    steps = voltage.shape[0]
    piece = max(1, _CALL // max(1, math.prod(state.shape[1:])))
    if stride:
        piece = -(-piece // stride) * stride
    ready = Ready(program, state.dtype, len(state))
    for begin in range(0, steps, piece):
        end = min(steps, begin + piece)
        to = record[begin // stride :] if stride else record
        ready([*last], [*last], voltage[begin:end], to, stride, first_step + begin)
    return last, record


class Ready:
    """A program in the form that the kernel takes, which is made once for many calls.

    Args:
        program: the program.
        dtype: of the states, float32 or float64.
        rows: number of state variables.
    """

    def __init__(self, program: Program, dtype: torch.dtype, rows: int) -> None:
        self.program, self.rows, self._model = program, rows, packed(program, dtype, rows)
        self._dtype = dtype
        #: What kernels take of it.
        self.motion = Motion(
            self._model.integers,
            [each.data_ptr() for each in program.parameters],
            keys_of(program),
        )

    def __call__(
        self,
        state: Sequence[Tensor],
        last: Sequence[Tensor],
        voltage: Tensor,
        record: Tensor | None = None,
        stride: int = 0,
        first_step: int = 0,
        first_cell: int = 0,
    ) -> None:
        """One native call; all tensors are contiguous.

        Args:
            state: before the first step, one tensor [*cells] for each variable.
            last: takes those after the last step; may be the same tensors.
            voltage: [time] or [time, *cells].
            record: takes the states before every recorded step; None for no records.
            stride: number of steps between two records, 0 for no records.
            first_step: index of the first step, which random numbers depend on.
            first_cell: index of the first cell among those that the program was made for, which
                parameters and random numbers depend on.

        Raises:
            RecordingError: a tensor has another dtype than the program was made for.
        """
        self._require_dtype([*state, *last, voltage])
        size = voltage.element_size()
        params = integers([address + first_cell * size for address in self.motion.parameters])
        before, after = (integers([each.data_ptr() for each in some]) for some in (state, last))
        arguments = integers(
            [
                *self.motion.model,
                voltage.dim() == 1,
                address_of(params),
                *(self.motion.keys.data_ptr(), voltage.data_ptr()),
                *map(address_of, (before, after)),
                0 if record is None else record.data_ptr(),
                stride,
                voltage.shape[0],
                state[0].numel(),
                first_step,
                first_cell,
            ]
        )
        module = native.cpu()
        assert module is not None
        module.simulate(address_of(arguments))

    def _require_dtype(self, given: Sequence[Tensor]) -> None:
        """The kernel reads what it is given at its address, whatever is there."""
        for each in given:
            if each.dtype != self._dtype:
                raise RecordingError(
                    f"a kernel of {self._dtype} was given {each.dtype}; convert the states, or "
                    "record the device for them"
                )


def keys_of(program: Program) -> Tensor:
    """The keys of its random numbers, and what is added to the step to draw them."""
    pairs = ((key, _signed(round * STEPS)) for key, round in program.keys)
    numbers = [*(number for pair in pairs for number in pair), 0]
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")


def _signed(number: int) -> int:
    """The same 64 bits as a number that may be below 0."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


class Packed:
    """A program in the memory that the native module reads.

    Args:
        program: of a device.
        dtype: of the states.
        rows: number of state variables.

    Attributes:
        integers: addresses and sizes, in the order of `model` in native/src/bind_cpu.cpp; they are
            good for as long as this object lives.
    """

    def __init__(self, program: Program, dtype: torch.dtype, rows: int) -> None:
        self._lists = [_instructions(instructions) for instructions in program.lists]
        self._constants = _constants(program, dtype)
        regions = packed_regions(program.lists[PER_BOTH], len(program.parameters))
        self._regions = torch.tensor(regions, dtype=torch.int32, device="cpu")
        self.integers = [
            *(table.data_ptr() for table in self._lists),
            *(len(instructions) for instructions in program.lists),
            int(dtype == torch.float64),
            program.n_constants,
            program.series,
            program.registers,
            rows,
            self._constants.data_ptr(),
            self._regions.data_ptr(),
        ]


def packed(program: Program, dtype: torch.dtype, rows: int) -> Packed:
    """A program in the memory that the native module reads, which it never writes; made once."""
    known = program.packed
    if (dtype, rows) not in known:
        known[dtype, rows] = Packed(program, dtype, rows)
    made: Packed = known[dtype, rows]
    return made


def _constants(program: Program, dtype: torch.dtype) -> Tensor:
    """Those that are given, and room for those that the kernel computes."""
    constants = torch.zeros(max(1, program.n_constants), dtype=dtype, device="cpu")
    given = torch.tensor(program.constants, dtype=dtype, device="cpu")
    constants[: given.numel()] = given
    return constants


def _instructions(instructions: Sequence[tuple[str, int, int, int, int]]) -> Tensor:
    rows = [(codes()[name], *places) for name, *places in instructions]
    return torch.tensor(rows or [(0, 0, 0, 0, 0)], dtype=torch.int32, device="cpu")
