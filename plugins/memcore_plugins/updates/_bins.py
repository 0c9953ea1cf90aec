"""Values rounded at random to levels about zero, as many as a digital product has."""

import torch
from torch import Tensor

from memcore import Stream


def in_bins(values: Tensor, count: int, stream: Stream, first: int) -> Tensor:
    """Values [n, groups, lines] on evenly spaced levels up to the largest magnitude of each vector.

    Each is rounded up or down at random, so that its mean is kept.

    Args:
        values: of the lines of each vector and group.
        count: levels, symmetric about 0 and with it: an even number has one more; 0 for none.
        stream: of the draws.
        first: number of the first vector, by which draws are keyed.
    """
    if not count:
        return values
    step = values.abs().amax(2, keepdim=True) / (count // 2)
    n, *lines = values.shape
    draws = stream.at(first + torch.arange(n, device=values.device)).uniform(lines)
    level = (values / torch.where(step > 0, step, 1.0) + draws.to(values.dtype)).floor()
    most = count // 2  # the largest magnitude is a level, whatever a division rounds
    return level.clamp(-most, most) * step
