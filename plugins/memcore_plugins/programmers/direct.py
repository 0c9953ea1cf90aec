"""Writing in one go, without pulses and without looking."""

from dataclasses import dataclass

from torch import Tensor

from memcore import ArrayInfo, Context, Programmed, Programmer


@dataclass(frozen=True, kw_only=True)
class Direct(Programmer):
    """Put every cell into the state that would give the target on the nominal device.

    Cells whose parameters differ from the nominal ones miss the target by what the difference
    makes of that state: device-to-device spread moves every cell, not only those at the ends of
    the window. A target outside the window gives the nearest end.
    """

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        del ctx
        if array.device is array.nominal:
            return Programmed(conductance=target.clamp(*array.nominal.nominal_range()))
        state = array.nominal.state_of(target)
        return Programmed(conductance=array.device.conductance(state))
