"""The results of a study: rows, their intervals over chips, the table and the CSV."""

import csv
import io
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from memcore._text import aligned
from memcore.study.axes import RESERVED, Axis, Sweep
from memcore.study.config import Study
from memcore.study.metrics import Kind, kind
from memcore.study.prices import Fronts, Prices, columns, figures, heads

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, eq=False)
class Row:
    """One finished point.

    Attributes:
        sweep: name of the sweep.
        index: index within the sweep, from 0.
        setting: value of each axis, by name.
        correct: number of right answers of each chip; empty for a metric that counts none.
        samples: number of answers of each chip that were judged.
        scores: value of the metric for each chip, of a metric that counts no right answers.
        first: number of chips that the spread is estimated from, the first ones; 0 for all.
    """

    sweep: str
    index: int
    setting: dict[str, Any]
    correct: tuple[int, ...]
    samples: int
    scores: tuple[float, ...] = ()
    first: int = 0

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracy of each chip, in [0, 1]; for another metric its value."""
        return self.scores or tuple(right / self.samples for right in self.correct)

    @property
    def mean(self) -> float:
        """The mean over chips: of an accuracy in [0, 1], else of the metric."""
        if self.scores:
            return math.fsum(self.scores) / len(self.scores)
        return sum(self.correct) / (len(self.correct) * self.samples)

    @property
    def interval(self) -> float | None:
        """Half the width of the 95 % t-interval of the mean; `None` for a single chip."""
        chips = len(self.scores or self.correct)
        if chips < 2:
            return None
        values: tuple[float, ...] = self.scores or self.correct
        known = values[: self.first] if self.first else values
        deviation = statistics.stdev(known) / (1 if self.scores else self.samples)
        return t_quantile(len(known) - 1) * deviation / math.sqrt(chips)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, that of an accuracy within [0, 1]."""
        half = self.interval
        if half is None:
            return None
        low, high = self.mean - half, self.mean + half
        return (low, high) if self.scores else (max(low, 0.0), min(high, 1.0))


@dataclass(frozen=True)
class Difference:
    """How much more one setting gives than another, chip by chip.

    Attributes:
        mean: mean of the differences: of accuracies in [-1, 1], else of the metric.
        interval: half the width of its 95 % t-interval; None for a single chip.
        chips: number of chips that both settings have.
    """

    mean: float
    interval: float | None
    chips: int


@dataclass(frozen=True, eq=False)
class Results:
    """A study's rows beside its digital baseline; `str()` is the table.

    Attributes:
        study: the study.
        baseline: accuracy of the digital network on the same images, in [0, 1]; for another
            metric its value.
        samples: number of answers that were judged.
        rows: finished points, in the order of the table.
        complete: whether no point is missing.
        folder: folder of the files.
        prices: what an inference costs at each point, by the name of the point.
    """

    study: Study
    baseline: float
    samples: int
    rows: tuple[Row, ...]
    complete: bool
    folder: Path
    prices: Prices = field(default_factory=dict)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return table(self)

    def sweep(self, name: str) -> tuple[Row, ...]:
        """The rows of one sweep."""
        return tuple(row for row in self.rows if row.sweep == name)

    def drop(self, row: Row) -> float:
        """How much worse than the digital network the chips of a row are."""
        loss = self.baseline - row.mean
        return -loss if self.kind.smaller_is_better else loss

    def difference(self, row: Row, other: Row) -> Difference:
        """How much more `row` gives than `other`, with the interval of paired chips.

        A chip has the same number, and what is random in it the same seed, at every setting. What
        both settings share cancels, so that the interval is often much narrower than those of the
        two means.
        """
        pairs = zip(row.accuracies, other.accuracies, strict=False)
        each = [mine - theirs for mine, theirs in pairs]
        mean, half = math.fsum(each) / len(each), None
        if len(each) > 1:
            half = t_quantile(len(each) - 1) * statistics.stdev(each) / math.sqrt(len(each))
        return Difference(mean, half, len(each))

    @property
    def kind(self) -> Kind:
        """How the values of the study's metric are told."""
        return kind(self.study.study.metric)

    @property
    def fronts(self) -> Fronts:
        """Which points nothing beats: no other one is as good and cheaper."""
        sign = -1 if self.kind.smaller_is_better else 1
        return Fronts(self.prices, {name_of(row): sign * row.mean for row in self})

    @property
    def csv(self) -> Path:
        """The file of the table."""
        return self.folder / "results.csv"

    @property
    def plot(self) -> Path:
        """The file of the picture."""
        return self.folder / "plot.png"


def name_of(row: Row) -> str:
    """The name of the point of a row."""
    return f"{row.sweep}-{row.index:03d}"


@cache
def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Student's t with `confidence` of the probability inside [-t, t].

    Inverts the closed form for whole degrees of freedom (Abramowitz & Stegun 26.7.3-4) by
    bisection.
    """
    low, high = 0.0, 1.0
    while _t_inside(high, degrees) < confidence:
        high *= 2
    for _ in range(200):
        middle = 0.5 * (low + high)
        if _t_inside(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return high


def _t_inside(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    total = 0.0
    for k in range(2 + degrees % 2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    if degrees % 2 == 0:
        return sine * total
    return 2 / math.pi * (angle + sine * total)


def csv_text(results: Results) -> str:
    """The CSV, a line for each point.

    Accuracies are in [0, 1], `ci95` is half of the interval, and `low` and `high` are its ends. A
    word that a spreadsheet would take for a formula begins with an apostrophe.
    """
    axes = list(dict.fromkeys(axis for row in results for axis in row.setting))
    before, after = RESERVED[:1], RESERVED[1:]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    priced = columns(next(iter(results.prices.values()), ()))
    writer.writerow([*before, *map(_harmless, axes), *after, *priced])
    for row in results:
        settings = [_harmless(row.setting.get(axis, "")) for axis in axes]
        costs = figures(results.prices.get(name_of(row), ())) or [""] * len(priced)
        writer.writerow([row.sweep, *settings, *_figures(row, results), *costs])
    return file.getvalue()


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet computes: words that begin like formulas are quoted."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # the writer quotes this one only
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def _figures(row: Row, results: Results) -> list[Any]:
    ends = row.bounds
    bounds = ("", "", "") if ends is None else (row.interval, *ends)
    figures = (results.baseline, row.mean, *bounds, results.drop(row))
    form = ".6f" if results.kind.is_share else ".6g"
    shown = [f"{figure:{form}}" if isinstance(figure, float) else figure for figure in figures]
    return [len(row.accuracies), row.samples, *shown]


def table(results: Results) -> str:
    """The table for reading: one block for each sweep, accuracies in percent."""
    general, how = results.study.study, results.kind
    if how.is_share:
        baseline = f"{100 * results.baseline:.2f} %"
        judged = "test images" if general.metric["name"] == "accuracy" else "answers"
    else:
        baseline, judged = f"{how.label} {results.baseline:.4g}", "test samples"
    lines = [
        general.title or general.name,
        f"digital baseline {baseline} {'of' if how.is_share else 'over'} {results.samples} "
        f"{judged}; "
        f"{_chips(results)}, {'mean and 95 % interval' if general.chips > 1 else 'one draw'}",
    ]
    if general.reference is not None:
        lines.append(published(results))
    for sweep in results.study.sweep:
        rows = results.sweep(sweep.name)
        lines += ["", sweep.title or sweep.name, *_block(sweep, rows, results)]
    if results.prices:
        lines += ["", _PRICED]
    if not results.complete:
        lines += ["", "not complete: run the study again to evaluate the missing points"]
    return "\n".join(lines)


def published(results: Results) -> str:
    """How the digital network compares with the value that was published; empty without one."""
    reference = results.study.study.reference
    if reference is None:
        return ""
    of = f" by {reference.source}" if reference.source else ""
    if not results.kind.is_share:
        gained = results.baseline - reference.value
        return f"published{of} {reference.value:.4g}, difference {gained:+.4g}"
    gained = 100 * results.baseline - reference.value
    return f"published{of} {reference.value:.2f} %, difference {gained:+.2f} points"


_PRICED: Final = (
    "costs are of one inference of the first chip; * on the Pareto front: no point is as good for "
    "less of it"
)


def _block(sweep: Sweep, rows: tuple[Row, ...], results: Results) -> Iterator[str]:
    titles = [titled(name, axis) for name, axis in sweep.axes.items()]
    share = results.kind.is_share
    unit = " (%)" if share else ""
    priced = next(iter(results.prices.values()), ())
    cells = [[*titles, f"{results.kind.label}{unit}", f"drop{unit}", *heads(priced)]]
    fronts = results.fronts if priced else None
    for row in rows:
        drop, name = results.drop(row), name_of(row)
        costs = fronts.cells(name, results.prices.get(name, ())) if fronts is not None else []
        cells.append(
            [
                *(shown(value) for value in row.setting.values()),
                _with_interval(row, share),
                f"{100 * drop:.2f}" if share else f"{drop:.4g}",
                *(costs or [""] * len(heads(priced))),
            ]
        )
    yield from (f"  {line}" for line in aligned(cells, str.rjust, "   "))


def _with_interval(row: Row, share: bool) -> str:
    """The mean and its interval; one that the ends of [0, 1] cut off is told by its ends."""
    half, ends = row.interval, row.bounds
    if not share:
        return f"{row.mean:.4g}" + ("" if half is None else f" ± {half:8.2g}")
    mean = f"{100 * row.mean:6.2f}"
    if half is None or ends is None:
        return mean
    if ends == (row.mean - half, row.mean + half):
        return f"{mean} ± {100 * half:5.2f}"
    return f"{mean} ({100 * ends[0]:.2f} to {100 * ends[1]:.2f})"


def titled(name: str, axis: Axis) -> str:
    """The label and the unit of an axis."""
    label = axis.label or name
    return f"{label} ({axis.unit})" if axis.unit else label


def shown(value: Any) -> str:
    """A setting in the form for reading."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _chips(results: Results) -> str:
    counts = {len(row.accuracies) for row in results} or {results.study.study.chips}
    least, most = min(counts), max(counts)
    words = str(most) if least == most else f"{least} to {most}"
    return f"{words} chip{'s' if most > 1 else ''}"
