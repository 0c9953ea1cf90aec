"""`Seen`: which weights the last pass of a training saw, found out at little cost."""

from typing import Any, Final, NamedTuple

from torch import Tensor, nn

from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.fingerprint import Fingerprint

#: How many values of a parameter a glance looks at.
_GLANCED: Final = 16


class Glance(NamedTuple):
    """What torch says of a parameter, and some of its values.

    Torch counts the changes of a parameter but for those through `.data`, of which some values
    tell.
    """

    owner: int
    version: int
    address: int
    values: float

    @classmethod
    def of(cls, matrix: Tensor) -> "Glance | None":
        """That of a parameter; None for what is computed anew at each pass."""
        owner = owner_of(matrix)
        if not isinstance(owner, nn.Parameter) or owner.is_inference() or owner.is_meta:
            return None
        return cls(id(owner), owner._version, owner.data_ptr(), sampled(owner))

    def has_changed(self, before: "Glance") -> bool:
        """Whether the same parameter has changed for certain."""
        is_same = self.owner == before.owner and self.version != before.version
        return is_same and self.values != before.values


def owner_of(matrix: Tensor) -> Tensor:
    """The parameter of which a matrix is a view, or the matrix itself."""
    return matrix if matrix._base is None else matrix._base


def sampled(matrix: Tensor) -> float:
    """The sum of a few values, which most changes of a matrix change."""
    return float(places(matrix).sum())


def places(matrix: Tensor) -> Tensor:
    """A few values of a matrix, in its memory where it is contiguous."""
    every = max(1, matrix.numel() // _GLANCED)
    return matrix.detach().reshape(-1)[::every]


class Seen:
    """The weights that the last pass saw.

    A look at a few values says that most steps of an optimiser have changed a parameter. Only where
    it says nothing are all values looked at.

    Args:
        fingerprint: of the weights that were seen before; None for none.
    """

    def __init__(self, fingerprint: Fingerprint | None = None) -> None:
        self._glance: Glance | None = None
        #: The weights, as long as no fingerprint of them was needed, their owner, a glance at it.
        self._matrix: tuple[Tensor, Tensor, Glance] | None = None
        self._fingerprint = fingerprint
        #: The sampled values of the weights that the cells were written from.
        self._origin: float | None = None

    def changes(self, matrix: Tensor) -> bool:
        """Whether these weights are others than those of the pass before; they are kept in mind."""
        before, now = self._glance, Glance.of(matrix)
        if now is not None and now == before:
            return False
        self._glance = now
        if now is not None and before is not None and now.has_changed(before):
            self._matrix, self._fingerprint = (matrix.detach(), owner_of(matrix), now), None
            return True
        self.settle()
        fingerprint, seen = Fingerprint.of(matrix), self._fingerprint
        is_new = seen is None or fingerprint.differs(seen)
        if is_new:
            self._matrix, self._fingerprint = None, fingerprint
        return is_new

    def has_left(self, crossbar: Crossbar, matrix: Tensor) -> bool:
        """Whether the weights are others than the cells were written from."""
        values = None if self._glance is None else self._glance.values
        if self._origin is not None and values is not None and values != self._origin:
            return True
        self.settle()
        has_moved = moved(crossbar, self._fingerprint or Fingerprint.of(matrix))
        self._origin = self._origin if has_moved else values
        return has_moved

    @property
    def fingerprint(self) -> Fingerprint | None:
        """That of the weights that were seen, if it is known."""
        self.settle()
        return self._fingerprint

    def settle(self) -> None:
        """Take the fingerprint of the weights that were seen, while they are what they were."""
        kept, self._matrix = self._matrix, None
        if kept is None or not kept[0].untyped_storage().nbytes():  # spread over processes again
            return
        matrix, owner, was = kept
        if Glance.of(owner) == was:
            self._fingerprint = Fingerprint.of(matrix)

    def __getstate__(self) -> dict[str, Any]:
        self.settle()
        return {**vars(self), "_glance": None, "_origin": None}


def moved(crossbar: Crossbar, now: Fingerprint) -> bool:
    """Whether the weights are others than the cells were written from."""
    origin = Fingerprint.unpacked(crossbar.cells.origin)
    if origin is not None and now.differs(origin):
        return True
    if origin is None or now.eps != origin.eps:  # not said by a state of before; or another dtype
        crossbar.cells.origin.copy_(now.packed())
    return False
