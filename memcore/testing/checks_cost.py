"""What every cost model promises."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from memcore.contracts.cost import Cost, CostModel, Events
from memcore.testing.cases import array, fail

_EVENTS = (
    Events(reads=10),
    Events(pulses=1000),
    Events(conversions=10_000),
    Events(reads=3, pulses=70, conversions=11),
)


def _sum(a: Events, b: Events) -> Events:
    return Events(
        **{f.name: getattr(a, f.name) + getattr(b, f.name) for f in dataclasses.fields(Events)}
    )


def check_nothing_costs_nothing(model: CostModel) -> None:
    """Without events there is no energy and no time; area there is."""
    cost = model.estimate(Events(), array())
    if cost.energy != 0 or cost.time != 0:
        fail(
            model,
            f"no events cost {cost.energy:.3g} J and {cost.time:.3g} s",
            "multiply every cost with a count of events",
        )


def check_costs_are_not_negative(model: CostModel) -> None:
    """Energy, time and area are finite numbers >= 0."""
    for events in (Events(), *_EVENTS):
        cost = model.estimate(events, array())
        if not isinstance(cost, Cost):
            fail(model, f"estimate returns {cost!r}", "return a memcore.Cost")
        for field in dataclasses.fields(cost):
            value = getattr(cost, field.name)
            if not math.isfinite(value) or value < 0:
                fail(
                    model,
                    f"{field.name} of {events} is {value!r}",
                    "return finite numbers >= 0, in J, s and m^2",
                )


def check_costs_add(model: CostModel) -> None:
    """Two runs together cost what they cost one after the other; area is paid once."""
    info = array()
    for first, second in zip(_EVENTS, (*_EVENTS[1:], _EVENTS[0]), strict=True):
        both = model.estimate(_sum(first, second), info)
        one, two = model.estimate(first, info), model.estimate(second, info)
        for name in ("energy", "time"):
            found, wanted = getattr(both, name), getattr(one, name) + getattr(two, name)
            if not math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-30):
                fail(
                    model,
                    f"{name} of two runs is {found:.4g}, that of each {wanted:.4g} in total",
                    "let energy and time be sums over events",
                )
        if not both.area == one.area == two.area:
            fail(model, "area depends on the events", "area is a property of the array")


def check_cost_follows_the_array(model: CostModel) -> None:
    """A larger array is not cheaper."""
    small, large = array(), array(rows=32, cols=16)
    for events in _EVENTS:
        few, many = model.estimate(events, small), model.estimate(events, large)
        for field in dataclasses.fields(Cost):
            if getattr(many, field.name) < getattr(few, field.name):
                fail(
                    model,
                    f"{field.name} of {events} falls when rows and columns double",
                    "check which of array.rows, array.cols and array.arrays is a factor",
                )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_nothing_costs_nothing,
    check_costs_are_not_negative,
    check_costs_add,
    check_cost_follows_the_array,
)
