"""The search of a whole range: differential evolution, before least squares takes over.

Storn and Price, J. Global Optim. 11:341 (1997), as scipy has it, with the predictions of a whole
population in one simulation.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_PER_AXIS: Final = 15  #: members of the population for each parameter
_FEWEST: Final = 32
_GENERATIONS: Final = 120
_PATIENCE: Final = 25  #: generations without a gain before the search ends
_GAIN: Final = 0.98  #: of the cost before, for a generation to count as a gain
_MUTATION: Final = (0.4, 0.9)
_CROSSOVER: Final = 0.9


def explore(
    optimize: ModuleType,
    cost: Callable[[Numbers], Numbers],
    region: Numbers,
    seed: int,
    report: Callable[[float], None],
) -> Numbers:
    """The best place of a region.

    Args:
        optimize: scipy.optimize.
        cost: cost of each of many places [places, parameters]; infinite where there is none.
        region: least and greatest place, [2, parameters].
        seed: random seed.
        report: called with the share of the search that is done.
    """
    watch = _Watch(report)
    members = max(_FEWEST, _PER_AXIS * region.shape[1])
    found = optimize.differential_evolution(
        lambda places: watch.seen(cost(np.asarray(places).T)),
        list(zip(*region, strict=True)),
        vectorized=True,
        updating="deferred",
        polish=False,
        init="sobol",
        popsize=-(-members // region.shape[1]),
        maxiter=_GENERATIONS,
        mutation=_MUTATION,
        recombination=_CROSSOVER,
        seed=np.random.default_rng(seed),
        callback=watch.ends,
    )
    place: Numbers = np.asarray(found.x)
    return place


class _Watch:
    """Ends a search that gains nothing any more."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self.report = report
        self.least, self.mark = np.inf, np.inf
        self.generation, self.since = 0, 0

    def seen(self, costs: Numbers) -> Numbers:
        """The same costs, of which the least is noted."""
        self.least = min(self.least, float(np.min(costs)))
        return costs

    def ends(self, *_: Any, **__: Any) -> bool:
        """Whether to end after this generation."""
        self.generation += 1
        gained = self.least < _GAIN * self.mark or not np.isfinite(self.mark)
        self.since = 0 if gained else self.since + 1
        if gained:
            self.mark = self.least
        self.report(self.generation / _GENERATIONS)
        return self.since >= _PATIENCE
