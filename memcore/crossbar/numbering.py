"""`Numbering`: numbers of reads, which no other reads of the same arrays have."""

from typing import Final

import torch
from torch import Tensor

from memcore.crossbar import transforms
from memcore.crossbar.lock import Lock
from memcore.crossbar.recent import RecentReads

#: The number of the first read of a training. It lies beyond the numbers of all reads in
#: evaluation, with those of their repetitions under bound management, and far enough below those
#: of int64 to be multiplied by phases and processes.
TRAINING: Final = 1 << 44


class Numbering:
    """Counts reads, in tensors that belong to the state of the arrays.

    Reads in evaluation and reads in training are counted apart, and their numbers lie apart: a
    training has the same draws however often it is validated, and an evaluation has the same ones
    however long a training went on.

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
            reads: how many of this kind there were before, which is raised.
            x: inputs.
            count: number of reads.
            learns: whether they are those of a training, so that a backward pass may run the same
                reads again.
        """
        before = self.recent.of_recomputation(x) if learns else None
        if before is not None:
            return before
        begin = TRAINING if learns else 0
        if not torch.compiler.is_compiling() and transforms.is_transformed(x):
            with self._lock:
                return transforms.numbered(reads, x, count, begin)
        first = self._counted(reads, count, begin)
        if learns:
            self.recent.remember(x, first)
        return first

    def _counted(self, reads: Tensor, count: int, begin: int) -> Tensor:
        """The number of the first of so many reads, those of whose kind begin at a number."""
        if torch.compiler.is_compiling():
            first = reads + begin
            reads.add_(count)
            return first
        with self._lock:
            first = reads + begin
            reads.add_(count)
        return first
