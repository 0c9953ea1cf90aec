"""`counting`: what the arrays of a network do while it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add

from torch import nn

from memcore.contracts.cost import Activity
from memcore.crossbar.counted import Tally
from memcore.crossbar.line_trace import LineTrace
from memcore.nn.walk import named_matrices


@dataclass(frozen=True)
class Counts(Mapping[str, Activity]):
    """What `counting` counts: the activity of each matrix by its qualified name."""

    tallies: Mapping[str, Tally]

    def __getitem__(self, name: str) -> Activity:
        return self.tallies[name].activity

    def __iter__(self) -> Iterator[str]:
        return iter(self.tallies)

    def __len__(self) -> int:
        return len(self.tallies)

    @property
    def traces(self) -> dict[str, LineTrace]:
        """Which word lines each matrix really drove, with `traced=True`."""
        traces = {name: tally.trace for name, tally in self.tallies.items()}
        return {name: trace for name, trace in traces.items() if trace is not None}

    @property
    def total(self) -> Activity:
        """The activity of all matrices, each counted once."""
        unique = dict.fromkeys(self.tallies.values())
        return reduce(add, (tally.activity for tally in unique), Activity())


@contextmanager
def counting(model: nn.Module, *, traced: bool = False) -> Iterator[Counts]:
    """Count what the arrays of a network do: reads, conversions, pulses, power of the cells.

    Everything is counted, forward passes of training too; what the network computes stays the
    same, up to the last bits where nothing non-ideal is configured. Integers come by arithmetic
    from the plan of each read, power from the simulated conductances and voltages.

    Args:
        model: a converted network.
        traced: whether to look at the inputs too: how many word lines have a voltage in each read,
            and how many inputs have a one in each bit. That takes a little longer.

    Raises:
        ConversionError: it has no memristive layer.

    Examples:
        >>> mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
        >>> with memcore.counting(mem) as counts:
        ...     y = mem(torch.ones(5, 3))
        >>> counts.total.reads, counts.total.drives
        (10, 30)
    """
    matrices = named_matrices(model)
    made: dict[nn.Module, Tally] = {}
    for _, matrix in matrices.values():
        made.setdefault(matrix, Tally(matrix.crossbar, traced=traced))
    counts = Counts({name: made[matrix] for name, (_, matrix) in matrices.items()})
    for tally in made.values():
        tally.attach()
    try:
        yield counts
    finally:
        for tally in made.values():
            tally.detach()
