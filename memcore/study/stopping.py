"""How many chips a point needs: a fixed number, or as many as make its interval tight."""

import math
import statistics
from collections.abc import Sequence

from memcore.study.config import General
from memcore.study.metrics import kind
from memcore.study.results import t_quantile


def most(general: General) -> int:
    """The largest number of chips that a point can have."""
    return general.chips if general.interval is None else general.most_chips


def needed(first: Sequence[float], general: General) -> int:
    """The number of chips of a point of which the first ones are known.

    Stein's procedure in two stages (Annals of Mathematical Statistics 16:243, 1945): the spread s
    of the first m chips fixes the number n = max(m, (t s / h)^2), t being Student's with m - 1
    degrees of freedom. Since s is independent of the mean of normal values, the mean of all n is
    within t s / sqrt(n) <= h with the probability that t stands for. Looking at the interval after
    every chip and stopping at the first tight one would miss it more often.

    Args:
        first: values of the first `chips` chips.
        general: chips, interval and the most chips of the study.
    """
    if general.interval is None:
        return general.chips
    half = general.interval / 100 if kind(general.metric).is_share else general.interval
    ratio = t_quantile(len(first) - 1) * statistics.stdev(first) / half
    wanted = ratio * ratio
    if not wanted < most(general):  # also where the spread is not finite
        return most(general)
    return max(len(first), math.ceil(wanted))
