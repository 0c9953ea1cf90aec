"""Ramps: pulses that grow in width or in amplitude while a cell does not reach its target."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from memcore.dynamics.probe import Pulse


def growing_widths(first: float, last: float, growth: float) -> list[float]:
    """Widths in s from `first` to `last`, each `growth` times the one before.

    Examples:
        >>> from memcore.writing import growing_widths
        >>> growing_widths(1.0, 5.0, 2.0)
        [1.0, 2.0, 4.0, 5.0]
    """
    widths = [first]
    while widths[-1] * growth < last:
        widths.append(widths[-1] * growth)
    return [*widths, last]


@dataclass(frozen=True)
class Ramps:
    """The RESET and the SET ramp as one table, in which cells look up their pulse.

    A cell has a level, the number of its next pulse in the table.

    Args:
        reset: RESET pulses, the first one first.
        set: SET pulses.

    Examples:
        >>> from memcore.writing import Pulse, Ramps
        >>> ramps = Ramps((Pulse(-1.0, 1e-6),), (Pulse(1.0, 1e-6), Pulse(1.0, 2e-6)))
        >>> up = torch.tensor([False, True, True])
        >>> level = ramps.first(up)
        >>> level, ramps.following(level, up)
        (tensor([0, 1, 1]), tensor([0, 2, 2]))
    """

    reset: Sequence[Pulse]
    set: Sequence[Pulse]

    @cached_property
    def pulses(self) -> tuple[Pulse, ...]:
        """The table: RESET pulses, then SET pulses."""
        return (*self.reset, *self.set)

    @cached_property
    def widths(self) -> list[float]:
        """The different widths in s, ascending."""
        return sorted({pulse.width for pulse in self.pulses})

    @property
    def last(self) -> tuple[int, int]:
        """Levels of the last RESET and of the last SET pulse."""
        return len(self.reset) - 1, len(self.pulses) - 1

    def first(self, up: Tensor) -> Tensor:
        """Levels of the first pulses: SET where `up`, bool [n], is True."""
        return torch.where(up, len(self.reset), 0)

    def following(self, level: Tensor, up: Tensor) -> Tensor:
        """Levels of the pulses that come next, int64 [n]; the last of a ramp is repeated."""
        reset, both = self.last
        return torch.minimum(level + 1, torch.where(up, both, reset))

    def at_end(self, level: Tensor) -> Tensor:
        """Whether levels are those of the last pulse of a ramp, bool [n]."""
        reset, both = self.last
        return (level == reset) | (level == both)

    def voltages(self, like: Tensor) -> Tensor:
        """Voltage of each level in V, as a tensor with the dtype and the device of `like`."""
        return like.new_tensor([pulse.voltage for pulse in self.pulses])

    def kinds(self, where: torch.device) -> Tensor:
        """Index of the width of each level among `widths`, int16."""
        kinds = [self.widths.index(pulse.width) for pulse in self.pulses]
        return torch.tensor(kinds, device=where, dtype=torch.int16)
