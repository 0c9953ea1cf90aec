"""Runs a recorded device model natively: the simulation loop outside the Python interpreter."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from memcore import native
from memcore.dynamics.recording.lower import Program

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
    for begin in range(0, steps, piece):
        end = min(steps, begin + piece)
        to = record[begin // stride :] if stride else record
        _call(program, last, voltage[begin:end], to, stride, first_step + begin)
    return last, record


def _call(
    program: Program,
    state: Tensor,
    voltage: Tensor,
    record: Tensor,
    stride: int,
    first_step: int,
) -> None:
    """One native call, which replaces `state`."""
    lists = [_instructions(instructions) for instructions in program.lists]
    constants = _constants(program, state.dtype)
    params = _integers([p.data_ptr() for p in program.parameters])
    keys = _integers(program.keys)
    cells = math.prod(state.shape[1:])
    arguments = _integers(
        [
            *(table.data_ptr() for table in lists),
            *(len(instructions) for instructions in program.lists),
            state.dtype == torch.float64,
            voltage.dim() == 1,
            program.n_constants,
            program.series,
            program.registers,
            state.shape[0],
            *(t.data_ptr() for t in (constants, params, keys, voltage, state, state)),
            record.data_ptr(),
            stride,
            voltage.shape[0],
            cells,
            first_step,
        ]
    )
    module = native.cpu()
    assert module is not None
    module.simulate(arguments.data_ptr())


def _constants(program: Program, dtype: torch.dtype) -> Tensor:
    """Those that are given, and room for those that the kernel computes."""
    constants = torch.zeros(max(1, program.n_constants), dtype=dtype)
    given = torch.tensor(program.constants, dtype=dtype)
    constants[: given.numel()] = given
    return constants


def _instructions(instructions: Sequence[tuple[str, int, int, int, int]]) -> Tensor:
    rows = [(codes()[name], *places) for name, *places in instructions]
    return torch.tensor(rows or [(0, 0, 0, 0, 0)], dtype=torch.int32)


def _integers(values: Sequence[int]) -> Tensor:
    return torch.tensor([*values, 0], dtype=torch.int64)
