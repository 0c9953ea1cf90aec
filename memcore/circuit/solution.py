"""The solution of a circuit."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memcore.errors import ConfigError, ShapeError


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Voltages and currents of a crossbar, [...] being the dimensions of vectors and arrays.

    Attributes:
        word_line: voltages of the word-line nodes in V, [..., rows, cols].
        bit_line: voltages of the bit-line nodes in V, [..., rows, cols].
        cell_current: currents from word lines to bit lines in A, [..., rows, cols].
        device_voltage: voltages across the memristors alone in V, [..., rows, cols]; without a
            series element, those across the cells.
        iterations: number of iterations of Newton's method, the largest of all vectors; 0 where
            ohmic cells needed none.
        residual: how far the equations are from being met, [...]: the largest imbalance of the
            currents at the nodes, relative to the largest cell current, or of the voltages,
            relative to the largest applied one.
        converged: whether the residual is within the tolerance, bool [...].
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
        """The voltages across cells, series elements included, in V, [..., rows, cols]."""
        return self.word_line - self.bit_line

    @property
    def current(self) -> Tensor:
        """The currents of the bit lines into their ends in A, [..., cols]; 0 where they float."""
        return self.cell_current.sum(-2)

    @property
    def driver_current(self) -> Tensor:
        """The currents of the drivers into the word lines in A, [..., rows]; 0 where they float."""
        return self.cell_current.sum(-1)


def require_start(known: object, shape: tuple[int, ...]) -> None:
    """Refuse what is no solution from which a circuit of `shape` [..., rows, cols] can start.

    Raises:
        ConfigError: it is no solution, or does not broadcast.
    """
    if not isinstance(known, Solution):
        raise ConfigError(f"start is a {type(known).__name__}; expected a Solution of solve")
    came = known.cell_current.shape
    lead = zip(reversed(came[:-2]), reversed(shape[:-2]), strict=False)
    more = len(came) > len(shape) or any(a not in (1, b) for a, b in lead)
    if more or came[-2:] != shape[-2:]:
        raise ShapeError(
            f"start is a solution of shape {list(came)}; expected one that broadcasts to "
            f"{list(shape)}, as g and the drive have it"
        )
