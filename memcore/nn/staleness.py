"""`Staleness`: whether the cells that are read were written from the present parameters."""

from typing import Any

from torch import Tensor, nn

from memcore.contracts.layer import Operand
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.transforms import is_transformed
from memcore.errors import StaleCellsWarning, warn
from memcore.nn.seen import moved, sampled


class Staleness:
    """Says once that programmed cells are read though the parameters have moved."""

    def __init__(self) -> None:
        #: At which versions of the parameters somebody looked last; None where nobody did.
        self.looked: tuple[float, ...] | None = None
        #: Whether it was said.
        self.has_warned = False

    def knows(self, *parameters: Tensor) -> bool:
        """Whether somebody looked at the parameters as they are."""
        return tuple(map(_version, parameters)) == self.looked

    def look(self, crossbar: Crossbar, operand: Operand, matrix: Tensor) -> None:
        """Compare the parameters with what the cells were written from, if they may have moved.

        Args:
            crossbar: has the cells.
            operand: weights and bias, whose versions count.
            matrix: what the cells should hold, [groups, outputs, inputs].

        Warns:
            StaleCellsWarning: they have moved.
        """
        versions = tuple(_version(each) for each in operand if each is not None)
        if versions == self.looked or is_transformed(matrix):
            return
        self.looked = versions
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

    def begin_anew(self) -> None:
        """Cells were written, or a state was loaded."""
        self.looked, self.has_warned = None, False

    def __getstate__(self) -> dict[str, Any]:
        # The changes of the parameters of a copy are counted anew.
        return {**vars(self), "looked": None}


def _version(tensor: Tensor) -> float:
    """How often a parameter was changed in place; a few values of what is computed at each pass."""
    owner = tensor if tensor._base is None else tensor._base
    if isinstance(owner, nn.Parameter):
        return 0 if tensor.is_inference() else tensor._version
    return 0 if tensor.is_meta or is_transformed(tensor) else sampled(tensor)
