"""The results of a study: rows, their intervals over chips, the table and the CSV."""

import csv
import io
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memcore._text import aligned
from memcore.study.config import RESERVED, Axis, Study, Sweep

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, eq=False)
class Row:
    """One finished point.

    Attributes:
        sweep: name of the sweep.
        index: index within the sweep, from 0.
        setting: value of each axis, by name.
        correct: number of right answers of each chip.
        samples: number of test images that each chip saw.
    """

    sweep: str
    index: int
    setting: dict[str, Any]
    correct: tuple[int, ...]
    samples: int

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracy of each chip, in [0, 1]."""
        return tuple(right / self.samples for right in self.correct)

    @property
    def mean(self) -> float:
        """The mean accuracy over chips, in [0, 1]."""
        return sum(self.correct) / (len(self.correct) * self.samples)

    @property
    def interval(self) -> float | None:
        """Half the width of the 95 % t-interval of the mean; `None` for a single chip."""
        chips = len(self.correct)
        if chips < 2:
            return None
        deviation = statistics.stdev(self.correct) / self.samples
        return t_quantile(chips - 1) * deviation / math.sqrt(chips)


@dataclass(frozen=True, eq=False)
class Results:
    """A study's rows beside its digital baseline; `str()` is the table.

    Attributes:
        study: the study.
        baseline: accuracy of the digital network on the same images, in [0, 1].
        samples: number of these images.
        rows: finished points, in the order of the table.
        complete: whether no point is missing.
        folder: folder of the files.
    """

    study: Study
    baseline: float
    samples: int
    rows: tuple[Row, ...]
    complete: bool
    folder: Path

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return table(self)

    def sweep(self, name: str) -> tuple[Row, ...]:
        """The rows of one sweep."""
        return tuple(row for row in self.rows if row.sweep == name)

    @property
    def csv(self) -> Path:
        """Write the table as a CSV file."""
        return self.folder / "results.csv"

    @property
    def plot(self) -> Path:
        """Write the picture of the results."""
        return self.folder / "plot.png"


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
    """The CSV, a line for each point; accuracies in [0, 1], `ci95` is half of the interval."""
    axes = list(dict.fromkeys(axis for row in results for axis in row.setting))
    before, after = RESERVED[:1], RESERVED[1:]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*before, *axes, *after])
    for row in results:
        settings = [row.setting.get(axis, "") for axis in axes]
        writer.writerow([row.sweep, *settings, *_figures(row, results)])
    return file.getvalue()


def _figures(row: Row, results: Results) -> list[Any]:
    half = row.interval
    bounds = ("", "", "") if half is None else (half, row.mean - half, row.mean + half)
    figures = (results.baseline, row.mean, *bounds, results.baseline - row.mean)
    shown = [f"{figure:.6f}" if isinstance(figure, float) else figure for figure in figures]
    return [len(row.correct), row.samples, *shown]


def table(results: Results) -> str:
    """The table for reading: one block for each sweep, accuracies in percent."""
    general = results.study.study
    lines = [
        general.title or general.name,
        f"digital baseline {100 * results.baseline:.2f} % of {results.samples} test images; "
        f"{_chips(general.chips)}, {'mean and 95 % interval' if general.chips > 1 else 'one draw'}",
    ]
    for sweep in results.study.sweep:
        rows = results.sweep(sweep.name)
        lines += ["", sweep.title or sweep.name, *_block(sweep, rows, results.baseline)]
    if not results.complete:
        lines += ["", "not complete: run the study again to evaluate the missing points"]
    return "\n".join(lines)


def _block(sweep: Sweep, rows: tuple[Row, ...], baseline: float) -> Iterator[str]:
    heads = [titled(name, axis) for name, axis in sweep.axes.items()]
    cells = [[*heads, "accuracy (%)", "drop (%)"]]
    for row in rows:
        half = row.interval
        spread = "" if half is None else f" ± {100 * half:5.2f}"
        cells.append(
            [
                *(shown(value) for value in row.setting.values()),
                f"{100 * row.mean:6.2f}{spread}",
                f"{100 * (baseline - row.mean):.2f}",
            ]
        )
    yield from (f"  {line}" for line in aligned(cells, str.rjust, "   "))


def titled(name: str, axis: Axis) -> str:
    """The label and the unit of an axis."""
    label = axis.label or name
    return f"{label} ({axis.unit})" if axis.unit else label


def shown(value: Any) -> str:
    """A setting in the form for reading."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _chips(count: int) -> str:
    return f"{count} chip{'s' if count > 1 else ''}"
