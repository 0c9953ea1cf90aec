"""Stochastic gradient descent by numbers of pulses that are computed, not drawn by trains."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, PulsedWeights, Stream, UpdateRule, parameter
from memcore.optim import Trains, counted_products, trains


@dataclass(frozen=True, kw_only=True)
class CountedSgd(UpdateRule):
    """Each vector sends whole numbers of pulses that stand for `-lr d x`.

    With the train of `sgd_pulsed`, of N slots whose lines fire with probabilities p and q:

    - `implicit`: N p q pulses, rounded; probabilities may be rounded to steps before, `x_res`
      and `d_res`, the largest of which is no more than 1.
    - `mean_count`: n m / N pulses, rounded, with n and m drawn from the binomial distributions of
      the pulses of both lines.
    - `exact`: what is left of `-lr d x / granularity` after whole pulses is kept digitally for the
      next vector, so that nothing is lost. The memory is as large as the matrix.
    - `stochastic`: the sum of `-lr d x / granularity` over the vectors of a step is rounded up or
      down at random, so that its mean is kept without a memory. Sun and Yu, IEEE J. Emerg. Sel.
      Topics Circuits Syst. 9:570 (2019), train so. With `momentum` a digital memory holds the
      gradients that are rounded.

    Trains after Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi 10.3389/fnins.2016.00333.
    """

    counts: Literal["exact", "implicit", "mean_count", "stochastic"] = parameter(
        "exact", "1", "how numbers of pulses follow from the product"
    )
    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))
    x_res: float = parameter(
        0.0, "1", "step of the probabilities of inputs, 0 for none", within=(0, 1)
    )
    d_res: float = parameter(
        0.0, "1", "step of the probabilities of errors, 0 for none", within=(0, 1)
    )
    momentum: float = parameter(
        0.0,
        "1",
        "share of the gradients before that is added to those of a step; of stochastic counts",
        at_least=0,
        below=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum and self.counts != "stochastic":
            raise ConfigError(
                f"momentum={self.momentum!r} came with counts={self.counts!r}; expected "
                "counts='stochastic', which sums vectors before it rounds them, or momentum=0"
            )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        (only,) = weights
        return _Trainer(self, only, ctx.random)


class _Trainer(nn.Module):
    carry: Tensor
    gathered: Tensor
    vectors: Tensor

    def __init__(self, rule: CountedSgd, weights: PulsedWeights, stream: Stream) -> None:
        super().__init__()
        self._rule, self._weights, self._stream = rule, (weights,), stream
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))
        if rule.counts == "exact":
            self.register_buffer("carry", torch.zeros(weights.shape, device="cpu"))
        if rule.momentum:
            self.register_buffer("gathered", torch.zeros(weights.shape, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the weights for some vectors."""
        (weights,) = self._weights
        if self._rule.counts == "exact":
            up, down, slots = self._exact(x, d, lr / weights.granularity)
        elif self._rule.counts == "stochastic":
            up, down, slots = self._at_random(x, d, lr / weights.granularity)
        else:
            sent = trains(x, d, lr, weights.granularity, longest=self._rule.longest)
            up, down, slots = self._rounded(sent)
        weights.pulse(up, down, slots=slots)
        self.vectors.add_(len(x))

    def _exact(self, x: Tensor, d: Tensor, rate: float) -> tuple[Tensor, Tensor, int]:
        """Numbers of all vectors by direction, and the slots that vector after vector takes."""
        return counted_products(x.contiguous(), rate * d.contiguous(), self.carry)

    def _at_random(self, x: Tensor, d: Tensor, rate: float) -> tuple[Tensor, Tensor, int]:
        gradient = torch.bmm(d.permute(1, 2, 0), x.permute(1, 0, 2))  # [groups, outputs, inputs]
        if self._rule.momentum:
            gradient = self.gathered.mul_(self._rule.momentum).add_(gradient)
        wanted = -rate * gradient
        draws = self._stream.child("rounding", int(self.vectors)).uniform(wanted.shape)
        count = (wanted + draws.to(wanted.device)).floor()
        return count.clamp(min=0), (-count).clamp(min=0), int(count.abs().max())

    def _rounded(self, sent: Trains) -> tuple[Tensor, Tensor, int]:
        """Numbers for each vector, added up by direction, and the slots that they take."""
        length = sent.length.clamp(min=1).unsqueeze(2)
        if self._rule.counts == "mean_count":
            rows, cols = (
                self._drawn(sent.rows, sent, "inputs"),
                self._drawn(sent.cols, sent, "outputs"),
            )
            cols = cols / length
        else:
            sent = sent.on_grid(self._rule.x_res, self._rule.d_res)
            rows, cols = sent.rows * sent.length.unsqueeze(2), sent.cols
        return counted_products(rows.contiguous(), cols.contiguous())

    def _drawn(self, signed: Tensor, sent: Trains, name: str) -> Tensor:
        """Numbers of pulses of each line, with the sign of its value, [n, groups, lines]."""
        n, groups, lines = signed.shape
        longest = max(1, int(sent.length.max()))
        numbers = int(self.vectors) + torch.arange(n, device=signed.device)
        draws = self._stream.child(name).at(numbers).uniform((longest, groups, lines))
        fires = draws < signed.abs().unsqueeze(1)
        slot = torch.arange(longest, device=signed.device).view(1, -1, 1, 1)
        return (fires & (slot < sent.length[:, None, :, None])).sum(1) * signed.sign()

    def figures(self) -> dict[str, float]:
        """Numbers for a report: additions so far to what is kept of each weight, and of pulses."""
        if self._rule.counts != "exact":
            return {}
        return {"additions": 2 * int(self.vectors) * self.carry.numel()}
