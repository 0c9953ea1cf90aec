"""What the mappers share: which weight is mapped to the end of the window."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Mapper, parameter


@dataclass(frozen=True, kw_only=True)
class Scaled(Mapper):
    """Base of mappers that scale weights by the largest one."""

    clip: float | None = parameter(
        None,
        "1",
        "magnitude that is mapped to the end of the window, in the unit that `clip_by` says; None "
        "for the largest magnitude",
        above=0,
    )
    clip_by: str = parameter(
        "quantile",
        "1",
        "what `clip` counts: a quantile of |w|, up to 1, or standard deviations of the weights",
        choices=("quantile", "sigmas"),
    )
    scale: Literal["matrix", "column"] = parameter(
        "matrix",
        "1",
        "what shares a largest weight: the whole matrix, or each column, whose outputs are then "
        "scaled by digital factors of their own",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_by == "quantile" and self.clip is not None and self.clip > 1:
            raise ConfigError(
                f"{type(self).__name__}: clip={self.clip!r}; expected a finite number in (0, 1], "
                'or None: clip_by="sigmas" counts standard deviations'
            )

    def largest(self, weight: Tensor) -> Tensor:
        """The magnitude that is mapped to the end of the window, [] or for each column [cols].

        It is 1 where all weights are zero.

        Args:
            weight: [groups, rows, cols].
        """
        if self.clip is None or (self.clip_by == "quantile" and self.clip == 1):
            peak = _peak(weight, self.scale)
        elif self.clip_by == "sigmas":
            spread = weight if self.scale == "column" else weight.flatten()
            sigma = spread.std((0, 1) if self.scale == "column" else 0, correction=0)
            peak = torch.minimum(self.clip * sigma, _peak(weight, self.scale))
        else:
            peak = _quantile(weight, self.clip, self.scale)
        return torch.where(peak > 0, peak, torch.ones_like(peak))


def _peak(weight: Tensor, scale: str) -> Tensor:
    if scale == "column":
        return weight.abs().amax((0, 1))
    return torch.stack(weight.aminmax()).abs().max()


def _quantile(weight: Tensor, share: float, scale: str) -> Tensor:
    magnitude = weight.abs().flatten(0, 1)
    magnitude = magnitude if scale == "column" else magnitude.flatten()
    rank = max(1, round(share * magnitude.shape[0]))
    return magnitude.kthvalue(rank, dim=0).values


def least_error(weight: Tensor, levels: int, scale: str) -> Tensor:
    """The largest weight, of rounding to so many levels of either sign, with least squared error.

    It is searched among the largest magnitude times 1, 0.98, ..., 0.02; values beyond it are
    clipped.

    Args:
        weight: [groups, rows, cols].
        levels: steps between zero and the largest weight.
        scale: "matrix" for one number [], "column" for each column, [cols].
    """
    peak = _peak(weight, scale)
    best, least = peak, torch.full_like(peak, math.inf)
    for share in range(50, 0, -1):
        tried = peak * (share / 50)
        step = torch.where(tried > 0, tried, torch.ones_like(tried)) / levels
        error = ((weight / step).round().clamp(-levels, levels) * step - weight).square()
        error = error.sum((0, 1)) if scale == "column" else error.sum()
        best, least = torch.where(error < least, tried, best), torch.minimum(error, least)
    return torch.where(best > 0, best, torch.ones_like(best))
