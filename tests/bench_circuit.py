"""Circuits of crossbars: `python tests/bench_circuit.py`, one thread, medians, turns in one run.

The first table has sinh cells, in wall-clock milliseconds. The alternative is Newton's method with
a sparse factorisation (scipy's SuperLU) of the nodal equations for each vector and iteration. For
64 vectors it is measured with two and scaled.

The second table has ohmic cells, in CPU milliseconds: `solve`, and the same with an iteration for
each vector, which shares nothing between them. The alternative is one sparse factorisation, and the
same with the solutions of all vectors. 512 lines take a minute: `--large`.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from bench_effective_conductance import factorise
from scipy import sparse

import memcore.circuit.solver
from memcore import Wires
from memcore.circuit import Drive, Sinh, solve

LAW = Sinh(v0=0.25, read_voltage=0.2)
WIRES = Wires(word_line=1.0, bit_line=1.0)
ROUNDS = 5


def nodal(rows: int, cols: int) -> sparse.csc_matrix:
    """Wires of 1 ohm without cells: word-line nodes, then bit-line nodes."""
    path = sparse.diags(
        [-np.ones(cols - 1), np.r_[np.full(cols - 1, 2.0), 1.0], -np.ones(cols - 1)], [-1, 0, 1]
    )
    down = sparse.diags(
        [-np.ones(rows - 1), np.r_[1.0, np.full(rows - 1, 2.0)], -np.ones(rows - 1)], [-1, 0, 1]
    )
    word, bit = sparse.kron(sparse.eye(rows), path), sparse.kron(down, sparse.eye(cols))
    return sparse.block_diag([word, bit]).tocsc()


def newton(wires: sparse.csc_matrix, g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Cell currents by undamped Newton steps from 0 V, to 1e-10 of the largest source current."""
    rows, cols = g.shape
    cells = rows * cols
    source = np.zeros(2 * cells)
    source[np.arange(rows) * cols] = v
    scale = g.ravel() * LAW.read_voltage / np.sinh(LAW.read_voltage / LAW.v0)
    x = np.zeros(2 * cells)
    for _ in range(50):
        u = (x[:cells] - x[cells:]) / LAW.v0
        current, slope = scale * np.sinh(u), scale / LAW.v0 * np.cosh(u)
        excess = wires @ x - source + np.r_[current, -current]
        if np.abs(excess).max() < 1e-10 * np.abs(current).max():
            return current.reshape(rows, cols)
        cell = sparse.diags(slope)
        jacobian = (wires + sparse.bmat([[cell, -cell], [-cell, cell]])).tocsc()
        x -= factorise(jacobian).solve(excess)
    raise RuntimeError("Newton's method did not converge")


def compare(size: int, vectors: int) -> None:
    """Print one row."""
    g = 10 ** -(4 + 2 * torch.rand(size, size, dtype=torch.float64))
    v = torch.rand(vectors, size, dtype=torch.float64) * 0.6
    wires, some = nodal(size, size), min(vectors, 2)
    ours, theirs, error = [], [], 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = solve(g, WIRES, Drive.read(v), law=LAW)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        expected = [newton(wires, g.numpy(), each.numpy()) for each in v[:some]]
        theirs.append((time.perf_counter() - start) * vectors / some)
        for each, current in zip(found.cell_current, expected, strict=False):
            error = max(error, np.abs(each.numpy() - current).max() / np.abs(current).max())
    a, b = 1e3 * median(ours), 1e3 * median(theirs)
    spread = f"{1e3 * min(ours):.0f}-{1e3 * max(ours):.0f}"
    print(
        f"{size:6}{vectors:9}{a:11.1f}{spread:>14}{b:13.1f}{b / a:8.1f}"
        f"{found.iterations:7}{error:10.0e}"
    )


def timed(run: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def without_sharing(run: Callable[[], object]) -> object:
    """What `run` returns where each vector is solved by itself."""
    chosen = memcore.circuit.solver.worthwhile
    memcore.circuit.solver.worthwhile = lambda *_: False
    try:
        return run()
    finally:
        memcore.circuit.solver.worthwhile = chosen


def compare_ohmic(size: int, vectors: int) -> None:
    """Print one row of the second table."""
    g = 10 ** -(4 + 2 * torch.rand(size, size, dtype=torch.float64))
    v = torch.rand(vectors, size, dtype=torch.float64)
    cell = sparse.diags(g.flatten().numpy())
    nodes = (nodal(size, size) + sparse.bmat([[cell, -cell], [-cell, cell]])).tocsc()
    source = np.zeros((2 * g.numel(), vectors))
    source[np.arange(size) * size] = v.numpy().T
    rounds = ROUNDS if size < 256 else 2
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: solve(g, WIRES, Drive.read(v)),
        "alone": lambda: without_sharing(lambda: solve(g, WIRES, Drive.read(v))),
        "factor": lambda: factorise(nodes),
        "whole": lambda: factorise(nodes).solve(source),
    }
    times = {name: median(column) for name, column in _turns(work, rounds).items()}
    x = factorise(nodes).solve(source[:, :1])[: g.numel()].reshape(size, size)
    found = solve(g, WIRES, Drive.read(v)).word_line[0].numpy()
    ours = times["ours"]
    print(
        f"{size:6}{vectors:9}{ours:11.1f}{times['alone']:12.1f}{times['factor']:13.1f}"
        f"{times['whole']:13.1f}{times['alone'] / ours:9.1f}{times['factor'] / ours:9.1f}"
        f"{times['whole'] / ours:9.1f}{np.abs(found - x).max():10.0e}"
    )


def _turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            times[name].append(timed(run))
    return times


def ohmic() -> None:
    """Print the second table."""
    head = ("size", "vectors", "solve", "iterated", "sparse LU", "with all")
    ratios = ("iterated", "LU", "with all", "error")
    widths = (6, 9, 11, 12, 13, 13, 9, 9, 9, 10)
    print("".join(f"{name:>{width}}" for name, width in zip((*head, *ratios), widths, strict=True)))
    for size in (64, 128, 256, *([512] if "--large" in sys.argv else [])):
        for vectors in (1, 100):
            compare_ohmic(size, vectors)


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = ("size", "vectors", "ms", "lowest-highest", "sparse LU", "ratio", "steps", "error")
    widths = (6, 9, 11, 14, 13, 8, 7, 10)
    print("".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    for size in (64, 128):
        for vectors in (1, 64):
            compare(size, vectors)
    ohmic()


if __name__ == "__main__":
    main()
