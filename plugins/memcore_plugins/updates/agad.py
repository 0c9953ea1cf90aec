"""Analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, UpdateRule, parameter
from memcore_plugins.updates._chopping import Chopping


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


class _Trainer(Chopping):
    mean: Tensor
    reference: Tensor
    flipped: Tensor

    def __init__(self, rule: Agad, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(weights, ctx, rule.every, rule.longest, rule.fast_lr)
        self._rule = rule
        self._period = max(ceil(1 / rule.flip), 2)
        for name in ("mean", "reference"):
            self.register_buffer(name, torch.zeros(self.slow.shape))
        self.register_buffer("flipped", torch.zeros(self.slow.shape[2], dtype=torch.bool))

    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        rule, sweep = self._rule, self.sweep
        mean, reference = self.mean[:, :, columns], self.reference[:, :, columns]
        reference.copy_(torch.where(self.flipped[columns], mean, reference))
        rate = rule.transfer_lr * lr / self.fast.granularity
        self.hidden[:, :, columns] += rate * self.sign[columns] * (v - reference)
        if sweep > self._period:
            self.send(columns, rule.most, rule.momentum)
        mean.lerp_(v, min(rule.tail / self._period, 1.0))
        ends = (sweep + 1) % self._period == 0
        self.flipped[columns] = ends
        if ends:
            self.sign[columns] *= -1
