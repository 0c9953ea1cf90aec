"""How layers lie on tiles, PEs and sub-arrays in the floorplan of NeuroSim's inference chips."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod

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


@dataclass(frozen=True)
class Plan:
    """The sizes that all layers of a network share."""

    side: int  #: S, rows and columns of a sub-array
    blocks: tuple[Block, ...]
    novel_mapping: bool
    speed_up: int | None  #: None: layer by layer

    @property
    def window(self) -> int:
        """n_pe, the most frequent window that is not 1."""
        windows = [block.window for block in self.blocks if block.window != 1]
        return Counter(windows).most_common(1)[0][0] if windows else 0

    def is_novel(self, block: Block) -> bool:
        """Whether each position of the kernel gets a PE of its own."""
        return self.novel_mapping and block.window == self.window and block.rows >= self.side

    def _of(self, novel: bool) -> list[Block]:
        return [block for block in self.blocks if self.is_novel(block) == novel]

    @property
    def novel_pe(self) -> int:
        """Side of a PE of novel layers."""
        blocks, n = self._of(True), self.window

        def used(p: int) -> float:
            tiles = sum(ceil(b.channels / p) * ceil(b.cols / p) for b in blocks)
            return sum(b.rows * b.cols for b in blocks) / (n * p * p * tiles)

        return _first_best(_halved(blocks, 2 * self.side), used)

    @property
    def tile(self) -> int:
        """Side of a tile of conventional layers."""
        blocks = self._of(False)

        def used(t: int) -> float:
            return sum(b.rows * b.cols for b in blocks) / (t * t * self._tiles(blocks, t))

        return _first_best(_halved(blocks, 4 * self.side), used)

    @staticmethod
    def _tiles(blocks: Sequence[Block], t: int) -> int:
        return sum(ceil(b.rows / t) * ceil(b.cols / t) for b in blocks)

    @property
    def pe(self) -> int:
        """Side of a PE of conventional layers."""
        blocks, t = self._of(False), self.tile
        cells = t * t * self._tiles(blocks, t)
        best, chosen, candidate = sum(b.rows * b.cols for b in blocks) / cells, t // 2, t // 2
        while candidate > 2 * self.side:
            used = sum(
                prod(_copies(b.rows, b.cols, t, candidate)) * b.rows * b.cols for b in blocks
            )
            if used / cells > best:
                best, chosen = used / cells, candidate
            candidate //= 2
        return chosen

    def _needed(self, block: Block) -> int:
        """q, copies that keep up with the first layer."""
        if self.speed_up is None:
            return 1
        first = self.blocks[0].size
        smallest = min((b.size for b in self.blocks if b.window != 1), default=first)
        bound = ceil(first / min(self.speed_up, first // smallest))
        return ceil((block.size / bound) ** 2)

    def place(self, block: Block) -> Placed:
        """One layer on tiles."""
        novel = self.is_novel(block)
        side = self.novel_pe if novel else self.tile
        rows = block.channels if novel else block.rows
        duplicates = 1 if novel else prod(_copies(block.rows, block.cols, side, self.pe))
        inner = side if novel else self.pe
        copies = duplicates * prod(_copies(rows, block.cols, inner, self.side))
        needed = self._needed(block)
        repeats = 1 if self.speed_up is None else ceil(needed / copies)
        tiles = ceil(rows / side) * repeats * ceil(block.cols / side)
        pes = self.window if novel else 1
        cells = tiles * side * side * pes
        return Placed(
            tiles=tiles,
            sub_arrays=tiles * pes * (side // self.side) ** 2,
            speed_up=copies * repeats,
            utilisation=max(needed, copies) * block.rows * block.cols / cells,
            row_arrays=pes * ceil(rows / self.side),
        )


def block_of(layer: LayerWork, slices: int) -> Block:
    """A layer with the slices of its weights side by side."""
    return Block(
        size=layer.size[0] if layer.size else 1,
        window=prod(layer.kernel),
        rows=layer.rows,
        cols=layer.cols * slices,
    )


def _copies(rows: int, cols: int, outer: int, inner: int) -> tuple[int, int]:
    """Copies down and across of a matrix on a square of smaller squares."""
    if rows > outer and cols > outer:
        return 1, 1
    whole = ceil(outer / inner)
    return max(1, whole // ceil(rows / inner)), max(1, whole // ceil(cols / inner))


def _halved(blocks: Sequence[Block], least: int) -> Iterator[int]:
    """Sides to try: from the power of 2 that holds the widest matrix down, above `least`."""
    side = max(least, *(1 << (block.cols - 1).bit_length() for block in blocks))
    yield side
    while side // 2 > least:
        side //= 2
        yield side


def _first_best(candidates: Iterator[int], score: Callable[[int], float]) -> int:
    return max(list(candidates), key=score)
