import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcore import ConfigError, Stream

KINDS = ["uniform", "normal"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_key_and_index_alone(kind):
    draw = getattr(Stream(1).child("fc", "d2d"), kind)
    before = draw((4, 5))
    torch.manual_seed(9)
    draw((100,))
    assert torch.equal(draw((4, 5)), before)
    assert torch.equal(draw((20,)), before.flatten())
    assert torch.equal(draw((7,)), before.flatten()[:7])


def test_drawing_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    Stream(0).normal((10,))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "other",
    [Stream(1), Stream(0, ("a",)), Stream(0).child("b"), Stream(0).child("a", "b"), Stream(-1)],
)
def test_other_seed_or_other_path_are_other_draws(other):
    mine = Stream(0).normal((1000,))
    theirs = other.normal((1000,))
    assert abs(torch.corrcoef(torch.stack((mine, theirs)))[0, 1]) < 4 / 1000**0.5


def test_a_path_can_be_walked_in_steps():
    assert Stream(0).child("a", 1) == Stream(0).child("a").child("1")
    assert Stream(0).child("b").key_of("a", 1) == Stream(0).child("b", "a", 1).key
    assert Stream(0).child("a", 1).key == Stream(0).child("a").child("1").key


def test_names_do_not_run_together():
    assert Stream(0).child("ab", "c").key != Stream(0).child("a", "bc").key
    assert Stream(1).child("1").key != Stream(11).child("").key


@given(st.integers(-(2**63), 2**63 - 1), st.lists(st.text(max_size=5), max_size=3))
def test_a_key_is_a_signed_64_bit_number(seed, path):
    assert -(2**63) <= Stream(seed, tuple(path)).key < 2**63


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1, 0.5, "a"])
def test_a_seed_is_an_integer_that_a_checkpoint_can_hold(seed):
    with pytest.raises(ConfigError, match="expected an integer of 64 bits"):
        Stream(seed)


def test_a_stream_is_a_value():
    stream = Stream(5).child("x")
    again = pickle.loads(pickle.dumps(stream))
    assert again == stream
    assert hash(again) == hash(stream)
    assert again.key == stream.key


@pytest.mark.parametrize("kind", KINDS)
def test_each_round_draws_anew(kind):
    draw = getattr(Stream(0), kind)
    assert torch.equal(draw((8,), round=0), draw((8,)))
    assert not (draw((8,), round=1) == draw((8,))).any()


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20))
def test_single_elements_are_drawn_as_in_the_whole(indices):
    elements = torch.tensor(indices)
    whole = Stream(2).normal((100,), round=3)
    assert torch.equal(
        Stream(2).normal((len(indices),), round=3, elements=elements), whole[elements]
    )


def test_dtype_and_device_are_those_asked_for():
    draw = Stream(0).uniform((3,), dtype=torch.float64, device="cpu")
    assert draw.dtype == torch.float64
    assert torch.equal(draw.float(), Stream(0).uniform((3,)))


def test_moments_are_those_of_the_distribution():
    n = 400_000
    uniform, normal = Stream(7).uniform((n,)).double(), Stream(7).child("n").normal((n,)).double()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    assert abs(normal.mean()) < 4 / n**0.5
    assert abs(normal.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((normal**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((normal**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert normal.abs().max() > 4.2  # a table of 32 768 entries would end at 4.13


def test_bernoulli_has_its_share():
    p, n = 0.0175, 400_000
    share = Stream(0).bernoulli(p, (n,)).double().mean()
    assert abs(share - p) < 4 * (p * (1 - p) / n) ** 0.5
    assert not Stream(0).bernoulli(0.0, (n,)).any()
    assert Stream(0).bernoulli(1.0, (n,)).all()


@pytest.mark.parametrize("kind", KINDS)
@given(start=st.integers(0, 2**40), cut=st.integers(0, 12))
def test_reads_are_numbered_not_counted(kind, start, cut):
    reads = start + torch.arange(12)
    whole = getattr(Stream(0).at(reads), kind)((3, 2))
    parts = [getattr(Stream(0).at(part), kind)((3, 2)) for part in (reads[:cut], reads[cut:])]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(getattr(Stream(0).at(reads)[cut:], kind)((3, 2)), whole[cut:])


def test_every_read_has_draws_of_its_own():
    noise = Stream(0).at(torch.arange(2000)).normal((4,))
    assert noise.shape == (2000, 4)
    assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 4 / 2000**0.5
    assert Stream(0).at(torch.arange(5)).bernoulli(0.5, (2, 3)).dtype == torch.bool


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(kind):
    one = getattr(Stream(0), kind)((300_001,))
    torch.set_num_threads(2)
    try:
        two = getattr(Stream(0), kind)((300_001,))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, two)
