"""What the rules with signs that flip have in common: updates of a rate that follows the data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import Context, PulsedWeights, parameter
from memcore_plugins.updates._buffer import BufferedRule, BufferedTransfer
from memcore_plugins.updates._running import means_behind


@dataclass(frozen=True, kw_only=True)
class ChoppedRule(BufferedRule):
    """A rule whose fast array gets inputs with signs that flip, at a rate that fits its trains."""

    fast_lr: float = parameter(
        0.1,
        "1",
        "share of the longest train that the largest products send; without `auto_scale`, the "
        "learning rate of the fast array itself; 0.1 in aihwkit 1.2",
        above=0,
    )
    auto_scale: bool = parameter(
        True,
        "1",
        "whether the rate of the fast array follows the largest inputs and errors, as in aihwkit "
        "1.2, or is `fast_lr`; it follows the learning rate in neither case",
    )
    momentum: float = parameter(
        0.0, "1", "share m of the buffer that is kept where a pulse was sent", within=(0, 1)
    )
    flip_across: float = parameter(
        0.0,
        "1",
        "probability that the sign of an output (of an input, where rows are read) flips after a "
        "sweep; 0 in aihwkit 1.2",
        within=(0, 0.5),
    )
    buffer_granularity: float = parameter(
        1.0,
        "1",
        "steps of the fast array that a read has to show for a pulse, at a rate of 1; "
        "1 in aihwkit 1.2",
        above=0,
    )
    auto_granularity: float = parameter(
        0.0,
        "1",
        "multiplies `buffer_granularity` by this number of vectors over those of a sweep; 0 for "
        "not, as in aihwkit 1.2, where 1000 is typical",
        at_least=0,
    )
    correct_gradient_magnitudes: bool = parameter(
        False,
        "1",
        "whether reads are divided by the rate of the fast array and by the ratio of the steps of "
        "both arrays, so that the slow one sees the learning rate times the gradient; off in "
        "aihwkit 1.2",
    )


class Chopping(BufferedTransfer):
    """A fast array whose lines have signs that flip, and a rate that fits its trains.

    Args:
        rule: the rule.
        weights: the fast array, then the slow one.
        ctx: context of the rule.
    """

    sign: Tensor  #: of the lines that are read: h_j of inputs, for columns
    across: Tensor | None  #: of the weights of each line: g_i of outputs, for columns
    largest: Tensor | None  #: running means of the largest input and error, [2, groups]

    def __init__(self, rule: ChoppedRule, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx.random)
        self._chops, self._random = rule, ctx.random
        means = torch.zeros(2, self.slow.shape[0], dtype=torch.float64, device="cpu")
        self.register_buffer("sign", torch.ones(self.lines.count, device="cpu"))
        ones = torch.ones(self.lines.across, device="cpu")
        self.register_buffer("across", ones if rule.flip_across else None)
        self.register_buffer("largest", means if rule.auto_scale else None)

    def update(self, x: Tensor, d: Tensor, lr: float | Tensor, first: int) -> None:
        lr = self._chops.fast_lr
        if self.largest is not None:
            largest = means_behind(self.largest, torch.stack([x.abs().amax(2), d.abs().amax(2)], 1))
            self.largest.copy_(largest[-1])
            lr = self._fitting(largest)
        super().update(*self._chopped(x, d), lr, first)

    def _fitting(self, largest: Tensor) -> Tensor:
        """The rates with which largest products make their share of a train, [..., groups].

        Args:
            largest: means of the largest input and error, [..., 2, groups].
        """
        product = largest.prod(-2)
        share = self._chops.fast_lr * self._chops.longest
        return torch.where(product > 0, share * self.fast.granularity / product, 0.0)

    def _chopped(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and errors with the signs of their lines."""
        of_d, of_x = (self.sign, self.across) if self.lines.rows else (self.across, self.sign)
        return x if of_x is None else x * of_x, d if of_d is None else d * of_d

    @property
    def unit(self) -> float | Tensor:
        rule = self._chops
        unit: float | Tensor = rule.buffer_granularity * self.fast.granularity
        if rule.auto_granularity:
            unit *= rule.auto_granularity / self.vectors_of_a_sweep
        if rule.correct_gradient_magnitudes:
            unit = unit * (self.slow.granularity / self.fast.granularity) * self._rate_now
        return unit

    @property
    def _rate_now(self) -> float | Tensor:
        """The rate of the fast array, infinite before its first update, [groups, 1, 1]."""
        if self.largest is None:
            return self._chops.fast_lr
        rate = self._fitting(self.largest)
        return torch.where(rate > 0, rate, torch.inf).to(self.hidden.dtype).view(-1, 1, 1)

    def collect(self, lines: slice, v: Tensor, lr: float) -> None:
        """Add what lines have shown to the buffer, with the signs that they had."""
        super().collect(lines, self._signs(lines) * v, lr)

    def _signs(self, lines: slice) -> Tensor:
        signs = self.lines.of_lines(self.sign[lines])
        return signs if self.across is None else signs * self.lines.of_across(self.across)

    def flip_lines(self, lines: slice, flips: Tensor) -> None:
        """Flip signs of lines that were read, then those across if a sweep has ended.

        Args:
            lines: which were read.
            flips: of which of them the sign flips, [lines].
        """
        self.sign[lines] *= torch.where(flips, -1.0, 1.0)
        if self.across is None or lines.stop < self.lines.count:
            return
        stream = self._random.child("flips across", self.sweep)
        draws = stream.uniform(self.across.shape, device=self.across.device)
        self.across *= torch.where(draws < self._chops.flip_across, -1.0, 1.0)
