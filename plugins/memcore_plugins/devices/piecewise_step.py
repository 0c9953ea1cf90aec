"""Piecewise step: the step interpolates a measured table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memcore import ConfigError, parameter
from memcore.modelling import Weighted, looked_up, nonzero, tensor


@dataclass(frozen=True, kw_only=True)
class PiecewiseStep(Weighted):
    """The step is read from a table over the window and interpolated linearly.

        w -> w + s_up up(x)    or    w - s_down down(x),    x = (w - w_min) / (w_max - w_min)

    with values at equally spaced x from 0 to 1. Rasch et al., AICAS (2021), doi
    10.1109/AICAS51828.2021.9458494. Noise multiplies the step of a pulse by 1 + c2c N(0, 1). The
    default tables are an illustration: no set is published.

    Between two values the step is a straight line, so any number of pulses is computed segment by
    segment, exactly.
    """

    singles: ClassVar[int] = 1

    up: Sequence[float] = parameter(
        (1.5, 1.0, 0.75, 0.5), "1", "sizes of steps up over s_up; illustration", at_least=0
    )
    down: Sequence[float] = parameter(
        (0.5, 0.75, 1.0, 1.5), "1", "sizes of steps down over s_down; illustration", at_least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("up", "down"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) < 2:
                raise ConfigError(
                    f"PiecewiseStep: {name}={getattr(self, name)!r}; expected two or more "
                    "numbers >= 0, the steps at equally spaced positions"
                )
            object.__setattr__(self, name, values)

    def _segments(self, x: Tensor, up: Tensor, toward: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the segment ahead ends, and the step and its slope in x there, over the scale."""
        rising, falling = (_segment(values, x, toward) for values in (self.up, self.down))
        pairs = zip(rising, falling, strict=True)
        edge, step, slope = [torch.where(up, rise, fall) for rise, fall in pairs]
        return edge, step, slope

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        low, high = (tensor(end, w) for end in self.ends)
        sign = torch.where(up, 1, -1)
        _, step, _ = self._segments(((w - low) / (high - low)).clamp(0, 1), up, sign)
        return sign * self.scales(w, up) * step

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        low, high = (tensor(end, w) for end in self.ends)
        scale = torch.where(up, 1, -1) * self.scales(w, up) / (high - low)
        x, rest = ((w - low) / (high - low)).clamp(0, 1), count
        toward = torch.where(up, 1, -1) * count.sign()
        course = []
        for _ in range(max(len(self.up), len(self.down)) + 1):
            course.append((rest == 0, x))
            edge, step, slope = self._segments(x, up, toward)
            change, k = scale * step, (-scale * slope).clamp(max=1 - 1e-6)
            take = _shorter(rest, _crossing(edge - x, change, k))
            decayed = -(take * (-k).log1p()).clamp(-80, 80).expm1() / nonzero(k)
            x = (x + change * torch.where(k == 0, take, decayed)).clamp(0, 1)
            rest = rest - take
        for arrived, place in reversed(course):  # kernels leave out segments that no cell reaches
            x = torch.where(arrived, place, x)
        return low + (high - low) * x


def _segment(values: Sequence[float], x: Tensor, toward: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = len(values) - 1
    place = x * count
    left = torch.where(toward < 0, place.ceil() - 1, place.floor()).clamp(0, count - 1)
    first = looked_up(values[:-1], left)
    slope = looked_up(values[1:], left) - first
    edge = torch.where(toward < 0, left, left + 1) / count
    return edge, first + slope * (place - left), slope * count


def _crossing(distance: Tensor, change: Tensor, k: Tensor) -> Tensor:
    """How many pulses, a whole number, lead across the end of the segment; inf if none do."""
    steps = distance / nonzero(change)
    grown = (-k * steps).clamp(min=-1).log1p() / nonzero((-k).log1p())
    pulses = torch.where(k == 0, steps, grown)
    return torch.where(change == 0, torch.inf, pulses.abs().ceil().clamp(min=1))


def _shorter(rest: Tensor, limit: Tensor) -> Tensor:
    return torch.minimum(rest.abs(), limit) * rest.sign()
