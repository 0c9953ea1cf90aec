"""Stochastic pulse trains: an outer product without a multiplier.

Each line is pulsed at random with a probability in proportion to its value, and a cell moves where
the pulses of its word line and its bit line coincide: Gokmen and Vlasov, "Acceleration of deep
neural network training with resistive cross-point devices", Front. Neurosci. 10:333 (2016).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from memcore import _check
from memcore.errors import ConfigError, ShapeError
from memcore.ops.coincidences import Lines, coincidences
from memcore.ops.pulse_trains import Sent
from memcore.random import Stream

#: By how much 1 over a step misses a whole number that it stands for.
_ROUNDED: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Trains:
    """Pulse trains of n vectors.

    Args:
        length: slots of each train, [n, groups].
        rows: probability of a pulse of each input line in a slot, with the sign of the input,
            [n, groups, inputs].
        cols: that of each output line, with the sign of the error, [n, groups, outputs].
        wanted: pulses that the largest product asks of a weight, on average, [n, groups].
        clipped: whether a train is shorter than that, or than its rate asks for, [n, groups].
    """

    length: Tensor
    rows: Tensor
    cols: Tensor
    wanted: Tensor
    clipped: Tensor

    @property
    def slots(self) -> int:
        """Time slots of all trains, those of different groups at the same time."""
        return int(self.length.amax(1).sum()) if self.length.numel() else 0

    def on_grid(
        self, x_res: float, d_res: float, stream: Stream | None = None, first: int = 0
    ) -> "Trains":
        """These trains with probabilities that are whole steps, as drivers of few levels give them.

        The nearest step that is no more than 1 is taken, or with a stream the next one up or down
        at random, so that the mean is kept.

        Args:
            x_res: step of the probabilities of inputs, at most 1; 0 for none.
            d_res: that of errors.
            stream: of the draws; None to round to the nearest.
            first: number of the first vector, by which its draws are keyed.
        """
        rows, cols = (
            _on_grid(signed, step, None if stream is None else stream.child("grid", name), first)
            for name, signed, step in (("inputs", self.rows, x_res), ("outputs", self.cols, d_res))
        )
        return replace(self, rows=rows, cols=cols)

    def counts(self, stream: Stream, first: int) -> tuple[Tensor, Tensor]:
        """Coincidences of all vectors that raise and that lower a weight, [groups, out, in].

        Args:
            stream: of these draws.
            first: number of the first vector, by which its draws are keyed.
        """
        return coincidences(*self.sent(stream, first))

    def sent(self, stream: Stream, first: int) -> Sent:
        """These trains with their draws, as kernels take them; arguments as those of `counts`."""
        x, d = (
            Lines(side.contiguous(), stream.key_of(name))
            for name, side in (("inputs", self.rows), ("outputs", self.cols))
        )
        return Sent(x, d, self.length.contiguous(), first)


def trains(
    x: Tensor,
    d: Tensor,
    lr: float | Tensor,
    granularity: float,
    *,
    longest: int = 31,
    length_management: bool = True,
    update_management: bool = True,
    alpha: float = 1.0,
    fixed_length: bool = True,
) -> Trains:
    """The trains whose mean count of coincidences is `-lr d x / granularity`.

    With `k = lr max|x| max|d| / granularity`, a train has `min(ceil(k), longest)` slots, and lines
    fire with `sqrt(lr / (granularity slots))` times their value. Update management shares the
    probability evenly between the two sides, so that the most probable pulses of both are equally
    probable; where k is longer than the longest train, errors are clipped and inputs never.

    Args:
        x: inputs, [n, groups, inputs].
        d: gradients of the loss with respect to the outputs, [n, groups, outputs].
        lr: learning rate, or one for each group, [groups], and for each vector, [n, groups].
        granularity: change of a weight by one pulse.
        longest: most slots of a train.
        length_management: whether a train is as short as it can be; else all have `longest`.
        update_management: whether the probability is shared evenly.
        alpha: factor of the largest error in that.
        fixed_length: whether all trains have `longest` where nothing is managed; else they have
            `ceil(lr / granularity)` slots, at most `longest`, and lines fire with their values
            where the rate asks for more.

    Raises:
        ConfigError: a number is none, or not above 0, or lengths follow the rate and something is
            managed.
        ShapeError: the vectors have another shape.

    Examples:
        >>> x, d = torch.tensor([[[1.0, 0.5]]]), torch.tensor([[[-0.5]]])
        >>> t = trains(x, d, 0.1, 0.01)
        >>> t.length, (t.rows * t.cols * t.length / 5).round(decimals=3)  # of a mean of 5 and 2.5
        (tensor([[5.]]), tensor([[[-1.0000, -0.5000]]]))
    """
    x, d = _vectors("x", x, "inputs"), _vectors("d", d, "outputs")
    granularity = _check.number("granularity", granularity, above=0)
    longest = _check.integer("longest", longest, at_least=1)
    alpha = _check.number("alpha", alpha, above=0)
    require_length(
        fixed_length=fixed_length,
        length_management=length_management,
        update_management=update_management,
    )
    lr = torch.as_tensor(lr, dtype=x.dtype, device=x.device)
    largest_x, largest_d = x.abs().amax(2), d.abs().amax(2)
    k = lr * largest_x * largest_d / granularity
    asked = k if fixed_length else (lr / granularity).expand_as(k)
    follows = length_management or not fixed_length
    length = asked.ceil().clamp(max=longest) if follows else torch.full_like(k, longest)
    nothing = ~(k > 0)
    length.masked_fill_(nothing, 0)
    scale = (lr / (granularity * length.clamp(min=1))).sqrt()
    clipped = k > longest
    if not fixed_length:
        scale = scale.clamp(max=1.0)
        clipped = ((k > length) | (asked > longest)) & ~nothing
    of_x = of_d = scale
    if update_management:
        bound = alpha * largest_d / (k / longest).clamp(min=1)
        ratio = (largest_x / bound).masked_fill_(nothing, 1.0).sqrt_()
        of_d, of_x = scale * ratio, scale / ratio
    return Trains(
        length=length,
        rows=(of_x.unsqueeze(2) * x).clamp_(-1, 1),
        cols=(of_d.unsqueeze(2) * d).clamp_(-1, 1),
        wanted=k,
        clipped=clipped,
    )


def require_length(*, fixed_length: bool, length_management: bool, update_management: bool) -> None:
    """Refuse lengths that follow the rate where management decides about trains.

    Raises:
        ConfigError: both are asked for.
    """
    if not fixed_length and (length_management or update_management):
        raise ConfigError(
            f"fixed_length=False came with length_management={length_management} and "
            f"update_management={update_management}; expected both False for trains whose length "
            "follows the rate alone, or fixed_length=True"
        )


def _on_grid(signed: Tensor, step: float, stream: Stream | None, first: int) -> Tensor:
    """Signed probabilities [n, groups, lines] in whole steps."""
    if not step:
        return signed
    if stream is None:
        level = (signed / step).round()
    else:
        n, *lines = signed.shape
        draws = stream.at(first + torch.arange(n, device=signed.device)).uniform(lines)
        level = (signed.abs() / step + draws.to(signed.dtype)).floor() * signed.sign()
    most = math.floor((1 + _ROUNDED) / step)  # whole steps up to a probability of 1
    return level.clamp(-most, most) * step


def _vectors(name: str, value: Tensor, lines: str) -> Tensor:
    """Values of the lines of each vector, without gradients."""
    shape = f"[n, groups, {lines}]"
    _check.tensor(name, value, shape, "units of the network")
    if value.dim() != 3:
        raise ShapeError(
            f"{name} has shape {tuple(value.shape)}; expected {shape}: "
            f"{name}.unsqueeze(1) for vectors [n, {lines}] of one group"
        )
    return value.detach()
