"""`Extent`: where numbers of a tensor lie, and whether another one has some of them in common."""

from torch import Tensor


class Extent:
    """The memory between the first and the last number of a tensor.

    Parameters that one optimiser or one kernel flattened are parts of one storage, and have no
    number in common; a parameter and its views have.

    Args:
        tensor: whose memory it is.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.storage = tensor.untyped_storage().data_ptr()
        size = tensor.element_size()
        self._begin = size * tensor.storage_offset()
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        last = sum((count - 1) * step for count, step in steps)
        self._end = self._begin + (size * (last + 1) if tensor.numel() else 0)

    def meets(self, other: "Extent") -> bool:
        """Whether both have memory in common."""
        is_same = self.storage == other.storage
        return is_same and self._begin < other._end and other._begin < self._end
