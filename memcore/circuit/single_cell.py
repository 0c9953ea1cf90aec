"""A single conducting cell behind its lines."""

import numpy as np
import torch
from torch import Tensor

from memcore import _check
from memcore.circuit.cell import Cell, root
from memcore.circuit.gated import GatedCell, GatedPoint
from memcore.circuit.inputs import check_elements
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.losses import Lines
from memcore.circuit.segments import check_wires
from memcore.circuit.series import SeriesElement, gated
from memcore.contracts.units import MOST_CELLS
from memcore.contracts.wires import Wires
from memcore.errors import ShapeError
from memcore.ops.checks import require_same_device, require_same_dtype

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
    word, bit = path_resistances(rows, cols, wires, device=device)
    return word + bit


def path_resistances(
    rows: int, cols: int, wires: Wires, *, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """As `path_resistance`, the parts of the word line and of the bit line by themselves."""
    check_wires(wires)
    rows = _check.integer("rows", rows, at_least=1, at_most=MOST_CELLS)
    cols = _check.integer("cols", cols, at_least=1, at_most=max(1, MOST_CELLS // rows))
    _check.torch_device("device", device)
    lead = _lead(wires)
    lines = Lines.of(torch.zeros(*lead, rows, cols, dtype=torch.float64, device=device), wires)
    return lines.word.own, lines.bit.own


def _lead(wires: Wires) -> tuple[int, ...]:
    """The leading dimensions of resistances that differ from array to array."""
    own = {"word_line": 2, "bit_line": 2, "driver": 1, "sense": 1}
    tensors = {name: getattr(wires, name) for name in own}
    shapes = (x.shape[: -own[n]] for n, x in tensors.items() if isinstance(x, Tensor))
    return tuple(np.broadcast_shapes(*shapes))


def single_cell_voltage(
    voltage: Tensor,
    g: Tensor,
    resistance: Tensor,
    *,
    law: CellLaw = _OHMIC,
    series: SeriesElement | None = None,
    bit_resistance: Tensor | None = None,
) -> Tensor:
    """The voltage that a memristor sees if no other cell conducts.

    The root U of `voltage` = U + U_series + R I(U): for an ohmic cell without a series element
    `voltage` / (1 + R G).

    The gate line of a 1T1R cell has a potential against ground. Therefore the end of lower
    potential is at 0 V: that of the bit line for positive voltages, that of the word line for
    negative ones, as chips apply SET and RESET.

    Args:
        voltage: voltage between the ends of the lines in V, [*cells].
        g: conductances in siemens, [*cells].
        resistance: resistance R in series in ohm, [*cells], as `path_resistance` gives it for
            instance.
        law: current-voltage law of the memristors.
        series: element in series with each memristor besides, None for none.
        bit_resistance: the part of R between the series element and the end of the bit line in
            ohm, [*cells]; it matters to elements with a gate line only. None for nothing of R.

    Returns:
        [*cells] in V, across the memristor itself.

    Examples:
        >>> cell = torch.tensor([1e-4], dtype=torch.float64)
        >>> access = Transistor(gate_line=1.6)
        >>> single_cell_voltage(torch.tensor([1.0, -1.0]).double(), cell, 0 * cell, series=access)
        tensor([ 0.9136, -0.7101], dtype=torch.float64)
    """
    check_elements(law, series)
    g, resistance = _cells(voltage, g=(g, "S"), resistance=(resistance, "ohm"))
    gate = gated(series)
    if gate is None:
        cell = Cell(law=law, series=series, g=g, own=resistance)
        return cell.at(voltage, torch.zeros_like(voltage)).device
    bit = torch.zeros_like(resistance) if bit_resistance is None else bit_resistance
    (bit,) = _cells(voltage, bit_resistance=(bit, "ohm"))
    return _behind_gate(voltage, GatedCell(law=law, element=gate, g=g), resistance - bit, bit)


def _cells(voltage: Tensor, **others: tuple[Tensor, str]) -> list[Tensor]:
    """Tensors, with their units, as one value for each voltage."""
    _check.tensor("voltage", voltage, "[*cells]", "V")
    spread = []
    for name, (value, unit) in others.items():
        _check.tensor(name, value, "[*cells]", unit)
        require_same_dtype(name, value, "voltage", voltage)
        require_same_device(name, value, "voltage", voltage)
        try:
            spread.append(value.expand_as(voltage))
        except RuntimeError:
            raise ShapeError(
                f"{name} has shape {list(value.shape)}; expected one that broadcasts to that of "
                f"the voltage, {list(voltage.shape)}"
            ) from None
    return spread


def _behind_gate(voltage: Tensor, cell: GatedCell, word: Tensor, bit: Tensor) -> Tensor:
    """The root of the current I that flows at the potentials which it leaves of the ends."""
    guess = torch.zeros_like(voltage)

    def at(current: Tensor) -> GatedPoint:
        upper = voltage.clamp(min=0) - word * current
        return cell.at(upper, (-voltage).clamp(min=0) + bit * current, guess)

    def excess(current: Tensor) -> tuple[Tensor, Tensor]:
        point = at(current)
        return current - point.current, 1 + point.word * word + point.bit * bit

    most = at(guess).current
    return at(root(excess, most, most)).device
