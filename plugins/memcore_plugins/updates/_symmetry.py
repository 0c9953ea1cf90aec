"""Zero shifting: what an array shows where pairs of opposite pulses move its cells no more."""

import warnings
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from memcore import CalibrationWarning, ConfigError, PulsedWeights
from memcore.optim import PulsedCells
from memcore_plugins.updates._lines import Lines

_SHORTEST: Final = 64  #: pairs of the first block
_READS: Final = 32  #: of the array in each block
_STILL: Final = 0.1  #: pulses by which blocks may differ
_ERRORS: Final = 2.0  #: standard errors of their difference by which they may besides


class SymmetryPoints(nn.Module):
    """Leads each cell of an array to its symmetry point, and keeps what is read there.

    All weights take pairs of a pulse up and one down, every second pair in the opposite order, so
    that neither direction comes last more often. Blocks of pairs are each twice as long as the one
    before. The points are found once the mean reads of a block are those of the block before, in
    the mean square over the weights, to a tenth of a pulse or to two standard errors of noise. The
    array stays there, so pulses, energy and wear are those of any other pulse.

    Args:
        weights: the array, whose cells are where they begin.
        lines: how it is read.
        most: pairs, of which there are no more.

    Raises:
        ConfigError: cells are pulsed towards SET alone.
    """

    shown: Tensor  #: what the cells show at their symmetry points, [groups, outputs, inputs]
    pairs: Tensor  #: pairs of pulses that led there, 0 before

    def __init__(self, weights: PulsedWeights, lines: Lines, most: int) -> None:
        super().__init__()
        _require_both_ways(weights)
        self._weights, self._lines, self._most = (weights,), lines, most
        self.register_buffer("shown", torch.zeros(weights.shape, device="cpu"))
        self.register_buffer("pairs", torch.zeros((), dtype=torch.int64, device="cpu"))

    def require(self, x: Tensor, d: Tensor) -> None:
        """Find the points before the first inputs and errors that ask for pulses."""
        if not int(self.pairs) and bool(x.any()) and bool(d.any()):
            self.find()

    @torch.no_grad()
    def find(self) -> None:
        """Send pairs until they move nothing any more.

        Warns:
            CalibrationWarning: they still do after the most that there may be.
        """
        (weights,) = self._weights
        moved, noise = 0.0, 0.0
        for count in _blocks(self._most):
            before = noise
            moved, noise = self._block(count)
            if moved**2 <= _STILL**2 + _ERRORS**2 * (before + noise):
                return
        name = weights.crossbar.cells.name if isinstance(weights, PulsedCells) else ""
        warnings.warn(
            f"the cells of {name or 'the layer'} still move by {moved:.2g} pulses after "
            f"{int(self.pairs):,} pairs of opposite pulses; expected symmetry points to which they "
            "lead: more symmetry_pairs, or a device whose steps up and down are equal at one point",
            CalibrationWarning,
            stacklevel=2,
        )

    def _block(self, count: int) -> tuple[float, float]:
        """Send some pairs, and let their mean reads be what is shown.

        Returns:
            by how many pulses the mean reads moved, and the square of its standard error.
        """
        (weights,) = self._weights
        total, squares = torch.zeros_like(self.shown), torch.zeros_like(self.shown)
        for number in range(1, count + 1):
            self._send_pair(up_first=number % 2 == 1)
            if number % (count // _READS) == 0:
                off = (self._read() - self.shown) / weights.granularity
                total += off
                squares += off.square()
        self.pairs.add_(count)
        moved = total / _READS
        self.shown += moved * weights.granularity
        variance = (squares / _READS - moved.square()).mean()
        return float(moved.square().mean().sqrt()), float(variance) / _READS

    def _send_pair(self, *, up_first: bool) -> None:
        (weights,) = self._weights
        groups, outputs, inputs = weights.shape
        one = torch.ones(groups, inputs, outputs, device=self.shown.device).mT  # as cells lie
        none = torch.zeros_like(one)
        first, second = ((one, none), (none, one)) if up_first else ((none, one), (one, none))
        weights.pulse(*first, slots=1)  # which has room for both
        weights.pulse(*second, slots=0)

    def _read(self) -> Tensor:
        (weights,) = self._weights
        return self._lines.read(weights, slice(0, self._lines.count), self.shown.device)

    @property
    def additions(self) -> int:
        """Digital additions of the reads from which the points are the mean."""
        blocks = (int(self.pairs) // _SHORTEST + 1).bit_length() - 1
        return blocks * _READS * self.shown.numel()

    def figures(self) -> dict[str, float]:
        """Numbers for a report: pairs of pulses, and the RMS of what is subtracted, in weights."""
        return {
            "pairs to the symmetry points": int(self.pairs),
            "RMS of the symmetry points": float(self.shown.square().mean().sqrt()),
        }


def _blocks(most: int) -> Iterator[int]:
    """Numbers of pairs, each twice the one before, of which the sum is `most` at most."""
    count = _SHORTEST
    while 2 * count - _SHORTEST <= most:
        yield count
        count *= 2


def _require_both_ways(weights: PulsedWeights) -> None:
    if isinstance(weights, PulsedCells) and weights.pair == "one_sided":
        raise ConfigError(
            "subtract_symmetry_point=True came with pair='one_sided'; expected pair='push_pull' or "
            "'reference': cells that are pulsed towards SET alone have no symmetry point"
        )
