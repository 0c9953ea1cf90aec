"""`ArrayCircuit`: the circuit of a layer's arrays, with its lines where they lie on the chip."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memcore.circuit.drive import Drive
from memcore.circuit.laid import LaidLaw, laid_series
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.series import SeriesElement
from memcore.circuit.solution import Solution
from memcore.circuit.solver import solve
from memcore.contracts.layout import Layout
from memcore.contracts.wires import Wires

_OHMIC = Ohmic()


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayCircuit:
    """What `memcore.circuit.solve` takes, and where the lines lie.

    Attributes:
        g: conductances, [arrays, rows, cols] S, lines as they are numbered. Parts of a weight that
            share word lines are one array.
        wires: resistances, by position; None for wires without resistance.
        law: current of a memristor for its voltage.
        series: transistor or selector in series with each memristor, None for nothing.
        layout: where the lines lie.
    """

    g: Tensor
    wires: Wires | None = None
    law: CellLaw = _OHMIC
    series: SeriesElement | None = None
    layout: Layout = dataclasses.field(default_factory=Layout)

    def solve(self, drive: Drive) -> Solution:
        """By `memcore.circuit.solve`, [..., arrays, rows, cols] of lines as they are numbered."""
        layout, law, series = self.layout, self.law, self.series
        if layout.row_order is not None or layout.col_order is not None:
            order = dataclasses.replace(layout, parts=1)
            law = law if isinstance(law, Ohmic) else LaidLaw(law, order)
            series = None if series is None else laid_series(series, order)
        found = solve(
            layout.place(self.g),
            Wires() if self.wires is None else self.wires.like(self.g),
            _placed(drive, layout, self.g.dtype),
            law=law,
            series=series,
        )
        cells: dict[str, Any] = {
            name: layout.restore(getattr(found, name))
            for name in ("word_line", "bit_line", "cell_current", "device_voltage")
        }
        return dataclasses.replace(found, **cells)


def _placed(drive: Drive, layout: Layout, dtype: torch.dtype) -> Drive:
    word, bit = drive.floating_word_lines, drive.floating_bit_lines
    end = drive.bit_line
    return Drive(
        word_line=layout.place_rows(drive.word_line.to(dtype)),
        bit_line=None if end is None else layout.place_cols(end.to(dtype)),
        floating_word_lines=None if word is None else layout.place_rows(word),
        floating_bit_lines=None if bit is None else layout.place_cols(bit),
    )
