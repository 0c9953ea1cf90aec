"""`Fingerprint`: whether a matrix is still the one that was written, without keeping a copy."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from memcore.ops.matrix_sums import matrix_sums


class Fingerprint(NamedTuple):
    """Sums over a matrix, which any change but a constructed one moves.

    Args:
        total: sum of all values.
        size: sum of all magnitudes.
        eps: the precision of the values, by which a change of the dtype may move the sums.
    """

    total: float
    size: float
    eps: float

    @classmethod
    def of(cls, matrix: Tensor) -> "Fingerprint":
        """That of a matrix."""
        matrix = matrix.detach()
        if matrix.is_meta:
            return cls(0.0, 0.0, 1.0)
        return cls(*matrix_sums(matrix), torch.finfo(matrix.dtype).eps)

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite for certain; sums of the largest ones may not be."""
        return math.isfinite(self.size)

    def differs(self, other: "Fingerprint") -> bool:
        """Whether the two are of different matrices; one with NaN is like no other."""
        if not (self.is_finite and other.is_finite):
            return self[:2] != other[:2]
        eps = max(self.eps, other.eps) if self.eps != other.eps else 1e-13
        slack = eps * max(self.size, other.size)
        return abs(self.total - other.total) > slack or abs(self.size - other.size) > slack

    def packed(self) -> Tensor:
        """As int64 [3], which no change of the dtype of a module rounds."""
        return torch.tensor(self, dtype=torch.float64, device="cpu").view(torch.int64)

    @classmethod
    def unpacked(cls, packed: Tensor) -> "Fingerprint | None":
        """The inverse; None where nothing is known, all zeros."""
        if packed.is_meta or not bool(packed.any()):
            return None
        return cls(*packed.cpu().view(torch.float64).tolist())
