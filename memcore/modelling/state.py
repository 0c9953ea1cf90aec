"""The state of cells between two ends: build it, read it, and calculate with mixed parameters.

A parameter is a number, or a tensor with a value for each cell; these functions take both.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from memcore._tensor import as_tensor
from memcore.contracts.distributions import Distribution
from memcore.contracts.parameters import Parameter
from memcore.contracts.records import Context
from memcore.errors import ConfigError

_FEW = 8  #: values that choices tell apart faster than a table


def as_state(*variables: Tensor) -> Tensor:
    """The state of cells, [k, *cells], from its k variables, [*cells] each.

    For example::

        as_state(torch.zeros(4, 3)).shape  # [1, 4, 3]
    """
    return torch.stack(variables) if len(variables) > 1 else variables[0].unsqueeze(0)


def filled(shape: Sequence[int], value: Parameter, ctx: Context) -> Tensor:
    """A state with one variable that has the same value in all cells, or a value in each.

    Args:
        shape: of the cells.
        value: a number, or a tensor [*shape].
        ctx: tells the torch device and the dtype.

    Returns:
        [1, *shape].
    """
    return torch.zeros(1, *shape, dtype=ctx.dtype, device=ctx.torch_device) + value


def fraction(value: Tensor, start: Parameter, end: Parameter) -> Tensor:
    """How far a value lies on the way from `start` to `end`, in [0, 1]; 0 where the two coincide.

    This is what `state_of` needs: `fraction(conductance, 1 / r_off, 1 / r_on)`.

    Args:
        value: [*cells].
        start: what gives 0, in the unit of `value`.
        end: what gives 1, in the unit of `value`; it may be the smaller one.
    """
    if not isinstance(start, Tensor) and not isinstance(end, Tensor) and start != end:
        return ((value - start) / (end - start)).clamp_(0, 1)
    span = end - start + torch.zeros_like(value)
    ratio = (value - start) / torch.where(span == 0, 1, span)
    return torch.where(span == 0, 0 * value, ratio).clamp(0, 1)


def log(value: Parameter) -> float | Tensor:
    """Natural logarithm of a parameter, a number or a tensor."""
    return value.log() if isinstance(value, Tensor) else math.log(_number(value))


def exp(value: Parameter) -> float | Tensor:
    """Exponential of a parameter, a number or a tensor."""
    if isinstance(value, Tensor):
        return value.exp()
    try:
        return math.exp(_number(value))
    except OverflowError:
        raise ConfigError(
            f"exp({_number(value):g}) is beyond what a number holds; expected parameters of the "
            "device in their units"
        ) from None


def _number(value: float | Distribution) -> float:
    return value + 0.0


def choose(up: Tensor, forward: Parameter, back: Parameter, like: Tensor) -> Tensor:
    """One parameter where cells move up, another where they move down.

    Args:
        up: whether each cell moves up, [*cells] bool.
        forward: what counts where it does.
        back: what counts where it does not.
        like: tells dtype and torch device.
    """
    return torch.where(up, tensor(forward, like), tensor(back, like))


def tensor(value: Parameter, like: Tensor) -> Tensor:
    """A parameter as a tensor of the dtype and the torch device of `like`."""
    if like.is_meta and not (isinstance(value, Tensor) and value.dim()):
        return as_tensor(value, dtype=like.dtype)  # a single number, which has no value there
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def between(value: Tensor, low: Parameter, high: Parameter) -> Tensor:
    """A value, but no less than `low` and no more than `high`, each of them per cell if need be."""
    return torch.clamp(value, tensor(low, value), tensor(high, value))


def nonzero(value: Tensor) -> Tensor:
    """The value, but a tiny number instead of 0, so that it can be divided by."""
    return torch.where(value == 0, 1e-30, value)


def polynomial(x: Tensor, ascending: Sequence[float]) -> Tensor:
    """`c0 + c1 x + c2 x^2 + ...` by Horner's rule.

    Args:
        x: any shape.
        ascending: c0, c1, c2, ...
    """
    result = torch.full_like(x, ascending[-1])
    for c in reversed(ascending[:-1]):
        result = result * x + c
    return result


def whole(x: Tensor) -> Tensor:
    """Whole numbers as integers; in a recording, which knows one dtype, as they are."""
    return x if x.is_meta else x.long()


def taken(table: Tensor, index: Tensor) -> Tensor:
    """The entries of a table [n] at whole numbers of any dtype and shape, from 0 to n - 1.

    Kernels look them up, too, in the table as it is when the device is recorded.
    """
    return table.to(index.device)[index.long()]


def looked_up(values: Sequence[float], index: Tensor) -> Tensor:
    """The values at whole numbers from 0 on, of the shape and dtype of `index`.

    Few values are told apart by choices, which are elementwise operations that kernels run.
    """
    if len(values) > _FEW:
        return taken(torch.tensor(values, dtype=index.dtype, device="cpu"), index)
    found = torch.full_like(index, values[0])
    for k, value in enumerate(values[1:], 1):
        found = torch.where(index < k, found, torch.full_like(index, value))
    return found
