"""`DerivedCells`: cells whose conductances are computed from their states when they are asked."""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from memcore.crossbar.cells import Cells
from memcore.crossbar.effects import Effects
from memcore.crossbar.laying import are_pairs
from memcore.crossbar.tiling import Tiling
from memcore.dynamics.recording.run import Ready
from memcore.ops import pairs

#: Cells whose conductances are in memory together while they are folded.
_TOGETHER: Final = 1 << 17


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
        g = torch.empty_like(state[0])
        self._put(state, g, first)
        return g

    def fold(self, out: Tensor) -> bool | None:
        """As `CellSource.fold`."""
        return self.fold_rows(slice(0, self._cells.tiling.rows), out)

    def fold_rows(self, rows: slice, out: Tensor) -> bool | None:
        """As `fold` for some inputs, with `out` of [groups, outputs, inputs]."""
        tiling, gain = self._cells.tiling, self._cells.scale
        if not self._are_plain or not pairs.fits(self._owner.state, gain):
            return None
        is_finite, is_shared = True, tiling.shared == (False, True)
        arrays = _Arrays.of(tiling)
        for block in _blocks(arrays, rows):
            height, begin = block.last - block.first, block.row - rows.start
            grid = pairs.Grid(1, height, tiling.cols, height, arrays.data_cols)
            place = out[block.group : block.group + 1, :, begin : begin + height]
            g = self._conductances(arrays, block)
            _, fits = pairs.fold(g, gain.view(-1), grid, reference=is_shared, out=place)
            is_finite = is_finite and fits
        return is_finite

    @property
    def _are_plain(self) -> bool:
        """Whether nothing but their pulses changes what the cells of two parts conduct."""
        cells = self._cells
        acts = not isinstance(cells.effects, Effects) or not cells.effects.is_nothing
        return not acts and are_pairs(cells.tiling, cells.parts, cells.scale)

    def _conductances(self, arrays: "_Arrays", block: "_Block") -> Tensor:
        """Of some word lines of all arrays that the same inputs drive, [arrays, lines, cols] S."""
        state, lines, count = self._owner.state, slice(block.first, block.last), arrays.across
        g = state.new_empty(arrays.parts * count, block.last - block.first, arrays.cols)
        for part in range(arrays.parts):
            tile = (part * arrays.groups + block.group) * arrays.down + block.tile
            some, own = state[:, tile * count : (tile + 1) * count], g[part * count :][:count]
            if g.shape[1] == arrays.rows:
                self._put(some, own, tile * count * arrays.size)
                continue
            for column in range(count):
                first = (tile * count + column) * arrays.size + block.first * arrays.cols
                self._put(some[:, column, lines], own[column], first)
        return g

    def _put(self, state: Tensor, g: Tensor, first: int) -> None:
        x = [*state]
        self.law(x, [g, *x[1:]], x[0].unsqueeze(0), first_cell=first)


class _Arrays(NamedTuple):
    """How many arrays there are, and their lines."""

    parts: int
    groups: int
    down: int
    across: int
    rows: int
    cols: int
    data_cols: int

    @classmethod
    def of(cls, tiling: Tiling) -> "_Arrays":
        tiles = tiling.full_parts, tiling.groups, tiling.row_tiles, tiling.col_tiles
        return cls(*tiles, tiling.array_rows, tiling.array_cols, tiling.data_cols)

    @property
    def size(self) -> int:
        """Cells of one of them."""
        return self.rows * self.cols


class _Block(NamedTuple):
    """Word lines `first` to `last` of the arrays of a group and a tile of rows.

    The first one is that of input `row`.
    """

    group: int
    tile: int
    first: int
    last: int
    row: int


def _blocks(arrays: _Arrays, rows: slice) -> Iterator[_Block]:
    """Word lines of some inputs, as many together as a cache may hold."""
    lines, height = arrays.rows, max(1, _TOGETHER // (arrays.parts * arrays.across * arrays.cols))
    for group in range(arrays.groups):
        for tile in range(rows.start // lines, -(-rows.stop // lines)):
            begin = max(rows.start - tile * lines, 0)
            end = min(rows.stop - tile * lines, lines)
            for first in range(begin, end, height):
                last = min(first + height, end)
                yield _Block(group, tile, first, last, tile * lines + first)
