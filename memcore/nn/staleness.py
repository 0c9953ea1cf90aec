"""`Staleness`: whether the cells that are read were written from the present parameters."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from memcore._followed import is_followed
from memcore.contracts.layer import Operand
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.transforms import is_transformed
from memcore.errors import StaleCellsWarning, warn
from memcore.nn.seen import moved, owner_of, places, sampled


class Look(NamedTuple):
    """What tells that parameters have changed, at next to no cost.

    torch counts the changes of a parameter but for those through `.data`, as `peft` merges its
    adapters, of which some values tell.

    Args:
        versions: as torch counts them.
        values: some weights in the memory of a processor; None where none may be read there.
    """

    versions: tuple[float, ...]
    values: list[float] | None

    def is_that_of(self, other: "Look | None") -> bool:
        """Whether nothing tells the two apart."""
        if other is None or self.versions != other.versions:
            return False
        return self.values is None or self.values == other.values


class Staleness:
    """Says once that programmed cells are read though the parameters have moved."""

    def __init__(self) -> None:
        #: How the parameters were when somebody looked last; None where nobody did.
        self.looked: Look | None = None
        #: Whether it was said.
        self.has_warned = False
        #: Some weights, in the memory of their parameter.
        self._some: Tensor | None = None

    def knows(self, *parameters: Tensor) -> bool:
        """Whether somebody looked at the parameters as they are, the weight first.

        It is asked of reads that nobody follows.
        """
        return self._glance(parameters, followed=False).is_that_of(self.looked)

    def look(self, crossbar: Crossbar, operand: Operand, matrix: Tensor) -> None:
        """Compare the parameters with what the cells were written from, if they may have moved.

        Args:
            crossbar: has the cells.
            operand: weights and bias, whose versions count.
            matrix: what the cells should hold, [groups, outputs, inputs].

        Warns:
            StaleCellsWarning: they have moved.
        """
        given = [each for each in operand if each is not None]
        now = self._glance(given, followed=is_followed())
        if now.is_that_of(self.looked) or is_transformed(matrix):
            return
        self.looked = now
        if moved(crossbar, Fingerprint.of(matrix)) and not self.has_warned:
            self.has_warned = True
            warn(
                "the parameters of the network have moved since its cells were written, and its "
                "reads use the cells; expected memcore.program(model), which writes the present "
                "parameters",
                StaleCellsWarning,
            )

    def look_again(self) -> None:
        """Look at the parameters at the next read, whatever their versions."""
        self.looked = None
        self._some = None  # which would keep memory that the parameter has left

    def begin_anew(self) -> None:
        """Cells were written, or a state was loaded."""
        self.look_again()
        self.has_warned = False

    def __getstate__(self) -> dict[str, Any]:
        # The changes of the parameters of a copy are counted anew.
        return {**vars(self), "looked": None, "_some": None}

    def _glance(self, parameters: Sequence[Tensor], *, followed: bool) -> Look:
        values = None if followed else self._values(owner_of(parameters[0]))
        return Look(tuple(map(_version, parameters)), values)

    def _values(self, owner: Tensor) -> list[float] | None:
        """Some weights of a parameter, where it takes no time to read them."""
        if type(owner) is not nn.Parameter or not owner.is_cpu:
            return None
        some = self._some
        if some is None or some.data_ptr() != owner.data_ptr():
            if not owner.is_contiguous():
                return None
            some = self._some = places(owner)
        values: list[float] = some.tolist()
        return values


def _version(tensor: Tensor) -> float:
    """How often a parameter was changed in place; a few values of what is computed at each pass."""
    if isinstance(owner_of(tensor), nn.Parameter):
        return 0 if tensor.is_inference() else tensor._version
    return 0 if tensor.is_meta or is_transformed(tensor) else sampled(tensor)
