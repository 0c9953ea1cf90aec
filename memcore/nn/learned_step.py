"""`LearnedStep`: weights that are rounded, or clipped, to what training finds."""

from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.nn.one_number import one_number
from memcore.ops.signatures import with_signature

#: Where a learned bound begins, in standard deviations of the weights.
_SIGMAS: Final = 3.0
#: Of the step at the start: no optimiser makes it smaller, or negative.
_LEAST: Final = 1e-3


class _Stepped(torch.autograd.Function):
    """`clamp(round(w / s), -q, q) s`; without rounding `clamp(w, -s, s)`, where q is 0."""

    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(weight: Tensor, step: Tensor, levels: int) -> Tensor:
        if not levels:
            return torch.clamp(weight, -step, step)
        return (weight / step).round_().clamp_(-levels, levels).mul_(step)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, step, levels = inputs
        ctx.save_for_backward(weight, step, output)
        ctx.levels = levels

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        (grad,), (weight, step, output) = grads, ctx.saved_tensors
        most = max(1, ctx.levels)
        inside = weight.abs() <= most * step
        of_step = torch.where(inside, (output - weight) / step, most * weight.sign())
        if not ctx.levels:
            of_step = of_step * ~inside
        scale = (weight.numel() * most) ** -0.5
        return grad * inside, scale * (grad * of_step).sum().reshape(step.shape), None


class LearnedStep(nn.Module):
    """A parametrization that rounds weights to multiples of a step, which training finds.

    With q levels on each side of 0, `w = clamp(round(v / s), -q, q) s` of the parameter v. The step
    s is a parameter with the gradient `round(v / s) - v / s` inside and `q` or `-q` beyond, times
    `1 / sqrt(n q)` for n weights; it begins at `2 mean(|v|) / sqrt(q)`. The gradient of v passes
    inside and stops beyond. Esser et al., "Learned Step Size Quantization", ICLR 2020.

    Without levels nothing is rounded: s is the bound of the weights, which begins at three of their
    standard deviations and has the gradient of those that are beyond it, times `1 / sqrt(n)`.

    Arrays hold what a parametrization computes, and training moves its parameters.

    Args:
        weight: where the step begins.
        levels: number of levels on each side of 0; None to learn a bound only.

    Raises:
        ConfigError: there are no weights, or fewer than one level.

    Examples:
        >>> layer = nn.Linear(4, 3)
        >>> step = memcore.LearnedStep(layer.weight, levels=7)
        >>> nn.utils.parametrize.register_parametrization(layer, "weight", step).weight.shape
        torch.Size([3, 4])
    """

    def __init__(self, weight: Tensor, levels: int | None = None) -> None:
        super().__init__()
        _check.tensor("weight", weight, "[outputs, inputs]", "units of the network")
        self.levels = 0 if levels is None else _check.integer("levels", levels, at_least=1)
        v = weight.detach().abs()
        if self.levels:
            start = 2 * v.mean() / self.levels**0.5
        else:
            start = torch.minimum(_SIGMAS * weight.detach().std(correction=0), v.max())
        start = torch.where(start > 0, start, torch.ones_like(start))
        self.step = one_number(self, "step", start)
        self.register_buffer("least", _LEAST * start)

    least: Tensor

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that the network uses."""
        # Its gradient reaches a step below the least one too, which could not grow again otherwise.
        found = self.step.reshape(())
        step = found + (torch.maximum(found, self.least) - found).detach()
        stepped: Tensor = _Stepped.apply(weight, step, self.levels)  # type: ignore[no-untyped-call]
        return stepped

    def extra_repr(self) -> str:
        """Levels, for `print(model)`."""
        return f"levels={self.levels or None}"
