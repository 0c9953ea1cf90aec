"""`InputRange`: the range of a DAC as a parameter that training finds."""

import torch
from torch import Tensor, nn

from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.recent import in_backward
from memcore.crossbar.training import LearnedRange
from memcore.errors import ConversionError
from memcore.nn.one_number import is_spread, one_number
from memcore.ops.surrogate import through_range

#: Of the range at the start: no optimiser makes it smaller, or negative.
_LEAST = 1e-3


class InputRange(nn.Module):
    """The largest input that the DAC of one matrix represents, a parameter.

    Args:
        learned: how it is found.
        like: gives dtype and device.
    """

    batches: Tensor  #: how many batches set it so far

    def __init__(self, learned: LearnedRange, like: Tensor) -> None:
        super().__init__()
        self.learned = learned
        self.peak = one_number(self, "peak", like.new_full((), learned.start))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=like.device))
        #: Of the last batch that set the range: its number, and the range before and behind it.
        self._last = (0, 0.0, 0.0)

    @torch.no_grad()
    def apply_to(self, crossbar: Crossbar) -> bool:
        """Let the DAC have this range; whether it had another one."""
        if is_spread(self.peak):  # between passes; the next one has it
            return False
        least = _LEAST * self.learned.start
        if not float(self.peak) >= least:  # a change, even to the same, would end other reads
            self.peak.clamp_(min=least)
        if float(self.peak) == float(crossbar.input.range[0, 1]):
            return False
        crossbar.take_range(float(self.peak))
        return True

    @torch.no_grad()
    def watch(self, x: Tensor) -> None:
        """Take note of the inputs of one batch, of the first ones."""
        if not self.is_found or in_backward():
            return
        wide = self.learned.sigmas * float(x.std(correction=0)) if x.numel() else 0.0
        if wide > 0:
            self._require_kept()
            before = float(self.peak)
            self.batches.add_(1)
            self.peak.add_((wide - self.peak) / self.batches)
            self._last = int(self.batches), before, float(self.peak)

    def _require_kept(self) -> None:
        """Refuse to go on where what the last batch found is gone: another copy was trained."""
        count, before, after = self._last
        if count == int(self.batches) and float(self.peak) == before != after:
            raise ConversionError(
                "the range of a DAC that is found from the first batches was lost between two "
                "passes, as fully_shard keeps no change of a parameter within a pass; expected "
                "LearnedRange(start=..., batches=0), or the first batches before fully_shard"
            )

    @property
    def is_found(self) -> bool:
        """Whether it still is the running mean of the first batches."""
        return int(self.batches) < self.learned.batches

    def forward(self, applied: Tensor, x: Tensor) -> Tensor:
        """What the DAC makes of the inputs, with gradients for these and for the range."""
        peak = self.peak.detach().clone() if self.is_found else self.peak
        return through_range(applied, x, peak.reshape(()), self.learned.decay)
