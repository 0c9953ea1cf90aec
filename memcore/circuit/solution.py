"""What a solved circuit says."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
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

    def __getitem__(self, index: Any) -> "Solution":
        """Some of the vectors and arrays, by the leading dimensions."""
        key = index if isinstance(index, tuple) else (index,)
        cells = {
            name: getattr(self, name)[(*key, slice(None), slice(None))]
            for name in ("word_line", "bit_line", "cell_current", "device_voltage")
        }
        return dataclasses.replace(
            self, **cells, residual=self.residual[key], converged=self.converged[key]
        )

    def to(self, dtype: torch.dtype) -> "Solution":
        """The voltages and currents in another dtype."""
        fields = ("word_line", "bit_line", "cell_current", "device_voltage")
        return dataclasses.replace(self, **{name: getattr(self, name).to(dtype) for name in fields})

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
