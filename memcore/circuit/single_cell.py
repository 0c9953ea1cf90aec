"""A single conducting cell behind its lines."""

import torch
from torch import Tensor

from memcore.circuit.cell import Cell
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.losses import Lines
from memcore.circuit.series import SeriesElement
from memcore.contracts.wires import Wires

_OHMIC = Ohmic()


def path_resistance(
    rows: int, cols: int, wires: Wires, *, device: torch.device | str | None = None
) -> Tensor:
    """The resistance of the lines on the way of a cell's current if no other cell conducts.

    Along its word line from the driver and along its bit line to the sense node; where a line has
    both ends connected, the two ways in parallel.

    Args:
        rows: number of word lines.
        cols: number of bit lines.
        wires: resistances; tensors are float64, on the device.
        device: torch device of the result.

    Returns:
        [..., rows, cols] in ohm, float64.
    """
    cells = torch.zeros(rows, cols, dtype=torch.float64, device=device)
    return Lines.of(cells, wires).own


def single_cell_voltage(
    voltage: Tensor,
    g: Tensor,
    resistance: Tensor,
    *,
    law: CellLaw = _OHMIC,
    series: SeriesElement | None = None,
) -> Tensor:
    """The voltage that a memristor sees if no other cell conducts.

    The root U of `voltage` = U + U_series + R I(U): for an ohmic cell without a series element
    `voltage` / (1 + R G).

    Args:
        voltage: voltage between the ends of the lines in V, [*cells].
        g: conductances in siemens, [*cells].
        resistance: resistance R in series in ohm, [*cells], as `path_resistance` gives it for
            instance.
        law: current-voltage law of the memristors.
        series: element in series with each memristor besides, None for none.

    Returns:
        [*cells] in V, across the memristor itself.
    """
    cell = Cell(law=law, series=series, g=g.expand_as(voltage), own=resistance.expand_as(voltage))
    return cell.at(voltage, torch.zeros_like(voltage)).device
