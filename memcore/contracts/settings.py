"""`ArraySettings`: what is known of arrays before any weight lies on them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapper


class LaneSettings(Protocol):
    """What is special about one lane of a mapping, as `memcore.Lane` has it."""

    @property
    def copies(self) -> int:
        """Number of arrays that hold the same weights."""


class ArraySettings(Protocol):
    """The arrays that a network should fit, as a `memcore.CrossbarConfig` describes them.

    It is what a `CompressionPass` may ask of a configuration.
    """

    @property
    def device(self) -> Memristor:
        """The memristor of the cells; that of a lane where lanes have their own is in `devices`."""

    @property
    def devices(self) -> Sequence[Memristor]:
        """The memristor of each lane of the mapping, or the only one."""

    @property
    def mapper(self) -> Mapper | None:
        """From weights to conductances; None where conductances are given."""

    @property
    def effects(self) -> Mapping[str, NonIdeality]:
        """All effects by name, those of the device among them, less those left out."""

    @property
    def tile(self) -> tuple[int, int] | None:
        """Word lines and bit lines of one array; None for one array as large as needed."""

    @property
    def rows_at_once(self) -> int | None:
        """Word lines of an array that are driven at once; None for all."""

    @property
    def temperature(self) -> float:
        """Of the arrays, in K."""

    @property
    def lanes(self) -> Sequence[LaneSettings]:
        """What is special about each lane of the mapping; () where all are alike."""

    @property
    def of_lanes(self) -> Sequence["ArraySettings"]:
        """What holds for the cells of each lane, as if all were of its kind; () without lanes."""
