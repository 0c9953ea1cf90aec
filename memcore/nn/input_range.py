"""`InputRange`: the range of a DAC as a parameter that training finds."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.recent import in_backward
from memcore.crossbar.states import State, require_count
from memcore.crossbar.together import process
from memcore.crossbar.training import LearnedRange
from memcore.crossbar.transforms import refuse_transforms
from memcore.errors import ConversionError
from memcore.nn.one_number import is_spread, one_number, require_number
from memcore.nn.pieces import Pieces
from memcore.ops.surrogate import through_range

#: Of the range at the start: no optimiser makes it smaller, or negative.
_LEAST = 1e-3
#: Share of a range that no decay takes from it in one step.
_DECAY = 0.05


class InputRange(nn.Module):
    """The largest input that the DAC of one matrix represents, a parameter.

    Args:
        learned: how it is found.
        like: gives dtype and device.
        pieces: which reads are of one batch; by default each of one of its own.
    """

    batches: Tensor  #: how many batches set it so far

    def __init__(self, learned: LearnedRange, like: Tensor, pieces: Pieces | None = None) -> None:
        super().__init__()
        self.learned, self._pieces = learned, Pieces() if pieces is None else pieces
        self.peak = one_number(self, "peak", like.new_full((), learned.start))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=like.device))
        #: Whether the batch that is read sets the range, and so does not move it by its gradient.
        self._sets = learned.batches > 0
        #: Of the last batch that set the range: its number, and the range before and behind it.
        self._last = (0, 0.0, 0.0)
        #: Of the read that is in several pieces: what they show, and the range before all of them.
        self._read = PartlyRead()
        self.register_load_state_dict_post_hook(_forget_last)  # type: ignore[no-untyped-call]

    def prepare(self, state: State, prefix: str) -> None:
        """Refuse a state that no range has, before anything of it is taken.

        Raises:
            ConfigError: it is one.
        """
        require_number(f"{prefix}peak", state.get(f"{prefix}peak"))
        require_count(f"{prefix}batches", state.get(f"{prefix}batches"))

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
        refuse_transforms("a range of a DAC that training has moved")
        crossbar.take_range(float(self.peak))
        return True

    @torch.no_grad()
    def watch(self, x: Tensor) -> None:
        """Take note of the inputs of one batch, of the first ones, or of a piece of it."""
        if in_backward():
            return
        if not self._pieces.number or self._read.number != self._pieces.number:
            self._read = PartlyRead(self._pieces.number)
            self._sets = self.is_found
        if not self._sets:
            return
        refuse_transforms("a range of a DAC that the first batches set")
        wide = deviation(x) if self._pieces.count == 1 else self._read.deviation(x)
        if wide > 0:
            self._set(self.learned.sigmas * wide)

    def _set(self, wide: float) -> None:
        """Let the range be the mean of what this batch and those before it ask for."""
        self._require_kept()
        read = self._read
        if read.mean is None:
            read.mean, read.before = self._mean, float(self.peak)
            self.batches.add_(1)
        self.peak.fill_(read.mean + (wide - read.mean) / float(self.batches))
        self._last = int(self.batches), read.before, float(self.peak)

    @property
    def _mean(self) -> float:
        """What the batches so far set, whatever an optimiser did to it since."""
        count, _, after = self._last
        return after if count == int(self.batches) > 0 else float(self.peak)

    def _require_kept(self) -> None:
        """Refuse to go on where what the last batch found is gone: another copy was trained."""
        count, before, after = self._last
        if count == int(self.batches) and _is_back(float(self.peak), before, after):
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
        peak = self._fixed if self._sets else self.peak
        decay = self.learned.decay / self._pieces.count
        return through_range(applied, x, peak.reshape(()), decay)

    @property
    def _fixed(self) -> Tensor:
        """The range without a gradient, or with one of 0 where processes want one of each."""
        fixed = self.peak.detach().clone()
        return fixed if process()[1] == 1 else fixed + 0 * self.peak


def _forget_last(learned: InputRange, missing: object) -> None:
    """What a state brings is no range that the last batch set."""
    del missing
    learned._last = (0, 0.0, 0.0)


def _is_back(value: float, before: float, after: float) -> bool:
    """Whether a value that went from one to another one is the first one again.

    A decay may have made it a little smaller since.
    """
    is_far = abs(after - before) > _DECAY * max(after, before)
    is_near = abs(value - before) < abs(value - after)
    return value == before != after or (is_far and is_near)


class PartlyRead:
    """What the pieces of one read show of its inputs.

    Args:
        number: of the read; 0 outside of any, where each read is one of its own.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        #: The range that the batches before have set; None as long as this one sets nothing.
        self.mean: float | None = None
        #: What the parameter was before the first piece.
        self.before = 0.0
        self._sums = torch.zeros(3, dtype=torch.float64, device="cpu")

    def deviation(self, x: Tensor) -> float:
        """The standard deviation of all pieces so far, of which this is the last one."""
        self._sums = self._sums + sums_of(x)
        return deviation_of(self._sums)


def deviation(x: Tensor) -> float:
    """The standard deviation of a batch, of which each process that trains has a part."""
    if process()[1] == 1:
        return float(x.std(correction=0)) if x.numel() else 0.0
    return deviation_of(sums_of(x))


def sums_of(x: Tensor) -> Tensor:
    """How many values all processes that train have, their sum and that of their squares, [3]."""
    wide = x.detach().double()
    sums = torch.stack([wide.new_tensor(x.numel()), wide.sum(), wide.square().sum()])
    if process()[1] > 1:
        dist.all_reduce(sums)
    return sums.cpu()


def deviation_of(sums: Tensor) -> float:
    """The standard deviation of values of which `sums_of` has told."""
    count, total, squares = sums.tolist()
    return max(0.0, squares / count - (total / count) ** 2) ** 0.5 if count else 0.0
