"""Line resistance, exactly."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from memcore import ArrayInfo, Context, Wired, parameter
from memcore_plugins.nonidealities._wiring import Wiring


@dataclass(frozen=True, kw_only=True)
class IrDrop(Wiring):
    """Voltage lost along word lines and bit lines, and the sneak currents that follow from it.

    For ohmic cells the currents of an array are `v @ A` with one matrix A(G, wires), solved exactly
    when the cells are written or age. Reads then cost as much as without wires.

    Each cell owns the word-line segment on its driver's side and the bit-line segment on its sense
    side. A matrix smaller than a tile is an array of its own size; of larger ones, the last tiles
    are filled with cells of the lowest conductance, on word lines at 0 V. Noise of single cells
    comes out too low, at most by the part of the current that wires take.

    With `columns="shared"`, `tile` is the size of a part: the physical array has the bit lines of
    all parts, (32, 64) for the two of a differential pair in tiles of (32, 32), and there are half
    as many arrays as `memcore.summary` counts.
    """

    drive: Literal["left", "right", "both"] = parameter(
        "left", "1", "ends of the word lines that are driven"
    )
    sense_at: Literal["bottom", "top", "both"] = parameter(
        "bottom", "1", "ends of the bit lines that are sensed"
    )
    columns: Literal["separate", "shared"] = parameter(
        "separate",
        "1",
        "whether positive and negative columns are in separate arrays or side by side on shared "
        "word lines; a reference column always shares the word lines of its array",
    )
    placement: Literal["as_mapped", "sorted"] = parameter(
        "as_mapped",
        "1",
        "order of the lines: as the mapper placed them, or sorted, so that word lines that conduct "
        "more are nearer to the sense nodes, and bit lines that conduct more to the drivers; lines "
        "that conduct the same stay in the order of their numbers",
    )

    @property
    def brings(self) -> frozenset[str]:
        return frozenset({"wires"})

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        wired = Wired(
            self.wires(self.drive, self.sense_at),
            array,
            shared=self.columns == "shared",
            sort=self.placement == "sorted",
        )
        return wired.to(ctx.torch_device)
