"""Ohmic cells: all vectors of an array by one elimination, without an iteration."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from memcore.circuit.segments import canonical
from memcore.circuit.terminals import Terminals
from memcore.contracts.wires import Wires
from memcore.ops.cell_voltages import cell_voltages
from memcore.ops.ladder import has_kernel

#: Cells of the largest array that is eliminated: some 600 bytes are kept for each.
_CELLS: Final = 1 << 20
#: Numbers that may be held at once while the potentials of floating lines are found.
_HELD: Final = 1 << 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """Arrays of ohmic cells, and which vectors are theirs.

    Attributes:
        g: conductances in S, [arrays, rows, cols], turned as `canonical` turns them.
        word: segments of the word lines in ohm, for all arrays.
        bit: segments of the bit lines in ohm.
        flips: dimensions that were reversed.
        both: whether word lines are driven, and bit lines sensed, at both ends.
        shape: shape of all vectors and arrays, [..., rows, cols].
        order: leading dimensions, those of arrays first, then those of vectors.
        arrays: number of the former.
    """

    g: Tensor
    word: Tensor
    bit: Tensor
    flips: list[int]
    both: tuple[bool, bool]
    shape: tuple[int, ...]
    order: tuple[int, ...]
    arrays: int

    @classmethod
    def of(cls, g: Tensor, wires: Wires, shape: tuple[int, ...]) -> Self:
        """The arrays of conductances `g`, of which all leading dimensions are array dimensions."""
        straight, word, bit, flips = canonical(g, wires)
        lead = (1,) * (len(shape) - g.dim()) + tuple(g.shape[:-2])
        arrays = [k for k, count in enumerate(lead) if count > 1]
        vectors = [k for k, count in enumerate(lead) if count == 1]
        return cls(
            g=straight.reshape(-1, *straight.shape[-2:]),
            word=word.reshape(-1, *word.shape[-2:]),
            bit=bit.reshape(-1, *bit.shape[-2:]),
            flips=flips,
            both=(wires.drive == "both", wires.sense_at == "both"),
            shape=shape,
            order=(*arrays, *vectors),
            arrays=len(arrays),
        )

    def voltages(self, ends: Terminals, potential: Tensor | None) -> Tensor:
        """The voltages across all cells in V, [..., rows, cols].

        Args:
            ends: what the lines are connected to.
            potential: potentials of floating lines in V, [..., rows + cols]; None for none.
        """
        word, bit = map(self._of_arrays, ends.potentials(potential))
        return self._of_all(self._across(word, bit))

    def potential(self, ends: Terminals) -> Tensor | None:
        """The potentials of the floating lines in V, [..., rows + cols]; None if none floats."""
        if ends.floating is None:
            return None
        opened = torch.cat([ends.floating.word, ends.floating.bit], -1)
        volts = torch.cat([ends.word.expand(ends.floating.word.shape), self._bit(ends)], -1)
        admittance = self._admittance()
        out = self._of_arrays(torch.zeros_like(volts))
        wanted, known = self._of_arrays(opened), self._of_arrays(volts)
        for array, lines in enumerate(admittance):
            for some in _pieces(wanted.shape[1], lines.numel()):
                which, driven = wanted[array, some], known[array, some]
                out[array, some] = _balanced(lines, which, driven)
        return self._of_all(out)

    def _bit(self, ends: Terminals) -> Tensor:
        assert ends.floating is not None
        return ends.bit.expand(ends.floating.bit.shape)

    def _across(self, word: Tensor, bit: Tensor) -> Tensor:
        """For ends at [arrays, vectors, rows] and [arrays, vectors, cols] V."""
        word = word.flip(-1) if -2 in self.flips else word
        bit = bit.flip(-1) if -1 in self.flips else bit
        out = cell_voltages(self.g, self.word, self.bit, *self.both, word, bit)
        return out.flip(self.flips) if self.flips else out

    def _admittance(self) -> Tensor:
        """The currents into all lines for 1 V at one of them, [arrays, lines, lines] S."""
        arrays, (rows, cols) = self.g.shape[0], self.shape[-2:]
        g = self.g.flip(self.flips) if self.flips else self.g
        unit = torch.eye(rows + cols, dtype=g.dtype, device=g.device)
        parts = []
        for some in _pieces(rows + cols, g.numel()):
            volts = unit[some].expand(arrays, -1, -1)
            current = g[:, None] * self._across(volts[..., :rows], volts[..., rows:])
            parts.append(torch.cat([current.sum(-1), -current.sum(-2)], -1))
        lines = torch.cat(parts, 1)
        return (lines + lines.mT) / 2

    def _of_arrays(self, x: Tensor) -> Tensor:
        """[..., n] of all vectors and arrays as [arrays, vectors, n]."""
        x = x.expand(*self.shape[:-2], x.shape[-1]).permute(*self.order, len(self.order))
        return x.reshape(self.g.shape[0], -1, x.shape[-1])

    def _of_all(self, x: Tensor) -> Tensor:
        """The reverse, of [arrays, vectors, ...]."""
        rest = x.shape[2:]
        x = x.view(*(self.shape[k] for k in self.order), *rest)
        count = len(self.order)
        back = sorted(range(count), key=self.order.__getitem__)
        return x.permute(*back, *range(count, count + len(rest))).contiguous()


def worthwhile(g: Tensor, wires: Wires, ends: Terminals, shape: tuple[int, ...]) -> bool:
    """Whether one elimination of each array takes less time than an iteration for each vector.

    The former takes O(n^3) for n x n cells, the latter O(n^2) for each vector.
    """
    rows, cols = shape[-2:]
    if rows * cols > _CELLS or not math.prod(shape):
        return False
    least = 2 + max(rows, cols) // 128
    if ends.floating is not None:
        # The ends of a floating line of two ends are apart, not held at one potential.
        two = (wires.drive, ends.floating.word), (wires.sense_at, ends.floating.bit)
        if any(where == "both" and bool(which.any()) for where, which in two):
            return False
        least = min(16, (rows + cols) // 8 - 3)  # what each line draws has to be known too
    return math.prod(shape) // g.numel() >= (least if has_kernel(g) else 4 * least)


def _balanced(lines: Tensor, floating: Tensor, volts: Tensor) -> Tensor:
    """The potentials at which no current enters floating lines, [vectors, lines]; 0 for others.

    Args:
        lines: currents into all lines for 1 V at one of them, [lines, lines] S.
        floating: which lines float, bool [vectors, lines].
        volts: potentials of the driven ones in V, 0 for those that float.
    """
    inside = torch.where(floating[:, :, None] & floating[:, None, :], lines, 0)
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    # Lines that hang together and on nothing else would make it singular.
    diagonal.mul_(1 + 4 * torch.finfo(lines.dtype).eps)
    diagonal.add_((diagonal == 0).to(lines.dtype))
    right = torch.where(floating, -(volts @ lines), 0)
    factor: Tensor = torch.linalg.cholesky_ex(inside)[0]
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def _pieces(count: int, numbers: int) -> Iterator[slice]:
    """As many of `count` at once as may be held, if each has so many numbers."""
    length = max(1, _HELD // max(1, numbers))
    return (slice(first, min(count, first + length)) for first in range(0, count, length))
