"""Converters that tell how many of the open cells of a bit line store a 1: what they are told."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from memcore.random import ReadStream

if TYPE_CHECKING:
    from memcore.contracts.device import Memristor
    from memcore.contracts.effect import NonIdeality


@dataclass(frozen=True, kw_only=True, eq=False)
class OperationUnit:
    """The cells whose currents on one bit line are added and sensed together.

    Args:
        rows: word lines that are open at once, at most.
        device: the cells, as configured.
        nonidealities: the effects that are configured beside those of the device.
        without: names of effects that are left out.
        acting: names of the effects that act on the cells, those of the device among them.
        read_voltage: V on an open word line.
        temperature: K.
    """

    rows: int
    device: "Memristor"
    nonidealities: "Sequence[NonIdeality]" = ()
    without: Sequence[str] = ()
    acting: Sequence[str] = ()
    read_voltage: float = 0.2
    temperature: float = 300.0


class Sums(nn.Module):
    """Base of the forms of converters that `counts_open`: what is told of a sum of cells."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """Word lines that may be open at once."""

    @abstractmethod
    def sums(self, bits: Tensor, cells: Tensor, stream: ReadStream) -> Tensor:
        """What is told of each sum, added over the units, float32 [reads, groups, cols].

        A sum is the number of rows of a unit in which bit and cell are both 1. Where no word line
        is open, 0 is told. Each sum of each read has a draw of its own.

        Args:
            bits: which word lines are open, 0 or 1, uint8 [reads, groups, units, rows].
            cells: what the cells hold, 0 or 1, uint8 [groups, units, rows, cols].
            stream: draws of the reads.
        """
