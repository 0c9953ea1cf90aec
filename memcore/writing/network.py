"""Pulses through the network of all lines and cells of an array, half-selected ones included."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from memcore import circuit
from memcore.circuit.laid import LaidLaw
from memcore.circuit.ohmic import OhmicCircuit
from memcore.contracts.array import ArrayInfo
from memcore.contracts.wires import Wires
from memcore.writing.cells import CellParameters
from memcore.writing.path import is_ohmic, law_of, wires_of

_TOLERANCE: Final = 1e-8  #: of voltages and currents, relative to the largest


@dataclass(frozen=True, eq=False)
class _Conducting:
    """The law of cells of which some have a transistor that is off.

    Args:
        law: of the cells that conduct.
        mask: bool, which cells these are.
    """

    law: circuit.CellLaw
    mask: Tensor

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        """Current in A, 0 where the transistor is off."""
        return torch.where(self.mask, self.law.current(u, g), 0)

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        """Slope in S, 0 where the transistor is off."""
        return torch.where(self.mask, self.law.slope(u, g), 0)


@dataclass(frozen=True)
class _Channel:
    """A transistor that is on, in its linear region.

    Args:
        ohm: its resistance in ohm.
    """

    ohm: float

    def current(self, u: Tensor) -> Tensor:
        """Current in A."""
        return u / self.ohm

    def slope(self, u: Tensor) -> Tensor:
        """Slope in S."""
        return torch.full_like(u, 1 / self.ohm)


@dataclass(frozen=True, eq=False)
class Across:
    """What a selection does to an array.

    Args:
        voltage: in V across every memristor, [arrays, rows x cols].
        lost: power in W that the wires take, [arrays].
    """

    voltage: Tensor
    lost: Tensor


class Network:
    """All cells of an array and its wires, solved for every selection.

    Arrays of numbered cells are handed in and out; parts of a weight that share word lines are one
    circuit. Each solution starts from the one before. Ohmic cells between driven lines are solved
    by the native kernel for small arrays, to the same residual.

    Args:
        array: with its wires; without any, the lines are ideal.
        scheme: what the lines that are not selected are connected to.
        transistor: resistance in ohm of the transistors that are on, or one with a gate line; None
            for cells without.

    Raises:
        ConfigError: the scheme is not known.

    Examples:
        >>> from memcore.testing.cases import array
        >>> from memcore.writing import Network
        >>> info = array(spread=False, arrays=1, rows=2, cols=2)
        >>> across = Network(info, "V/2").seen(0, torch.ones(1, 1), 1.0, torch.zeros(1, 1, 4))
        >>> across.voltage
        tensor([[1.0000, 0.5000, 0.5000, 0.0000]])
    """

    def __init__(
        self,
        array: ArrayInfo,
        scheme: circuit.Scheme,
        transistor: float | circuit.Transistor | None = None,
    ) -> None:
        self.array, self.transistor = array, transistor
        self.scheme = circuit.scheme_named(scheme)
        self.cells = CellParameters(array, array.shape).pick(slice(None))
        self.wires: Wires | None = None
        self.last: circuit.Solution | None = None
        self.ohmic: OhmicCircuit | None = None
        self.driven: tuple[tuple[int, Tensor, float], circuit.Drive] | None = None

    def seen(self, first: int, driven: Tensor, voltage: float, state: Tensor) -> Across:
        """Solve the arrays.

        Args:
            first: number of the first of the selected cells, which lie on one word line.
            driven: which of them see the voltage, 0 or 1, [arrays, selected].
            voltage: in V across the driven cells, but for what the lines take.
            state: [k, arrays, rows x cols].

        Raises:
            ConvergenceError: the solver finds no solution.
        """
        state = state.reshape(-1, *self.array.shape)
        g = self.cells.conductance(state).double().expand(self.array.shape)
        drive = self._drive(first, driven, voltage)
        found = self._by_kernel(g, drive)
        if found is None:
            found = self._by_newton(g, state.double(), drive, self._selected(first, driven))
        seen, lost = found
        return Across(seen.flatten(1).to(driven), self._shared(lost.to(driven), driven))

    def _shared(self, lost: Tensor, driven: Tensor) -> Tensor:
        """What wires take of circuits, by the driven cells of the arrays that share them."""
        parts = self.array.layout.parts
        if parts == 1:
            return lost  # nothing where no cell is driven
        count = driven.sum(1)
        return lost.repeat(parts) * (count / self.together(count).clamp(min=1))

    def _by_kernel(self, g: Tensor, drive: circuit.Drive) -> tuple[Tensor, Tensor] | None:
        """Voltages across ohmic cells and what wires take; None where the kernel cannot tell."""
        if self.transistor is not None or self.scheme == "floating" or not is_ohmic(self.array):
            return None
        self.wires = self.wires or wires_of(self.array, g.device)
        laid = self.array.layout.lay(g)
        self.ohmic = self.ohmic or OhmicCircuit.of(laid, self.wires)
        found = None if self.ohmic is None else self.ohmic.solve(laid, drive, _TOLERANCE)
        return None if found is None else (self.array.layout.number(found.voltage), found.lost)

    def _by_newton(
        self, g: Tensor, state: Tensor, drive: circuit.Drive, selected: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Voltages across memristors of any kind, and what wires take."""
        self.wires = self.wires or wires_of(self.array, g.device)
        solution = self.last = circuit.solve(
            self.array.layout.lay(g),
            self.wires,
            drive,
            law=self._law(selected, state),
            series=self._series,
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
        return seen, given - spent

    def together(self, count: Tensor) -> Tensor:
        """Sums of counts [arrays] over the arrays that are one circuit, [arrays]."""
        parts = self.array.layout.parts
        return count.view(parts, -1).sum(0).repeat(parts)

    @property
    def _series(self) -> circuit.SeriesElement | None:
        """What is in series with the cells whose transistors are on."""
        if isinstance(self.transistor, circuit.Transistor):
            return self.transistor
        return _Channel(self.transistor) if self.transistor else None

    def _law(self, selected: Tensor, state: Tensor) -> circuit.CellLaw:
        law = law_of(self.array, self.cells, state)
        if isinstance(law, circuit.Ohmic) and self.transistor is None:
            return law
        if self.transistor is not None:
            law = _Conducting(law, selected)
        return LaidLaw(law, self.array.layout)

    def _selected(self, first: int, driven: Tensor) -> Tensor:
        """Which cells are driven, [arrays, rows, cols]."""
        arrays, rows, cols = self.array.shape
        on = torch.zeros(arrays, rows * cols, dtype=torch.bool, device=driven.device)
        on[:, first : first + driven.shape[1]] = driven > 0
        return on.view(arrays, rows, cols)

    def _drive(self, first: int, driven: Tensor, voltage: float) -> circuit.Drive:
        """The drive of a selection, from memory while the selection stays."""
        if self.driven is not None:
            (of_first, of_cells, of_voltage), drive = self.driven
            if of_cells is driven and (of_first, of_voltage) == (first, voltage):
                return drive
        drive = self._driven(first, self._selected(first, driven), voltage)
        self.driven = (first, driven, voltage), drive
        return drive

    def _driven(self, first: int, selected: Tensor, voltage: float) -> circuit.Drive:
        """The selected word line against the driven bit lines; circuits without any rest."""
        layout, line = self.array.layout, first // self.array.cols
        on = layout.join(selected)
        lines = on[:, line].any(1, keepdim=True) & (
            torch.arange(self.array.rows, device=on.device) == line
        )
        whole = torch.tensor([voltage], dtype=torch.float64, device=on.device)
        drive = circuit.Drive.against(
            layout.place_rows(lines), layout.place_cols(on[:, line]), whole, self.scheme
        )
        if voltage >= 0 or not isinstance(self.transistor, circuit.Transistor):
            return drive
        # Gate lines have potentials against ground, below which chips drive no line.
        word, bit = drive.word_line - whole, drive.bit_line
        return dataclasses.replace(
            drive, word_line=word, bit_line=None if bit is None else bit - whole
        )
