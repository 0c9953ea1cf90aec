"""The settings that a search may choose: the axes of a sweep, each with values or with a range."""

from collections.abc import Mapping, Sequence
from typing import Any

from memcore.errors import StudyError
from memcore.study.axes import Axis, Sweep
from memcore.study.config import Study
from memcore.study.designs import in_few_digits

#: What was chosen of each axis: the number of a listed value, or a number from the range.
Choice = Mapping[str, Any]


def space_of(study: Study) -> Sweep:
    """The sweep whose axes are searched: the only one of the study.

    Raises:
        StudyError: there are several, or the one has no axes.
    """
    first, *others = study.sweep
    if others or not first.axes:
        raise StudyError(
            f"a search takes the axes of one sweep, and the study has {len(study.sweep)} with "
            f"{sum(len(sweep.axes) for sweep in study.sweep)} axes; expected one [[sweep]] whose "
            "axes have values or range = [low, high]"
        )
    return first


def distributions(sweep: Sweep) -> dict[str, Any]:
    """The axes as Optuna knows them."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for name, axis in sweep.axes.items():
        if axis.range is None:
            found[name] = CategoricalDistribution(range(len(axis.values)))
            continue
        low, high = axis.range
        log = axis.scale == "log"
        if isinstance(low, int) and isinstance(high, int):
            found[name] = IntDistribution(low, high, log=log)
        else:
            found[name] = FloatDistribution(low, high, log=log)
    return found


def listed(sweep: Sweep, choices: Sequence[Choice]) -> Sweep:
    """A sweep whose points are those that were chosen."""
    axes = {
        name: _chosen(axis, [choice[name] for choice in choices])
        for name, axis in sweep.axes.items()
    }
    return sweep.model_copy(update={"axes": axes, "design": "listed", "points": None})


def _chosen(axis: Axis, choices: Sequence[Any]) -> Axis:
    if axis.range is not None:
        values = tuple(c if isinstance(c, int) else in_few_digits(c, axis.range) for c in choices)
        return axis.model_copy(update={"values": values, "range": None})
    settings = [axis.settings(number) for number in choices]
    moves = {path: tuple(each[path] for each in settings) for path in axis.moves}
    values = tuple(axis.values[number] for number in choices)
    return axis.model_copy(update={"values": values, "moves": moves})
