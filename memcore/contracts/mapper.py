"""`Mapper`: the contract of the way from a weight matrix to conductances.

A mapping is data: which parts a weight has, in which lane the current of each part is read, with
which sign it enters the sum of that lane before the ADC, and what the digitised value of each lane
counts for. Everything that reads arrays follows from that, so a mapper has nothing to decode.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.ops.largest_magnitude import largest_magnitude


@dataclass(frozen=True, kw_only=True)
class Part:
    """Conductances of one part of the weights, on arrays of its own.

    Args:
        target: target conductances, [groups, rows, cols] S.
        lane: the lane in which its currents are read, counted from 0. Lanes are digitised one by
            one and added digitally; bit slices are lanes.
        sign: +1 or -1, how its currents enter the analogue sum of its lane.
        copy: which of several arrays of its lane with the same weights it is on, which says what
            reference columns belong to it; mappers leave it at 0.
    """

    target: Tensor
    lane: int = 0
    sign: float = 1.0
    copy: int = 0


@dataclass(frozen=True, kw_only=True)
class Reference(Part):
    """A reference column, [groups, rows, 1] S, which every array of its lane carries.

    It is written once beside the columns of an array and read for all of them.
    """

    sign: float = -1.0


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Target conductances of a weight matrix, and how their currents become weights again.

    Args:
        parts: the parts in the order in which their arrays follow each other; the first part of a
            lane is no reference.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols]; or
            [lanes, rows, cols], the same for all word lines of an array.
        step: weight of one step, for a mapper that rounds weights; 0 for one that does not.
    """

    parts: tuple[Part, ...]
    gain: Tensor
    step: Tensor | float = 0.0

    @property
    def lanes(self) -> int:
        """How many lanes are read, and digitised, one by one."""
        return 1 + max(part.lane for part in self.parts)

    def weight(self) -> Tensor:
        """The weights that the targets stand for, [groups, rows, cols]."""
        shape = np.broadcast_shapes(*(part.target.shape for part in self.parts))
        parts = torch.stack([part.target.expand(shape) for part in self.parts])
        return added(subtracted(parts, self.parts), self.gain)


def subtracted(current: Tensor, parts: tuple[Part, ...]) -> Tensor:
    """Each lane before its ADC: the signed sum of its parts, [parts, ...] -> [lanes, ...]."""
    lanes: list[Tensor | None] = [None] * (1 + max(part.lane for part in parts))
    for each, part in zip(current, parts, strict=True):
        before = lanes[part.lane]
        if before is None:
            lanes[part.lane] = each if part.sign == 1 else part.sign * each
        else:
            lanes[part.lane] = torch.add(before, each, alpha=part.sign)
    return torch.stack([lane for lane in lanes if lane is not None])


def added(lanes: Tensor, gain: Tensor) -> Tensor:
    """What the digital adder makes of lanes [lanes, ..., cols]: their sum, each by its gain."""
    total = lanes[0] * gain[0]
    for lane, share in zip(lanes[1:], gain[1:], strict=True):
        total = total + lane * share
    return total


@dataclass(frozen=True, kw_only=True)
class TwoParts:
    """A mapping of one lane as data: a part of the positive weights less one of the negative ones.

    A weight w gives `start + span * min(max(w, 0) / scale, 1 if limited)` in the first part, and -w
    likewise in the second one.

    Args:
        scale: magnitude of a weight that is mapped to `start + span`, [] or [cols], above 0; None
            for the largest magnitude of all weights, or 1 where all are 0.
        start: S, of a weight of 0.
        span: S.
        limited: whether larger magnitudes are mapped like `scale`.
    """

    scale: Tensor | None = None
    start: float
    span: float
    limited: bool = False

    def scale_of(self, weight: Tensor) -> Tensor:
        """The scale for weights [groups, rows, cols]."""
        if self.scale is not None:
            return self.scale
        if weight.is_meta:
            return weight.new_ones(())
        largest = largest_magnitude(weight)
        return weight.new_tensor(largest if largest > 0 else 1.0)

    def mapped(self, weight: Tensor) -> Mapped:
        """The mapping itself, of weights [groups, rows, cols]."""
        scale = self.scale_of(weight)
        positive, negative = (
            self._part(part, scale) for part in (weight.clamp(min=0), (-weight).clamp_(min=0))
        )
        parts = (Part(target=positive), Part(target=negative, sign=-1))
        return Mapped(parts=parts, gain=(scale / self.span).unsqueeze(0))

    def _part(self, part: Tensor, scale: Tensor) -> Tensor:
        share = part.div_(scale)
        if self.limited:
            share.clamp_(max=1)
        return share.mul_(self.span).add_(self.start)


class Mapper(Contract):
    """From a weight matrix to conductances."""

    kind = "mappers"
    #: Whether each weight is mapped for itself but for the scale that they share, whatever their
    #: order in memory. Then a training maps them where they are, which is faster.
    cellwise: ClassVar[bool] = False

    @hookspec
    @abstractmethod
    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        """The parts that stand for `weight` [groups, rows, cols] on the nominal `device`."""

    @hookspec
    def two_parts(self, weight: Tensor, device: Memristor, ctx: Context) -> TwoParts | None:
        """What `map` does to `weight`, where that is `TwoParts`; None where it is something else.

        Weights are then laid onto arrays in one pass over memory, and `map` is not called. What is
        said without a scale holds for all weights on this device: a training asks once.
        """
        del weight, device, ctx
        return None
