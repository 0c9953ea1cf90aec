"""Draws without chance: cells that lie evenly over everything that could be drawn for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.random import Law, ReadStream, Stream

#: The largest float32 below 1, which no uniform draw exceeds.
_BELOW_ONE: Final = 1 - 2.0**-24


@dataclass(frozen=True)
class EvenStream(Stream):
    """A stream whose draws for n cells are the points of a lattice, one coordinate for each path.

    The first coordinate is `(i + 1/2) / n`, each further one `(i + 1/2) sqrt(p)` modulo 1 with a
    prime p of its own. The share of the cells in any range of values is then its probability up to
    about 1/n, where chance would leave 1/sqrt(n).

    Args:
        cells: number of cells, which every draw is for.
        axes: the coordinate of each path, shared by all children.
    """

    cells: int = 1
    axes: dict[tuple[Any, ...], int] = field(default_factory=dict, repr=False, compare=False)

    def _drawn(
        self,
        law: Law,
        shape: Sequence[int],
        round: int,
        elements: Tensor | None,
        device: torch.device | str | None,
        dtype: torch.dtype,
    ) -> Tensor:
        points = self._points(shape, round, elements)
        normal = law == "normal"
        values = torch.special.ndtri(points) if normal else points.clamp(max=_BELOW_ONE)
        return values.to(device=device, dtype=torch.float32).view(tuple(shape)).to(dtype)

    def bernoulli(
        self, p: float, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        """As of a `Stream`, evenly spread."""
        return self.uniform(shape, device=device) < p

    def reading(self, name: str) -> "EvenRead":
        """The draws of one read of all cells by a named effect."""
        return EvenRead(self, name)

    def _points(self, shape: Sequence[int], round: int, elements: Tensor | None) -> Tensor:
        size = math.prod(shape)
        if elements is None and self._cells is not None and size == self._cells.numel():
            elements = self._cells
        sets = 1 if elements is not None else size // self.cells
        if elements is None and (size % self.cells or not size):
            raise ConfigError(
                f"{'/'.join(self.path) or 'an effect'} draws {size} values for {self.cells} cells, "
                "which several of them share; expected draws for single cells, whose currents are "
                "independent: use memcore.sensing.sampled_sums"
            )
        every = [self._coordinate((self.path, self._step, round, k)) for k in range(sets)]
        points = torch.cat(every)
        return points if elements is None else points[elements.cpu()]

    def _coordinate(self, key: tuple[Any, ...]) -> Tensor:
        axis = self.axes.setdefault(key, len(self.axes))
        middle = torch.arange(self.cells, dtype=torch.float64, device="cpu") + 0.5
        if axis == 0:
            return middle / self.cells
        return torch.frac(middle * math.sqrt(_prime(axis)))


class EvenRead(ReadStream):
    """What a form draws from at a read, for one read of all cells.

    A form that makes streams of its own from the key draws its cells by chance.
    """

    def __init__(self, stream: EvenStream, name: str) -> None:
        super().__init__(
            stream.key_of(name, "read"), torch.zeros(1, dtype=torch.int64, device="cpu")
        )
        self.stream, self.name, self.draws = stream, name, 0

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1), float32 [1, *shape]."""
        return self._next().uniform(shape).unsqueeze(0)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal draws, float32 [1, *shape]."""
        return self._next().normal(shape).unsqueeze(0)

    def bernoulli(self, p: float, shape: Sequence[int]) -> Tensor:
        """Booleans that are true with probability `p`, [1, *shape]."""
        return self._next().bernoulli(p, shape).unsqueeze(0)

    def _next(self) -> Stream:
        # A form that draws twice at a read, uniform and normal say, means independent draws.
        self.draws += 1
        return self.stream.child(self.name, "read", self.draws)


def _prime(index: int) -> int:
    """The prime of an index, 2 for 1."""
    found, candidate = 0, 1
    while found < index:
        candidate += 1
        found += all(candidate % d for d in range(2, math.isqrt(candidate) + 1))
    return candidate
