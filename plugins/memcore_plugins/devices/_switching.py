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

_NEAR: Final = 3e-4  #: how far ahead the slope of the logarithm of the rate is taken
_FLAT: Final = 1e-3  #: slopes below this change nothing within the window


def advance(
    log_rate: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor, dt: float, substeps: int
) -> Tensor:
    """The state after `dt` of dx/dt = direction exp(log_rate(x)), kept in [0, 1].

    Args:
        log_rate: of the speed in 1/s; -inf where nothing moves.
        x: state, normalised to its window.
        direction: 1, -1 or 0 for each cell.
        dt: s.
        substeps: the error falls with their square.
    """
    log_time = log(max(dt, 1e-300) / substeps)
    for _ in range(substeps):
        here = log_rate(x)
        slope = (log_rate(x + direction * _NEAR) - here) / _NEAR
        slope = slope.nan_to_num(nan=0.0).clamp(-1e6, 1e6)
        x = (x + direction * distance(here + log_time, slope)).clamp(0, 1)
    return x


def distance(log_push: Tensor, slope: Tensor) -> Tensor:
    """The solution at time 1 of y' = exp(log_push + slope y), y(0) = 0; at most 2."""
    steep = slope.abs().clamp(min=_FLAT)
    scaled = log_push + steep.log()
    slowing = torch.logaddexp(scaled, torch.zeros_like(scaled)) / steep
    hastening = -torch.log1p(-scaled.clamp(max=-1e-7).exp()) / steep
    hastening = torch.where(scaled < 0, hastening, 2.0)
    curved = torch.where(slope < 0, slowing, hastening)
    return torch.where(slope.abs() < _FLAT, log_push.clamp(max=1).exp(), curved).clamp(max=2)
