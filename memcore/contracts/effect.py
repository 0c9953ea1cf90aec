"""`NonIdeality`: the contract of one way in which real arrays differ from ideal ones."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.cell_steps import CellStep
from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context, Stage


class NonIdeality(Contract):
    """One way in which real arrays differ from ideal ones."""

    kind = "nonidealities"
    stage: ClassVar[Stage]
    #: The parameters that switch the effect off, if it can be switched off.
    neutral: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    #: Whether ageing moves cells too that no pulse moves. Cells that are shorted or open stay as
    #: they are whatever passes, so by default it does not.
    ages_stuck: ClassVar[bool] = False
    #: Whether `bind` looks up `array.target`: then the cells remember it, also in a state.
    needs_target: ClassVar[bool] = False
    #: Whether each cell is drawn and changed for itself, wherever it lies and whatever lies beside
    #: it. Then a training hands them over in the order of the weights, which is faster.
    cellwise: ClassVar[bool] = False

    #: Whether `bind` and `stuck_cells` of an effect of `Stage.PROGRAM` draw nothing but tensors of
    #: the shape of `array`, one number for each cell, from streams of `ctx`. Then they are handed
    #: some word lines of all arrays at a time, as one array, whose cells stay in the cache.
    in_blocks: ClassVar[bool] = False

    @hookspec
    @abstractmethod
    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        """Draw what is fixed for these arrays and return a form, or any module with its forward.

        By stage: PROGRAM `forward(g)`; AGE `forward(g, elapsed)`, seconds since programming or what
        an `Aging` form counts; READ `forward(g, stream)` with g
        [1 or reads, arrays, rows, cols]; MVM `forward(v, g)` with v [reads, arrays, rows], to
        currents [reads, arrays, cols]; CURRENT `forward(i, stream)`.
        `Affine`, `UniformLevels`, `Lookup` and subclasses of `Steady` take no stream in any stage.
        A product that is linear in the voltages is best a `Product` with a matrix, which costs
        nothing at a read.
        """

    def steps(self, array: ArrayInfo, ctx: Context) -> Sequence[CellStep] | None:
        """What `bind` does to each cell, with the same draws, as steps that one kernel takes.

        None, as by default, if it is anything else. Only asked of effects that are `cellwise`, and
        once for all writings: the streams of the steps are children of that of `ctx`.
        """
        del array, ctx
        return None

    def exact(self) -> "NonIdeality | None":
        """What this approximates, if it does: `memcore.diagnose` says how well."""
        return None

    @property
    def brings(self) -> frozenset[str]:
        """What an effect of `Stage.MVM` brings to the circuit of an array.

        Any of "wires", "law" and "series"; `bind` then returns a `Product` whose `circuit` has it.
        Effects that bring different things are solved together, as one circuit. One that brings
        nothing computes the product in a way of its own and stands alone.
        """
        return frozenset()

    @hookspec
    def stuck_cells(self, array: ArrayInfo, ctx: Context) -> Tensor | None:
        """S of the cells that no pulse moves, NaN for all others, [arrays, rows, cols].

        None if there are none. Programmers are told, and at the end of `Stage.PROGRAM` the cells
        have these conductances whatever else acts there.
        """
        del array, ctx
        return None
