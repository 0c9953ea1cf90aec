"""Conductances that are read with noise."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from memcore import ArrayInfo, Context, Gaussian, NonIdeality, Stage, parameter
from memcore.modelling import CellStep, WhiteNoise


@dataclass(frozen=True, kw_only=True)
class ReadNoise(NonIdeality):
    """White Gaussian noise of each cell at each read, `sigma^2 = std^2 + (relative g)^2`.

    Every input vector is a read of its own, so is every position of a convolution. Noise is white
    here: it does not know of the reads before (1/f noise is correlated, and averages out less).
    """

    stage = Stage.READ
    cellwise = True

    relative: float = parameter(
        0.01, "1", "standard deviation as a fraction of the conductance", at_least=0, at_most=100
    )
    std: float = parameter(
        0.0,
        "S",
        "standard deviation that does not depend on the conductance",
        at_least=0,
        at_most=1,
    )

    neutral: ClassVar = {"relative": 0.0, "std": 0.0}

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del array, ctx
        return Gaussian(std=self.std, relative=self.relative)

    def steps(self, array: ArrayInfo, ctx: Context) -> tuple[CellStep, ...]:
        del array, ctx
        return (WhiteNoise(std=self.std, relative=self.relative),)
