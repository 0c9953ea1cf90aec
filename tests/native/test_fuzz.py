"""Operators against their references, for tensors of any size and layout."""

import contextlib
import math
import os
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import memcore
from memcore import native
from memcore.errors import MemcoreError
from memcore.ops import (
    _effective_reference,
    cell_voltages,
    crossbar_mvm,
    effective_conductance,
    ladder,
    loop_voltages,
    philox,
    quantize,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use"),
]

fuzzed = settings(
    max_examples=int(os.environ.get("MEMCORE_FUZZ_EXAMPLES", "400")),
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SEEDS = st.integers(0, 2**31)
SIZES = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 13, 16, 17, 31, 32, 33, 61, 64, 67])
LONG = st.sampled_from([0, 1, 5, 127, 1021, 1024, 4099])
FLOATS = st.sampled_from([torch.float32, torch.float64])


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def dense(x: Tensor) -> Tensor:
    return x


def every_second(x: Tensor) -> Tensor:
    return torch.stack((x, torch.full_like(x, 7)), -1)[..., 0]


def transposed(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT if x.dim() > 1 else x


def at_an_odd_address(x: Tensor) -> Tensor:
    room = x.new_full((x.numel() + 3,), 7)
    room[3:] = x.flatten()
    return room[3:].view(x.shape)


def repeated(x: Tensor) -> Tensor:
    return x[:1].expand_as(x) if x.dim() else x


Layout = Callable[[Tensor], Tensor]
LAYOUTS = st.sampled_from([dense, every_second, transposed, at_an_odd_address, repeated])


def numbers(seed: int, *shape: int, odd: bool = False) -> Tensor:
    """Normal numbers; with `odd`, now and then NaN, infinities, zeros and halves."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    if odd and x.numel():
        wild = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, 1e38, 1e-42])
        at = torch.randint(x.numel(), (1 + x.numel() // 5,), generator=generator)
        x.view(-1)[at] = wild[torch.randint(len(wild), at.shape, generator=generator)]
    return x


def assert_same(got: Tensor, expected: Tensor, **tolerances: float) -> None:
    assert got.shape == expected.shape
    tolerances = tolerances or {"rtol": 0.0, "atol": 0.0}
    torch.testing.assert_close(got, expected, equal_nan=True, **tolerances)


WRONG = {
    "complex": lambda x: x.to(torch.complex64),
    "integers": lambda x: x.to(torch.int32),
    "booleans": lambda x: x.bool(),
    "eight bits": lambda x: x.float().to(torch.float8_e4m3fn),
    "half": lambda x: x.half(),
    "twice as many": lambda x: torch.cat((x, x)) if x.dim() else x,
    "sparse": lambda x: x.to_sparse(),
    "nowhere": lambda x: x.to("meta"),
    "nothing": lambda x: x[..., :0] if x.dim() else x.new_empty(0),
    "a number": lambda x: x.new_zeros(()),
    "more dimensions": lambda x: x[None],
    "NaN": lambda x: torch.full_like(x.float(), math.nan),
}


def calls() -> dict[str, tuple[Callable[..., object], list[Tensor]]]:
    """Every operator with tensors that fit."""
    reads, x, ones = torch.arange(3), torch.rand(4, 2, 5), torch.ones
    panels, code = crossbar_mvm.pack(torch.rand(2, 5, 3)), torch.tensor([1.0, -9.0, 9.0])
    cells = [torch.rand(2, 3, 4) for _ in range(3)]
    mvm, solve = crossbar_mvm.crossbar_mvm, effective_conductance.solve
    return {
        "uniform": (lambda r, e: philox.uniform(r, 4, 1, e), [reads, torch.arange(4)]),
        "normal": (lambda r, e: philox.normal(r, 4, 1, e), [reads, torch.arange(4)]),
        "bernoulli": (lambda r, e: philox.bernoulli(r, 4, 1, 0.5, e), [reads, torch.arange(4)]),
        "grid": (lambda x, s: quantize.uniform(x, s, -3, 3), [x, ones(5)]),
        "levels": (quantize.levels, [x, torch.rand(5, 3).sort(1).values]),
        "mvm": (lambda *t: mvm(*t, 3, 2, -9, 9), [x, panels, code, ones(6), ones(6)]),
        "effective": (lambda *t: solve(*t, False, False), cells),
        "gradient": (
            lambda *t: effective_conductance._BACKWARD(*t, False, False),
            [torch.rand(2, 3, 4), *cells],
        ),
        "voltages": (
            lambda g, w, b, *volts: cell_voltages.cell_voltages(g, w, b, False, False, *volts),
            [*cells, torch.rand(2, 5, 3), torch.rand(2, 5, 4)],
        ),
        "ladder": (lambda g, r, v: ladder.Ladders.of(g, r, dim=-1).solve(v), cells),
        "loops": (_loops, [*cells[:2], torch.rand(2, 3), torch.rand(2, 4)]),
    }


def _loops(g, ohm, *volts):
    lines = [
        loop_voltages.LoopLines.of(ohm, None, ladder.Ladders.of(None, ohm, dim=dim))
        for dim in (-1, -2)
    ]
    return loop_voltages.LoopWires(*lines).solve(g, *volts, tolerance=1e-4)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", calls())
def test_tensors_that_do_not_fit_are_errors_of_memcore_or_make_no_difference(name, wrong):
    call, tensors = calls()[name]
    for k in range(len(tensors)):
        changed = [WRONG[wrong](x) if i == k else x for i, x in enumerate(tensors)]
        with contextlib.suppress(MemcoreError):
            call(*changed)


@fuzzed
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), LONG, SEEDS, LAYOUTS, st.booleans())
def test_draws(reads, size, seed, layout, chosen):
    generator = torch.Generator().manual_seed(seed)
    reads = layout(torch.tensor(reads, dtype=torch.int64))
    elements = None
    if chosen:
        elements = layout(torch.randint(2**62, (size,), generator=generator))
    key = -seed
    expected = philox._uniform_reference(reads, elements, size, key)
    assert_same(philox.uniform(reads, size, key, elements), expected)
    assert_same(philox.bernoulli(reads, size, key, 0.3, elements), expected < 0.3)
    normal = philox._normal_reference(reads, elements, size, key)
    assert_same(philox.normal(reads, size, key, elements), normal, rtol=8 * 2**-24, atol=0)


@fuzzed
@given(st.lists(SIZES, max_size=3), SEEDS, LAYOUTS, st.booleans(), st.floats(-50, 50))
def test_quantisation_to_a_grid(shape, seed, layout, columns, lo):
    x = layout(numbers(seed, *shape, odd=True))
    steps = shape[-1] if columns and shape else 1
    step = layout(numbers(seed + 1, steps).abs() + 1e-3)
    expected = quantize._uniform_reference(x, step, lo, 60.0)
    assert_same(quantize.uniform(x, step, lo, 60.0), expected)


@fuzzed
@given(
    st.lists(SIZES, max_size=2),
    LONG,
    st.integers(1, 700),
    SEEDS,
    LAYOUTS,
    st.booleans(),
    st.sampled_from([1e-30, 1e-6, 1.0, 1e30]),
)
def test_quantisation_to_levels(lead, last, n, seed, layout, columns, scale):
    n = n if not columns else 1 + n % 40
    shape = (*lead, last) if math.prod(lead) * last < 10**6 else (last,)
    table = numbers(seed + 1, *((last, n) if columns else (n,))) * scale
    if seed % 3 == 0:
        table = table.abs().exp() if scale == 1 else table.abs()
    if seed % 5 == 0:
        table = table.round()  # levels that are equal
    table = layout(table.sort(-1).values)
    x = layout(numbers(seed, *shape, odd=True) * scale)
    assert_same(quantize.levels(x, table), quantize._levels_reference(x, table))


@fuzzed
@given(
    st.one_of(SIZES, st.just(5003)),
    st.integers(0, 4),
    st.sampled_from([0, 1, 3, 31, 128, 129, 300]),
    SIZES,
    st.sampled_from([1, 2, 7, 128, 2**62]),
    SEEDS,
    LAYOUTS,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_products(n, groups, rows, cols, tile, seed, layout, adc, biased, each):
    if n > 1000:
        groups, rows = min(groups, 1), min(rows, 3)
    outputs = groups * cols
    x, weight = numbers(seed, n, groups, rows), numbers(seed + 1, groups, rows, cols) * 0.05
    dac = torch.tensor([31.0, -127.0, 127.0]) if seed % 2 else torch.zeros(3)
    scale = numbers(seed + 2, outputs if each else 1)
    bias = layout(numbers(seed + 3, outputs)) if biased else None
    tensors = (layout(x), layout(crossbar_mvm.pack(weight)), dac, layout(scale), bias)
    rest = (cols, tile, *((-20.0, 25.0) if adc else (1.0, 0.0)))
    got, expected = (
        crossbar_mvm.crossbar_mvm(*tensors, *rest),
        crossbar_mvm._reference(*tensors, *rest),
    )
    assert got.shape == expected.shape
    if not adc:
        assert_same(got, expected, rtol=1e-4, atol=3e-3)
        return
    step = scale.abs().clamp(min=1e-9).expand(outputs).view(groups, cols)
    other_codes = (got - expected).abs() > step * 1e-3 + 1e-5
    assert other_codes.sum() <= max(2, got.numel() // 200)


@settings(fuzzed, max_examples=fuzzed.max_examples // 2)
@given(
    st.integers(0, 5),
    SIZES,
    SIZES,
    SEEDS,
    LAYOUTS,
    FLOATS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 1e3]),
)
def test_effective_conductance(arrays, rows, cols, seed, layout, dtype, both, sensed, ohm):
    def resistances(seed: int, *shape: int) -> Tensor:
        return layout(numbers(seed, *shape).to(dtype).abs() * ohm)

    g = layout(numbers(seed, arrays, rows, cols).to(dtype).abs() * 1e-5)
    word, bit = (
        resistances(seed + 1, arrays, rows, cols + both),
        resistances(seed + 2, arrays, rows + sensed, cols),
    )
    inputs, ends = (g, word, bit), (both, sensed)
    exact = tuple(x.double() for x in inputs)
    matrix = _effective_reference.solve(*exact, *ends).to(dtype)
    tolerance = {"rtol": 2e-3 if dtype == torch.float32 else 1e-7, "atol": 1e-9}
    assert_same(effective_conductance.solve(*inputs, *ends), matrix, **tolerance)
    if ohm == 0 or dtype == torch.float32:
        return
    grad = layout(numbers(seed + 3, arrays, rows, cols).double())
    expected = _effective_reference.backward(grad, *exact, *ends)
    leaves = [x.detach().requires_grad_() for x in inputs]
    kept = torch.autograd.grad(effective_conductance.solve(*leaves, *ends), leaves, grad)
    for way in (kept, effective_conductance._BACKWARD(grad, *inputs, *ends)):
        for got, wanted in zip(way, expected, strict=True):
            size = float(wanted.abs().max()) if wanted.numel() else 0.0
            assert_same(got, wanted, rtol=1e-6, atol=1e-9 * size)


@fuzzed
@given(
    st.lists(st.integers(0, 3), max_size=2),
    st.lists(st.integers(0, 3), max_size=1),
    st.one_of(SIZES, st.just(1021)),
    SIZES,
    SEEDS,
    LAYOUTS,
    FLOATS,
    st.sampled_from([-1, -2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_ladders(lead, batch, rows, cols, seed, layout, dtype, dim, last, shunted, closed):
    def lines(*shape: int, shift: int) -> Tensor:
        return layout(numbers(seed + shift, *lead, *shape).to(dtype).abs())

    segments = lines(rows, cols, shift=0)
    shunt = lines(rows, cols, shift=1) if shunted else None
    far = lines(cols if dim == -2 else rows, shift=2) if closed else None
    inputs = layout(numbers(seed + 3, *batch, *lead, rows, cols).to(dtype))

    def solve(kernel: bool) -> tuple[Tensor, Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ladder, "_HAS_KERNEL", kernel)
            made = ladder.Ladders.of(shunt, segments, far, dim=dim, near_last=last)
            assert made.by_kernel == kernel
            return made.solve(inputs)

    for got, expected in zip(solve(True), solve(False), strict=True):
        size = float(expected.abs().max()) if expected.numel() else 0.0
        epsilon = torch.finfo(dtype).eps
        assert_same(got, expected, rtol=1e4 * epsilon, atol=1e3 * epsilon * size)


@settings(fuzzed, max_examples=fuzzed.max_examples // 4)
@given(
    st.sampled_from(["vteam", "yakopcic", "linear_ion_drift", "stanford_pku", "team", "mms"]),
    st.lists(st.sampled_from([0, 1, 2, 17, 65]), max_size=2),
    st.sampled_from([1, 2, 5, 31]),
    st.one_of(st.sampled_from(["all", "last"]), st.integers(1, 40)),
    SEEDS,
    LAYOUTS,
    st.booleans(),
)
def test_simulations(name, cells, time, record, seed, layout, shared):
    voltage = layout(numbers(seed, time, *(() if shared else cells)).double() * 0.3)
    options = {"shape": tuple(cells), "record": record, "seed": seed}
    native_one, python = (
        memcore.simulate(name, voltage, 1e-10, engine=engine, **options)
        for engine in ("native", "python")
    )
    assert native_one.engine == "native"
    assert_same(native_one.state, python.state, rtol=1e-7, atol=1e-12)
    assert_same(native_one.final, python.final, rtol=1e-7, atol=1e-12)
