"""Circuits of sinh cells: `python tests/bench_circuit.py`, one thread, wall-clock milliseconds.

The alternative is Newton's method with a sparse factorisation (scipy's SuperLU) of the nodal
equations for each vector and iteration. Both take their turns in the same run; medians. For 64
vectors the alternative is measured with two and scaled.
"""

import time
from statistics import median

import numpy as np
import torch
from bench_effective_conductance import factorise
from scipy import sparse

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


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = ("size", "vectors", "ms", "lowest-highest", "sparse LU", "ratio", "steps", "error")
    widths = (6, 9, 11, 14, 13, 8, 7, 10)
    print("".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    for size in (64, 128):
        for vectors in (1, 64):
            compare(size, vectors)


if __name__ == "__main__":
    main()
