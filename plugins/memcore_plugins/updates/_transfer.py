"""What the rules with a fast and a slow array have in common: columns that are read in turn."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from memcore import PulsedWeights, Stream
from memcore.optim import trains


class Transfer(nn.Module):
    """A fast array that takes the updates, and a slow one to which its columns are transferred.

    Args:
        weights: the fast array, then the slow one, which is the network's.
        stream: of the draws.
        every: vectors between two transfers of a column.
        longest: most slots of a train of the fast array.
    """

    vectors: Tensor  #: vectors that the fast array took so far
    transfers: Tensor  #: columns that were read so far

    def __init__(
        self, weights: tuple[PulsedWeights, ...], stream: Stream, every: int, longest: int
    ) -> None:
        super().__init__()
        self._arrays, self._stream = weights, stream
        self._every, self._longest = every, longest
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64))
        self.register_buffer("transfers", torch.zeros((), dtype=torch.int64))

    @property
    def fast(self) -> PulsedWeights:
        """The array that takes the updates."""
        return self._arrays[0]

    @property
    def slow(self) -> PulsedWeights:
        """The array that the network reads."""
        return self._arrays[1]

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the fast array for some vectors, then transfer the columns that are due."""
        before = int(self.vectors)
        self.update(x, d, lr, before)
        self.vectors.add_(len(x))
        for _ in range(before // self._every, int(self.vectors) // self._every):
            column = int(self.transfers) % self.slow.shape[2]
            self.transfer(column, self._read(column), lr)
            self.transfers.add_(1)

    def update(self, x: Tensor, d: Tensor, lr: float, first: int) -> None:
        """Pulse the fast array at a rate."""
        pulses = trains(x, d, lr, self.fast.granularity, longest=self._longest)
        self.fast.pulse(*pulses.counts(self._stream.child("fast"), first))

    @abstractmethod
    def transfer(self, column: int, v: Tensor, lr: float) -> None:
        """Take what was read of a column of the fast array, [groups, outputs], to the slow one."""

    def _read(self, column: int) -> Tensor:
        groups, _, inputs = self.fast.shape
        unit = torch.zeros(1, groups, inputs, device=self.vectors.device)
        unit[:, :, column] = 1.0
        return self.fast.read(unit)[0]

    def pulse_column(self, column: int, count: Tensor) -> None:
        """Signed pulses [groups, outputs] on a column of the slow array."""
        pulses = torch.zeros(self.slow.shape, device=count.device)
        pulses[:, :, column] = count
        self.slow.pulse(pulses.clamp(min=0), (-pulses).clamp(min=0))
