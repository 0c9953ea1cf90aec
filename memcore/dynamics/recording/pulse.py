"""Integrates the power of a recorded device natively, while a pulse moves its cells."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.recording.lower import lower
from memcore.dynamics.recording.run import Packed
from memcore.dynamics.recording.trace import Power, record, record_power
from memcore.errors import RecordingError
from memcore.random import Stream


class Precision(NamedTuple):
    """How far the energy of a pulse is followed, as shares of it.

    `memcore.writing.energy` says what is made of it.

    Args:
        accuracy: change of the power that does not matter.
        change: change by Simpson's rule that does not matter.
        missed: what a course may miss.
        same: logarithm of a ratio of powers that are equal.
        halvings: most halvings of a pulse.
    """

    accuracy: float
    change: float
    missed: float
    same: float
    halvings: int


@dataclass(frozen=True, eq=False)
class PulseModel:
    """A device under pulses, as the native module runs it.

    Args:
        names: fields of the device that have a value for each cell.
        step: the program of its motion, for any duration.
        power: the program of its power.
    """

    names: Sequence[str]
    step: Packed
    power: Packed

    @cached_property
    def _models(self) -> "array[int]":
        return array("q", [*self.step.integers, *self.power.integers])

    @classmethod
    def of(cls, device: Memristor, state: Tensor, power: Power, given: int = 0) -> "PulseModel":
        """Record a device.

        Args:
            device: with every distribution drawn.
            state: [k, *cells], of which only shape and dtype matter.
            power: as `record_power` takes it.
            given: likewise.

        Raises:
            RecordingError: it cannot be recorded, it draws random numbers, or the native module is
                not in use.
        """
        if native.cpu() is None:
            raise RecordingError(native.status().cpu.reason)
        state = torch.empty(state.shape, dtype=state.dtype, device="meta")
        moves = record(device, state, state[0], None, Context(random=Stream(0)))
        if moves.keys:
            raise RecordingError("the step draws random numbers")
        spends = record_power(device, state, state[0], power, given)
        programs = (lower(recording, shared=False) for recording in (moves, spends))
        step, watt = (Packed(program, state.dtype, len(state)) for program in programs)
        return cls(names=moves.names, step=step, power=watt)

    def energy(
        self,
        device: Memristor,
        ends: tuple[Tensor, Tensor],
        voltage: Tensor,
        width: float,
        given: Sequence[Tensor],
        precision: Precision,
    ) -> Tensor:
        """Energy in J of each cell during a pulse, [n].

        Args:
            device: the recorded one, or one of the same class with values of other cells.
            ends: states before and after the pulse, [k, n], float32 or float64 on the CPU.
            voltage: across the cells in V, [n], of the same dtype.
            width: of the pulse in s.
            given: what the power takes besides, [n] each.
            precision: how far to follow it.
        """
        like, cells = voltage, voltage.numel()
        fields = (getattr(device, name) for name in self.names)
        own = [_laid(value, like) for value in (*fields, *given)]
        begin, end = (state.contiguous() for state in ends)
        voltage = voltage.contiguous()
        energy = torch.empty_like(voltage)
        addresses = array("q", [*(value.data_ptr() for value in own), 0])
        memory = [t.data_ptr() for t in (begin, end, voltage, energy)]
        rest = precision.halvings, addresses.buffer_info()[0], len(own), *memory, cells
        arguments = self._models + array("q", rest)
        module = native.cpu()
        assert module is not None
        shares = precision.accuracy, precision.change, precision.missed, precision.same
        module.pulse_energy(arguments.buffer_info()[0], width, *shares)
        return energy


def _laid(value: Tensor, like: Tensor) -> Tensor:
    """A value for each cell, as it lies in memory."""
    return value.to(like.dtype).expand(like.shape).contiguous()
