"""Cells that differ from each other for life."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from memcore import (
    Affine,
    ArrayInfo,
    Context,
    LogNormal,
    NonIdeality,
    Normal,
    Stage,
    parameter,
)
from memcore.modelling import CellStep, Factor


@dataclass(frozen=True, kw_only=True)
class DeviceToDevice(NonIdeality):
    """Each conductance is multiplied by a factor of its own, drawn once.

    This is the direct spread of conductances, whatever the device. To spread the parameters of a
    device instead, give it distributions: `vteam(r_on=Normal(50.0, 10.0, min=1.0))`.
    Measured relative spreads are 5 % to 40 %.
    """

    stage = Stage.PROGRAM
    cellwise = True
    in_blocks = True

    std: float = parameter(
        0.1,
        "1",
        "standard deviation of the factor, or of its logarithm if it is lognormal",
        at_least=0,
        at_most=10,
    )
    distribution: Literal["lognormal", "normal"] = parameter(
        "lognormal", "1", "distribution of the factor: lognormal about 1, or normal about 1 above 0"
    )

    neutral: ClassVar = {"std": 0.0}

    @property
    def _factor(self) -> LogNormal | Normal:
        if self.distribution == "lognormal":
            return LogNormal(1.0, self.std)
        return Normal(1.0, self.std, min=0.0)

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        factor = self._factor.sample(ctx.random, array.shape, device=ctx.torch_device)
        return Affine(gain=factor)

    def steps(self, array: ArrayInfo, ctx: Context) -> tuple[CellStep, ...]:
        del array
        return (Factor(distribution=self._factor, stream=ctx.random),)
