"""Geometry: how the parts of a weight matrix lie on physical arrays.

A part [groups, rows, cols] is cut into tiles; a reference column [groups, rows, 1] is carried by
the arrays of its lane as an extra bit line. Cells on lines that a layer does not use carry no
current that is read, so only the used rectangle of an array is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore.contracts.layout import Layout
from memcore.contracts.mapper import Part, Reference, subtracted
from memcore.errors import ConfigError


@dataclass(frozen=True)
class Tiling:
    """Parts of a [groups, rows, cols] matrix on arrays of `tile` word and bit lines.

    Args:
        groups: independent matrices (groups of a convolution).
        rows: inputs of one matrix.
        cols: outputs of one matrix.
        shared: for each part, whether it is a reference column.
        tile: word lines and bit lines of one array, None for one array per part and group.
        lanes: the lane of each part; all in one by default.
        copies: which of the arrays of its lane with the same weights each part is on; by default
            there is one.
        packed: groups of weights along the diagonal of one matrix, 1 for a plain matrix.
        common: word lines, the last ones, that all of these groups use.
        spare: bit lines of each array that carry nothing unless another is faulty.
        order: of the lines of each array; None if they lie as they are numbered: outputs,
            reference columns, spare ones.
    """

    groups: int
    rows: int
    cols: int
    shared: tuple[bool, ...]
    tile: tuple[int, int] | None
    lanes: tuple[int, ...] = ()
    copies: tuple[int, ...] = ()
    packed: int = 1
    common: int = 0
    spare: int = 0
    order: Layout | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        shape: Sequence[int],
        tile: tuple[int, int] | None,
        packed: int = 1,
        common: int = 0,
        spare: int = 0,
    ) -> "Tiling":
        """The geometry of the parts of a weight matrix of shape [groups, rows, cols]."""
        groups, rows, cols = shape
        for index, part in enumerate(parts):
            width = 1 if isinstance(part, Reference) else cols
            if tuple(part.target.shape) != (groups, rows, width):
                raise ConfigError(
                    f"part {index} of a mapping has shape {tuple(part.target.shape)}; expected "
                    f"{(groups, rows, width)} for weights {tuple(shape)}"
                )
        shared = tuple(isinstance(part, Reference) for part in parts)
        lanes, copies = tuple(part.lane for part in parts), tuple(part.copy for part in parts)
        return cls(groups, rows, cols, shared, tile, lanes, copies, packed, common, spare)

    def __post_init__(self) -> None:
        if not self.lanes:
            object.__setattr__(self, "lanes", (0,) * len(self.shared))
        if not self.copies:
            object.__setattr__(self, "copies", (0,) * len(self.shared))
        banks = self.banks
        if any(self.shared[banks.index(bank)] for bank in set(banks)):
            raise ConfigError("the first part of a lane of a mapping cannot be a reference column")
        counts = {len(self._references_of(bank)) for bank in set(banks)}
        if set(self.lanes) != set(range(1 + max(self.lanes))) or len(counts) != 1:
            raise ConfigError(
                f"parts of a mapping are in lanes {self.lanes!r}, reference columns among them: "
                f"{self.shared!r}; expected lanes 0, 1, ... with equally many reference columns"
            )
        if self.tile is not None and self.tile[1] <= self.references + self.spare:
            spare = f" and {self.spare} spare ones" if self.spare else ""
            raise ConfigError(
                f"tile={self.tile!r} has no bit line left beside {self.references} reference "
                f"column(s){spare}; expected more columns"
            )

    def __str__(self) -> str:
        arrays = f"{self.arrays} arrays of {self.array_rows} x {self.array_cols}"
        return f"{self.rows} -> {self.cols}, {arrays}"

    @cached_property
    def references(self) -> int:
        """Reference columns in each array."""
        return len(self._references_of(self.banks[0]))

    @cached_property
    def banks(self) -> tuple[tuple[int, int], ...]:
        """Lane and copy of each part; a bank of arrays carries the reference columns of its own."""
        return tuple(zip(self.lanes, self.copies, strict=True))

    def _references_of(self, bank: tuple[int, int]) -> list[int]:
        every = zip(self.shared, self.banks, strict=True)
        return [index for index, (shared, at) in enumerate(every) if shared and at == bank]

    @property
    def full_parts(self) -> int:
        """Parts that have arrays of their own."""
        return len(self.shared) - sum(self.shared)

    @property
    def _hosts(self) -> list[tuple[int, int]]:
        """The bank of each part that has arrays of its own."""
        return [at for at, shared in zip(self.banks, self.shared, strict=True) if not shared]

    def parts_of(self, lane: int) -> list[int]:
        """The parts of a lane."""
        return [index for index, at in enumerate(self.lanes) if at == lane]

    def arrays_of(self, lane: int) -> slice:
        """The arrays of a lane, of parts that follow each other lane by lane."""
        of_part = self.groups * self.row_tiles * self.col_tiles
        own = [index for index, (at, _) in enumerate(self._hosts) if at == lane]
        return slice(own[0] * of_part, (own[-1] + 1) * of_part)

    def of_lane(self, lane: int) -> "Tiling":
        """The arrays of one lane alone."""
        parts, some = self.parts_of(lane), self.arrays_of(lane)
        order = self.order
        if order is not None:
            lines = (order.row_order, order.col_order)
            rows, cols = (each if each is None else each[some] for each in lines)
            order = replace(order, row_order=rows, col_order=cols)
        return replace(
            self,
            shared=tuple(self.shared[index] for index in parts),
            copies=tuple(self.copies[index] for index in parts),
            lanes=(0,) * len(parts),
            order=order,
        )

    @property
    def own_rows(self) -> int:
        """Word lines whose weights one output has: those of its group."""
        return (self.rows - self.common) // self.packed + self.common

    @property
    def array_rows(self) -> int:
        """Word lines kept of one array."""
        return self.rows if self.tile is None else min(self.tile[0], self.rows)

    @property
    def data_cols(self) -> int:
        """Bit lines of one array that carry outputs."""
        if self.tile is None:
            return self.cols
        return min(self.tile[1] - self.references - self.spare, self.cols)

    @property
    def array_cols(self) -> int:
        """Bit lines kept of one array."""
        return self.data_cols + self.references + self.spare

    @property
    def row_tiles(self) -> int:
        """Arrays that the inputs are spread over."""
        return ceil(self.rows / self.array_rows)

    @property
    def col_tiles(self) -> int:
        """Arrays that the outputs are spread over."""
        return ceil(self.cols / self.data_cols)

    @property
    def arrays(self) -> int:
        """Physical arrays."""
        return self.full_parts * self.groups * self.row_tiles * self.col_tiles

    @property
    def cells(self) -> int:
        """Cells of the physical arrays, used or not."""
        if self.tile is None:
            return self.arrays * self.array_rows * self.array_cols
        return self.arrays * self.tile[0] * self.tile[1]

    @property
    def used_cells(self) -> int:
        """Cells that hold a weight or a reference."""
        data = self.full_parts * self.groups * self.own_rows * self.cols
        return data + sum(self.shared) * self.groups * self.rows * self.col_tiles

    @property
    def _grid(self) -> tuple[int, int, int, int]:
        return (self.full_parts, self.groups, self.row_tiles, self.col_tiles)

    def place(self, array: int) -> tuple[int, int, int, int]:
        """Part, group, tile of rows and tile of columns of an array."""
        rest, col = divmod(array, self.col_tiles)
        rest, row = divmod(rest, self.row_tiles)
        part, group = divmod(rest, self.groups)
        return part, group, row, col

    def split(self, parts: Sequence[Tensor], fill: Tensor | float | Sequence[float]) -> Tensor:
        """Lay parts onto arrays, [arrays, rows, cols].

        Args:
            parts: parts of the matrix.
            fill: of unused cells; a number for all, or one for each lane.
        """
        if isinstance(fill, Sequence):
            return torch.cat(
                [
                    self.of_lane(lane).split([parts[k] for k in self.parts_of(lane)], each)
                    for lane, each in enumerate(fill)
                ]
            )
        own = [part for part, shared in zip(parts, self.shared, strict=True) if not shared]
        padding = (
            *(0, self.col_tiles * self.data_cols - self.cols),
            *(0, self.row_tiles * self.array_rows - self.rows),
        )
        p, g, t, u = self._grid
        tiles = own[0].new_empty(p, g, t, u, self.array_rows, self.data_cols)
        for part, place in zip(own, tiles, strict=True):
            full = F.pad(part, padding, value=float(fill)) if any(padding) else part
            place.copy_(_split(_split(full, 2, u), 1, t).transpose(2, 3))
        if self.references:
            columns = torch.stack(
                [
                    torch.cat([parts[index] for index in self._references_of(bank)], dim=-1)
                    for bank in self._hosts
                ]
            )
            columns = F.pad(columns, (0, 0, *padding[2:]), value=float(fill))
            columns = columns.view(p, g, t, 1, self.array_rows, self.references)
            tiles = torch.cat(
                [tiles, columns.expand(p, g, t, u, self.array_rows, self.references)], dim=-1
            )
        if self.spare:
            tiles = F.pad(tiles, (0, self.spare), value=float(fill))
        cells = tiles.reshape(self.arrays, self.array_rows, self.array_cols)
        return cells if self.order is None else self.order.place(cells)

    def join(self, cells: Tensor) -> Tensor:
        """The inverse: [arrays, rows, cols] to [parts, groups, rows, cols].

        A reference column appears once for each output that it serves.
        """
        p, g, t, u = self._grid
        cells = cells if self.order is None else self.order.restore(cells)
        tiles = cells.view(p, g, t, u, self.array_rows, self.array_cols).transpose(3, 4)
        rows = t * self.array_rows

        def matrix(block: Tensor) -> Tensor:
            return block.reshape(-1, g, rows, u * self.data_cols)[:, :, : self.rows, : self.cols]

        full = matrix(tiles[..., : self.data_cols])
        if not self.references:
            return full
        columns = {
            index: matrix(
                tiles[host, ..., self.data_cols + k, None].expand(
                    1, g, t, self.array_rows, u, self.data_cols
                )
            )
            for index, host, k in self._carried
        }
        return self._ordered(full, columns)

    def lane_matrices(self, cells: Tensor, parts: Sequence[Part]) -> Tensor:
        """What each lane is after the analogue sum of its parts, [lanes, groups, rows, cols].

        As `subtracted(join(cells), parts)`; without reference columns arrays are subtracted as
        they lie, which moves less memory. Columns lie one after another in memory.
        """
        if self.references:
            return subtracted(self.join(cells), tuple(parts))
        p, g, t, u = self._grid
        cells = cells if self.order is None else self.order.restore(cells)
        lanes = subtracted(_split(cells, 0, p), tuple(parts))
        tiles = lanes.view(-1, g, t, u, self.array_rows, self.array_cols)
        rows = tiles[..., : self.data_cols].transpose(3, 4)
        rows = rows.reshape(len(lanes), g, t * self.array_rows, -1)
        return rows[:, :, : self.rows, : self.cols]

    def gather(self, current: Tensor) -> Tensor:
        """Bit-line currents [reads, arrays, cols] to [parts, reads, groups, row_tiles, cols]."""
        p, g, t, u = self._grid
        if self.order is not None:
            current = self.order.restore_cols(current)
        lines = current.view(-1, p, g, t, u, self.array_cols).movedim(1, 0)

        def outputs(block: Tensor) -> Tensor:
            return block.flatten(-2)[..., : self.cols]

        full = outputs(lines[..., : self.data_cols])
        if not self.references:
            return full
        columns = {
            index: outputs(line.unsqueeze(-1).expand(*line.shape, self.data_cols))
            for index, host, k in self._carried
            for line in [lines[host : host + 1, ..., self.data_cols + k]]
        }
        return self._ordered(full, columns)

    def spread(self, voltage: Tensor) -> Tensor:
        """Inputs [reads, groups, rows] to word-line voltages [reads, arrays, rows]."""
        p, g, t, u = self._grid
        padded = F.pad(voltage, (0, t * self.array_rows - self.rows))
        lines = padded.view(-1, 1, g, t, 1, self.array_rows)
        lines = lines.expand(-1, p, g, t, u, self.array_rows)
        lines = lines.reshape(-1, self.arrays, self.array_rows)
        return lines if self.order is None else self.order.place_rows(lines)

    def collected(self, lines: Tensor) -> Tensor:
        """Numbers of word lines [arrays, rows], added up for each input, [groups, rows]."""
        p, g, t, u = self._grid
        lines = lines if self.order is None else self.order.restore_rows(lines)
        tiles = lines.reshape(p, g, t, u, self.array_rows).sum((0, 3))
        return tiles.flatten(1)[:, : self.rows]

    def cut(self, x: Tensor, dim: int) -> Tensor:
        """Cut the inputs, dimension `dim` of x, into [..., row tiles, rows of a tile, ...]."""
        missing = self.row_tiles * self.array_rows - self.rows
        if missing:
            x = F.pad(x, (*(0, 0) * (-dim - 1), 0, missing))
        shape = x.shape
        dim %= x.dim()
        return x.reshape(*shape[:dim], self.row_tiles, self.array_rows, *shape[dim + 1 :])

    @property
    def _carried(self) -> list[tuple[int, int, int]]:
        """Each reference column: its part, the part whose arrays it is read from, its place."""
        return [
            (index, self._hosts.index(bank), k)
            for bank in sorted(set(self.banks))
            for k, index in enumerate(self._references_of(bank))
        ]

    def _ordered(self, full: Tensor, columns: Mapping[int, Tensor]) -> Tensor:
        """Parts in the mapper's order."""
        own = iter(full.unsqueeze(1))
        return torch.cat(
            [columns[n] if shared else next(own) for n, shared in enumerate(self.shared)]
        )


def _split(x: Tensor, dim: int, count: int) -> Tensor:
    """A dimension as `count` of equal size."""
    return x.view(*x.shape[:dim], count, x.shape[dim] // count, *x.shape[dim + 1 :])


def in_order(x: Tensor) -> Tensor:
    """The same matrices [groups, rows, cols], contiguous.

    Group by group: torch transposes one matrix in blocks, several by single numbers.
    """
    if x.is_contiguous():
        return x
    ordered = torch.empty_like(x, memory_format=torch.contiguous_format)
    for matrix, place in zip(x, ordered, strict=True):
        place.copy_(matrix)
    return ordered
