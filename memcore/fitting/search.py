"""The search: bounded least squares from several places, with a loss that outliers cannot rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

import numpy as np

from memcore._text import needed
from memcore.errors import ConfigError
from memcore.fitting.adequacy import misfit, neighbours
from memcore.fitting.explore import explore
from memcore.fitting.identify import judge
from memcore.fitting.influence import acts, divided
from memcore.fitting.problem import LOSSES, Loss, Numbers, Problem
from memcore.fitting.profile import Sides, profiled, sides
from memcore.fitting.space import SearchAxis

_RACE: Final = 20  #: evaluations before only the best way to understand the data goes on
_MOST: Final = 400  #: evaluations of one that goes on, once detours no longer help
_BOUT: Final = 100  #: before, on and after a detour
_DETOURS: Final = 3
_GAIN: Final = 0.99  #: of the cost left by one, for the next to be worth it
_SAY: Final = 3  #: times the sensitivity that nine of ten samples stay below, at most, in a detour
_REWEIGHTED: Final = 2  #: times that relative differences are taken anew
_TOLERANCE: Final = 1e-12
_TINY: Final = 1e-12
_MANY: Final = 30  #: samples from which noise can tell that a search has arrived
_AGAIN: Final = 1.01  #: times the least cost, that another search ends at the same place
_NEARLY: Final = 1.5  #: times the cost of the best way, from which another one is searched
_UNMOVED: Final = 1e-2  #: of the variance of a sample, by which going back to a start may cost
_IMPROVED: Final = 6  #: times that a better minimum, found on the way, is taken
_ROUGH: Final = 1e-2  #: variances of a sample, to which the others follow a moved parameter
_NEAR: Final = 1e-6  #: of the place, likewise
_DOUBT: Final = 2.0  #: standard errors of the correlation of neighbours, for another search
_ROUNDING: Final = 1e-6  #: of the largest value
_SEEDS: Final = 1_000_003  #: apart, the seeds of two fits


@dataclass(frozen=True, eq=False)
class Optimum:
    """The end of the search.

    Attributes:
        problem: the problem that describes the data best, with all its parameters.
        place: place of the minimum.
        residuals: residuals at the minimum, [samples].
        jacobian: derivatives of the residuals, [samples, parameters].
        noise: standard deviation of a residual, as the loss implies it.
        evaluations: number of simulations of all starts.
        converged: whether the search ended by itself.
        misfit: how the model misses the data; empty if it does not.
        spread: uncertainties downwards and upwards in units of the search by name, where each
            parameter was moved.
    """

    problem: Problem
    place: Numbers
    residuals: Numbers
    jacobian: Numbers
    noise: float
    evaluations: int
    converged: bool
    misfit: str
    spread: Mapping[str, Sides]

    @property
    def exact(self) -> bool:
        """Whether only rounding is left over."""
        return bool(self.noise <= _ROUNDING * np.abs(self.problem.scale.values).max())


#: Called with a sentence that says how far a search is.
Report = Callable[[str], object]


def _silent(text: str) -> None:
    del text


def search(
    problems: Sequence[Problem],
    loss: str,
    starts: int,
    seed: int,
    report: Report | None = None,
) -> Optimum:
    """The best minimum that the given start and searches of the whole range lead to.

    Args:
        problems: ways to understand the data, with the same parameters; the best one is kept.
        loss: name of the loss.
        starts: number of searches: one from the start, the others over the whole range. They end
            when the model describes the data, or twice at the same place.
        seed: random seed.
        report: called with the progress, None for no call.

    Raises:
        MissingPackageError: scipy is not installed.
    """
    axes = problems[0].axes
    moving, idle = divided(problems[0], seed)
    solve = _Solver(needed("scipy.optimize", "fitting", "fit"), problems, report or _silent)
    end = solve.best(moving, starts, seed)
    more = [axis for axis in idle if acts(end.problem.over([*moving, axis]), end.values, axis)]
    if more:  # what changed nothing elsewhere does at the minimum
        moving = [axis for axis in axes if axis in moving or axis in more]
        end = solve.best(moving, starts, seed)
    return _judged(end, loss, solve, axes)


def _judged(end: "_End", loss: str, solve: "_Solver", axes: Sequence[SearchAxis]) -> Optimum:
    """The optimum at an end, or at a better one that shows while its uncertainties are sought."""
    weighted, scale = solve.weighted(end, loss)
    optimum = _optimum(weighted, axes, loss, scale, solve)
    if loss != "linear":
        return optimum
    visited = np.zeros((0, len(weighted.problem.axes)))
    for _ in range(_IMPROVED):
        if not optimum.converged or optimum.misfit or optimum.exact:
            break
        solve.report("uncertainties")
        problem, place = weighted.problem, weighted.result.x
        profile = profiled(problem, place, _slopes(optimum), optimum.noise, solve.roughly)
        visited = np.concatenate([visited, profile.places])
        if profile.better is not None:
            end = _End(end.problem, solve.through(end.problem, profile.better))
            weighted, scale = solve.weighted(end, loss)
            optimum = _optimum(weighted, axes, loss, scale, solve)
        if not profile.elsewhere:
            break
    spread = sides(weighted.problem, weighted.result.x, _slopes(optimum), optimum.noise, visited)
    return replace(optimum, spread=spread, evaluations=solve.evaluations)


def _slopes(optimum: Optimum) -> dict[str, float]:
    """The uncertainties by the slopes at the minimum, infinite where they do not tell."""
    judged = judge(optimum.jacobian, optimum.noise, optimum.problem.axes)
    rows = zip(optimum.problem.axes, judged.uncertainty, judged.identifiable, strict=True)
    return {axis.name: float(sigma) if known else np.inf for axis, sigma, known in rows}


def _swift(problems: Sequence[Problem]) -> Problem:
    """The problem over whose whole range to look: the best guess that costs little."""
    swift = [problem for problem in problems if not problem.model.costly]
    return (swift or list(problems))[-1].swift()


def _optimum(
    end: "_End", axes: Sequence[SearchAxis], loss: str, scale: float, solve: "_Solver"
) -> Optimum:
    """The end of the search with all parameters, those of no influence at their start."""
    whole = end.problem.over(axes)
    place = whole.start
    for k, axis in enumerate(axes):
        if axis.name in end.values:
            place[k] = axis.place(end.values[axis.name])
    moving = len(end.problem.axes)
    noise = _noise(whole.residuals(place), moving, LOSSES[loss], scale)
    place = _gone_back(whole, place, noise)
    residuals = whole.residuals(place)
    return Optimum(
        whole,
        place,
        residuals,
        whole.jacobian(place),
        noise,
        solve.evaluations,
        bool(end.result.status > 0),
        misfit(residuals, whole.scale.values),
        {},
    )


def _gone_back(problem: Problem, place: Numbers, noise: float) -> Numbers:
    """The place with each parameter at its start to which the data have no objection."""
    judged = judge(problem.jacobian(place), noise, problem.axes)
    start, best = problem.start, place.copy()
    allowed = float(np.sum(problem.residuals(place) ** 2)) * (1 + _TINY) + _UNMOVED * noise**2
    size = np.linalg.norm(problem.jacobian(place), axis=0)
    for k in np.argsort(size, kind="stable"):
        if judged.identifiable[k] or best[k] == start[k]:
            continue
        trial = best.copy()
        trial[k] = start[k]
        if float(np.sum(problem.residuals(trial) ** 2)) <= allowed:
            best = trial
    return best


@dataclass(frozen=True, eq=False)
class _End:
    """Where one search ended."""

    problem: Problem
    result: Any

    @property
    def cost(self) -> float:
        return float(self.result.cost)

    @property
    def handicapped(self) -> float:
        """The cost with what its way to understand the data must gain to be taken."""
        model = self.problem.model
        return self.cost * (1 + model.handicap / int(model.compared.sum()))

    @property
    def values(self) -> dict[str, float]:
        return self.problem.values(self.result.x)

    @property
    def described(self) -> bool:
        """Whether there are enough samples to tell, and what is left over is noise."""
        residuals = self.problem.residuals(self.result.x)
        enough = len(residuals) >= _MANY and self.result.status > 0
        if enough and _is_rounding(residuals, self.problem.scale.values):
            return True
        doubted = neighbours(residuals)[1] > _DOUBT
        return enough and not doubted and not misfit(residuals, self.problem.scale.values)


def _is_rounding(residuals: Numbers, values: Numbers) -> bool:
    """Whether data are met to rounding, whose pattern says nothing of the model."""
    return bool(np.abs(residuals).max() <= _ROUNDING * np.abs(values).max())


def _cost(result: Any) -> float:
    return float(result.cost)


class _Solver:
    """The searches of one fit."""

    def __init__(self, optimize: ModuleType, problems: Sequence[Problem], report: Report) -> None:
        self.optimize, self.problems, self.report = optimize, problems, report
        self.evaluations = 0

    def best(self, axes: Sequence[SearchAxis], starts: int, seed: int) -> _End:
        """The best end of searches that move some of the parameters."""
        problems = [problem.over(axes) for problem in self.problems]
        self.report(f"search 1 of {starts}: from the given start")
        # Far from a minimum it is not worth to go on, where the whole range is searched, too.
        begin = self.raced if starts > 1 else self.settled
        best, least = begin(problems, problems[0].start), np.inf
        for k in range(1, starts):
            if best.described:
                break
            place = self._explored(
                _swift(problems), f"search {k + 1} of {starts}", seed * _SEEDS + k
            )
            found = self.settled(problems, place)
            best = min(found, best, key=lambda end: end.cost)
            if max(least, found.cost) <= _AGAIN * best.cost:
                break
            least = min(least, found.cost)
        for problem in problems:
            if problem is not best.problem:
                raced = _End(problem, self(problem, best.result.x, _RACE))
                if raced.cost < _NEARLY * best.cost:
                    raced = _End(problem, self.through(problem, raced.result.x))
                best = min(best, raced, key=lambda end: end.handicapped)
        return best

    def raced(self, problems: Sequence[Problem], place: Numbers) -> _End:
        """What few evaluations lead to, for the way to understand the data that begins best."""
        ends = [_End(problem, self(problem, place, _RACE)) for problem in problems]
        best = min(ends, key=lambda end: end.cost)
        return _End(best.problem, self(best.problem, best.result.x, _BOUT))

    def settled(self, problems: Sequence[Problem], place: Numbers) -> _End:
        """The minimum near a place, for the way to understand the data that begins best."""
        raced = [_End(problem, self(problem, place, _RACE)) for problem in problems]
        best = min(raced, key=lambda end: end.cost)
        return _End(best.problem, self.through(best.problem, best.result.x))

    def weighted(self, end: _End, loss: str) -> tuple[_End, float]:
        """The end with relative differences and outliers weighted anew; the scale of good ones."""
        problem, best, scale = end.problem, end.result, 1.0
        for _ in range(_REWEIGHTED if problem.scale.kind == "relative" else 0):
            problem = problem.relative_to_prediction(best.x)
            best = self.through(problem, best.x)
        for _ in range(2 if loss != "linear" else 0):
            scale = _spread(best.fun) * LOSSES[loss].tuning
            best = self.through(problem, best.x, loss=loss, f_scale=scale)
        return _End(problem, best), scale

    def _explored(self, problem: Problem, name: str, seed: int) -> Numbers:
        def told(done: float) -> None:
            self.report(f"{name}: {100 * done:.0f} % of the whole range searched")

        return explore(self.optimize, problem.cost, problem.region, seed, told)

    def __call__(
        self, problem: Problem, place: Numbers, most: int, weight: Any = 1.0, **options: Any
    ) -> Any:
        limits, column = problem.limits, np.reshape(weight, (-1, 1))
        result = self.optimize.least_squares(
            lambda place: weight * problem.residuals(place),
            np.clip(place, *limits),
            jac=lambda place: column * problem.jacobian(place),
            bounds=limits,
            max_nfev=most,
            **{**dict.fromkeys(("ftol", "xtol", "gtol"), _TOLERANCE), **options},
        )
        self.evaluations += result.nfev
        return result

    def roughly(self, problem: Problem, place: Numbers, most: int) -> Any:
        """The minimum to a small share of the variance of one sample."""
        share = _ROUGH / problem.model.compared.sum().item()
        return self(problem, place, most, ftol=share, xtol=_NEAR)

    def through(self, problem: Problem, place: Numbers, **options: Any) -> Any:
        """Search to the end, by a detour where few samples are far more sensitive than others.

        They make a curved valley so narrow that a search which must descend creeps along it. With
        less say they let it pass; then they count in full again.
        """
        best = self(problem, place, _BOUT, **options)
        for _ in range(_DETOURS):
            weight = _held_back(problem.jacobian(best.x))
            if weight.min() == 1:
                break
            passed = self(problem, best.x, _BOUT, weight, **options)
            again = self(problem, passed.x, _BOUT, **options)
            gained = again.cost < _GAIN * best.cost
            best = min(again, best, key=_cost)
            if not gained:
                break
        if best.status > 0:
            return best
        # Along a kink it creeps for ever; a share of the variance of a sample is near enough.
        share = _ROUGH / problem.model.compared.sum().item()
        return self(problem, best.x, _MOST, **{**options, "ftol": share})


def _held_back(jacobian: Numbers) -> Numbers:
    """Weights of the samples, [samples]: 1, less where one is far more sensitive than others."""
    size = np.linalg.norm(jacobian, axis=1)
    allowed = _SAY * float(np.quantile(size, 0.9))
    return np.minimum(1.0, allowed / np.maximum(size, _TINY)) if allowed else np.ones_like(size)


def _spread(residuals: Numbers) -> float:
    """Standard deviation of the good residuals, from the median of their magnitude."""
    return max(1.4826 * float(np.median(np.abs(residuals))), _TINY)


def _noise(residuals: Numbers, count: int, loss: Loss, scale: float) -> float:
    """The contribution sigma of one residual to the uncertainty of the parameters.

    For a sum of squares the residual variance; for a robust loss that of its influence over the
    square of its mean slope (Huber, "Robust Statistics", 1981, section 7.6).
    """
    z = (residuals / scale) ** 2
    influence = loss.slope(z) * residuals
    slope = float(np.mean(loss.slope(z) + 2 * z * loss.curvature(z)))
    variance = float(influence @ influence) / (len(residuals) - count)
    return float(np.sqrt(variance)) / max(slope, _TINY)


def require_enough(samples: int, parameters: int) -> None:
    """Refuse data that cannot determine the parameters.

    Raises:
        ConfigError: there are not more samples than parameters.
    """
    if samples <= parameters:
        raise ConfigError(
            f"{samples} samples cannot determine {parameters} parameters; expected more samples, "
            "or fewer parameters: free=[...]"
        )
