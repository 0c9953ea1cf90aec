import math

import pytest
import torch

import memcore
from memcore import ConfigError, NoEffectWarning, Normal, Uniform, nonidealities

Drift = nonidealities["drift"]
SHAPE = (4, 200, 250)


def seconds(t):
    return torch.tensor(t, dtype=torch.float64)


@pytest.mark.parametrize(
    ("nu", "factors"),
    [
        # 25 s, 1 h, 1 day, 1 year after a first read at 20 s
        (0.085036, (0.933365, 0.642710, 0.490731, 0.297142)),
        (0.049, (0.961044, 0.775129, 0.663524, 0.496946)),
    ],
)
def test_mean_drift_of_phase_change_cells(arrays, ctx, us, nu, factors):
    form = Drift(nu=nu).bind(arrays(), ctx).double()
    for t, factor in zip((25.0, 3600.0, 86400.0, 365 * 86400.0), factors, strict=True):
        torch.testing.assert_close(form(us(25.0), seconds(t)), us(25.0 * factor), rtol=5e-6, atol=0)


def test_drift_is_a_straight_line_in_the_logarithms(arrays, ctx, us):
    form = Drift(nu=0.07, t0=1.0).bind(arrays(), ctx).double()
    decades = torch.stack([form(us(10.0), seconds(10.0**n - 1)).log10() for n in range(9)])
    torch.testing.assert_close(decades.diff(dim=0), torch.full((8, 1), -0.07).double())


def test_each_cell_has_one_exponent_for_life(arrays, ctx, moments):
    array = arrays(shape=SHAPE)
    effect = Drift(nu=Normal(0.1, 0.01))
    forms = [
        effect.bind(array, memcore.Context(random=ctx.random, writes=n)).double() for n in (0, 3)
    ]
    g = torch.full(SHAPE, 1e-5, dtype=torch.float64)
    early, late = (
        -(form(g, seconds(t)) / g).log() / torch.tensor(1 + t / 20).log()
        for form, t in zip(forms, (100.0, 1e6), strict=True)
    )
    torch.testing.assert_close(early, late, rtol=1e-5, atol=0)
    moments(late, 0.1, 0.01)


def test_the_exponent_falls_with_the_logarithm_of_the_conductance(arrays, ctx):
    form = Drift(nu=0.05, k=0.02, g0=1e-5).bind(arrays(), ctx).double()
    g = torch.tensor([1e-7, 1e-6, 1e-5, 1e-4, 1e-3], dtype=torch.float64)
    nu = -(form(g, seconds(20 * (torch.e - 1))) / g).log()
    expected = (0.05 - 0.02 * torch.tensor([-2.0, -1, 0, 1, 2]) * 2.302585).clamp(min=0)
    torch.testing.assert_close(nu, expected.double(), rtol=1e-5, atol=1e-7)


def test_the_exponent_holds_at_the_top_of_the_window_by_default(arrays, ctx):
    array = arrays()
    _, high = array.nominal.nominal_range()
    form = Drift(k=0.02).bind(array, ctx).double()
    g = torch.tensor([high], dtype=torch.float64)
    torch.testing.assert_close(form(g, seconds(180.0)), g / 10**0.1, rtol=1e-5, atol=0)


def test_an_exponent_drawn_below_0_is_no_drift(arrays, ctx):
    array = arrays()
    form = Drift(nu=Uniform(-0.1, 0.1)).bind(array, ctx)
    g = torch.full(array.shape, 1e-5)
    aged = form(g, seconds(1e4))
    assert (aged <= g).all()
    assert 0.4 < (aged == g).double().mean() < 0.6


def test_a_first_read_after_a_picosecond_would_leave_little(arrays, ctx, us):
    form = Drift(t0=1e-12).bind(arrays(), ctx).double()
    torch.testing.assert_close(form(us(1.0), seconds(1.0)), us(0.063096), rtol=1e-5, atol=0)


def test_two_ages_are_one_of_their_sum_and_a_rewrite_starts_again(converted, inputs):
    effect = Drift(nu=Normal(0.1, 0.03))
    twice, once, fresh = (converted(effect) for _ in range(3))
    memcore.age(twice, seconds=100.0)
    memcore.age(twice, seconds=900.0)
    memcore.age(once, seconds=1000.0)
    assert torch.equal(twice(inputs), once(inputs))
    assert not torch.allclose(once(inputs), fresh(inputs), rtol=1e-2)
    memcore.program(once)
    torch.testing.assert_close(once(inputs), fresh(inputs))


def test_time_at_another_temperature_counts_by_arrhenius_law(converted, inputs):
    factor = math.exp(0.5 / 8.617333262e-5 * (1 / 300.0 - 1 / 360.0))
    hot, cold = (converted(Drift(activation=0.5)) for _ in range(2))
    memcore.age(hot, seconds=10.0, temperature=360.0)
    memcore.age(cold, seconds=10.0 * factor)
    assert factor > 20
    torch.testing.assert_close(hot(inputs), cold(inputs), rtol=1e-5, atol=1e-7)


def test_heat_that_changes_nothing_is_said(converted, inputs):
    cold, hot = (converted(Drift()) for _ in range(2))
    memcore.age(cold, seconds=10.0)
    with pytest.warns(NoEffectWarning, match=r"at another pace at 360 K; age\(temperature"):
        memcore.age(hot, seconds=10.0, temperature=360.0)
    assert torch.equal(cold(inputs), hot(inputs))


def test_a_layer_drifts_the_same_on_the_same_chip(converted, inputs):
    models = [converted(Drift(nu=Normal(0.1, 0.03)), seed=seed) for seed in (0, 0, 1)]
    for model in models:
        memcore.age(model, seconds=1e5)
    first, again, other = (model(inputs) for model in models)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=1e-3)


@pytest.mark.parametrize(
    "parameters", [{"nu": -0.1}, {"k": float("nan")}, {"g0": 0.0}, {"t0": 0.0}, {"nu": "much"}]
)
def test_impossible_drift_is_refused(parameters):
    with pytest.raises(ConfigError, match=f"Drift: {next(iter(parameters))}="):
        Drift(**parameters)


def test_a_layer_in_double_precision_drifts_by_the_factor_in_double_precision():
    g = torch.tensor([[3e-5, 7e-5]], dtype=torch.float64)
    crossbar = memcore.Crossbar(g, nonidealities=[{"name": "drift", "nu": 0.1, "t0": 1.0}])
    crossbar.age(seconds=1e6)
    factor = crossbar.conductance[0] / g
    torch.testing.assert_close(factor, (1 + 1e6) ** -0.1 * torch.ones_like(g), rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("towards", "expected"),
    [
        # A tenth and ten times, from 2, 30 and 90 uS in a window of 1 to 100 uS.
        ("lowest", (1.0, 3.0, 9.0)),
        ("highest", (20.0, 100.0, 100.0)),
        ("middle", (20.0, 50.5, 50.5)),
    ],
)
def test_drift_towards_a_place_stops_there(towards, expected, arrays, ctx):
    array = arrays()
    assert array.nominal.nominal_range() == pytest.approx((1e-6, 1e-4))
    form = Drift(nu=0.1, t0=1.0, towards=towards).bind(array, ctx).double()
    found = form(torch.tensor([2e-6, 3e-5, 9e-5], dtype=torch.float64), seconds(1e10 - 1))
    torch.testing.assert_close(1e6 * found, torch.tensor(expected).double(), rtol=1e-6, atol=0)


def test_drift_at_random_takes_a_third_of_the_cells_to_each_end(arrays, ctx):
    array = arrays(shape=SHAPE)
    form = Drift(nu=0.1, t0=1.0, towards="random").bind(array, ctx).double()
    g = torch.full(SHAPE, 1e-5, dtype=torch.float64)
    early, late = (form(g, seconds(t)) for t in (9.0, 1e3 - 1))
    for moved in ((late < g), (late == g), (late > g)):
        assert moved.double().mean().item() == pytest.approx(1 / 3, abs=4 * 0.0011)
    assert torch.equal(late < g, early < g)  # for life
    torch.testing.assert_close(late[late < g], g[late < g] / 10**0.3)
    torch.testing.assert_close(late[late > g], g[late > g] * 10**0.3)
