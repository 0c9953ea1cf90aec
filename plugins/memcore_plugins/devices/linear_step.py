"""Linear step: the step shrinks in proportion to the position."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memcore import Parameter, parameter
from memcore.modelling import AffinePulsed, Weighted, choose


@dataclass(frozen=True, kw_only=True)
class LinearStep(Weighted, AffinePulsed):
    """The step falls by a share gamma from w = 0 to the bound.

        w -> w + s_up (1 - gamma_up w / ref_up)    or    w - s_down (1 - gamma_down w / ref_down)

    with the bounds `ref_up` > 0 > `ref_down` of the mean cell: the slope does not follow the bound
    of a single one. Rasch et al., "A flexible and fast PyTorch toolkit", AICAS (2021), doi
    10.1109/AICAS51828.2021.9458494. Noise: c2c N(0, 1) times the step (`multiplicative`) or times
    s (`additive`), the same wherever the cell is. The defaults are round numbers.

    Valid where the response bends little (gamma < 1): electrochemical cells and capacitors.
    """

    even_noise: ClassVar[bool] = True

    gamma_up: Parameter = parameter(
        0.5, "1", "share by which steps up shrink from 0 to the bound; a round number"
    )
    gamma_down: Parameter = parameter(0.5, "1", "share by which steps down shrink; a round number")
    ref_up: Parameter = parameter(
        1.0, "weight", "position at which steps up have shrunk by gamma_up: the mean bound", above=0
    )
    ref_down: Parameter = parameter(
        -1.0,
        "weight",
        "position at which steps down have shrunk by gamma_down: the mean bound",
        below=0,
    )
    noise: Literal["multiplicative", "additive"] = parameter(
        "multiplicative", "1", "whether the noise of a pulse is in proportion to its step"
    )

    @property
    def additive(self) -> bool:
        return self.noise == "additive"

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        scale = torch.where(up, 1, -1) * self.scales(w, up)
        slope = choose(up, self.gamma_up / self.ref_up, self.gamma_down / self.ref_down, w)
        return scale, scale * slope
