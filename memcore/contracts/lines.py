"""`Lines`: which converters digitise the bit lines of the arrays of one matrix."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """The bit lines that are converted, as converters that differ from each other are told.

    Values to convert are [..., groups, groups of word lines, columns]; all groups of word lines of
    an array come out of the same bit lines.

    Args:
        arrays: number of arrays.
        cols: bit lines of one array.
        array: array of each value, int64 [groups, groups of word lines, columns].
        column: bit line of each value in its array, of the same shape.
    """

    arrays: int
    cols: int
    array: Tensor
    column: Tensor

    def shared(self, columns: int) -> tuple[int, Tensor]:
        """How many converters there are, and which of them converts each value.

        Args:
            columns: neighbouring bit lines of an array that share a converter.

        Returns:
            The number of converters of all arrays, those of one array coming one after another,
            and the converter of each value, int64 [groups, groups of word lines, columns].
        """
        each = -(-self.cols // columns)
        return self.arrays * each, self.array * each + self.column // columns
