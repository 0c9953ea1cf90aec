import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import LogNormal, Normal, Stream, Uniform

N = 200_000
DRAWS = Stream(3).child("cells")


def standard(x):
    return math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-x / math.sqrt(2))


def truncated_moments(low, high):
    """Mean and variance of a standard normal draw between two bounds."""
    (p_low, c_low), (p_high, c_high) = standard(low), standard(high)
    mass = c_high - c_low
    mean = (p_low - p_high) / mass
    edge = sum(s * x * p for s, x, p in ((1, low, p_low), (-1, high, p_high)) if math.isfinite(x))
    return mean, 1 + edge / mass - mean**2


def assert_moments(x, mean, variance):
    """Within four standard errors; that of the variance takes the fourth moment as drawn."""
    x = x.double()
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / len(x))
    fourth = ((x - mean) ** 4).mean()
    assert abs(x.var() - variance) < 4 * torch.sqrt((fourth - variance**2) / len(x))


def test_normal_has_its_mean_and_std():
    assert_moments(Normal(50.0, 10.0).sample(DRAWS, (N,)), 50.0, 100.0)


def test_lognormal_is_normal_in_its_logarithm():
    assert_moments(LogNormal(20.0, 0.3).sample(DRAWS, (N,)).double().log(), math.log(20.0), 0.09)


def test_uniform_has_its_moments_and_stays_inside():
    x = Uniform(2.0, 5.0).sample(DRAWS, (N,))
    assert_moments(x, 3.5, 9 / 12)
    assert x.min() >= 2
    assert x.max() <= 5


@pytest.mark.parametrize(("low", "high"), [(-1.0, math.inf), (-math.inf, 0.5), (-1.0, 2.0), (1, 3)])
def test_truncation_keeps_the_shape_of_the_density(low, high):
    spread = Normal(
        100.0,
        20.0,
        min=100 + 20 * low if math.isfinite(low) else None,
        max=100 + 20 * high if math.isfinite(high) else None,
    )
    mean, variance = truncated_moments(low, high)
    assert_moments((spread.sample(DRAWS, (N,)) - 100) / 20, mean, variance)


@pytest.mark.parametrize(
    "spread", [Normal(1.0, 1.0, min=0.5, max=1.5), LogNormal(1.0, 1.0, 0.5, 2)]
)
def test_nothing_piles_up_at_a_bound(spread):
    x = spread.sample(DRAWS, (N,))
    for bound in (spread.min, spread.max):
        # A density below 1.1 puts at most 1.1e-4 N of N draws this close to a bound.
        assert ((x - bound).abs() < 1e-4).sum() < 2 * 1.1e-4 * N


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.floats(-2, 0.5),
    st.floats(0.6, 3),
)
def test_normal_draws_never_leave_the_bounds(mean, std, low, high):
    spread = Normal(mean, std, min=mean + low * std, max=mean + high * std)
    bounds = torch.tensor(spread.bounds)  # float32: the draws that lie right at the bounds
    beside = [bounds, bounds.nextafter(bounds + 1), bounds.nextafter(bounds - 1)]
    x = spread.sample(Scripted(torch.cat(beside)), (6,))
    assert x.min() >= torch.tensor(spread.min)
    assert x.max() <= torch.tensor(spread.max)


class Scripted(Stream):
    """Draws given values first, then zeros and ones in turn."""

    def __init__(self, values):
        super().__init__(0)
        object.__setattr__(self, "values", values)

    def normal(self, shape, *, round=0, elements=None, **_):
        return torch.full(tuple(shape), 0.55) if round else self.values.clone().view(shape)


@given(
    st.sampled_from([Normal(1.0, 0.5, min=0.8), LogNormal(1.0, 0.5, max=1.1)]), st.integers(1, 50)
)
def test_a_cell_draws_the_same_whatever_is_drawn_beside_it(spread, n):
    assert torch.equal(spread.sample(DRAWS, (n,)), spread.sample(DRAWS, (60,))[:n])


@pytest.mark.parametrize(
    "spread", [Normal(7.0, 0.0), Normal(7.0, 0.0, min=7.0), LogNormal(7, 0, 7, 7)]
)
def test_no_spread_is_a_constant_even_at_the_bound(spread):
    assert torch.equal(spread.sample(DRAWS, (5,)), torch.full((5,), 7.0))


def test_nothing_is_drawn_for_no_cells():
    assert Normal(1.0, 1.0, min=0.0).sample(DRAWS, (0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Normal(1.0, -1.0), "std of Normal=-1.0; expected a finite number >= 0"),
        (lambda: Normal(1.0, ""), "std of Normal=''"),
        (lambda: Normal(True, 1.0), "mean of Normal=True"),
        (lambda: Normal(1e301, 1.0), "mean of Normal=1e.301; expected a finite number up to 1e"),
        (lambda: Normal(1.0, 1.0, min="a"), "min of Normal='a'; expected a number of magnitude"),
        (lambda: Uniform(0.0, 10**400), "max of Uniform=1000"),
        (lambda: Normal(0.0, 1.0, min=9.0), "only .* % of the draws fall inside the bounds"),
        (lambda: Normal(0.0, 1.0, min=1.0, max=-1.0), "expected min < max"),
        (lambda: LogNormal(0.0, 1.0), "median of LogNormal=0.0; expected a finite number > 0"),
        (lambda: LogNormal(1.0, 1.0, max=0.0), "fall inside the bounds"),
        (lambda: Uniform(2.0, 1.0), "expected min <= max"),
        (lambda: Normal(50, 10, min=60, max=55), r"max=55\): min is above max; expected min < max"),
        (lambda: Normal(50, 0, min=60, max=55), "min is above max"),
        (lambda: Normal(50, 0, min=51), "only 0 % of the draws"),
        (lambda: LogNormal(50, 0.1, min=60, max=-1), "min is above max"),
    ],
)
def test_impossible_distributions_are_refused(make, problem):
    with pytest.raises(memcore.ConfigError, match=problem):
        make()


def test_calculating_with_a_distribution_says_how_to_get_numbers():
    with pytest.raises(TypeError, match=r"device\.sample\(shape, ctx\) or device\.nominal\(\)"):
        2 * Normal(1.0, 0.1)


@pytest.mark.parametrize(
    ("spread", "nominal"), [(Normal(3.0, 1.0), 3), (LogNormal(3.0, 1.0), 3), (Uniform(2, 4), 3)]
)
def test_the_nominal_value_is_the_one_planned_with(spread, nominal):
    assert spread.nominal == nominal
