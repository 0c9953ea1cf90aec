"""What the rules with signs that flip have in common: updates of a rate that follows the data."""

from abc import abstractmethod

import torch
from torch import Tensor

from memcore import Context, PulsedWeights
from memcore_plugins.updates._transfer import Transfer

_KEPT = 0.99  #: of the running means of the largest input and error


class Chopping(Transfer):
    """A fast array whose inputs have signs h_j that flip, and a rate that fits its trains.

    Args:
        weights: the fast array, then the slow one.
        ctx: context of the rule.
        every: vectors between two transfers of a column.
        longest: most slots of a train of the fast array.
        share: of the longest train that the largest products send.
    """

    hidden: Tensor  #: buffer H, in pulses of the slow array
    sign: Tensor  #: h_j
    largest: Tensor  #: running means of the largest input and the largest error

    def __init__(
        self,
        weights: tuple[PulsedWeights, ...],
        ctx: Context,
        every: int,
        longest: int,
        share: float,
    ) -> None:
        super().__init__(weights, ctx.random, every, longest)
        self._share = share * longest
        shape = weights[-1].shape
        self.register_buffer("hidden", torch.zeros(shape))
        self.register_buffer("sign", torch.ones(shape[2]))
        self.register_buffer("largest", torch.zeros(2))

    def update(self, x: Tensor, d: Tensor, lr: float, first: int) -> None:
        del lr
        self._remember(torch.stack([x.abs().amax((1, 2)), d.abs().amax((1, 2))], 1))
        if bool((self.largest > 0).all()):
            rate = self._share * self.fast.granularity / float(self.largest.prod())
            super().update(x * self.sign, d, rate, first)

    def _remember(self, largest: Tensor) -> None:
        """Take the largest inputs and errors of vectors [n, 2] into their running means."""
        for place, column in enumerate(largest.unbind(1)):
            values = column[column > 0]
            if not len(values):
                continue
            mean = self.largest[place]
            start = torch.where(mean > 0, mean, values[0])
            past = _KEPT ** torch.arange(len(values) - 1, -1, -1, device=values.device)
            mean.copy_(_KEPT ** len(values) * start + (1 - _KEPT) * (past * values).sum())

    def send(self, columns: slice, most: int, momentum: float) -> None:
        """Send the whole pulses of the buffer, and forget what a column has sent."""
        hidden = self.hidden[:, :, columns]
        pulses = hidden.trunc().clamp(-most, most)
        hidden *= torch.where(pulses != 0, momentum, 1.0)
        self.pulse_columns(columns, pulses)

    @abstractmethod
    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        """As `Transfer.transfer`."""
