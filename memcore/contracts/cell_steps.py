"""What effects do to each cell for itself, as data that one kernel knows.

A training writes all cells anew at each step. Where every effect says what it does as steps, and
the mapper as two parts, one kernel draws, writes and reads the cells block by block; else each form
passes over all of them.
"""

from dataclasses import dataclass

from memcore.contracts.distributions import LogNormal, Normal
from memcore.random import Stream


@dataclass(frozen=True, kw_only=True)
class Factor:
    """Each conductance is multiplied by a draw of its own.

    Args:
        distribution: of the factor.
        stream: of the draws.
    """

    distribution: Normal | LogNormal
    stream: Stream


@dataclass(frozen=True, kw_only=True)
class Offset:
    """A normal draw is added to each conductance, which stays at least 0.

    Args:
        std: standard deviation, S.
        stream: of the draws.
    """

    std: float
    stream: Stream


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """Each conductance takes the nearest of equidistant levels.

    Args:
        lowest: the lowest level, S, or 1/S of the resistances.
        highest: the highest one.
        states: number of levels.
        inverse: whether the levels are resistances.
    """

    lowest: float
    highest: float
    states: int
    inverse: bool = False


@dataclass(frozen=True, kw_only=True)
class WhiteNoise:
    """Each read sees a conductance g with the variance `std^2 + (relative g)^2`.

    Args:
        std: S.
        relative: share of g.
    """

    std: float
    relative: float


CellStep = Factor | Offset | Nearest | WhiteNoise
