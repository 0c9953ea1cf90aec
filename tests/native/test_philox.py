import math

import pytest
import torch

from memcore.ops import philox

KEYS = (0, 1, -1, 0x0123456789ABCDEF, -(2**63))
SIZES = (0, 1, 3, 4, 5, 255, 256, 257, 1021, 20_000)


def reads(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# The known-answer vectors that Random123 publishes for philox4x32-10.
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_reference_gives_the_published_answers(counter, key, expected):
    joined = key[0] | key[1] << 32
    joined -= (joined >> 63) << 64
    words = philox.philox4x32(tuple(torch.tensor(c) for c in counter), joined)
    assert words.tolist() == list(expected)


def test_first_uniforms_are_the_published_words():
    expected = [x >> 8 for x in (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)]
    assert (philox.uniform(reads(0), 4, 0)[0] * 2**24).tolist() == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", KEYS)
def test_uniform_equals_the_reference_bit_for_bit(size, key):
    which = reads(0, 7, -1, 2**40 + 3)
    expected = philox._uniform_reference(which, None, size, key)
    assert torch.equal(philox.uniform(which, size, key), expected)


@pytest.mark.parametrize("size", SIZES)
def test_normal_is_within_a_few_ulp_of_the_reference(size):
    which = reads(0, 7, 2**40 + 3)
    got, expected = philox.normal(which, size, 99), philox._normal_reference(which, None, size, 99)
    ulp = torch.nextafter(expected.abs(), torch.tensor(math.inf)) - expected.abs()
    assert ((got - expected).abs() <= 6 * ulp).all()


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_bernoulli_is_the_uniform_below_p(p):
    which = reads(5, 6)
    drawn = philox.bernoulli(which, 3001, 4, p)
    assert drawn.dtype == torch.bool
    assert torch.equal(drawn, philox.uniform(which, 3001, 4) < p)


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
def test_chosen_elements_equal_those_of_the_full_draw(draw):
    which = reads(3, 1)
    elements = torch.tensor([1999, 0, 5, 5, 1000, 7])
    assert torch.equal(draw(which, 6, 11, elements), draw(which, 2000, 11)[:, elements])


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
def test_far_elements_equal_the_reference(draw):
    elements = torch.tensor([2**34 - 1, 2**34, 2**34 + 9, 2**62])
    reference = {
        philox.uniform: philox._uniform_reference,
        philox.normal: philox._normal_reference,
    }[draw]
    expected = reference(reads(1), elements, 4, 3)
    torch.testing.assert_close(draw(reads(1), 4, 3, elements), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("draw", [philox.uniform, philox.normal])
@pytest.mark.parametrize("size", [100, 50_000])
def test_draws_depend_neither_on_the_batch_nor_on_the_threads(draw, size, threads):
    which = torch.arange(40)
    threads(1)
    one = draw(which, size, 8)
    threads(2)
    assert torch.equal(draw(which, size, 8), one)
    assert torch.equal(torch.cat([draw(which[i : i + 1], size, 8) for i in range(40)]), one)
    assert torch.equal(draw(which, size // 2, 8), one[:, : size // 2])


def test_normal_has_the_moments_of_a_normal():
    z = philox.normal(torch.arange(4), 1_000_000, 12345).double().flatten()
    n = z.numel()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert 4.5 < z.abs().max() < 7


def test_uniform_lies_in_the_half_open_interval_and_is_even():
    u = philox.uniform(reads(0), 1_000_000, 6).double()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12e6)
    counts = torch.histc(u.float(), 100, 0, 1)
    assert ((counts - 1e4).abs() < 5.5 * 100).all()


def test_neighbouring_keys_reads_and_elements_are_uncorrelated():
    base = philox.normal(reads(0), 100_000, 1)[0]
    for other in (
        philox.normal(reads(0), 100_000, 2)[0],
        philox.normal(reads(1), 100_000, 1)[0],
        base.roll(1),
    ):
        assert abs((base * other).mean()) < 5 / math.sqrt(1e5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(2), 3, 0), TypeError, "reads is torch.float32"),
        ((reads(0)[None], 3, 0), ValueError, "expected one dimension"),
        ((reads(0), -1, 0), ValueError, "size is -1"),
        ((reads(0), 3, 0, torch.zeros(3)), TypeError, "elements is torch.float32"),
        ((reads(0), 3, 0, reads(1, 2)), ValueError, r"expected \[3\]"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        philox.uniform(*arguments)


def test_a_probability_above_one_is_refused():
    with pytest.raises(ValueError, match="probability"):
        philox.bernoulli(reads(0), 1, 0, 1.5)


def test_operators_obey_the_rules_of_torch():
    elements = torch.tensor([5, 1, 9])
    for chosen in (None, elements):
        for operator in (torch.ops.memcore.philox_uniform, torch.ops.memcore.philox_normal):
            torch.library.opcheck(operator.default, (reads(0, 4), chosen, 3, 17))
        bernoulli = torch.ops.memcore.philox_bernoulli.default
        torch.library.opcheck(bernoulli, (reads(0, 4), chosen, 3, 17, 0.5))


def test_a_compiled_draw_equals_the_eager_one():
    def draw(which):
        return philox.normal(which, 100, 3) + philox.uniform(which, 100, 3)

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(reads(1, 2)), draw(reads(1, 2)))
