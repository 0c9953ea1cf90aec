"""Line resistance, exactly."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    Context,
    Distribution,
    Parameter,
    Stream,
    Wired,
    Wires,
    parameter,
)
from memcore_plugins.nonidealities._wiring import Wiring


@dataclass(frozen=True, kw_only=True)
class IrDrop(Wiring):
    """Voltage lost along word lines and bit lines, and the sneak currents that follow from it.

    For ohmic cells the currents of an array are `v @ A` with one matrix A(G, wires), solved exactly
    when the cells are written or age. Reads then cost as much as without wires.

    Each cell owns the word-line segment on its driver's side and the bit-line segment on its sense
    side. A matrix smaller than a tile is an array of its own size; of larger ones, the last tiles
    are filled with cells of the lowest conductance, on word lines at 0 V. Noise of single cells
    comes out too low, at most by the part of the current that wires take.

    Lines that are broken, and resistances of drivers and sense nodes that are distributions, belong
    to a chip: they are drawn once. Behind a break a line is open, and its cells float between the
    other lines.

    With `columns="shared"`, `tile` is the size of a part: the physical array has the bit lines of
    all parts, (32, 64) for the two of a differential pair in tiles of (32, 32), and there are half
    as many arrays as `memcore.summary` counts.
    """

    drive: Literal["left", "right", "both"] = parameter(
        "left", "1", "ends of the word lines that are driven"
    )
    sense_at: Literal["bottom", "top", "both"] = parameter(
        "bottom", "1", "ends of the bit lines that are sensed"
    )
    columns: Literal["separate", "shared"] = parameter(
        "separate",
        "1",
        "whether positive and negative columns are in separate arrays or side by side on shared "
        "word lines; a reference column always shares the word lines of its array",
    )
    placement: Literal["as_mapped", "sorted"] = parameter(
        "as_mapped",
        "1",
        "order of the lines: as the mapper placed them, or sorted, so that word lines that conduct "
        "more are nearer to the sense nodes, and bit lines that conduct more to the drivers; lines "
        "that conduct the same stay in the order of their numbers",
    )

    driver: Parameter = parameter(  # type: ignore[assignment]  # a number in the approximations
        0.0, "ohm", "resistance of the source that drives a word line, drawn for each line"
    )
    sense: Parameter = parameter(  # type: ignore[assignment]
        0.0, "ohm", "resistance between a bit line and its virtual ground, drawn for each line"
    )
    first: bool = parameter(
        True, "1", "whether there is a segment between a driver and the cell next to it"
    )
    last: bool = parameter(
        True, "1", "whether there is a segment between a sense node and the cell next to it"
    )
    open_word_lines: float = parameter(
        0.0, "1", "probability that a word line is broken, at any of its segments", within=(0, 1)
    )
    open_bit_lines: float = parameter(
        0.0, "1", "probability that a bit line is broken, at any of its segments", within=(0, 1)
    )

    neutral: ClassVar = Wiring.neutral | {"open_word_lines": 0.0, "open_bit_lines": 0.0}

    @property
    def brings(self) -> frozenset[str]:
        return frozenset({"wires"})

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        wired = Wired(
            self._drawn(array, ctx),
            array,
            shared=self.columns == "shared",
            sort=self.placement == "sorted",
        )
        return wired.to(ctx.torch_device)

    def _drawn(self, array: ArrayInfo, ctx: Context) -> Wires:
        """The wires of the arrays, with defects and what differs from line to line."""
        parts = array.parts if self.columns == "shared" else 1
        count, rows, cols = array.arrays // parts, array.rows, array.cols * parts
        of_word, of_bit = cols + (self.drive == "both"), rows + (self.sense_at == "both")
        word, bit = self.resistances
        random = ctx.random.child
        wires = Wires(
            word_line=_broken(
                self.open_word_lines, word, (count, rows, of_word), random("word_line")
            ),
            bit_line=_broken(self.open_bit_lines, bit, (count, cols, of_bit), random("bit_line")),
            driver=_per_line(self.driver, (count, rows), random("driver")),
            sense=_per_line(self.sense, (count, cols), random("sense")),
            first=self.first,
            last=self.last,
            drive=self.drive,
            sense_at=self.sense_at,
        )
        if isinstance(wires.bit_line, Tensor):
            return dataclasses.replace(wires, bit_line=wires.bit_line.mT)
        return wires


def _broken(
    probability: float, ohm: float, shape: tuple[int, int, int], random: Stream
) -> float | Tensor:
    """Segments [arrays, lines, segments] in ohm; one of each line that is broken is infinite."""
    if not probability:
        return ohm
    *lines, segments = shape
    breaks = random.child("breaks").uniform(lines) < probability
    place = (random.child("place").uniform(lines) * segments).long().clamp(max=segments - 1)
    where = breaks[..., None] & (place[..., None] == torch.arange(segments, device="cpu"))
    return torch.where(
        where, torch.inf, torch.full(where.shape, ohm, dtype=torch.float64, device="cpu")
    )


def _per_line(value: Parameter, lines: tuple[int, int], random: Stream) -> float | Tensor:
    """A resistance of each line in ohm, or of all lines."""
    if not isinstance(value, Distribution):
        return value.double() if isinstance(value, Tensor) else value
    return value.sample(random, lines).double()
