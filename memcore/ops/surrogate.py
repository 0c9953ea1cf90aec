"""Straight-through gradients: one value goes forward, another takes the gradient."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def for_training(function: Callable[P, R]) -> Callable[P, R]:
    """Run without gradients, and make tensors that training may use even in inference mode."""
    normal: Callable[[Callable[P, R]], Callable[P, R]] = torch.inference_mode(False)
    return normal(torch.no_grad()(function))


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, surrogate: Tensor) -> Tensor:
        del surrogate
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        del ctx, inputs, output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        del ctx
        return None, grad


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value`, whose gradient goes to `surrogate` of the same shape."""
    if torch.is_grad_enabled() and surrogate.requires_grad:
        return _StraightThrough.apply(value, surrogate)  # type: ignore[no-any-return,no-untyped-call]
    return value


class _ThroughProduct(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, x: Tensor, matrix: Tensor, effective: Tensor) -> Tensor:
        del x, matrix, effective
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del output
        _, x, _, effective = inputs
        ctx.save_for_backward(x, effective)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        x, effective = ctx.saved_tensors
        _, needs_x, needs_matrix, _ = ctx.needs_input_grad
        return (
            None,
            torch.einsum("ngo,gok->ngk", grad, effective) if needs_x else None,
            torch.einsum("ngo,ngk->gok", grad, x) if needs_matrix else None,
            None,
        )


def through_product(value: Tensor, x: Tensor, matrix: Tensor, effective: Tensor) -> Tensor:
    """`value`, with the gradient of the product that it stands for.

    Args:
        value: outputs of the arrays, [n, groups, outputs].
        x: inputs of the arrays, [n, groups, inputs].
        matrix: weights that take the gradient, [groups, outputs, inputs].
        effective: the weights that the arrays stand for, which the inputs' gradient uses.
    """
    return _ThroughProduct.apply(value, x, matrix, effective)  # type: ignore[no-any-return,no-untyped-call]
