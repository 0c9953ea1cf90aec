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
_AS_DUE: Final = 11.0  #: variances up to which the first step shows the parabola of the slopes
_LOOSE: Final = 0.1  #: unit of the search; a first step is at most three times as long
_TRIES: Final = 1  #: shorter first steps, where the others do not find the way
_FAR: Final = 1.0  #: unit of the search; a parameter that can go so far is not determined
_EVALUATIONS: Final = 16  #: of one fit of the others
_BETTER: Final = 0.1  #: variances by which a fit of the others is a better minimum
_MUCH_BETTER: Final = 1.0  #: variances by which it is worth to go there at once
_TINY: Final = float(np.finfo(float).tiny)

#: Least squares of a problem from a place, with at most so many evaluations.
Solve = Callable[[Problem, Numbers, int], Any]
#: How far a parameter can go down and up, in units of the search.
Sides = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Profile:
    """What moving each parameter showed.

    Attributes:
        places: places that describe the data nearly as well, [places, parameters].
        better: a place with a lower cost, None if there is none.
        gain: variances of a sample by which it is better.
    """

    places: Numbers
    better: Numbers | None
    gain: float

    @property
    def elsewhere(self) -> bool:
        """Whether it is worth to begin anew at the better place."""
        return self.better is not None and self.gain > _MUCH_BETTER


def profiled(
    problem: Problem, place: Numbers, spread: Mapping[str, float], noise: float, solve: Solve
) -> Profile:
    """Move each parameter, also one that the slopes do not determine: it may lead elsewhere.

    Args:
        problem: the parameters that the search moved.
        place: the minimum.
        spread: uncertainties in units of the search, by name.
        noise: standard deviation of a residual.
        solve: least squares.
    """
    walk = _Walk(problem, place, noise, solve)
    sigmas = [spread[axis.name] for axis in problem.axes]
    for k in sorted(range(len(place)), key=lambda k: np.isfinite(sigmas[k])):
        sigma = min(sigmas[k], _LOOSE) if problem.model.winding else sigmas[k]
        for sign in (-1, 1) if np.isfinite(sigma) else ():
            if sigma > 0 and walk.gain <= _MUCH_BETTER:
                walk.away(k, sign * sigma)
    return Profile(np.array(walk.visited).reshape(-1, len(place)), walk.better, walk.gain)


def sides(
    problem: Problem, place: Numbers, spread: Mapping[str, float], noise: float, places: Numbers
) -> dict[str, Sides]:
    """The uncertainties downwards and upwards by name, which reach what walks have visited.

    Args:
        problem: the parameters that the search moved.
        place: the minimum.
        spread: uncertainties by the slopes at the minimum, in units of the search.
        noise: standard deviation of a residual.
        places: places that walks have visited, [places, parameters].
    """
    rise = np.zeros(0)
    if len(places):
        unit = int(problem.model.compared.sum()) / max(noise**2, _TINY)
        rise = unit * (problem.cost(places) - problem.cost(place[None])[0])
    due = np.sqrt(np.maximum(rise, np.where(rise >= _OBJECTS, _AWAY**2, 1.0)))
    found: dict[str, Sides] = {}
    for k, axis in enumerate(problem.axes):
        way = places[:, k] - place[k]
        reached = np.abs(way) / due
        reached[(rise < _OBJECTS) & (np.abs(way) >= _FAR)] = np.inf
        down, up = (float(np.max(reached[on], initial=0.0)) for on in (way < 0, way > 0))
        if np.isfinite(spread[axis.name]):
            found[axis.name] = max(down, spread[axis.name]), max(up, spread[axis.name])
    return found


class _Walk:
    """Leads one parameter away from a minimum."""

    def __init__(self, problem: Problem, place: Numbers, noise: float, solve: Solve) -> None:
        self.problem, self.place, self.noise, self.solve = problem, place, noise, solve
        self.least = self._sum(problem.residuals(place))
        self.covariance = np.linalg.pinv(problem.jacobian(place).T @ problem.jacobian(place))
        self.better: Numbers | None = None
        self.gain = _BETTER
        self.visited: list[Numbers] = []

    def away(self, k: int, sigma: float) -> None:
        """Walk to the side of the sign of `sigma`."""
        low, high = self.problem.limits[:, k]
        way, trail, tries, last = _AWAY * sigma, [self.place], _TRIES, 0.0
        while low < self.place[k] + way < high:  # beyond is a border of the parameter itself
            rise, where = self._moved(k, self.place[k] + way, trail, last + _OBJECTS)
            if self.gain > _MUCH_BETTER or (rise < _OBJECTS and abs(way) >= _FAR):
                return
            if rise < _HOPELESS:
                if len(trail) == 1 and _OBJECTS <= rise < _AS_DUE:
                    return
                trail.append(where)
                way *= _FURTHER**2 if rise < 1 else _FURTHER if rise < _OBJECTS else _FURTHER**0.5
                last = rise
            elif len(trail) == 1 and tries:  # the others did not find the way
                tries -= 1
                way /= _FURTHER**2
            else:
                return

    def _moved(
        self, k: int, to: float, trail: Sequence[Numbers], well: float
    ) -> tuple[float, Numbers]:
        """The rise with a parameter at a place, the others following on their way so far.

        Where that leads to more than a rise that is well, they begin once more where they were.
        """
        last = trail[-1]
        if len(trail) == 1:
            own = self.covariance[k, k]
            along = self.covariance[:, k] / own if own > 0 else np.zeros_like(last)
            return self._held(k, to, last + along * (to - last[k]))
        step = last - trail[-2]
        found = self._held(k, to, last + step * (to - last[k]) / step[k])
        return found if found[0] < well else min(found, self._held(k, to, last), key=_rise)

    def _held(self, k: int, to: float, guess: Numbers) -> tuple[float, Numbers]:
        """The rise of the sum of squares in variances with a parameter at a place, and where."""
        where = self._followed(k, to, guess)
        residuals = self.problem.residuals(where)
        if not np.isfinite(residuals).all():
            return float("inf"), where
        rise = (self._sum(residuals) - self.least) / max(self.noise**2, _TINY)
        if rise < _HOPELESS:
            self.visited.append(where)
        if -rise > self.gain:
            self.better, self.gain = where, -rise
        return rise, where

    def _followed(self, k: int, to: float, guess: Numbers) -> Numbers:
        """Where the others go when a parameter is held at a place."""
        rest = [axis for j, axis in enumerate(self.problem.axes) if j != k]
        if not rest:
            return np.array([to])
        axis = self.problem.axes[k]
        held = self.problem.holding({axis.name: axis.value(to)}).over(rest)
        inside = np.clip(np.delete(guess, k), *held.limits)
        if np.isfinite(held.residuals(inside)).all():
            inside = self.solve(held, inside, _EVALUATIONS).x
        return np.insert(inside, k, to)

    @staticmethod
    def _sum(residuals: Numbers) -> float:
        return float(np.sum(np.asarray(residuals) ** 2))


def _rise(found: tuple[float, Numbers]) -> float:
    return found[0]
