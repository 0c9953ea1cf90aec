"""Where to look for a parameter: a range that follows from its unit and from the size of the data.

A published set of parameters belongs to one device; a search that begins there and is to end at
another, a million times faster, does not arrive. The data say how long things take, how many volts
act and what current flows, and the unit of a parameter says which of them it scales with.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from memcore.fitting.measurements import Data, IVData

#: A unit as powers of volt, ampere, second and metre.
Powers = tuple[int, int, int, int]

_BASES: Final[Mapping[str, Powers]] = {
    "V": (1, 0, 0, 0),
    "A": (0, 1, 0, 0),
    "s": (0, 0, 1, 0),
    "m": (0, 0, 0, 1),
    "ohm": (1, -1, 0, 0),
    "S": (-1, 1, 0, 0),
    "1": (0, 0, 0, 0),
}
_OHMS: Final[Powers] = (1, -1, 0, 0)
_TERM: Final = re.compile(r"([A-Za-z1]+)(?:\^(-?\d+))?\Z")
#: Shares of the largest voltage between which a threshold is looked for, and those by which a
#: quantity per volt is scaled.
_VOLTS: Final = (0.03, 0.98)
_PER_VOLT: Final = (0.1, 20.0)
_AMPERES: Final = (0.01, 1e3)  #: shares of the largest current
_FASTER: Final = 10.0  #: than a sample, a rate may be
_BEYOND: Final = 100.0  #: times beyond the measured resistances those of the ends may lie
_SEEN: Final = 0.05  #: share of the largest voltage below which a resistance is noise
_FELT: Final = 0.01  #: the same of the current


@dataclass(frozen=True, kw_only=True)
class DataScale:
    """The size of the data, each as a least and a greatest value in SI units.

    Args:
        volts: largest voltage, None for pulses.
        amperes: largest current, None for pulses.
        seconds: time of a sample, and of all of them; None for pulses.
        ohms: least and greatest resistance seen.
        metres: typical length among the parameters of the device; None if it has none.
    """

    volts: float | None
    amperes: float | None
    seconds: tuple[float, float] | None
    ohms: tuple[float, float] | None
    metres: float | None

    @classmethod
    def of(cls, data: Data, lengths: Sequence[float] = ()) -> Self:
        """The size of measured data, for a device with parameters of some lengths in m."""
        metres = math.exp(sum(map(math.log, lengths)) / len(lengths)) if lengths else None
        if not isinstance(data, IVData):
            g = data.measured
            ends = 1 / float(g.max()), 1 / float(g.min())
            return cls(volts=None, amperes=None, seconds=None, ohms=ends, metres=metres)
        v, i = data.voltage.abs(), data.current.abs()
        volts, amperes = float(v.max()), float(i.max())
        span = float(data.time[-1] - data.time[0])
        seen = (v > _SEEN * volts) & (i > _FELT * amperes)
        ratio = (v / i)[seen]
        return cls(
            volts=volts or None,
            amperes=amperes or None,
            seconds=(span / (len(v) - 1), span),
            ohms=(float(ratio.min()), float(ratio.max())) if len(ratio) else None,
            metres=metres,
        )

    def interval(self, unit: str) -> tuple[float, float] | None:
        """Least and greatest magnitude to look at, None where the data do not tell."""
        powers = powers_of(unit)
        if powers is None or not any(powers):
            return None
        if powers == _OHMS and self.ohms is not None:
            low, high = self.ohms
            return low / _BEYOND, high * _BEYOND
        if powers == tuple(-p for p in _OHMS) and self.ohms is not None:
            low, high = self.ohms
            return 1 / (high * _BEYOND), _BEYOND / low
        if not any(powers[:3]):
            return None
        low = high = 1.0
        for power, ends in zip(powers, self._ends(powers), strict=True):
            if not power:
                continue
            if ends is None:
                return None
            first, second = ends[0] ** power, ends[1] ** power
            low, high = low * min(first, second), high * max(first, second)
        return low, high

    def _ends(self, powers: Powers) -> tuple[tuple[float, float] | None, ...]:
        def times(size: float | None, ends: tuple[float, float]) -> tuple[float, float] | None:
            return None if size is None else (size * ends[0], size * ends[1])

        seconds = self.seconds
        if seconds is not None:
            seconds = seconds[0] / _FASTER, seconds[1] * _FASTER
        return (
            times(self.volts, _VOLTS if powers[0] > 0 else _PER_VOLT),
            times(self.amperes, _AMPERES),
            seconds,
            times(self.metres, (1.0, 1.0)),
        )


def powers_of(unit: str) -> Powers | None:
    """A unit such as "m^2/(V s)" as powers of volt, ampere, second and metre; None if unknown."""
    above, *below = unit.replace("(", "").replace(")", "").split("/")
    total = [0, 0, 0, 0]
    for sign, text in ((1, above), *((-1, part) for part in below)):
        for word in text.split():
            term = _TERM.match(word)
            if term is None or term[1] not in _BASES:
                return None
            power = sign * int(term[2] or 1)
            total = [t + power * p for t, p in zip(total, _BASES[term[1]], strict=True)]
    return total[0], total[1], total[2], total[3]
