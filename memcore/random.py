"""Keyed randomness: a draw is a pure function of a seed, a path of names and an index.

There is no state to advance, so a value depends neither on the order of calls nor on the batch
size, the number of threads, the device or on compilation. The generator is Philox4x32-10
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

import hashlib
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.errors import ConfigError
from memcore.ops import philox

Law = Literal["uniform", "normal"]

_MOST: Final = 2**40  #: draws at once, more than any memory holds
#: Steps of a simulation before a second set of draws for the same cells would meet the first one.
STEPS: Final = 1 << 40


def _key(seed: int, path: tuple[str, ...]) -> int:
    text = "\0".join([str(seed), *path]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


@dataclass(frozen=True)
class Stream:
    """An endless supply of random numbers under one key.

    Args:
        seed: an integer of 64 bits; one seed is one virtual chip.
        path: the names that led here, from `child`.

    Examples:
        >>> chip = Stream(0)
        >>> chip.child("fc1", "d2d").normal((2, 3)).shape
        torch.Size([2, 3])
    """

    seed: int
    path: tuple[str, ...] = ()
    key: int = field(init=False, repr=False, compare=False)
    _cells: Tensor | None = field(default=None, repr=False, compare=False, kw_only=True)
    _step: int | None = field(default=None, repr=False, kw_only=True)
    _first: int = field(default=0, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        seed = _check.integer("seed", self.seed, what="an integer of 64 bits")
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "key", _key(self.seed, self.path))

    def key_of(self, *names: str | int) -> int:
        """The key of `child(*names)`."""
        return _key(self.seed, (*self.path, *map(str, names)))

    def child(self, *names: str | int) -> "Stream":
        """The independent stream of a named part: a layer, an effect, a write cycle."""
        path = (*self.path, *map(str, names))
        return self._but(path=path, key=_key(self.seed, path))

    def of_cells(self, cells: Tensor) -> "Stream":
        """The draws of some cells, the same whichever other cells are asked along with them.

        Args:
            cells: int64 [n], numbers of the cells in the arrays, in C order; draws of n values are
                those of these cells.

        Examples:
            >>> few, one = (Stream(0).of_cells(torch.tensor(c)) for c in ([3, 7, 9], [7]))
            >>> bool(few.normal((3,))[1] == one.normal((1,))[0])
            True
        """
        return self._but(_cells=cells)

    def from_cell(self, first: int) -> "Stream":
        """The draws of the cells from a number on, a multiple of 4: draw i is that of first + i.

        Examples:
            >>> chip = Stream(0)
            >>> bool((chip.from_cell(8).normal((3,)) == chip.normal((11,))[8:]).all())
            True
        """
        return self._but(_first=first)

    def of_step(self, step: int) -> "Stream":
        """The draws of one step of a simulation, keyed by the cell and by the index of the step."""
        return self._but(_step=step)

    def _but(self, **changed: object) -> "Stream":
        """The same stream with fields changed; their checks were made when it began."""
        stream = object.__new__(type(self))
        stream.__dict__.update(self.__dict__, **changed)
        return stream

    def uniform(
        self,
        shape: Sequence[int],
        *,
        round: int = 0,
        elements: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Uniform draws in [0, 1).

        Args:
            shape: shape of the result; element i in C order is draw i of this stream.
            round: number of another, independent set of draws for the same elements.
            elements: the only elements to draw, int64 [n]; `shape` must then be `(n,)`.
            device: torch device of the result; the CPU by default, whatever torch's default is.
            dtype: dtype of the result, which is drawn as float32 and then cast.
        """
        return self._drawn("uniform", shape, round, elements, device, dtype)

    def normal(
        self,
        shape: Sequence[int],
        *,
        round: int = 0,
        elements: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Standard normal draws; the arguments are those of `uniform`."""
        return self._drawn("normal", shape, round, elements, device, dtype)

    def bernoulli(
        self, p: float, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        """Booleans that are true with probability `p`."""
        if self._cells is not None or self._step is not None or self._first:
            return self.uniform(shape, device=device) < p
        reads, size, _ = self._arguments(shape, 0, None, device)
        return philox.bernoulli(reads, size, self.key, p).view(tuple(shape))

    def at(self, reads: Tensor) -> "ReadStream":
        """Fresh draws for each of the numbered `reads`, int64 [n]."""
        return ReadStream(self.key, reads)

    def _drawn(
        self,
        law: Law,
        shape: Sequence[int],
        round: int,
        elements: Tensor | None,
        device: torch.device | str | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """What `uniform` and `normal` return."""
        reads, size, elements = self._arguments(shape, round, elements, device)
        draw = philox.normal if law == "normal" else philox.uniform
        first = self._first if elements is None else 0
        return draw(reads, size, self.key, elements, first).view(tuple(shape)).to(dtype)

    def _arguments(
        self,
        shape: Sequence[int],
        round: int,
        elements: Tensor | None,
        device: torch.device | str | None,
    ) -> tuple[Tensor, int, Tensor | None]:
        size = _size(shape)
        if elements is not None and self._first:
            elements = elements + self._first
        if self._cells is not None and size == self._cells.numel():
            elements = self._cells
        if self._step is not None:
            round = round * STEPS + self._step
        where = "cpu" if device is None else device
        if elements is not None:
            where = elements.device
        return torch.tensor([round], dtype=torch.int64, device=where), size, elements


def _size(shape: Sequence[int]) -> int:
    """How many numbers a shape holds."""
    if torch.compiler.is_compiling():
        return math.prod(shape)
    try:
        size = math.prod(map(operator.index, shape))
    except TypeError:
        size = -1
    if not 0 <= size < _MOST or (size and min(shape, default=1) < 0):
        raise ConfigError(f"shape={shown(shape)}; expected integers >= 0, (3, 2) say")
    return size


class ReadStream:
    """Noise that is new at every read: the result has the reads as its leading dimension."""

    def __init__(self, key: int, reads: Tensor) -> None:
        self.key = key
        self.reads = reads

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1), float32 [reads, *shape]."""
        return philox.uniform(self.reads, math.prod(shape), self.key).view(-1, *shape)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal draws, float32 [reads, *shape]."""
        return philox.normal(self.reads, math.prod(shape), self.key).view(-1, *shape)

    def bernoulli(self, p: float, shape: Sequence[int]) -> Tensor:
        """Booleans that are true with probability `p`, [reads, *shape]."""
        return philox.bernoulli(self.reads, math.prod(shape), self.key, p).view(-1, *shape)

    def __getitem__(self, reads: slice) -> "ReadStream":
        """The same draws for some of the reads."""
        return ReadStream(self.key, self.reads[reads])
