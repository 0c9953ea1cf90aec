"""`Ranging`: an electrical read that also finds what outputs owe to the ranges of their ADCs."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memcore.contracts.forms import UniformLevels
from memcore.crossbar.calibrated import LaneForms
from memcore.crossbar.readers.electrical import Electrical


class Slope(NamedTuple):
    """How outputs follow the ranges of all ADCs.

    Args:
        outputs: their change for a relative change of all ranges, [n, groups, outputs].
        inside: share of the currents of each output that lie inside of the ranges, of the same
            shape.
    """

    outputs: Tensor
    inside: Tensor


class Ranging(Electrical):
    """Reads as `Electrical` does; `taken` gives the slope of what was read last.

    All that follows an ADC is linear. So the change of each converted value takes the way of the
    values themselves, and no current is kept.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._slopes: list[Slope] = []  # of each block of inputs
        self._inside: list[Tensor] = []  # of each phase of a block

    def taken(self) -> Slope:
        """The slope of the last read, which is kept no longer."""
        outputs, inside = (torch.cat(each) for each in zip(*self._slopes, strict=True))
        self._slopes = []
        return Slope(outputs, inside)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """As `Electrical` reads."""
        self._slopes = []
        return super().forward(x, reads, lines)

    def _read(self, x: Tensor, reads: Tensor, lines: Tensor | None) -> Tensor:
        self._inside = []
        y, slope = super()._read(x, reads, lines).chunk(2)
        self._slopes.append(Slope(slope, torch.stack(self._inside).mean(0)))
        return y

    def _digitised(self, current: Tensor, numbers: Tensor) -> Tensor:
        digital = super()._digitised(current, numbers)
        assert self.adc is not None
        inside = _inside(self.adc, current)
        self._inside.append(inside.to(current.dtype).mean((0, 3)))
        return torch.cat([digital, torch.where(inside, digital - current, digital)], dim=1)


def _inside(form: nn.Module, x: Tensor) -> Tensor:
    """Which values lie between the lowest and the highest level, the ends left out."""
    if isinstance(form, LaneForms):
        pairs = zip(x.unbind(0), form.lanes, strict=True)
        return torch.stack([_inside(form.forms[lane], each) for each, lane in pairs])
    assert isinstance(form, UniformLevels)
    low, high = (form.offset + end * form.step for end in (form.lo, form.hi))
    return (x > low) & (x < high)
