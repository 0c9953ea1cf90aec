"""Uncertainties that hold: how far a parameter can go while the others follow.

The slopes at a minimum say what the data allow next to it. Where a border of the model is just
touched by the data they say too little: the resistance at the end of a range that a cell reaches,
or perhaps does not, can be any smaller one. So each parameter is moved by three of its
uncertainties either way, the others are fitted anew, and where the data do not object it is moved
on (Venzon and Moolgavkar, J. R. Stat. Soc. C 37:87, 1988). Where they object a little, another
valley may lie behind; the walk ends where they object for good.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from memcore.fitting.problem import Numbers, Problem

_AWAY: Final = 3.0  #: uncertainties that a parameter is moved by
_OBJECTS: Final = 8.0  #: variances of a sample, of the nine due, from which the data object
_HOPELESS: Final = 30.0  #: variances from which no other valley is looked for
_FURTHER: Final = 2.0  #: times the distance, for the next step
_TRIES: Final = 3  #: shorter first steps, where the others do not find the way
_FAR: Final = 1.0  #: unit of the search; a parameter that can go so far is not determined
_EVALUATIONS: Final = 30  #: of one fit of the others
_BETTER: Final = 0.1  #: variances by which a fit of the others is a better minimum
_MUCH_BETTER: Final = 1.0  #: variances by which it is worth to go there at once

#: Least squares of a problem from a place, with at most so many evaluations.
Solve = Callable[[Problem, Numbers, int], Any]
#: How far a parameter can go down and up, in units of the search.
Sides = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Profile:
    """What moving each parameter showed.

    Attributes:
        spread: standard uncertainties downwards and upwards in units of the search by name,
            infinite where a parameter can go anywhere.
        better: a place with a lower cost, None if there is none.
    """

    spread: Mapping[str, Sides]
    better: Numbers | None = None


def profiled(
    problem: Problem,
    place: Numbers,
    spread: Mapping[str, float],
    noise: float,
    solve: Solve,
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
    known = {a.name: k for k, a in enumerate(problem.axes) if 0 < spread[a.name] < np.inf}
    for name, k in known.items():
        walk.away(k, -spread[name])
        walk.away(k, spread[name])
        if walk.gain > _MUCH_BETTER:
            break
    return Profile({name: walk.sides(k, spread[name]) for name, k in known.items()}, walk.better)


class _Walk:
    """Leads one parameter away from a minimum."""

    def __init__(self, problem: Problem, place: Numbers, noise: float, solve: Solve) -> None:
        self.problem, self.place, self.noise, self.solve = problem, place, noise, solve
        self.least = self._sum(problem.residuals(place))
        self.covariance = np.linalg.pinv(problem.jacobian(place).T @ problem.jacobian(place))
        self.better: Numbers | None = None
        self.gain = _BETTER
        self.visited: list[tuple[Numbers, float]] = []

    def away(self, k: int, sigma: float) -> None:
        """Walk to the side of the sign of `sigma`."""
        low, high = self.problem.limits[:, k]
        way, trail, tries = _AWAY * sigma, [self.place], _TRIES
        while low < self.place[k] + way < high:  # beyond is a border of the parameter itself
            rise, where = self._moved(k, self.place[k] + way, trail)
            if self.gain > _MUCH_BETTER:
                return
            if rise < _HOPELESS:
                if rise < _OBJECTS and abs(way) >= _FAR:
                    return
                trail.append(where)
                way *= _FURTHER
            elif len(trail) == 1 and tries:  # the others did not find the way
                tries -= 1
                way /= _FURTHER
            else:
                return

    def sides(self, k: int, sigma: float) -> Sides:
        """The uncertainties downwards and upwards, from all places that were visited."""
        down = up = sigma
        for place, rise in self.visited:
            way = float(place[k] - self.place[k])
            if rise < _OBJECTS and abs(way) >= _FAR:
                reached = np.inf
            else:
                due = max(rise, _AWAY**2 if rise >= _OBJECTS else 1.0)
                reached = abs(way) / due**0.5
            down, up = (max(down, reached), up) if way < 0 else (down, max(up, reached))
        return down, up

    def _moved(self, k: int, to: float, trail: Sequence[Numbers]) -> tuple[float, Numbers]:
        """The rise with a parameter at a place, the others following on their way so far."""
        last = trail[-1]
        if len(trail) == 1:
            own = self.covariance[k, k]
            along = self.covariance[:, k] / own if own > 0 else np.zeros_like(last)
            return self._held(k, to, [last + along * (to - last[k])])
        step = last - trail[-2]
        return self._held(k, to, [last + step * (to - last[k]) / step[k], last])

    def _held(self, k: int, to: float, guesses: Sequence[Numbers]) -> tuple[float, Numbers]:
        """The rise of the sum of squares in variances with a parameter at a place, and where."""
        rest = [axis for j, axis in enumerate(self.problem.axes) if j != k]
        if not rest:
            rise = self._sum(self.problem.residuals(np.array([to]))) - self.least
            return self._variances(rise), np.array([to])
        name = self.problem.axes[k].name
        held = self.problem.holding({name: self.problem.axes[k].value(to)}).over(rest)
        ends = []
        for guess in guesses:
            inside = np.clip(np.delete(guess, k), *held.limits)
            if np.isfinite(held.residuals(inside)).all():
                ends.append(self.solve(held, inside, _EVALUATIONS))
        if not ends:
            return float("inf"), guesses[0]
        end = min(ends, key=lambda each: float(each.cost))
        where = np.insert(end.x, k, to)
        rise = self._variances(self._sum(end.fun) - self.least)
        if rise < _HOPELESS:
            self.visited.append((where, rise))
        if -rise > self.gain:
            self.better, self.gain = where, -rise
        return rise, where

    def _variances(self, rise: float) -> float:
        return rise / max(self.noise**2, float(np.finfo(float).tiny))

    @staticmethod
    def _sum(residuals: Numbers) -> float:
        return float(np.sum(np.asarray(residuals) ** 2))
