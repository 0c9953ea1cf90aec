"""The picture of a study: one panel for each sweep, chips, mean and interval, baseline."""

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memcore._text import needed
from memcore.study.config import Axis, Scalar, Study, Sweep
from memcore.study.files import write_atomic
from memcore.study.results import Results, Row, shown, titled
from memcore.study.sweeps import points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's colours, told apart by the colour-blind; black and yellow are left out.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK: Final = "#222222"
GREY: Final = "#6B6B6B"
DOTS_PER_INCH: Final = 200
_STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
_SMALL: Final[dict[str, Any]] = {"fontsize": 7.5, "color": GREY, "linespacing": 1.15, "va": "top"}


def plot(results: Results, path: Path) -> None:
    """Draw the results as a PNG file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    matplotlib = needed("matplotlib", "the plot of a study")
    import io

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        picture = io.BytesIO()
        figure(results).savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_atomic(path, picture.getvalue())


def figure(results: Results) -> "Figure":
    """The same picture as a matplotlib figure, to be changed or saved in another format."""
    from memcore.plot.figure import TextFigure

    sweeps = results.study.sweep
    columns = min(3, len(sweeps))
    lines = math.ceil(len(sweeps) / columns)
    width = 3.5 * columns + 0.4
    drawn = TextFigure(figsize=(width, 3.4 * lines + 0.9), layout="constrained")
    drawn.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr,call-arg]
    grid = drawn.subplots(lines, columns, sharey=True, squeeze=False)
    notes = [_note(sweep, results.study) for sweep in sweeps]
    pad = 7 + 10 * max(note.count("\n") + bool(note) for note in notes)
    for axes, sweep, note in itertools.zip_longest(grid.flat, sweeps, notes):
        if sweep is None:
            axes.set_visible(False)
            continue
        axes.set_title(sweep.title or sweep.name, loc="left", weight="bold", pad=pad)
        axes.annotate(note, (0, 1), (0, pad - 4), "axes fraction", "offset points", **_SMALL)
        _panel(axes, sweep, results)
    _percent(grid[0, 0])
    for line in grid:
        line[0].set_ylabel("test accuracy (%)")
    _frame(drawn, results, width)
    return drawn


def _percent(axes: "Axes") -> None:
    """Leave room above 100 % for the label of the baseline, without a tick."""
    lowest = axes.get_ylim()[0]
    bottom = 0.0 if lowest < 35 else lowest
    axes.set_ylim(bottom, 100 + 0.085 * (100 - bottom))
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= 100])


def _frame(drawn: "Figure", results: Results, width: float) -> None:
    general = results.study.study
    drawn.suptitle(general.title or general.name, x=0.012, ha="left", weight="bold", fontsize=12)
    caption = f"{_subject(results)} {general.note}".strip()
    wrapped = "\n".join(textwrap.wrap(caption, round(width * 17)))
    drawn.supxlabel(wrapped, x=0.012, ha="left", fontsize=8, color=GREY)


def _subject(results: Results) -> str:
    general = results.study.study
    text = f"{general.model['name']} on {results.samples} test images of {general.data['name']}."
    if general.chips > 1:
        return f"{text} Line and band: mean and 95 % interval over {general.chips} chips (dots)."
    return f"{text} One chip."


def _note(sweep: Sweep, study: Study) -> str:
    return "\n".join(textwrap.wrap(sweep.note or effects(study, sweep), 62))


def _panel(axes: "Axes", sweep: Sweep, results: Results) -> None:
    rows = results.sweep(sweep.name)
    names = list(sweep.axes)
    first = sweep.axes[names[0]] if names else Axis(values=("",))
    scale = _Scale(first)
    others = [sweep.axes[name].values for name in names[1:]]
    for colour, series in zip(itertools.cycle(COLOURS), itertools.product(*others)):
        chosen = [row for row in rows if list(row.setting.values())[1:] == list(series)]
        _series(axes, scale, chosen, names, colour, _series_label(sweep, names[1:], series))
    _baseline(axes, 100 * results.baseline)
    scale.apply(axes)
    axes.set_xlabel(titled(names[0], first) if names else "")
    if others:
        axes.legend(fontsize=7.5, handlelength=1.4, loc="best")


def _series(
    axes: "Axes",
    scale: "_Scale",
    rows: Sequence[Row],
    names: Sequence[str],
    colour: str,
    label: str,
) -> None:
    if not rows:
        return
    x = [scale.place(row.setting[names[0]] if names else "") for row in rows]
    mean = [100 * row.mean for row in rows]
    half = [100 * (row.interval or 0.0) for row in rows]
    low = [m - h for m, h in zip(mean, half, strict=True)]
    high = [m + h for m, h in zip(mean, half, strict=True)]
    for place, row in zip(x, rows, strict=True):
        if len(row.correct) > 1:
            dots = [100 * accuracy for accuracy in row.accuracies]
            axes.plot([place] * len(dots), dots, "o", ms=2.6, mew=0, color=colour, alpha=0.3)
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    line = "-" if scale.ordered else ""
    axes.errorbar(
        *(x, mean, half),
        fmt=f"o{line}",
        color=colour,
        label=label,
        lw=1.6,
        ms=4.8,
        mec="white",
        mew=0.8,
        elinewidth=1.1,
        capsize=2.4,
        zorder=3,
    )


def _series_label(sweep: Sweep, names: Sequence[str], values: Sequence[Scalar]) -> str:
    parts = []
    for name, value in zip(names, values, strict=True):
        axis = sweep.axes[name]
        parts.append(f"{axis.label or name} = {shown(value)} {axis.unit}".strip())
    return ", ".join(parts)


def _baseline(axes: "Axes", level: float) -> None:
    axes.axhline(level, color=INK, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        f"digital {level:.1f} %",
        *((1, level), (0, 3), axes.get_yaxis_transform(), "offset points"),
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=INK,
    )


class _Scale:
    """The places of the values of an axis, and their labels."""

    def __init__(self, axis: Axis) -> None:
        self.values = list(axis.values)
        self.kind = axis.scale if axis.scale != "auto" else _guess(self.values)
        self.ordered = self.kind != "category"

    def place(self, value: Scalar) -> float:
        return float(value) if self.ordered else float(self.values.index(value))

    def apply(self, axes: "Axes") -> None:
        if self.kind == "log":
            from matplotlib.ticker import NullLocator

            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        if self.kind == "linear":
            return
        axes.set_xticks([self.place(value) for value in self.values], map(shown, self.values))
        if self.kind == "category":
            axes.set_xlim(-0.5, len(self.values) - 0.5)


def _guess(values: Sequence[Scalar]) -> str:
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return "category"
    numbers = [float(value) for value in values]
    return "log" if min(numbers) > 0 and max(numbers) / min(numbers) >= 20 else "linear"


def effects(study: Study, sweep: Sweep) -> str:
    """The effects that are on throughout a sweep, in words."""
    crossbar = next(point.crossbar for point in points(study) if point.sweep == sweep.name)
    device = crossbar.get("device")
    parts = [_name(device)] if device else []
    if isinstance(device, Mapping):
        spread = [key for key, value in device.items() if isinstance(value, Mapping)]
        parts += [f"{' and '.join(spread)} vary from cell to cell"] if spread else []
    parts += [_name(item) for item in crossbar.get("nonidealities", [])]
    converters = [key for key in ("dac", "adc") if crossbar.get(key)]
    parts += [f"{key.upper()} {_name(crossbar[key])}" for key in converters]
    return ", ".join(parts)


def _name(plugin: Any) -> str:
    name = plugin.get("name", "") if isinstance(plugin, Mapping) else plugin
    return str(name).replace("_", " ")
