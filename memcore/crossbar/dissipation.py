"""Power that the drivers of arrays deliver: V^2 G summed over cells, or what a circuit takes."""

from collections.abc import Callable

import torch
from torch import Tensor

from memcore.circuit.array import ArrayCircuit
from memcore.circuit.drive import Drive
from memcore.circuit.laws import Ohmic
from memcore.crossbar.effects import Effects
from memcore.crossbar.given import drive_of
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.product import circuit_of
from memcore.crossbar.tiling import Tiling

#: From word-line voltages [n, groups, rows] V to the power of all reads together, W.
Power = Callable[[Tensor], float]

#: Currents of single cells that are held at once, 128 MB of float64.
_AT_ONCE = 1 << 24

#: Conductances whose double precision stays in the cache.
_CACHED = 1 << 15


def power_of(effects: Effects | LaneEffects, settled: Tensor, tiling: Tiling) -> Power:
    """How much power reads take from the drivers of the word lines; bit lines are at 0 V.

    Wires, transistors and curved cells count as far as there is a circuit behind the effects;
    otherwise cells are ohmic and see what is applied. Noise of a read is left out.

    Args:
        effects: what the arrays are read with.
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        tiling: where the lines of the matrix lie.
    """
    if isinstance(effects, LaneEffects) and effects.product is not None:
        every = [power_of(*lane) for lane in effects.by_lane(settled, tiling)]
        return lambda v: sum(power(v) for power in every)
    circuit = None if effects.product is None else circuit_of(effects.product, settled.double())
    if circuit is None:
        return OhmicPower(settled, tiling)
    if isinstance(circuit.law, Ohmic) and circuit.series is None:
        return _linear(circuit, tiling)
    return _solved(circuit, tiling)


class OhmicPower:
    """Each word line sees the sum of its cells, and an input all word lines that it drives.

    Args:
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        tiling: where the lines of the matrix lie.
    """

    def __init__(self, settled: Tensor, tiling: Tiling) -> None:
        #: W for an input of 1 V, float64 [groups, rows].
        self.of_input = tiling.collected(_line_sums(settled))

    def __call__(self, v: Tensor) -> float:
        """Power of reads with word-line voltages [n, groups, rows] V, W."""
        return float((v.double().square().sum(0) * self.of_input).sum())


def _line_sums(g: Tensor) -> Tensor:
    """Sums over the bit lines of conductances [arrays, rows, cols] S, float64 [arrays, rows].

    In pieces that stay in the cache: torch adds up a whole tensor in another precision ten times
    more slowly.
    """
    if g.device.type != "cpu":
        return g.sum(-1, dtype=torch.float64)
    at_once = max(1, _CACHED // max(1, g.shape[1:].numel()))
    return torch.cat([some.double().sum(-1) for some in torch.split(g, at_once)])


def _linear(circuit: ArrayCircuit, tiling: Tiling) -> Power:
    """The currents of the word lines are linear in the voltages: one matrix for each array."""
    rows = circuit.g.shape[1]
    matrix = circuit.g.new_empty(len(circuit.g), rows, rows)
    at_once = max(1, _AT_ONCE // circuit.g.numel())
    units = torch.eye(rows, dtype=circuit.g.dtype, device=circuit.g.device)
    for first in range(0, rows, at_once):
        some = units[first : first + at_once]
        lines = _currents(circuit, some.unsqueeze(1).expand(-1, len(circuit.g), -1))
        matrix[:, first : first + at_once] = lines.transpose(0, 1)

    def power(v: Tensor) -> float:
        lines = drive_of(v, tiling, len(circuit.g)).word_line.reshape(len(v), -1, rows)
        return float(torch.einsum("nar,ark,nak->", lines, matrix, lines))

    return power


def _solved(circuit: ArrayCircuit, tiling: Tiling) -> Power:
    """Cells that are not ohmic are solved for each vector."""
    at_once = max(1, _AT_ONCE // circuit.g.numel())

    def power(v: Tensor) -> float:
        total = 0.0
        for some in torch.split(v, at_once):
            shape = (len(some), *circuit.g.shape[:2])
            lines = drive_of(some, tiling, len(circuit.g)).word_line.reshape(shape)
            total += float((lines * _currents(circuit, lines)).sum())
        return total

    return power


def _currents(circuit: ArrayCircuit, lines: Tensor) -> Tensor:
    """What each driver delivers, [n, arrays, rows] A: the current of all cells on its word line."""
    return circuit.solve(Drive.read(lines)).cell_current.sum(-1)
