"""What the lines of a circuit are connected to: driven potentials, and lines with open ends."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memcore.circuit.drive import Drive
from memcore.circuit.newton_step import Floating
from memcore.contracts.units import MOST_VOLTS, VOLTS
from memcore.errors import ConfigError
from memcore.ops.loop_voltages import ROUNDINGS


@dataclass(frozen=True, kw_only=True, eq=False)
class Terminals:
    """The ends of all lines.

    Attributes:
        word: voltages of the drivers in V, [..., rows]; 0 where a line floats.
        bit: voltages of the ends of bit lines in V, [..., cols]; 0 where a line floats.
        floating: floating lines; None if no line floats.
    """

    word: Tensor
    bit: Tensor
    floating: Floating | None

    @classmethod
    def of(cls, g: Tensor, drive: Drive, shape: tuple[int, ...]) -> Self:
        """The terminals of a circuit of `shape` [..., rows, cols].

        Raises:
            ConfigError: no line has a potential, or one has none that is finite.
        """
        *batch, rows, cols = shape
        masks = drive.floating_word_lines, drive.floating_bit_lines
        word = drive.word_line
        bit = word.new_zeros(cols) if drive.bit_line is None else drive.bit_line
        open_word, open_bit = (
            torch.zeros(count, dtype=torch.bool, device=g.device) if mask is None else mask
            for mask, count in zip(masks, (rows, cols), strict=True)
        )
        if bool((open_word.all(-1) & open_bit.all(-1)).any()):
            raise ConfigError(
                "all lines float, so that no potential is known; expected at least one driven line"
            )
        word, bit = torch.where(open_word, 0, word), torch.where(open_bit, 0, bit)
        for name, volts in (("word_line", word), ("bit_line", bit)):
            require_volts(f"drive.{name}", volts)
        if masks == (None, None):
            return cls(word=word, bit=bit, floating=None)
        floating = Floating(word=open_word.expand(*batch, rows), bit=open_bit.expand(*batch, cols))
        return cls(word=word, bit=bit, floating=floating)

    def potentials(self, floating: Tensor | None) -> tuple[Tensor, Tensor]:
        """The potentials of all ends [..., rows] and [..., cols] in V.

        Args:
            floating: potentials of floating lines, [..., rows + cols]; None for none.
        """
        if floating is None:
            return self.word, self.bit
        word, bit = self.shared(floating)
        return self.word + word, self.bit + bit

    def shared(self, floating: Tensor) -> tuple[Tensor, Tensor]:
        """Potentials [..., rows + cols] as those of word and bit lines; 0 where they are driven."""
        assert self.floating is not None
        rows = self.word.shape[-1]
        word = torch.where(self.floating.word, floating[..., :rows], 0)
        return word, torch.where(self.floating.bit, floating[..., rows:], 0)

    @property
    def span(self) -> float:
        """The difference of the highest and the lowest potential of all driven ends, in V."""
        every = torch.cat([self.word.flatten(), self.bit.flatten()])
        return float(every.max() - every.min()) if every.numel() else 0.0

    def rounding(self, floating: Tensor | None) -> Tensor:
        """What rounding leaves of the voltage of a cell, in V, [...]."""
        word, bit = self.potentials(floating)
        largest = torch.maximum(word.abs().amax(-1), bit.abs().amax(-1))
        return ROUNDINGS * torch.finfo(largest.dtype).eps * largest


def require_volts(name: str, volts: Tensor) -> None:
    """Refuse voltages that are not finite, or that only another unit explains.

    Raises:
        ConfigError: some are infinite, NaN, or above 1000 V.
    """
    if not bool(volts.isfinite().all()):
        raise ConfigError(f"{name} has infinite entries or NaN; expected V")
    largest = float(volts.abs().max()) if volts.numel() else 0.0
    if largest > MOST_VOLTS:
        raise ConfigError(
            f"{name} is up to {largest:.3g} V; expected at most {MOST_VOLTS:.0f} V: {VOLTS}"
        )
