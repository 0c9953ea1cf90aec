"""Cells that no longer switch."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, ConfigError, Context, NonIdeality, Stage, parameter


@dataclass(frozen=True, kw_only=True)
class StuckAt(NonIdeality):
    """A share of the cells is stuck at LRS, at HRS, or at a given conductance.

    One draw decides for each cell, so no cell fails twice, and it decides for life: programming
    the array again does not mend it. Measured rates: 1.75 % and 9.04 % in a 4 Mb HfO2 array
    (Chen et al., IEEE Trans. Computers 64:180, 2015).
    """

    stage = Stage.PROGRAM

    p_lrs: float = parameter(0.0, "1", "share stuck at the high end of their own window")
    p_hrs: float = parameter(0.0, "1", "share stuck at the low end of their own window")
    p_other: float = parameter(0.0, "1", "share stuck at `conductance`")
    conductance: float | None = parameter(None, "S", "where the cells of `p_other` are stuck")

    neutral: ClassVar = {"p_lrs": 0.0, "p_hrs": 0.0, "p_other": 0.0}

    def __post_init__(self) -> None:
        shares = (self.p_lrs, self.p_hrs, self.p_other)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(
                f"p_lrs={self.p_lrs!r}, p_hrs={self.p_hrs!r}, p_other={self.p_other!r}; "
                "expected shares >= 0 that add up to at most 1"
            )
        if self.p_other and not (self.conductance is not None and self.conductance >= 0):
            raise ConfigError(
                f"conductance={self.conductance!r} with p_other={self.p_other!r}; "
                "expected the conductance in S at which these cells are stuck"
            )

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        draw = ctx.random.uniform(array.shape, device=ctx.torch_device)
        lowest, highest = (torch.as_tensor(g) for g in array.device.conductance_range())
        other = torch.as_tensor(self.conductance or 0.0)
        bounds = self.p_lrs, self.p_lrs + self.p_hrs, self.p_lrs + self.p_hrs + self.p_other
        return _Stuck(draw, list(zip(bounds, (highest, lowest, other), strict=True)))


class _Stuck(nn.Module):
    """Cells whose draw lies below a bound have its level; the lowest bound wins."""

    draw: Tensor

    def __init__(self, draw: Tensor, levels: list[tuple[float, Tensor]]) -> None:
        super().__init__()
        self.register_buffer("draw", draw)
        self.bounds = [bound for bound, _ in levels]
        for index, (_, level) in enumerate(levels):
            self.register_buffer(f"level_{index}", level)

    def forward(self, g: Tensor) -> Tensor:
        for index in reversed(range(len(self.bounds))):
            if self.bounds[index] > 0:
                level = getattr(self, f"level_{index}").to(g.dtype)
                g = torch.where(self.draw < self.bounds[index], level, g)
        return g
