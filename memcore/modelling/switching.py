"""Motion at a constant voltage when the rate changes by decades along the way.

Within a sub-step the logarithm of the rate is taken as linear in the state, which makes it solvable
in closed form: a slowing motion grows logarithmically, a runaway reaches the end of the window
after a finite time. No step is too long, no rate too large, and powers never overflow.

What only some cells need stands in the arms of a `torch.where`, which `simulate` runs only where a
cell needs it: those that rest or are at the end of their window cost next to nothing. Elsewhere the
sub-steps end where no cell needs another one.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from memcore._followed import may_decide
from memcore.modelling.state import log

#: How far ahead the slope of the logarithm of the rate is taken, beyond its rounding errors.
_NEAR: Final = {torch.float64: 1e-6}
_NEAR_OTHERWISE: Final = 1e-3
_FLAT: Final = 1e-3  #: slopes below this change nothing within the window
_BISECTIONS: Final = 6
_LARGEST: Final = 60.0  #: exponent, in single precision
_STEADY: Final = 0.01  #: change of the rate, relative, below which sub-steps would change nothing
_STEADY_SLOPE: Final = 10.0  #: at least; a way below a thousandth of the window is steady then


def advance(
    log_rate: Callable[[Tensor], Tensor],
    x: Tensor,
    direction: Tensor,
    dt: float | Tensor,
    substeps: int,
    rests: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The state after `dt` of dx/dt = direction exp(log_rate(x)); what moves stays in [0, 1].

    A sub-step ends after its share of the time or of the window, dt / substeps or 1 / substeps,
    whatever comes first; the time that it did not need is left to the following ones. At most
    `substeps` - 1 end early before the window does, so no time is left over after the last. If the
    rate hardly changes in all the time left, that is one sub-step. Where the motion runs into a
    region in which nothing moves, it ends at its border.

    The `step` of a device is then::

        def step(self, state, voltage, dt, ctx):
            def log_rate(x):  # ln of 1/s
                return voltage.abs() / self.v0 - 20 * x

            return as_state(advance(log_rate, state[0], voltage.sign(), dt, substeps=8))

    Args:
        log_rate: from states [*cells] to the logarithm of the speed in 1/s; -inf where nothing
            moves.
        x: state, normalised to its window, [*cells].
        direction: 1, -1 or 0 for each cell, [*cells].
        dt: s; a tensor where one program is recorded for any duration.
        substeps: number of sub-steps; the error falls with its square.
        rests: from states to where nothing moves, if that is easier to say than the rate.
    """
    time = dt.clamp(min=1e-300) if isinstance(dt, Tensor) else max(dt, 1e-300)
    log_time, near = log(time / substeps), _NEAR.get(x.dtype, _NEAR_OTHERWISE)
    rests = rests or (lambda x: log_rate(x).isneginf())
    begin, limit = x, 1 / substeps
    at_end = ((direction < 0) & (x <= 0)) | ((direction > 0) & (x >= 1))
    still = at_end | (direction == 0) | rests(x)
    left, moving = torch.full_like(x, substeps), x
    may_end = may_decide(x, direction)
    for _ in range(2 * substeps - 1):
        here, active = log_rate(x), left > 0
        slope = (log_rate(x + direction * near) - here) * (1 / near)
        slope = torch.where(slope.isnan(), 0, slope).clamp(-1e6, 1e6)
        rest = torch.where(active, left, 1)
        log_rest = here + log_time + rest.log()
        changing = slope.abs().clamp(min=_STEADY_SLOPE) * distance(log_rest, slope)
        share = torch.where(changing < _STEADY, rest, rest.clamp(max=1))
        log_push = log_rest + (share / rest).log()
        needed = duration(log_push, slope, limit)
        path = torch.where(needed < 1, limit, distance(log_push, slope))
        origin = torch.where(here.isneginf(), moving, x)
        moving = torch.where(active, origin, moving)
        x = torch.where(active, (x + direction * path).clamp(0, 1), x)
        left = torch.where(active, left - share * needed, left)
        if may_end and not bool(((left > 0) & ~still).any()):
            break
    resting = rests(x)
    if not may_end or bool((resting & ~still).any()):
        x = torch.where(resting, _border(rests, moving, x), x)
    return torch.where(still, begin, x)


def _border(rests: Callable[[Tensor], Tensor], moving: Tensor, resting: Tensor) -> Tensor:
    for _ in range(_BISECTIONS):
        middle = 0.5 * (moving + resting)
        beyond = rests(middle)
        moving = torch.where(beyond, moving, middle)
        resting = torch.where(beyond, middle, resting)
    return moving


def distance(log_push: Tensor, slope: Tensor) -> Tensor:
    """The solution at time 1 of y' = exp(log_push + slope y), y(0) = 0; at most 2."""
    steep = slope.abs().clamp(min=_FLAT)
    scaled = log_push + steep.log()
    grown = scaled.clamp(max=_LARGEST).exp()
    bent = torch.where(slope < 0, grown, -grown.clamp(max=1 - 1e-7)).log1p().abs()
    far = bent + (scaled - _LARGEST).clamp(min=0)
    way = torch.where(slope.abs() < _FLAT, grown, far) / steep
    return torch.where((slope >= _FLAT) & (scaled >= 0), 2.0, way).clamp(max=2)


def duration(log_push: Tensor, slope: Tensor, reach: float) -> Tensor:
    """The time at which the solution of `distance` is at `reach`; at most 1."""
    steep = slope.abs().clamp(min=_FLAT)
    scaled = log_push + steep.log()
    log_grown = torch.log(-torch.expm1(-reach * steep)) + (-reach * slope).clamp(min=0)
    return (log_grown - scaled).clamp(max=0).exp()
