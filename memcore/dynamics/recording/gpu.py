"""Puts a recorded device into the memory of a GPU, in the form that its kernel runs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from memcore.dynamics.recording.lower import ONCE, PER_CELL, PER_STEP, Program
from memcore.dynamics.recording.run import codes, keys_of
from memcore.ops.cell_moves import SCALAR, Recorded

#: Of an operand, its kind is above these bits.
_KIND = 24
_CONSTANT, _SERIES, _PARAMETER, _REGISTER, _STATE, _VOLTAGE = range(6)
#: Instructions that a skip may leave out.
_MOST = 1 << 16
#: What the kernel does not know.
_UNKNOWN = frozenset({"lookup"})


def on_gpu(program: Program, variables: int, device: torch.device) -> Recorded | None:
    """A program of one step, where each cell has a voltage of its own; None if it does not fit.

    Args:
        program: what was recorded.
        variables: number of state variables.
        device: a GPU.
    """
    if program.series or program.lists[PER_STEP] or not codes():
        return None
    rows = _Rows(program, variables)
    once = program.lists[ONCE]
    others = [each for which in range(PER_CELL, 4) for each in program.lists[which]]
    if max(len(others), program.n_constants) >= _MOST:
        return None
    if _UNKNOWN & {name for name, *_ in (*once, *others)}:
        return None
    code = [rows.packed(*each) for each in (*once, *others)]
    constants = torch.zeros(max(1, program.n_constants), device="cpu")
    constants[: len(program.constants)] = torch.tensor(program.constants, device="cpu")
    parameters = [_aligned(each.to(device, torch.float32)) for each in program.parameters]
    addresses = [each.data_ptr() for each in parameters]
    found = Recorded(
        torch.tensor(code or [0], dtype=torch.int64, device="cpu")[: len(code)].to(device),
        len(once),
        constants.to(device),
        program.registers,
        variables,
        parameters,
        torch.tensor([*addresses, 0], dtype=torch.int64, device=device),
        keys_of(program).to(device),
    )
    return found if found.threads else None


def _aligned(values: Tensor) -> Tensor:
    """Values of all cells, one after the other from a multiple of 16 bytes on."""
    values = values.contiguous()
    return values if values.data_ptr() % 16 == 0 else values.clone()


class _Rows:
    """Where the numbers of each kind are."""

    def __init__(self, program: Program, variables: int) -> None:
        state = program.registers + variables
        self._first = {
            _REGISTER: 0,
            _STATE: program.registers,
            _PARAMETER: state,
            _VOLTAGE: state + len(program.parameters),
        }

    def packed(self, name: str, out: int, *operands: int) -> int:
        """One instruction as an integer."""
        if name.startswith("skip"):  # whose result is a number of instructions
            places: Sequence[int] = (self._place(operands[0]), out, 0)
            out = 0
        elif name in {"normal", "uniform"}:
            places = (operands[0], 0, 0)
        else:
            first = self._place(operands[0])
            places = [first if each < 0 else self._place(each) for each in operands]
        number = codes()[name] | (self._place(out) & 255) << 8
        for at, place in enumerate(places):
            number |= place << 16 * (at + 1)
        return number - (1 << 64) if number >= 1 << 63 else number

    def _place(self, operand: int) -> int:
        kind, index = operand >> _KIND, operand & ((1 << _KIND) - 1)
        return SCALAR | index if kind == _CONSTANT else self._first[kind] + index
