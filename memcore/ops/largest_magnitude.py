"""The largest magnitude of a matrix, in one pass over memory."""

from torch import Tensor

from memcore import _check, native
from memcore.ops._library import is_plain


def largest_magnitude(matrix: Tensor) -> float:
    """The largest magnitude of all values; NaN if one of them is.

    Args:
        matrix: any shape, real, not empty.
    """
    dense = matrix.mT if matrix.dim() > 1 and not matrix.is_contiguous() else matrix
    kernels = native.cpu()
    if kernels is None or not is_plain(dense):
        return float(_check.extreme(matrix))
    largest: float = kernels.largest_magnitude(dense.data_ptr(), dense.numel())
    return largest
