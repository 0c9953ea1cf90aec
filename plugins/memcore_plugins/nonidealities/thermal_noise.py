"""Noise of the bit lines: thermal motion and the grain of the charge."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, Context, Gaussian, NonIdeality, Stage, parameter
from memcore.modelling import BOLTZMANN, CHARGE


@dataclass(frozen=True, kw_only=True)
class ThermalNoise(NonIdeality):
    """Johnson noise of all cells of a bit line, and shot noise of its current:

        sigma^2 = (4 k T sum_i G_i + 2 q |I|) f

    with the bandwidth f of the read and the temperature T of the arrays. White, new at every read,
    one draw for each bit line. Both parts add in full, as if every cell had fluctuations of both
    kinds; an ohmic conductor shows the first only, a tunnelling barrier at qV >> kT the second. The
    net current counts: where voltages of both signs cancel, the shot noise of the cells does not,
    and is larger than what is drawn here.

    Public simulators use f = 10 MHz.
    """  # noqa: D415

    stage = Stage.CURRENT

    bandwidth: float = parameter(
        1e7, "Hz", "bandwidth of the read; that of a public simulator", at_least=0, at_most=1e15
    )
    shot: bool = parameter(True, "1", "whether shot noise is added to the thermal noise")

    neutral: ClassVar = {"bandwidth": 0.0}

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        thermal = 4 * BOLTZMANN * ctx.temperature * self.bandwidth
        shot = 2 * CHARGE * self.bandwidth if self.shot else 0.0
        nothing = torch.zeros(array.arrays, array.cols, device=ctx.torch_device)
        return _LineNoise(thermal, shot, nothing)


class _LineNoise(Gaussian):
    """`sigma^2 = thermal sum(G) + shot |I|`.

    Args:
        thermal: A^2/S.
        shot: A.
        conductance: of all cells of a line, [arrays, cols] S; `settle` brings it up to date.
    """

    conductance: Tensor

    def __init__(self, thermal: float, shot: float, conductance: Tensor) -> None:
        super().__init__()
        self.thermal, self.shot = thermal, shot
        self.register_buffer("conductance", conductance, persistent=False)

    def settle(self, conductance: Tensor, seconds: Tensor) -> None:
        super().settle(conductance, seconds)
        self.conductance = conductance.sum(-2)

    def variance(self, x: Tensor) -> Tensor:
        return self.thermal * self.conductance.to(x.dtype) + self.shot * x.abs()
