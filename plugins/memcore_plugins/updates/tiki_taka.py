"""Tiki-taka: two arrays, of which one collects and the other remembers."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, UpdateRule, parameter
from memcore.optim import Pulser
from memcore_plugins.updates._transfer import Transfer


@dataclass(frozen=True, kw_only=True)
class TikiTaka(UpdateRule):
    """A fast array takes the updates; its columns, read in turn, update the slow one by trains.

    A cell whose steps up and down differ is pulled towards the point where they are equal. In the
    fast array this pull only forgets, if that point is its zero: the reference of a cell must be
    its symmetry point. Gokmen and Haensch, "Algorithm for training neural networks on resistive
    device arrays", Front. Neurosci. 14:103 (2020), doi 10.3389/fnins.2020.00103.
    """

    arrays: ClassVar[int] = 2

    every: int = parameter(1, "1", "vectors between two transfers of a column", at_least=1)
    transfer_lr: float = parameter(
        1.0, "1", "rate of the transfers, relative to the learning rate", above=0
    )
    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Transfer):
    def __init__(self, rule: TikiTaka, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(weights, ctx.random, rule.every, rule.longest)
        self._rate = rule.transfer_lr
        self.slow_pulser = Pulser(self.slow, ctx.random.child("slow"), longest=rule.longest)

    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        groups, _, inputs = self.slow.shape
        unit = torch.eye(inputs, device=v.device)[columns].unsqueeze(1).expand(-1, groups, -1)
        self.slow_pulser(unit, -v.permute(2, 0, 1), self._rate * lr, int(self.transfers))

    def figures(self) -> dict[str, float]:
        """Numbers for a report: the trains of both arrays."""
        of_slow = self.slow_pulser.figures()
        return {
            **super().figures(),
            "rate of the slow array": self._rate * float(self.rate),
            "pulses wanted by a transfer": of_slow["wanted"],
        }
