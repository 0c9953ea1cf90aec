"""Cells that can only take a few conductances."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from memcore import ArrayInfo, Context, NonIdeality, Stage, parameter
from memcore.modelling import CellStep, Nearest, NearestLevel
from memcore_plugins._tensor import as_tensor

#: Beyond so many, single precision does not tell one level from the next one.
_COUNTED = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FiniteStates(NonIdeality):
    """Each cell takes the nearest of `states` levels over its own window, both ends included.

    Uniform in conductance, `g_k = g_min + k (g_max - g_min) / (states - 1)`, or uniform in
    resistance, where the levels crowd at low conductance. The nearest one is that in the same
    quantity.
    """

    stage = Stage.PROGRAM
    cellwise = True
    in_blocks = True

    states: int = parameter(
        16, "1", "number of levels, which need not be a power of two", at_least=2
    )
    uniform_in: Literal["conductance", "resistance"] = parameter(
        "conductance", "1", "quantity in which the levels are equidistant"
    )

    neutral: ClassVar = {"states": 1 << 24}

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        lowest, highest = array.device.conductance_range()
        is_inverse = self.uniform_in == "resistance"
        if is_inverse:
            lowest, highest = 1 / lowest, 1 / highest
        ends = as_tensor(lowest, ctx.dtype), as_tensor(highest, ctx.dtype)
        return NearestLevel(*ends, self.states, inverse=is_inverse)

    def steps(self, array: ArrayInfo, ctx: Context) -> tuple[CellStep, ...] | None:
        del ctx
        ends = array.device.conductance_range()
        if any(isinstance(end, Tensor) for end in ends) or self.states > _COUNTED:
            return None
        lowest, highest = map(float, ends)  # type: ignore[arg-type]
        is_inverse = self.uniform_in == "resistance"
        if is_inverse:
            lowest, highest = 1 / lowest, 1 / highest
        states = self.states
        return (Nearest(lowest=lowest, highest=highest, states=states, inverse=is_inverse),)
