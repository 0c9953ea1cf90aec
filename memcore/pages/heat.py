"""Maps of arrays as vector pictures: shades of one colour in steps, which the legend names."""

import math
from dataclasses import dataclass
from typing import Final

from memcore.pages.markup import Html, tag
from memcore.pages.scale import written

_WIDTH: Final = 440.0
_SIDE: Final = 256  #: about the largest width and height of the map itself
_LEFT, _TOP, _FOOT = 40, 44, 12
STEPS: Final = 8  #: number of shades


@dataclass(frozen=True)
class Heat:
    """A map of the cells of one array, word lines from top to bottom.

    Attributes:
        name: name of the file that it is saved in.
        title: what it shows, also for readers who do not see it.
        head: line above the map.
        values: a value for each field of the map, rows of equal length, at least 0.
        shape: numbers of word lines and bit lines that the fields cover.
        top: value of the darkest shade.
        label: name of the values with their unit, at the legend.
    """

    name: str
    title: str
    head: str
    values: tuple[tuple[float, ...], ...]
    shape: tuple[int, int]
    top: float
    label: str

    @property
    def svg(self) -> Html:
        """The picture."""
        return _Drawing(self).svg()


class _Drawing:
    def __init__(self, heat: Heat) -> None:
        self.of = heat
        rows, cols = heat.shape
        self.rows, self.cols = len(heat.values), len(heat.values[0])
        # Whole numbers, so that neighbouring fields leave no gap; few lines stay visible.
        self.dx = max(1, round(_SIDE * max(cols / max(rows, cols), 0.12) / self.cols))
        self.dy = max(1, round(_SIDE * max(rows / max(rows, cols), 0.12) / self.rows))
        self.width, self.height = self.dx * self.cols, self.dy * self.rows
        self.right = _LEFT + self.width

    def svg(self) -> Html:
        high = max(_TOP + self.height + _FOOT, _TOP + 180)
        return tag(
            "svg",
            tag("title", self.of.title),
            self._fields(),
            self._axes(),
            self._legend(),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:g} {high:g}",
            role="img",
            aria_label=self.of.title,
            class_="chart",
            data_name=self.of.name,
        )

    def _fields(self) -> list[Html]:
        """The fields of each shade as one path."""
        paths = [""] * STEPS
        box = f"h{self.dx}v{self.dy}h-{self.dx}z"
        for row, line in enumerate(self.of.values):
            for col, value in enumerate(line):
                at = f"M{_LEFT + col * self.dx} {_TOP + row * self.dy}"
                paths[self._shade(value)] += at + box
        shades = [tag("path", d=d, class_=f"heat h{k}") for k, d in enumerate(paths) if d]
        frame = f"M{_LEFT} {_TOP}h{self.width}v{self.height}h-{self.width}z"
        return [*shades, tag("path", d=frame, class_="frame")]

    def _shade(self, value: float) -> int:
        return min(STEPS - 1, max(0, math.ceil(value / self.of.top * STEPS) - 1))

    def _axes(self) -> list[Html]:
        rows, cols = self.of.shape
        middle = f"{_TOP + self.height / 2:.1f}"
        return [
            tag("text", self.of.head, x=_LEFT, y=14, class_="label strong"),
            tag("text", f"bit line 0 to {cols - 1}", x=_LEFT, y=_TOP - 7, class_="tick"),
            tag(
                "text",
                f"word line 0 to {rows - 1}",
                transform=f"translate({_LEFT - 9} {middle}) rotate(-90)",
                class_="tick middle",
            ),
        ]

    def _legend(self) -> list[Html]:
        x, y = self.right + 18, _TOP + 18
        parts = [tag("text", self.of.label, x=x, y=_TOP + 9, class_="tick")]
        for shade in reversed(range(STEPS)):
            low, high = (self.of.top * k / STEPS for k in (shade, shade + 1))
            box = f"M{x} {y}h16v15h-16z"
            text = f"{written(float(f'{low:.3g}'))} to {written(float(f'{high:.3g}'))}"
            parts.append(tag("path", d=box, class_=f"heat h{shade}"))
            parts.append(tag("text", text, x=x + 22, y=y + 7.5, dy="0.35em", class_="tick"))
            y += 18
        return parts
