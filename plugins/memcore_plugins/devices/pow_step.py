"""Power step: a step that is a power of the distance to the bound."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Parameter, parameter
from memcore.modelling import Weighted, choose, nonzero, tensor

_NEWTON: Final = 3
_SMALLEST: Final = 1e-30  #: the distance to the bound, as a share of the window
_STEEPEST: Final = 0.5  #: relative step beyond which the expansion is not continued


@dataclass(frozen=True, kw_only=True)
class PowStep(Weighted):
    """The step falls with a power of the distance u to the bound, as a share of the window.

        w -> w + s_up u^gamma_up,      u = (w_max - w) / (w_max - w_min)
        w -> w - s_down u^gamma_down,  u = (w - w_min) / (w_max - w_min)

    gamma = 1 are soft bounds; constant steps are the limit of gamma towards 0. Gong, Rasch et al.,
    IEDM (2022); Rasch et al., AICAS (2021), doi 10.1109/AICAS51828.2021.9458494. Noise multiplies
    the step of a pulse by 1 + c2c N(0, 1). The defaults are round numbers, and no set of measured
    ones is published.

    The first eight pulses of a call are computed one by one; the others follow the curve
    T(u) = n on which a pulse advances by 1, expanded to third order in the step over u, which is
    exact to 1e-6 of the window while a step is below a tenth of the window.
    """

    singles: ClassVar[int] = 8

    gamma_up: Parameter = parameter(1.5, "1", "power of steps up; a round number", above=0)
    gamma_down: Parameter = parameter(1.5, "1", "power of steps down; a round number", above=0)

    def _distance(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distance u, the signed width of the window, and the power."""
        low, high = (tensor(end, w) for end in self.ends)
        width = high - low
        u = torch.where(up, high - w, w - low) / width
        power = choose(up, self.gamma_up, self.gamma_down, w)
        return u.clamp(_SMALLEST, 1), torch.where(up, -width, width), power

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        u, width, power = self._distance(w, up)
        return -width.sign() * self.scales(w, up) * torch.where(u > _SMALLEST, u**power, 0)

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        # With k = s / window and d = gamma - 1, a pulse advances T = rest(u) - (1 - u^-d) / (k d)
        # by 1; the level is k times its second term.
        u, width, power = self._distance(w, up)
        k, d = self.scales(w, up) / width.abs(), _nonzero(power - 1)
        log = u.log()
        level = _integral(log, -d)
        target = level - k * (_rest(log, k, power, d)[0] + count)
        level = level - k * count
        for _ in range(_NEWTON):
            log = _log_distance(level, d)
            rest, steep = _rest(log, k, power, d)
            level = level - (level - k * rest - target) / (1 - steep).clamp(min=0.3)
        end = _log_distance(level, d).clamp(max=0).exp()
        return w + width * (end - u)

    def pulses_between(self, w: Tensor, end: Tensor, up: Tensor) -> Tensor:
        u, _, power = self._distance(w, up)
        to, width, _ = self._distance(end, up)
        k, d = self.scales(w, up) / width.abs(), _nonzero(power - 1)
        return (_integral(u.log(), -d) - _integral(to.log(), -d)) / nonzero(k)


def _nonzero(d: Tensor) -> Tensor:
    """A tiny number for 0: it reaches the limit gamma = 1 to rounding."""
    return torch.where(d == 0, 1e-12, d)


def _integral(log: Tensor, power: Tensor) -> Tensor:
    """The integral of u^(power - 1) from 1 to u = exp(log)."""
    return (power * log).clamp(max=80).expm1() / power


def _log_distance(level: Tensor, d: Tensor) -> Tensor:
    """The inverse of `_integral` for the power -d."""
    lowest = torch.full_like(level, _SMALLEST).log()
    return torch.maximum(-(-d * level).clamp(min=-1 + 1e-7).log1p() / d, lowest)


def _rest(log: Tensor, k: Tensor, power: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """What discrete pulses add to the curve of a continuous motion, and its slope in the level."""
    second = power * (2 * power - 1) / 12
    third = power.square() * (3 * power - 2) / 24
    step = (k * (d * log).clamp(max=80).exp()).clamp(max=_STEEPEST)
    near = torch.maximum(log, ((_STEEPEST / nonzero(k)).log() / d).where(d < 0, log))
    rest = 0.5 * power * log + k * second * _integral(near, d)
    rest = rest + k.square() * third * _integral(near, 2 * d)
    return rest, 0.5 * power * step + second * step.square() + third * step**3
