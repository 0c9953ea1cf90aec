"""Cell currents of large arrays against the effective matrix, nodal equations and physics."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memcore import ConfigError, ConvergenceError, Wires, effective_conductance
from memcore.circuit import cell_currents

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

ENDS = list(itertools.product(("left", "right", "both"), ("bottom", "top", "both")))
#: Tolerance that is asked for, and the error of the currents relative to the largest.
BOUND = {torch.float64: (1e-12, 1e-10), torch.float32: (1e-5, 2e-4)}
BOTH_DTYPES = pytest.mark.parametrize("dtype", BOUND, ids=("double", "single"))


def conductances(*shape: int, r_on: float = 1e3, ratio: float = 100.0) -> Tensor:
    """Random, their logarithms uniform between 1 / (ratio r_on) and 1 / r_on."""
    generator = torch.Generator().manual_seed(0)
    return ratio ** -torch.rand(shape, dtype=torch.float64, generator=generator) / r_on


def resistances(*shape: int, scale: float = 1.0, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * (0.5 + torch.rand(shape, dtype=torch.float64, generator=generator))


def voltages(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def cast(wires: Wires, dtype: torch.dtype) -> Wires:
    fields = {k: x.to(dtype) if isinstance(x, Tensor) else x for k, x in vars(wires).items()}
    return Wires(**fields)


def assert_currents(v: Tensor, g: Tensor, wires: Wires, dtype: torch.dtype = torch.float64) -> None:
    """They add up to what the matrix says, to what was asked for."""
    tolerance, bound = BOUND[dtype]
    got = cell_currents(v.to(dtype), g.to(dtype), cast(wires, dtype), tolerance=tolerance).sum(-2)
    assert got.dtype == dtype
    expected = (v[..., None, :] @ effective_conductance(g, wires))[..., 0, :]
    error = (got - expected).abs().amax(-1) / expected.abs().amax(-1)
    assert float(error.max()) < bound


@BOTH_DTYPES
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (9, 21), (40, 24)], ids=str)
def test_they_add_up_to_the_effective_matrix(
    shape: tuple[int, int], ends: Any, kept: bool, dtype: torch.dtype
) -> None:
    drive, sense_at = ends
    rows, cols = shape
    wires = Wires(
        word_line=resistances(rows, cols + (drive == "both"), scale=20),
        bit_line=resistances(rows + (sense_at == "both"), cols, scale=20),
        driver=5.0,
        sense=resistances(cols),
        first=kept,
        last=kept,
        drive=drive,
        sense_at=sense_at,
    )
    assert_currents(voltages(3, rows), conductances(*shape), wires, dtype)


@BOTH_DTYPES
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
@pytest.mark.parametrize(
    ("word", "bit", "ohm"), [(0, 0, 0), (7, 0, 0), (0, 7, 0), (7, 7, 0), (0, 0, 30)], ids=str
)
def test_resistances_of_zero_are_exact(
    word: float, bit: float, ohm: float, ends: Any, dtype: torch.dtype
) -> None:
    wires = Wires(
        word_line=word,
        bit_line=bit,
        driver=ohm,
        sense=ohm,
        first=False,
        last=False,
        drive=ends[0],
        sense_at=ends[1],
    )
    g = conductances(21, 13)
    assert_currents(voltages(21), g, wires, dtype)
    if not word and not bit and not ohm:
        v = voltages(21).to(dtype)
        currents = cell_currents(v, g.to(dtype), wires, iterations=0)
        assert torch.equal(currents, g.to(dtype) * v[:, None])


@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_lines_and_segments_without_resistance_beside_others_are_exact(ends: Any) -> None:
    drive, sense_at = ends
    word = resistances(12, 10 + (drive == "both"))
    bit = resistances(12 + (sense_at == "both"), 10)
    word[3], bit[:, 4], word[5, 2:7], word[6, -1], bit[0, 2], bit[-1, 7] = 0, 0, 0, 0, 0, 0
    g = conductances(12, 10)
    g[2], g[:, 5], g[7, 7] = 0, 0, 0
    v = voltages(12)
    wires = Wires(word_line=word, bit_line=bit, drive=drive, sense_at=sense_at)
    assert_currents(v, g, wires)
    assert not cell_currents(v, g, wires)[2].any()


@pytest.mark.parametrize("r", [0.35, 10.0, 100.0])
@pytest.mark.parametrize("ratio", [2.0, 1e4])
@pytest.mark.parametrize("shape", [(24, 40), (130, 90)], ids=str)
def test_every_cell_obeys_the_nodal_equations(
    shape: tuple[int, int], ratio: float, r: float
) -> None:
    rows, cols = shape
    g, v = conductances(*shape, ratio=ratio), voltages(rows)

    def chain(count: int, ground: int) -> Any:
        difference = np.eye(count) - np.eye(count, k=-1)
        return sparse.csc_matrix((difference.T @ difference)[:: 1 - 2 * ground, :: 1 - 2 * ground])

    word = sparse.kron(sparse.eye(rows), chain(cols, ground=0)) / r
    bit = sparse.kron(chain(rows, ground=1), sparse.eye(cols)) / r
    cell = sparse.diags(g.numpy().ravel())
    matrix = sparse.bmat([[word + cell, -cell], [-cell, bit + cell]]).tocsc()
    source = np.zeros(2 * rows * cols)
    source[np.arange(rows) * cols] = v.numpy() / r
    x = torch.from_numpy(linalg.spsolve(matrix, source)).view(2, rows, cols)
    expected = g * (x[0] - x[1])
    found = cell_currents(v, g, Wires(word_line=r, bit_line=r), tolerance=1e-13)
    assert float((found - expected).abs().max()) < 1e-11 * float(expected.abs().max())


def test_vectors_and_arrays_broadcast() -> None:
    g, v = conductances(2, 3, 10, 19), voltages(4, 1, 3, 10)
    word = resistances(3, 1, 1, scale=10)
    wires = Wires(word_line=word, bit_line=2.0, sense=resistances(2, 1, 19))
    got = cell_currents(v, g, wires, tolerance=1e-12)
    assert got.shape == (4, 2, 3, 10, 19)
    for n, i, j in itertools.product(range(4), range(2), range(3)):
        one = Wires(word_line=word[j], bit_line=2.0, sense=resistances(2, 1, 19)[i, 0])
        expected = cell_currents(v[n, 0, j], g[i, j], one, tolerance=1e-12)
        torch.testing.assert_close(got[n, i, j], expected, rtol=1e-9, atol=1e-15)


def test_what_enters_through_the_drivers_leaves_through_the_sense_nodes() -> None:
    """Kirchhoff, with the power of the drivers: all of it is lost in cells and wires."""
    g = conductances(20, 12)
    v = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    currents = cell_currents(v, g, Wires(word_line=4.0, bit_line=2.0), tolerance=1e-13)
    power = (currents.sum(-1) * v).sum()
    word_flow = currents.flip(-1).cumsum(-1)
    bit_flow = currents.cumsum(-2)
    lost = (currents**2 / g).sum() + 4 * (word_flow**2).sum() + 2 * (bit_flow**2).sum()
    assert float(lost) == pytest.approx(float(power), rel=1e-11)
    out = v @ effective_conductance(g, Wires(word_line=4.0, bit_line=2.0))
    assert float(out.sum()) == pytest.approx(float(currents.sum()), rel=1e-11)


@pytest.mark.parametrize(
    ("tolerance", "dtype"),
    [
        (1e-2, torch.float32),
        (1e-4, torch.float32),
        (1e-2, torch.float64),
        (1e-4, torch.float64),
        (1e-9, torch.float64),
    ],
    ids=str,
)
def test_the_residual_is_what_was_asked_for(tolerance: float, dtype: torch.dtype) -> None:
    """Of the voltages around the loop through each cell, from the currents alone."""
    g, v = conductances(300, 200), voltages(2, 300)
    wires = Wires(word_line=15.0, bit_line=10.0)
    currents = cell_currents(v.to(dtype), g.to(dtype), wires, tolerance=tolerance).double()
    word = 15 * currents.flip(-1).cumsum(-1).flip(-1).cumsum(-1)
    bit = 10 * currents.cumsum(-2).flip(-2).cumsum(-2).flip(-2)
    missing = g.sqrt() * (v[..., None] - word - currents / g - bit)
    whole = (g.sqrt() * v[..., None]).flatten(-2).norm(dim=-1)
    residual = missing.flatten(-2).norm(dim=-1) / whole
    assert float(residual.max()) < tolerance * (1 + 1e-3)


def test_strong_losses_take_few_iterations() -> None:
    """The far corner hangs on its sources by almost nothing; decay lengths are 8 of 300 cells."""
    g, v = conductances(300, 300, ratio=1e4), voltages(300)
    wires = Wires(word_line=100.0, bit_line=100.0)
    currents = cell_currents(v, g, wires, tolerance=1e-10, iterations=60).sum(0)
    expected = v @ effective_conductance(g, wires)
    assert float((currents - expected).abs().max()) < 1e-8 * float(expected.abs().max())


def test_without_convergence_there_is_an_error() -> None:
    g, wires = conductances(40, 40, r_on=1e4), Wires(word_line=50.0, bit_line=50.0)
    with pytest.raises(ConvergenceError, match="after 1 iterations"):
        cell_currents(torch.ones(40).double(), g, wires, iterations=1)
    with pytest.raises(ConvergenceError, match="use float64"):
        cell_currents(torch.ones(40), g.float(), wires, tolerance=1e-12)
    nothing = cell_currents(torch.zeros(5), torch.ones(5, 4), Wires(word_line=1.0))
    assert torch.equal(nothing, torch.zeros(5, 4))


@pytest.mark.parametrize(
    ("v", "g", "error", "text"),
    [
        (torch.ones(3), torch.ones(3, 4).double(), TypeError, "v is torch.float32, but g is"),
        (torch.ones(4), torch.ones(3, 4), ValueError, r"v has shape \[4\], but g has \[3, 4\]"),
        (torch.ones(3), -torch.ones(3, 4), ValueError, "g has negative entries"),
        (torch.ones(3), torch.full((3, 4), torch.inf), ValueError, "highest inf"),
        (torch.ones(2, 3), torch.ones(5, 3, 4), ValueError, "leading dimensions that broadcast"),
        (np.ones(3), torch.ones(3, 4), TypeError, r"v is a ndarray.*use torch.as_tensor\(v\)"),
        (torch.full((3,), torch.nan), torch.ones(3, 4), ValueError, "v has infinite entries or"),
    ],
)
def test_it_says_what_is_wrong(v: Tensor, g: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        cell_currents(v, g, Wires(word_line=1.0))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tolerance": 0}, "tolerance=0; expected a number above 0"),
        ({"tolerance": float("nan")}, "tolerance=nan; expected"),
        ({"iterations": -1}, "iterations=-1; expected how many at most"),
    ],
)
def test_an_iteration_that_cannot_end_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        cell_currents(torch.ones(3), torch.ones(3, 4), Wires(word_line=1.0), **given)


@pytest.mark.parametrize("size", [64, 96])
def test_single_precision_meets_its_own_tolerance(size):
    generator = torch.Generator().manual_seed(size)
    g, v = (torch.rand(*shape, generator=generator) for shape in ((size, size), (size,)))
    wires = Wires(word_line=1.0, bit_line=1.0)
    currents = cell_currents(v, g * 1e-4, wires)
    exact = cell_currents(v.double(), g.double() * 1e-4, wires)
    torch.testing.assert_close(currents.double(), exact, rtol=1e-3, atol=1e-8)
