"""Reads that are repeated with halved inputs as long as an output is beyond its ADC."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore.contracts.forms import UniformLevels
from memcore.contracts.transfer import Transfer
from memcore.crossbar.calibrated import LaneForms
from memcore.crossbar.readers.electrical import Electrical
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.transforms import are_active
from memcore.ops import named_reads

#: Repetitions of a read, at most: Gokmen et al., Front. Neurosci. 11:538 (2017), halve so.
MOST: Final = 10
#: How far apart the numbers of the repetitions of a read are: no chip is read as often.
_APART: Final = 1 << 40

#: Called with what is read, the inputs and what drives the word lines if that is known.
Told = Callable[[Tensor, Tensor | None], None]

_uncompiled: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = torch.compiler.disable


class Bounded(Electrical):
    """Reads as `Electrical` does, and again with half the inputs where an output clips.

    A vector of a group is read again until no output of it clips, at most `MOST` times; outputs are
    multiplied back. Each repetition has noise of its own, keyed by the number of the read, so that
    the batch makes no difference.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._number = named_reads.enter(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = named_reads.enter(self)

    def forward(
        self, x: Tensor, reads: Tensor, lines: Tensor | None = None, told: Told | None = None
    ) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: what drives the word lines, if it is known already.
            told: hears of every read, repetitions among them.
        """
        if not torch.compiler.is_compiling():
            return self._repeated(x, reads, lines, told)
        if told is not None:
            return _uncompiled(self._repeated)(x, reads, lines, told)
        return named_reads.named_read(x, reads, self.plan.tiling.cols, self._number)

    def read(self, x: Tensor, reads: Tensor) -> Tensor:
        """As `forward`, for the operator in a graph."""
        return self._repeated(x, reads, None, None)

    def _repeated(
        self, x: Tensor, reads: Tensor, lines: Tensor | None, told: Told | None
    ) -> Tensor:
        y, clips = self._once(x, reads, lines, told)
        if are_active():
            return self._everywhere(x, reads, y, clips)
        for k in range(1, MOST + 1):
            again = clips.any(1).nonzero().flatten()
            if not len(again):
                break
            numbers = reads + k * _APART + again - torch.arange(len(again), device=x.device)
            part, still = self._once(x[again] * 0.5**k, numbers, None, told)
            y[again] = torch.where(clips[again].unsqueeze(2), part * 2.0**k, y[again])
            clips[again] &= still
        return y

    def _everywhere(self, x: Tensor, reads: Tensor, y: Tensor, clips: Tensor) -> Tensor:
        """The same where values are not at hand: all vectors are read again, few are taken."""
        for k in range(1, MOST + 1):
            part, still = self._once(x * 0.5**k, reads + k * _APART, None, None)
            y = torch.where(clips.unsqueeze(2), part * 2.0**k, y)
            clips = clips & still
        return y

    def _once(
        self, x: Tensor, reads: Tensor, lines: Tensor | None, told: Told | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs, and which vectors [n, groups] clip at an output."""
        if told is not None:
            told(x, lines)
        both = super().forward(x, reads, lines)
        return both[..., :-1].contiguous(), both[..., -1] > 0

    def _read(self, x: Tensor, reads: Tensor, lines: Tensor | None) -> Tensor:
        """Outputs, behind them how many values clip, [n, groups, outputs + 1]."""
        ((driven, _),) = self._phases(x, lines)
        numbers = numbered(reads, x.shape[0])
        current = self.unsure(self.watched(driven, numbers), numbers)
        y = self.added(self.summed(self.converted(current)))
        clipped = _beyond(self.adc, current).sum((0, 3, 4)).to(y.dtype)
        return torch.cat([y, clipped.unsqueeze(2)], dim=2)


def _beyond(form: nn.Module | None, x: Tensor) -> Tensor:
    """Which values [values, ...] have their nearest level beyond the lowest or the highest one."""
    if form is None:
        return torch.zeros_like(x, dtype=torch.bool)
    if isinstance(form, LaneForms):
        pairs = zip(x.unbind(0), form.lanes, strict=True)
        return torch.stack([_beyond(form.forms[lane], each) for each, lane in pairs])
    low, high, step = _ends(form)
    return (x < low - 0.5 * step) | (x > high + 0.5 * step)


def _ends(form: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """The lowest and the highest level, and their distance from the next."""
    if isinstance(form, Transfer):
        return form.values[0], form.values[-1], form.values[1] - form.values[0]
    assert isinstance(form, UniformLevels)
    low, high = (form.offset + end * form.step for end in (form.lo, form.hi))
    return low, high, form.step
