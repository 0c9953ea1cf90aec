"""Many noisy pulses at once: how they are cut, how noise adds up, and what bounds take of it."""

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

_DISCRETE: Final = 0.5826  #: -zeta(1/2) / sqrt(2 pi)


def jumps(
    count: Tensor, most: float, singles: int, parts: int, share: float
) -> Iterator[tuple[Tensor, bool]]:
    """Cut pulses into `singles`, then `parts` that take a share of what is left, then the rest.

    Args:
        count: pulses of each cell.
        most: no cell has more; parts that would be empty are left out.
        singles: how many single pulses come first.
        parts: how many shares.
        share: of what is left, up to whole pulses.

    Yields:
        the pulses of a part, and whether none has more than one.
    """
    rest, left = count, most
    for part in range(singles + parts):
        if left <= 0:
            return
        if part < singles:
            take, taken = rest.clamp(max=1), min(left, 1.0)
        else:
            take = torch.minimum(rest, (rest * share).ceil())
            taken = min(left, math.ceil(left * share)) if math.isfinite(left) else 0.0
        yield take, part < singles or taken == 1
        rest, left = rest - take, left - taken
    if left > 0:
        yield rest, left <= 1


def reflected(
    shift: Tensor, variance: Tensor, count: Tensor, above: Tensor, below: Tensor, draws: Tensor
) -> Tensor:
    """The shift of a path of `count` steps that stops wherever it meets an end of its room.

    Args:
        shift: where the path would end without ends.
        variance: of that.
        count: steps.
        above: room upwards, >= 0.
        below: room downwards, >= 0.
        draws: uniform, [2, *cells].
    """
    swing = -2 * variance * draws.clamp(min=1e-12).log()
    reach = 0.5 * (shift.square() + swing).sqrt()
    lag = _DISCRETE * (variance / count.clamp(min=1)).sqrt()
    none = torch.zeros_like(shift)
    most = torch.maximum(reach[0] + 0.5 * shift - lag, shift.clamp(min=0))
    least = torch.minimum(0.5 * shift - reach[1] + lag, shift.clamp(max=0))
    most = torch.where(count > 1, most, shift.clamp(min=0))
    least = torch.where(count > 1, least, shift.clamp(max=0))
    lost = torch.maximum(most - above, none)
    kept = torch.maximum(-least - below, none)
    return torch.minimum(torch.maximum(shift - lost + kept, -below), above)


def added(count: Tensor, log_kept: Tensor) -> Tensor:
    """1 + q^2 + q^4 + ... of `count` terms with q = e^log_kept."""
    flat = log_kept.abs() < 1e-9
    slope = torch.where(flat, -1, 2 * log_kept)
    return torch.where(flat, count, (count * slope).clamp(max=80).expm1() / slope.expm1())
