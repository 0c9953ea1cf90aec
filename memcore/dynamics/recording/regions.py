"""What the operations that may be left out read and leave: kernels run them for some cells alone.

Where few cells of a block want an arm of a choice, the kernel gathers what its operations read of
these cells, computes for them only and puts the results back. Everything that it must know is found
here once, see `Simulate` in native/include/memcore/kernels.h for the form of the result.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Final, NamedTuple

from memcore.dynamics.recording.graph import RANDOM

Instruction = tuple[str, int, int, int, int]
#: Operations that leave out others; their result is how many.
SKIPS: Final = frozenset({"skip_unless", "skip_if"})
#: Places from here on have a number for each cell, see `lower`; those of the state among them.
_CELLS: Final = 2 << 24
_STATES: Final = range(4 << 24, 5 << 24)

#: Work of an operation on a cell in units of an addition; others take one.
_WORK: Final = {
    **dict.fromkeys(("div", "reciprocal", "sqrt"), 2),
    "lookup": 6,
    **dict.fromkeys(("exp", "expm1", "log", "sigmoid"), 8),
    **dict.fromkeys(("log1p", "sinh", "cosh", "tanh"), 12),
    **dict.fromkeys(("asinh", "log_sigmoid", "uniform"), 20),
    **dict.fromkeys(("pow", "normal"), 30),
    **dict.fromkeys(("sin", "cos", "atan", "erf"), 60),
}


class Region(NamedTuple):
    """Operations that may be left out together.

    Attributes:
        work: of a cell, what may in turn be left out counted half.
        reads: places of each cell that they read before they write them.
        leaves: places that they write and later operations read.
    """

    work: int
    reads: Sequence[int]
    leaves: Sequence[int]


def packed_regions(instructions: Sequence[Instruction], parameters: int) -> list[int]:
    """The regions of a list, as the kernel takes them.

    Args:
        instructions: of the list that runs for each cell.
        parameters: how many parameters of each cell there are.

    Returns:
        The number of parameters; for each instruction where its region begins in this list, 0 for
        instructions that are no test; and the regions: work, numbers of reads and of leaves, and
        their places.
    """
    table = [parameters, *[0] * len(instructions)]
    for at, region in _regions(instructions):
        table[1 + at] = len(table)
        table += [region.work, len(region.reads), len(region.leaves)]
        table += [*region.reads, *region.leaves]
    return table


def _regions(instructions: Sequence[Instruction]) -> Iterator[tuple[int, Region]]:
    uses = _Uses(instructions)
    wanted = uses.wanted()
    for at, (name, count, *_) in enumerate(instructions):
        if name in SKIPS:
            inside = range(at + 1, at + 1 + count)
            reads = uses.places(uses.before(inside, 0))
            leaves = uses.places(uses.written_in(inside) & wanted[inside.stop])
            yield at, Region(_work(instructions[inside.start : inside.stop]), reads, leaves)


class _Uses:
    """The places that each instruction reads and writes, one bit for each."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._bits: dict[int, int] = {}
        self.read, self.written = list[int](), list[int]()
        for name, result, *operands in instructions:
            read = () if name in RANDOM else operands  # of which the operand is a key
            self.read.append(self._mask(place for place in read if place >= _CELLS))
            self.written.append(0 if name in SKIPS else self._mask([result]))

    def _mask(self, places: Iterable[int]) -> int:
        mask = 0
        for place in places:
            mask |= 1 << self._bits.setdefault(place, len(self._bits))
        return mask

    def places(self, mask: int) -> list[int]:
        """The places of a mask, in order."""
        return sorted(place for place, bit in self._bits.items() if mask >> bit & 1)

    def before(self, some: range, wanted: int) -> int:
        """What must be there before some instructions, by what is wanted behind them."""
        for at in reversed(some):
            wanted = wanted & ~self.written[at] | self.read[at]
        return wanted

    def written_in(self, some: range) -> int:
        """What some instructions write."""
        return reduce(or_, (self.written[at] for at in some), 0)

    def wanted(self) -> list[int]:
        """For each instruction, and the end, the places that are read from there on."""
        wanted = [self._mask(place for place in self._bits if place in _STATES)]
        for at in reversed(range(len(self.read))):
            wanted.append(self.before(range(at, at + 1), wanted[-1]))
        return wanted[::-1]


def _work(instructions: Sequence[Instruction]) -> int:
    """Of a cell; what is inside of regions of these counts half."""
    own, inner, end = 0, 0, 0
    for at, (name, count, *_) in enumerate(instructions):
        work = _WORK.get(name, 1)
        own, inner = (own, inner + work) if at < end else (own + work, inner)
        if name in SKIPS:
            end = max(end, at + 1 + count)
    return own + inner // 2
