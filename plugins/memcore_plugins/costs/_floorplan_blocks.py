"""Layers as the floorplan of NeuroSim sees them, and where it puts them."""

from dataclasses import dataclass
from math import prod

from memcore import LayerWork


@dataclass(frozen=True)
class Placed:
    """One layer on the floorplan.

    Args:
        tiles: tiles of all copies.
        sub_arrays: sub-arrays of these tiles.
        speed_up: copies of the weights that work at the same time.
        utilisation: part of the cells of the tiles that holds weights.
        row_arrays: sub-arrays that the inputs are spread over.
    """

    tiles: int
    sub_arrays: int
    speed_up: int
    utilisation: float
    row_arrays: int


@dataclass(frozen=True)
class Block:
    """A layer as the floorplan sees it."""

    size: int  #: H, rows of the input image
    window: int  #: k^2
    rows: int
    cols: int

    @property
    def channels(self) -> int:
        return self.rows // self.window


def block_of(layer: LayerWork, slices: int) -> Block:
    """A layer with the slices of its weights side by side."""
    return Block(
        size=layer.size[0] if layer.size else 1,
        window=prod(layer.kernel),
        rows=layer.rows,
        cols=layer.cols * slices,
    )
