"""Histograms as vector pictures: what was wanted as a line over what is there as areas."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from memcore.pages.markup import Html, tag
from memcore.pages.scale import Scale

_WIDTH: Final = 440.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 32.0, 44.0
_HALF: Final = 112.0  #: height of the counts on each side of the axis


@dataclass(frozen=True)
class Counts:
    """Cells of one kind, counted in the bins of a histogram.

    Attributes:
        label: name of the kind in the legend.
        held: number of cells in each bin by what they hold.
        wanted: number of cells in each bin by their target.
        look: number of the colour.
        aged: number of cells in each bin by what they hold later; empty if nothing passes.
    """

    label: str
    held: tuple[int, ...]
    wanted: tuple[int, ...]
    look: int = 0
    aged: tuple[int, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """A histogram with a logarithmic axis of counts; a second kind of cells hangs below the axis.

    Attributes:
        name: name of the file that it is saved in.
        title: what it shows, also for readers who do not see it.
        edges: edges of the bins in ascending order, one more than there are bins.
        x_label: name of the axis of values, with its unit.
        kinds: cells above the axis, and those below it if there are any.
    """

    name: str
    title: str
    edges: tuple[float, ...]
    x_label: str
    kinds: tuple[Counts, ...]

    @property
    def svg(self) -> Html:
        """The picture."""
        return _Drawing(self).svg()


class _Drawing:
    def __init__(self, histogram: Histogram) -> None:
        self.of = histogram
        self.x = Scale("linear", histogram.edges[0], histogram.edges[-1])
        self.most = max(
            (max(k.held + k.wanted + k.aged, default=0) for k in histogram.kinds), default=0
        )
        self.axis = _TOP + _HALF
        self.bottom = self.axis + _HALF * (len(histogram.kinds) - 1)
        self.height = self.bottom + _BOTTOM

    def at(self, value: float) -> float:
        return _LEFT + self.x.place(value) * (_WIDTH - _LEFT - _RIGHT)

    def up(self, count: float, side: int) -> float:
        """The height of a count on a side, 0 above the axis and 1 below it."""
        reach = math.log1p(count) / math.log1p(max(self.most, 1)) * (_HALF - 4)
        return self.axis + (reach if side else -reach)

    def svg(self) -> Html:
        return tag(
            "svg",
            tag("title", self.of.title),
            [self._grid(side) for side in range(len(self.of.kinds))],
            [self._kind(kind, side) for side, kind in enumerate(self.of.kinds)],
            self._values(),
            self._legend(),
            self._bins(),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:g} {self.height:g}",
            role="img",
            aria_label=self.of.title,
            class_="chart",
            data_name=self.of.name,
        )

    def _grid(self, side: int) -> list[Html]:
        parts = []
        for count in _decades(self.most):
            y = f"{self.up(count, side):.1f}"
            parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            label = f"{count:,}".replace(",", "\u202f")
            parts.append(tag("text", label, x=_LEFT - 7, y=y, dy="0.35em", class_="tick end"))
        return parts

    def _values(self) -> list[Html]:
        y, centre = f"{self.axis:.1f}", (_LEFT + _WIDTH - _RIGHT) / 2
        middle = f"{(_TOP + self.bottom) / 2:.1f}"
        ticks = [
            tag(
                "text",
                tick.label,
                x=f"{_LEFT + tick.place * (_WIDTH - _LEFT - _RIGHT):.1f}",
                y=self.bottom + 16,
                class_="tick middle",
            )
            for tick in self.x.ticks
        ]
        return [
            tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="axis"),
            *ticks,
            tag("text", self.of.x_label, x=centre, y=self.height - 7, class_="label middle"),
            tag(
                "text",
                "cells",
                transform=f"translate(13 {middle}) rotate(-90)",
                class_="label middle",
            ),
        ]

    def _kind(self, kind: Counts, side: int) -> Html:
        floor = f"{self.axis:.1f}"
        bars = "".join(
            f"M{self.at(low):.1f} {floor}V{self.up(count, side):.1f}H{self.at(high):.1f}V{floor}z"
            for low, high, count in self._each(kind.held)
            if count
        )
        later = tag("path", d=self._steps(kind.aged, side), class_="aged") if kind.aged else None
        return tag(
            "g",
            tag("path", d=bars, class_="held"),
            tag("path", d=self._steps(kind.wanted, side), class_="wanted"),
            later,
            class_=f"series s{kind.look}",
        )

    def _steps(self, counts: Sequence[int], side: int) -> str:
        """The outline of counts."""
        steps = "".join(
            f"V{self.up(count, side):.1f}H{self.at(high):.1f}"
            for _, high, count in self._each(counts)
        )
        return f"M{self.at(self.of.edges[0]):.1f} {self.axis:.1f}{steps}V{self.axis:.1f}"

    def _each(self, counts: Sequence[int]) -> list[tuple[float, float, int]]:
        edges = self.of.edges
        return list(zip(edges[:-1], edges[1:], counts, strict=True))

    def _legend(self) -> list[Html]:
        x, parts = _LEFT, []
        for kind in self.of.kinds:
            square = tag("path", d=f"M{x:.1f} 8h12v9h-12z", class_="held")
            label = tag("text", kind.label, x=f"{x + 17:.1f}", y=12.5, dy="0.35em", class_="tick")
            parts.append(tag("g", square, label, class_=f"series s{kind.look}"))
            x += 30 + 6.1 * len(kind.label)
        lines = [("targets", "wanted")]
        lines += [("aged", "aged")] if any(kind.aged for kind in self.of.kinds) else []
        for word, look in lines:
            line = tag("path", d=f"M{x:.1f} 12.5h14", class_=look)
            name = tag("text", word, x=f"{x + 19:.1f}", y=12.5, dy="0.35em", class_="tick")
            parts.append(tag("g", line, name))
            x += 32 + 6.1 * len(word)
        return parts

    def _bins(self) -> list[Html]:
        """What each bin tells under the pointer."""
        marks = []
        for bin_, (low, high) in enumerate(zip(self.of.edges[:-1], self.of.edges[1:], strict=True)):
            lines = [
                f"{kind.label}: {kind.held[bin_]} cells, {kind.wanted[bin_]} targets"
                + (f", {kind.aged[bin_]} aged" if kind.aged else "")
                for kind in self.of.kinds
                if kind.held[bin_] or kind.wanted[bin_] or (kind.aged and kind.aged[bin_])
            ]
            if lines:
                tip = "\n".join([f"{low:.4g} to {high:.4g}", *lines])
                x = self.at(low)
                box = f"M{x:.1f} {_TOP}H{self.at(high):.1f}V{self.bottom:.1f}H{x:.1f}z"
                hit = tag("path", d=box, class_="hit")
                marks.append(tag("g", hit, class_="mark", data_tip=tip))
        return marks


def _decades(most: int) -> list[int]:
    """Powers of ten up to a count, at most four of them."""
    powers = range(len(str(max(most, 1))))
    step = 1 + len(powers) // 5
    return [10**power for power in powers][::step]
