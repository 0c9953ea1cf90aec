"""Writing in one go, without pulses and without looking."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Programmed, Programmer
from memcore.modelling import Held


@dataclass(frozen=True, kw_only=True)
class Direct(Programmer):
    """Put every cell into the state that would give the target on the nominal device.

    A cell whose parameters differ from the nominal ones conducts something else in that state:
    device-to-device spread moves every cell, not only those at the ends of the window. A target
    outside the window gives the nearest end. What the cells were before does not matter, unless
    they are stuck. What a device knows of pulses has no effect.
    """

    sends_pulses = False
    cellwise = True
    in_blocks = True
    is_exact = True

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        del ctx
        if array.device is array.nominal:
            lowest, highest = array.nominal.nominal_range()
            inside = _lies_in(target, lowest, highest, array.reach)
            g = target if inside else target.clamp(lowest, highest)
        else:
            g = array.device.conductance(array.nominal.state_of(target))
        return Programmed(conductance=g if array.stuck is None else Held(array.stuck)(g))


def _lies_in(
    target: Tensor, lowest: float, highest: float, reach: tuple[float, float] | None
) -> bool:
    """Whether no target is outside: then nothing is copied."""
    if target.is_meta or not target.numel():
        return False
    bounds = target.new_tensor(reach) if reach is not None else torch.stack(target.aminmax())
    return bool((bounds[0] >= lowest) & (bounds[1] <= highest))
