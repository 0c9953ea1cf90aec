"""Effective matrices of crossbars: `python tests/bench_effective_conductance.py`, one thread.

All times are CPU times, medians of runs that take turns. The first table has the time of a matrix,
the floating-point operations of the algorithm and how many times longer it takes than these would
at the rate of a matrix product in the same run; the time of float32 relative to float64; and the
time of the gradient relative to the matrix. The kernel is to need at most three times as long as
its operations would in a product, the gradient at most three times as long as the matrix. The
second table compares with a sparse factorisation of the nodal equations (scipy): one adjoint solve
for each output, or one solve for each input vector, of which 200 are measured and scaled.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
import torch
from scipy import sparse
from scipy.sparse import linalg
from torch import Tensor

from memcore import Wires, effective_conductance, native

CASES = ((1, 64), (100, 64), (1, 128), (100, 128), (1, 256), (1, 512), (1, 1024))
WIRES = Wires(word_line=1.0, bit_line=1.0)
PRODUCT = 1024
SHORT = 0.01  #: s, of calls in a row
KIND = {torch.float64: "double", torch.float32: "float"}


def interleaved(
    work: Mapping[str, Callable[[], object]], *, seconds: float = 1.5, least: int = 3
) -> dict[str, float]:
    """Median CPU seconds of each alternative; all of them run in every round.

    Short ones run several times in a row, so that each has the caches to itself.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()  # what only a first call does
    repeats = {name: max(1, round(SHORT / max(timed(run), 1e-6))) for name, run in work.items()}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, run in work.items():
            times[name].append(timed(run, repeats[name]))
    return {name: median(values) for name, values in times.items()}


def timed(run: Callable[[], object], repeats: int = 1) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats


def arrays(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Conductances of 10 kiloohm to 1 megaohm."""
    return 10 ** -(4 + 2 * torch.rand(count, size, size, dtype=dtype))


def operations(g: Tensor) -> float:
    """What the kernel says it needs."""
    solve = getattr(native.cpu(), f"effective_conductance_{KIND[g.dtype]}")
    wire, out = torch.ones_like(g), torch.empty_like(g)
    addresses = (g.data_ptr(), wire.data_ptr(), wire.data_ptr())
    return float(solve(*addresses, *g.shape, False, False, 0, out.data_ptr()))


def gradient(g: Tensor) -> None:
    """Backwards through the matrix; the matrix itself is in it."""
    g = g.detach().requires_grad_()
    effective_conductance(g, WIRES).sum().backward()


def matrices() -> None:
    """Print the first table, and whether the targets are met."""
    worst = {"times a product": 0.0, "gradient / matrix": 0.0}
    print(f"{'arrays':>6}{'size':>6}{'dtype':>9}{'ms':>10}{'GFLOP':>9}{'x product':>11}", end="")
    print(f"{'/ float64':>11}{'gradient / matrix':>19}")
    for count, size in CASES:
        single = arrays(count, size, torch.float32)
        double = single.double()
        a, b = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT, dtype=torch.float64)
        with torch.no_grad():
            t = interleaved(
                {
                    "float64": lambda g=double: effective_conductance(g, WIRES),
                    "float32": lambda g=single: effective_conductance(g, WIRES),
                    "product64": lambda b=b: b @ b,
                    "product32": lambda a=a: a @ a,
                },
                seconds=2,
            )
        back = interleaved(
            {"float64": lambda g=double: gradient(g), "float32": lambda g=single: gradient(g)},
            seconds=2,
        )
        for bits, g in (("64", double), ("32", single)):
            name, needed = f"float{bits}", operations(g)
            rate = 2 * PRODUCT**3 / t[f"product{bits}"]
            print(f"{count:6}{size:6}{name:>9}{1e3 * t[name]:10.2f}{needed / 1e9:9.2f}", end="")
            found = t[name] * rate / needed, back[name] / t[name] - 1
            print(f"{found[0]:11.2f}{t[name] / t['float64']:11.2f}{found[1]:19.2f}")
            worst = {name: max(x, y) for (name, x), y in zip(worst.items(), found, strict=True)}
    for name, ratio in worst.items():
        print(f"{name}: at most {ratio:.2f}, the target of 3 is {'' if ratio <= 3 else 'NOT '}met")


def nodal(g: Tensor) -> tuple[sparse.csc_matrix, int]:
    """The conductance matrix of all nodes between driver and sense node, 1 ohm per segment."""
    rows, cols = g.shape
    path = sparse.diags(
        [-np.ones(cols - 1), np.r_[np.full(cols - 1, 2.0), 1.0], -np.ones(cols - 1)], [-1, 0, 1]
    )
    down = sparse.diags(
        [-np.ones(rows - 1), np.r_[1.0, np.full(rows - 1, 2.0)], -np.ones(rows - 1)], [-1, 0, 1]
    )
    word = sparse.kron(sparse.eye(rows), path)
    bit = sparse.kron(down, sparse.eye(cols))
    cell = sparse.diags(g.numpy().ravel())
    return sparse.bmat([[word + cell, -cell], [-cell, bit + cell]]).tocsc(), rows * cols


def factorise(matrix: sparse.csc_matrix) -> linalg.SuperLU:
    """The fastest of SuperLU's orderings for these."""
    options = {"SymmetricMode": True}
    return linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options=options)


def against_sparse(size: int, vectors: int) -> None:
    """Print one row of the second table."""
    g = arrays(1, size, torch.float64)[0]
    v = torch.rand(vectors, size, dtype=torch.float64)
    matrix, cells = nodal(g)
    lu = factorise(matrix)
    factor = timed(lambda: factorise(matrix))
    adjoint = np.zeros((2 * cells, size))
    adjoint[2 * cells - size + np.arange(size), np.arange(size)] = 1
    adjoints = timed(lambda: lu.solve(adjoint))
    some = min(vectors, 200)
    sources = np.zeros((2 * cells, some))
    sources[np.arange(size) * size] = v[:some].T.numpy()
    solves = timed(lambda: lu.solve(sources)) * vectors / some
    found = torch.from_numpy(lu.solve(sources)[2 * cells - size :].T.copy())
    error = ((v[:some] @ effective_conductance(g, WIRES) - found) / found).abs().max()
    a = effective_conductance(g, WIRES)
    t = interleaved({"matrix": lambda: effective_conductance(g, WIRES), "infer": lambda: v @ a})
    print(f"{size:6}{1e3 * t['matrix']:11.2f}{1e3 * (factor + adjoints):13.1f}", end="")
    print(f"{(factor + adjoints) / t['matrix']:8.0f}{1e3 * t['infer']:11.2f}", end="")
    print(
        f"{1e3 * (factor + solves):15.0f}{(factor + solves) / (t['matrix'] + t['infer']):8.0f}",
        end="",
    )
    print(f"{(factor + solves) / t['infer']:13.0f}{float(error):10.0e}")


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(native.status())
    print(f"torch {torch.__version__}; CPU times\n")
    matrices()
    print("\n10 000 input vectors, ms; scipy's solves are measured with 200 and scaled")
    head = ("size", "A", "LU + adjoint", "ratio", "v A", "LU + v", "ratio", "without A", "error")
    widths = (6, 11, 13, 8, 11, 15, 8, 13, 10)
    print("".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    for size in (64, 128, 256, 512):
        with torch.inference_mode():
            against_sparse(size, 10_000)


if __name__ == "__main__":
    main()
