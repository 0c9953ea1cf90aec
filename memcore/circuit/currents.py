"""Currents through the cells of a crossbar for given inputs, without its matrix."""

import math
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.circuit import loops
from memcore.circuit.gradients import warn_of_gradients
from memcore.circuit.segments import canonical, check_cells
from memcore.circuit.terminals import require_volts
from memcore.contracts.wires import Wires
from memcore.errors import ArgumentTypeError, ConfigError, ConvergenceError, ShapeError
from memcore.ops.checks import require_same_dtype
from memcore.ops.ladder import Ladders

#: What rounding leaves room for.
TOLERANCE: Final = MappingProxyType({torch.float32: 1e-5, torch.float64: 1e-10})


def cell_currents(
    v: Tensor, g: Tensor, wires: Wires, *, tolerance: float | None = None, iterations: int = 10_000
) -> Tensor:
    """Solve a crossbar of ohmic cells for input vectors, by conjugate gradients.

    Each iteration solves all word lines and all bit lines exactly, for given voltages of the other
    ones. It costs O(rows x cols) for a vector and needs no matrix, so that this is for arrays too
    large for `effective_conductance`, or for a vector or two. It takes the more iterations the more
    voltage the wires lose. Sums over rows are the currents of the bit lines, sums over columns
    those of the drivers. There are no gradients.

    Args:
        v: voltages of the drivers, [..., rows].
        g: conductances [..., rows, cols] in siemens, at least 0; leading dimensions broadcast.
        wires: resistances.
        tolerance: bound of what is missing in the sum of voltages around the loop through each
            cell, relative to the voltages of the drivers, for every vector. Both are weighted by
            the root of the cells' conductances, in the Euclidean norm over all cells. None for
            1e-10, or 1e-5 in float32, in proportion more there for more than 256 lines.
        iterations: largest number of iterations; none are needed without any resistance.

    Returns:
        [..., rows, cols] in ampere.

    Raises:
        ConvergenceError: if the tolerance is not met.
        ArgumentTypeError: if dtypes differ or are not float32 or float64.
        ConfigError: if a shape does not fit, a voltage or a conductance is not finite or too
            large, or the tolerance is not above 0.
    """
    check_cells(g)
    if not isinstance(v, Tensor):
        raise ArgumentTypeError(
            f"v is a {type(v).__name__}; expected a tensor: use torch.as_tensor(v)"
        )
    require_same_dtype("v", v, "g", g)
    batch = _batch(v, g)
    check_iteration(tolerance, iterations, least=0)
    require_volts("v", v)
    warn_of_gradients("cell_currents", v=v, g=g, wires=wires)
    tolerance = _tolerance(g) if tolerance is None else tolerance
    with torch.no_grad():
        straight, word, bit, flips = canonical(g, wires)
        source = (v.flip(-1) if -2 in flips else v)[..., None]
        equations = _equations(straight, word, bit, wires)
        applied = source.expand(*batch, *g.shape[-2:])
        cells = loops.solve(equations, applied, v.new_full((), tolerance), iterations)
        _require_met(cells, tolerance)
        out = straight * cells.voltage
    return out.flip(flips) if flips else out


def _require_met(cells: loops.LoopVoltages, tolerance: float) -> None:
    """Refuse voltages that miss the tolerance."""
    if not cells.met:
        raise ConvergenceError(
            f"the residual is {float(cells.residual.max()):.1e} after {cells.iterations} "
            f"iterations; expected at most {tolerance:.1e}: allow more iterations or a larger "
            "tolerance, or use float64"
        )


def _tolerance(g: Tensor) -> float:
    """What the rounding of sums over all lines leaves room for."""
    tolerance = TOLERANCE[g.dtype]
    return tolerance * max(1.0, max(g.shape[-2:]) / 256) if g.dtype == torch.float32 else tolerance


def _batch(v: Tensor, g: Tensor) -> tuple[int, ...]:
    """The leading dimensions of voltages and arrays together."""
    try:
        if v.shape[-1:] == g.shape[-2:-1]:
            return np.broadcast_shapes(v.shape[:-1], g.shape[:-2])
    except ValueError:
        pass
    raise ShapeError(
        f"v has shape {list(v.shape)}, but g has {list(g.shape)}; expected [..., rows], with "
        "leading dimensions that broadcast to those of g"
    )


def check_iteration(tolerance: float | None, iterations: int, least: int = 1) -> None:
    """Refuse a tolerance or a number of iterations that no iteration can end with."""
    fits = isinstance(tolerance, float) or _check.is_integer(tolerance)
    if tolerance is not None and not (fits and 0 < tolerance < math.inf):
        raise ConfigError(f"tolerance={shown(tolerance)}; expected a number above 0")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < least:
        raise ConfigError(f"iterations={iterations!r}; expected how many at most, at least {least}")


def _equations(g: Tensor, word: Tensor, bit: Tensor, wires: Wires) -> loops.Loops:
    """The equations of an array that is driven at the left and sensed at the bottom."""
    far_word = far_bit = None
    if wires.drive == "both":
        word, far_word = word[..., :-1], word[..., -1]
    if wires.sense_at == "both":
        bit, far_bit = bit[..., 1:, :], bit[..., 0, :]

    def lines(shunt: Tensor | None) -> tuple[Ladders, Ladders]:
        return (
            Ladders.of(shunt, word, far_word, dim=-1),
            Ladders.of(shunt, bit, far_bit, dim=-2, near_last=True),
        )

    of_word, of_bit = lines(None)
    cells = lines(g)
    return loops.Loops(
        g=g,
        word=cells[0],
        bit=cells[1],
        drop=lambda current: of_word.solve(current)[0].add_(of_bit.solve(current)[0]),
    )
