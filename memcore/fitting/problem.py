"""What a search minimises: the differences of predictions and data, and their derivatives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore.fitting.predictions import Model
from memcore.fitting.space import SearchAxis

Numbers = npt.NDArray[np.float64]

SCALES: Final = ("linear", "relative", "asinh")
_STEP: Final = 1e-5  #: of the difference quotients, in units of the search
_WORST: Final = 1e30  #: residual of a place that a device refuses


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

    @property
    def values(self) -> Numbers:
        """The data on this scale, [samples]."""
        return -self.residuals(torch.zeros_like(self.measured))

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
        residuals: Numbers = difference.contiguous().numpy()
        return residuals


class Problem:
    """Residuals and their derivatives at a place of the search, one simulation for both."""

    def __init__(
        self, model: Model, axes: Sequence[SearchAxis], scale: Scale, robust: bool = False
    ) -> None:
        self.model, self.axes, self.scale, self.robust = model, axes, scale, robust
        self.held: Mapping[str, float] = {}
        self._whole = bool(model.compared.all())
        self._at: bytes = b""
        self._found: tuple[Numbers, Numbers] | None = None

    @classmethod
    def of(
        cls, model: Model, axes: Sequence[SearchAxis], scale: str, floor: float, robust: bool
    ) -> Self:
        """The problem of a model, on a scale of those samples that are compared."""
        return cls(model, axes, Scale(scale, model.measured[model.compared], floor), robust)

    def over(self, axes: Sequence[SearchAxis]) -> Self:
        """The same with some of the parameters, the others at their start."""
        made = type(self)(self.model, axes, self.scale, self.robust)
        made.held = self.held
        return made

    def swift(self) -> Self:
        """The same with a model that is less exact and faster."""
        made = type(self)(self.model.swift(), self.axes, self.scale, self.robust)
        made.held = self.held
        return made

    def holding(self, values: Mapping[str, float]) -> Self:
        """The same with values of parameters that are not searched."""
        made = self.over(self.axes)
        made.held = {**self.held, **values}
        return made

    @property
    def start(self) -> Numbers:
        """The place of the start."""
        return np.array([axis.place(axis.start) for axis in self.axes])

    @property
    def limits(self) -> Numbers:
        """The lowest and the highest place, [2, parameters]."""
        return np.array([axis.limits for axis in self.axes]).T

    @property
    def region(self) -> Numbers:
        """The places between which the whole range is searched, [2, parameters]."""
        return np.array([axis.region for axis in self.axes]).T

    def values(self, place: Numbers) -> dict[str, float]:
        """The parameters at a place."""
        own = {axis.name: axis.value(float(u)) for axis, u in zip(self.axes, place, strict=True)}
        return {**self.held, **own}

    def residuals(self, place: Numbers) -> Numbers:
        """The residuals at a place, [samples]."""
        return self._evaluated(place)[0]

    def jacobian(self, place: Numbers) -> Numbers:
        """The derivatives of the residuals at a place, [samples, parameters]."""
        return self._evaluated(place)[1]

    def cost(self, places: Numbers) -> Numbers:
        """Mean square of the residuals at many places; of their magnitude, against outliers."""
        residuals = np.abs(self._at_all(places)).clip(max=_WORST)
        cost: Numbers = residuals.mean(1) if self.robust else (residuals**2).mean(1)
        return np.nan_to_num(cost, nan=_WORST).clip(max=_WORST)

    def _at_all(self, places: Numbers) -> Numbers:
        columns = {name: np.full(len(places), value) for name, value in self.held.items()}
        for axis, column in zip(self.axes, places.T, strict=True):
            columns[axis.name] = axis.values(column)
        predicted = self.model.predict_columns(columns, len(places))
        if not self._whole:
            predicted = predicted[:, self.model.compared]
        return self.scale.residuals(predicted)

    def relative_to_prediction(self, place: Numbers) -> "Problem":
        """The same with differences relative to what is predicted at a place.

        Relative to the measured values, those that noise made small would count most, and the fit
        would be low by twice the relative variance of the noise.
        """
        predicted = self.model.predict([self.values(place)])[0, self.model.compared]
        scale = replace(self.scale, reference=predicted)
        return Problem(self.model, self.axes, scale, self.robust)

    def _evaluated(self, place: Numbers) -> tuple[Numbers, Numbers]:
        if self._found is None or self._at != place.tobytes():
            self._at, self._found = place.tobytes(), self._evaluate(place)
        return self._found

    def _evaluate(self, place: Numbers) -> tuple[Numbers, Numbers]:
        shift = _STEP * np.eye(len(place))
        places = np.concatenate([place[None], place + shift, place - shift])
        residuals = self._at_all(places)
        base, (ahead, behind) = residuals[0], np.split(residuals[1:], 2)
        # At an end of its range a device refuses one of the two neighbours.
        forward, backward = (np.isfinite(side).all(1, keepdims=True) for side in (ahead, behind))
        width = _STEP * (forward * 1.0 + backward * 1.0)
        rise = np.where(forward, ahead, base) - np.where(backward, behind, base)
        slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        return base, np.nan_to_num(slope).T
