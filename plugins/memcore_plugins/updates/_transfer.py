"""What the rules with a fast and a slow array have in common: columns that are read in turn."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import PulsedWeights, Stream, UpdateRule, parameter
from memcore.optim import PulsedCells, Pulser
from memcore_plugins._tensor import as_tensor


@dataclass(frozen=True, kw_only=True)
class TransferRule(UpdateRule):
    """A rule whose fast array takes the updates, and whose slow one gets what columns show."""

    arrays: ClassVar[int] = 2

    every: int = parameter(1, "1", "vectors between two transfers of a column", at_least=1)
    transfer_lr: float = parameter(
        1.0, "1", "rate of the transfers, relative to the learning rate", above=0
    )
    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))


@dataclass(frozen=True, kw_only=True)
class BufferedRule(TransferRule):
    """A rule that adds digitally up what it reads, and sends whole pulses."""

    longest: int = parameter(5, "1", "most slots of a train of the fast array", within=(1, 10_000))
    most: int = parameter(1, "1", "most pulses of a weight in one transfer", at_least=1)
    momentum: float = parameter(
        0.1, "1", "share of the buffer that is kept where a pulse was sent", within=(0, 1)
    )


class Transfer(nn.Module):
    """A fast array that takes the updates, and a slow one to which its columns are transferred.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one, which is the network's.
        stream: of the draws.
    """

    vectors: Tensor  #: vectors that the fast array took so far
    transfers: Tensor  #: columns that were read so far
    sent: Tensor  #: pulses that went to the slow array so far
    rate: Tensor  #: learning rate of the fast array at its last update
    slow_rate: Tensor  #: that of the slow array at its last transfer

    def __init__(
        self, rule: TransferRule, weights: tuple[PulsedWeights, ...], stream: Stream
    ) -> None:
        super().__init__()
        self._arrays, self._every, self._rate = weights, rule.every, rule.transfer_lr
        self.pulser = Pulser(self.fast, stream.child("fast"), longest=rule.longest)
        for name in ("vectors", "transfers", "sent"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64, device="cpu"))
        for name in ("rate", "slow_rate"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64, device="cpu"))

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
        self.update(x, d, lr, int(self.vectors))
        self.advance(len(x), lr)

    def advance(self, count: int, lr: float) -> None:
        """Transfer the columns that are due after some more vectors."""
        before = int(self.vectors)
        self.vectors.add_(count)
        self.slow_rate.fill_(self._rate * lr)
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
        self.rate.fill_(float(as_tensor(lr).mean()))
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

    def unit_vectors(self, columns: slice) -> Tensor:
        """The inputs that drive one column each, [columns, groups, inputs]."""
        groups, _, inputs = self.slow.shape
        unit = torch.eye(inputs, device=self.vectors.device)[columns]
        return unit.unsqueeze(1).expand(-1, groups, -1)

    def _read(self, columns: slice) -> Tensor:
        fast = self.fast
        if isinstance(fast, PulsedCells):
            return fast.read_columns(columns)
        return fast.read(self.unit_vectors(columns)).permute(1, 2, 0)

    def pulse_columns(self, columns: slice, count: Tensor) -> None:
        """Signed pulses [groups, outputs, columns] on columns of the slow array, one by one."""
        groups, outputs, inputs = self.slow.shape
        pulses = torch.zeros(groups, inputs, outputs, device=count.device).mT  # as cells lie
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
            "rate of the slow array": float(self.slow_rate),
            "transfers": transfers,
        }
        if int(self.sent):
            figures["pulses a transfer"] = int(self.sent) / max(1, transfers)
        return figures


class BufferedTransfer(Transfer):
    """A transfer through a digital buffer H: what is read is added up until it makes pulses.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one.
        stream: of the draws.
    """

    hidden: Tensor  #: buffer H, in pulses of the slow array

    def __init__(
        self, rule: BufferedRule, weights: tuple[PulsedWeights, ...], stream: Stream
    ) -> None:
        super().__init__(rule, weights, stream)
        self._most, self._momentum = rule.most, rule.momentum
        self.register_buffer("hidden", torch.zeros(self.slow.shape, device="cpu"))

    def collect(self, columns: slice, pulses: Tensor) -> None:
        """Add to the buffer what columns ask for, in pulses, [groups, outputs, columns]."""
        self.hidden[:, :, columns] += pulses

    def send(self, columns: slice) -> None:
        """Send the whole pulses of the buffer, and forget what a column has sent."""
        hidden = self.hidden[:, :, columns]
        pulses = hidden.trunc().clamp(-self._most, self._most)
        hidden *= torch.where(pulses != 0, self._momentum, 1.0)
        self.pulse_columns(columns, pulses)
