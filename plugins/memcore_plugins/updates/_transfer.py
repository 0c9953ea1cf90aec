"""What the rules with a fast and a slow array have in common: lines that are read in turn."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from memcore import ConfigError, PulsedWeights, Stream, UpdateRule, parameter
from memcore.optim import Pulser
from memcore_plugins._tensor import as_tensor
from memcore_plugins.updates._lines import Lines
from memcore_plugins.updates._symmetry import SymmetryPoints


@dataclass(frozen=True, kw_only=True)
class TransferRule(UpdateRule):
    """A rule whose fast array takes the updates, and whose slow one gets what columns show."""

    arrays: ClassVar[int] = 2

    every: int = parameter(1, "1", "vectors between two transfers; 1 in aihwkit 1.2", at_least=1)
    at_once: int = parameter(
        1,
        "1",
        "columns that one transfer reads, one by one, or all of a matrix that has fewer; "
        "1 in aihwkit 1.2",
        at_least=1,
    )
    lines: Literal["columns", "rows"] = parameter(
        "columns",
        "1",
        "what a transfer reads of the fast array, and pulses of the slow one: columns, or rows, "
        "which are read backwards and without converters; columns in aihwkit 1.2",
    )
    transfer_read: Literal["converters", "exact"] = parameter(
        "converters",
        "1",
        "how the fast array is read: through the converters and with the noise of the layer, or "
        "as what its cells stand for",
    )
    subtract_symmetry_point: bool = parameter(
        False,
        "1",
        "whether pairs of opposite pulses lead the cells of the fast array to their symmetry "
        "points before its first update, and what is read there is subtracted from all reads; off "
        "in aihwkit 1.2, where devices have it and know their points",
    )
    symmetry_pairs: int = parameter(
        50_000,
        "1",
        "most pairs of pulses to the symmetry points, where pairs go on moving cells; a round "
        "number",
        at_least=64,
    )
    transfer_lr: float = parameter(
        1.0, "1", "rate of the transfers, relative to the learning rate", above=0
    )
    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lines == "rows" and self.transfer_read != "exact":
            raise ConfigError(
                f"lines='rows' came with transfer_read={self.transfer_read!r}; expected "
                "transfer_read='exact', since reads backwards have no converters and no noise, or "
                "lines='columns'"
            )
        if self.subtract_symmetry_point and any(self.shares[:-1]):
            raise ConfigError(
                f"subtract_symmetry_point=True came for {type(self).__name__}, whose network reads "
                "the faster arrays too, from which nothing is subtracted; expected False, or a "
                "rule with an array that the network never reads, such as tiki_taka2"
            )


class Transfer(nn.Module):
    """A fast array that takes the updates, and a slow one to which its lines are transferred.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one, which is the network's.
        stream: of the draws.
    """

    #: Digital additions of the rule for each weight of a line that is read, symmetry points apart.
    of_a_read: ClassVar[int] = 0

    vectors: Tensor  #: vectors that the fast array took so far
    transfers: Tensor  #: lines that were read so far
    sent: Tensor  #: pulses that went to the slow array so far
    rate: Tensor  #: learning rate of the fast array at its last update
    slow_rate: Tensor  #: change of the slow array for what is read, at its last transfer

    def __init__(
        self, rule: TransferRule, weights: tuple[PulsedWeights, ...], stream: Stream
    ) -> None:
        super().__init__()
        self._arrays, self._every, self._rate = weights, rule.every, rule.transfer_lr
        self.lines = Lines(self.slow.shape, rule.lines == "rows", rule.transfer_read == "exact")
        self._at_once = min(rule.at_once, self.lines.count)
        self.pulser = Pulser(self.fast, stream.child("fast"), longest=rule.longest)
        finds = rule.subtract_symmetry_point
        self.points = SymmetryPoints(self.fast, self.lines, rule.symmetry_pairs) if finds else None
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
        """Pulse the fast array for some vectors, then transfer the lines that are due."""
        if self.points is not None:
            self.points.require(x, d)
        self.update(x, d, lr, int(self.vectors))
        self.advance(len(x), lr)

    def advance(self, count: int, lr: float) -> None:
        """Transfer the lines that are due after some more vectors."""
        due = self.due_after(count) * self._at_once
        self.slow_rate.fill_(self.effective_rate(lr))
        while due > 0:
            begin = int(self.transfers) % self.lines.count
            lines = slice(begin, min(begin + due, self.lines.count))
            self.transfer(lines, self._shown(lines), lr)
            due -= lines.stop - begin
            self.transfers.add_(lines.stop - begin)

    def _shown(self, lines: slice) -> Tensor:
        """What lines of the fast array show, less their symmetry points where these are known."""
        v = self.lines.read(self.fast, lines, self.vectors.device)
        return v if self.points is None else v - self.points.shown[self.lines.at(lines)]

    def due_after(self, count: int) -> int:
        """How many transfers are due after some more vectors, which are counted."""
        before = int(self.vectors)
        self.vectors.add_(count)
        return int(self.vectors) // self._every - before // self._every

    def effective_rate(self, lr: float) -> float:
        """Change of a weight of the slow array for 1 that is read of the fast one."""
        return self._rate * lr

    def update(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        """Pulse the fast array at a rate, or at one for each vector and group."""
        self.rate.fill_(float(as_tensor(lr).mean()))
        self.pulser(x, d, lr, first)

    @abstractmethod
    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        """Take what was read of lines of the fast array to the slow one.

        Args:
            lines: which were read, all of one sweep.
            v: what was read of them, [groups, outputs, columns] or [groups, rows, inputs].
            lr: learning rate.
        """

    @property
    def additions(self) -> int:
        """Digital additions so far, of what lines have shown."""
        found, each = 0, self.of_a_read
        if self.points is not None:
            found, each = self.points.additions, each + 1
        return found + each * self.weights_in(int(self.transfers))

    def weights_in(self, lines: int) -> int:
        """How many weights so many lines have, of all groups."""
        return lines * self.slow.shape[0] * self.lines.across

    @property
    def sweep(self) -> int:
        """How often all lines were read before."""
        return int(self.transfers) // self.lines.count

    @property
    def vectors_of_a_sweep(self) -> float:
        """Vectors in which all lines are read once."""
        return self.lines.count * self._every / self._at_once

    def pulse_lines(self, lines: slice, count: Tensor) -> None:
        """Signed pulses on lines of the slow array, one by one, in the shape of what is read."""
        groups, outputs, inputs = self.slow.shape
        pulses = torch.zeros(groups, inputs, outputs, device=count.device).mT  # as cells lie
        pulses[self.lines.at(lines)] = count
        self.sent.add_(count.abs().sum().to(torch.int64))
        slots = self.lines.slots(count)
        self.slow.pulse(pulses.clamp(min=0), (-pulses).clamp(min=0), slots=slots)

    def figures(self) -> dict[str, float]:
        """Numbers for a report: the trains of the fast array, and what reached the slow one."""
        transfers = int(self.transfers) // self._at_once
        figures = {
            **self.pulser.figures(),
            "rate of the fast array": float(self.rate),
            "rate of the slow array": float(self.slow_rate),
            "transfers": transfers,
        }
        if int(self.sent):
            figures["pulses a transfer"] = int(self.sent) / max(1, transfers)
        if self.of_a_read or self.points is not None:
            figures["additions"] = self.additions
        return figures if self.points is None else {**figures, **self.points.figures()}
