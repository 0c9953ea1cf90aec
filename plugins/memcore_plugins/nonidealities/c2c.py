"""Cells that end up somewhere else at every write."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from memcore import (
    ArrayInfo,
    Context,
    LogNormal,
    NonIdeality,
    Normal,
    Stage,
    parameter,
)
from memcore.modelling import CellStep, Factor, Offset, Passive


@dataclass(frozen=True, kw_only=True)
class CycleToCycle(NonIdeality):
    """Each write lands off its target: `G = G_target f + e`, with f and e new at every write.

    f is lognormal about 1 or normal about 1, e is normal about 0; a conductance below 0 counts as
    0. `memcore.program` draws both anew, ageing and reading do not. What a cell is for life stays,
    that of `d2d` and of `stuck_at`, whichever comes first.
    Published spreads of a write: 1 % to 5 % of the window (Chen, Peng, Yu, TCAD 37:3067, 2018).
    """

    stage = Stage.PROGRAM
    cellwise = True
    in_blocks = True

    std: float = parameter(
        0.05,
        "1",
        "standard deviation of the factor, or of its logarithm if it is lognormal; a round number",
        at_least=0,
        at_most=10,
    )
    absolute: float = parameter(
        0.0, "S", "standard deviation that does not depend on the target", at_least=0, at_most=1
    )
    distribution: Literal["lognormal", "normal"] = parameter(
        "lognormal", "1", "distribution of the factor: lognormal about 1, or normal about 1 above 0"
    )

    neutral: ClassVar = {"std": 0.0, "absolute": 0.0}

    @property
    def _spread(self) -> LogNormal | Normal:
        if self.distribution == "lognormal":
            return LogNormal(1.0, self.std)
        return Normal(1.0, self.std, min=0.0)

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        write = ctx.random.child("write", ctx.writes)
        factor = self._spread.sample(write.child("factor"), array.shape, device=ctx.torch_device)
        if not self.absolute:
            return Passive(factor)
        error = write.child("error").normal(array.shape, device=ctx.torch_device)
        return Passive(factor, error.mul_(self.absolute))

    def steps(self, array: ArrayInfo, ctx: Context) -> tuple[CellStep, ...]:
        del array
        write = ctx.random.child("write", ctx.writes)
        factor = Factor(distribution=self._spread, stream=write.child("factor"))
        if not self.absolute:
            return (factor,)
        return factor, Offset(std=self.absolute, stream=write.child("error"))
