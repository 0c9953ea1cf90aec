"""Arrays of ohmic cells between driven lines, solved again while cells and drives change."""

from typing import Self

import torch
from torch import Tensor

from memcore.circuit.drive import Drive
from memcore.circuit.losses import Line, Lines, lines_of
from memcore.contracts.wires import Wires
from memcore.ops.loop_voltages import LoopLines, LoopVoltages, LoopWires, has_kernel


class OhmicCircuit:
    """The wires of arrays, and the last solution, from which the next one starts.

    Args:
        wires: of the arrays, as the kernel takes them.
    """

    def __init__(self, wires: LoopWires) -> None:
        self.wires = wires
        self.last: Tensor | None = None

    @classmethod
    def of(cls, g: Tensor, wires: Wires) -> Self | None:
        """The wires of arrays like `g` [arrays, rows, cols]; None where no kernel runs for them."""
        return cls.between(g, lines_of(g, wires)) if _fits(g) else None

    @classmethod
    def between(cls, g: Tensor, lines: Lines) -> Self | None:
        """The same, of lines that were prepared already."""
        if not _fits(g):
            return None
        word, bit = (_loop_lines(each) for each in (lines.word, lines.bit))
        return None if word is None or bit is None else cls(LoopWires(word, bit))

    def solve(self, g: Tensor, drive: Drive, tolerance: float) -> LoopVoltages | None:
        """The voltages across all cells; None where the residual is above the tolerance.

        Args:
            g: conductances in S, [arrays, rows, cols].
            drive: voltages of the word lines [..., rows] and of the bit lines [..., cols] in V.
            tolerance: bound of the residual, as `solve` of memcore.circuit takes it.
        """
        arrays, rows, cols = g.shape
        bit = torch.zeros_like(g[:, 0]) if drive.bit_line is None else drive.bit_line
        ends = drive.word_line.expand(arrays, rows), bit.expand(arrays, cols)
        found = self.wires.solve(g, *ends, tolerance=tolerance, start=self.last)
        met = all(each <= tolerance for each in found.residual.tolist())
        self.last = found.voltage if met else None
        return found if met else None


def _fits(g: Tensor) -> bool:
    return has_kernel(g, g.shape[-2:].numel())


def _loop_lines(line: Line) -> LoopLines | None:
    """The lines as the kernel takes them; None for those that were prepared without it."""
    if line.ladders is None:
        return None
    return LoopLines.of(line.segments, line.far, line.ladders)
