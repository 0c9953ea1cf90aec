"""What writing a network took: the records of all its layers as one table."""

from dataclasses import dataclass

from torch import nn

from memcore._text import aligned
from memcore.crossbar.yields import ArrayYield
from memcore.nn.walk import named_matrices


@dataclass(frozen=True)
class YieldReport:
    """What `yield_report` found; `str()` is a table.

    Args:
        layers: one record for each layer.
    """

    layers: tuple[ArrayYield, ...]

    @property
    def cells(self) -> int:
        """All cells."""
        return sum(layer.cells for layer in self.layers)

    @property
    def stuck(self) -> int:
        """Cells that no pulse moves, whether or not the routines noticed."""
        return sum(layer.stuck for layer in self.layers)

    @property
    def accepted(self) -> float:
        """Share of all cells that the routine accepted."""
        return sum(layer.accepted * layer.cells for layer in self.layers) / self.cells

    @property
    def pulses(self) -> float:
        """Mean number of pulses for each cell."""
        return sum(layer.pulses * layer.cells for layer in self.layers) / self.cells

    @property
    def energy(self) -> float:
        """Energy in J."""
        return sum(layer.energy for layer in self.layers)

    @property
    def time(self) -> float:
        """Time in s, all cells one after another."""
        return sum(layer.time for layer in self.layers)

    def __str__(self) -> str:
        head = ("layer", "cells", "stuck", "accepted", "pulses", "most", "reversals", "energy")
        lines = aligned([(*head, "time", "error rms", "worst accepted"), *map(_row, self.layers)])
        total = f"{100 * self.accepted:.4g} % of {self.cells:,} cells accepted"
        spent = f"{self.pulses:.3g} pulses each, {self.energy:.3g} J, {self.time:.3g} s in sequence"
        return "\n".join([*lines, f"{total}; {spent}"])


def yield_report(model: nn.Module) -> YieldReport:
    """How the last writing of each layer's arrays went.

    Args:
        model: a converted network.

    Raises:
        ConversionError: it has no memristive layer.

    Examples:
        >>> config = memcore.CrossbarConfig(device="vteam", programmer="write_verify")
        >>> mem = memcore.convert(nn.Linear(3, 2), config)
        >>> memcore.yields.yield_report(mem).accepted
        1.0
    """
    matrices = named_matrices(model).values()
    return YieldReport(tuple(matrix.crossbar.written for _, matrix in matrices))


def _row(layer: ArrayYield) -> tuple[str, ...]:
    return (
        layer.name or "(the model)",
        f"{layer.cells:,}",
        f"{layer.stuck:,}",
        f"{100 * layer.accepted:.4g} %",
        f"{layer.pulses:.3g}",
        str(layer.most_pulses),
        f"{layer.reversals:.3g}",
        f"{layer.energy:.3g} J",
        f"{layer.time:.3g} s",
        f"{100 * layer.error / layer.window:.3g} %",
        f"{100 * layer.worst / layer.window:.3g} %",
    )
