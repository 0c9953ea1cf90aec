"""Pulse trains on cells that are pulsed one way only, and reset when they are full."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import Context, Pair, PulsedWeights, UpdateRule, parameter
from memcore.optim import Pulser


@dataclass(frozen=True, kw_only=True)
class OneSided(UpdateRule):
    """SET raises one cell of a pair to raise a weight, the other to lower it; none is RESET.

    For devices whose RESET is abrupt, such as phase-change memory. Both cells of a pair drift
    towards their highest conductance. A pair of which the higher cell is above `full` of its
    window, and the lower one above the rest, is reset, and its difference is written again with as
    many pulses as it should take. Cells are read for it, with their age and the noise of reads.
    Burr et al., "Experimental demonstration and tolerancing of a large-scale neural network
    (165 000 synapses) using phase-change memory as the synaptic weight element", IEEE Trans.
    Electron Devices 62:3498 (2015), doi 10.1109/TED.2015.2439635.
    """

    pair: ClassVar[Pair | None] = "one_sided"

    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))
    refresh_every: int = parameter(
        100, "1", "vectors between two looks at the pairs; 0 for none", at_least=0
    )
    full: float = parameter(
        0.75, "1", "share of the window above which a cell is nearly full", within=(0.5, 1)
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        (only,) = weights
        return _Trainer(self, only, Pulser(only, ctx.random, longest=self.longest))


class _Trainer(nn.Module):
    vectors: Tensor

    def __init__(self, rule: OneSided, weights: PulsedWeights, pulser: Pulser) -> None:
        super().__init__()
        self._rule, self._weights, self.pulser = rule, (weights,), pulser
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the weights for some vectors, and reset pairs that are full if a look is due."""
        before, every = int(self.vectors), self._rule.refresh_every
        self.pulser(x, d, lr, before)
        self.vectors.add_(len(x))
        if every and int(self.vectors) // every > before // every:
            (weights,) = self._weights
            weights.renew(self._rule.full)

    def figures(self) -> dict[str, float]:
        """Numbers for a report."""
        return self.pulser.figures()
