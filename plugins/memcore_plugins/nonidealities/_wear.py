"""Cells that fail: the law that retention and endurance have in common."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memcore import (
    Aging,
    ArrayInfo,
    ConfigError,
    Context,
    NoEffectWarning,
    NonIdeality,
    Parameter,
    Stage,
    parameter,
)
from memcore.modelling import drawn
from memcore_plugins._tensor import as_tensor


@dataclass(frozen=True, kw_only=True)
class Wear(NonIdeality):
    """The law of effects whose cells fail beyond a threshold: retention and endurance."""

    stage = Stage.AGE
    form: ClassVar["type[Worn]"]

    mode: Literal["gradual", "sudden"] = parameter(
        "gradual", "1", "whether a cell fails gradually or suddenly"
    )
    p0_lrs: Parameter = parameter(
        1e6, "count", "scale of the threshold in LRS; a round number", finite=False, at_least=1e-30
    )
    p1_lrs: float = parameter(
        0.0, "1/m", "growth of ln(threshold) with the cell size in LRS", within=(-1e12, 1e12)
    )
    p2_lrs: float = parameter(
        1.0,
        "1",
        "growth of ln(threshold) with the temperature term in LRS; a round number",
        within=(-1e3, 1e3),
    )
    p3_lrs: float = parameter(
        0.1, "1", "speed of the gradual failure of LRS; a round number", within=(-1e3, 1e3)
    )
    p0_hrs: Parameter = parameter(
        1e6, "count", "scale of the threshold in HRS; a round number", finite=False, at_least=1e-30
    )
    p1_hrs: float = parameter(
        0.0, "1/m", "growth of ln(threshold) with the cell size in HRS", within=(-1e12, 1e12)
    )
    p2_hrs: float = parameter(
        1.0,
        "1",
        "growth of ln(threshold) with the temperature term in HRS; a round number",
        within=(-1e3, 1e3),
    )
    p3_hrs: float = parameter(
        -0.1, "1", "speed of the gradual failure of HRS; a round number", within=(-1e3, 1e3)
    )
    cell_size: float = parameter(
        1e-8, "m", "size s of a cell; a round number", at_least=0, at_most=1e-3
    )
    threshold: float = parameter(
        298.0, "K", "temperature T_th above which the temperature counts", above=0
    )
    stable: float | None = parameter(
        None,
        "ohm",
        "resistance of failed cells; None for the geometric middle of each window",
        at_least=1e-6,
    )

    neutral: ClassVar = {"p0_lrs": math.inf, "p0_hrs": math.inf}

    @property
    def feels_temperature(self) -> bool:  # type: ignore[override]
        return bool(self.p2_lrs or self.p2_hrs)

    def exponents(self, temperature: Tensor) -> Tensor:
        """`p1 s + p2 min(T_th / T, 1)` of LRS and of HRS, [2, *temperature]."""
        t_c = (self.threshold / temperature).clamp(max=1)
        both = ((self.p1_lrs, self.p2_lrs), (self.p1_hrs, self.p2_hrs))
        return torch.stack([p1 * self.cell_size + p2 * t_c for p1, p2 in both])

    def log_threshold(self, temperature: Tensor) -> Tensor:
        """`ln(x_th / p0)` of LRS and of HRS, [2, *temperature]."""
        return self.exponents(temperature)

    def bind(self, array: ArrayInfo, ctx: Context) -> "Worn":
        at = torch.tensor(ctx.temperature, dtype=torch.float64, device="cpu")
        p3 = torch.tensor([self.p3_lrs, self.p3_hrs], dtype=at.dtype, device="cpu")
        slopes = self.exponents(at) * p3
        if self.mode == "gradual" and not bool(slopes.any()):
            warnings.warn(
                f"{type(self).__name__}: p3 (p1 s + p2 T_c) is 0 for LRS and HRS, so that gradual "
                "failure changes nothing; give p3 and p1 or p2, or mode='sudden'",
                NoEffectWarning,
                stacklevel=2,
            )
        thresholds = [
            drawn(p0, name, array, ctx, above=0.0).log() + float(shift)
            for p0, name, shift in zip(
                (self.p0_lrs, self.p0_hrs), ("lrs", "hrs"), self.log_threshold(at), strict=True
            )
        ]
        self._require_ordered(array)
        return self.form(self, array, ctx, thresholds, [float(slope) for slope in slopes])

    def _require_ordered(self, array: ArrayInfo) -> None:
        low, high = (as_tensor(g) for g in array.device.conductance_range())
        if not low.is_meta and not bool((low > 0).all() and (high > 0).all()):
            raise ConfigError(
                f"{type(self).__name__}: a cell has a window [{float(low.min()):.3g}, "
                f"{float(high.min()):.3g}] S; the middle is geometric; expected ends > 0: give the "
                "device's distributions a min"
            )


class Worn(Aging):
    """Cells in LRS and in HRS, each beyond a threshold of their own."""

    middle: Tensor
    stable: Tensor
    lowest: Tensor
    highest: Tensor
    threshold_lrs: Tensor
    threshold_hrs: Tensor

    def __init__(
        self,
        wear: Wear,
        array: ArrayInfo,
        ctx: Context,
        thresholds: list[Tensor],
        slopes: list[float],
    ) -> None:
        super().__init__()
        self.wear, self.temperature, self.slopes = wear, ctx.temperature, slopes
        low, high = (
            torch.as_tensor(g, dtype=ctx.dtype, device=ctx.torch_device)
            for g in array.device.conductance_range()
        )
        middle = (low * high).sqrt()
        stable = middle if wear.stable is None else torch.full_like(middle, 1 / wear.stable)
        buffers = (middle, stable, low.clone(), high.clone(), *thresholds)
        names = ("middle", "stable", "lowest", "highest", "threshold_lrs", "threshold_hrs")
        for name, value in zip(names, buffers, strict=True):
            self.register_buffer(name, value)

    def acceleration(self, temperature: Tensor) -> Tensor:
        here = torch.full_like(temperature, self.temperature)
        return (self.wear.log_threshold(here) - self.wear.log_threshold(temperature)).exp()

    def forward(self, g: Tensor, elapsed: Tensor) -> Tensor:
        """Conductances after `elapsed` [] or [2], that of LRS and that of HRS."""
        lrs, hrs = elapsed.log().expand(2)
        is_lrs = g >= self.middle.to(g.dtype)
        over_lrs = (lrs - self.threshold_lrs).to(g.dtype)
        over_hrs = (hrs - self.threshold_hrs).to(g.dtype)
        over = torch.where(is_lrs, over_lrs, over_hrs).clamp(min=0)
        stable = self.stable.to(g.dtype)
        if self.wear.mode == "sudden":
            return torch.where(over > 0, stable, g)
        slope_lrs, slope_hrs = self.slopes
        slope = torch.where(is_lrs, slope_lrs, slope_hrs).to(g.dtype)
        return self._bounded(g, g * (-slope * over).clamp(-80, 80).exp(), stable)

    def _bounded(self, g: Tensor, moved: Tensor, stable: Tensor) -> Tensor:
        """Stop at the stable value, or where a window ends."""
        passed = (g - stable).sign() * (moved - stable).sign() < 0
        moved = torch.where(passed, stable, moved)
        lowest = self.lowest.to(g.dtype).minimum(g).minimum(stable)
        highest = self.highest.to(g.dtype).maximum(g).maximum(stable)
        return moved.clamp(lowest, highest)
