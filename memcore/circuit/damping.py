"""What the damped methods of Newton share: steps are halved and taken where they come closer."""

import dataclasses
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

HALVINGS: Final = 12  #: of a step that comes no closer


def chosen(which: Tensor, new: T, old: T) -> T:
    """Where `which`, the new state, elsewhere the old one.

    Args:
        which: bool, the leading dimensions of all that the states hold.
        new: a dataclass of tensors, of None, and of more such dataclasses.
        old: another one, with None for the same fields.
    """

    def each(a: Any, b: Any) -> Any:
        if a is None or b is None:
            return None
        if isinstance(a, Tensor):
            return torch.where(which[(..., *[None] * (a.dim() - which.dim()))], a, b)
        return chosen(which, a, b)

    fields = [field.name for field in dataclasses.fields(new)]  # type: ignore[arg-type]
    changes = {name: each(getattr(new, name), getattr(old, name)) for name in fields}
    return dataclasses.replace(new, **changes)  # type: ignore[type-var]


def largest(x: Tensor) -> Tensor:
    """Largest magnitude in each array."""
    return torch.maximum(x.amax((-2, -1)), -x.amin((-2, -1)))


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """The quotient, and 0 for 0 / 0."""
    return torch.where(a == 0, 0, a / b)
