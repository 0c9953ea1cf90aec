"""The sum of the values of a matrix and that of their magnitudes, in double precision."""

import torch
from torch import Tensor

from memcore import native
from memcore.ops._library import is_plain

#: Values whose double precision stays in the cache.
_BLOCK = 1 << 15


def matrix_sums(matrix: Tensor) -> tuple[float, float]:
    """Sum all values, and all magnitudes; the latter is finite only if all values are.

    Args:
        matrix: any shape, real.
    """
    flat = matrix.mT if matrix.dim() > 1 and not matrix.is_contiguous() else matrix
    kernels = native.cpu()
    if kernels is None or not is_plain(flat):
        return _reference(matrix)
    sums = torch.empty(2, dtype=torch.float64, device="cpu")
    kernels.matrix_sums(flat.data_ptr(), flat.numel(), sums.data_ptr())
    total, size = sums.tolist()
    return total, size


def _reference(matrix: Tensor) -> tuple[float, float]:
    sums = []
    size = _BLOCK if matrix.device.type == "cpu" else max(1, matrix.numel())
    for block in torch.split(matrix.reshape(-1), size):
        exact = block.double()
        sums += [exact.sum(), exact.abs().sum()]
    total, magnitude = torch.stack(sums).view(-1, 2).sum(0).tolist()
    return total, magnitude
