"""Uncertainties that hold: how far a parameter can go while the others follow.

The slopes at a minimum say what the data allow next to it. Where a border of the model is just
touched by the data they say too little: the resistance at the end of a range that a cell reaches,
or perhaps does not, can be any smaller one. So each parameter is moved by three of its
uncertainties either way, the others are fitted anew, and where the data do not object it is moved
on (Venzon and Moolgavkar, J. R. Stat. Soc. C 37:87, 1988).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from memcore.fitting.problem import Numbers, Problem

_AWAY: Final = 3.0  #: uncertainties that a parameter is moved by
_OBJECTS: Final = 8.0  #: variances of a sample, of the nine due, from which the data object
_FURTHER: Final = 4.0  #: times the distance, where they do not
_FAR: Final = 1.0  #: unit of the search; a parameter that can go so far is not determined
_EVALUATIONS: Final = 25  #: of one fit of the others
_BETTER: Final = 0.1  #: variances by which a fit of the others is a better minimum

#: Least squares of a problem from a place, with at most so many evaluations.
Solve = Callable[[Problem, Numbers, int], Any]


@dataclass(frozen=True, eq=False)
class Profile:
    """What moving each parameter showed.

    Attributes:
        spread: standard uncertainties in units of the search by name, infinite for a parameter
            that can go anywhere.
        better: a place with a lower cost, None if there is none.
    """

    spread: Mapping[str, float]
    better: Numbers | None = None


def profiled(
    problem: Problem, place: Numbers, spread: Mapping[str, float], noise: float, solve: Solve
) -> Profile:
    """Move each parameter with a finite uncertainty.

    Args:
        problem: the parameters that the search moved.
        place: the minimum.
        spread: uncertainties in units of the search, by name.
        noise: standard deviation of a residual.
        solve: least squares.
    """
    walk = _Walk(problem, place, noise, solve)
    found: dict[str, float] = {}
    for k, axis in enumerate(problem.axes):
        sigma = spread[axis.name]
        if np.isfinite(sigma) and sigma > 0:
            found[axis.name] = max(walk.reach(k, sigma), walk.reach(k, -sigma))
    return Profile(found, walk.better)


class _Walk:
    """Leads one parameter away from a minimum."""

    def __init__(self, problem: Problem, place: Numbers, noise: float, solve: Solve) -> None:
        self.problem, self.place, self.noise, self.solve = problem, place, noise, solve
        self.least = self._sum(problem.residuals(place))
        self.covariance = np.linalg.pinv(problem.jacobian(place).T @ problem.jacobian(place))
        self.better: Numbers | None = None
        self.gain = _BETTER

    def reach(self, k: int, sigma: float) -> float:
        """The uncertainty on the side of the sign of `sigma`."""
        low, high = self.problem.limits[:, k]
        way, begin = _AWAY * sigma, self.place
        while True:
            to = self.place[k] + way
            if not low < to < high:
                return abs(sigma)  # a border of the parameter itself
            rise, begin = self._moved(k, to, begin)
            if rise >= _OBJECTS:
                return abs(way) / _AWAY
            if abs(way) >= _FAR:
                return float("inf")
            way *= _FURTHER

    def _moved(self, k: int, to: float, begin: Numbers) -> tuple[float, Numbers]:
        """The rise of the sum of squares in variances with a parameter at a place, and where."""
        rest = [axis for j, axis in enumerate(self.problem.axes) if j != k]
        if not rest:
            rise = self._sum(self.problem.residuals(np.array([to]))) - self.least
            return rise / max(self.noise**2, np.finfo(float).tiny), np.array([to])
        name = self.problem.axes[k].name
        held = self.problem.holding({name: self.problem.axes[k].value(to)}).over(rest)
        own = self.covariance[k, k]
        follow = begin + (self.covariance[:, k] / own * (to - begin[k]) if own > 0 else 0.0)
        ends = []
        for guess in (follow,) if begin is self.place else (follow, begin):
            inside = np.clip(np.delete(guess, k), *held.limits)
            if np.isfinite(held.residuals(inside)).all():
                ends.append(self.solve(held, inside, _EVALUATIONS))
        if not ends:
            return float("inf"), begin
        end = min(ends, key=lambda each: float(each.cost))
        where = np.insert(end.x, k, to)
        rise = (self._sum(end.fun) - self.least) / max(self.noise**2, np.finfo(float).tiny)
        if -rise > self.gain:
            self.better, self.gain = where, -rise
        return rise, where

    @staticmethod
    def _sum(residuals: Numbers) -> float:
        return float(np.sum(np.asarray(residuals) ** 2))
