"""What pairs of cells stand for, in as little memory as they need until a backward pass."""

from typing import NamedTuple

from torch import Tensor


class Folded(NamedTuple):
    """What cells stand for, as levels of pairs and their unit or as it is.

    Args:
        pairs: levels, whole numbers of any type, or what pairs stand for in the weight's domain,
            [groups, outputs, inputs].
        unit: the weight that a level stands for, [1] or [outputs]; None where pairs have none.
    """

    pairs: Tensor
    unit: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """In the weight's domain, [groups, outputs, inputs]; a new tensor where there are levels.

        Beside it nothing is in memory, as there would be if types were mixed in a product.
        """
        if self.unit is None:
            return self.pairs
        return self.pairs.to(self.unit.dtype, copy=True).mul_(self.unit.unsqueeze(1))
