"""What every executor promises."""

from collections.abc import Callable, Iterator
from typing import Any

from memcore.contracts.executor import Executor
from memcore.testing.cases import fail
from memcore.testing.works import doubled, refused

_COUNT = 7


def check_evaluates_every_unit_once(plugin: Executor) -> None:
    """Each unit has one result; units are taken from an iterator that can be read once."""
    results = sorted(plugin.evaluate(doubled, iter(range(_COUNT))))
    if results != [2 * unit for unit in range(_COUNT)]:
        fail(plugin, f"twice 0 to {_COUNT - 1} gives {results}", "yield one result for each unit")


def check_raises_what_a_unit_raises(plugin: Executor) -> None:
    """An error of a unit ends the iteration with an error of its class."""
    try:
        list(plugin.evaluate(refused, iter(range(_COUNT))))
    except ZeroDivisionError:
        return
    fail(plugin, "an error of a unit is lost", "raise it after the results that are there")


def check_takes_no_more_units_when_it_is_closed(plugin: Executor) -> None:
    """Closing the iterator ends the work, and nothing is taken or evaluated for nobody."""
    taken: list[int] = []

    def units() -> Iterator[int]:
        for unit in range(1_000_000):
            taken.append(unit)
            yield unit

    results: Any = iter(plugin.evaluate(doubled, units()))
    next(results)
    results.close()
    if len(taken) > 100_000:
        fail(
            plugin, f"{len(taken)} units are taken for one result", "take units when there is room"
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_evaluates_every_unit_once,
    check_raises_what_a_unit_raises,
    check_takes_no_more_units_when_it_is_closed,
)
