"""Amplifiers that differ from each other."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from memcore import Affine, ArrayInfo, Context, NonIdeality, Stage, parameter


@dataclass(frozen=True, kw_only=True)
class ExampleColumnGain(NonIdeality):
    """The amplifier at the end of each bit line has a gain of its own, fixed for a chip's life.

    Gains are normal about 1. It acts on currents, after the products and before the converter.
    """

    stage = Stage.CURRENT
    neutral: ClassVar = {"std": 0.0}

    std: float = parameter(0.02, "1", "standard deviation of the gains; a round number", at_least=0)

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        lines = (array.arrays, array.cols)
        return Affine(gain=1 + self.std * ctx.random.normal(lines, device=ctx.torch_device))
