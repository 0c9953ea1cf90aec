"""Analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass
from math import ceil, inf

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, PulsedWeights, parameter
from memcore_plugins.updates._chopping import ChoppedRule, Chopping


@dataclass(frozen=True, kw_only=True)
class Agad(ChoppedRule):
    """As `tiki_taka2`, with signs that flip and a reference that each cell finds by itself.

    Inputs reach the fast array with signs h_j, which flip after every n-th read of their column.
    What the cell shows apart from the gradient does not flip with them: its mean before the last
    flip is the reference r that is subtracted from a read v.

        H -> H + rate h_j (v - r);    mu -> (1 - t) mu + t v;    r -> mu after a flip

    So no symmetry point needs to be known. With `flip_across` outputs have signs g_i too, which
    may flip after each sweep, and rate h_j g_i (v - r) is added; r follows flips of h_j alone.
    Rasch et al., "Fast and robust analog in-memory deep
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
    buffer_cap: float = parameter(
        0.0,
        "1",
        "most pulses that a buffer holds, of those that are not forgotten; 0 for any number",
        at_least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffer_cap and self.forget:
            raise ConfigError(
                f"buffer_cap={self.buffer_cap!r} came with forget=True; expected forget=False, "
                "with which buffers grow, or buffer_cap=0"
            )
        if 0 < self.buffer_cap < 1:
            raise ConfigError(
                f"buffer_cap={self.buffer_cap!r} came, with which no buffer ever sends a pulse; "
                "expected 0 or at least 1"
            )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Chopping):
    of_a_read = Chopping.of_a_read + 2  # of the reference, and to the mean

    mean: Tensor
    reference: Tensor
    flipped: Tensor

    def __init__(self, rule: Agad, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx)
        self._period = max(ceil(1 / rule.flip), 2)
        self._forgotten = min(rule.tail / self._period, 1.0)
        self._cap = rule.buffer_cap or inf
        for name in ("mean", "reference"):
            self.register_buffer(name, torch.zeros(self.slow.shape, device="cpu"))
        flipped = torch.zeros(self.lines.count, dtype=torch.bool, device="cpu")
        self.register_buffer("flipped", flipped)

    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        sweep, at = self.sweep, self.lines.at(lines)
        mean, reference = self.mean[at], self.reference[at]
        flipped = self.lines.of_lines(self.flipped[lines])
        reference.copy_(torch.where(flipped, mean, reference))
        self.collect(lines, v - reference, lr)
        if sweep > self._period:
            self.send(lines)
        mean.lerp_(v, self._forgotten)
        self.flipped[lines] = (sweep + 1) % self._period == 0
        self.flip_lines(lines, self.flipped[lines])

    @property
    def additions(self) -> int:
        waiting = min(int(self.transfers), (self._period + 1) * self.lines.count)
        return super().additions - self.weights_in(waiting)  # which were not looked at for pulses

    def collect(self, lines: slice, v: Tensor, lr: float) -> None:
        super().collect(lines, v, lr)
        if self._cap < inf:
            self.hidden[self.lines.at(lines)].clamp_(-self._cap, self._cap)
