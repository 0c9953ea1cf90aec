"""A cell that counted pulses program."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import Parameter, parameter
from memcore.modelling import AffinePulsed, choose


@dataclass(frozen=True, kw_only=True)
class ExampleSynapse(AffinePulsed):
    """Each pulse takes a cell a share of the way that is left to its bound.

        SET     x -> x + up (1 - x)
        RESET   x -> x - down x
        G = 1/r_off + x (1/r_on - 1/r_off)

    A synthetic model: its form is that of many filamentary memories, its constants are invented.
    Noise multiplies the step of each pulse by 1 + c2c N(0, 1). Any number of pulses is one
    closed form; `memcore.modelling` adds the noise of many pulses, and the bounds.

    A published set of parameters is a file in the folder `synapse` beside this one.
    """

    r_on: Parameter = parameter(1e4, "ohm", "lowest resistance; invented", above=0, below="r_off")
    r_off: Parameter = parameter(2e5, "ohm", "highest resistance; invented", above=0)
    up: Parameter = parameter(
        0.05, "1", "share of the way that a SET pulse takes; invented", above=0, below=1
    )
    down: Parameter = parameter(
        0.1, "1", "share of the way that a RESET pulse takes; invented", above=0, below=1
    )
    x0: Parameter = parameter(0.0, "1", "position of fresh cells, 0 at r_off and 1 at r_on")

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        share = choose(up, self.up, self.down, w)
        return torch.where(up, share, 0), share
