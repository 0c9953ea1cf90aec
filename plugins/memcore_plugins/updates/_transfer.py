"""What the rules with a fast and a slow array have in common: columns that are read in turn."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from memcore import PulsedWeights, Stream
from memcore.optim import Pulser


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
    sent: Tensor  #: pulses that went to the slow array so far
    rate: Tensor  #: learning rate of the fast array at its last update

    def __init__(
        self, weights: tuple[PulsedWeights, ...], stream: Stream, every: int, longest: int
    ) -> None:
        super().__init__()
        self._arrays, self._every = weights, every
        self.pulser = Pulser(self.fast, stream.child("fast"), longest=longest)
        for name in ("vectors", "transfers", "sent"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        self.register_buffer("rate", torch.zeros((), dtype=torch.float64))

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
        due = int(self.vectors) // self._every - before // self._every
        while due > 0:
            inputs = self.slow.shape[2]
            begin = int(self.transfers) % inputs
            columns = slice(begin, min(begin + due, inputs))
            self.transfer(columns, self._read(columns), lr)
            due -= columns.stop - begin
            self.transfers.add_(columns.stop - begin)

    def update(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        """Pulse the fast array at a rate, or at one for each vector and group."""
        self.rate.fill_(float(torch.as_tensor(lr).mean()))
        self.pulser(x, d, lr, first)

    @abstractmethod
    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        """Take what was read of columns of the fast array to the slow one.

        Args:
            columns: which were read, all of one sweep.
            v: what was read of them, [groups, outputs, columns].
            lr: learning rate.
        """

    @property
    def sweep(self) -> int:
        """How often all columns were read before."""
        return int(self.transfers) // self.slow.shape[2]

    def _read(self, columns: slice) -> Tensor:
        groups, _, inputs = self.fast.shape
        unit = torch.eye(inputs, device=self.vectors.device)[columns]
        return self.fast.read(unit.unsqueeze(1).expand(-1, groups, -1)).permute(1, 2, 0)

    def pulse_columns(self, columns: slice, count: Tensor) -> None:
        """Signed pulses [groups, outputs, columns] on columns of the slow array, one by one."""
        pulses = torch.zeros(self.slow.shape, device=count.device)
        pulses[:, :, columns] = count
        slots = int(count.abs().amax((0, 1)).sum())
        self.sent.add_(count.abs().sum().to(torch.int64))
        self.slow.pulse(pulses.clamp(min=0), (-pulses).clamp(min=0), slots=slots)

    def figures(self) -> dict[str, float]:
        """Numbers for a report: the trains of the fast array, and what reached the slow one."""
        transfers = int(self.transfers)
        figures = {
            **self.pulser.figures(),
            "rate of the fast array": float(self.rate),
            "transfers": transfers,
        }
        if int(self.sent):
            figures["pulses a transfer"] = int(self.sent) / max(1, transfers)
        return figures
