"""`counting`: what the arrays of a network do while it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add

from torch import nn

from memcore.contracts.cost import Activity
from memcore.crossbar.counted import Tally
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
    def total(self) -> Activity:
        """The activity of all matrices, each counted once."""
        unique = dict.fromkeys(self.tallies.values())
        return reduce(add, (tally.activity for tally in unique), Activity())


@contextmanager
def counting(model: nn.Module) -> Iterator[Counts]:
    """Count what the arrays of a network do: reads, conversions, pulses, power of the cells.

    Everything is counted, forward passes of training too; what the network computes stays the
    same, up to the last bits where nothing non-ideal is configured. Integers come by arithmetic
    from the plan of each read, power from the simulated conductances and voltages.

    Args:
        model: a converted network.

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
        made.setdefault(matrix, Tally(matrix.crossbar))
    counts = Counts({name: made[matrix] for name, (_, matrix) in matrices.items()})
    for tally in made.values():
        tally.attach()
    try:
        yield counts
    finally:
        for tally in made.values():
            tally.detach()
