"""What every cost model promises."""

import dataclasses
import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from memcore.contracts.cost import Activity, Cost, CostModel, LayerWork
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


def _layers(model: CostModel, inputs: int = 3) -> list[LayerWork]:
    """A small network: a convolution, a pool, a linear layer, a sum with a shortcut."""
    image = {"size": (8, 8), "out_size": (8, 8), "positions": 64, "inputs": inputs}
    window = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1)}
    conv = {"rows": 27, "cols": 20, "channels": 3, **image, **window}
    works = [
        LayerWork(name="first", **conv),  # type: ignore[arg-type]
        LayerWork(name="second", **{**conv, "rows": 180, "channels": 20}, sources=(0,)),  # type: ignore[arg-type]
        LayerWork(name="sum_1", kind="sum", channels=20, **image, sources=(0, 1)),  # type: ignore[arg-type]
        LayerWork(
            name="pool_1",
            kind="pool",
            channels=20,
            positions=16,
            size=(8, 8),
            out_size=(4, 4),
            kernel=(2, 2),
            stride=(2, 2),
            padding=(0, 0),
            sources=(2,),
            inputs=inputs,
        ),
        LayerWork(name="last", rows=320, cols=5, channels=320, sources=(3,), inputs=inputs),
    ]
    if model.needs_arrays:
        works = [_with_arrays(work) if work.kind == "matrix" else work for work in works]
    return [dataclasses.replace(work, network=tuple(works)) for work in works]


def _with_arrays(work: LayerWork) -> LayerWork:
    vectors = work.vectors
    done = Activity(
        vectors=vectors,
        phases=vectors,
        reads=2 * vectors,
        drives=2 * vectors * work.rows,
        dac_conversions={8: vectors * work.rows},
        adc_conversions={(0, 8): vectors * work.cols},
        bits_in=8 * vectors * work.rows,
        bits_out=8 * vectors * work.cols,
        dissipation=1e-6 * vectors,
    )
    arrays = array(rows=work.rows, cols=work.cols)
    return dataclasses.replace(work, activity=done, array=arrays)


def check_a_table_holds_costs_by_component(model: CostModel) -> None:
    """Components have names and finite costs >= 0; events are integers >= 0."""
    tables = {work.name: model.table(work) for work in _layers(model)}
    if not any(tables.values()):
        fail(model, "no layer of a small network costs anything", "price linear layers at least")
    for name, table in tables.items():
        for part, cost in table.items():
            if not isinstance(part, str) or not isinstance(cost, Cost):
                fail(model, f"the table of {name!r} has {part!r}: {cost!r}", "map names to costs")
            values = [getattr(cost, field.name) for field in dataclasses.fields(Cost)]
            if not all(math.isfinite(value) and value >= 0 for value in values):
                fail(model, f"{part!r} of {name!r} costs {cost!r}", "return finite numbers >= 0")
    for work in _layers(model):
        for event, count in model.events(work).items():
            if not isinstance(count, int) or count < 0:
                fail(model, f"event {event!r} is {count!r}", "count in integers >= 0")


def check_twice_the_inputs_cost_twice_as_much(model: CostModel) -> None:
    """Energy and busy time of each layer are proportional to the inputs; area is not."""
    for few, many in zip(_layers(model, 2), _layers(model, 4), strict=True):
        one, two = (reduce(add, model.table(work).values(), Cost()) for work in (few, many))
        for name, factor in (("energy", 2), ("time", 2), ("area", 1)):
            wanted, found = factor * getattr(one, name), getattr(two, name)
            if not math.isclose(found, wanted, rel_tol=1e-9):
                fail(
                    model,
                    f"{name} of {few.name!r} is {found:.4g} for 4 inputs, {wanted:.4g} expected "
                    "from 2",
                    "let energy and time be proportional to layer.inputs, and area not",
                )


def check_schedule_has_every_layer_that_takes_time(model: CostModel) -> None:
    """A layer whose components are busy is a stage of the timeline that ends after it began."""
    works = _layers(model)
    timeline = model.schedule(works)
    for span in timeline.spans:
        if not 0 <= span.start <= span.end <= timeline.end < math.inf:
            fail(model, f"the schedule has {span!r}", "let each span end after it began")
    for work in works:
        busy = sum(cost.time for cost in model.table(work).values())
        if busy > 0 and work.name not in timeline.stages:
            fail(
                model,
                f"layer {work.name!r} is busy for {busy:.3g} s and not in the schedule",
                "name a stage after each layer",
            )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_nothing_costs_nothing,
    check_costs_are_not_negative,
    check_costs_add,
    check_cost_follows_the_array,
    check_a_table_holds_costs_by_component,
    check_twice_the_inputs_cost_twice_as_much,
    check_schedule_has_every_layer_that_takes_time,
)
