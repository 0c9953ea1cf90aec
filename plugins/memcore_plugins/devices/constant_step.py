"""Constant step: the pulsed device that a designer specifies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memcore import Preset
from memcore_plugins.devices._affine import Affine
from memcore_plugins.devices._parameters import published
from memcore_plugins.devices._pulsed import tensor
from memcore_plugins.devices._weights import Weighted, between_cells


@dataclass(frozen=True, kw_only=True)
class ConstantStep(Affine, Weighted):
    """Every pulse moves a cell by the same step until it stops at its bound.

        w -> w + s_up    or    w - s_down

    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi 10.3389/fnins.2016.00333; conductance
    and s_up, s_down as in `memcore_plugins.devices._weights`. Noise multiplies the step of each
    pulse by 1 + c2c N(0, 1). The defaults are round numbers.

    Valid as a specification, not as a material: no device steps evenly up to its bounds.
    """

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.scales(w, up)
        return torch.where(up, scale, -scale), tensor(0.0, w)

    presets: ClassVar[Mapping[str, Preset]] = {
        "idealized": published(
            "Rasch, Gokmen, Haensch, IEEE Design & Test (2019), arXiv 1906.02698: specification "
            "of Gokmen and Vlasov with ten thousand symmetric steps; constants of a public "
            "simulator; published in weights, no conductance and no pulse",
            "a specification, no material",
            dw_min=2e-4,
            c2c=0.3,
            **between_cells(step=0.3, bounds=(0.3, 0.3), up_down=0.0),
        ),
        "gokmen_vlasov": published(
            "Gokmen and Vlasov 2016, 1200 states; constants of a public simulator; published in "
            "weights, no conductance and no pulse",
            "a specification, no material",
            dw_min=0.0016,
            c2c=0.3,
            **between_cells(step=0.3, bounds=(0.3, 0.3), up_down=0.01),
        ),
    }
