"""Analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, UpdateRule, parameter
from memcore.optim import trains
from memcore_plugins.updates._transfer import Transfer

_KEPT = 0.99  #: of the running means of the largest input and error


@dataclass(frozen=True, kw_only=True)
class Agad(UpdateRule):
    """As `tiki_taka2`, with signs that flip and a reference that each cell finds by itself.

    Inputs reach the fast array with signs h_j, which flip after every n-th read of their column.
    What the cell shows apart from the gradient does not flip with them: its mean before the last
    flip is the reference r that is subtracted from a read v.

        H -> H + rate h_j (v - r);    mu -> (1 - t) mu + t v;    r -> mu after a flip

    So no symmetry point needs to be known. Rasch et al., "Fast and robust analog in-memory deep
    neural network training", Nat. Commun. 15 (2024), arXiv:2303.04721. A patent covers chopped
    rules (US 12,293,281): clear its use before it goes into a product.
    """

    arrays: ClassVar[int] = 2

    every: int = parameter(1, "1", "vectors between two transfers of a column", at_least=1)
    fast_lr: float = parameter(
        0.1, "1", "share of the longest train that the largest products send", above=0
    )
    transfer_lr: float = parameter(
        1.0, "1", "rate of the transfers, relative to the learning rate", above=0
    )
    longest: int = parameter(5, "1", "most slots of a train of the fast array", within=(1, 10_000))
    most: int = parameter(1, "1", "most pulses of a weight in one transfer", at_least=1)
    momentum: float = parameter(
        0.0, "1", "share of the buffer that is kept where a pulse was sent", within=(0, 1)
    )
    flip: float = parameter(
        0.1,
        "1",
        "flips of a column for each of its reads; a flip comes every 1 / flip reads",
        above=0,
        at_most=0.5,
    )
    tail: float = parameter(
        5.0,
        "1",
        "reads of a period that the running mean of a cell remembers, 1 / t of them",
        above=0,
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Transfer):
    hidden: Tensor
    mean: Tensor
    reference: Tensor
    sign: Tensor
    flipped: Tensor
    largest: Tensor

    def __init__(self, rule: Agad, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(weights, ctx.random, rule.every, rule.longest)
        self._rule = rule
        self._period = max(ceil(1 / rule.flip), 2)
        shape = weights[-1].shape
        for name in ("hidden", "mean", "reference"):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("sign", torch.ones(shape[2]))
        self.register_buffer("flipped", torch.zeros(shape[2], dtype=torch.bool))
        self.register_buffer("largest", torch.zeros(2))

    def update(self, x: Tensor, d: Tensor, lr: float, first: int) -> None:
        del lr
        for largest in torch.stack([x.abs().amax((1, 2)), d.abs().amax((1, 2))], 1):
            known = self.largest > 0
            mean = torch.where(known, _KEPT * self.largest + (1 - _KEPT) * largest, largest)
            self.largest.copy_(torch.where(largest > 0, mean, self.largest))
        if not bool((self.largest > 0).all()):
            return
        rule, step = self._rule, self.fast.granularity
        rate = rule.fast_lr * rule.longest * step / float(self.largest.prod())
        pulses = trains(x * self.sign, d, rate, step, longest=rule.longest)
        self.fast.pulse(*pulses.counts(self._stream.child("fast"), first))

    def transfer(self, column: int, v: Tensor, lr: float) -> None:
        rule, sweep = self._rule, int(self.transfers) // self.slow.shape[2]
        mean, reference = self.mean[:, :, column], self.reference[:, :, column]
        if bool(self.flipped[column]):
            reference.copy_(mean)
        hidden = self.hidden[:, :, column]
        rate = rule.transfer_lr * lr / self.fast.granularity
        hidden += rate * self.sign[column] * (v - reference)
        if sweep > self._period:
            pulses = hidden.trunc().clamp(-rule.most, rule.most)
            hidden *= torch.where(pulses != 0, rule.momentum, 1.0)
            self.pulse_column(column, pulses)
        share = min(rule.tail / self._period, 1.0)
        mean.lerp_(v, share)
        ends = (sweep + 1) % self._period == 0
        self.flipped[column] = ends
        if ends:
            self.sign[column].neg_()
