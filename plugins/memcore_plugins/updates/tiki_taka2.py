"""Tiki-taka with a digital buffer between its two arrays."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, UpdateRule, parameter
from memcore_plugins.updates._transfer import Transfer


@dataclass(frozen=True, kw_only=True)
class TikiTaka2(UpdateRule):
    """What is read of the fast array is added up digitally, and whole pulses go to the slow one.

        H -> H + transfer_lr lr v / granularity;    n = trunc(H), at most `most`;    H -> m H

    where a pulse was sent. The buffer filters the noise of reads and pulses. Gokmen, "Enabling
    training of neural networks on noisy hardware", Front. Artif. Intell. 4:699148 (2021), doi
    10.3389/frai.2021.699148. The zero of the fast array must be its symmetry point.
    """

    arrays: ClassVar[int] = 2

    every: int = parameter(1, "1", "vectors between two transfers of a column", at_least=1)
    transfer_lr: float = parameter(
        1.0, "1", "rate of the transfers, relative to the learning rate", above=0
    )
    longest: int = parameter(5, "1", "most slots of a train of the fast array", within=(1, 10_000))
    most: int = parameter(1, "1", "most pulses of a weight in one transfer", at_least=1)
    momentum: float = parameter(
        0.1, "1", "share of the buffer that is kept where a pulse was sent", within=(0, 1)
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Transfer):
    hidden: Tensor

    def __init__(self, rule: TikiTaka2, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(weights, ctx.random, rule.every, rule.longest)
        self._rule = rule
        self.register_buffer("hidden", torch.zeros(weights[-1].shape))

    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        rule = self._rule
        hidden = self.hidden[:, :, columns]
        hidden += rule.transfer_lr * lr / self.slow.granularity * v
        pulses = hidden.trunc().clamp(-rule.most, rule.most)
        hidden *= torch.where(pulses != 0, rule.momentum, 1.0)
        self.pulse_columns(columns, pulses)
