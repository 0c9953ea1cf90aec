"""Stochastic gradient descent by pulse trains."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, PulsedWeights, UpdateRule, parameter
from memcore.optim import Pulser


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
    fixed_length: bool = parameter(
        True,
        "1",
        "whether all trains have the most slots where nothing is managed, else ceil(lr / "
        "granularity), and lines fire with their values where the rate asks for more; aihwkit 1.2",
    )
    res: float = parameter(
        0.0,
        "1",
        "step of the probabilities of pulses, which drivers of few levels have; 0 for none",
        within=(0, 1),
    )
    rounds_at_random: bool = parameter(
        False, "1", "whether probabilities are rounded to that step at random, their mean kept"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds_at_random and not self.res:
            raise ConfigError(
                "rounds_at_random=True came with res=0, where nothing is rounded; expected a step "
                "res above 0, or rounds_at_random=False"
            )
        if not self.fixed_length and (self.length_management or self.update_management):
            raise ConfigError(
                f"fixed_length=False came with length_management={self.length_management} and "
                f"update_management={self.update_management}; expected both False for trains "
                "whose length follows the rate alone, or fixed_length=True"
            )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        (only,) = weights
        pulser = Pulser(
            only,
            ctx.random,
            longest=self.longest,
            length_management=self.length_management,
            update_management=self.update_management,
            alpha=self.alpha,
            fixed_length=self.fixed_length,
            res=self.res,
            rounds_at_random=self.rounds_at_random,
        )
        return _Trainer(pulser)


class _Trainer(nn.Module):
    vectors: Tensor

    def __init__(self, pulser: Pulser) -> None:
        super().__init__()
        self.pulser = pulser
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the weights for some vectors."""
        self.pulser(x, d, lr, int(self.vectors))
        self.vectors.add_(len(x))

    def figures(self) -> dict[str, float]:
        """Numbers for a report."""
        return self.pulser.figures()
