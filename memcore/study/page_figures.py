"""The few numbers at the head of a report, and how its values are written."""

from collections.abc import Mapping
from typing import Any

from memcore.pages.markup import Html, tag
from memcore.study.axes import Sweep
from memcore.study.results import Results, Row, published, shown


def figures(results: Results) -> Html:
    """The baseline, the largest and the smallest loss, and what stands behind them."""
    general = results.study.study
    what = "test images" if general.metric["name"] == "accuracy" else "answers"
    of = f"{results.samples} {what} of {general.data['name']}"
    of = f"{of}; {told}" if (told := published(results)) else of
    entries = [("digital network", quantity(results.baseline, results), of)]
    rows = sorted(results.rows, key=results.drop)
    if rows:
        worst, best = rows[-1], rows[0]
        entries.append(("largest loss", lost(results.drop(worst), results), _place(worst, results)))
        entries.append(("smallest loss", lost(results.drop(best), results), _place(best, results)))
    chips = f"{general.chips} chip" + ("s" if general.chips > 1 else "")
    interval = "with 95 % intervals" if general.chips > 1 else "one draw, without intervals"
    entries.append(("at each point", chips, f"{len(rows)} points, {interval}"))
    cells = [
        tag("div", tag("dt", name), tag("dd", value, tag("small", more)))
        for name, value, more in entries
    ]
    return tag("dl", cells, class_="figures")


def quantity(value: float, results: Results) -> str:
    """A value of the metric, for reading."""
    return f"{100 * value:.2f} %" if results.kind.is_share else f"{value:.4g}"


def lost(value: float, results: Results) -> str:
    """A loss of the metric, for reading: of shares in percentage points."""
    return f"{100 * value:.2f} points" if results.kind.is_share else f"{value:.4g}"


def settings(setting: Mapping[str, Any], sweep: Sweep) -> str:
    """The settings of a point in words."""
    parts = []
    for name, value in setting.items():
        axis = sweep.axes[name]
        parts.append(f"{axis.label or name} = {shown(value)} {axis.unit}".strip())
    return ", ".join(parts) or sweep.title or sweep.name


def _place(row: Row, results: Results) -> str:
    sweep = next(each for each in results.study.sweep if each.name == row.sweep)
    return settings(row.setting, sweep)
