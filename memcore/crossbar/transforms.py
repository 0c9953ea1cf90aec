"""Reads under `torch.func`: numbers of reads are counted outside of all transforms.

A transform refuses to change what a function captures, and maps over samples that would else share
one number. `torch._C._functorch`, which has no public counterpart, tells the levels of a tensor.
"""

import torch
from torch import Tensor
from torch._C import _functorch


def is_transformed(*tensors: Tensor) -> bool:
    """Whether the values of tensors are not at hand, as under `torch.func.grad` and `vmap`."""
    return any(_functorch.is_functorch_wrapped_tensor(each) for each in tensors)


def numbered(reads: Tensor, x: Tensor, count: int) -> Tensor:
    """The number of the first read of some inputs, of each sample that is mapped over.

    Args:
        reads: number of reads so far, which is raised.
        x: inputs, wrapped by transforms.
        count: number of reads of one sample.
    """
    levels = _mapped(x)
    samples = 1
    for _, size in levels:
        samples *= size
    with torch._C._DisableFuncTorch():
        first = reads + count * torch.arange(samples, dtype=reads.dtype, device=reads.device)
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
