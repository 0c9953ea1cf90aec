"""What a solved circuit says."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Voltages and currents of a crossbar, [...] being the dimensions of vectors and arrays.

    Attributes:
        word_line: V of the word-line nodes, [..., rows, cols].
        bit_line: V of the bit-line nodes, [..., rows, cols].
        cell_current: A from word line to bit line, [..., rows, cols].
        device_voltage: V across the memristor alone, [..., rows, cols]; that of the cell without a
            series element.
        iterations: of Newton's method, the most that a vector took.
        residual: [...], how far the equations are from being met: the largest of the imbalances
            of currents at the nodes, relative to the largest cell current, and of the voltages,
            relative to the largest of those that are applied.
        converged: bool [...], whether the residual is within the tolerance.
    """

    word_line: Tensor
    bit_line: Tensor
    cell_current: Tensor
    device_voltage: Tensor
    iterations: int
    residual: Tensor
    converged: Tensor

    @property
    def cell_voltage(self) -> Tensor:
        """V across cells, series elements included, [..., rows, cols]."""
        return self.word_line - self.bit_line

    @property
    def current(self) -> Tensor:
        """A out of the bit lines into their ends, [..., cols]; 0 for those that float."""
        return self.cell_current.sum(-2)

    @property
    def driver_current(self) -> Tensor:
        """A out of the drivers into the word lines, [..., rows]; 0 for those that float."""
        return self.cell_current.sum(-1)
