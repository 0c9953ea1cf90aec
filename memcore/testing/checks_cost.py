"""What every cost model promises."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from memcore.contracts.cost import Activity, Cost, CostModel
from memcore.testing.cases import array, fail

_ACTIVITIES = (
    Activity(vectors=10, phases=10, reads=40, drives=640, dissipation=1e-3),
    Activity(pulses=1000, cells_written=100, programming_energy=1e-9, programming_time=1e-4),
    Activity(adc_conversions={(0, 8): 10_000}, dac_conversions={6: 300}, shift_adds=70),
    Activity(vectors=3, reads=3, pulses=70, adc_conversions={(0, 8): 5, (1, 4): 11}, bits_out=84),
)


def check_nothing_costs_nothing(model: CostModel) -> None:
    """Without activity there is no energy and no time; area there is."""
    cost = model.estimate(Activity(), array())
    if cost.energy != 0 or cost.time != 0:
        fail(
            model,
            f"no activity costs {cost.energy:.3g} J and {cost.time:.3g} s",
            "multiply every cost with a count",
        )


def check_costs_are_not_negative(model: CostModel) -> None:
    """Energy, time and area are finite numbers >= 0."""
    for activity in (Activity(), *_ACTIVITIES):
        cost = model.estimate(activity, array())
        if not isinstance(cost, Cost):
            fail(model, f"estimate returns {cost!r}", "return a memcore.Cost")
        for field in dataclasses.fields(cost):
            value = getattr(cost, field.name)
            if not math.isfinite(value) or value < 0:
                fail(
                    model,
                    f"{field.name} of {activity} is {value!r}",
                    "return finite numbers >= 0, in J, s and m^2",
                )


def check_costs_add(model: CostModel) -> None:
    """Two runs together cost what they cost one after the other; area is paid once."""
    info = array()
    for first, second in zip(_ACTIVITIES, (*_ACTIVITIES[1:], _ACTIVITIES[0]), strict=True):
        both = model.estimate(first + second, info)
        one, two = model.estimate(first, info), model.estimate(second, info)
        for name in ("energy", "time"):
            together, wanted = getattr(both, name), getattr(one, name) + getattr(two, name)
            if not math.isclose(together, wanted, rel_tol=1e-9, abs_tol=1e-30):
                fail(
                    model,
                    f"{name} of two runs is {together:.4g}, that of each {wanted:.4g} in total",
                    "let energy and time be sums over counts",
                )
        if not both.area == one.area == two.area:
            fail(model, "area depends on the activity", "area is a property of the array")


def check_cost_follows_the_array(model: CostModel) -> None:
    """A larger array is not cheaper."""
    small, large = array(), array(rows=32, cols=16)
    for activity in _ACTIVITIES:
        few, many = model.estimate(activity, small), model.estimate(activity, large)
        for field in dataclasses.fields(Cost):
            if getattr(many, field.name) < getattr(few, field.name):
                fail(
                    model,
                    f"{field.name} of {activity} falls when rows and columns double",
                    "check which of array.rows, array.cols and array.arrays is a factor",
                )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_nothing_costs_nothing,
    check_costs_are_not_negative,
    check_costs_add,
    check_cost_follows_the_array,
)
