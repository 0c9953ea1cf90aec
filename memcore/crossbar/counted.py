"""`Counted`: a reader that notes what it does, by arithmetic on the plan of a read."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from memcore.contracts.cost import Activity
from memcore.contracts.forms import SerialLevels
from memcore.crossbar.cells import Written
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.dissipation import power_of
from memcore.crossbar.line_trace import LineTrace
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import Reader
from memcore.crossbar.readers.phases import drive, in_phases

#: Sums of the simulated cells are Python numbers, which no graph holds.
_uncompiled: Callable[[Callable[..., None]], Callable[..., None]] = torch.compiler.disable


class Tally:
    """What the arrays of one matrix did since `attach`; `activity` has the sums."""

    def __init__(self, crossbar: Crossbar, *, traced: bool = False) -> None:
        self.activity = Activity()
        #: Which word lines had a voltage; None if nobody asked.
        self.trace = LineTrace() if traced else None
        self._crossbar = crossbar

    def attach(self) -> None:
        """Begin to count."""
        self._crossbar.cells.listeners.append(self._write)
        self._crossbar.watch(self._counted)

    def detach(self) -> None:
        """End counting."""
        self._crossbar.cells.listeners.remove(self._write)
        self._crossbar.watch(None)

    def _counted(self, reader: Reader, plan: ReadPlan) -> nn.Module:
        return Counted(reader, plan, self, self._crossbar)

    def add(self, activity: Activity) -> None:
        """Count some more."""
        self.activity = self.activity + activity

    def _write(self, written: Written) -> None:
        programmed, cells = written.programmed, written.target.numel()
        self.add(
            Activity(
                pulses=round(_total(programmed.pulses, cells)),
                cells_written=cells,
                programming_energy=_total(programmed.energy, cells),
                programming_time=_total(programmed.time, cells),
            )
        )


class Counted(nn.Module):
    """A reader around which everything is counted; what it reads stays the same.

    Args:
        reader: what reads.
        plan: phases, groups of word lines and lanes of a read.
        tally: where counts are kept.
        crossbar: whose cells dissipate.
    """

    def __init__(self, reader: Reader, plan: ReadPlan, tally: Tally, crossbar: Crossbar) -> None:
        super().__init__()
        self.reader = reader
        self._plan, self._tally, self._volts = plan, tally, crossbar.input_scale
        self._power = power_of(crossbar.cells.effects, crossbar.conductance, plan.tiling)

    @property
    def folded(self) -> Tensor:
        """As the reader has it."""
        return self.reader.folded

    def _count(self, x: Tensor, lines: Tensor | None) -> None:
        dac, constant = self.reader.dac, self.reader.constant
        if isinstance(dac, SerialLevels):
            phases = [digits for digits, _ in in_phases(dac, x, constant)]
        elif lines is None:
            phases = [drive(x if dac is None else dac(x), constant)]
        else:
            phases = [lines]
        power = sum(self._power(phase.detach() * self._volts) for phase in phases)
        activity = self._plan.activity(len(x))
        self._tally.add(activity + Activity(dissipation=power))
        if self._tally.trace is not None:
            self._tally.trace.add([phase.detach() for phase in phases], self._plan)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """As the reader does."""
        _uncompiled(self._count)(x, lines)
        y: Tensor = self.reader(x, reads, lines)
        return y


def _total(value: Tensor | float, cells: int) -> float:
    if not isinstance(value, Tensor):
        return float(value) * cells
    return float(value.double().mean()) * cells
