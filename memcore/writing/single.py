"""Cells that are written one at a time: pulsed and read in any order, each behind its own path."""

from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.records import Context
from memcore.writing.cells import CellModel, CellParameters, beginning, of_cells
from memcore.writing.energy import energy_of
from memcore.writing.metering import PulseMeter, behind_lines, of_cell
from memcore.writing.options import LineOptions, ReadOptions
from memcore.writing.path import Path
from memcore.writing.reads import Reads


@dataclass(frozen=True, eq=False)
class Reading:
    """What a read finds.

    Args:
        value: conductance in S with the noise of the read, [n].
        true: conductance in S, [n]; no programmer on a chip knows it.
        sigma: standard deviation of the read in S, [n] or one number.
        energy: in J, [n].
    """

    value: Tensor
    true: Tensor
    sigma: Tensor | float
    energy: Tensor


@dataclass(frozen=True, eq=False)
class Pulsed:
    """What a pulse does.

    Args:
        state: after it, [k, n].
        energy: of cell, transistor and lines in J, [n].
    """

    state: Tensor
    energy: Tensor


@dataclass(frozen=True, eq=False)
class SingleCells:
    """The cells of an array as a programmer with `lines = "path"` writes them.

    Each has an access transistor: neighbours see nothing of a pulse, and lines and transistor are
    in series with the one cell that conducts. Cells are numbered in C order over [arrays, rows,
    cols]; draws belong to the cell, whichever others are written along with it.

    Args:
        array: the cells; of them the programmer is told `present`, `stuck`, `noises` and `wires`.
        draws: context of this writing.
        first: state in which writing finds the cells, [k, cells].
        parameters: of the cells.
        path: to the cells.
        reads: of the cells.

    Examples:
        >>> from memcore.testing.cases import array, context
        >>> from memcore.writing import SingleCells
        >>> info, how = array(arrays=1, rows=2, cols=2), memcore.programmers["open_loop"]()
        >>> cells = SingleCells.of(info, torch.zeros(1, 2, 2), context(), lines=how, reads=how)
        >>> some = cells.chosen(torch.tensor([1, 3]))
        >>> after = some.pulse(cells.first[:, [1, 3]], 1.0, 2e-7, "pulse", 0)
        >>> bool((some.read(after.state, "read", 0).value > 1e-5).all())
        True
    """

    array: ArrayInfo
    draws: Context
    first: Tensor
    parameters: CellParameters
    path: Path
    reads: Reads

    @classmethod
    def of(
        cls,
        array: ArrayInfo,
        target: Tensor,
        ctx: Context,
        *,
        lines: LineOptions,
        reads: ReadOptions,
    ) -> "SingleCells":
        """The cells as `Programmer.program` is handed them.

        Args:
            array: the cells.
            target: [arrays, rows, cols] in S, whose dtype and device the states take.
            ctx: as `program` gets it.
            lines: parameters of the lines, usually the programmer itself.
            reads: parameters of the reads, usually the programmer itself.
        """
        array = lines.behind_lines(array)
        state = beginning(array, target, ctx)
        return cls(
            array=array,
            draws=ctx.child("write", ctx.writes),
            first=state.reshape(len(state), target.numel()),
            parameters=CellParameters(array, (target.numel(),)),
            path=lines.path(array, target.device),
            reads=Reads.of(array, reads),
        )

    @cached_property
    def all(self) -> "ChosenCells":
        """All cells of the arrays."""
        number = torch.arange(self.first.shape[1], device=self.first.device)
        return ChosenCells(self, number, self.parameters.pick(slice(None)))

    @cached_property
    def meter(self) -> PulseMeter:
        """What tells the energy of pulses natively."""
        if self.path.resists:
            return PulseMeter(self.parameters, behind_lines, given=2)
        return PulseMeter(self.parameters, of_cell)

    def chosen(self, number: Tensor) -> "ChosenCells":
        """Some of the cells.

        Args:
            number: int64 [n], their numbers in C order, each at most once.
        """
        return ChosenCells(self, number, self.parameters.pick(number))


@dataclass(frozen=True, eq=False)
class ChosenCells:
    """Some cells that are written one at a time; state in, state out.

    Args:
        among: all the cells.
        number: int64 [n], numbers of the chosen ones, in C order.
        device: their model.
    """

    among: SingleCells
    number: Tensor
    device: CellModel

    def conductance(self, state: Tensor) -> Tensor:
        """True conductance [n] in S in a state [k, n]."""
        return self.device.conductance(state)

    def read(self, state: Tensor, *names: str | int) -> Reading:
        """Read the cells once.

        Args:
            state: [k, n].
            names: of the noise; a name that was used before gives the same noise again.
        """
        g, reads = self.device.conductance(state), self.among.reads
        sigma = reads.sigma(g, self.number)
        taken = reads.taken(g, sigma, self.among.draws.child(*names), self.number)
        return Reading(value=taken, true=g, sigma=sigma, energy=reads.energy(g))

    def pulse(
        self,
        state: Tensor,
        voltage: Tensor | float,
        width: float,
        *names: str | int,
        parts: int = 1,
    ) -> Pulsed:
        """Send each cell one pulse.

        Args:
            state: [k, n] before it.
            voltage: [n] or one number, in V with its sign, at the ends of the lines.
            width: in s.
            names: of what the devices draw; a name that was used before gives the same again.
            parts: number of equal parts of the pulse; what the lines leave of the voltage is
                found anew for each, if they take any.
        """
        path, draws = self.among.path, self.among.draws
        parts = parts if path.resists else 1
        applied = (
            voltage if isinstance(voltage, Tensor) else state.new_full(state[0].shape, voltage)
        )
        energies = []
        for part in range(parts):
            seen = path.seen(applied, self.device, state, self.number)
            drawn = (*names, *([part] if part else []))
            ctx = of_cells(draws, self.number, *drawn)
            after = self.device.step(state, seen, width / parts, ctx)
            energies.append(self._energy(state, after, width / parts, applied, seen, drawn))
            state = after
        return Pulsed(state, reduce(torch.add, energies))

    def _energy(
        self,
        before: Tensor,
        after: Tensor,
        width: float,
        applied: Tensor,
        seen: Tensor,
        drawn: tuple[str | int, ...],
    ) -> Tensor:
        """Energy of cell, transistor and lines in J, [n], of a part of a pulse."""
        among, draws = self.among, self.among.draws.child(*drawn)
        path = among.path
        if path.ohmic or not path.resists:
            lines = (applied, path.to(self.number, applied)) if path.resists else ()
            spent = among.meter.energy(self.device, (before, after), seen, width, *lines)
            if spent is not None:
                return spent

        def moved(cells: Tensor, state: Tensor, seconds: float) -> Tensor:
            ctx = of_cells(draws, self.number[cells])
            device = among.parameters.pick(self.number[cells])
            return device.step(state, seen[cells], seconds, ctx)

        def power(cells: Tensor | slice, state: Tensor) -> Tensor:
            number, every = self.number[cells], isinstance(cells, slice)
            device = self.device if every else among.parameters.pick(number)
            across = path.seen(applied[cells], device, state, number)
            return applied[cells] * device.current(state, across)

        return energy_of(before, after, width, moved=moved, power=power)
