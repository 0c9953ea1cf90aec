"""The effective matrix against ngspice, nodal equations and what physics demands."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcore import Wires, effective_conductance, native
from memcore.ops import _effective_reference
from memcore.ops.effective_conductance import _BACKWARD, _SOLVE

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

NGSPICE = sorted((Path(__file__).parents[1] / "oracles" / "ngspice").glob("*.npz"))
ENDS = list(itertools.product(("left", "right", "both"), ("bottom", "top", "both")))
BOUND = {torch.float64: 1e-9, torch.float32: 1e-4}
BOTH_DTYPES = pytest.mark.parametrize("dtype", BOUND, ids=("double", "single"))


def conductances(*shape: int, r_on: float = 1e4, ratio: float = 100.0, seed: int = 0) -> Tensor:
    """Random, their logarithms uniform between 1 / (ratio r_on) and 1 / r_on."""
    generator = torch.Generator().manual_seed(seed)
    return ratio ** -torch.rand(shape, dtype=torch.float64, generator=generator) / r_on


def resistances(*shape: int, scale: float = 1.0, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * (0.5 + torch.rand(shape, dtype=torch.float64, generator=generator))


def nodal(g: Tensor, wires: Wires) -> Tensor:
    """A [rows, cols] from the nodal equations; nodes without resistance between them are one."""
    rows, cols = g.shape
    word = np.arange(rows * cols).reshape(rows, cols)
    bit = word + rows * cols
    source, sink = 2 * rows * cols + np.arange(rows), 2 * rows * cols + rows + np.arange(cols)
    edges: list[tuple[Any, Any, Any]] = []

    def line(
        nodes: Any, end: Any, segment: float | Tensor, at_end: Any, keep: bool, ends: Any
    ) -> None:
        count = nodes.shape[1] - 1 + len(ends)
        values = np.broadcast_to(np.asarray(segment, dtype=float), (nodes.shape[0], count)).copy()
        for index in ends:
            values[:, index] = values[:, index] * keep + np.asarray(at_end)
        before = [end[:, None]] if 0 in ends else []
        after = [end[:, None]] if -1 in ends else []
        path = np.concatenate([*before, nodes, *after], 1)
        edges.append((path[:, :-1], path[:, 1:], values))

    word_ends = {"left": (0,), "right": (-1,), "both": (0, -1)}[wires.drive]
    bit_ends = {"top": (0,), "bottom": (-1,), "both": (0, -1)}[wires.sense_at]
    line(word, source, wires.word_line, wires.driver, wires.first, word_ends)
    along = wires.bit_line.T if isinstance(wires.bit_line, Tensor) else wires.bit_line
    line(bit.T, sink, along, wires.sense, wires.last, bit_ends)
    start, stop, ohm = (np.concatenate([np.ravel(edge[k]) for edge in edges]) for k in range(3))
    size, short = 2 * rows * cols + rows + cols, ohm == 0
    shorts = sparse.coo_matrix((short[short], (start[short], stop[short])), (size, size))
    count, name = sparse.csgraph.connected_components(shorts, directed=False)
    a = name[np.concatenate([start[~short], word.ravel()])]
    b = name[np.concatenate([stop[~short], bit.ravel()])]
    s = np.concatenate([1 / ohm[~short], g.numpy().ravel()])
    entries = (
        np.concatenate([s, s, -s, -s]),
        (np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a])),
    )
    matrix = sparse.coo_matrix(entries, (count, count)).tocsc()
    fixed_in, fixed_out = name[source], name[sink]
    free = np.setdiff1d(np.arange(count), np.concatenate([fixed_in, fixed_out]))
    current = matrix[fixed_out][:, fixed_in].toarray()
    if len(free):
        lu = linalg.splu(matrix[free][:, free].tocsc(), permc_spec="MMD_AT_PLUS_A")
        current -= matrix[fixed_out][:, free] @ lu.solve(matrix[free][:, fixed_in].toarray())
    return torch.from_numpy(-current.T.copy())


def assert_close(got: Tensor, expected: Tensor, bound: float, message: str = "") -> None:
    """Every entry to `bound` of its own size, where it is not lost among those of its column."""
    error = (got.double() - expected).abs()
    floor = 1e-2 * expected.abs().amax(-2, keepdim=True)
    worst = float((error / torch.maximum(expected.abs(), floor)).max())
    assert worst <= bound, f"relative error {worst:.1e} {message}"


def cast(wires: Wires, dtype: torch.dtype) -> Wires:
    fields = {name: getattr(wires, name) for name in wires.__dataclass_fields__}
    return Wires(**{k: v.to(dtype) if isinstance(v, Tensor) else v for k, v in fields.items()})


@BOTH_DTYPES
@pytest.mark.parametrize("path", NGSPICE, ids=lambda path: path.stem)
def test_currents_are_those_of_ngspice(path: Path, dtype: torch.dtype) -> None:
    case = np.load(path)
    word, bit, driver, sense, first, last = case["params"].tolist()
    wires = Wires(
        word_line=word, bit_line=bit, driver=driver, sense=sense, first=bool(first), last=bool(last)
    )
    g, v, expected = (torch.from_numpy(case[name]) for name in ("G", "V", "I"))
    got = v.to(dtype) @ effective_conductance(g.to(dtype), wires)
    assert float(((got - expected) / expected).abs().max()) <= BOUND[dtype]


def test_there_are_answers_of_ngspice() -> None:
    assert len(NGSPICE) == 24


@pytest.mark.parametrize("shape", [(2, 3), (7, 11), (24, 40), (96, 64)], ids=str)
@pytest.mark.parametrize("r", [0.0, 1e-6, 0.35, 10.0, 100.0])
@pytest.mark.parametrize(("r_on", "ratio"), [(1e3, 2.0), (1e3, 1e4), (1e4, 10.0), (1e5, 1e4)])
def test_uniform_wires_obey_the_nodal_equations(
    shape: tuple[int, int], r: float, r_on: float, ratio: float
) -> None:
    g = conductances(*shape, r_on=r_on, ratio=ratio)
    wires = Wires(word_line=r, bit_line=r / 2, driver=3 * r, sense=r)
    expected = nodal(g, wires)
    for dtype, bound in BOUND.items():
        assert_close(effective_conductance(g.to(dtype), wires), expected, bound, str(dtype))


@BOTH_DTYPES
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8), (17, 30)], ids=str)
def test_every_segment_and_end_has_its_place(
    shape: tuple[int, int], kept: bool, ends: Any, dtype: torch.dtype
) -> None:
    rows, cols = shape
    drive, sense_at = ends
    wires = Wires(
        word_line=resistances(rows, cols + (drive == "both"), scale=5),
        bit_line=resistances(rows + (sense_at == "both"), cols, scale=3),
        driver=resistances(rows, scale=20),
        sense=resistances(cols, scale=10),
        first=kept,
        last=kept,
        drive=drive,
        sense_at=sense_at,
    )
    g = conductances(*shape)
    assert_close(
        effective_conductance(g.to(dtype), cast(wires, dtype)), nodal(g, wires), BOUND[dtype]
    )


@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_lines_without_resistance_beside_others_are_exact(ends: Any) -> None:
    drive, sense_at = ends
    word = resistances(12, 10 + (drive == "both"))
    bit = resistances(12 + (sense_at == "both"), 10)
    word[3], bit[:, 4], word[5, 2:7] = 0, 0, 0
    wires = Wires(word_line=word, bit_line=bit, drive=drive, sense_at=sense_at)
    g = conductances(12, 10)
    assert_close(effective_conductance(g, wires), nodal(g, wires), 1e-9)


@BOTH_DTYPES
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_without_resistance_it_is_the_conductances(ends: Any, dtype: torch.dtype) -> None:
    g = conductances(3, 20, 37).to(dtype)
    got = effective_conductance(g, Wires(drive=ends[0], sense_at=ends[1]))
    torch.testing.assert_close(got, g, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_three_by_three_as_published_with_the_physics() -> None:
    g = torch.tensor(
        [[1e-4, 2e-5, 5e-5], [1e-5, 8e-5, 3e-5], [6e-5, 4e-5, 9e-5]], dtype=torch.float64
    )
    v = torch.tensor([0.2, 0.1, -0.15], dtype=torch.float64)
    expected = {
        0.0: [1.2e-5, 6e-6, -5e-7],
        1.0: [1.19918442e-5, 5.99700143e-6, -4.99599858e-7],
        10.0: [1.19188209e-5, 5.97014254e-6, -4.95986031e-7],
        100.0: [1.12243159e-5, 5.71366724e-6, -4.58839462e-7],
    }
    for r, currents in expected.items():
        got = v @ effective_conductance(g, Wires(word_line=r, bit_line=r))
        torch.testing.assert_close(
            got, torch.tensor(currents, dtype=torch.float64), rtol=1e-8, atol=0
        )


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [(8, 0.99966514, 0.99938537), (32, 0.99612344, 0.99122045), (64, 0.98563961, 0.96636115)],
)
def test_uniform_arrays_lose_what_is_known(size: int, first: float, last: float) -> None:
    g = torch.full((size, size), 1e-5, dtype=torch.float64)
    column = effective_conductance(g, Wires(word_line=1, bit_line=1)).sum(0) / g.sum(0)
    assert column[0] == pytest.approx(first, abs=1e-8)
    assert column[-1] == pytest.approx(last, abs=1e-8)


def test_transposed_arrays_with_exchanged_ends_are_reciprocal() -> None:
    g, word, bit = conductances(13, 22), resistances(13, 22), resistances(13, 22, seed=2)
    a = effective_conductance(g, Wires(word_line=word, bit_line=bit, driver=7, sense=2))
    # The bit lines become word lines that are driven at what was their lower end.
    turned = Wires(
        word_line=bit.flip(0).T, bit_line=word.flip(0).T, driver=2, sense=7, sense_at="top"
    )
    b = effective_conductance(g.flip(0).T, turned)
    torch.testing.assert_close(b, a.flip(0).T, rtol=1e-11, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(1e-3, 50), st.integers(0, 10**6))
def test_entries_are_positive_and_fall_with_resistance(
    rows: int, cols: int, r: float, seed: int
) -> None:
    g = conductances(rows, cols, seed=seed)
    less = effective_conductance(g, Wires(word_line=r, bit_line=r))
    more = effective_conductance(g, Wires(word_line=1.5 * r, bit_line=2 * r))
    assert bool((more > 0).all())
    assert bool((more.sum(0) < less.sum(0)).all())
    assert bool((less.sum(0) < g.sum(0)).all())


def test_two_ends_lose_less_than_one() -> None:
    g = conductances(30, 30)
    one = effective_conductance(g, Wires(word_line=3, bit_line=3))
    driven = effective_conductance(g, Wires(word_line=3, bit_line=3, drive="both"))
    both = effective_conductance(g, Wires(word_line=3, bit_line=3, drive="both", sense_at="both"))
    assert bool((one.sum(0) < driven.sum(0)).all())
    assert bool((driven.sum(0) < both.sum(0)).all())


def test_a_far_end_of_infinite_resistance_is_no_end() -> None:
    g = conductances(11, 14)
    word, bit = resistances(11, 15), resistances(12, 14)
    word[:, -1] = bit[0] = 1e15
    both = effective_conductance(
        g, Wires(word_line=word, bit_line=bit, drive="both", sense_at="both")
    )
    one = effective_conductance(g, Wires(word_line=word[:, :-1], bit_line=bit[1:]))
    torch.testing.assert_close(both, one, rtol=1e-9, atol=0)


def test_arrays_are_independent_and_broadcast() -> None:
    g = conductances(2, 3, 10, 19)
    word = resistances(3, 1, 1)
    got = effective_conductance(g, Wires(word_line=word, bit_line=2.0))
    for i, j in itertools.product(range(2), range(3)):
        wires = Wires(word_line=word[j], bit_line=2.0)
        assert torch.equal(got[i, j], effective_conductance(g[i, j], wires))
    assert effective_conductance(g[:0], Wires()).shape == (0, 3, 10, 19)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_the_result(threads: int) -> None:
    g = conductances(150, 170)
    few = conductances(5, 40, 40)
    wires = Wires(word_line=1, bit_line=1, drive="both")
    alone = effective_conductance(g, wires), effective_conductance(few, wires)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = effective_conductance(g, wires), effective_conductance(few, wires)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def canonical(arrays: int, rows: int, cols: int, ends: tuple[bool, bool]) -> tuple[Tensor, ...]:
    word = resistances(arrays, rows, cols + ends[0], scale=30)
    bit = resistances(arrays, rows + ends[1], cols, scale=20, seed=2)
    return conductances(arrays, rows, cols, r_on=1e3), word, bit


@pytest.mark.parametrize("ends", list(itertools.product((False, True), repeat=2)), ids=str)
@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 5, 3), (1, 20, 9), (1, 33, 50)], ids=str)
def test_kernel_equals_reference_forwards_and_backwards(
    shape: Any, ends: tuple[bool, bool]
) -> None:
    inputs = canonical(*shape, ends)
    torch.testing.assert_close(
        _SOLVE(*inputs, *ends), _effective_reference.solve(*inputs, *ends), rtol=1e-11, atol=0
    )
    grad = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = _BACKWARD(grad, *inputs, *ends)
    expected = _effective_reference.backward(grad, *inputs, *ends)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10 * float(other.abs().max()))
    single = _BACKWARD(grad.float(), *(each.float() for each in inputs), *ends)
    for one, other in zip(single, expected, strict=True):
        torch.testing.assert_close(
            one.double(), other, rtol=1e-3, atol=1e-4 * float(other.abs().max())
        )


@pytest.mark.parametrize("ends", list(itertools.product((False, True), repeat=2)), ids=str)
def test_gradients_of_the_reference_are_those_of_differences(ends: tuple[bool, bool]) -> None:
    g, word, bit = canonical(2, 3, 5, ends)

    def along(step: float) -> Tensor:
        """A at inputs that are larger by a part, each by its own."""
        return _effective_reference.solve(
            *(x * (1 + step * (1 + n) * x / x.max()) for n, x in enumerate((g, word, bit))), *ends
        )

    grad = torch.randn(g.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = _effective_reference.backward(grad, g, word, bit, *ends)
    changes = ((1 + n) * x**2 / x.max() for n, x in enumerate((g, word, bit)))
    slope = sum(float((of_x * dx).sum()) for of_x, dx in zip(found, changes, strict=True))
    differences = float((grad * (along(1e-5) - along(-1e-5))).sum()) / 2e-5
    assert slope == pytest.approx(differences, rel=1e-7)


def test_the_reference_takes_large_batches_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = (True, False)
    inputs, grad = canonical(7, 5, 6, ends), torch.ones(7, 5, 6, dtype=torch.float64)
    whole = _effective_reference.solve(*inputs, *ends)
    of_whole = _effective_reference.backward(grad, *inputs, *ends)
    monkeypatch.setattr(_effective_reference, "CELLS", 3 * 8 * 8)
    assert torch.equal(_effective_reference.solve(*inputs, *ends), whole)
    pieces = _effective_reference.backward(grad, *inputs, *ends)
    for one, other in zip(pieces, of_whole, strict=True):
        assert torch.equal(one, other)


def test_the_reference_asks_a_gpu_nothing_on_the_way() -> None:
    """On the meta device a number cannot be read, and a tensor made elsewhere is an error."""
    ends = (True, True)
    inputs = [torch.empty(3, *shape, device="meta") for shape in ((20, 9), (20, 10), (21, 9))]
    out = _effective_reference.solve(*inputs, *ends)
    found = _effective_reference.backward(out, *inputs, *ends)
    assert [x.shape for x in found] == [x.shape for x in inputs]
    assert {x.device.type for x in (out, *found)} == {"meta"}


@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_gradients_are_those_of_differences(ends: Any) -> None:
    drive, sense_at = ends
    g = conductances(2, 4, 9, r_on=1.0, ratio=5)
    word = resistances(4, 9 + (drive == "both"), scale=0.2)
    bit, driver, sense = resistances(1, scale=0.1), resistances(4), resistances(2, 9)

    def solve(*args: Tensor) -> Tensor:
        g, word, bit, driver, sense = args
        wires = Wires(
            word_line=word, bit_line=bit, driver=driver, sense=sense, drive=drive, sense_at=sense_at
        )
        return effective_conductance(g, wires)

    inputs = [each.requires_grad_() for each in (g, word, bit, driver, sense)]
    assert torch.autograd.gradcheck(solve, inputs)


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
def test_gradients_do_not_depend_on_what_was_kept(
    ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wires = Wires(word_line=3.0, bit_line=2.0, driver=5.0, drive=ends[0], sense_at=ends[1])
    g = conductances(3, 20, 37).requires_grad_()

    def gradient() -> Tensor:
        return torch.autograd.grad(effective_conductance(g, wires).square().sum(), g)[0]

    kept = gradient()
    monkeypatch.setattr("memcore.ops.effective_conductance.KEPT_BYTES", 0)
    assert torch.equal(gradient(), kept)


def test_gradients_without_resistance_are_those_at_small_resistance() -> None:
    r = torch.zeros((), dtype=torch.float64, requires_grad=True)
    g = conductances(6, 7, r_on=1.0).requires_grad_()
    effective_conductance(g, Wires(word_line=r, bit_line=r)).sum().backward()
    small = torch.tensor(1e-7, dtype=torch.float64)
    slope = (
        effective_conductance(g.detach(), Wires(word_line=small, bit_line=small)).sum()
        - g.detach().sum()
    ) / small
    assert r.grad is not None
    assert g.grad is not None
    assert float(r.grad) == pytest.approx(float(slope), rel=1e-4)
    torch.testing.assert_close(g.grad, torch.ones_like(g))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_is_an_operator_that_compiles() -> None:
    inputs = tuple(each.requires_grad_() for each in canonical(2, 5, 6, (True, False)))
    torch.library.opcheck(_SOLVE, (*(each.detach() for each in inputs), True, False))
    grad = torch.ones(2, 5, 6, dtype=torch.float64)
    torch.library.opcheck(_BACKWARD, (grad, *(each.detach() for each in inputs), True, False))
    g = conductances(5, 6).requires_grad_()
    wires = Wires(word_line=1.0, bit_line=2.0, sense_at="top")
    compiled = torch.compile(effective_conductance, fullgraph=True, backend="aot_eager")
    out = compiled(g, wires)
    torch.testing.assert_close(out, effective_conductance(g, wires))
    (found,) = torch.autograd.grad(out.sum(), g)
    (expected,) = torch.autograd.grad(effective_conductance(g, wires).sum(), g)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("wires", "error", "text"),
    [
        ({"word_line": -1.0}, ValueError, "word_line is -1.0 ohm"),
        ({"bit_line": float("nan")}, ValueError, "bit_line is nan ohm"),
        ({"driver": "1"}, TypeError, "driver is '1'; expected ohm as a number"),
        ({"first": "no"}, TypeError, "first is 'no'; expected True or False"),
        ({"last": 0}, TypeError, "last is 0; expected True or False"),
        ({"sense": torch.tensor([1.0, -1.0])}, ValueError, "sense has negative"),
        ({"sense": torch.tensor([1])}, TypeError, "sense is a torch.int64 tensor"),
        ({"drive": "top"}, ValueError, "drive is 'top'; expected one of 'left', 'right', 'both'"),
    ],
)
def test_wires_say_what_is_wrong(wires: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Wires(**wires)


@pytest.mark.parametrize(
    ("g", "wires", "error", "text"),
    [
        (torch.ones(3), Wires(), ValueError, r"g has shape \[3\]; expected \[..., rows, cols\]"),
        (torch.ones(3, 4).int(), Wires(), TypeError, "g is torch.int32"),
        (-torch.ones(3, 4), Wires(), ValueError, "g has negative entries"),
        (torch.full((3, 4), torch.nan), Wires(), ValueError, "g has negative entries or NaN"),
        (torch.full((3, 4), torch.inf), Wires(), ValueError, "infinite ones .*highest inf"),
        (
            torch.ones(3, 4),
            Wires(word_line=torch.ones(3, 5)),
            ValueError,
            r"broadcasts to \[3, 4\]",
        ),
        (
            torch.ones(3, 4),
            Wires(sense=torch.ones(4).double()),
            TypeError,
            "sense is torch.float64",
        ),
    ],
)
def test_it_says_what_is_wrong(g: Tensor, wires: Wires, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        effective_conductance(g, wires)


CHECK = """
import torch
from memcore import Wires, effective_conductance, native
print(native.status().cpu.isa)
torch.manual_seed(0)
for dtype, bound in ((torch.float64, 1e-11), (torch.float32, 2e-5)):
    g = 10 ** -(4 + 2 * torch.rand(2, 50, 70, dtype=torch.float64))
    g.requires_grad_()
    out = effective_conductance(g, Wires(word_line=3, bit_line=2, drive="both"))
    (grad,) = torch.autograd.grad(out.square().sum(), g)
    from memcore.ops import _effective_reference as reference
    word, bit = torch.full((2, 50, 71), 3.0), torch.full((2, 50, 70), 2.0)
    expected = reference.solve(g, word.double(), bit.double(), True, False)
    (of_g,) = torch.autograd.grad(expected.square().sum(), g)
    single = g.detach().to(dtype).requires_grad_()
    got = effective_conductance(single, Wires(word_line=3, bit_line=2, drive="both"))
    (got_grad,) = torch.autograd.grad(got.square().sum(), single)
    assert ((got - expected).abs() / expected).max() < bound
    assert (got_grad - of_g).abs().max() < 10 * bound * of_g.abs().max()
    from memcore.circuit import cell_currents
    wires = Wires(word_line=3, bit_line=2, drive="both")
    v = torch.linspace(-1, 1, 50, dtype=torch.float64)
    currents = cell_currents(v.to(dtype), single.detach(), wires, tolerance=bound).sum(-2)
    assert (currents - v @ expected).abs().max() < 10 * bound * (v @ expected).abs().max()
"""


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_reference(isa: str, fresh: Any) -> None:
    done = fresh(CHECK, {**os.environ, "MEMCORE_ISA": isa})
    if f"MEMCORE_ISA is '{isa}', but this machine has" in done.stderr:
        pytest.skip("this machine lacks it")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]
