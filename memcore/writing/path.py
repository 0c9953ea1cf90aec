"""Pulses to one cell at a time, through the series path of lines that leads to it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from memcore import circuit
from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.wires import Wires
from memcore.dynamics.probe import Probe, Pulse
from memcore.errors import NoEffectWarning
from memcore.writing.cells import CellModel
from memcore.writing.pulsing import name_of


def law_of(array: ArrayInfo, device: CellModel, state: Tensor) -> circuit.CellLaw:
    """The current of cells in a state [k, *cells], as the circuit solver asks for it."""
    if type(array.device).current is Memristor.current:
        return circuit.Ohmic()
    return circuit.OfDevice(device=cast(Memristor, device), state=state)


def wires_of(array: ArrayInfo, where: torch.device) -> Wires:
    """The wires of an array in float64 on a device, ideal ones if it has none."""
    return (array.wires or Wires()).like(torch.zeros((), dtype=torch.float64, device=where))


@dataclass(frozen=True, eq=False)
class Path:
    """Cells that conduct one at a time, since the transistors of all others are off.

    Args:
        array: with its wires.
        ohm: resistance in ohm of lines and transistor on the way to each cell, float64 [cells] in
            C order; see `of`.

    Examples:
        >>> import dataclasses
        >>> from memcore.testing.cases import array
        >>> from memcore.writing import Path
        >>> wires = memcore.Wires(word_line=1.0, bit_line=10.0)
        >>> info = dataclasses.replace(array(arrays=1, rows=2, cols=3), wires=wires)
        >>> Path.of(info, 0.0, torch.device("cpu")).ohm
        tensor([21., 22., 23., 11., 12., 13.], dtype=torch.float64)
    """

    array: ArrayInfo
    ohm: Tensor

    @classmethod
    def of(cls, array: ArrayInfo, transistor: float, where: torch.device) -> "Path":
        """The paths of an array, whose access transistors have `transistor` ohm while on."""
        wires, parts = wires_of(array, where), array.layout.parts
        count, rows, cols = array.arrays // parts, array.rows, array.cols * parts
        ohm = circuit.path_resistance(rows, cols, wires, device=where) + transistor
        return cls(array, array.layout.number(ohm.expand(count, rows, cols)).reshape(-1))

    @cached_property
    def resists(self) -> bool:
        """Whether anything is lost on the way to any cell."""
        return bool(self.ohm.any())

    def seen(self, voltage: Tensor, device: CellModel, state: Tensor, cells: Tensor) -> Tensor:
        """Voltage in V that is left across memristors.

        Args:
            voltage: [*cells] in V at the ends of the lines.
            device: the model of these cells.
            state: [k, *cells].
            cells: int64, numbers of the cells in the arrays, in C order.
        """
        if not self.resists:
            return voltage
        ohm = self.ohm[cells].to(voltage).view(voltage.shape)
        law = law_of(self.array, device, state)
        return circuit.single_cell_voltage(voltage, device.conductance(state), ohm, law=law)

    def warn_without_headroom(self, pulses: Sequence[Pulse]) -> None:
        """Warn where the farthest of the nominal cells no longer moves, though it would alone.

        Args:
            pulses: the strongest ones, of either direction.

        Warns:
            NoEffectWarning: what is left of a voltage does not move the device.
        """
        nominal = self.array.nominal
        g = torch.tensor(nominal.nominal_range(), dtype=torch.float64).mean().unsqueeze(0)
        states = Probe(nominal, up=True).states(g)
        for pulse in pulses if self.resists else ():
            probe = Probe(nominal, up=pulse.voltage * nominal.polarity > 0)
            left = pulse.voltage / (1 + float(g) * float(self.ohm.max()))
            here, there = (probe.moved(states, v, pulse.width) for v in (pulse.voltage, left))
            if bool((here != g).any()) and bool((there == g).all()):
                warnings.warn(
                    f"of {abs(pulse.voltage):g} V, {abs(left):.3g} V reach the farthest cells "
                    f"behind their lines, which do not move {type(nominal).__name__}; expected "
                    f"enough to move it, such cells stay as they are: give "
                    f"{name_of(probe, 'voltage')} with headroom, or wires='none'",
                    NoEffectWarning,
                    stacklevel=4,
                )
