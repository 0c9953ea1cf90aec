"""`ReadPlan`: how one vector is read, and by arithmetic what that takes."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore.contracts.cost import Activity
from memcore.contracts.lines import Lines
from memcore.crossbar.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class ReadPlan:
    """Phases of the input, times groups of word lines driven at once, times lanes of the mapping.

    Each cell of that product is one analogue product, and one conversion for each bit line or for
    each sum of bit lines that are subtracted from each other before the ADC. A digital adder puts
    the results together. A plain read has one phase, one group for each tile, and one lane.

    Args:
        tiling: how the parts lie on arrays.
        places: what the phases of the input count for; their number is that of the phases.
        rows_at_once: word lines of an array that are driven at once, None for all.
        dac_bits: bits of a DAC, 0 if it does not say; None for exact inputs.
        adc_bits: bits of an ADC, 0 if it does not say; None for exact outputs.
        lane_bits: bits of the ADCs of each lane, where lanes have some of their own; () where all
            have `adc_bits`.
        per_column: whether each column is converted, or each lane after the analogue sum.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    tiling: Tiling
    places: tuple[float, ...] = (1.0,)
    rows_at_once: int | None = None
    dac_bits: int | None = None
    adc_bits: int | None = None
    lane_bits: tuple[int, ...] = ()
    per_column: bool = False
    constant: bool = False

    @property
    def group_rows(self) -> int:
        """Word lines of the largest group that is driven at once."""
        rows = self.tiling.array_rows
        return rows if self.rows_at_once is None else min(rows, self.rows_at_once)

    @property
    def groups_are_even(self) -> bool:
        """Whether cutting all inputs into groups never lets one reach over two tiles."""
        return self.tiling.array_rows % self.group_rows == 0 or self.tiling.row_tiles == 1

    @property
    def row_groups(self) -> int:
        """Groups of word lines of all tiles that the inputs of one matrix are spread over."""
        full = (self.tiling.row_tiles - 1) * -(-self.tiling.array_rows // self.group_rows)
        return full - (-self.last_rows // self.group_rows)

    @property
    def last_rows(self) -> int:
        """Word lines of the last of the tiles that the inputs of one matrix are spread over."""
        t = self.tiling
        return t.rows - (t.row_tiles - 1) * t.array_rows

    def cut(self, x: Tensor, dim: int) -> Tensor:
        """Cut the inputs, dimension `dim` of x, into [..., groups of word lines, rows, ...]."""
        tiles = self.tiling.cut(x, dim)
        rows, at_once = self.tiling.array_rows, self.group_rows
        if at_once == rows:
            return tiles
        dim %= x.dim()
        tail = tiles.dim() - 1 - (dim + 1)
        missing = -rows % at_once
        padded = F.pad(tiles, (*(0, 0) * tail, 0, missing)) if missing else tiles
        shape = padded.shape
        count = shape[dim] * shape[dim + 1] // at_once  # there may be no inputs at all
        groups = padded.reshape(*shape[:dim], count, at_once, *shape[dim + 2 :])
        return groups.narrow(dim, 0, self.row_groups)  # a shorter last tile has fewer of them

    @property
    def values(self) -> tuple[int, ...]:
        """The lane of each value that is digitised for one output: of each lane, or each part."""
        lanes = self.tiling.lanes
        return lanes if self.per_column else tuple(range(1 + max(lanes)))

    def lines(self, value: int) -> Lines:
        """The bit lines of one of `values`, as their converters are told."""
        t = self.tiling
        groups = [ceil(rows / self.group_rows) for rows in self._rows_of_tiles]
        tile = torch.arange(t.row_tiles, device="cpu").repeat_interleave(
            torch.tensor(groups, device="cpu")
        )
        column = torch.arange(t.cols, device="cpu")
        array = torch.arange(t.groups, device="cpu")[:, None, None] * t.row_tiles + tile[:, None]
        array = array * t.col_tiles + column // t.data_cols
        place = column % t.data_cols
        if self.per_column and t.shared[value]:
            before = zip(t.shared[:value], t.banks, strict=False)
            place = torch.full_like(
                column, t.data_cols + sum(here and at == t.banks[value] for here, at in before)
            )
        place = place.expand(array.shape)
        if t.order is not None and t.order.col_order is not None:
            place = t.order.col_order.argsort(-1).cpu()[array, place]
        return Lines(
            arrays=t.groups * t.row_tiles * t.col_tiles,
            cols=t.array_cols,
            array=array,
            column=place,
        )

    @property
    def first_rows(self) -> list[int]:
        """The first word line of each group, counted over all tiles."""
        t = self.tiling
        return [
            tile * t.array_rows + first
            for tile, rows in enumerate(self._rows_of_tiles)
            for first in range(0, rows, self.group_rows)
        ]

    @property
    def _rows_of_tiles(self) -> list[int]:
        """Word lines of each of the tiles that the inputs of one matrix are spread over."""
        t = self.tiling
        return [t.array_rows] * (t.row_tiles - 1) + [self.last_rows]

    def activity(self, vectors: int) -> Activity:
        """What reading so many vectors takes."""
        t, steps = self.tiling, vectors * len(self.places)
        arrays = t.full_parts * t.groups * t.col_tiles
        inputs = steps * t.groups * (t.rows - self.constant)
        converted = self._conversions(steps)
        bits_out = sum(bits * count for (_, bits), count in converted.items())
        results = len(self.places) * self.row_groups * len(self.values)
        digital = self.adc_bits is not None
        return Activity(
            vectors=vectors,
            phases=steps,
            reads=steps * arrays * self.row_groups,
            drives=steps * arrays * t.rows,
            dac_conversions={} if self.dac_bits is None else {self.dac_bits: inputs},
            adc_conversions=converted,
            shift_adds=vectors * t.groups * t.cols * (results - 1) if digital else 0,
            bits_in=inputs * (self.dac_bits or 0),
            bits_out=bits_out,
        )

    @property
    def adc_arrays(self) -> dict[int, int]:
        """Number of arrays by the bits of their ADCs."""
        if self.adc_bits is None:
            return {}
        t, found = self.tiling, Counter[int]()
        for lane, shared in zip(t.lanes, t.shared, strict=True):
            bits = self.lane_bits[lane] if self.lane_bits else self.adc_bits
            found[bits] += 0 if shared else t.arrays // t.full_parts
        return dict(found)

    def _conversions(self, steps: int) -> dict[tuple[int, int], int]:
        if self.adc_bits is None:
            return {}
        t = self.tiling
        found: dict[tuple[int, int], int] = {}
        for index, lane in enumerate(self.values):
            # A reference column is converted once for each array, not for each output.
            columns = t.col_tiles if self.per_column and t.shared[index] else t.cols
            key = (lane, self.lane_bits[lane] if self.lane_bits else self.adc_bits)
            found[key] = found.get(key, 0) + steps * t.groups * self.row_groups * columns
        return found
