"""SONOS charge-trap transistors in subthreshold: writing error, retention and read noise."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, ConfigError, Context, NonIdeality, parameter
from memcore.modelling import (
    DAY,
    CellReadNoise,
    ProgrammingError,
    Relaxation,
    Statistical,
    require_time,
)
from memcore_plugins._tensor import as_tensor

_NA: Final = 1e-9  #: A in a nanoampere, the unit of the published fits
_SPREAD: Final = (  # A and B of s = A (1 - exp(-I / B)), nA, on day 0 to 5
    (19.88665, 176.3115),
    (25.59102, 186.85544),
    (28.72753, 193.56834),
    (31.04318, 198.90332),
    (33.76214, 204.77023),
    (34.57909, 207.34309),
)
_READ: Final = (12.58037, 215.36557)  #: A and B of read noise, nA
_CURRENTS: Final = (0.0, 25, 50, 100, 200, 400, 800, 1200, 1600, 1800)  #: nA
_SHIFT: Final = (  # nA, mean shift on day 0 to 5 at each current
    (0.0, 0.1727, 0.2507, -0.0175, 0.0403, 0.3199),
    (0.0, 1.2267, 1.5234, 1.8889, 2.0343, 2.4007),
    (0.0, 1.7046, 2.1879, 2.9561, 3.1082, 3.5470),
    (0.0, 1.7352, 2.4305, 3.6212, 3.6177, 4.1178),
    (0.0, 1.0125, 1.5188, 2.9703, 2.3018, 2.6429),
    (0.0, 0.6155, -0.0723, 0.8198, -1.5454, -1.4679),
    (0.0, -3.8268, -8.0016, -9.3126, -13.8906, -15.1731),
    (0.0, -7.3126, -15.0652, -18.2659, -26.0301, -28.5382),
    (0.0, -11.5322, -22.3723, -26.9059, -38.2715, -40.6984),
    (0.0, -10.3234, -20.9974, -28.7990, -42.1087, -43.3994),
)
_DRIFTS_TO: Final = 1.8e-6  #: A
_FITTED_TO: Final = 3.2e-6  #: A
_DAYS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Sonos(Statistical):
    """40 nm SONOS cells in subthreshold; the fits are of the current I = g v_read in nA.

        programming   s = A (1 - exp(-I / B)), A = 19.88665, B = 176.3115
        retention     mean shift by a table over I and days, and s with A and B of each day, with
                      the I of the target
        read          s = 12.58037 (1 - exp(-I / 215.36557)), whatever the time

    Agrawal et al., IEDM (2022), 40 nm; constants of a public simulator, read there. The published
    shift is a polynomial of degree ten, too steep to be used between its points: a table of its
    values is interpolated linearly, in current and in days. What a day adds to the variance of
    day 0 comes from one normal draw for each cell. Currents up to 1.8 uA (3.2 uA without
    retention), up to 5 days.
    """

    v_read: float = parameter(
        0.1,
        "V",
        "voltage at which conductance means I / V; assumed, it only sets the scale",
        at_least=1e-6,
        at_most=1e3,
    )
    g_min: float = parameter(1.6e-12, "S", "conductance when off; on/off of 1e7, Agrawal 2022")
    g_max: float = parameter(1.6e-5, "S", "conductance when on, 1.6 uA at v_read; Agrawal 2022")

    @property
    def fitted_range(self) -> tuple[float, float]:
        return 0.0, _FITTED_TO / self.v_read

    def _spread(self, g: Tensor, fit: tuple[float, float]) -> Tensor:
        a, b = fit
        return -(a * _NA / self.v_read) * torch.expm1(-g * (self.v_read / _NA) / b)

    def programming_std(self, g: Tensor) -> Tensor:
        return self._spread(g, _SPREAD[0])

    def total_std(self, g: Tensor, day: int) -> Tensor:
        """Standard deviation in S a number of days after programming, for targets in S."""
        return self._spread(g, _SPREAD[day])

    def read_std(self, g: Tensor, seconds: Tensor | float = 0.0) -> Tensor:
        """Standard deviation in S of one read of `g` S, the same at any time."""
        del seconds
        return self._spread(g, _READ)

    def shift(self, g: Tensor, seconds: Tensor | float) -> Tensor:
        """Mean change in S of cells with a target of `g` S."""
        day, share = _day(seconds)
        current = (g * (self.v_read / _NA)).double()
        x = torch.tensor(_CURRENTS, dtype=torch.float64, device=g.device)
        y = torch.tensor(_SHIFT, dtype=torch.float64, device=g.device).T
        y = torch.lerp(_row(y, day), _row(y, day + 1), share.to(y))
        i = torch.bucketize(current, x[1:-1], right=True)
        part = ((current - x[i]) / (x[i + 1] - x[i])).clamp(max=1.0)
        return (y[i] + part * (y[i + 1] - y[i])).to(g.dtype) * (_NA / self.v_read)

    def retention_std(self, g: Tensor, seconds: Tensor | float) -> Tensor:
        """Standard deviation in S of what is added to the error of writing, for targets in S.

        Its variance is linear between days.
        """
        day, share = _day(seconds)
        variances = torch.stack([self._spread(g, fit).square() for fit in _SPREAD])
        low, high = _row(variances, day), _row(variances, day + 1)
        return (torch.lerp(low, high, share.to(g)) - variances[0]).clamp(min=0).sqrt()

    def aged(self, g: Tensor, target: Tensor, seconds: Tensor, z: Tensor) -> Tensor:
        require_time(seconds, _DAYS * DAY, "Sonos")
        spread = self.retention_std(target, seconds) * z
        moved = (g + self.shift(target, seconds) + spread).clamp(min=0)
        return torch.where((seconds > 0).to(g.device), moved, g)

    def effects(self) -> tuple[NonIdeality, ...]:
        return SonosProgramming(cell=self), SonosRetention(cell=self), SonosReadNoise(cell=self)


def _day(seconds: Tensor | float) -> tuple[Tensor, Tensor]:
    days = (as_tensor(seconds, dtype=torch.float64) / DAY).clamp(0, _DAYS)
    whole = days.floor().clamp(max=_DAYS - 1)
    return whole.long(), days - whole


def _row(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.reshape(1).to(table.device)).squeeze(0)


@dataclass(frozen=True, kw_only=True)
class SonosProgramming(ProgrammingError):
    """The spread of day 0, new at every write."""


@dataclass(frozen=True, kw_only=True)
class SonosRetention(Relaxation):
    """Shift and widening within five days."""

    cell: Sonos = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        highest = self.cell.g_max * self.cell.v_read
        if highest > _DRIFTS_TO * 1.0001:
            raise ConfigError(
                f"Sonos: currents up to {highest:.4g} A; retention is fitted to 1.8e-06 A: lower "
                "g_max, or leave out 'sonos_retention'"
            )
        return super().bind(array, ctx)


@dataclass(frozen=True, kw_only=True)
class SonosReadNoise(CellReadNoise):
    """Noise of a read, the same at every age."""
