"""What the mappers share: which weight is mapped to the end of the window."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Context, Mapper, parameter


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
        "what `clip` counts: a quantile of |w|, up to 1, or standard deviations of the weights; "
        "least_error searches the largest weight with which clipping, and rounding to the levels "
        "of a weight, have the least squared error, without `clip`",
        choices=("quantile", "sigmas", "least_error"),
    )
    scale: Literal["matrix", "column", "tile"] = parameter(
        "matrix",
        "1",
        "what shares a largest weight: the whole matrix, or each column, whose outputs are then "
        "scaled by digital factors of their own, or each tile, whose results are scaled before "
        "they are added",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_by == "quantile" and self.clip is not None and self.clip > 1:
            raise ConfigError(
                f"{type(self).__name__}: clip={self.clip!r}; expected a finite number in (0, 1], "
                'or None: clip_by="sigmas" counts standard deviations'
            )

    @property
    def takes_largest(self) -> bool:
        """Whether the largest magnitude of all weights is mapped to the end of the window."""
        is_whole = self.clip is None or (self.clip_by == "quantile" and self.clip == 1)
        return self.scale == "matrix" and self.clip_by != "least_error" and is_whole

    @property
    def _steps(self) -> int | None:
        """Levels between zero and the largest weight; None where nothing says how many."""
        return None

    def largest(self, weight: Tensor, ctx: Context, references: int = 0) -> Tensor:
        """The magnitude that is mapped to the end of the window; 1 where all weights are zero.

        It is one number [], one for each column [cols], or, for tiles, [rows, cols].

        Args:
            weight: [groups, rows, cols].
            ctx: says the size of a tile.
            references: reference columns in each array.
        """
        peak = self.peak(weight, ctx, references)
        return torch.where(peak > 0, peak, torch.ones_like(peak))

    def peak(self, weight: Tensor, ctx: Context, references: int = 0) -> Tensor:
        """As `largest`, and 0 where all weights are zero."""
        if self.scale != "tile":
            return self.peak_of(weight, self.scale)
        if ctx.tile is None:
            return self.peak_of(weight, "matrix")
        rows, cols = ctx.tile[0], max(ctx.tile[1] - references, 1)
        peaks = torch.empty_like(weight[0])
        for lines, place in _pairs(weight, 1, peaks, rows):
            for tile, here in _pairs(lines, 2, place, cols):
                here.fill_(self.peak_of(tile, "matrix"))
        return peaks

    def peak_of(self, weight: Tensor, scale: str) -> Tensor:
        """The magnitude for one matrix [], or for each column of it [cols]."""
        if self.clip_by == "least_error" and self._steps is not None:
            return least_error(weight, self._steps, scale)
        if self.clip is None or (self.clip_by == "quantile" and self.clip == 1):
            return _peak(weight, scale)
        if self.clip_by == "sigmas":
            spread = weight if scale == "column" else weight.flatten()
            sigma = spread.std((0, 1) if scale == "column" else 0, correction=0)
            return torch.minimum(self.clip * sigma, _peak(weight, scale))
        return _quantile(weight, self.clip, scale)


@dataclass(frozen=True, kw_only=True)
class Stepless(Scaled):
    """Base of mappers that round nothing themselves: cells with few states may do so later."""

    levels: int | None = parameter(
        None,
        "1",
        "steps between zero and the largest weight that cells can tell apart, for "
        'clip_by="least_error"; finite_states of n states leave n - 1 of them',
        above=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.clip_by == "least_error") != (self.levels is not None):
            raise ConfigError(
                f"{type(self).__name__}: clip_by={self.clip_by!r} with levels={self.levels!r}; "
                'expected clip_by="least_error" with a number of levels, or neither'
            )

    @property
    def clips(self) -> bool:
        """Whether there may be weights beyond the one that is mapped to the end of the window."""
        return self.clip is not None or self.levels is not None

    @property
    def _steps(self) -> int | None:
        return self.levels


def _pairs(weight: Tensor, dim: int, peaks: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of weights [groups, rows, cols] with those of peaks [rows, cols]."""
    return zip(torch.split(weight, size, dim), torch.split(peaks, size, dim - 1), strict=True)


def _peak(weight: Tensor, scale: str) -> Tensor:
    if scale == "column":
        return weight.abs().amax((0, 1))
    in_memory = weight if weight.is_contiguous() else weight.mT  # torch copies what is out of order
    return torch.stack(in_memory.aminmax()).abs().max()


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
    return best
