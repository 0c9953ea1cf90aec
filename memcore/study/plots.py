"""The picture of a study: one panel for each sweep, chips, mean and interval, baseline."""

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memcore._text import needed
from memcore.pages.scale import zero_place
from memcore.study.axes import Axis, Scalar, Sweep
from memcore.study.config import Study
from memcore.study.cost_plots import panels
from memcore.study.decades import by_decades
from memcore.study.files import write_atomic
from memcore.study.layered import patterns
from memcore.study.life import Life
from memcore.study.results import Results, Row, shown, titled
from memcore.study.sweeps import points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's colours, told apart by the colour-blind; black and yellow are left out.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
#: Series are told apart by these too, where colours are not seen.
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
INK: Final = "#222222"
GREY: Final = "#6B6B6B"
DOTS_PER_INCH: Final = 200
#: Letters of a line of a legend and of a title of a panel, which stay in it.
_LEGEND: Final = 44
_TITLE: Final = 36
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
    "text.parse_math": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
_SMALL: Final[dict[str, Any]] = {"fontsize": 7.5, "color": GREY, "linespacing": 1.15, "va": "top"}

#: Characters for which there is room under a panel, and how more of them are written.
_UNDER_A_PANEL: Final = 56
_SLANTED: Final[dict[str, Any]] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}


def plot(results: Results, path: Path) -> None:
    """Draw the results as a PNG file.

    Raises:
        MissingPackageError: matplotlib is not installed.
        StudyError: the file cannot be written.
    """
    needed("matplotlib", "the plot of a study")
    import io

    picture = io.BytesIO()
    figure(results).savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_atomic(path, picture.getvalue())


def figure(results: Results) -> "Figure":
    """The same picture as a matplotlib figure, to be changed or saved in another format."""
    import matplotlib
    from matplotlib.text import Text

    with matplotlib.rc_context(_settings()):
        drawn = _drawn(results)
    for text in drawn.findobj(Text):  # a dollar sign is one, not the beginning of a formula
        text.set_parse_math(False)
    return drawn


def _settings() -> Any:
    """The settings of matplotlib for these pictures, whatever the user's own are."""
    import matplotlib

    defaults: Any = matplotlib.rcParamsDefault
    return {**defaults, **_STYLE}


def _blank(width: float, height: float) -> "Figure":
    """An empty figure, saved with its own settings: text stays text, whatever the format."""
    import matplotlib

    from memcore.plot.figure import TextFigure

    class Picture(TextFigure):
        def savefig(self, *args: Any, **options: Any) -> None:
            with matplotlib.rc_context(_settings()):
                super().savefig(*args, **options)

    return Picture(figsize=(width, height), layout="constrained")


def _drawn(results: Results) -> "Figure":
    sweeps = results.study.sweep
    models = len(next(iter(results.prices.values()), ()))
    columns = min(3, len(sweeps)) if not models else 3
    lines = math.ceil(len(sweeps) / columns)
    width = 3.5 * columns + 0.4
    drawn = _blank(width, 3.4 * (lines + models) + 0.9)
    drawn.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr,call-arg]
    every = drawn.subplots(lines + models, columns, sharey=True, squeeze=False)
    grid = every[:lines]
    notes = [_note(sweep, results.study) for sweep in sweeps]
    pad = 7 + 10 * max(note.count("\n") + bool(note) for note in notes)
    for axes, sweep, note in itertools.zip_longest(grid.flat, sweeps, notes):
        if sweep is None:
            axes.set_visible(False)
            continue
        title = "\n".join(textwrap.wrap(sweep.title or sweep.name, _TITLE))
        axes.set_title(title, loc="left", weight="bold", pad=pad)
        axes.annotate(note, (0, 1), (0, pad - 4), "axes fraction", "offset points", **_SMALL)
        _panel(axes, sweep, results)
    if results.kind.is_share:
        _percent(grid[0, 0])
    if models:
        panels(every[lines:], results, COLOURS, MARKERS)
    for line in every:
        line[0].set_ylabel(_quantity(results))
    _frame(drawn, results, width)
    return drawn


def _quantity(results: Results) -> str:
    return f"test {results.kind.label}" + (" (%)" if results.kind.is_share else "")


def _percent(axes: "Axes") -> None:
    """Leave room above 100 % for the label of the baseline, without a tick."""
    lowest = axes.get_ylim()[0]
    bottom = 0.0 if lowest < 35 else lowest
    axes.set_ylim(bottom, 100 + 0.085 * (100 - bottom))
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= 100])


def _frame(drawn: "Figure", results: Results, width: float) -> None:
    general = results.study.study
    title = "\n".join(textwrap.wrap(general.title or general.name, round(width * 9.5)))
    drawn.suptitle(title, x=0.012, ha="left", weight="bold", fontsize=12)
    caption = f"{_subject(results)} {general.note}".strip()
    wrapped = "\n".join(textwrap.wrap(caption, round(width * 17)))
    drawn.supxlabel(wrapped, x=0.012, ha="left", fontsize=8, color=GREY)


def _subject(results: Results) -> str:
    general = results.study.study
    samples = "test images" if general.metric["name"] == "accuracy" else "test answers"
    text = f"{general.model['name']} on {results.samples} {samples} of {general.data['name']}."
    if general.chips > 1:
        drawn = "Line and band" if any(map(_is_a_line, results.study.sweep)) else "Points and bars"
        return f"{text} {drawn}: mean and 95 % interval over {general.chips} chips (dots)."
    return f"{text} One chip."


def _is_a_line(sweep: Sweep) -> bool:
    return _scale(sweep).joins


def _scale(sweep: Sweep) -> "_Scale":
    """The horizontal one of a panel."""
    first = next(iter(sweep.axes.values()), Axis(values=("",)))
    return _Scale(first, in_line=is_joined(sweep))


def _note(sweep: Sweep, study: Study) -> str:
    return "\n".join(textwrap.wrap(sweep.note or effects(study, sweep), 62))


def _panel(axes: "Axes", sweep: Sweep, results: Results) -> None:
    rows = results.sweep(sweep.name)
    names = list(sweep.axes)
    scale = _scale(sweep)
    looks = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS))
    for look, (name, chosen) in zip(looks, grouped(sweep, rows), strict=False):
        label = "\n".join(textwrap.wrap(name, _LEGEND))
        _series(axes, scale, chosen, names, look, label, 100 if results.kind.is_share else 1)
    _baseline(axes, results)
    scale.apply(axes)
    axes.set_xlabel(titled(names[0], sweep.axes[names[0]]) if names else "")
    if len(names) > 1 and sweep.design == "grid":
        axes.legend(fontsize=7.5, handlelength=1.4, loc="best")


def _series(
    axes: "Axes",
    scale: "_Scale",
    rows: Sequence[Row],
    names: Sequence[str],
    look: tuple[str, str],
    label: str,
    factor: int,
) -> None:
    if not rows:
        return
    colour, marker = look
    x = [scale.place(row.setting[names[0]] if names else "") for row in rows]
    mean = [factor * row.mean for row in rows]
    bounds = [row.bounds or (row.mean, row.mean) for row in rows]
    low, high = ([factor * ends[k] for ends in bounds] for k in (0, 1))
    for place, row in zip(x, rows, strict=True):
        if len(row.accuracies) > 1:
            dots = [factor * value for value in row.accuracies]
            axes.plot([place] * len(dots), dots, marker, ms=2.6, mew=0, color=colour, alpha=0.3)
    if scale.joins:
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    line = "-" if scale.joins else ""
    below = [m - end for m, end in zip(mean, low, strict=True)]
    above = [end - m for m, end in zip(mean, high, strict=True)]
    axes.errorbar(
        *(x, mean, [below, above]),
        fmt=f"{marker}{line}",
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


def is_joined(sweep: Sweep) -> bool:
    """Whether neighbouring points of a sweep differ in one axis, so that a line may join them."""
    return sweep.design == "grid" or len(sweep.axes) == 1


def grouped(sweep: Sweep, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each line of a picture and its name: those that differ in the first axis alone.

    Points that are listed, or spread evenly, are all in one, ordered by the first axis.
    """
    names = list(sweep.axes)
    if sweep.design != "grid":
        yield "", sorted(rows, key=lambda row: _key(row.setting[names[0]]) if names else 0)
        return
    for series in itertools.product(*(sweep.axes[name].values for name in names[1:])):
        chosen = [row for row in rows if list(row.setting.values())[1:] == list(series)]
        yield series_label(sweep, names[1:], series), chosen


def _key(value: Scalar) -> tuple[bool, float, str]:
    """Numbers in order, words after them as they come."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, ""


def series_label(sweep: Sweep, names: Sequence[str], values: Sequence[Scalar]) -> str:
    """The name of a series: the settings of all axes but the first."""
    parts = []
    for name, value in zip(names, values, strict=True):
        axis = sweep.axes[name]
        parts.append(f"{axis.label or name} = {shown(value)} {axis.unit}".strip())
    return ", ".join(parts)


def _baseline(axes: "Axes", results: Results) -> None:
    share = results.kind.is_share
    level = 100 * results.baseline if share else results.baseline
    axes.axhline(level, color=INK, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        f"digital {level:.1f} %" if share else f"digital {level:.4g}",
        *((1, level), (0, 3), axes.get_yaxis_transform(), "offset points"),
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=INK,
    )


class _Scale:
    """The places of the values of an axis, and their labels."""

    def __init__(self, axis: Axis, *, in_line: bool = True) -> None:
        self.in_line = in_line
        self.values = list(dict.fromkeys(axis.values))
        self.kind = axis.scale if axis.scale != "auto" else guessed(self.values)
        self.ordered = self.kind != "category"

    @property
    def joins(self) -> bool:
        """Whether there is something between neighbouring values."""
        return self.in_line and self.ordered

    def place(self, value: Scalar) -> float:
        if self.kind == "log" and value == 0:
            return zero_place([float(each) for each in self.values]) or 0.0
        return float(value) if self.ordered else float(self.values.index(value))

    def apply(self, axes: "Axes") -> None:
        if self.kind == "log":
            by_decades(axes)
        if self.kind == "linear" or not (self.in_line or self.kind == "category"):
            return
        labels = [shown(value) for value in self.values]
        slanted = _SLANTED if len("  ".join(labels)) > _UNDER_A_PANEL else {}
        axes.set_xticks([self.place(value) for value in self.values], labels, **slanted)
        if self.kind == "category":
            axes.set_xlim(-0.5, len(self.values) - 0.5)


def guessed(values: Sequence[Scalar]) -> str:
    """The scale of an axis that names none."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return "category"
    numbers = [float(value) for value in values]
    above = [number for number in numbers if number > 0]  # 0, such as no time at all, has a place
    wide = len(above) > 1 and max(above) / min(above) >= 20
    return "log" if wide and min(numbers) >= 0 else "linear"


def effects(study: Study, sweep: Sweep) -> str:
    """What holds throughout a sweep, in words: the device and the effects that every point has."""
    told = [
        _told(point.crossbar) + _lived(point.life)
        for point in points(study)
        if point.sweep == sweep.name
    ]
    first, *others = told
    return ", ".join(part for part in first if all(part in other for other in others))


def _told(crossbar: Mapping[str, Any]) -> list[str]:
    device = crossbar.get("device")
    parts = [_name(device)] if device else []
    if isinstance(device, Mapping):
        spread = [key for key, value in device.items() if isinstance(value, Mapping)]
        verb = "varies" if len(spread) == 1 else "vary"
        parts += [f"{' and '.join(spread)} {verb} from cell to cell"] if spread else []
    nonidealities = crossbar.get("nonidealities", [])
    listed = nonidealities if isinstance(nonidealities, list | tuple) else [nonidealities]
    parts += [_name(item) for item in listed]
    converters = [key for key in ("dac", "adc") if crossbar.get(key)]
    parts += [f"{key.upper()} {_name(crossbar[key])}" for key in converters]
    for pattern in patterns(crossbar):
        own = crossbar[pattern]
        words = ", ".join(_told(own)) if isinstance(own, Mapping) else str(own)
        parts += [f"{pattern}: {words}"] if words else []
    return parts


def _lived(life: Life) -> list[str]:
    parts = [f"{life.age:g} s after writing"] if life.age else []
    parts += [_counted(life.cycles, "cycle")] if life.cycles else []
    return parts + ([_counted(life.reads, "read")] if life.reads else [])


def _counted(count: float, noun: str) -> str:
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"


def _name(plugin: Any) -> str:
    name = plugin.get("name", "") if isinstance(plugin, Mapping) else plugin
    return str(name).replace("_", " ")
