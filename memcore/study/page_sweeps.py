"""The sweeps of a report: for each a picture and a table."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from memcore.pages.chart import Chart, Level, Mark, Series
from memcore.pages.heat import Heat
from memcore.pages.histogram import Histogram
from memcore.pages.markup import Html, tag
from memcore.pages.scale import Scale
from memcore.pages.table import Cell, Column, table
from memcore.study.axes import Axis, Sweep
from memcore.study.page_figures import lost, quantity, settings
from memcore.study.plots import effects, grouped, guessed, is_joined
from memcore.study.results import Results, Row, shown, titled


def sections(results: Results) -> Iterator[Html]:
    """A section for each sweep."""
    heights = height_scale(results)
    for number, sweep in enumerate(results.study.sweep):
        rows = results.sweep(sweep.name)
        yield tag(
            "section",
            tag("h2", sweep.title or sweep.name),
            tag("p", sweep.note or effects(results.study, sweep), class_="note"),
            tag("p", _finding(sweep, rows, results)),
            _pair(sweep, rows, results, heights) if rows else None,
            id=f"sweep-{number}",
        )


def _pair(sweep: Sweep, rows: Sequence[Row], results: Results, heights: Scale) -> Html:
    axes = [*sweep.axes][: 1 if sweep.design == "grid" else None] or [""]
    pictures = [drawn(_chart(sweep, name, rows, results, heights)) for name in axes]
    if len(pictures) == 1:
        return tag("div", pictures, _table(sweep, rows, results), class_="pair")
    return tag("div", tag("div", pictures, class_="two"), _table(sweep, rows, results))


def drawn(chart: Chart | Histogram | Heat) -> Html:
    """A picture with the button that saves it."""
    save = tag("button", "SVG", type="button", class_="save-svg", title="Save this picture as SVG")
    return tag("figure", tag("div", save, class_="tools"), chart.svg)


def height_scale(results: Results) -> Scale:
    """The axis of the metric, the same in all pictures, so that they can be compared."""
    factor = 100.0 if results.kind.is_share else 1.0
    values = [factor * results.baseline]
    for row in results:
        values += [factor * value for value in (*row.accuracies, *(row.bounds or ()))]
    scale = Scale.over("linear", values)
    if not results.kind.is_share:
        return scale
    low = 0.0 if scale.low < 35 else scale.low
    return Scale("linear", low, 100 + 0.05 * (100 - low))


def height_label(results: Results) -> str:
    """The name of the axis of the metric."""
    return f"test {results.kind.label}" + (" (%)" if results.kind.is_share else "")


def level(results: Results) -> Level:
    """The line of the digital network."""
    share = results.kind.is_share
    value = 100 * results.baseline if share else results.baseline
    return Level(value, f"digital {value:.1f} %" if share else f"digital {value:.4g}")


def mark(row: Row, x: Any, sweep: Sweep, results: Results) -> Mark:
    """A point of a picture, with its interval and its chips."""
    factor = 100.0 if results.kind.is_share else 1.0
    chips = [factor * value for value in row.accuracies]
    lines = [settings(row.setting, sweep), f"{results.kind.label} {quantity(row.mean, results)}"]
    if row.bounds is not None:
        ends = " to ".join(quantity(end, results) for end in row.bounds)
        lines.append(f"95 % interval {ends}")
    lines.append(f"lost {lost(results.drop(row), results)}")
    low, high = (None, None) if row.bounds is None else (factor * end for end in row.bounds)
    several = tuple(chips) if len(chips) > 1 else ()
    return Mark(x, factor * row.mean, "\n".join(lines), low, high, several)


def _finding(sweep: Sweep, rows: Sequence[Row], results: Results) -> str:
    """What the sweep says, in a sentence."""
    if not rows:
        return "No point is finished yet."
    ordered = sorted(rows, key=results.drop)
    best, worst = ordered[0], ordered[-1]
    if best is worst:
        return f"{lost(results.drop(worst), results)} are lost."
    return (
        f"At worst {lost(results.drop(worst), results)} are lost, with "
        f"{settings(worst.setting, sweep)}; at best {lost(results.drop(best), results)}, with "
        f"{settings(best.setting, sweep)}."
    )


def _chart(sweep: Sweep, name: str, rows: Sequence[Row], results: Results, heights: Scale) -> Chart:
    """The picture over an axis; without axes its name is empty."""
    axis = sweep.axes[name] if name else Axis(values=("",))
    joined = is_joined(sweep)
    kind = axis.scale if axis.scale != "auto" else guessed(axis.values)
    x = Scale.over(
        kind, [_value(v) for v in dict.fromkeys(axis.values)], labelled=kind == "log" and joined
    )
    series = []
    for look, (label, chosen) in enumerate(grouped(sweep, rows)):
        marks = tuple(
            mark(row, _value(row.setting[name]) if name else "", sweep, results) for row in chosen
        )
        if marks:
            series.append(Series(label, marks, joined and kind != "category", look))
    ending = "" if sweep.design == "grid" else f"-{_key(name)}"
    return Chart(
        name=f"{results.study.study.name}-{sweep.name}{ending}",
        title=f"{sweep.title or sweep.name}: {height_label(results)}",
        x=x,
        y=heights,
        x_label=titled(name, axis) if name else "",
        y_label=height_label(results),
        series=tuple(series),
        level=level(results),
    )


def _value(value: Any) -> Any:
    """Truth values are words on an axis."""
    return str(value) if isinstance(value, bool) else value


def _table(sweep: Sweep, rows: Sequence[Row], results: Results) -> Html:
    share = results.kind.is_share
    label, unit = results.kind.label, " (%)" if share else ""
    columns = [
        Column(_key(name), titled(name, axis), all(map(_is_number, axis.values)))
        for name, axis in sweep.axes.items()
    ]
    columns.append(Column(_key(label), f"{label}{unit}", True))
    if results.study.study.chips > 1:
        columns.append(Column("interval", "±\u00a095\u00a0%", True))
        columns.append(Column("worst", "worst chip", True))
    columns.append(Column("lost", f"lost{' (points)' if share else ''}", True))
    name = f"{results.study.study.name}-{sweep.name}"
    cells = [_cells(row, results) for row in rows]
    return table(name, f"Points of {sweep.title or sweep.name}", columns, cells)


def _cells(row: Row, results: Results) -> list[Cell]:
    factor, form = (100.0, ".2f") if results.kind.is_share else (1.0, ".4g")
    values = [row.mean]
    if row.interval is not None:
        worst = max if results.kind.smaller_is_better else min
        values += [row.interval, worst(row.accuracies)]
    values.append(results.drop(row))
    numbers = [factor * value for value in values]
    return [
        *(Cell(shown(v), float(v) if _is_number(v) else None) for v in row.setting.values()),
        *(Cell(f"{number:{form}}", float(f"{number:.8g}")) for number in numbers),
    ]


def _key(name: str) -> str:
    """A word that a filter can name a column by."""
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
