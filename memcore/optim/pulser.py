"""`Pulser`: pulse trains sent into some weights, and a record of how well they fitted."""

from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.update import PulsedWeights
from memcore.optim.cells import PulsedCells
from memcore.optim.trains import require_length, trains
from memcore.random import Stream


class Pulser(nn.Module):
    """Sends pulse trains into some weights, and counts what they were.

    Args:
        weights: cells that take the pulses.
        stream: random stream of the pulses.
        longest: most slots of a train.
        length_management: whether a train is as short as it can be.
        update_management: whether inputs and errors share the probability of a pulse evenly.
        alpha: factor of the largest error in the management of updates.
        fixed_length: whether trains have `longest` where nothing is managed, see `trains`.
        res: step of the probabilities of all lines, at most 1; 0 for none.
        rounds_at_random: whether they are rounded to it at random, so that the mean is kept.

    Raises:
        ConfigError: lengths follow the rate and something is managed.
    """

    vectors: Tensor  #: vectors that asked for pulses, each group of a matrix for itself
    clipped: Tensor  #: those whose train was too short
    wanted: Tensor  #: pulses that their largest products asked for, added up
    slots: Tensor  #: slots of their trains, added up

    def __init__(
        self,
        weights: PulsedWeights,
        stream: Stream,
        *,
        longest: int = 31,
        length_management: bool = True,
        update_management: bool = True,
        alpha: float = 1.0,
        fixed_length: bool = True,
        res: float = 0.0,
        rounds_at_random: bool = False,
    ) -> None:
        super().__init__()
        require_length(
            fixed_length=fixed_length,
            length_management=length_management,
            update_management=update_management,
        )
        self._weights, self._stream = (weights,), stream
        self.longest = longest
        self._managed: dict[str, Any] = {
            "length_management": length_management,
            "update_management": update_management,
            "alpha": alpha,
            "fixed_length": fixed_length,
        }
        self._res, self._rounds_at_random = res, rounds_at_random
        for name in ("vectors", "clipped", "slots"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64, device="cpu"))
        self.register_buffer("wanted", torch.zeros((), dtype=torch.float64, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        """Send the trains of some vectors.

        Args:
            x: inputs, [n, groups, inputs].
            d: gradients of the loss with respect to the outputs, [n, groups, outputs].
            lr: learning rate, or one for each group, [groups], and for each vector, [n, groups].
            first: number of the first vector, by which its draws are keyed.
        """
        (weights,) = self._weights
        sent = trains(x, d, lr, weights.granularity, longest=self.longest, **self._managed)
        if self._res:
            drawn = self._stream if self._rounds_at_random else None
            sent = sent.on_grid(self._res, self._res, drawn, first)
        self.vectors.add_((sent.wanted > 0).sum())
        self.clipped.add_(sent.clipped.sum())
        self.wanted.add_(sent.wanted.sum())
        self.slots.add_(sent.length.sum().long())
        if isinstance(weights, PulsedCells):
            weights.take(sent, self._stream, first)
        else:
            weights.pulse(*sent.counts(self._stream, first), slots=sent.slots)

    def figures(self) -> dict[str, float]:
        """Means for each vector, for a report."""
        vectors = max(1, int(self.vectors))
        return {
            "slots": int(self.slots) / vectors,
            "wanted": float(self.wanted) / vectors,
            "clipped": int(self.clipped) / vectors,
        }
