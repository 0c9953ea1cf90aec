"""Stochastic pulse trains: an outer product without a multiplier.

Each line is pulsed at random with a probability in proportion to its value, and a cell moves where
the pulses of its word line and its bit line coincide: Gokmen and Vlasov, "Acceleration of deep
neural network training with resistive cross-point devices", Front. Neurosci. 10:333 (2016).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import _check
from memcore.errors import ShapeError
from memcore.ops.coincidences import Lines, coincidences
from memcore.ops.pulse_trains import Sent
from memcore.random import Stream


@dataclass(frozen=True, kw_only=True)
class Trains:
    """Pulse trains of n vectors.

    Args:
        length: slots of each train, [n, groups].
        rows: probability of a pulse of each input line in a slot, with the sign of the input,
            [n, groups, inputs].
        cols: that of each output line, with the sign of the error, [n, groups, outputs].
        wanted: pulses that the largest product asks of a weight, on average, [n, groups].
        clipped: whether a train is shorter than that, [n, groups].
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

    Raises:
        ConfigError: a number is none, or not above 0.
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
    lr = torch.as_tensor(lr, dtype=x.dtype, device=x.device)
    largest_x, largest_d = x.abs().amax(2), d.abs().amax(2)
    k = lr * largest_x * largest_d / granularity
    length = k.ceil().clamp(max=longest) if length_management else torch.full_like(k, longest)
    nothing = ~(k > 0)
    length.masked_fill_(nothing, 0)
    scale = (lr / (granularity * length.clamp(min=1))).sqrt()
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
        clipped=k > longest,
    )


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
