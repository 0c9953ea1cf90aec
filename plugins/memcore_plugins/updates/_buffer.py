"""What the rules with a digital buffer between two arrays have in common."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import PulsedWeights, Stream, parameter
from memcore_plugins.updates._transfer import Transfer, TransferRule


@dataclass(frozen=True, kw_only=True)
class BufferedRule(TransferRule):
    """A rule that adds digitally up what it reads, and sends whole pulses."""

    longest: int = parameter(5, "1", "most slots of a train of the fast array", within=(1, 10_000))
    most: int = parameter(1, "1", "most pulses of a weight in one transfer", at_least=1)
    momentum: float = parameter(
        0.1, "1", "share m of the buffer that is kept where a pulse was sent", within=(0, 1)
    )
    forget: bool = parameter(
        True,
        "1",
        "whether a buffer that has sent n pulses becomes m H, as in aihwkit 1.2, or H - (1 - m) n",
    )


class BufferedTransfer(Transfer):
    """A transfer through a digital buffer H: what is read is added up until it makes pulses.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one.
        stream: of the draws.
    """

    of_a_read = 2  # to the buffer, and where it is looked at for whole pulses

    hidden: Tensor  #: buffer H, in pulses of the slow array

    def __init__(
        self, rule: BufferedRule, weights: tuple[PulsedWeights, ...], stream: Stream
    ) -> None:
        super().__init__(rule, weights, stream)
        self._most, self._momentum, self._forgets = rule.most, rule.momentum, rule.forget
        self.register_buffer("hidden", torch.zeros(self.slow.shape, device="cpu"))

    @property
    def unit(self) -> float | Tensor:
        """What is read that makes a pulse at a rate of 1, for all groups or each, [groups, 1, 1].

        It is infinite where nothing makes any.
        """
        return self.slow.granularity

    def effective_rate(self, lr: float) -> float:
        each = self._rate * lr * (self.slow.granularity / self.unit)
        return float(each.mean()) if isinstance(each, Tensor) else each

    def collect(self, lines: slice, v: Tensor, lr: float) -> None:
        """Add what lines have shown to the buffer, in pulses."""
        self.hidden[self.lines.at(lines)] += self._rate * lr / self.unit * v

    def send(self, lines: slice) -> None:
        """Send the whole pulses of the buffer, and forget what lines have sent."""
        hidden = self.hidden[self.lines.at(lines)]
        pulses = hidden.trunc().clamp(-self._most, self._most)
        if self._forgets:
            hidden *= torch.where(pulses != 0, self._momentum, 1.0)
        else:
            hidden -= (1 - self._momentum) * pulses
        self.pulse_lines(lines, pulses)
