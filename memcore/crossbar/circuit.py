"""The circuit that is behind the product of a crossbar's arrays."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from memcore.circuit import CellLaw, Drive, Ohmic, SeriesElement, Solution, solve
from memcore.contracts.effect import NonIdeality
from memcore.contracts.layout import Layout
from memcore.contracts.records import Stage
from memcore.contracts.wires import Wires
from memcore.crossbar.given import Solved
from memcore.crossbar.tiling import Tiling
from memcore.crossbar.wired import Wired
from memcore.errors import ConfigError
from memcore.registry.specs import provided_name

_OHMIC = Ohmic()


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayCircuit:
    """What `memcore.circuit.solve` takes, and where the lines lie.

    Attributes:
        g: [arrays, rows, cols] S, lines as they are numbered. Parts of a weight that share word
            lines are one array.
        wires: resistances, by position.
        law: of the memristors.
        series: what is in series with each, None for nothing.
        layout: of the lines.
    """

    g: Tensor
    wires: Wires
    law: CellLaw = _OHMIC
    series: SeriesElement | None = None
    layout: Layout = dataclasses.field(default_factory=Layout)

    @classmethod
    def of(cls, g: Tensor, product: nn.Module | None, effects: Mapping[str, NonIdeality]) -> Self:
        """Of conductances [arrays, rows, cols] and what makes currents of them.

        A product of one's own without wires may say the law of its cells by a method `cell_law()`.

        Raises:
            ConfigError: it is the product of no circuit.
        """
        g = g.double()
        if product is None:
            return cls(g=g, wires=Wires())
        if isinstance(product, Solved):
            return cls(g=g, wires=product.wires.like(g), law=product.law, series=product.series)
        if isinstance(product, Wired):
            layout = product.layout(g)
            return cls(g=layout.join(g), wires=product.wires.like(g), layout=layout)
        law = getattr(product, "cell_law", None)
        if callable(law):
            return cls(g=g, wires=Wires(), law=law())
        raise ConfigError(_no_circuit(effects))

    def read(self, v: Tensor, tiling: Tiling) -> Drive:
        """Inputs [..., rows] V, with several groups [..., groups, rows], on the word lines."""
        groups, rows = tiling.groups, tiling.rows
        if v.shape[-1:] != (rows,) or (groups > 1 and v.shape[-2:-1] != (groups,)):
            wanted = f"[..., {groups}, {rows}]" if groups > 1 else f"[..., {rows}]"
            raise ConfigError(
                f"v has shape {tuple(v.shape)}, but g has {rows} rows; expected v {wanted} in V"
            )
        batch = v.shape[:-2] if groups > 1 else v.shape[:-1]
        lines = tiling.spread(v.reshape(-1, groups, rows).double())
        # The parts that share word lines come first, each with all of its tiles.
        lines = lines[:, : len(self.g)]
        return Drive.read(lines.reshape(*batch, *lines.shape[1:]))

    def solve(self, drive: Drive) -> Solution:
        """By `memcore.circuit.solve`, [..., arrays, rows, cols] of lines as they are numbered."""
        layout, law, series = self.layout, self.law, self.series
        if layout.row_order is not None or layout.col_order is not None:
            law = law if isinstance(law, Ohmic) else _PlacedLaw(law, layout)
            series = None if series is None else _PlacedSeries(series, layout)
        found = solve(
            layout.place(self.g),
            self.wires,
            _placed(drive, layout, self.g.dtype),
            law=law,
            series=series,
        )
        cells: dict[str, Any] = {
            name: layout.restore(getattr(found, name))
            for name in ("word_line", "bit_line", "cell_current", "device_voltage")
        }
        return dataclasses.replace(found, **cells)


def _no_circuit(effects: Mapping[str, NonIdeality]) -> str:
    found = ((name, effect) for name, effect in effects.items() if effect.stage is Stage.MVM)
    name, effect = next(found, ("an effect", None))
    exact = None if effect is None else effect.exact()
    if exact is None:
        return (
            f"{name!r} computes the currents in a way of its own: there is no circuit behind it; "
            "expected wires=, law=, series=, ir_drop, or a form with a method cell_law()"
        )
    return (
        f"{name!r} is an approximation: there is no circuit behind it; take what it approximates, "
        f"{provided_name(exact)!r} with the same resistances"
    )


def _placed(drive: Drive, layout: Layout, dtype: torch.dtype) -> Drive:
    word, bit = drive.floating_word_lines, drive.floating_bit_lines
    end = drive.bit_line
    return Drive(
        word_line=layout.place_rows(drive.word_line.to(dtype)),
        bit_line=None if end is None else layout.place_cols(end.to(dtype)),
        floating_word_lines=None if word is None else layout.place_rows(word),
        floating_bit_lines=None if bit is None else layout.place_cols(bit),
    )


class _PlacedLaw:
    """A law whose parameters are those of numbered lines, for cells by their positions."""

    def __init__(self, law: CellLaw, layout: Layout) -> None:
        self.law, self.layout = law, layout

    def current(self, u: Tensor, g: Tensor) -> Tensor:
        place, restore = self.layout.place, self.layout.restore
        return place(self.law.current(restore(u), restore(g)))

    def slope(self, u: Tensor, g: Tensor) -> Tensor:
        place, restore = self.layout.place, self.layout.restore
        return place(self.law.slope(restore(u), restore(g)))


class _PlacedSeries:
    """The same for what is in series with the memristors."""

    def __init__(self, element: SeriesElement, layout: Layout) -> None:
        self.element, self.layout = element, layout

    def current(self, u: Tensor) -> Tensor:
        return self.layout.place(self.element.current(self.layout.restore(u)))

    def slope(self, u: Tensor) -> Tensor:
        return self.layout.place(self.element.slope(self.layout.restore(u)))
