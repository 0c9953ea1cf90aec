"""Devices known by their statistics: conductances that are written at once, and what they do then.

The state is the conductance itself. There is no pulse in these models: they are written by a
programmer that asks for conductances (`direct`), and their effects say how far a cell ends up from
its target, how it moves afterwards and how it is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.parameters import parameter
from memcore.contracts.records import Context
from memcore.errors import ConfigError
from memcore.modelling.state import as_state, filled

US: Final = 1e-6  #: S in a microsiemens, the unit of most published fits
DAY: Final = 86400.0  #: s
YEAR: Final = 365 * DAY  #: s
_SLACK: Final = 1e-4  #: rounding of single precision at the ends of a fitted range


class Unpulsed(Memristor):
    """A cell that is written at once: its state is its conductance, and no voltage moves it.

    A subclass overrides `conductance_range`, and `effects` with what happens to its cells.
    """

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
    """A cell with a window of conductances and a spread about its targets.

    A subclass says how far a write misses its target (`programming_std`), perhaps what becomes of
    it (`aged`) and how noisy reads are (`read_std`), and returns effects of its own kinds of
    `ProgrammingError`, `Relaxation` and `CellReadNoise` from `effects()`:

    For example::

        @dataclass(frozen=True, kw_only=True)
        class MyCell(Statistical):
            def programming_std(self, g):
                return 0.02 * g + 1e-7  # S

            def effects(self):
                return (MyCellProgramming(cell=self),)
    """

    g_min: float = parameter(1e-7, "S", "lowest conductance", above=0, below="g_max")
    g_max: float = parameter(1e-5, "S", "highest conductance", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        lowest, highest = self.fitted_range
        if self.g_min < lowest * (1 - _SLACK) or self.g_max > highest * (1 + _SLACK):
            raise ConfigError(
                f"{type(self).__name__}: window [{self.g_min:.4g}, {self.g_max:.4g}] S leaves the "
                f"fitted range; expected it inside [{lowest:.4g}, {highest:.4g}] S"
            )

    @property
    def fitted_range(self) -> tuple[float, float]:
        """The lowest and the highest conductance in S that were fitted; the window by default."""
        return self.g_min, self.g_max

    def programming_std(self, g: Tensor) -> Tensor:
        """Standard deviation in S of a write, for targets in S; any shape."""
        raise NotImplementedError

    def aged(self, g: Tensor, target: Tensor, seconds: Tensor, z: Tensor) -> Tensor:
        """Conductances in S, `seconds` [] after a write that left `g` S of a `target` in S.

        `z` is a standard normal draw for each cell, the same at all times, so that each cell
        follows a path of its own.
        """
        raise NotImplementedError

    def read_std(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Standard deviation in S of a read of `g` S, `seconds` [] after the write."""
        raise NotImplementedError

    def conductance_range(self) -> tuple[float, float]:
        return self.g_min, self.g_max


def require_inside(g: Tensor, lowest: float, highest: float, who: str) -> None:
    """Refuse conductances outside the range of a fit.

    Args:
        g: S.
        lowest: S.
        highest: S.
        who: whom the message names.

    Raises:
        ConfigError: with the extremes that came and the range.
    """
    if torch.compiler.is_compiling() or g.is_meta or not g.numel():
        return
    low, high = (float(end) for end in g.detach().aminmax())
    slack = max(_SLACK, torch.finfo(g.dtype).eps)  # coarser cells round the ends of a range away
    if not (low >= lowest * (1 - slack) and high <= highest * (1 + slack)):
        raise ConfigError(
            f"{who}: conductances from {low:.4g} to {high:.4g} S; the fit holds from "
            f"{lowest:.4g} to {highest:.4g} S: map the weights into this window"
        )


def require_time(seconds: Tensor, longest: float, who: str, shortest: float = 0.0) -> None:
    """Refuse times outside the range of a fit; 0 s, no time at all, is always allowed.

    Args:
        seconds: since programming, [].
        longest: s.
        who: whom the message names.
        shortest: s.

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
