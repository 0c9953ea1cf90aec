"""Shapes of results by arithmetic, where torch without data would first import its compiler."""

from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore.errors import ShapeError

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def by_shape_alone(module: nn.Module) -> None:
    """Let layers that torch follows slowly compute the shape of their results and nothing else.

    The first product or batch norm without data lets torch import its compiler, for seconds.
    """
    if type(module).forward in {kind.forward for kind in CONVOLUTIONS}:
        object.__setattr__(module, "forward", partial(_convolved, module))
    elif type(module).forward is nn.Linear.forward:
        object.__setattr__(module, "forward", partial(_multiplied, module))
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        object.__setattr__(module, "forward", _unchanged)


def _unchanged(x: Tensor) -> Tensor:
    return x


def _multiplied(linear: Any, x: Tensor) -> Tensor:
    if not x.dim() or x.shape[-1] != linear.in_features:
        raise ShapeError(
            f"a linear layer of {linear.in_features} features got inputs of shape {list(x.shape)}"
        )
    return x.new_empty(*x.shape[:-1], linear.out_features)


def _convolved(conv: Any, x: Tensor) -> Tensor:
    dims = len(conv.kernel_size)
    if x.dim() not in (dims + 1, dims + 2) or x.shape[-dims - 1] != conv.in_channels:
        raise ShapeError(
            f"a convolution of {conv.in_channels} channels got inputs of shape {list(x.shape)}"
        )
    before = conv._reversed_padding_repeated_twice[::-1]
    sizes = [
        (size + sum(before[2 * d : 2 * d + 2]) - conv.dilation[d] * (conv.kernel_size[d] - 1) - 1)
        // conv.stride[d]
        + 1
        for d, size in enumerate(x.shape[-dims:])
    ]
    if min(sizes) < 1:
        raise ShapeError(f"a kernel of {conv.kernel_size} is larger than inputs {list(x.shape)}")
    return x.new_empty(*x.shape[: -dims - 1], conv.out_channels, *sizes)


def largest(
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil: bool = False,
) -> tuple[Tensor, Tensor]:
    """Largest entries and their places, as their shape alone."""
    dims = len(kernel)
    steps, before, spread = (
        numbers(value, dims) for value in (stride or kernel, padding, dilation)
    )
    sizes = []
    for size, k, step, pad, apart in zip(
        x.shape[-dims:], kernel, steps, before, spread, strict=True
    ):
        room = size + 2 * pad - apart * (k - 1) - 1
        count = (-(-room // step) if ceil else room // step) + 1
        # A window that begins behind the last entry and its padding is none.
        sizes.append(count - (ceil and (count - 1) * step >= size + pad))
    if min(sizes) < 1:
        raise ShapeError(f"a window of {list(kernel)} is larger than inputs {list(x.shape)}")
    out = x.new_empty(*x.shape[:-dims], *sizes)
    return out, torch.empty(out.shape, dtype=torch.int64, device=out.device)


def numbers(value: Any, dims: int) -> tuple[int, ...]:
    """One number for each dimension."""
    values = [value] if isinstance(value, int) else list(value)
    return tuple(values * dims if len(values) == 1 else values)
