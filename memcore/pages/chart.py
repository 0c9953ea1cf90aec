"""Charts as vector pictures: lines with intervals and single values, coloured by the page."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memcore.pages.markup import Html, tag
from memcore.pages.scale import Scale, Tick

_WIDTH: Final = 440.0
_HEIGHT: Final = 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 14.0, 46.0
_LETTER: Final = 5.9  #: mean width of a letter of a label
_ROW: Final = 16.0  #: height of a row of the legend
_LINE: Final = 54  #: letters in a line as wide as the picture, in the letters of a phone
#: Outlines of the marks of the series, about their middle.
_SHAPES: Final = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.6 -3.6h7.2v7.2h-7.2z",
    "M0 -4.8L4.4 3.4H-4.4z",
    "M0 -5L5 0L0 5L-5 0z",
    "M0 4.8L4.4 -3.4H-4.4z",
    "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
)


@dataclass(frozen=True)
class Mark:
    """A point of a series.

    Attributes:
        x: value on the axis.
        y: height.
        tip: text that shows when the pointer is on it.
        low: lower end of its interval, if there is one.
        high: upper end of its interval.
        dots: single values that it is the mean of.
    """

    x: Any
    y: float
    tip: str
    low: float | None = None
    high: float | None = None
    dots: tuple[float, ...] = ()


@dataclass(frozen=True)
class Series:
    """Marks of one kind; lines join them where the axis has an order.

    Attributes:
        label: name in the legend; empty for none.
        marks: points, in the order of the line.
        joined: whether a line goes through them.
        look: number of the colour and the shape.
    """

    label: str
    marks: tuple[Mark, ...]
    joined: bool = True
    look: int = 0


@dataclass(frozen=True)
class Level:
    """A horizontal line with its name, to compare with."""

    value: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A picture of series over one axis.

    Attributes:
        name: name of the file that it is saved in.
        title: what it shows, for readers who do not see it.
        x: axis of the values.
        y: axis of the heights.
        x_label: name of the axis of the values, with its unit.
        y_label: name of the axis of the heights, with its unit.
        series: what is drawn.
        level: line to compare with, if there is one.
    """

    name: str
    title: str
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    level: Level | None = None

    @property
    def svg(self) -> Html:
        """The picture."""
        return _Drawing(self).svg()


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        named = [series for series in chart.series if series.label]
        self.legend = list(_placed(named)) if len(named) > 1 else []
        rows = 1 + max((row for _, _, row in self.legend), default=-1)
        self.x_label = _lines(chart.x_label, _LINE)
        self.slanted = chart.x.kind == "category" and _is_crowded(chart.x.ticks)
        self.top = _TOP + _ROW * rows + (4 if rows else 0)
        self.bottom = self.top + _HEIGHT - _TOP - _BOTTOM
        self.height = self.bottom + _BOTTOM + (44 if self.slanted else 0)
        self.height += 15 * (len(self.x_label) - 1)

    def x(self, value: Any) -> float:
        return _LEFT + self.chart.x.place(value) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        place = min(max(self.chart.y.place(value), -0.01), 1.01)
        return self.bottom - place * (self.bottom - self.top)

    def svg(self) -> Html:
        chart = self.chart
        return tag(
            "svg",
            tag("title", chart.title),
            self._grid(),
            self._labels(),
            self._level(),
            [self._series(series) for series in chart.series],
            [self._entry(series, x, row) for series, x, row in self.legend],
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:g} {self.height:g}",
            role="img",
            aria_label=chart.title,
            class_="chart",
            data_name=chart.name,
        )

    def _grid(self) -> list[Html]:
        ends = {"x1": _LEFT, "x2": _WIDTH - _RIGHT}
        lines = []
        for tick in self.chart.y.ticks:
            y = f"{self.bottom - tick.place * (self.bottom - self.top):.1f}"
            lines.append(tag("line", **ends, y1=y, y2=y, class_="grid"))
            lines.append(tag("text", tick.label, x=_LEFT - 7, y=y, dy="0.35em", class_="tick end"))
        y = f"{self.bottom:.1f}"
        return [*lines, tag("line", **ends, y1=y, y2=y, class_="axis")]

    def _labels(self) -> list[Html]:
        middle = f"{(self.top + self.bottom) / 2:.1f}"
        centre = (_LEFT + _WIDTH - _RIGHT) / 2
        ticks = self.chart.x.ticks
        shown = ticks if self.chart.x.kind == "category" else _apart(ticks)
        return [
            *(self._tick(tick) for tick in shown),
            *(
                tag("text", line, x=centre, y=self.height - 7 - 15 * above, class_="label middle")
                for above, line in enumerate(reversed(self.x_label))
            ),
            tag(
                "text",
                _lines(self.chart.y_label, 40, 1)[0],
                transform=f"translate(13 {middle}) rotate(-90)",
                class_="label middle",
            ),
        ]

    def _tick(self, tick: Tick) -> Html:
        x = _LEFT + tick.place * (_WIDTH - _LEFT - _RIGHT)
        label = tick.label if len(tick.label) <= 20 else f"{tick.label[:19]}…"
        if not self.slanted:
            return tag("text", label, x=f"{x:.1f}", y=self.bottom + 16, class_="tick middle")
        at = f"translate({x + 4:.1f} {self.bottom + 13:.1f}) rotate(-28)"
        return tag("text", label, transform=at, class_="tick end")

    def _level(self) -> list[Html]:
        level = self.chart.level
        if level is None:
            return []
        y = f"{self.y(level.value):.1f}"
        end = _WIDTH - _RIGHT
        return [
            tag("line", x1=_LEFT, x2=end, y1=y, y2=y, class_="level"),
            tag("text", level.label, x=end, y=y, dy="-4", class_="tick end strong"),
        ]

    def _series(self, series: Series) -> Html:
        marks = series.marks
        line = [f"{self.x(mark.x):.1f} {self.y(mark.y):.1f}" for mark in marks]
        drawn = [self._band(marks)] if series.joined else []
        drawn += [tag("path", d="M" + "L".join(line), class_="line")] if series.joined else []
        drawn += [self._mark(mark, series.look) for mark in marks]
        return tag("g", drawn, class_=f"series s{series.look % len(_SHAPES)}")

    def _band(self, marks: Sequence[Mark]) -> Html | None:
        ends = [(self.x(m.x), m.low, m.high) for m in marks]
        if any(low is None or high is None for _, low, high in ends):
            return None
        above = [f"{x:.1f} {self.y(high or 0.0):.1f}" for x, _, high in ends]
        below = [f"{x:.1f} {self.y(low or 0.0):.1f}" for x, low, _ in reversed(ends)]
        return tag("path", d=f"M{'L'.join([*above, *below])}Z", class_="band")

    def _mark(self, mark: Mark, look: int) -> Html:
        x, y = self.x(mark.x), self.y(mark.y)
        parts = [
            tag("circle", cx=f"{x:.1f}", cy=f"{self.y(dot):.1f}", r=1.7, class_="dot")
            for dot in mark.dots
        ]
        if mark.low is not None and mark.high is not None:
            low, high = self.y(mark.low), self.y(mark.high)
            path = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6"
            parts.append(tag("path", d=f"{path}M{x - 3:.1f} {high:.1f}h6", class_="bar"))
        at = f"translate({x:.1f} {y:.1f})"
        parts.append(tag("path", d=_SHAPES[look % len(_SHAPES)], transform=at, class_="shape"))
        parts.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=11, class_="hit"))
        return tag("g", parts, class_="mark", data_tip=mark.tip)

    def _entry(self, series: Series, x: float, row: int) -> Html:
        y = _TOP + _ROW * row
        shape = _SHAPES[series.look % len(_SHAPES)]
        return tag(
            "g",
            tag("path", d=shape, transform=f"translate({x + 6:.1f} {y:.1f})", class_="shape"),
            tag(
                "text",
                _lines(series.label, _LINE, 1)[0],
                x=f"{x + 15:.1f}",
                y=y,
                dy="0.35em",
                class_="tick",
            ),
            class_=f"series s{series.look % len(_SHAPES)}",
        )


def _lines(text: str, letters: int, most: int = 2) -> list[str]:
    """A text in lines; what does not fit is left out, and the table below has it."""
    words = textwrap.TextWrapper(letters, max_lines=most, placeholder=" …", break_on_hyphens=False)
    return words.wrap(text) or [""]


def _placed(named: Sequence[Series]) -> Iterator[tuple[Series, float, int]]:
    """Where the names of the legend stand, in as many rows as they need."""
    x, row = _LEFT, 0
    for series in named:
        width = 27 + _LETTER * min(len(series.label), _LINE)
        if x > _LEFT and x + width > _WIDTH - _RIGHT:
            x, row = _LEFT, row + 1
        yield series, x, row
        x += width


def _apart(ticks: Sequence[Tick]) -> Iterator[Tick]:
    """The labels that do not run into the one before, on an axis with an order."""
    end = -1e9
    for tick in sorted(ticks, key=lambda tick: tick.place):
        half = 0.5 * _LETTER * len(tick.label) + 3
        middle = tick.place * (_WIDTH - _LEFT - _RIGHT)
        if middle - half >= end:
            end = middle + half
            yield tick


def _is_crowded(ticks: Sequence[Tick]) -> bool:
    longest = max((len(tick.label) for tick in ticks), default=0)
    return longest * _LETTER + 6 > (_WIDTH - _LEFT - _RIGHT) / max(len(ticks), 1)
