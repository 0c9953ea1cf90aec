"""`gallery`: figures that were published of chips, beside those of memcore's cost models."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcore._text import aligned, hint
from memcore.contracts.cost import CostModel
from memcore.errors import ConfigError
from memcore.registry.specs import plugin
from memcore.report.chip_file import UNITS, ChipFile, PublishedFigure, chips
from memcore.report.cost import cost
from memcore.report.cost_report import CostReport
from memcore.report.networks import network_of


@dataclass(frozen=True, kw_only=True)
class ChipFigure:
    """A published figure beside ours.

    Args:
        name: what the figure says.
        published: the published value, in `unit`.
        ours: the value of the cost model, in `unit`.
        unit: unit of both; "1" for counts.
        source: key of the source in the bibliography.
        location: where in the source.
        note: why the two differ.
    """

    name: str
    published: float
    ours: float
    unit: str
    source: str
    location: str = ""
    note: str = ""

    @property
    def difference(self) -> float:
        """Relative difference: 0.1 where ours is 10 % larger than what was published."""
        return self.ours / self.published - 1


@dataclass(frozen=True, kw_only=True)
class ChipComparison:
    """What was published of a chip beside what memcore says; `str()` is a table.

    Args:
        name: name of the chip.
        title: title for people.
        model: name of the cost model.
        figures: published figures beside ours.
    """

    name: str
    title: str
    model: str
    figures: tuple[ChipFigure, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "model": self.model,
            "figures": [{**vars(each), "difference": each.difference} for each in self.figures],
        }

    def __str__(self) -> str:
        head = ("figure", "published", "memcore", "difference", "source")
        notes = dict.fromkeys(each.note for each in self.figures if each.note)
        return "\n".join(
            [
                f"{self.name}: {self.title}; cost model {self.model!r}",
                *aligned([head, *map(_row, self.figures)]),
                *(f"  {note}" for note in notes),
            ]
        )


def gallery(*which: str | Path) -> tuple[ChipComparison, ...]:
    """Hold the cost models against what was published of chips.

    Args:
        *which: names of chips that come with memcore, or paths of TOML files; all that come with
            memcore by default.

    Raises:
        ConfigError: there is no such chip, or a file asks for a figure that there is not.

    Examples:
        >>> (chip,) = memcore.gallery("isaac")
        >>> chip.figures[0].published, round(chip.figures[0].ours, 1)
        (65.8, 65.8)
    """
    return tuple(_compared(ChipFile.read(each)) for each in which or chips())


def _compared(chip: ChipFile) -> ChipComparison:
    network = None
    if chip.network:
        with torch.device("meta"):  # systems are priced from shapes
            network = network_of(chip.network)
    runs: dict[str, _Run] = {}
    figures = []
    for each in chip.figures:
        key = repr(sorted(each.parameters.items()))
        if key not in runs:
            runs[key] = _Run(chip, network, each.parameters)
        figures.append(runs[key].beside(each))
    return ChipComparison(
        name=chip.name, title=chip.title, model=chip.model["name"], figures=tuple(figures)
    )


class _Run:
    """A chip with one set of parameters, and the figures it has."""

    def __init__(
        self, chip: ChipFile, network: nn.Module | None, parameters: Mapping[str, Any]
    ) -> None:
        self._chip = chip
        self._model: CostModel = plugin("costs", {**chip.model, **parameters})
        self._network = network

    def beside(self, figure: PublishedFigure) -> ChipFigure:
        """A published figure with ours."""
        above, slash, below = figure.ours.partition(" / ")
        divisor = self._value(below) if slash else 1.0
        if not divisor:
            raise ConfigError(
                f"chip {self._chip.name!r} divides by {below!r}, which is 0 in the cost model; "
                "expected a figure that it has"
            )
        ours = self._value(above) / divisor
        return ChipFigure(
            name=figure.name,
            published=float(figure.published),
            ours=ours / UNITS[figure.unit],
            unit=figure.unit,
            source=figure.source,
            location=figure.location,
            note=figure.note,
        )

    def _value(self, name: str) -> float:
        if name not in self._values:
            raise ConfigError(
                f"chip {self._chip.name!r} asks for {name!r}; expected one of "
                f"{', '.join(self._values)}{hint(name, self._values)}"
            )
        return self._values[name]

    @cached_property
    def _values(self) -> dict[str, float]:
        works = []
        found: dict[str, float] = {}
        if self._network is not None:
            inputs = torch.zeros(self._chip.input, device="meta")
            report = cost(self._network, inputs, model=self._model)
            works = [layer.work for layer in report.layers]
            found |= _of_report(report)
        figures = self._model.figures(works)
        return {**found, **{f"figures.{name}": value for name, value in figures.items()}}


def _of_report(report: CostReport) -> dict[str, float]:
    total = report.total
    found = {"energy": total.energy, "time": total.time, "area": total.area}
    found["operations"] = 2.0 * sum(
        layer.work.macs for layer in report.layers if layer.work.kind == "matrix"
    )
    for layer in report.layers:
        for name, count in layer.events.items():
            found[f"events.{name}"] = found.get(f"events.{name}", 0) + count
    for name, charge in report.components.items():
        for figure in ("energy", "time", "area"):
            found[f"components.{name}.{figure}"] = getattr(charge, figure)
    return found


def _row(figure: ChipFigure) -> tuple[str, ...]:
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    difference = 100 * figure.difference
    return (
        figure.name,
        f"{figure.published:.7g}{unit}",
        f"{figure.ours:.7g}{unit}",
        "none" if abs(difference) < 1e-7 else f"{difference:+.2g} %",
        f"{figure.source}, {figure.location}" if figure.location else figure.source,
    )
