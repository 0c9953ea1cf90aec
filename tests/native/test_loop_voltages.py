"""Voltages across the cells of small arrays, against dense nodal equations of one's own."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from memcore import ArgumentTypeError, ConfigError, ShapeError, Wires, native
from memcore.circuit import Drive, solve
from memcore.circuit.ohmic import OhmicCircuit
from memcore.ops.ladder import Ladders
from memcore.ops.loop_voltages import LoopLines, LoopVoltages, LoopWires

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

ENDS = list(itertools.product(("left", "right", "both"), ("bottom", "top", "both")))
SHAPES = [(1, 1), (1, 9), (9, 1), (7, 12), (16, 8)]
BOUND = {torch.float64: 1e-11, torch.float32: 1e-4}
Numbers = npt.NDArray[np.float64]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cells(*shape: int) -> Tensor:
    """Cells of 1 kiloohm to 1 megaohm, one of them open."""
    g = 10 ** -(3 + 3 * drawn(*shape))
    g[..., 0, 0] = 0
    return g


def lossy(rows: int, cols: int, ends: tuple[str, str], seed: int = 1) -> Wires:
    drive, sense_at = ends
    return Wires(
        word_line=20 * (0.5 + drawn(rows, cols + (drive == "both"), seed=seed)),
        bit_line=20 * (0.5 + drawn(rows + (sense_at == "both"), cols, seed=seed + 1)),
        driver=5.0,
        sense=9.0,
        drive=drive,  # type: ignore[arg-type]
        sense_at=sense_at,  # type: ignore[arg-type]
    )


def nodal(g: Tensor, wires: Wires, word_volts: Tensor, bit_volts: Tensor) -> tuple[Numbers, float]:
    """Voltages across the cells of one array, and the power of its wires, by all its nodes."""
    rows, cols = g.shape
    size = 2 * rows * cols
    matrix, right = np.zeros((size, size)), np.zeros(size)
    wire: list[tuple[int, Any, float]] = []  # node, another node or a voltage, ohm

    def word(i: int, j: int) -> int:
        return i * cols + j

    def bit(i: int, j: int) -> int:
        return rows * cols + i * cols + j

    def segment(x: Any, *at: int) -> float:
        return float(x[at]) if isinstance(x, Tensor) else float(x)

    for i in range(rows):
        ohm = [segment(wires.word_line, i, k) for k in range(cols + (wires.drive == "both"))]
        volts = float(word_volts[i])
        if wires.drive == "right":
            wire.append((word(i, cols - 1), volts, ohm[-1] + segment(wires.driver)))
            wire += [(word(i, k), (word(i, k + 1),), ohm[k]) for k in range(cols - 1)]
        else:
            wire.append((word(i, 0), volts, ohm[0] + segment(wires.driver)))
            wire += [(word(i, k), (word(i, k - 1),), ohm[k]) for k in range(1, cols)]
        if wires.drive == "both":
            wire.append((word(i, cols - 1), volts, ohm[cols] + segment(wires.driver)))
    for j in range(cols):
        ohm = [segment(wires.bit_line, k, j) for k in range(rows + (wires.sense_at == "both"))]
        volts = float(bit_volts[j])
        if wires.sense_at == "top":
            wire.append((bit(0, j), volts, ohm[0] + segment(wires.sense)))
            wire += [(bit(k, j), (bit(k - 1, j),), ohm[k]) for k in range(1, rows)]
        else:
            above = wires.sense_at == "both"
            wire.append((bit(rows - 1, j), volts, ohm[-1] + segment(wires.sense)))
            wire += [(bit(k, j), (bit(k + 1, j),), ohm[k + above]) for k in range(rows - 1)]
            if above:
                wire.append((bit(0, j), volts, ohm[0] + segment(wires.sense)))
    for node, other, ohm_of in wire:
        matrix[node, node] += 1 / ohm_of
        if isinstance(other, tuple):
            matrix[other[0], other[0]] += 1 / ohm_of
            matrix[node, other[0]] -= 1 / ohm_of
            matrix[other[0], node] -= 1 / ohm_of
        else:
            right[node] += other / ohm_of
    for i, j in itertools.product(range(rows), range(cols)):
        a, b, siemens = word(i, j), bit(i, j), float(g[i, j])
        matrix[[a, b], [a, b]] += siemens
        matrix[[a, b], [b, a]] -= siemens
    x = np.linalg.solve(matrix, right)
    lost = sum(
        (x[node] - (x[other[0]] if isinstance(other, tuple) else other)) ** 2 / ohm_of
        for node, other, ohm_of in wire
    )
    return (x[: rows * cols] - x[rows * cols :]).reshape(rows, cols), float(lost)


def found(g: Tensor, wires: Wires, drive: Drive, tolerance: float = 1e-12) -> LoopVoltages:
    circuit = OhmicCircuit.of(g, wires.like(g))
    assert circuit is not None
    out = circuit.solve(g, drive, tolerance)
    assert out is not None
    return out


@pytest.mark.parametrize("dtype", BOUND, ids=("double", "single"))
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_they_are_those_of_nodal_equations(
    shape: tuple[int, int], ends: tuple[str, str], dtype: torch.dtype
) -> None:
    g, wires = cells(2, *shape), lossy(*shape, ends)
    word, bit = drawn(2, shape[0], seed=5) - 0.3, drawn(2, shape[1], seed=6) - 0.5
    drive = Drive(word_line=word.to(dtype), bit_line=bit.to(dtype))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    out = found(g.to(dtype), wires, drive, tolerance)
    for k in range(2):
        voltage, lost = nodal(g[k], wires, word[k], bit[k])
        assert abs(out.voltage[k].double().numpy() - voltage).max() < BOUND[dtype]
        assert float(out.lost[k]) == pytest.approx(lost, rel=20 * BOUND[dtype], abs=1e-15)


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "grounded"])
def test_writing_leaves_voltages_as_close_as_solving_anew(scheme: Any) -> None:
    """Each solution starts from the one before, while drives, one cell or all cells change."""
    rows, cols = 9, 7
    g, wires = cells(1, rows, cols), lossy(rows, cols, ("left", "bottom"))
    circuit = OhmicCircuit.of(g, wires)
    assert circuit is not None
    for turn in range(30):
        row, col = divmod(7 * turn % (rows * cols), cols)
        drive = Drive.select(rows, cols, row, col, 2.5 if turn % 3 else -1.5, scheme)
        assert drive.bit_line is not None
        for _ in range(3):
            out = circuit.solve(g, drive, 1e-8)
            assert out is not None
            expected, _ = nodal(g[0], wires, drive.word_line, drive.bit_line)
            assert abs(out.voltage[0].numpy() - expected).max() < 2.5e-8
            g = g.clone()
            g[0, row, col] *= 3 if turn % 2 else 0.2
            if turn % 5 == 0:
                g *= 1 + 0.1 * drawn(rows, cols, seed=turn)


@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_resistances_of_arrays_are_their_own(ends: tuple[str, str]) -> None:
    g, drive = cells(3, 5, 6), Drive.select(5, 6, 1, 2, 1.0)
    each = [lossy(5, 6, ends, seed=10 * k) for k in range(3)]
    lines = {name: torch.stack([getattr(w, name) for w in each]) for name in ("word_line",)}
    together = Wires(
        **lines,
        bit_line=torch.stack([torch.as_tensor(w.bit_line) for w in each]),
        driver=5.0,
        sense=9.0,
        drive=each[0].drive,
        sense_at=each[0].sense_at,
    )
    out = found(g, together, drive)
    for k, wires in enumerate(each):
        alone = found(g[k : k + 1], wires, drive)
        assert torch.equal(out.voltage[k], alone.voltage[0])
        assert torch.equal(out.residual[k], alone.residual[0])


@pytest.mark.parametrize(("word", "bit"), [(0, 0), (7, 0), (0, 7), (1e5, 1e5)])
def test_resistances_of_zero_are_exact_and_high_ones_solved(word: float, bit: float) -> None:
    g, wires = cells(1, 12, 9), Wires(word_line=word, bit_line=bit)
    drive = Drive.select(12, 9, 3, 4, 1.2)
    out = found(g, wires, drive)
    expected = solve(g, wires, drive, tolerance=1e-12, start=solve(g, Wires(), drive))
    torch.testing.assert_close(out.voltage, expected.device_voltage, rtol=0, atol=1e-11)
    assert drive.bit_line is not None
    if not word and not bit:
        assert torch.equal(out.voltage[0], drive.word_line[:, None] - drive.bit_line)
        assert float(out.lost) == 0


def test_where_nothing_is_driven_nothing_is_left_of_the_start() -> None:
    g, wires = cells(1, 4, 3), lossy(4, 3, ("left", "bottom"))
    circuit = OhmicCircuit.of(g, wires)
    assert circuit is not None
    circuit.last = torch.ones(1, 4, 3, dtype=torch.float64)
    out = circuit.solve(g, Drive(word_line=torch.zeros(4, dtype=torch.float64)), 1e-8)
    assert out is not None
    assert not out.voltage.any()
    assert out.residual.tolist() == out.lost.tolist() == [0.0]


def lines_of(ohm: Tensor) -> list[LoopLines]:
    return [LoopLines.of(ohm, None, Ladders.of(None, ohm, dim=dim)) for dim in (-1, -2)]


def test_a_solution_is_not_solved_again_and_what_is_out_of_reach_is_said_to_be() -> None:
    ohm, g = 30 * torch.ones(1, 8, 8, dtype=torch.float64), cells(1, 8, 8)
    wires, ends = LoopWires(*lines_of(ohm)), (drawn(1, 8), drawn(1, 8, seed=2))
    first = wires.solve(g, *ends, tolerance=1e-9)
    again = wires.solve(g, *ends, tolerance=1e-9, start=first.voltage)
    assert torch.equal(first.voltage, again.voltage)
    assert 0 < float(first.residual) <= 1e-9
    best = wires.solve(g, *ends, tolerance=1e-30)
    assert 0 < float(best.residual) < 1e-13
    assert float(wires.solve(g, *ends, tolerance=1e-9, iterations=1).residual) > 1e-9
    circuit = OhmicCircuit(wires)
    assert circuit.solve(g, Drive(word_line=ends[0], bit_line=ends[1]), 1e-30) is None


def test_what_does_not_fit_is_refused() -> None:
    ohm, g = torch.ones(2, 3, 4, dtype=torch.float64), torch.ones(2, 3, 4, dtype=torch.float64)
    wires, word, bit = LoopWires(*lines_of(ohm)), drawn(2, 3), drawn(2, 4)
    few = (g[:1], word[:1], bit[:1])
    for wrong in (few, (g, word.mT, bit), (g, word, bit[:, :3]), (g[0],) * 3):
        with pytest.raises(ShapeError, match="expected"):
            wires.solve(*wrong, tolerance=1e-8)
    with pytest.raises(ShapeError, match="start has shape"):
        wires.solve(g, word, bit, tolerance=1e-8, start=g[0])
    with pytest.raises(ArgumentTypeError, match=r"torch.float32"):
        wires.solve(g.float(), word, bit, tolerance=1e-8)
    large = torch.ones(1, 200, 100, dtype=torch.float64)
    assert OhmicCircuit.of(large, Wires(word_line=1.0)) is None
    with pytest.raises(ConfigError, match=r"20000 cells.*at most 16384"):
        LoopWires(*lines_of(large)).solve(large, large[:, :, 0], large[:, 0], tolerance=1e-8)
