"""Operators under `torch.func.vmap`: the inputs of all samples are those of one call."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: Operator, number of samples, dimensions over which arguments are mapped, and these arguments.
Rule = Callable[[Callable[..., Tensor], int, Sequence[int | None], Sequence[Any]], Tensor]


def elementwise(
    operator: Callable[..., Tensor], count: int, dims: Sequence[int | None], given: Sequence[Any]
) -> Tensor:
    """Apply an operator that makes of each value of its first argument one of the result.

    Returns:
        Results, the samples in the first dimension.
    """
    x, *rest = given
    if _mapped(dims) != {0}:
        return one_by_one(operator, count, dims, given)
    return operator(x.movedim(dims[0], 0), *rest)


def rows(*numbers: int) -> Rule:
    """Apply an operator that makes of each row of some arguments rows of its result.

    Args:
        numbers: of these arguments, whose first dimension counts rows.
    """

    def together(
        operator: Callable[..., Tensor],
        count: int,
        dims: Sequence[int | None],
        given: Sequence[Any],
    ) -> Tensor:
        if not _mapped(dims) <= {*numbers}:
            return one_by_one(operator, count, dims, given)
        joined = [
            _joined(each, count, dims[k]) if k in numbers else each for k, each in enumerate(given)
        ]
        out = operator(*joined)
        return out.view(count, out.shape[0] // count, *out.shape[1:])

    return together


def one_by_one(
    operator: Callable[..., Tensor], count: int, dims: Sequence[int | None], given: Sequence[Any]
) -> Tensor:
    """Apply an operator to one sample after the other."""
    samples = range(count)
    return torch.stack([operator(*_of_sample(k, dims, given)) for k in samples])


def _mapped(dims: Sequence[Any]) -> set[int]:
    """Numbers of the arguments that are mapped over; those of lists are not."""
    return {number for number, dim in enumerate(dims) if isinstance(dim, int)}


def _joined(rows: Tensor | None, count: int, dim: int | None) -> Tensor | None:
    """The rows of all samples, one sample after the other."""
    if rows is None:
        return None
    each = rows.expand(count, *rows.shape) if dim is None else rows.movedim(dim, 0)
    return each.flatten(0, 1)


def _of_sample(number: int, dims: Sequence[int | None], given: Sequence[Any]) -> list[Any]:
    return [
        each.select(dim, number) if isinstance(dim, int) else each
        for each, dim in zip(given, dims, strict=True)
    ]
