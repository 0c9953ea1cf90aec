"""Retention and endurance: one law, counted in seconds or in write cycles."""

import math

import pytest
import torch

import memcore
from memcore import ConfigError, NoEffectWarning, Normal, nonidealities

KINDS = pytest.mark.parametrize("name", ["retention", "endurance"])
LRS, HRS = 5e-5, 2e-6  # S, in a window of 1e-6 to 1e-4


def bound(name, arrays, ctx, **parameters):
    array = arrays(r_on=1e4, r_off=1e6)
    return nonidealities[name](**parameters).bind(array, ctx)


def count(x):
    return torch.tensor(x, dtype=torch.float64)


def cells(*values):
    return torch.tensor(values, dtype=torch.float64).expand(2, 30, len(values)).clone()


@KINDS
def test_nothing_fails_before_the_threshold(name, arrays, ctx):
    form = bound(name, arrays, ctx, p0_lrs=100.0, p0_hrs=100.0)
    threshold = 100 * math.exp(298 / 300)
    g = cells(LRS, HRS)
    assert torch.equal(form(g, count(0.99 * threshold)), g)
    assert bool((form(g, count(1.01 * threshold)) != g).all())


@KINDS
def test_a_gradual_failure_follows_the_law_written_out(name, arrays, ctx):
    """log10 R = log10 R0 + p3 (p1 s + p2 T_c) (log10 x - log10 x_th) at 300 K."""
    given = {"p0_lrs": 100.0, "p1_lrs": 1e7, "p2_lrs": 2.0, "p3_lrs": 0.05, "cell_size": 2e-8}
    form = bound(name, arrays, ctx, **given)
    exponent = 1e7 * 2e-8 + 2.0 * 298 / 300
    threshold = 100.0 * math.exp(exponent)
    x = 50 * threshold
    log_r = math.log10(1 / LRS) + 0.05 * exponent * (math.log10(x) - math.log10(threshold))
    found = form(cells(LRS), count(x))
    torch.testing.assert_close(found, cells(10**-log_r), rtol=1e-5, atol=0)


@KINDS
def test_the_window_closes_from_both_ends_and_no_further_than_the_middle(name, arrays, ctx):
    form = bound(name, arrays, ctx, p0_lrs=1.0, p0_hrs=1.0, p3_lrs=1.0, p3_hrs=-1.0)
    g = cells(LRS, HRS)
    later, much_later = form(g, count(10.0)), form(g, count(1e30))
    assert bool((later[..., 0] < LRS).all())
    assert bool((later[..., 1] > HRS).all())
    torch.testing.assert_close(much_later, torch.full_like(g, 1e-5), rtol=1e-6, atol=0)


@KINDS
def test_a_sudden_failure_ends_at_the_stable_resistance(name, arrays, ctx):
    form = bound(name, arrays, ctx, mode="sudden", p0_lrs=10.0, p0_hrs=1e9, stable=5e5)
    g = cells(LRS, HRS)
    failed = form(g, count(1000.0))
    torch.testing.assert_close(failed, cells(2e-6, HRS), rtol=1e-6, atol=0)


@KINDS
def test_each_cell_may_have_a_threshold_for_life(name, arrays, ctx):
    array = arrays(r_on=1e4, r_off=1e6, shape=(4, 200, 250))
    effect = nonidealities[name](mode="sudden", p0_lrs=Normal(1e4, 1e3, min=1.0), p2_lrs=0.0)
    g = torch.full(array.shape, LRS, dtype=torch.float64)
    failed = effect.bind(array, ctx)(g, count(1.1e4)) != g
    share = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # one standard deviation above the mean
    error = math.sqrt(share * (1 - share) / failed.numel())
    assert abs(float(failed.double().mean()) - share) < 4 * error


def test_retention_counts_seconds_and_endurance_cycles(converted, inputs):
    for name, counted, other in (
        ("retention", "seconds", "cycles"),
        ("endurance", "cycles", "seconds"),
    ):
        effect = {"name": name, "p0_lrs": 10.0, "p0_hrs": 10.0}
        model = converted(effect)
        before = model(inputs)
        with pytest.warns(NoEffectWarning, match="had no effect"):
            memcore.age(model, **{other: 1e6})
        assert torch.equal(model(inputs), before)
        memcore.age(model, **{counted: 1e6})
        assert not torch.allclose(model(inputs), before, rtol=1e-3)


def test_a_rewrite_restores_what_time_took_but_not_wear(converted):
    kept = {"p0_lrs": 10.0, "p0_hrs": 10.0}
    for name, counted, restored in (("retention", "seconds", True), ("endurance", "cycles", False)):
        model = converted({"name": name, **kept})
        crossbar = model[0].crossbar
        fresh = crossbar.conductance.clone()
        memcore.age(model, **{counted: 1e6})
        memcore.program(model)
        assert torch.equal(crossbar.conductance, fresh) is restored


def test_heat_ages_by_the_arrhenius_factor(arrays, ctx):
    """The ratio of the thresholds at two temperatures, 1 eV and p2 = 0."""
    parameters = {"activation": 1.0, "p2_lrs": 0.0, "p2_hrs": 0.0, "p1_lrs": 1e8, "p1_hrs": 1e8}
    form = bound("retention", arrays, ctx, **parameters)
    found = form.acceleration(torch.tensor([300.0, 400.0], dtype=torch.float64))
    factor = math.exp(1.0 / 8.617333262e-5 * (1 / 300 - 1 / 400))
    expected = torch.tensor([1.0, factor], dtype=torch.float64).expand_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_a_hot_hour_is_worse_than_a_cold_one(converted):
    effect = {"name": "retention", "activation": 1.0, "p0_lrs": 1e4, "p0_hrs": 1e4}
    hot, cold = converted(effect), converted(effect)
    memcore.age(hot, seconds=3600.0, temperature=400.0)
    memcore.age(cold, seconds=3600.0)
    fresh = converted(effect)[0].crossbar.conductance
    assert torch.equal(cold[0].crossbar.conductance, fresh)
    assert not torch.allclose(hot[0].crossbar.conductance, fresh, rtol=0.1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mode": "slow"}, "mode='slow'"),
        ({"p0_lrs": 0.0}, r"p0_lrs=0\.0; expected a number of s >= 1e-30"),
        ({"threshold": -1.0}, r"threshold=-1\.0"),
        ({"stable": 0.0}, r"stable=0\.0"),
    ],
)
def test_bad_parameters_say_what_is_expected(parameters, message):
    with pytest.raises(ConfigError, match=message):
        nonidealities["retention"](**parameters)


def test_a_gradual_failure_without_slope_says_that_it_does_nothing(arrays, ctx):
    with pytest.warns(NoEffectWarning, match="gradual failure changes nothing"):
        bound("endurance", arrays, ctx, p3_lrs=0.0, p3_hrs=0.0)


def test_the_first_programming_is_a_cycle(converted):
    """A threshold of 1.5 cycles is passed by the second write, one of half a cycle by the first."""
    low, high = memcore.devices["ideal"]().nominal_range()
    middle = math.sqrt(low * high)
    for threshold, fails in ((0.5, True), (1.5, False)):
        wear = {"p0_lrs": threshold, "p0_hrs": threshold, "p2_lrs": 0.0, "p2_hrs": 0.0}
        model = converted({"name": "endurance", "mode": "sudden", **wear})
        g = model[0].crossbar.conductance
        assert bool(torch.isclose(g, torch.tensor(middle)).all()) == fails
        memcore.program(model)
        g = model[0].crossbar.conductance
        assert torch.isclose(g, torch.tensor(middle)).all()


def test_given_conductances_were_not_written():
    effect = {"name": "endurance", "mode": "sudden", "p0_lrs": 0.1, "p0_hrs": 0.1}
    g = torch.full((2, 2), 3e-5)
    crossbar = memcore.Crossbar(g, device="ideal", nonidealities=[effect])
    assert torch.equal(crossbar.conductance[0], g)
