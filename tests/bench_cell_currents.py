"""Single vectors in large crossbars: `python tests/bench_cell_currents.py`, one thread, CPU times.

The first table has the times of `cell_currents` to a residual of 1e-10, beside those of the matrix
where that takes less than a minute, and the largest error of a bit line's current relative to it.
The second compares with badcrossbar, which solves the nodal equations with a sparse factorisation.
"""

import logging
import warnings
from collections.abc import Callable
from types import ModuleType

import torch
from bench_effective_conductance import arrays, interleaved, timed
from torch import Tensor

from memcore import Wires, effective_conductance, native
from memcore.circuit import cell_currents

WIRES = Wires(word_line=1.0, bit_line=1.0)


def typical(run: Callable[[], object]) -> float:
    """CPU seconds of a call that is not the first."""
    return interleaved({"": run}, seconds=0.5)[""]


def one_vector(size: int, dtype: torch.dtype, tolerance: float) -> None:
    """Print one row of the first table."""
    g, v = arrays(1, size, dtype)[0], torch.rand(size, dtype=dtype)
    currents = cell_currents(v, g, WIRES, tolerance=tolerance).sum(0)
    ours = typical(lambda: cell_currents(v, g, WIRES, tolerance=tolerance))
    print(f"{size:6}{str(dtype)[6:]:>9}{tolerance:11.0e}{1e3 * ours:10.1f}", end="")
    if size > 2048:
        print(f"{'-':>12}{'-':>10}")
        return
    found: list[Tensor] = []
    matrix = timed(lambda: found.append(effective_conductance(g.double(), WIRES)))
    expected = v.double() @ found[0]
    print(f"{1e3 * matrix:12.0f}{float(((currents - expected) / expected).abs().max()):10.0e}")


def badcrossbar() -> ModuleType | None:
    """The package, if it can be used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that plots need more packages
        try:
            import badcrossbar as found
        except ImportError:
            return None
    logging.disable()
    return found if hasattr(found, "compute") else None


def against_badcrossbar(size: int, vectors: int, peer: ModuleType) -> None:
    """Print one row of the second table."""
    g, v = arrays(1, size, torch.float64)[0], torch.rand(vectors, size, dtype=torch.float64)

    def solve() -> Tensor:
        found = peer.compute(v.T.numpy(), (1 / g).numpy(), r_i=1.0)
        return torch.as_tensor(found.currents.output)

    theirs = timed(solve)
    expected = solve()
    single = typical(lambda: cell_currents(v, g, WIRES))
    matrix = typical(lambda: v @ effective_conductance(g, WIRES))
    error = float(((v @ effective_conductance(g, WIRES) - expected) / expected).abs().max())
    print(
        f"{size:6}{vectors:9}{1e3 * theirs:13.1f}{1e3 * single:15.1f}{theirs / single:7.0f}", end=""
    )
    print(f"{1e3 * matrix:12.2f}{theirs / matrix:7.0f}{error:10.0e}")


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(native.status())
    print(f"torch {torch.__version__}; CPU times in ms\n")
    print(f"{'size':>6}{'dtype':>9}{'tolerance':>11}{'ms':>10}{'matrix, ms':>12}{'error':>10}")
    for size in (128, 512, 1024, 2048, 4096):
        one_vector(size, torch.float64, 1e-10)
    one_vector(2048, torch.float32, 1e-5)
    peer = badcrossbar()
    if peer is None:
        print("\nbadcrossbar is not installed: pip install badcrossbar")
        return
    head = (
        "size",
        "vectors",
        "badcrossbar",
        "cell_currents",
        "ratio",
        "A and v A",
        "ratio",
        "error",
    )
    widths = (6, 9, 13, 15, 7, 12, 7, 10)
    print("\n" + "".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    for size, vectors in ((64, 1), (128, 1), (128, 100), (256, 1)):
        against_badcrossbar(size, vectors, peer)


if __name__ == "__main__":
    main()
