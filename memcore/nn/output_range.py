"""`OutputRange`: the range of an ADC as a parameter that training finds."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from memcore._check import LARGEST, SMALLEST
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.readers.ranging import Slope
from memcore.crossbar.states import State, require_values
from memcore.crossbar.training import LearnedOutputRange
from memcore.crossbar.transforms import refuse_transforms
from memcore.nn.one_number import is_spread, one_number, require_number
from memcore.nn.pieces import Pieces
from memcore.ops.signatures import with_signature

#: Of the share at the start: no optimiser makes it smaller, or negative.
_LEAST = 1e-3
#: Share of unclipped currents above which a learned range shrinks.
_MOSTLY = 0.95


class _ThroughShare(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(
        value: Tensor, slope: Tensor, inside: Tensor, share: Tensor, decay: float
    ) -> Tensor:
        del slope, inside, share, decay
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs[1:4])
        ctx.decay = inputs[4]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, Tensor, None]:
        slope, inside, share = ctx.saved_tensors
        (grad,) = grads
        scale = math.prod(slope.shape[1:]) ** -0.5
        pull = torch.where(inside.mean() > _MOSTLY, ctx.decay, 0.0)
        of_share = scale * (grad * slope).sum() / share + pull * share
        return grad * inside, None, None, of_share, None


def through_share(value: Tensor, slope: Slope, share: Tensor, decay: float) -> Tensor:
    """`value`, what ADCs made of a read, with gradients for it and for the share of their ranges.

    That of the value passes as far as its currents lie inside. That of the share is the sum of
    `g slope / share` over all outputs, divided by the square root of the number of outputs of one
    input, plus `decay * share` where more than 95 % of the currents lie inside.

    Args:
        value: outputs, [n, groups, outputs].
        slope: how they follow the ranges.
        share: that the ranges have of the calibrated ones, [].
        decay: pull towards a smaller range.
    """
    return _ThroughShare.apply(value, *slope, share, decay)  # type: ignore[no-any-return,no-untyped-call]


class OutputRange(nn.Module):
    """The share of its calibrated range that the ADC of one matrix covers, a parameter.

    Args:
        learned: how it is found.
        like: gives dtype and device.
        pieces: which reads are of one batch; by default each of one of its own.
    """

    applied: Tensor  #: share that the ranges have; NaN as long as they are the calibrated ones

    def __init__(
        self, learned: LearnedOutputRange, like: Tensor, pieces: Pieces | None = None
    ) -> None:
        super().__init__()
        self.learned, self._pieces = learned, Pieces() if pieces is None else pieces
        self.share = one_number(self, "share", like.new_full((), learned.start))
        self.register_buffer("applied", like.new_full((), torch.nan))

    def prepare(self, state: State, prefix: str) -> None:
        """Refuse a state that no range has, before anything of it is taken.

        Raises:
            ConfigError: it is one.
        """
        require_number(f"{prefix}share", state.get(f"{prefix}share"))
        applied = state.get(f"{prefix}applied")
        if isinstance(applied, Tensor) and not bool(applied.isnan().any()):  # NaN: not begun yet
            require_values(
                f"{prefix}applied", applied, SMALLEST, LARGEST, "a share above 0, or NaN"
            )

    @property
    def has_begun(self) -> bool:
        """Whether training has taken the range over from calibration."""
        return not math.isnan(float(self.applied))

    @torch.no_grad()
    def apply_to(self, crossbar: Crossbar) -> bool:
        """Let the ADC, which has a range, have this share of it; whether it had another one."""
        if is_spread(self.share):  # between passes; the next one has it
            return False
        least = _LEAST * self.learned.start
        if not float(self.share) >= least:  # a change, even to the same, would end other reads
            self.share.clamp_(min=least)
        share, before = float(self.share), float(self.applied) if self.has_begun else 1.0
        crossbar.output.is_learned = True
        if share == before and self.has_begun:
            return False
        refuse_transforms("a range of an ADC that training has moved")
        self.applied.copy_(self.share.reshape(()))
        if share == before:
            return False
        crossbar.output.stretch(share / before)
        return True

    def forward(self, y: Tensor, slope: Slope) -> Tensor:
        """Outputs with gradients for the range too."""
        decay = self.learned.decay / self._pieces.count
        return through_share(y, slope, self.share.reshape(()), decay)
