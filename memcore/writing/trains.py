"""Trains of pulses to selected cells, cut into parts until the voltage makes no difference."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import torch
from torch import Tensor

from memcore.writing.cells import CellModel
from memcore.writing.network import Network
from memcore.writing.path import Path
from memcore.writing.responses import Response
from memcore.writing.selecting import Selection

#: A device that jumps has no short enough part; this share of a train is taken as it is.
_SHORTEST: Final = 2.0**-16


@dataclass(frozen=True, eq=False)
class Train:
    """Identical pulses to the selected cells of every array, applied as one long pulse.

    Args:
        at: the selection.
        driven: which of the selected cells get the pulses, 0 or 1, [arrays, selected].
        response: of the nominal device to the pulses.
        device: model of the touched cells.
    """

    at: Selection
    driven: Tensor
    response: Response
    device: CellModel

    @property
    def voltage(self) -> float:
        """Voltage of the pulses in V, with its sign."""
        return self.response.pulse.voltage


@dataclass(frozen=True, eq=False)
class Seen:
    """What a train does to the touched cells in one state.

    Args:
        voltage: in V across the touched cells, [arrays, touched].
        lost: power in W that the lines take, for each of the selected cells, [arrays, selected].
    """

    voltage: Tensor
    lost: Tensor

    def mean(self, other: "Seen") -> "Seen":
        """The mean of two states."""
        return Seen(0.5 * (self.voltage + other.voltage), 0.5 * (self.lost + other.lost))


class View(Protocol):
    """How cells see a train: by the shares of the selection, or through the whole network."""

    @property
    def shares(self) -> tuple[float, float] | None:
        """Shares of the voltage, as `selections` takes them."""

    @property
    def joined(self) -> int:
        """Number of arrays that are one circuit."""

    @property
    def steady(self) -> bool:
        """Whether the voltages do not depend on the state of the cells."""

    def seen(self, train: Train, state: Tensor) -> Seen:
        """What touched cells in a state [k, arrays, touched] see of a train."""

    def pulsed(self, train: Train) -> Tensor:
        """How many cells are pulsed in the circuit that each array belongs to, [arrays]."""


@dataclass(frozen=True, eq=False)
class ByShares:
    """Each cell sees its share of the voltage, behind its own path if that resists.

    Args:
        path: to the cells.
        number: int64 [arrays, rows x cols], numbers of the cells in C order.
        shares: of the voltage on the other cells of selected lines, and on all the rest.
    """

    path: Path
    number: Tensor
    shares: tuple[float, float]
    joined: ClassVar[int] = 1

    @property
    def steady(self) -> bool:
        """Whether nothing is lost on the way."""
        return not self.path.resists

    def seen(self, train: Train, state: Tensor) -> Seen:
        """The share of each touched cell, less what its path takes."""
        applied = train.voltage * train.at.drive(train.driven)
        if self.steady:
            return Seen(applied, torch.zeros_like(train.driven))
        cells = self.number[:, train.at.touched]
        across = self.path.seen(applied, train.device, state, cells)
        return Seen(across, (applied - across) * train.device.current(state, across))

    def pulsed(self, train: Train) -> Tensor:
        """How many cells are pulsed in each array."""
        return train.driven.sum(1)


@dataclass(frozen=True, eq=False)
class ByNetwork:
    """The circuit of the whole array decides what each cell sees.

    Args:
        network: solved anew for every state.
    """

    network: Network
    shares: ClassVar[None] = None

    @property
    def joined(self) -> int:
        """Number of parts of a weight that share word lines."""
        return self.network.array.layout.parts

    @property
    def steady(self) -> bool:
        """False: the more a cell conducts, the less it sees."""
        return False

    def seen(self, train: Train, state: Tensor) -> Seen:
        """Voltages of the whole circuit; what wires take is shared by the pulsed cells."""
        driven = train.driven
        across = self.network.seen(train.at.cells.start, driven, train.voltage, state)
        share = driven / driven.sum(1, keepdim=True).clamp(min=1)
        return Seen(across.voltage, share * across.lost[:, None])

    def pulsed(self, train: Train) -> Tensor:
        """How many cells are pulsed, parts that share word lines counted together."""
        return self.network.together(train.driven.sum(1))


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a train, in which cells see the mean voltage of its beginning and its end.

    Args:
        before: state at its beginning, [k, arrays, touched].
        after: state at its end.
        seen: mean of both.
        width: in s.
    """

    before: Tensor
    after: Tensor
    seen: Seen
    width: float


def parts_of(
    train: Train,
    state: Tensor,
    width: float,
    *,
    view: View,
    moved: Callable[[Train, Tensor, Seen, float], Tensor],
    accuracy: float,
) -> Iterator[Part]:
    """Cut a train into parts so short that it makes no difference which voltage they are at.

    Each is tried with the voltages of its beginning and with the mean of both ends, and halved
    until the two differ by no more than `accuracy`. `SequentialLoop` applies them.

    Args:
        train: to the selected cells.
        state: of the touched cells at the beginning, [k, arrays, touched].
        width: of the whole train in s.
        view: what cells see of the train.
        moved: the state after `(train, state, seen, width)`.
        accuracy: largest difference of conductances in S.

    Yields:
        The parts in order; where voltages are steady, the whole train at once.
    """
    seen = view.seen(train, state)
    if view.steady:
        yield Part(state, moved(train, state, seen, width), seen, width)
        return
    left = part = width
    while left > 0:
        first = moved(train, state, seen, part)
        both = seen.mean(view.seen(train, first))
        after = moved(train, state, both, part)
        change = train.device.conductance(after) - train.device.conductance(first)
        if float(change.abs().max()) > accuracy and part > _SHORTEST * width:
            part *= 0.5
            continue
        yield Part(state, after, both, part)
        state, left = after, left - part
        if left > 0:
            seen, part = view.seen(train, state), min(2 * part, left)
