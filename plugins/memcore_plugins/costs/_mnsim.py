"""Where the tiles of a chip of MNSIM lie, how far results travel, and when positions begin."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from memcore import ConfigError, LayerWork

Distances = list[tuple[int, int]]


def _place(number: int) -> tuple[int, int]:
    """Row and column of a tile: tiles are numbered along the borders of growing squares."""
    s = isqrt(number)
    t = number - s * s
    if s % 2:
        return (t, s) if t <= s else (s, 2 * s - t)
    return (s, t) if t <= s else (2 * s - t, s)


def distances(layers: Sequence[LayerWork], tiles: Sequence[int], grid: int) -> Distances:
    """For each layer how far results travel inside of it, and from it to where they are used.

    Results of the tiles of a layer are joined in the one that lies best for all of them and for
    those of its consumers; sums are done at the middle of the left border.
    """
    if sum(tiles) > grid * grid:
        raise ConfigError(
            f"the network needs {sum(tiles)} tiles, the chip has {grid} x {grid}; expected a "
            "larger grid, or larger arrays"
        )
    starts = np.cumsum([0, *tiles])
    places = [
        np.array([_place(n) for n in range(first, first + count)]).reshape(-1, 2)
        for first, count in zip(starts, tiles, strict=False)
    ]
    found: Distances = []
    for index, layer in enumerate(layers):
        users = [n for n, other in enumerate(layers) if index in other.sources]
        with_tiles = [places[n] for n in users if len(places[n])]
        if layer.kind == "sum":
            firsts = np.array([min(map(tuple, each)) for each in with_tiles]).reshape(-1, 2)
            found.append((0, int(_to_middle(firsts, grid).max(initial=0))))
            continue
        own = places[index][np.lexsort(places[index].T[::-1])]  # row by row
        inside, out = _farthest(own, places[index]), np.zeros(len(own), int)
        if with_tiles:
            out = _farthest(own, np.concatenate(with_tiles))
        elif users:
            out = _to_middle(own, grid)
        best = int(np.argmin(inside + out))
        found.append((int(inside[best]), int(out[best])))
    return found


def _to_middle(places: NDArray[np.int64], grid: int) -> NDArray[np.int64]:
    """The way to the middle of the left border, where branches are summed."""
    way: NDArray[np.int64] = abs(places[:, 0] - grid // 2) + places[:, 1]
    return way


def _farthest(places: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest Manhattan distance of each place to some others."""
    far = np.zeros(len(places), int)
    for sign in (1, -1):
        own, theirs = (each[:, 0] + sign * each[:, 1] for each in (places, others))
        far = np.maximum(far, np.maximum(abs(own - theirs.min()), abs(own - theirs.max())))
    return far


def needed(layer: LayerWork) -> NDArray[np.int64]:
    """For each position, the last position of the layer before that it needs."""
    (h, w), (oh, ow) = space(layer.size), space(layer.out_size)
    (kh, kw), (sh, sw), (ph, pw) = window(layer)
    rows = np.minimum(max(kh - ph, 1) + sh * np.arange(oh), h) - 1
    cols = np.minimum(max(kw - pw, 1) + sw * np.arange(ow), w) - 1
    found: NDArray[np.int64] = (rows[:, None] * w + cols).ravel()
    return found


def ends(ready: NDArray[np.float64], lasting: NDArray[np.float64]) -> NDArray[np.float64]:
    """When positions end that begin when they are ready and the one before has ended."""
    total = np.cumsum(lasting)
    late: NDArray[np.float64] = np.maximum.accumulate(ready - (total - lasting)) + total
    return late


def space(size: Sequence[int]) -> tuple[int, int]:
    """Height and width; a linear layer has one of each."""
    if len(size) > 2:
        raise ConfigError(f"a layer has {len(size)} dimensions of space; expected at most 2")
    height, width = (1, 1, *size)[-2:]
    return height, width


def window(layer: LayerWork) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and padding."""
    padding = (0, 0, *layer.padding)[-2:]
    return space(layer.kernel), space(layer.stride), (padding[0], padding[1])
