"""What cells see of a pulse behind lines that resist."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

import torch
from torch import Tensor

from memcore import ArrayInfo, Memristor, NoEffectWarning, Wires, circuit
from memcore_plugins.programmers._cells import CellParameters, Cells
from memcore_plugins.programmers._pulses import Probe, Pulse

Scheme = Literal["V/2", "V/3", "floating"]

_DRIVES: Final[dict[str, Literal["v/2", "v/3", "floating"]]] = {
    "V/2": "v/2",
    "V/3": "v/3",
    "floating": "floating",
}
_TOLERANCE: Final = 1e-8  #: of voltages and currents, relative to the largest


def is_ohmic(device: Memristor) -> bool:
    """Whether the current of a device is its conductance times the voltage."""
    return type(device).current is Memristor.current


@dataclass(frozen=True, eq=False)
class Conducting:
    """The law of cells of which only some conduct.

    Args:
        law: of those that do.
        mask: bool, which ones.
    """

    law: circuit.CellLaw
    mask: Tensor

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        """In A, 0 where the transistor is off."""
        return torch.where(self.mask, self.law.current(u, g), 0)

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        """In S, 0 where the transistor is off."""
        return torch.where(self.mask, self.law.slope(u, g), 0)


@dataclass(frozen=True, eq=False)
class Laid:
    """The law of cells as they are numbered, for cells where they lie on the chip.

    Args:
        law: of the numbered cells.
        array: with its layout.
    """

    law: circuit.CellLaw
    array: ArrayInfo

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        """In A."""
        lay, number = self.array.layout.lay, self.array.layout.number
        return lay(self.law.current(number(u), number(g)))

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        """In S."""
        lay, number = self.array.layout.lay, self.array.layout.number
        return lay(self.law.slope(number(u), number(g)))


@dataclass(frozen=True)
class Channel:
    """A transistor that is on, in its linear region.

    Args:
        ohm: its resistance.
    """

    ohm: float

    def current(self, u: Tensor) -> Tensor:
        """In A."""
        return u / self.ohm

    def slope(self, u: Tensor) -> Tensor:
        """In S."""
        return torch.full_like(u, 1 / self.ohm)


def law_of(array: ArrayInfo, device: Cells, state: Tensor) -> circuit.CellLaw:
    """The current of cells in a state [k, *cells]."""
    if is_ohmic(array.device):
        return circuit.Ohmic()
    return circuit.OfDevice(device=cast(Memristor, device), state=state)


def wires_of(array: ArrayInfo, where: torch.device) -> Wires:
    """Those of an array, in float64, or ideal ones."""
    return (array.wires or Wires()).like(torch.zeros((), dtype=torch.float64, device=where))


class Path:
    """Cells that conduct one at a time, since the transistors of all others are off.

    Args:
        array: with its wires.
        transistor: ohm, of the one that is on.
        like: a tensor on the device of the arrays.
    """

    def __init__(self, array: ArrayInfo, transistor: float, like: Tensor) -> None:
        self.array = array
        wires, parts = wires_of(array, like.device), array.layout.parts
        count, rows, cols = array.arrays // parts, array.rows, array.cols * parts
        ohm = circuit.path_resistance(rows, cols, wires, device=like.device) + transistor
        self.ohm = array.layout.number(ohm.expand(count, rows, cols)).reshape(-1)
        #: Whether anything is lost on the way.
        self.resists = bool(self.ohm.any())

    def warn_without_headroom(self, pulses: Sequence[Pulse]) -> None:
        """Warn where the farthest of the nominal cells no longer moves, though it would alone."""
        nominal = self.array.nominal
        g = torch.tensor(nominal.nominal_range(), dtype=torch.float64).mean().unsqueeze(0)
        states = Probe(nominal, up=True).states(g)
        for pulse in pulses if self.resists else ():
            up = pulse.voltage * nominal.polarity > 0
            left = pulse.voltage / (1 + float(g) * float(self.ohm.max()))
            here, there = (
                Probe(nominal, up).moved(states, torch.full(states.shape[1:], v).double(), width)
                for v, width in ((pulse.voltage, pulse.width), (left, pulse.width))
            )
            if bool((here != g).any()) and bool((there == g).all()):
                name, kind = "set_voltage" if up else "reset_voltage", type(nominal).__name__
                warnings.warn(
                    f"of {abs(pulse.voltage):g} V, {abs(left):.3g} V reach the farthest cells "
                    f"behind their lines, which do not move {kind}: they stay as they are; give "
                    f"{name} with headroom, or wires='none'",
                    NoEffectWarning,
                    stacklevel=4,
                )

    def seen(self, voltage: Tensor, device: Cells, state: Tensor, cells: Tensor | slice) -> Tensor:
        """V across memristors, numbered in the arrays, for `voltage` [*cells] at their lines."""
        if not self.resists:
            return voltage
        ohm = self.ohm[cells].to(voltage).view(voltage.shape)
        law = law_of(self.array, device, state)
        return circuit.alone(voltage, device.conductance(state), ohm, law=law)


@dataclass(frozen=True)
class Seen:
    """What a selection does to an array.

    Args:
        voltage: V across every memristor, [arrays, rows x cols].
        lost: W in the wires, [arrays].
    """

    voltage: Tensor
    lost: Tensor


class Network:
    """All cells of an array and its wires, solved for every selection.

    Arrays of numbered cells are handed in and out; parts that share word lines are one circuit.

    Args:
        array: with its wires; without any, the lines are ideal.
        scheme: what the lines that are not selected are connected to.
        transistor: ohm, of those that are on; None for cells without.
    """

    def __init__(self, array: ArrayInfo, scheme: Scheme, transistor: float | None) -> None:
        self.array, self.scheme, self.transistor = array, _DRIVES[scheme], transistor
        self.cells = CellParameters(array, array.shape).pick(slice(None))
        self.wires: Wires | None = None
        self.last: circuit.Solution | None = None

    def seen(self, first: int, driven: Tensor, voltage: float, state: Tensor) -> Seen:
        """Solve the arrays.

        Args:
            first: number of the first of the selected cells, which lie on one word line.
            driven: which of them see the voltage, 0 or 1, [arrays, selected].
            voltage: V across the driven ones, but for what the lines lose.
            state: [k, arrays, rows x cols].
        """
        state = state.reshape(-1, *self.array.shape)
        g = self.cells.conductance(state).double().expand(self.array.shape)
        selected = self._selected(first, driven)
        drive, law = self._drive(first, selected, voltage), self._law(selected, state.double())
        series = Channel(self.transistor) if self.transistor else None
        self.wires = self.wires or wires_of(self.array, g.device)
        solution = self.last = circuit.solve(
            self.array.layout.lay(g),
            self.wires,
            drive,
            law=law,
            series=series,
            tolerance=_TOLERANCE,
            start=self.last,
        )
        given = (drive.word_line * solution.driver_current).sum(-1)
        if drive.bit_line is not None:
            given = given - (drive.bit_line * solution.current).sum(-1)
        spent = (solution.device_voltage * solution.cell_current).sum((-2, -1))
        seen = self.array.layout.number(solution.device_voltage)
        if self.transistor is not None:
            seen = torch.where(selected, seen, 0)
        share = driven.sum(1) / self.together(driven.sum(1)).clamp(min=1)
        lost = (given - spent).repeat(self.array.layout.parts)
        return Seen(seen.flatten(1).to(driven), share * lost.to(driven))

    def together(self, count: Tensor) -> Tensor:
        """Sums [arrays] over the arrays that are one circuit."""
        parts = self.array.layout.parts
        return count.view(parts, -1).sum(0).repeat(parts)

    def _law(self, selected: Tensor, state: Tensor) -> circuit.CellLaw:
        law = law_of(self.array, self.cells, state)
        if isinstance(law, circuit.Ohmic) and self.transistor is None:
            return law
        if self.transistor is not None:
            law = Conducting(law, selected)
        return Laid(law, self.array)

    def _selected(self, first: int, driven: Tensor) -> Tensor:
        """Which cells are driven, [arrays, rows, cols]."""
        arrays, rows, cols = self.array.shape
        on = torch.zeros(arrays, rows * cols, dtype=torch.bool, device=driven.device)
        on[:, first : first + driven.shape[1]] = driven > 0
        return on.view(arrays, rows, cols)

    def _drive(self, first: int, selected: Tensor, voltage: float) -> circuit.Drive:
        """The selected word line against the driven bit lines; circuits without any rest."""
        layout, line = self.array.layout, first // self.array.cols
        on = layout.join(selected)
        lines = on[:, line].any(1, keepdim=True) & (
            torch.arange(self.array.rows, device=on.device) == line
        )
        whole = torch.tensor([voltage], dtype=torch.float64, device=on.device)
        return circuit.Drive.against(
            layout.place_rows(lines), layout.place_cols(on[:, line]), whole, self.scheme
        )
