"""The search: bounded least squares from several starts, with a loss that outliers cannot rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore._text import needed
from memcore.errors import ConfigError
from memcore.fitting.predictions import Model
from memcore.fitting.space import SearchAxis
from memcore.random import Stream

Numbers = npt.NDArray[np.float64]

SCALES: Final = ("linear", "relative", "asinh")
_STEP: Final = 1e-5  #: of the difference quotients, in units of the search
_POPULATION: Final = 256  #: places looked at together to find a further start
_ELITE: Final = 24  #: of them, the best, about which the next ones are drawn
_ROUNDS: Final = 8
_WIDER: Final = 1.3  #: by how much more the next ones spread
_RACE: Final = 20  #: evaluations before only the best starts go on
_LEFT: Final = 2  #: how many these are
_MOST: Final = 400  #: evaluations of one that goes on, once detours no longer help
_BOUT: Final = 100  #: before, on and after a detour
_DETOURS: Final = 3
_GAIN: Final = 0.99  #: of the cost left by one, for the next to be worth it
_SAY: Final = 3  #: times the sensitivity that nine of ten samples stay below, at most, in a detour
_REWEIGHTED: Final = 2  #: times that relative differences are taken anew
_TOLERANCE: Final = 1e-12
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Loss:
    """A robust loss rho(z), z the square of a residual over the scale of good ones.

    Args:
        tuning: scale of good residuals in standard deviations, 95 % efficient for normal noise.
        slope: first derivative rho'.
        curvature: second derivative rho''.
    """

    tuning: float
    slope: Callable[[Numbers], Numbers]
    curvature: Callable[[Numbers], Numbers]


#: By scipy's names; "linear" is the sum of squares.
LOSSES: Final[Mapping[str, Loss]] = {
    "linear": Loss(1.0, np.ones_like, np.zeros_like),
    "soft_l1": Loss(1.345, lambda z: (1 + z) ** -0.5, lambda z: -0.5 * (1 + z) ** -1.5),
    "huber": Loss(
        1.345,
        lambda z: np.maximum(z, 1) ** -0.5,
        lambda z: np.where(z > 1, -0.5 * np.maximum(z, 1) ** -1.5, 0.0),
    ),
    "cauchy": Loss(2.385, lambda z: 1 / (1 + z), lambda z: -1 / (1 + z) ** 2),
}


@dataclass(frozen=True)
class Scale:
    """How predictions and data are compared.

    Args:
        kind: kind of the comparison: "linear" in shares of the largest measured value, "relative"
            to each value, or by the difference of "asinh".
        measured: measured values, [samples].
        floor: share of the largest value below which values are compared by their difference.
        reference: values to which "relative" refers, [samples]; None for the measured ones.
    """

    kind: str
    measured: Tensor
    floor: float
    reference: Tensor | None = None

    def residuals(self, predicted: Tensor) -> Numbers:
        """The residuals of predictions, [rows, samples]."""
        largest = self.measured.abs().max()
        if self.kind == "asinh":
            least = self.floor * largest
            difference = torch.asinh(predicted / least) - torch.asinh(self.measured / least)
        elif self.kind == "relative":
            values = self.measured if self.reference is None else self.reference
            size = values.abs().clamp(min=self.floor * largest)
            difference = (predicted - self.measured) / size
        else:
            difference = (predicted - self.measured) / largest
        residuals: Numbers = difference.numpy()
        return residuals


class Problem:
    """Residuals and their derivatives at a place of the search, one simulation for both."""

    def __init__(self, model: Model, axes: Sequence[SearchAxis], scale: Scale) -> None:
        self.model, self.axes, self.scale = model, axes, scale
        self._at: bytes = b""
        self._found: tuple[Numbers, Numbers] | None = None

    def values(self, place: Numbers) -> dict[str, float]:
        """The parameters at a place."""
        return {axis.name: axis.value(float(u)) for axis, u in zip(self.axes, place, strict=True)}

    def residuals(self, place: Numbers) -> Numbers:
        """The residuals at a place, [samples]."""
        return self._evaluated(place)[0]

    def jacobian(self, place: Numbers) -> Numbers:
        """The derivatives of the residuals at a place, [samples, parameters]."""
        return self._evaluated(place)[1]

    def cost(self, places: Numbers) -> Numbers:
        """Mean square of the residuals at many places, infinite where the device refuses."""
        residuals = self.scale.residuals(self.model.predict([self.values(p) for p in places]))
        cost: Numbers = np.nan_to_num((residuals**2).mean(1), nan=np.inf)
        return cost

    def relative_to_prediction(self, place: Numbers) -> "Problem":
        """The same with differences relative to what is predicted at a place.

        Relative to the measured values, those that noise made small would count most, and the fit
        would be low by twice the relative variance of the noise.
        """
        predicted = self.model.predict([self.values(place)])[0]
        return Problem(self.model, self.axes, replace(self.scale, reference=predicted))

    def _evaluated(self, place: Numbers) -> tuple[Numbers, Numbers]:
        if self._found is None or self._at != place.tobytes():
            self._at, self._found = place.tobytes(), self._evaluate(place)
        return self._found

    def _evaluate(self, place: Numbers) -> tuple[Numbers, Numbers]:
        shift = _STEP * np.eye(len(place))
        places = np.concatenate([place[None], place + shift, place - shift])
        rows = [self.values(p) for p in places]
        residuals = self.scale.residuals(self.model.predict(rows))
        base, (ahead, behind) = residuals[0], np.split(residuals[1:], 2)
        # At an end of its range a device refuses one of the two neighbours.
        forward, backward = (np.isfinite(side).all(1, keepdims=True) for side in (ahead, behind))
        width = _STEP * (forward * 1.0 + backward * 1.0)
        rise = np.where(forward, ahead, base) - np.where(backward, behind, base)
        slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        return base, np.nan_to_num(slope).T


@dataclass(frozen=True, eq=False)
class Optimum:
    """The end of the search.

    Attributes:
        place: place of the minimum.
        residuals: residuals at the minimum, [samples].
        jacobian: derivatives of the residuals, [samples, parameters].
        noise: standard deviation of a residual, as the loss implies it.
        evaluations: number of simulations of all starts.
        converged: whether the search ended by itself.
    """

    place: Numbers
    residuals: Numbers
    jacobian: Numbers
    noise: float
    evaluations: int
    converged: bool


def search(problem: Problem, loss: str, starts: int, seed: int) -> Optimum:
    """The best minimum that several starts lead to.

    Raises:
        MissingPackageError: scipy is not installed.
    """
    optimize = needed("scipy.optimize", "fitting", "fit")
    axes = problem.axes
    limits = np.array([axis.limits for axis in axes]).T
    solve = _Solver(optimize, problem, limits)
    places = _starts(problem, starts, Stream(seed).child("fit"), limits)
    if len(places) > _LEFT:
        raced = sorted((solve(place, _RACE) for place in places), key=_cost)
        places = [best.x for best in raced[:_LEFT]]
    best = min((solve.through(place) for place in places), key=_cost)
    for _ in range(_REWEIGHTED if problem.scale.kind == "relative" else 0):
        problem = solve.problem = problem.relative_to_prediction(best.x)
        best = solve.through(best.x)
    scale = 1.0
    for _ in range(2 if loss != "linear" else 0):
        scale = _spread(best.fun) * LOSSES[loss].tuning
        best = solve.through(best.x, loss=loss, f_scale=scale)
    place = np.asarray(best.x)
    residuals = problem.residuals(place)
    return Optimum(
        place,
        residuals,
        problem.jacobian(place),
        _noise(residuals, len(axes), LOSSES[loss], scale),
        solve.evaluations,
        bool(best.status > 0),
    )


def _cost(result: Any) -> float:
    return float(result.cost)


class _Solver:
    """scipy's trust-region search of one problem."""

    def __init__(self, optimize: ModuleType, problem: Problem, limits: Numbers) -> None:
        self.optimize, self.problem, self.limits = optimize, problem, limits
        self.evaluations = 0

    def __call__(
        self, place: Numbers, most: int, weight: Numbers | float = 1.0, **options: Any
    ) -> Any:
        problem, column = self.problem, np.reshape(weight, (-1, 1))
        result = self.optimize.least_squares(
            lambda place: weight * problem.residuals(place),
            np.clip(place, *self.limits),
            jac=lambda place: column * problem.jacobian(place),
            bounds=self.limits,
            max_nfev=most,
            **dict.fromkeys(("ftol", "xtol", "gtol"), _TOLERANCE),
            **options,
        )
        self.evaluations += result.nfev
        return result

    def through(self, place: Numbers, **options: Any) -> Any:
        """Search to the end, by a detour where few samples are far more sensitive than others.

        They make a curved valley so narrow that a search which must descend creeps along it. With
        less say they let it pass; then they count in full again.
        """
        best = self(place, _BOUT, **options)
        for _ in range(_DETOURS):
            weight = _held_back(self.problem.jacobian(best.x))
            if weight.min() == 1:
                break
            passed = self(best.x, _BOUT, weight, **options)
            again = self(passed.x, _BOUT, **options)
            gained = again.cost < _GAIN * best.cost
            best = min(again, best, key=_cost)
            if not gained:
                break
        return best if best.status > 0 else self(best.x, _MOST, **options)


def _held_back(jacobian: Numbers) -> Numbers:
    """Weights of the samples, [samples]: 1, less where one is far more sensitive than others."""
    size = np.linalg.norm(jacobian, axis=1)
    allowed = _SAY * float(np.quantile(size, 0.9))
    return np.minimum(1.0, allowed / np.maximum(size, _TINY)) if allowed else np.ones_like(size)


def _starts(problem: Problem, count: int, stream: Stream, limits: Numbers) -> list[Numbers]:
    """The given start, and good places found from random ones about it."""
    axes = problem.axes
    given = np.clip(np.array([axis.place(axis.start) for axis in axes]), *limits)
    others = [_drawn(problem, stream.child(k)) for k in range(1, count)]
    return [given, *(place for place in others if place is not None)]


def _drawn(problem: Problem, stream: Stream) -> Numbers | None:
    """A good start by cross-entropy: the mean of the best of many places centres the next ones.

    Rubinstein, "The cross-entropy method", Methodol. Comput. Appl. Probab. 1:127 (1999).
    """
    shape = (_POPULATION, len(problem.axes))
    low, high = np.array([axis.region for axis in problem.axes]).T
    places = low + (high - low) * stream.uniform(shape).double().numpy()
    best, least = None, np.inf
    for turn in range(_ROUNDS):
        cost = problem.cost(places)
        order = np.argsort(cost, kind="stable")[:_ELITE]
        order = order[np.isfinite(cost[order])]
        if not len(order):
            return best
        if cost[order[0]] < least:
            best, least = places[order[0]], cost[order[0]]
        elite = places[order]
        noise = stream.normal(shape, round=turn + 1).double().numpy()
        places = np.clip(elite.mean(0) + _WIDER * elite.std(0) * noise, low, high)
    return best


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
