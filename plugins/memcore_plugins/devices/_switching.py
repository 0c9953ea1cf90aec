"""Motion at a constant voltage when the rate changes by decades along the way.

Within a sub-step the logarithm of the rate is taken as linear in the state, which makes it solvable
in closed form: a slowing motion grows logarithmically, a runaway reaches the end of the window
after a finite time. No step is too long, no rate too large, and powers never overflow.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from memcore_plugins.devices._parameters import log

#: How far ahead the slope of the logarithm of the rate is taken, beyond its rounding errors.
_NEAR: Final = {torch.float64: 1e-6}
_NEAR_OTHERWISE: Final = 1e-3
_FLAT: Final = 1e-3  #: slopes below this change nothing within the window
_BISECTIONS: Final = 6


def advance(
    log_rate: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor, dt: float, substeps: int
) -> Tensor:
    """The state after `dt` of dx/dt = direction exp(log_rate(x)), kept in [0, 1].

    Where the motion runs into a region in which nothing moves, it ends at its border.

    Args:
        log_rate: of the speed in 1/s; -inf where nothing moves.
        x: state, normalised to its window.
        direction: 1, -1 or 0 for each cell.
        dt: s.
        substeps: the error falls with their square; none moves further than 1 / substeps.
    """
    log_time, near = log(max(dt, 1e-300) / substeps), _NEAR.get(x.dtype, _NEAR_OTHERWISE)
    moving = x
    for _ in range(substeps):
        here = log_rate(x)
        moving = torch.where(here.isneginf(), moving, x)
        slope = (log_rate(x + direction * near) - here) / near
        slope = slope.nan_to_num(nan=0.0).clamp(-1e6, 1e6)
        path = distance(here + log_time, slope).clamp(max=1 / substeps)
        x = (x + direction * path).clamp(0, 1)
    border = _border(log_rate, moving, x)
    return torch.where(log_rate(x).isneginf(), border, x)


def _border(log_rate: Callable[[Tensor], Tensor], moving: Tensor, resting: Tensor) -> Tensor:
    for _ in range(_BISECTIONS):
        middle = 0.5 * (moving + resting)
        rests = log_rate(middle).isneginf()
        moving = torch.where(rests, moving, middle)
        resting = torch.where(rests, middle, resting)
    return moving


def distance(log_push: Tensor, slope: Tensor) -> Tensor:
    """The solution at time 1 of y' = exp(log_push + slope y), y(0) = 0; at most 2."""
    steep = slope.abs().clamp(min=_FLAT)
    scaled = log_push + steep.log()
    slowing = torch.logaddexp(scaled, torch.zeros_like(scaled)) / steep
    hastening = -torch.log1p(-scaled.clamp(max=-1e-7).exp()) / steep
    hastening = torch.where(scaled < 0, hastening, 2.0)
    curved = torch.where(slope < 0, slowing, hastening)
    return torch.where(slope.abs() < _FLAT, log_push.clamp(max=1).exp(), curved).clamp(max=2)
