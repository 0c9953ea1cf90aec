"""`Programmer`: the contract of a routine that writes cells."""

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context, Programmed


class Programmer(Contract):
    """A routine that writes target conductances into cells."""

    kind = "programmers"
    #: Whether a rewrite starts from what the cells conduct, `array.present`, or from fresh cells.
    incremental: ClassVar[bool] = False
    #: What takes part of the voltage of a pulse: the path of lines that leads to the one cell that
    #: conducts, the network of all lines and cells of an array, or nothing. Only programmers that
    #: name one of the two are told `array.wires` and `array.layout`.
    lines: ClassVar[Literal["path", "network"] | None] = None
    #: Whether it moves cells by pulses; one that sets their state does not.
    sends_pulses: ClassVar[bool] = True
    #: Whether each cell is written for itself, wherever it lies and whatever lies beside it. Then a
    #: training hands them over in the order of the weights, which is faster.
    cellwise: ClassVar[bool] = False
    #: Whether each cell is written for itself, `program` draws nothing but tensors of the shape of
    #: `array` and says nothing but what the cells conduct. Then it is handed some word lines of all
    #: arrays at a time, as one array, whose cells stay in the cache.
    in_blocks: ClassVar[bool] = False
    #: Whether cells of the nominal device that are not stuck conduct what they should afterwards,
    #: or the nearest end of the window.
    is_exact: ClassVar[bool] = False

    @property
    def through_lines(self) -> bool:
        """Whether the wires of the configuration act on the pulses: if `lines` names any.

        A programmer with a parameter that switches them off overrides this, as
        `memcore.writing.LineOptions` does; it is then told of no wires.
        """
        return self.lines is not None

    @hookspec
    @abstractmethod
    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        """Write `target` [arrays, rows, cols] S into the cells of `array`.

        Pulses do not move those of `array.stuck`.
        """
