"""Stochastic gradient descent by pulse trains."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, Stream, UpdateRule, parameter
from memcore.optim import trains


@dataclass(frozen=True, kw_only=True)
class PulsedSgd(UpdateRule):
    """Coincidences of random pulses on word and bit lines move the cells, vector by vector.

    On average a weight changes by `-lr d x`, as long as no train is clipped and the steps up and
    down of its cells are alike. Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi
    10.3389/fnins.2016.00333, with its management of trains; 31 slots are the longest there.
    """

    longest: int = parameter(31, "1", "most slots of a train; Gokmen 2016", within=(1, 10_000))
    length_management: bool = parameter(True, "1", "whether a train is as short as it can be")
    update_management: bool = parameter(
        True, "1", "whether inputs and errors share the probability of a pulse evenly"
    )
    alpha: float = parameter(
        1.0, "1", "factor of the largest error in the management of updates", above=0
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        (only,) = weights
        return _Trainer(self, only, ctx.random)


class _Trainer(nn.Module):
    vectors: Tensor

    def __init__(self, rule: PulsedSgd, weights: PulsedWeights, stream: Stream) -> None:
        super().__init__()
        self._rule, self._weights, self._stream = rule, (weights,), stream
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the weights for some vectors."""
        rule, (weights,) = self._rule, self._weights
        pulses = trains(
            x,
            d,
            lr,
            weights.granularity,
            longest=rule.longest,
            length_management=rule.length_management,
            update_management=rule.update_management,
            alpha=rule.alpha,
        )
        weights.pulse(*pulses.counts(self._stream, int(self.vectors)))
        self.vectors.add_(len(x))
