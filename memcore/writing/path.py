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
from memcore.dynamics.load import Load
from memcore.dynamics.probe import Probe, Pulse
from memcore.errors import NoEffectWarning
from memcore.writing.cells import CellModel
from memcore.writing.pulsing import name_of


def is_ohmic(array: ArrayInfo) -> bool:
    """Whether current and voltage of the cells are proportional."""
    return type(array.device).current is Memristor.current


def law_of(array: ArrayInfo, device: CellModel, state: Tensor) -> circuit.CellLaw:
    """The current of cells in a state [k, *cells], as the circuit solver asks for it."""
    if is_ohmic(array):
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
        bit_ohm: the part of it between the transistor and the end of the bit line, in ohm.
        series: access transistor with a gate line while it is on; None for one that is in `ohm`.
        limit: largest current in A that the source lets through, None for no limit. It lowers the
            voltage until the current is the limit, as a transistor does that is saturated.

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
    bit_ohm: Tensor | None = None
    series: circuit.Transistor | None = None
    limit: float | None = None

    @classmethod
    def of(
        cls,
        array: ArrayInfo,
        transistor: float | circuit.Transistor,
        where: torch.device,
        *,
        limit: float | None = None,
    ) -> "Path":
        """The paths of an array.

        Args:
            array: with its wires.
            transistor: resistance in ohm of the access transistors while they are on, or one with
                a gate line.
            where: device of the result.
            limit: largest current in A that the source lets through, None for no limit.
        """
        wires, parts = wires_of(array, where), array.layout.parts
        count, rows, cols = array.arrays // parts, array.rows, array.cols * parts
        word, bit = circuit.path_resistances(rows, cols, wires, device=where)
        ohm = word + bit
        series = transistor if isinstance(transistor, circuit.Transistor) else None
        if not isinstance(transistor, circuit.Transistor):
            ohm = ohm + transistor

        def numbered(lines: Tensor) -> Tensor:
            return array.layout.number(lines.expand(count, rows, cols)).reshape(-1)

        return cls(array, numbered(ohm), numbered(bit), series, limit)

    @cached_property
    def resists(self) -> bool:
        """Whether anything is lost on the way to any cell."""
        return self.series is not None or self.limit is not None or bool(self.ohm.any())

    @cached_property
    def ohmic(self) -> bool:
        """Whether current and voltage are proportional in cells and all that is in series."""
        return is_ohmic(self.array) and self.series is None and self.limit is None

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
        ohm = self.to(cells, voltage)
        bit = None if self.bit_ohm is None else self.bit_ohm[cells].to(ohm).view(voltage.shape)
        left = circuit.single_cell_voltage(
            voltage,
            device.conductance(state),
            ohm,
            law=law_of(self.array, device, state),
            series=self.series,
            bit_resistance=bit,
        )
        if self.limit is None:
            return left
        return Load(limit=self.limit).across(cast(Memristor, device), state, left)

    def to(self, cells: Tensor, like: Tensor) -> Tensor:
        """Resistance in ohm on the way to cells by their numbers, shaped as `like`."""
        return self.ohm[cells].to(like).view(like.shape)

    def warn_without_headroom(self, pulses: Sequence[Pulse]) -> None:
        """Warn where the farthest of the nominal cells no longer moves, though it would alone.

        Args:
            pulses: the strongest ones, of either direction.

        Warns:
            NoEffectWarning: what is left of a voltage does not move the device.
        """
        nominal = self.array.nominal
        g = (
            torch.tensor(nominal.nominal_range(), dtype=torch.float64, device="cpu")
            .mean()
            .unsqueeze(0)
        )
        states = Probe(nominal, up=True).states(g)
        for pulse in pulses if self.resists else ():
            probe = Probe(nominal, up=pulse.voltage * nominal.polarity > 0)
            left = self._left_of(pulse.voltage, g)
            here, there = (probe.moved(states, v, pulse.width) for v in (pulse.voltage, left))
            if bool((here != g).any()) and bool((there == g).all()):
                warnings.warn(
                    f"of {abs(pulse.voltage):g} V, {abs(left):.3g} V reach the farthest cells "
                    f"behind their lines, which do not move {type(nominal).__name__}; expected "
                    f"enough to move it, such cells stay as they are: give "
                    f"{name_of(probe, 'voltage')} with headroom, or {self._remedy}",
                    NoEffectWarning,
                    stacklevel=4,
                )

    @property
    def _remedy(self) -> str:
        return "wires='none'" if self.limit is None else "wires='none' or a larger current_limit"

    def _left_of(self, voltage: float, g: Tensor) -> float:
        """What is left in V across an ohmic cell of `g` siemens at the end of the longest path."""
        applied, farthest = g.new_full(g.shape, voltage), int(self.ohm.argmax())
        ohm = self.ohm[farthest].to(g).expand(g.shape)
        bit = None if self.bit_ohm is None else self.bit_ohm[farthest].to(g).expand(g.shape)
        left = circuit.single_cell_voltage(applied, g, ohm, series=self.series, bit_resistance=bit)
        return float(left if self.limit is None else left.clamp(-self.limit / g, self.limit / g))
