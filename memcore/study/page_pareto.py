"""The Pareto fronts of a report: what a quality costs at least."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from memcore._text import scaled
from memcore.contracts.cost import Cost
from memcore.pages.chart import Chart, Series
from memcore.pages.markup import Html, tag
from memcore.pages.scale import Scale
from memcore.pages.table import Cell, Column, table
from memcore.study.page_figures import settings
from memcore.study.page_sweeps import (
    drawn,
    height_label,
    height_scale,
    level,
    mark,
)
from memcore.study.plots import guessed
from memcore.study.results import Results, Row

#: The quantities of a cost with their units.
QUANTITIES: Final = {"energy": "J", "time": "s", "area": "m^2"}
_Priced = tuple[Row, Cost]


def section(results: Results, costs: Mapping[tuple[str, int], Cost]) -> Iterator[Html]:
    """The section of the costs; nothing where none is known."""
    priced = [
        (row, costs[row.sweep, row.index]) for row in results if (row.sweep, row.index) in costs
    ]
    told = [name for name in QUANTITIES if any(getattr(cost, name) > 0 for _, cost in priced)]
    if not told:
        return
    label = results.kind.label
    yield tag(
        "section",
        tag("h2", f"{label.capitalize()} against cost"),
        tag(
            "p",
            "Points on the line are the Pareto front: none is better without costing more.",
            class_="note",
        ),
        tag("div", [drawn(_chart(priced, name, results)) for name in told], class_="three"),
        _table(priced, told, results),
        id="pareto",
    )


def front(priced: Sequence[_Priced], name: str, results: Results) -> list[_Priced]:
    """The points that no other beats in quality and in one quantity of the cost, cheapest first."""
    best: list[_Priced] = []
    order = sorted(priced, key=lambda pair: (getattr(pair[1], name), results.drop(pair[0])))
    for pair in order:
        if not best or results.drop(pair[0]) < results.drop(best[-1][0]):
            best.append(pair)
    return best


def _chart(priced: Sequence[_Priced], name: str, results: Results) -> Chart:
    sweeps = {sweep.name: sweep for sweep in results.study.sweep}
    known = [pair for pair in priced if getattr(pair[1], name) > 0]
    values = [float(getattr(cost, name)) for _, cost in known]
    looks = itertools.count()
    series = []
    for sweep in results.study.sweep:
        marks = tuple(
            mark(row, getattr(cost, name), sweep, results)
            for row, cost in known
            if row.sweep == sweep.name
        )
        if marks:
            series.append(Series(sweep.title or sweep.name, marks, False, next(looks)))
    line = [
        mark(row, getattr(cost, name), sweeps[row.sweep], results)
        for row, cost in front(known, name, results)
    ]
    bare = tuple(type(each)(each.x, each.y, each.tip) for each in line)
    return Chart(
        name=f"{results.study.study.name}-{name}",
        title=f"{height_label(results)} against {name}",
        x=Scale.over(guessed(values), values),
        y=height_scale(results),
        x_label=f"{name} ({_unit(name)})",
        y_label=height_label(results),
        series=(Series("Pareto front", bare, True, 5), *series),
        level=level(results),
    )


def _table(priced: Sequence[_Priced], told: Sequence[str], results: Results) -> Html:
    sweeps = {sweep.name: sweep for sweep in results.study.sweep}
    label, share = results.kind.label, results.kind.is_share
    factor, form = (100.0, ".2f") if share else (1.0, ".4g")
    fronts = {name: [row for row, _ in front(priced, name, results)] for name in told}
    columns = [
        Column("point", "point"),
        Column(label.lower(), f"{label} (%)" if share else label, True),
        *(Column(name, f"{name} ({_unit(name)})", True) for name in told),
        Column("front", "on the front of"),
    ]
    rows = [
        [
            Cell(settings(row.setting, sweeps[row.sweep])),
            Cell(f"{factor * row.mean:{form}}", float(f"{factor * row.mean:.8g}")),
            *(_cell(cost, name) for name in told),
            Cell(", ".join(name for name in told if row in fronts[name])),
        ]
        for row, cost in priced
    ]
    name = f"{results.study.study.name}-costs"
    return table(name, "Quality and cost of each point", columns, rows)


def _cell(cost: Cost, name: str) -> Cell:
    value = float(getattr(cost, name))
    return Cell(scaled(value, QUANTITIES[name]).replace("^2", "²"), value)


def _unit(name: str) -> str:
    return QUANTITIES[name].replace("^2", "²")
