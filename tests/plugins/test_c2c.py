import pytest
import torch

import memcore
from memcore import ConfigError, nonidealities

C2c = nonidealities["c2c"]
SHAPE = (4, 200, 250)
G = torch.linspace(1e-6, 1e-4, 200 * 250).repeat(4).view(SHAPE)


def written(arrays, ctx, writes=0, **parameters):
    ctx = memcore.Context(random=ctx.random, writes=writes)
    return C2c(**parameters).bind(arrays(shape=SHAPE), ctx)(G)


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_a_write_misses_by_a_factor(arrays, ctx, moments, distribution):
    f = (written(arrays, ctx, std=0.1, distribution=distribution) / G).double()
    lognormal = distribution == "lognormal"
    moments(f.log() if lognormal else f, 0.0 if lognormal else 1.0, 0.1)


def test_a_write_misses_by_a_constant_amount(arrays, ctx, moments):
    g = written(arrays, ctx, std=0.0, absolute=1e-7)
    moments((g - G).double()[G > 1e-5], 0.0, 1e-7)


def test_the_two_errors_are_independent(arrays, ctx):
    both, factor, offset = (
        written(arrays, ctx, std=std, absolute=absolute)
        for std, absolute in ((0.1, 1e-7), (0.1, 0.0), (0.0, 1e-7))
    )
    torch.testing.assert_close(both, factor + offset - G)
    pair = torch.stack([(factor / G - 1).flatten(), (offset - G).flatten()]).double()
    assert abs(pair.corrcoef()[0, 1]) < 4 / G.numel() ** 0.5


def test_no_conductance_is_negative(arrays, ctx):
    assert written(arrays, ctx, std=0.5, absolute=1e-4).min() == 0
    assert (written(arrays, ctx, std=1.0, distribution="normal") >= 0).all()


def test_each_write_draws_anew_and_a_write_can_be_repeated(arrays, ctx, moments):
    first, again, second = (written(arrays, ctx, n, std=0.1) for n in (0, 0, 1))
    assert torch.equal(first, again)
    moments((second / first).double().log(), 0.0, 0.1 * 2**0.5)


def test_rewriting_a_layer_moves_what_is_written_and_not_what_is_for_life(converted):
    effects = ({"name": "d2d", "std": 0.3}, {"name": "c2c", "std": 1e-3})
    model = converted(*effects, {"name": "stuck_at", "p_lrs": 0.2})
    crossbar = model[0].crossbar
    before = crossbar.programmed.clone()
    memcore.program(model)
    ratio = crossbar.programmed / before
    same = ratio == 1
    stuck = crossbar.programmed == crossbar.array().device.conductance_range()[1]
    assert torch.equal(same, stuck)
    assert 0.1 < stuck.double().mean() < 0.3
    # 30 % of spread for life would show if it were drawn anew; 0.1 % twice is what is.
    assert 0.5e-3 < ratio[~stuck].log().std() < 3e-3


def test_a_layer_gives_other_outputs_the_same_for_the_same_chip(converted, inputs):
    ideal, first, again, other = (
        converted(*effects, seed=seed)(inputs)
        for effects, seed in (((), 0), (("c2c",), 0), (("c2c",), 0), (("c2c",), 1))
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, ideal, rtol=1e-3)
    assert not torch.allclose(first, other, rtol=1e-3)


@pytest.mark.parametrize(
    "parameters", [{"std": -0.1}, {"absolute": float("nan")}, {"distribution": "uniform"}]
)
def test_impossible_errors_are_refused(parameters):
    with pytest.raises(ConfigError, match=f"CycleToCycle: {next(iter(parameters))}="):
        C2c(**parameters)
