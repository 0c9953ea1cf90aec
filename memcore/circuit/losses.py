"""Voltages that wires lose, from the currents that leave or enter them at the nodes."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self

import torch
from torch import Tensor

from memcore.circuit.segments import canonical, check_conductances
from memcore.contracts.wires import Wires
from memcore.ops.ladder import Ladders, has_kernel

#: Cells of an array whose lines are kept for the next solution.
_KEPT: Final = 1 << 17

_Written = tuple[torch.Size, bytes]


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """All word lines or all bit lines, as a linear map of cell currents to lost voltages.

    The current of a segment is the sum of the cell currents behind it, and the loss at a node the
    sum of those of the segments before it: two running sums. Lines with a second end at the same
    voltage lose in addition what brings the loss there to 0, linear in the resistance passed.

    Attributes:
        segments: resistance of the segment between each node and the near end, or the node before
            it, in ohm.
        far: resistance between the last nodes and the second ends in ohm, [..., lines]; None with a
            single end.
        share: share of the resistance from end to end that lies before the node; None with a single
            end.
        dim: dimension along which the lines run.
        near_first: whether the near end is at index 0.
        ladders: the lines without cells, where the kernel runs.
    """

    segments: Tensor
    far: Tensor | None
    share: Tensor | None
    dim: int
    near_first: bool
    ladders: Ladders | None

    @classmethod
    def of(
        cls, segments: Tensor, far: Tensor | None, dim: int, near_first: bool, open: Tensor | None
    ) -> Self:
        """Lines of `segments`, with a segment `far` to the second end if there is one.

        No current passes the ends of those that are `open`, which leaves a single segment less.
        """
        near = 0 if near_first else segments.shape[dim] - 1
        if open is not None:
            at_end = torch.zeros_like(segments, dtype=torch.bool)
            at_end.select(dim, near).fill_(True)
            segments = torch.where(open.unsqueeze(dim) & at_end, 0, segments)
        before = _sums(segments, dim, near_first)
        share = None
        if far is not None:
            whole = before.select(dim, -1 if near_first else 0).unsqueeze(dim) + far.unsqueeze(dim)
            share = before / torch.where(whole == 0, 1, whole)
            if open is not None:
                share = torch.where(open.unsqueeze(dim), 0, share)
                far = torch.where(open, torch.inf, far)
        ladders = None
        if has_kernel(segments):
            ladders = Ladders.of(None, segments, far, dim=dim, near_last=not near_first)
        return cls(
            segments=segments,
            far=far,
            share=share,
            dim=dim,
            near_first=near_first,
            ladders=ladders,
        )

    def drop(self, current: Tensor) -> Tensor:
        """The voltages lost between the ends and each node, in V."""
        if self.ladders is not None:
            return self.ladders.solve(current)[0]
        flow = _sums(current, self.dim, not self.near_first)
        lost = _sums(self.segments * flow, self.dim, self.near_first)
        if self.share is None:
            return lost
        return lost - self.share * lost.narrow(self.dim, -1 if self.near_first else 0, 1)

    def with_cells(self, slope: Tensor) -> Ladders:
        """The lines with cells of `slope` siemens to voltages of their own."""
        near_last = not self.near_first
        return Ladders.of(slope, self.segments, self.far, dim=self.dim, near_last=near_last)

    @property
    def own(self) -> Tensor:
        """The voltage that each node loses by its own current, per ampere, in ohm."""
        before = _sums(self.segments, self.dim, self.near_first)
        return before if self.share is None else before * (1 - self.share)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """The wires of a crossbar: K c is what the loops through the cells lose."""

    word: Line
    bit: Line
    ideal: bool

    @classmethod
    def of(
        cls,
        g: Tensor,
        wires: Wires,
        open_word: Tensor | None = None,
        open_bit: Tensor | None = None,
    ) -> Self:
        """The lines of an array, those with open ends included."""
        _, word, bit, flips = canonical(g, wires)
        word, bit = word.flip(flips), bit.flip(flips)
        far_word = far_bit = None
        if wires.drive == "both":
            word, far_word = word[..., :-1], word[..., -1]
        if wires.sense_at == "both":
            far_bit, bit = bit[..., 0, :], bit[..., 1:, :]
        return cls(
            word=Line.of(word, far_word, -1, wires.drive != "right", open_word),
            bit=Line.of(bit, far_bit, -2, wires.sense_at == "top", open_bit),
            ideal=not bool(word.any()) and not bool(bit.any()),
        )

    def drop(self, current: Tensor) -> Tensor:
        """The voltages K c that the wires lose, in V."""
        if self.ideal:
            return torch.zeros_like(current)
        return self.word.drop(current) + self.bit.drop(current)

    @property
    def by_kernel(self) -> bool:
        """Whether ladders are solved by the native kernel."""
        return self.word.ladders is not None

    @cached_property
    def own(self) -> Tensor:
        """The diagonal of K."""
        return self.word.own + self.bit.own


def lines_of(
    g: Tensor, wires: Wires, open_word: Tensor | None = None, open_bit: Tensor | None = None
) -> Lines:
    """The same as `Lines.of`; lines of small arrays are kept for the next solution."""
    check_conductances(g)
    numbers = not any(isinstance(ohm, Tensor) for ohm in vars(wires).values())  # none can change
    count = 1 if open_word is None else open_word.shape[:-1].numel()
    if numbers and 0 < count * g.shape[-2:].numel() <= _KEPT:
        masks = _written(open_word), _written(open_bit)
        return _kept(wires, g.shape[-2:], g.dtype, g.device, masks)
    return Lines.of(g, wires, open_word, open_bit)


@lru_cache(maxsize=4)
def _kept(
    wires: Wires,
    cells: torch.Size,
    dtype: torch.dtype,
    device: torch.device,
    masks: tuple[_Written | None, _Written | None],
) -> Lines:
    empty = torch.zeros(cells, dtype=dtype, device=device)
    return Lines.of(empty, wires, *(_mask(each, device) for each in masks))


def _written(mask: Tensor | None) -> _Written | None:
    """A mask in a form that can be looked up."""
    return None if mask is None else (mask.shape, mask.cpu().numpy().tobytes())


def _mask(written: _Written | None, device: torch.device) -> Tensor | None:
    if written is None:
        return None
    shape, values = written
    return torch.frombuffer(bytearray(values), dtype=torch.bool).view(shape).to(device)


def _sums(x: Tensor, dim: int, ascending: bool) -> Tensor:
    """Running sums, from the first to the last or the other way round; each includes its own."""
    if ascending:
        return x.cumsum(dim)
    return x.flip(dim).cumsum(dim).flip(dim)
