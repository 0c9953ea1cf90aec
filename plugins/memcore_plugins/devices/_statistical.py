"""Devices known by their statistics: conductances that are written at once, and what they do then.

The state is the conductance itself. There is no pulse in these models: they are written by a
programmer that asks for conductances (`direct`), and their effects say how far a cell ends up from
its target, how it moves afterwards and how it is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, Memristor, parameter
from memcore_plugins.devices._parameters import as_state, filled, positive, require
from memcore_plugins.devices._parameters import require_ascending as ascending

US: Final = 1e-6  #: S in a microsiemens, the unit of the published fits
DAY: Final = 86400.0  #: s
YEAR: Final = 365 * DAY  #: s
_SLACK: Final = 1e-4  #: rounding of single precision at the ends of a fitted range


class Unpulsed(Memristor):
    """A cell that is written at once: its state is its conductance, and no voltage moves it."""

    def conductance(self, state: Tensor) -> Tensor:
        return state[0]

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del state, voltage, dt, ctx
        self._without_pulses()

    def pulses(self, state: Tensor, count: Tensor, ctx: Context) -> Tensor:
        del state, count, ctx
        self._without_pulses()

    def _without_pulses(self) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__} is known by its statistics and has no pulse dynamics; write it "
            "with programmer='direct', or use a dynamic device such as 'vteam'"
        )

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.conductance_range()[0], ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        return as_state(conductance.clamp(*self.conductance_range()))

    def conductance_range(self) -> tuple[float, float]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Statistical(Unpulsed):
    """A cell with a window of conductances; subclasses add their effects."""

    g_min: float = parameter(1e-7, "S", "lowest conductance")
    g_max: float = parameter(1e-5, "S", "highest conductance")

    def __post_init__(self) -> None:
        require(self, positive, "a number > 0", ["g_min", "g_max"])
        ascending(self, "g_min", "g_max")

    def require_window(self, lowest: float, highest: float) -> None:
        """Refuse a window that leaves the conductances for which the fit was made.

        Raises:
            ConfigError: with the window and the range of the fit.
        """
        if self.g_min < lowest * (1 - _SLACK) or self.g_max > highest * (1 + _SLACK):
            raise ConfigError(
                f"{type(self).__name__}: window [{self.g_min:.4g}, {self.g_max:.4g}] S leaves the "
                f"fitted range; expected it inside [{lowest:.4g}, {highest:.4g}] S"
            )

    def conductance_range(self) -> tuple[float, float]:
        return self.g_min, self.g_max


def polynomial(x: Tensor, ascending: Sequence[float]) -> Tensor:
    """`c0 + c1 x + c2 x^2 + ...` by Horner's rule."""
    result = torch.full_like(x, ascending[-1])
    for c in reversed(ascending[:-1]):
        result = result * x + c
    return result


def per_write(ctx: Context) -> Context:
    """The context of what a rewrite draws anew."""
    return ctx.child("write", ctx.writes)


def require_inside(g: Tensor, lowest: float, highest: float, who: str) -> None:
    """Refuse conductances outside the range of a fit.

    Raises:
        ConfigError: with the extremes that came and the range.
    """
    if torch.compiler.is_compiling() or g.is_meta or not g.numel():
        return
    low, high = (float(end) for end in g.detach().aminmax())
    if not (low >= lowest * (1 - _SLACK) and high <= highest * (1 + _SLACK)):
        raise ConfigError(
            f"{who}: conductances from {low:.4g} to {high:.4g} S; the fit holds from "
            f"{lowest:.4g} to {highest:.4g} S: map the weights into this window"
        )


def require_time(seconds: Tensor, longest: float, who: str, shortest: float = 0.0) -> None:
    """Refuse times outside the range of a fit; 0 s, no time at all, is always allowed.

    Raises:
        ConfigError: with the time and the range.
    """
    if torch.compiler.is_compiling() or seconds.is_meta:
        return
    t = float(seconds)
    if t != 0 and not shortest <= t <= longest * (1 + _SLACK):
        raise ConfigError(
            f"{who}: {t:g} s after programming; the fit holds from {shortest:g} s to {longest:g} s"
        )


class Scattered(nn.Module):
    """`max(g + std(g) z, 0)`: a programming error, drawn once; a passive cell stays passive.

    Args:
        z: standard normal, [arrays, rows, cols].
        std: S of a target in S.
        limits: lowest and highest target for which `std` was fitted, S.
        who: for messages.
    """

    z: Tensor

    def __init__(
        self, z: Tensor, std: Callable[[Tensor], Tensor], limits: tuple[float, float], who: str
    ) -> None:
        super().__init__()
        self.register_buffer("z", z)
        self.std = std
        self.limits = limits
        self.who = who

    def forward(self, g: Tensor) -> Tensor:
        """Conductances after writing."""
        require_inside(g, *self.limits, self.who)
        return (g + self.std(g) * self.z.to(g.dtype)).clamp(min=0)
