"""`Counted`: a reader that notes what it does, by arithmetic on the plan of a read."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from memcore.contracts.cost import Activity
from memcore.contracts.forms import SerialLevels
from memcore.crossbar.cells import Written
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.dissipation import OhmicPower, power_of
from memcore.crossbar.driven import Driven
from memcore.crossbar.line_trace import LineTrace
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import AnyReader, Bounded
from memcore.crossbar.readers.phases import drive, in_phases
from memcore.ops.windows import Images

#: Sums of the simulated cells are Python numbers, which no graph holds.
_uncompiled: Callable[[Callable[..., None]], Callable[..., None]] = torch.compiler.disable


class Reads:
    """Reads by one plan: their number, from which all counts follow, and their power.

    Args:
        plan: phases, groups of word lines and lanes of a read.
    """

    def __init__(self, plan: ReadPlan) -> None:
        self.plan = plan
        self.vectors = 0
        self.power = 0.0

    def add(self, vectors: int, power: float) -> None:
        """Count some more."""
        self.vectors += vectors
        self.power += power

    @property
    def activity(self) -> Activity:
        """What they take."""
        return self.plan.activity(self.vectors) + Activity(dissipation=self.power)


class Tally:
    """What the arrays of one matrix did since `attach`; `activity` has the sums."""

    def __init__(self, crossbar: Crossbar, *, traced: bool = False) -> None:
        #: Which word lines had a voltage; None if nobody asked.
        self.trace = LineTrace() if traced else None
        self._written = Activity()
        self._reads: dict[ReadPlan, Reads] = {}
        self._crossbar = crossbar

    @property
    def activity(self) -> Activity:
        """The sums so far."""
        total = self._written
        for reads in list(self._reads.values()):
            if reads.vectors:
                total = total + reads.activity
        return total

    def reads(self, plan: ReadPlan) -> Reads:
        """The reads by a plan so far, to which others are added."""
        return self._reads.setdefault(plan, Reads(plan))

    def attach(self) -> None:
        """Begin to count."""
        self._crossbar.cells.listeners.append(self._write)
        self._crossbar.watch(self._counted)

    def detach(self) -> None:
        """End counting."""
        self._crossbar.cells.listeners.remove(self._write)
        self._crossbar.watch(None)

    def _counted(self, reader: AnyReader, plan: ReadPlan) -> nn.Module:
        return Counted(reader, plan, self, self._crossbar)

    def _write(self, written: Written) -> None:
        programmed, cells = written.programmed, written.target.numel()
        self._written = self._written + Activity(
            pulses=round(_total(programmed.pulses, cells)),
            cells_written=cells,
            programming_energy=_total(programmed.energy, cells),
            programming_time=_total(programmed.time, cells),
        )


class Counted(nn.Module):
    """A reader around which everything is counted; what it reads stays the same.

    Args:
        reader: what reads.
        plan: phases, groups of word lines and lanes of a read.
        tally: where counts are kept.
        crossbar: whose cells dissipate.
    """

    def __init__(self, reader: AnyReader, plan: ReadPlan, tally: Tally, crossbar: Crossbar) -> None:
        super().__init__()
        self.reader = reader
        self._plan, self._tally, self._volts = plan, tally, crossbar.input_scale
        self._reads = tally.reads(plan)
        self._power = power_of(crossbar.cells.effects, crossbar.conductance, plan.tiling)
        #: The power of inputs where they lie, so that nothing is slower; None where it is not a
        #: sum over inputs, or something else is asked for.
        self.driven: Driven | None = None
        if isinstance(self._power, OhmicPower) and tally.trace is None:
            weights = self._power.of_input * self._volts**2
            self.driven = Driven.of(weights, reader.dac, constant=reader.constant)

    @property
    def folded(self) -> Tensor:
        """As the reader has it."""
        return self.reader.folded

    def saw(self, x: Tensor, *, applied: bool = False) -> None:
        """Count reads of inputs [..., inputs] of all groups, which were read past `forward` maybe.

        Args:
            x: inputs.
            applied: whether they are behind the DAC.
        """
        assert self.driven is not None
        self._reads.add(*self.driven.of_vectors(x, applied=applied))

    def saw_images(self, images: Images, *, applied: bool = False) -> None:
        """As `saw`, of images whose windows are inputs."""
        assert self.driven is not None
        self._reads.add(*self.driven.of_images(images, applied=applied))

    def _count(self, x: Tensor, lines: Tensor | None) -> None:
        if self.driven is not None:
            self.saw(x.detach())
            return
        dac, constant = self.reader.dac, self.reader.constant
        if isinstance(dac, SerialLevels):
            phases = [digits for digits, _ in in_phases(dac, x, constant)]
        elif lines is None:
            phases = [drive(x if dac is None else dac(x), constant)]
        else:
            phases = [lines]
        power = sum(self._power(phase.detach() * self._volts) for phase in phases)
        self._reads.add(len(x), power)
        if self._tally.trace is not None:
            self._tally.trace.add([phase.detach() for phase in phases], self._plan)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """As the reader does."""
        y: Tensor
        count = _uncompiled(self._count)
        if isinstance(self.reader, Bounded):  # which tells of its repetitions too
            y = self.reader(x, reads, lines, count)
            return y
        count(x, lines)
        y = self.reader(x, reads, lines)
        return y


def looked_through(
    reader: nn.Module | AnyReader,
) -> tuple[Counted | None, nn.Module | AnyReader]:
    """What counts, if it can count reads past `forward`, and what reads."""
    if not isinstance(reader, Counted) or reader.driven is None:
        return None, reader
    return (None, reader) if torch.compiler.is_compiling() else (reader, reader.reader)


def _total(value: Tensor | float, cells: int) -> float:
    if not isinstance(value, Tensor):
        return float(value) * cells
    return float(value.double().mean()) * cells
