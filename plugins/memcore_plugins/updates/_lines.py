"""The lines of a matrix that transfers read in turn: its columns, or its rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import PulsedWeights
from memcore.optim import PulsedCells


@dataclass(frozen=True)
class Lines:
    """Which lines of matrices [groups, outputs, inputs] are read, one by one.

    Args:
        shape: groups, outputs and inputs.
        rows: whether they are rows, one for each output, and not columns.
        exact: whether cells are read without converters and without the noise of a read.
    """

    shape: tuple[int, int, int]
    rows: bool
    exact: bool

    @property
    def count(self) -> int:
        """How many there are."""
        return self.shape[1 if self.rows else 2]

    @property
    def across(self) -> int:
        """How many weights of a group each of them has."""
        return self.shape[2 if self.rows else 1]

    def at(self, lines: slice) -> tuple[slice, ...]:
        """Where some of them are in a matrix [groups, outputs, inputs]."""
        return (slice(None), lines) if self.rows else (slice(None), slice(None), lines)

    def of_lines(self, values: Tensor) -> Tensor:
        """Values [n] of n lines, as they broadcast over the weights of these lines."""
        return values.unsqueeze(1) if self.rows else values

    def of_across(self, values: Tensor) -> Tensor:
        """Values of the weights of each line, as they broadcast over the weights of lines."""
        return values if self.rows else values.unsqueeze(1)

    def read(self, weights: PulsedWeights, lines: slice, device: torch.device) -> Tensor:
        """What some of them show, [groups, outputs, columns] or [groups, rows, inputs]."""
        if not isinstance(weights, PulsedCells):
            return self._multiplied(weights, lines, device)
        if self.rows:
            return weights.stored(outputs=lines)
        return weights.stored(inputs=lines) if self.exact else weights.read_columns(lines)

    def as_vectors(self, lines: slice, v: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and errors [n, groups, ...] with which `-d x` is what n lines have shown."""
        if self.rows:
            return v.permute(1, 0, 2), -self._unit(1, lines, v.device)
        return self._unit(2, lines, v.device), -v.permute(2, 0, 1)

    def slots(self, count: Tensor) -> int:
        """Time slots of numbers of pulses of some lines, those of one at the same time."""
        return int(count.abs().amax((0, 2) if self.rows else (0, 1)).sum())

    def _multiplied(self, weights: PulsedWeights, lines: slice, device: torch.device) -> Tensor:
        """What weights show that know products alone, and have no converters."""
        inputs = slice(None) if self.rows else lines
        shown = weights.read(self._unit(2, inputs, device)).permute(1, 2, 0)
        return shown[:, lines] if self.rows else shown

    def _unit(self, side: int, lines: slice, device: torch.device) -> Tensor:
        """Vectors that drive one line each, [lines, groups, outputs or inputs]."""
        unit = torch.eye(self.shape[side], device=device)[lines]
        return unit.unsqueeze(1).expand(-1, self.shape[0], -1)
