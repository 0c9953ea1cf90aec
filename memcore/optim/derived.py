"""`DerivedCells`: cells whose conductances are computed from their states when they are asked."""

from typing import Protocol

import torch
from torch import Tensor

from memcore.crossbar.cells import Cells
from memcore.crossbar.effects import Effects
from memcore.crossbar.laying import are_pairs, grid_of
from memcore.dynamics.recording.run import Ready
from memcore.ops.fold_states import fold_states


class Stateful(Protocol):
    """What has the states of cells."""

    state: Tensor  #: [k, arrays, rows, cols]


class DerivedCells:
    """The conductances of cells that pulses move, which are the same to the bit whoever asks.

    Args:
        cells: whose conductances they are.
        owner: has their states.
        law: makes [conductance, *others] of the variables of some cells.
    """

    def __init__(self, cells: Cells, owner: Stateful, law: Ready) -> None:
        self._cells, self._owner, self.law = cells, owner, law

    def conductance(self) -> Tensor:
        """As `CellSource.conductance`."""
        return self.of(self._owner.state)

    def of(self, state: Tensor, first: int = 0) -> Tensor:
        """What some cells conduct in S, [*cells].

        Args:
            state: of them, [k, *cells], each variable in one piece of memory.
            first: number of the first one among all cells.
        """
        g, x = torch.empty_like(state[0]), [*state]
        self.law(x, [g, *x[1:]], x[0].unsqueeze(0), first_cell=first)
        return g

    def fold(self, out: Tensor) -> bool | None:
        """As `CellSource.fold`."""
        return self.fold_rows(slice(0, self._cells.tiling.rows), out)

    def fold_rows(self, rows: slice, out: Tensor) -> bool | None:
        """As `fold` for some inputs, with `out` of [groups, outputs, inputs]."""
        cells, tiling = self._cells, self._cells.tiling
        if not self._are_plain:
            return None
        state, gain, grid = self._owner.state, cells.scale.view(-1), grid_of(tiling)
        is_shared = tiling.shared == (False, True)
        return fold_states(state, self.law.motion, gain, grid, rows, reference=is_shared, out=out)

    @property
    def _are_plain(self) -> bool:
        """Whether nothing but their pulses changes what the cells of two parts conduct."""
        cells = self._cells
        acts = not isinstance(cells.effects, Effects) or not cells.effects.is_nothing
        return not acts and are_pairs(cells.tiling, cells.parts, cells.scale)
