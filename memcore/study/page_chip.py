"""The part of a report that shows a chip: histograms of its cells, and maps of what wires take."""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from memcore._text import scaled
from memcore.errors import StudyError
from memcore.pages.heat import Heat
from memcore.pages.histogram import Counts, Histogram
from memcore.pages.markup import Html, tag
from memcore.pages.table import Cell, Column, table
from memcore.report.wires import Loss
from memcore.study.first_chip import FirstChip, Held, Seen, first_chip
from memcore.study.page_sweeps import drawn
from memcore.study.results import Results

_BINS: Final = 44
_MOST: Final = 24  #: pictures of a kind; the tables have all matrices
_UNITS: Final = ((1e-3, "mS"), (1e-6, "µS"), (1e-9, "nS"), (1e-12, "pS"))
_KINDS: Final = ("positive", "negative", "reference")
_CELLS: Final = (
    Column("layer", "layer"),
    Column("kind", "cells that count"),
    Column("cells", "number", True),
    Column("target", "mean target", True),
    Column("held", "mean held", True),
    Column("error", "rms error", True),
    Column("worst", "largest error", True),
)
_AGED: Final = Column("aged", "mean aged", True)
_WIRES: Final = (
    Column("layer", "layer"),
    Column("array", "array", True),
    Column("lines", "word × bit lines"),
    Column("mean", "mean loss (%)", True),
    Column("largest", "largest loss (%)", True),
)


def sections(results: Results, *, own_code: bool = False) -> Iterator[Html]:
    """The sections about the first chip, or why it cannot be shown."""
    try:
        chip = first_chip(results, own_code=own_code)
    except StudyError as error:
        yield tag(
            "section",
            tag("h2", "What the cells hold"),
            tag("p", f"The first chip is not shown: {error}.", class_="note"),
            id="cells",
        )
        return
    yield _cells(chip, results.study.study.name)
    losing = [(seen, seen.loss) for seen in chip.matrices if seen.loss is not None]
    if losing:
        yield _wires(losing, results.study.study.name)


def links(parts: Sequence[Html]) -> list[tuple[str, str]]:
    """The names in the bar of the page of the sections that are there."""
    known = (("cells", "Cells"), ("wires", "Wires"))
    return [(key, text) for key, text in known if any(f'id="{key}"' in part for part in parts)]


def _cells(chip: FirstChip, study: str) -> Html:
    head = (
        f"The first chip with {chip.at}, right after writing. Positive cells add to a weight and "
        "stand above the axis, negative cells and reference columns are subtracted and hang below "
        "it; the line is what they should hold. Counts have a logarithmic axis."
    )
    if chip.life.passes:
        head += f" The broken line is what they hold after {chip.life}."
    left = ", ".join(chip.left_out)
    few = f" The pictures are of the first {_MOST}." if len(chip.matrices) > _MOST else ""
    left = f"Too large to be written again for this page: {left}." if left else ""
    pictures = [drawn(_histogram(seen, study)) for seen in chip.matrices[:_MOST]]
    rows = [_row(seen, held) for seen in chip.matrices for held in seen.cells]
    columns = [*_CELLS, _AGED] if chip.life.passes else _CELLS
    return tag(
        "section",
        tag("h2", "What the cells hold"),
        tag("p", head, class_="note"),
        tag("p", f"{left}{few}".strip(), class_="note") if left or few else None,
        tag("div", pictures, class_="two"),
        table(f"{study}-cells", "Cells of each layer", columns, rows),
        id="cells",
    )


def _row(seen: Seen, held: Held) -> list[Cell]:
    error = held.held - held.targets
    worst = float(error[error.abs().argmax()])
    numbers = [
        *(float(each.mean()) for each in (held.targets, held.held)),
        float(error.square().mean().sqrt()),
        worst,
    ]
    numbers += [] if held.aged is None else [float(held.aged.mean())]
    return [
        Cell(_name(seen)),
        Cell(held.kind),
        Cell(str(len(error)), float(len(error))),
        *(Cell(_siemens(n), n) for n in numbers),
    ]


def _siemens(value: float) -> str:
    return scaled(float(f"{value:.4g}"), "S").replace("uS", "µS")


def _histogram(seen: Seen, study: str) -> Histogram:
    values = torch.cat([part for held in seen.cells for part in _parts(held)])
    largest = float(values.max())
    size, unit = next(((s, u) for s, u in _UNITS if largest >= s), _UNITS[-1])
    low, high = float(values.min()) / size, largest / size
    room = 0.02 * (high - low) or 0.5 * abs(high) or 0.5
    edges = torch.linspace(low - room, high + room, _BINS + 1, dtype=torch.float64, device="cpu")
    above = [held for held in seen.cells if held.kind == "positive"]
    below = [held for held in seen.cells if held.kind != "positive"]
    kinds = [_counts(some, edges, size) for some in (above, below) if some]
    return Histogram(
        name=f"{study}-cells-{_name(seen)}",
        title=f"Conductances of the cells of {_name(seen)}, held and wanted",
        edges=tuple(edges.tolist()),
        x_label=f"{_name(seen)}: conductance ({unit})",
        kinds=tuple(kinds),
    )


def _parts(held: Held) -> list[Tensor]:
    return [held.targets, held.held, *([] if held.aged is None else [held.aged])]


def _counts(some: Sequence[Held], edges: Tensor, size: float) -> Counts:
    def counted(parts: list[Tensor]) -> tuple[int, ...]:
        places = torch.bucketize(torch.cat(parts) / size, edges).sub(1).clamp(0, _BINS - 1)
        return tuple(torch.bincount(places, minlength=_BINS).tolist())

    aged = some[0].aged is not None
    return Counts(
        label=" and ".join(held.kind for held in some),
        held=counted([held.held for held in some]),
        wanted=counted([held.targets for held in some]),
        look=_KINDS.index(some[0].kind),
        aged=counted([held.aged for held in some if held.aged is not None]) if aged else (),
    )


def _wires(losing: Sequence[tuple[Seen, Loss]], study: str) -> Html:
    top = _round_up(max(float(loss.shares.max()) for _, loss in losing))
    few = f" The maps are of the first {_MOST}." if len(losing) > _MOST else ""
    quantity = losing[0][1].quantity
    told = {
        "voltage": "the part of the read voltage that does not reach a cell",
        "conductance": "the part of a cell's conductance that does not count",
    }[quantity]
    head = (
        f"Line resistance: {told}, with all word lines driven alike, in the array of each layer "
        "that loses most. Lines stand in the order of their numbers, and the shades are the same "
        f"in all maps.{few}"
    )
    maps = [drawn(_map(seen, loss, top, study)) for seen, loss in losing[:_MOST]]
    rows = [
        [
            Cell(_name(seen)),
            Cell(str(loss.array), float(loss.array)),
            Cell(f"{loss.shape[0]} × {loss.shape[1]}"),
            *(Cell(f"{100 * part:.3g}", 100 * part) for part in (loss.mean, loss.largest)),
        ]
        for seen, loss in losing
    ]
    return tag(
        "section",
        tag("h2", "What the wires take"),
        tag("p", head, class_="note"),
        tag("div", maps, class_="two"),
        table(f"{study}-wires", "Losses of each layer", _WIRES, rows),
        id="wires",
    )


def _map(seen: Seen, loss: Loss, top: float, study: str) -> Heat:
    shares = (100 * loss.shares.clamp(min=0)).tolist()
    return Heat(
        name=f"{study}-wires-{_name(seen)}",
        title=f"Part of the {loss.quantity} that the wires of {_name(seen)} take",
        head=f"{_name(seen)}, array {loss.array}",
        values=tuple(map(tuple, shares)),
        shape=loss.shape,
        top=100 * top,
        label=f"{loss.quantity} lost (%)",
    )


def _round_up(share: float) -> float:
    """The next of 1, 2, 4 and 8 times a power of ten, so that steps of an eighth are round."""
    for power in range(-6, 1):
        for factor in (1, 2, 4, 8):
            top = float(f"{factor}e{power}")
            if share <= top:
                return top
    return share


def _name(seen: Seen) -> str:
    return seen.name or "the model"
