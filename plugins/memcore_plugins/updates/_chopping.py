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
    largest: Tensor  #: running means of the largest input and error of each group, [2, groups]

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
        self.register_buffer("largest", torch.zeros(2, shape[0]))

    def update(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        del lr
        largest = _means(self.largest, torch.stack([x.abs().amax(2), d.abs().amax(2)], 1))
        self.largest.copy_(largest[-1])
        product = largest.prod(1)
        rate = self._share * self.fast.granularity / product
        super().update(x * self.sign, d, torch.where(product > 0, rate, 0.0), first)

    def send(self, columns: slice, most: int, momentum: float) -> None:
        """Send the whole pulses of the buffer, and forget what a column has sent."""
        hidden = self.hidden[:, :, columns]
        pulses = hidden.trunc().clamp(-most, most)
        hidden *= torch.where(pulses != 0, momentum, 1.0)
        self.pulse_columns(columns, pulses)

    @abstractmethod
    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        """As `Transfer.transfer`."""


def _means(mean: Tensor, values: Tensor) -> Tensor:
    """Running means behind each of n vectors, where values above 0 count, [n, 2, groups].

    They are computed vector by vector, so that those of a batch are those of its vectors to the
    bit.

    Args:
        mean: running means before, [2, groups]; 0 where none counted.
        values: largest inputs and errors, [n, 2, groups].
    """
    means = []
    for value in values:
        later = _KEPT * torch.where(mean > 0, mean, value) + (1 - _KEPT) * value
        mean = torch.where(value > 0, later, mean)
        means.append(mean)
    return torch.stack(means) if means else mean.expand(1, *mean.shape)
