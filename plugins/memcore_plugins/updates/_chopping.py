"""What the rules with signs that flip have in common: updates of a rate that follows the data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import Context, PulsedWeights, parameter
from memcore_plugins.updates._transfer import BufferedRule, BufferedTransfer

_KEPT = 0.99  #: of the running means of the largest input and error


@dataclass(frozen=True, kw_only=True)
class ChoppedRule(BufferedRule):
    """A rule whose fast array gets inputs with signs that flip, at a rate that fits its trains."""

    fast_lr: float = parameter(
        0.1, "1", "share of the longest train that the largest products send", above=0
    )
    momentum: float = parameter(
        0.0, "1", "share of the buffer that is kept where a pulse was sent", within=(0, 1)
    )


class Chopping(BufferedTransfer):
    """A fast array whose inputs have signs h_j that flip, and a rate that fits its trains.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one.
        ctx: context of the rule.
    """

    sign: Tensor  #: h_j
    largest: Tensor  #: running means of the largest input and error of each group, [2, groups]

    def __init__(self, rule: ChoppedRule, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx.random)
        self._share = rule.fast_lr * rule.longest
        groups, _, inputs = self.slow.shape
        self.register_buffer("sign", torch.ones(inputs, device="cpu"))
        self.register_buffer("largest", torch.zeros(2, groups, dtype=torch.float64, device="cpu"))

    def update(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        del lr
        largest = _means(self.largest, torch.stack([x.abs().amax(2), d.abs().amax(2)], 1))
        self.largest.copy_(largest[-1])
        product = largest.prod(1)
        rate = self._share * self.fast.granularity / product
        super().update(x * self.sign, d, torch.where(product > 0, rate, 0.0), first)

    def collect_read(self, columns: slice, v: Tensor, lr: float) -> None:
        """Add what columns have shown to the buffer, with the signs that their inputs had."""
        rate = self._rate * lr / self.fast.granularity
        self.collect(columns, rate * self.sign[columns] * v)


def _means(mean: Tensor, values: Tensor) -> Tensor:
    """Running means behind each of n vectors, where values above 0 count, [n, 2, groups].

    They are computed vector by vector, so that those of a batch are those of its vectors to the
    bit.

    Args:
        mean: running means before, [2, groups]; 0 where none counted.
        values: largest inputs and errors, [n, 2, groups].
    """
    if not len(values):
        return mean.expand(1, *mean.shape)
    before, means = mean.flatten().tolist(), []
    for row in values.flatten(1).tolist():  # a few numbers each, for which tensors take long
        before = [_later(*each) for each in zip(before, row, strict=True)]
        means.append(before)
    return mean.new_tensor(means).view(-1, *mean.shape)


def _later(mean: float, value: float) -> float:
    if not value > 0:
        return mean
    return _KEPT * (mean if mean > 0 else value) + (1 - _KEPT) * value
