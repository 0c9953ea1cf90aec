"""Tiki-taka with a buffer, and signs that flip."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, parameter
from memcore_plugins.updates._chopping import ChoppedRule, Chopping


@dataclass(frozen=True, kw_only=True)
class Chopped(ChoppedRule):
    """As `tiki_taka2`, with inputs whose signs h_j flip at random: c-TTv2.

    What the cells of the fast array show apart from the gradient, for instance because their zero
    is not their symmetry point, does not flip with the signs and cancels in the buffer.

        H -> H + rate h_j v,    rate = transfer_lr lr / (buffer_granularity granularity)

    with the granularity of the fast array. With `flip_across` outputs have signs g_i too, which
    may flip after each sweep: errors reach the fast array with them, and rate h_j g_i v is added.
    The rate of the fast array follows the running means of the largest inputs and errors. It is
    slow where `fast_lr` is small: look at the pulses of a transfer in the report. Rasch et al.,
    "Fast and robust analog in-memory deep neural network training", Nat. Commun. 15 (2024),
    arXiv:2303.04721. A patent covers chopped rules (US 12,293,281): clear its use before it goes
    into a product.
    """

    flip: float = parameter(
        0.1, "1", "probability that the sign of a column flips after it was read", within=(0, 0.5)
    )
    regular: bool = parameter(
        False, "1", "whether signs flip after every 1 / flip reads, not at random"
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Chopping):
    def __init__(self, rule: Chopped, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx)
        self._rule, self._flips = rule, ctx.random.child("flips")

    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        self.collect(lines, v, lr)
        self.send(lines)
        self.flip_lines(lines, self._flipping()[lines])

    def _flipping(self) -> Tensor:
        """Which lines flip in this sweep, once they were read."""
        rule = self._rule
        if rule.regular and rule.flip:
            ends = (self.sweep + 1) % max(ceil(1 / rule.flip), 2) == 0
            return torch.full_like(self.sign, ends, dtype=torch.bool)
        draws = self._flips.child(self.sweep).uniform(self.sign.shape, device=self.sign.device)
        return draws < rule.flip
