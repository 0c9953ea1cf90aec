"""`Places`: which cells of a matrix take the pulses of its weights, and where they lie."""

from torch import Tensor

from memcore.contracts.mapper import Reference
from memcore.contracts.update import Pair
from memcore.crossbar.crossbar import Crossbar
from memcore.ops.pulse_order import Arrays


class Places:
    """Where pulses of weights go on arrays.

    Args:
        crossbar: the arrays.
        pair: which cells of a weight take pulses.
    """

    def __init__(self, crossbar: Crossbar, pair: Pair) -> None:
        self._crossbar, self._pair = crossbar, pair

    @property
    def are_in_order(self) -> bool:
        """Whether each cell of a part takes the pulses of a weight that lies where it does."""
        return self._pair != "one_sided" and self._crossbar.tiling.order is None

    @property
    def is_one_sided(self) -> bool:
        """Whether all pulses go towards SET, on one cell of a pair or on the other."""
        return self._pair == "one_sided"

    def arrays(self, cols: int) -> Arrays:
        """Where each part lies, on arrays of so many columns."""
        tiling = self._crossbar.tiling
        lines = tiling.array_rows, cols, tiling.data_cols
        return Arrays(tiling.rows, tiling.cols, *lines)

    @property
    def signs(self) -> list[int]:
        """Of the parts that take pulses."""
        parts = self._crossbar.cells.parts
        return [int(part.sign) for part in parts if not isinstance(part, Reference)]

    def laid(self, counts: list[Tensor]) -> Tensor:
        """Pulses of cells, of those [groups, inputs, outputs] of each part that takes some.

        Args:
            counts: of the parts that take pulses, in their order.

        Returns:
            [arrays, rows, cols].
        """
        tiling, own = self._crossbar.tiling, iter(counts)
        nothing = counts[0].new_zeros(tiling.groups, tiling.rows, 1)
        parts = self._crossbar.cells.parts
        return tiling.split(
            [nothing if isinstance(part, Reference) else next(own) for part in parts], 0.0
        )
