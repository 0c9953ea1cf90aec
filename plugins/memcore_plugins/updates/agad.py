"""Analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, parameter
from memcore_plugins.updates._chopping import ChoppedRule, Chopping


@dataclass(frozen=True, kw_only=True)
class Agad(ChoppedRule):
    """As `tiki_taka2`, with signs that flip and a reference that each cell finds by itself.

    Inputs reach the fast array with signs h_j, which flip after every n-th read of their column.
    What the cell shows apart from the gradient does not flip with them: its mean before the last
    flip is the reference r that is subtracted from a read v.

        H -> H + rate h_j (v - r);    mu -> (1 - t) mu + t v;    r -> mu after a flip

    So no symmetry point needs to be known. Rasch et al., "Fast and robust analog in-memory deep
    neural network training", Nat. Commun. 15 (2024), arXiv:2303.04721. A patent covers chopped
    rules (US 12,293,281): clear its use before it goes into a product.
    """

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
        super().__init__(rule, weights, ctx)
        self._period = max(ceil(1 / rule.flip), 2)
        self._forgotten = min(rule.tail / self._period, 1.0)
        for name in ("mean", "reference"):
            self.register_buffer(name, torch.zeros(self.slow.shape, device="cpu"))
        self.register_buffer(
            "flipped", torch.zeros(self.slow.shape[2], dtype=torch.bool, device="cpu")
        )

    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        sweep = self.sweep
        mean, reference = self.mean[:, :, columns], self.reference[:, :, columns]
        reference.copy_(torch.where(self.flipped[columns], mean, reference))
        self.collect_read(columns, v - reference, lr)
        if sweep > self._period:
            self.send(columns)
        mean.lerp_(v, self._forgotten)
        ends = (sweep + 1) % self._period == 0
        self.flipped[columns] = ends
        if ends:
            self.sign[columns] *= -1
