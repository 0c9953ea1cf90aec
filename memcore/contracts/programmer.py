"""`Programmer`: the contract of a routine that writes cells."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context, Programmed


class Programmer(Contract):
    """A routine that writes target conductances into cells."""

    kind = "programmers"
    #: Whether a rewrite starts from what the cells conduct, `array.present`, or from fresh cells.
    incremental: ClassVar[bool] = False
    #: Whether pulses lose voltage in the lines, `array.wires`.
    through_wires: ClassVar[bool] = False

    @hookspec
    @abstractmethod
    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        """Write `target` [arrays, rows, cols] S into the cells of `array`.

        Pulses do not move those of `array.stuck`.
        """
