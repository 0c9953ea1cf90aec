"""`Fingerprint`: whether a matrix is still the one that was written, without keeping a copy."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

#: Values whose double precision stays in the cache.
_BLOCK: Final = 1 << 15


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
        sums = []
        size = _BLOCK if matrix.device.type == "cpu" else max(1, matrix.numel())
        for block in torch.split(matrix.reshape(-1), size):
            exact = block.double()
            sums += [exact.sum(), exact.abs().sum()]
        total, magnitude = torch.stack(sums).view(-1, 2).sum(0).tolist()
        return cls(total, magnitude, torch.finfo(matrix.dtype).eps)

    def differs(self, other: "Fingerprint") -> bool:
        """Whether the two are of different matrices."""
        eps = max(self.eps, other.eps) if self.eps != other.eps else 1e-13
        slack = eps * max(self.size, other.size)
        return abs(self.total - other.total) > slack or abs(self.size - other.size) > slack

    def packed(self) -> Tensor:
        """As int64 [3], which no change of the dtype of a module rounds."""
        return torch.tensor(self, dtype=torch.float64).view(torch.int64)

    @classmethod
    def unpacked(cls, packed: Tensor) -> "Fingerprint | None":
        """The inverse; None where nothing is known, all zeros."""
        if packed.is_meta or not bool(packed.any()):
            return None
        return cls(*packed.cpu().view(torch.float64).tolist())
