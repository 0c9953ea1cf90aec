"""The search of `fit_retention`: the most likely parameters of an effect, shared and of each cell.

A model that is not linear is made so at the most likely parameters of each cell, again and again:
Lindstrom and Bates, Biometrics 46:673 (1990).
"""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args, get_type_hints

import numpy as np

from memcore._text import hint
from memcore.contracts.distributions import Distribution, LogNormal
from memcore.contracts.effect import NonIdeality
from memcore.errors import ConfigError
from memcore.fitting.adequacy_cells import missed
from memcore.fitting.ageing import AgeingModel
from memcore.fitting.identify import judge
from memcore.fitting.mixed import Linear, Numbers, Solved
from memcore.fitting.options import FitOptions
from memcore.fitting.space import SearchAxis, numbers

_LOOKED_AT: Final = 16  #: places for each parameter, of which the search begins at the best
_ROUNDS: Final = 100
_HALVINGS: Final = 10
_STEP: Final = 1e-4  #: of the difference quotients, in units of the search
_LONGEST: Final = 1.5  #: longest step, in units of the search
_ARRIVED: Final = 1e-3  #: of an uncertainty, by which parameters may still move
_SURE: Final = 6.63  #: gain of -2 ln(likelihood) from which cells differ, 1 in 200 by chance
_LOOSE: Final = 0.3  #: uncertainty from which a logarithm may have no end on one side
_ZERO: Final = 0.1  #: unit of the search of a number that starts at 0
_AROUND: Final = 5.0  #: factor about its start in which a number is searched
_BEYOND: Final = 1e3
TOLD: Final = 1e-9  #: of the largest influence, below which a cell tells nothing


def require_numbers(effect: NonIdeality, argument: str, names: Any) -> None:
    """Refuse names that are not those of numbers of the effect.

    Raises:
        ConfigError: with the argument and what may be meant.
    """
    nominal = {
        field.name: 0.0
        for field in dataclasses.fields(effect)  # type: ignore[arg-type]
        if isinstance(getattr(effect, field.name), Distribution)
        or float in get_args(get_type_hints(type(effect))[field.name])
    }
    known = {**numbers(effect), **nominal}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{argument}: {type(effect).__name__} has no number {name!r}{hint(name, known)}"
            )


@dataclass(frozen=True, eq=False)
class Place:
    """Where a search stands.

    Attributes:
        shared: places of the shared parameters, [parameters].
        levels: ln of the conductance of each cell after the write, [cells].
        deviations: deviations of the cells, [cells, differing].
    """

    shared: Numbers
    levels: Numbers
    deviations: Numbers


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a search ended.

    Attributes:
        place: the most likely parameters.
        solved: the linear model there.
        axes: the parameters.
        differing: number of the axes whose parameters differ from cell to cell.
        idle: parameters that were held, since the data do not determine them.
        misfit: how the model misses the data, empty if it does not.
        converged: whether the search arrived.
        linear: products of the linear model.
        slopes: derivatives by the shared parameters, [samples, parameters].
    """

    place: Place
    solved: Solved
    axes: tuple[SearchAxis, ...]
    differing: tuple[int, ...]
    idle: tuple[str, ...]
    misfit: str
    converged: bool
    linear: Linear
    slopes: Numbers


class Search:
    """The most likely parameters of an effect for the reads of some cells."""

    def __init__(self, model: AgeingModel, options: FitOptions, spread: bool | None) -> None:
        self.model, self.options, self.spread = model, options, spread
        fitted = getattr(model.effect, "fitted", {})
        self.kinds: Mapping[str, type[Distribution] | None] = fitted
        self.axes = tuple(self._axis(name) for name in self._names())

    def _names(self) -> list[str]:
        options, known = self.options, numbers(self.model.effect)
        require_numbers(self.model.effect, "free", options.free or ())
        require_numbers(self.model.effect, "bounds", options.bounds or {})
        default = self.kinds or {name: None for name, value in known.items() if value}
        names = [n for n in (options.free or default) if n not in options.fixed]
        both = set(options.free or ()) & set(options.fixed)
        if both or not names:
            said = f"{', '.join(sorted(both))} both free and fixed" if both else "nothing to fit"
            raise ConfigError(f"there is {said}; expected a parameter that is free at least")
        idle = [name for name in options.bounds or {} if name not in names]
        if idle:
            raise ConfigError(f"bounds: {', '.join(idle)} is not fitted; leave it out, or free it")
        unknown = [name for name in options.start or {} if name not in names]
        if unknown:
            raise ConfigError(
                f"start: {', '.join(unknown)} is not fitted; leave it out, or hold it by fixed="
            )
        return names

    def _axis(self, name: str) -> SearchAxis:
        """One parameter; times are searched by their logarithm."""
        effect = self.model.effect
        unit = next(f for f in dataclasses.fields(effect) if f.name == name).metadata["unit"]  # type: ignore[arg-type]
        start = numbers(effect)[name]
        log = start > 0 and (self.kinds.get(name) is LogNormal or unit == "s")
        low, high = self._region(start, log, unit)
        if name in (self.options.bounds or {}):
            low, high = (float(x) for x in self.options.bounds[name])  # type: ignore[index]
            if not low < high or not low <= start <= high or (log and low <= 0):
                raise ConfigError(
                    f"bounds of {name}: ({low!r}, {high!r}) with a start of {start!r}; expected "
                    "least < greatest around the start"
                )
        elif log:
            low, high = min(low, start) / _BEYOND, max(high, start) * _BEYOND
        else:
            low, high = _ends(effect, name)
        return SearchAxis(
            name=name,
            unit=unit,
            start=start,
            low=low,
            high=high,
            log=log,
            scale=abs(start) or _ZERO,
        )

    def _region(self, start: float, log: bool, unit: str) -> tuple[float, float]:
        time = self.model.reads.time
        if log and unit == "s":
            return float(time[time > 0].min()) / 10, float(time.max())
        if log:
            return start / _AROUND, start * _AROUND
        around = _AROUND * abs(start) or _ZERO
        return -around, around

    # -- predictions -------------------------------------------------------------------------------

    def values(
        self, axes: Sequence[SearchAxis], place: Place, differing: Sequence[int]
    ) -> dict[str, Any]:
        """The parameters at a place, one for each cell where cells differ."""
        made: dict[str, Any] = {}
        for k, axis in enumerate(axes):
            u = place.shared[k]
            if k in differing and place.deviations.any():
                own = u + place.deviations[:, list(differing).index(k)]
                made[axis.name] = self._inside(axis, own)
            else:
                made[axis.name] = axis.value(float(u))
        return made

    def _inside(self, axis: SearchAxis, own: Numbers) -> Numbers:
        """Parameters of cells, those outside what the effect takes at its end."""
        values = np.exp(own) if axis.log else own * axis.scale
        return np.clip(values, *_ends(self.model.effect, axis.name))

    def at(self, axes: Sequence[SearchAxis], place: Place, differing: Sequence[int]) -> Numbers:
        return self.model.predict(self.values(axes, place, differing), place.levels)

    def _slopes(
        self, axes: Sequence[SearchAxis], place: Place, differing: Sequence[int]
    ) -> tuple[Numbers, Numbers]:
        """Derivatives by the shared parameters, [samples, parameters], and by the levels."""
        base = self.at(axes, place, differing)
        columns = []
        for k in range(len(axes)):
            move = np.zeros(len(axes))
            move[k] = _STEP if not axes[k].log or k not in differing else 10 * _STEP
            columns.append(self._slope(axes, place, differing, (move, 0.0), move[k], base))
        level = self._slope(axes, place, differing, (np.zeros(len(axes)), _STEP), _STEP, base)
        return np.stack(columns, 1), level

    def _slope(
        self,
        axes: Sequence[SearchAxis],
        place: Place,
        differing: Sequence[int],
        move: tuple[Numbers, float],
        step: float,
        base: Numbers,
    ) -> Numbers:
        sides = []
        for sign in (1, -1):
            moved = Place(
                place.shared + sign * move[0], place.levels + sign * move[1], place.deviations
            )
            sides.append(self.at(axes, moved, differing))
        ahead, behind = (np.isfinite(side).all() for side in sides)
        rise = np.where(ahead, sides[0], base) - np.where(behind, sides[1], base)
        width = step * (float(ahead) + float(behind))
        slope: Numbers = rise / width if width else np.zeros_like(rise)
        return slope

    # -- the search --------------------------------------------------------------------------------

    def solved(self) -> Solution:
        """The most likely parameters, less what the data do not determine."""
        axes = self.axes
        idle: list[str] = []
        while True:
            found = self._with_spread(axes)
            factor = root(found.solved.information)
            said = judge(factor, found.solved.sigma, axes)
            if len(axes) == 1:
                return dataclasses.replace(found, idle=tuple(idle))
            weak = [k for k, known in enumerate(said.identifiable) if not known]
            loose = map(int, np.flatnonzero(said.uncertainty > _LOOSE))
            weak = weak or [k for k in loose if self._slides(found, k)]
            if not weak:
                return dataclasses.replace(found, idle=tuple(idle))
            worst = max(weak, key=lambda k: float(said.uncertainty[k]))
            idle.append(axes[worst].name)
            axes = tuple(axis for k, axis in enumerate(axes) if k != worst)

    def _slides(self, found: Solution, k: int) -> bool:
        """Whether a factor of e away from the best value the others follow as well as it does.

        How the likelihood bends at its maximum does not tell that it is flat on one side.
        """
        axis = found.axes[k]
        if not axis.log or k in found.differing:
            return False
        best = float(found.place.shared[k])
        gains = [
            self._held(found, k, axis.value(float(np.clip(best + way, *axis.limits))))
            - found.solved.deviance
            for way in (-1.0, 1.0)
        ]
        return min(gains) < 1

    def _held(self, found: Solution, k: int, value: float) -> float:
        """-2 ln(likelihood) with a parameter held at a value and the others at their best."""
        other, model = copy.copy(self), copy.copy(self.model)
        model.effect = dataclasses.replace(model.effect, **{found.axes[k].name: value})  # type: ignore[type-var]
        other.model = model
        rest = tuple(axis for n, axis in enumerate(found.axes) if n != k)
        place = dataclasses.replace(found.place, shared=np.delete(found.place.shared, k))
        differing = tuple(n - (n > k) for n in found.differing)
        return other._arrived(rest, place, differing).solved.deviance

    def _with_spread(self, axes: tuple[SearchAxis, ...]) -> Solution:
        """The solution with cells that differ, where the data say so."""
        start = self._start(axes)
        same = self._arrived(axes, start, ())
        told = np.diag(same.linear.products.sum(0))[: len(axes)]
        can = tuple(
            k
            for k, axis in enumerate(axes)
            if self.kinds.get(axis.name) is not None and told[k] > TOLD * told.max()
        )
        cells = self.model.reads.cells
        if self.spread is False or not can or (self.spread is None and cells < 3):
            return same
        if cells < 2:
            raise ConfigError("spread=True, but the data are of one cell; expected several")
        apart = self._arrived(
            axes, dataclasses.replace(same.place, deviations=np.zeros((cells, len(can)))), can
        )
        gain = same.solved.deviance - apart.solved.deviance
        return apart if self.spread or gain > _SURE * len(can) else same

    def _start(self, axes: tuple[SearchAxis, ...]) -> Place:
        """The best of some places of the whole range, and the start."""
        reads = self.model.reads
        none = np.zeros((reads.cells, 0))
        regions = [self._region(axis.start, axis.log, axis.unit) for axis in axes]
        ends = np.array(
            [
                sorted(np.clip([axis.place(low), axis.place(high)], *axis.limits))
                for axis, (low, high) in zip(axes, regions, strict=True)
            ]
        )
        random = np.random.default_rng(self.options.seed).uniform(
            size=(_LOOKED_AT * len(axes), len(axes))
        )
        places = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * random
        first = np.array([axis.place(axis.start) for axis in axes])
        best, least = Place(first, reads.first, none), math.inf
        for shared in (first, *places):
            place = Place(shared, reads.first, none)
            rest = reads.logs - self.at(axes, place, ())
            if np.isfinite(rest).all():
                place = dataclasses.replace(place, levels=place.levels + reads.means(rest))
                rest = reads.logs - self.at(axes, place, ())
            cost = float(np.square(rest).sum())
            if np.isfinite(cost) and cost < least:
                best, least = place, cost
        return best

    def _arrived(
        self, axes: tuple[SearchAxis, ...], place: Place, differing: tuple[int, ...]
    ) -> Solution:
        """The most likely parameters from a start."""
        reads = self.model.reads
        solved, converged = None, False
        for turn in range(_ROUNDS):
            if self.options.progress is not None:
                self.options.progress(f"round {turn + 1} of at most {_ROUNDS}")
            linear, slopes, level, rest = self._linear(axes, place, differing)
            _require_enough(linear)
            solved = linear.best(None if solved is None or turn % 5 == 0 else solved.ratios)
            step = float(np.abs(solved.shared).max(initial=0.0))
            share = min(1.0, _LONGEST / step) if step else 1.0
            moved = self._moved(axes, place, differing, solved, share)
            if moved is None:
                break
            error = solved.sigma / np.sqrt(np.maximum(np.diag(solved.information), 1e-300))
            near = np.abs(moved.shared - place.shared) < _ARRIVED * np.maximum(error, 1e-9)
            near_cells = np.abs(moved.levels - place.levels).max() < _ARRIVED * solved.sigma + 1e-9
            place = moved
            if near.all() and near_cells:
                converged = True
                break
        linear, slopes, level, rest = self._linear(axes, place, differing)
        solved = linear.best() if solved is None else linear.solved(solved.ratios)
        change = self.at(axes, place, differing) - place.levels[reads.cell]
        clean = rest - self._of_cells(slopes, place, differing)
        misfit = missed(clean, (slopes, level, change), reads.time, reads.cell, differing, solved)
        return Solution(
            place, solved, axes, differing, (), misfit, converged or not misfit, linear, slopes
        )

    def _of_cells(self, slopes: Numbers, place: Place, differing: tuple[int, ...]) -> Numbers:
        """What the deviations of the cells add to the linear model, [samples]."""
        if not differing:
            return np.zeros(len(slopes))
        own = place.deviations[self.model.reads.cell]
        total: Numbers = (slopes[:, list(differing)] * own).sum(1)
        return total

    def _linear(
        self, axes: tuple[SearchAxis, ...], place: Place, differing: tuple[int, ...]
    ) -> tuple[Linear, Numbers, Numbers, Numbers]:
        """The linear model at a place: of the residuals without what cells have of their own."""
        reads = self.model.reads
        slopes, level = self._slopes(axes, place, differing)
        rest = reads.logs - self.at(axes, place, differing)
        rest = rest + self._of_cells(slopes, place, differing)
        return Linear.of(slopes, level, rest, reads.cell, differing), slopes, level, rest

    def _moved(
        self,
        axes: tuple[SearchAxis, ...],
        place: Place,
        differing: tuple[int, ...],
        solved: Solved,
        share: float,
    ) -> Place | None:
        """The next place: as far towards the solution as the data are described better."""
        before = self._cost(axes, place, differing, solved)
        limits = np.array([axis.limits for axis in axes]).T
        for _ in range(_HALVINGS):
            moved = Place(
                np.clip(place.shared + share * solved.shared, *limits),
                place.levels + share * solved.levels,
                place.deviations + share * (solved.deviations - place.deviations),
            )
            if self._cost(axes, moved, differing, solved) <= before * (1 + 1e-9) + 1e-30:
                return moved
            share /= 2
        return None

    def _cost(
        self,
        axes: tuple[SearchAxis, ...],
        place: Place,
        differing: tuple[int, ...],
        solved: Solved,
    ) -> float:
        """Squares of the residuals, and of the deviations over their spread."""
        rest = self.model.reads.logs - self.at(axes, place, differing)
        cost = float(np.square(rest).sum())
        if differing:
            ratios = np.maximum(solved.ratios, 1e-300)
            cost += float(np.square(place.deviations / ratios).sum())
        return cost if np.isfinite(cost) else math.inf


def _ends(effect: NonIdeality, name: str) -> tuple[float, float]:
    """The least and the greatest value of a parameter, infinite where there is none."""
    field = next(f for f in dataclasses.fields(effect) if f.name == name)  # type: ignore[arg-type]
    allowed = field.metadata["range"]
    low, high = (
        float(end) if isinstance(end, int | float) else default
        for end, default in ((allowed.at_least, -math.inf), (allowed.at_most, math.inf))
    )
    return low, high


def _require_enough(linear: Linear) -> None:
    if linear.freedom < 1:
        raise ConfigError(
            f"there are {linear.samples} reads for {linear.samples - linear.freedom} unknowns, a "
            "level of each cell among them; expected more reads, or fewer free parameters"
        )


def root(information: Numbers) -> Numbers:
    """Rows whose products are the information: what stands for a Jacobian."""
    values, vectors = np.linalg.eigh(information)
    root: Numbers = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return root
