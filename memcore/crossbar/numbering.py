"""`Numbering`: numbers of reads, which no other reads of the same arrays have."""

import torch
from torch import Tensor

from memcore.crossbar import transforms
from memcore.crossbar.lock import Lock
from memcore.crossbar.recent import RecentReads


class Numbering:
    """Counts reads, in a tensor that belongs to the state of the arrays.

    Args:
        lock: held by the thread that counts.
    """

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        #: What was read lately, which a recomputation of a pass reads again.
        self.recent = RecentReads()

    def first(self, reads: Tensor, x: Tensor, count: int, *, learns: bool) -> Tensor:
        """The number at which the reads of some inputs begin.

        Args:
            reads: how many there were before, which is raised.
            x: inputs.
            count: number of reads.
            learns: whether a backward pass may run the same reads again.
        """
        before = self.recent.of_recomputation(x) if learns else None
        if before is not None:
            return before
        if not torch.compiler.is_compiling() and transforms.is_transformed(x):
            with self._lock:
                return transforms.numbered(reads, x, count)
        first = self._counted(reads, count)
        if learns:
            self.recent.remember(x, first)
        return first

    def _counted(self, reads: Tensor, count: int) -> Tensor:
        """The number of the first of so many reads."""
        if torch.compiler.is_compiling():
            first = reads.clone()
            reads.add_(count)
            return first
        with self._lock:
            first = reads.clone()
            reads.add_(count)
        return first
