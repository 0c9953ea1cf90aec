"""Exponential step: a step that falls exponentially with the position."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import ConfigError, Parameter, parameter
from memcore.modelling import Weighted, choose, nonzero, tensor

_NEWTON: Final = 4
_FAR: Final = 80.0  #: exponents stay finite in single precision
_LEAST: Final = 1e-6  #: ends of the shape: the step is this share of s, or s this share of the step
_STEEPEST: Final = 0.5  #: slope of the step beyond which the expansion is not continued


@dataclass(frozen=True, kw_only=True)
class ExpStep(Weighted):
    """A step that starts large and levels off, the measured shape of ReRAM and PCM.

        w -> w + s_up max(1 - A_up e^(gamma_up z), 0)
        w -> w - s_down max(1 - A_down e^(-gamma_down z), 0)
        z = 2 a w / (w_max - w_min) + b

    Rasch et al., AICAS (2021), doi 10.1109/AICAS51828.2021.9458494; parameters of ReRAM from Gong
    et al., Nat. Commun. 9:2102 (2018). The defaults are those of that ReRAM without its noise and
    spread. The noise of a pulse is c2c N(0, 1) times its step, or, if `noise_add` or `noise_slope`
    is not 0, times |step| + noise_add + noise_slope |w|.

    The first eight pulses of a call are computed one by one; the others follow the curve
    T(w) = n on which a pulse advances by 1, expanded to third order in the slope of the step,
    which is exact to 1e-6 of the window.
    """

    singles: ClassVar[int] = 8
    share: ClassVar[float] = 0.5

    dw_min: Parameter = parameter(0.00135, "weight", "mean step of a pulse; Gong 2018")
    up_down: Parameter = parameter(
        0.259359, "1", "asymmetry: above 0 steps down are smaller; Gong 2018"
    )
    a: Parameter = parameter(-0.5, "1", "slope of z with the position, other than 0; Gong 2018")
    b: Parameter = parameter(-0.5, "1", "value of z at w = 0; Gong 2018")
    gamma_up: Parameter = parameter(5.0, "1", "steepness of steps up; Gong 2018", above=0)
    gamma_down: Parameter = parameter(5.0, "1", "steepness of steps down; Gong 2018", above=0)
    A_up: Parameter = parameter(-1.18445, "1", "exponential part of steps up; Gong 2018")
    A_down: Parameter = parameter(-0.081404, "1", "exponential part of steps down; Gong 2018")
    noise_add: float = parameter(
        0.0, "weight", "noise of a pulse that does not depend on its step", at_least=0
    )
    noise_slope: float = parameter(0.0, "1", "noise of a pulse in proportion to |w|", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.a, Tensor) and self.a == 0:
            raise ConfigError(f"ExpStep: a={self.a!r}; expected a finite number other than 0")

    @property
    def additive(self) -> bool:
        return self.noise_add > 0 or self.noise_slope > 0

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        size = self.change(w, up).abs() + self.noise_add + self.noise_slope * w.abs()
        return self.c2c * size

    def _shape(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape of a step s (1 + E) with E = e0 exp(c w): s with its sign, c and e0."""
        scale = torch.where(up, 1, -1) * self.scales(w, up)
        gamma = choose(up, self.gamma_up, -self.gamma_down, w)
        slope = gamma * tensor(2 * self.a / (self.w_max - self.w_min), w)
        return scale, slope, -choose(up, self.A_up, self.A_down, w) * (gamma * self.b).exp()

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        scale, slope, part = self._shape(w, up)
        return scale * (1 + part * (slope * w).clamp(max=_FAR).exp()).clamp(min=0)

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        # With k = c s, a pulse advances T = (c w - ln(1 + E)) / k + rest(E) by 1.
        scale, slope, part = self._shape(w, up)
        k, excess = slope * scale, part * (slope * w).clamp(max=_FAR).exp()
        moves = excess > _LEAST - 1
        excess = torch.where(moves, excess, 0)
        level = slope * w - excess.log1p() + k * count
        target = level + k * _rest(excess, k)[0]
        for _ in range(_NEWTON):
            share = _share(part, level)
            rest, steep = _rest(share / (1 - share), k)
            level = level - (level + k * rest - target) / (1 + k * steep).clamp(min=0.3)
        end = (level.clamp(max=_FAR) - (-_share(part, level)).log1p()) / slope
        return torch.where(moves, end, w)


def _share(part: Tensor, level: Tensor) -> Tensor:
    """E / (1 + E) at c w - ln(1 + E) = level."""
    return (part * level.clamp(max=_FAR).exp()).clamp(max=1 - _LEAST)


def _rest(excess: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """What discrete pulses add to the curve of a continuous motion, and its slope in the level."""
    e = torch.minimum(excess.clamp(min=_LEAST - 1), _STEEPEST / nonzero(k.abs()))
    log = e.log1p()
    first = 0.5 * log
    second = k * (log / 12 - e / 6)
    third = k.square() * (e.square() / 16 - e / 24 + log / 24)
    product = e * (1 + e)
    steep = 0.5 * e + k * (e / 12 - product / 6)
    steep = steep + k.square() * (e * product / 8 - product / 24 + e / 24)
    return first + second + third, steep
