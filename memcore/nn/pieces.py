"""`Pieces`: several reads of a matrix that are one read of a batch."""

from collections.abc import Iterator
from contextlib import contextmanager


class Pieces:
    """Which reads of a matrix belong together: blocks of images, or the steps of sequences.

    A range that is learned counts them as one batch, of which each has its share.
    """

    def __init__(self) -> None:
        #: How many reads the present one consists of.
        self.count = 1
        #: Number of the present read, 0 outside of any.
        self.number = 0
        self._last = 0

    @contextmanager
    def of(self, count: int) -> Iterator[None]:
        """Within, reads are pieces of one, or of the pieces of that around it."""
        before = self.count, self.number
        if not self.number:
            self._last += 1
            self.number = self._last
        self.count *= max(1, count)
        try:
            yield
        finally:
            self.count, self.number = before
