"""Reads under `torch.func`: numbers of reads are counted outside of all transforms.

A transform refuses to change what a function captures, and maps over samples that would else share
one number. `torch._C._functorch`, which has no public counterpart, tells the levels of a tensor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._C import _functorch

from memcore.errors import ConfigError


def is_transformed(*tensors: Tensor) -> bool:
    """Whether the values of tensors are not at hand, as under `torch.func.grad` and `vmap`."""
    return any(_functorch.is_functorch_wrapped_tensor(each) for each in tensors)


def are_active() -> bool:
    """Whether a transform is in force, in which nothing that a function captures may change."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def refuse_transforms(doing: str) -> None:
    """Say that something changes what it belongs to, which a function that is transformed may not.

    Raises:
        ConfigError: under a transform of `torch.func`.
    """
    if are_active():
        raise ConfigError(
            f"{doing} changes the network, and was called under a transform of torch.func, in "
            "which nothing may change; expected a pass without it before, or loss.backward()"
        )


@contextmanager
def outside(x: Tensor) -> Iterator[Tensor]:
    """Within, no transform is in force; gives the values of a tensor.

    Raises:
        ConfigError: if the tensor is mapped over, so that it has several values.
    """
    if _mapped(x):
        raise ConfigError(
            "torch.func.vmap maps over the weights of a network whose cells are rehearsed; "
            "expected the same weights for all samples: map over inputs alone (in_dims=None for "
            "parameters), or take one set of weights after the other"
        )
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    with torch._C._DisableFuncTorch():
        yield x


def numbered(reads: Tensor, x: Tensor, count: int, begin: int) -> Tensor:
    """The number of the first read of some inputs, of each sample that is mapped over.

    Args:
        reads: number of reads so far, which is raised.
        x: inputs, wrapped by transforms.
        count: number of reads of one sample.
        begin: the number of the very first read.
    """
    levels = _mapped(x)
    samples = 1
    for _, size in levels:
        samples *= size
    with torch._C._DisableFuncTorch():
        passed = count * torch.arange(samples, dtype=reads.dtype, device=reads.device)
        first = reads + (passed + begin)
        reads.add_(samples * count)
        first = first.reshape([size for _, size in levels])
    for level, _ in levels:  # each takes the dimension that is the first one then
        first = _functorch._add_batch_dim(first, 0, level)
    return first


def _mapped(x: Tensor) -> list[tuple[int, int]]:
    """The levels at which a tensor is mapped over, the outermost first, each with its samples."""
    found = []
    while _functorch.is_functorch_wrapped_tensor(x):
        inner = _functorch.get_unwrapped(x)
        if _functorch.is_batchedtensor(x):
            size = inner.shape[_functorch.maybe_get_bdim(x)]
            found.append((_functorch.maybe_get_level(x), size))
        x = inner
    return found[::-1]
