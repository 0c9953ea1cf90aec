"""Cells that no longer switch."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from memcore import ArrayInfo, ConfigError, Context, NonIdeality, Stage, parameter
from memcore.modelling import Held, held_by_share


@dataclass(frozen=True, kw_only=True)
class StuckAt(NonIdeality):
    """A share of the cells is stuck at LRS, at HRS, or at a given conductance.

    One draw decides for each cell, so no cell fails twice, and it decides for life: programming
    the array again does not mend it. Routines that pulse and read find these cells as they are.
    Measured rates: 1.75 % and 9.04 % in a 4 Mb HfO2 array
    (Chen et al., IEEE Trans. Computers 64:180, 2015).
    """

    stage = Stage.PROGRAM
    in_blocks = True

    p_lrs: float = parameter(
        0.0, "1", "share of cells stuck at the high end of their own window", within=(0, 1)
    )
    p_hrs: float = parameter(
        0.0, "1", "share of cells stuck at the low end of their own window", within=(0, 1)
    )
    p_other: float = parameter(0.0, "1", "share of cells stuck at `conductance`", within=(0, 1))
    conductance: float | None = parameter(
        None, "S", "conductance at which the cells of `p_other` are stuck", at_least=0, at_most=1
    )

    neutral: ClassVar = {"p_lrs": 0.0, "p_hrs": 0.0, "p_other": 0.0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p_lrs + self.p_hrs + self.p_other > 1:
            raise ConfigError(
                f"StuckAt: p_lrs={self.p_lrs!r}, p_hrs={self.p_hrs!r}, p_other={self.p_other!r}; "
                "expected shares >= 0 that add up to at most 1"
            )
        if self.p_other and self.conductance is None:
            raise ConfigError(
                f"StuckAt: conductance=None with p_other={self.p_other!r}; "
                "expected the conductance in S at which these cells are stuck"
            )

    def stuck_cells(self, array: ArrayInfo, ctx: Context) -> Tensor:
        draw = ctx.random.uniform(array.shape, device=ctx.torch_device).to(ctx.dtype)
        lowest, highest = array.device.conductance_range()
        shares = [(self.p_lrs, highest), (self.p_hrs, lowest)]
        if self.conductance is not None:
            shares.append((self.p_other, self.conductance))
        return held_by_share(draw, shares)

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        return Held(self.stuck_cells(array, ctx) if array.stuck is None else array.stuck)
