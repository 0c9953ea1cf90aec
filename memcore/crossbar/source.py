"""`CellSource`: what knows the conductances of cells, so that they need no memory of their own."""

from typing import Protocol

from torch import Tensor


class CellSource(Protocol):
    """Cells whose conductances follow from something else, such as the state that pulses move."""

    def conductance(self) -> Tensor:
        """What the cells hold, [arrays, rows, cols] S, in new memory."""

    def fold(self, out: Tensor) -> bool | None:
        """Put what the cells stand for into `out`, a part of the arrays after the other.

        Args:
            out: takes it, in the weight's domain, [groups, outputs, inputs].

        Returns:
            Whether all of it is finite; None, with `out` as it was, where all conductances have to
            be known at once.
        """
