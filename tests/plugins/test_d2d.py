import pytest
import torch

import memcore
from memcore import ConfigError, nonidealities

D2d = nonidealities["d2d"]
G = torch.linspace(1e-6, 1e-4, 200 * 250).repeat(4).view(4, 200, 250)


def factor(arrays, ctx, **parameters):
    return D2d(**parameters).bind(arrays(shape=G.shape), ctx)(G) / G


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_every_cell_gets_a_factor_wherever_it_is_in_its_window(arrays, ctx, distribution):
    f = factor(arrays, ctx, std=0.1, distribution=distribution).double()
    value = f.log() if distribution == "lognormal" else f - 1
    assert abs(value.mean()) < 4 * 0.1 / G.numel() ** 0.5
    assert abs(value.std() / 0.1 - 1) < 4 / (2 * G.numel()) ** 0.5
    middle = (G > 4e-5) & (G < 6e-5)
    assert abs(value[middle].std() / 0.1 - 1) < 4 / (2 * middle.sum()) ** 0.5


def test_a_conductance_is_never_negative(arrays, ctx):
    assert (factor(arrays, ctx, std=1.0, distribution="normal") >= 0).all()


def test_no_spread_is_the_identity(arrays, ctx):
    for distribution in ("normal", "lognormal"):
        assert torch.equal(factor(arrays, ctx, std=0.0, distribution=distribution), G / G)


def test_the_factor_is_for_life(arrays, ctx):
    array = arrays()
    first, later = (
        D2d().bind(array, memcore.Context(random=ctx.random, writes=n)).gain for n in (0, 5)
    )
    assert torch.equal(first, later)


def test_two_spreads_of_one_chip_share_their_draws(arrays, ctx):
    small, large = (factor(arrays, ctx, std=s).log() for s in (0.1, 0.2))
    torch.testing.assert_close(2 * small, large, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("parameters", [{"std": -1.0}, {"distribution": "uniform"}])
def test_impossible_spreads_are_refused(parameters):
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        D2d(**parameters)
