import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memcore.ops import quantize
from memcore.ops._library import is_plain

SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38])


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def values(*shape: int) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(math.prod(shape)))
    flat = x.view(-1)
    flat[: len(SPECIAL)] = SPECIAL[: flat.numel()]
    return x


def tables(n: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    drawn = torch.randn(n, generator=generator).sort().values
    return [
        torch.linspace(-2, 2, n),
        drawn,
        torch.logspace(-6, 1, n),
        -torch.logspace(-6, 1, n).flip(0),
        torch.logspace(-30, 30, n),
        (drawn * 1e38).clamp(-3e38, 3e38),
        torch.full((n,), 0.5),
    ]


def near(levels: torch.Tensor, count: int) -> torch.Tensor:
    """Values at and next to levels and the middles between them, where an error would show."""
    middles = ((levels[1:].double() + levels[:-1].double()) / 2).float()
    points = torch.cat([levels, middles, SPECIAL, torch.linspace(-3, 3, 50)])
    up, down = torch.tensor(math.inf), torch.tensor(-math.inf)
    points = torch.cat([points, points.nextafter(up), points.nextafter(down)])
    return points.repeat(-(-count // points.numel()))[:count]


@pytest.mark.parametrize("shape", [(1,), (7,), (33, 5), (40_001,), (5_000_003,)])
def test_uniform_equals_the_definition(shape):
    x = values(*shape)
    expected = quantize._uniform_reference(x, torch.tensor([0.03]), -20.0, 25.0)
    assert same(quantize.uniform(x, 0.03, -20.0, 25.0), expected)


def test_zeros_of_automatic_differentiation_which_have_no_memory_are_rounded():
    nothing = torch._efficientzerotensor(3)
    assert not is_plain(nothing)
    assert torch.equal(quantize.uniform(nothing, 0.5, -1.0, 1.0), torch.zeros(3))
    assert torch.equal(quantize.levels(nothing, torch.tensor([1.0, 2.0])), torch.ones(3))


@pytest.mark.parametrize("cols", [2, 15, 16, 100, 301])
def test_uniform_takes_a_step_for_each_column(cols):
    x, step = values(57, cols), torch.rand(cols) + 0.01
    got = quantize.uniform(x, step, -3, 4)
    assert same(got, quantize._uniform_reference(x, step, -3, 4))


def test_uniform_rounds_halves_to_even():
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert quantize.uniform(x, 1.0, -9, 9).tolist() == [-2, -2, 0, 0, 2, 2]


@given(
    step=st.floats(1e-3, 10),
    lo=st.integers(-300, 0),
    width=st.integers(0, 600),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_uniform_is_idempotent_and_stays_in_range(step, lo, width, seed):
    x = torch.randn(100, generator=torch.Generator().manual_seed(seed)) * 5
    once = quantize.uniform(x, step, lo, lo + width)
    step32 = torch.tensor(step)
    assert (once >= lo * step32).all()
    assert (once <= (lo + width) * step32).all()
    assert torch.equal(quantize.uniform(once, step, lo, lo + width), once)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 256, 1000, 6000])
@pytest.mark.parametrize("count", [5, 1023, 70_001])
def test_levels_equal_the_definition_for_every_kind_of_table(n, count):
    for levels in tables(n):
        x = near(levels, count)
        assert same(quantize.levels(x, levels), quantize._levels_reference(x, levels))


def test_levels_of_a_large_tensor_equal_the_definition():
    x, levels = values(5_000_003), torch.randn(256).sort().values
    assert same(quantize.levels(x, levels), quantize._levels_reference(x, levels))


@pytest.mark.parametrize("cols", [1, 2, 17, 300])
@pytest.mark.parametrize("n", [1, 2, 16, 100])
def test_levels_take_a_table_for_each_column(cols, n):
    x, levels = values(211, cols), torch.randn(cols, n).sort(1).values
    assert same(quantize.levels(x, levels), quantize._levels_reference(x, levels))


def test_levels_take_the_lower_one_of_two_equally_near():
    levels = torch.tensor([-1.0, 0.0, 1.0, 3.0])
    x = torch.tensor([-0.5, 0.5, 2.0, 2.0000002])
    assert quantize.levels(x, levels).tolist() == [-1, 0, 1, 3]


@given(
    table=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40),
    x=st.floats(-200, 200, width=32),
)
@settings(deadline=None, max_examples=60)
def test_no_level_is_nearer_than_the_chosen_one(table, x):
    levels = torch.tensor(sorted(table))
    chosen = quantize.levels(torch.tensor([x]), levels).double()
    assert chosen in levels.double()
    assert (chosen - x).abs() <= (levels.double() - x).abs().min()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_keep_their_dtype(dtype):
    x = torch.randn(50).to(dtype)
    assert quantize.uniform(x, 0.25, -4, 4).dtype == dtype
    assert quantize.levels(x, torch.linspace(-1, 1, 5, dtype=dtype)).dtype == dtype


def test_strided_inputs_are_read_in_their_own_order():
    x = values(30, 20).T
    step = torch.rand(30) + 0.1
    assert same(quantize.uniform(x, step, -3, 3), quantize.uniform(x.contiguous(), step, -3, 3))
    levels = torch.linspace(-1, 1, 9)
    assert same(quantize.levels(x, levels), quantize.levels(x.contiguous(), levels))


def test_gradient_passes_inside_the_range_only():
    x = torch.tensor([-3.0, -0.9, 0.2, 0.9, 3.0], requires_grad=True)
    quantize.uniform(x, 0.5, -2, 2).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    x.grad = None
    quantize.levels(x, torch.tensor([-1.0, 0.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


# Dynamo in torch 2.13 instantiates each autograd.Function that it traces, which warns.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("needs_grad", [False, True])
def test_compiled_functions_equal_the_eager_ones(needs_grad):
    levels = torch.linspace(-1, 1, 7)

    def both(x):
        return quantize.uniform(x, 0.1, -5, 5) + quantize.levels(x, levels)

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    x = torch.randn(40, requires_grad=needs_grad)
    assert torch.equal(compiled(x), both(x))
    if needs_grad:
        (eager,) = torch.autograd.grad(both(x).sum(), x)
        (traced,) = torch.autograd.grad(compiled(x).sum(), x)
        assert torch.equal(eager, traced)


def test_operators_obey_the_rules_of_torch():
    uniform = torch.ops.memcore.quantize_uniform.default
    levels = torch.ops.memcore.quantize_levels.default
    for x in (torch.randn(6, 4), torch.randn(4, 6).T):
        torch.library.opcheck(uniform, (x, torch.tensor([0.1]), -7.0, 7.0))
        torch.library.opcheck(uniform, (x, torch.rand(4) + 0.1, -7.0, 7.0))
        torch.library.opcheck(levels, (x, torch.linspace(-1, 1, 5)))
        torch.library.opcheck(levels, (x, torch.randn(4, 3).sort(1).values))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: quantize.uniform(x.long(), 0.1, 0, 1), TypeError, "x is torch.int64"),
        (lambda x: quantize.uniform(x, 0.0, 0, 1), ValueError, "step is 0.0"),
        (lambda x: quantize.uniform(x, 0.1, 1, 0), ValueError, "expected lo <= hi"),
        (lambda x: quantize.uniform(x, torch.ones(2), 0, 1), ValueError, "one step per column"),
        (lambda x: quantize.levels(x, torch.ones(0)), ValueError, "n >= 1"),
        (lambda x: quantize.levels(x, torch.ones(3, 2)), ValueError, "one row per column"),
        (lambda x: quantize.levels(x, torch.ones(2).long()), TypeError, "levels is torch.int64"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.randn(5, 4))
