import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, Context, CrossbarConfig, devices
from memcore.testing import parametrize_with_checks

Wan = devices["reram_wan2022"]
DAY = 86400.0
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
TABLE = {
    1.0: (0.348, 1.556182, 2.25827, 2.022938, 1.532988, 1.103),
    DAY: (0.701, 2.447319, 3.720758, 3.909, 3.366477, 2.651),
    2 * DAY: (0.782, 2.410199, 3.663789, 3.929125, 3.374352, 2.677),
}
SHAPE = (1, 250, 400)


@parametrize_with_checks(
    *Wan(g_max=2e-4).effects(),
    expected_failures={"check_neutral_is_the_identity": "left out by its name, not by parameters"},
)
def test_effects_conform(check):
    check()


@pytest.mark.parametrize("seconds", TABLE)
def test_spread_is_that_of_the_table(seconds, us):
    g = us(*(40 * x for x in SHARES))
    torch.testing.assert_close(Wan().total_std(g, seconds), us(*TABLE[seconds]), rtol=4e-7, atol=0)


def test_the_cubic_fit_is_that_of_the_table(us):
    found = Wan.preset("cubic").programming_std(us(0.0, 10.0, 20.0, 30.0, 39.26))
    expected = us(1.053, 2.4136, 2.3618, 1.8192, 1.6806414287936002)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_the_reference_of_40_microsiemens_is_honoured(us):
    torch.testing.assert_close(
        Wan(g_max=20e-6).programming_std(us(10.0)), 0.5 * Wan().programming_std(us(20.0))
    )


@pytest.mark.parametrize("x", [0.25, 0.5, 1.0])
def test_writing_and_relaxing_have_the_moments_of_the_fit(x, arrays, ctx, moments, us):
    cell = Wan()
    info = arrays(cell, SHAPE)
    write, relax = (e.bind(info, ctx.child(str(e.stage))) for e in cell.effects())
    g = torch.full(SHAPE, 40e-6 * x, dtype=torch.float64)
    moments(write(g), 40e-6 * x, float(cell.programming_std(us(40 * x))))
    for seconds in (3600.0, DAY, 2 * DAY):
        t = torch.tensor(seconds, dtype=torch.float64)
        expected = math.sqrt(
            float(cell.total_std(us(40 * x), seconds)) ** 2
            - float(cell.programming_std(us(40 * x))) ** 2
        )
        moments(relax(g, t), 40e-6 * x, expected)


def test_spread_grows_with_the_logarithm_of_time_in_between(us):
    cell, g = Wan(), us(20.0)
    middle = cell.total_std(g, math.sqrt(DAY)).square()
    ends = cell.total_std(g, 1.0).square() + cell.total_std(g, DAY).square()
    torch.testing.assert_close(middle, 0.5 * ends)


def layer():
    torch.manual_seed(0)
    return memcore.convert(nn.Sequential(nn.Linear(30, 20)), CrossbarConfig(device="reram_wan2022"))


def test_age_is_additive_and_a_rewrite_draws_the_error_anew():
    a, b = layer(), layer()
    for seconds in (1000.0, DAY - 1000.0):
        memcore.age(a, seconds=seconds)
    memcore.age(b, seconds=DAY)
    assert torch.equal(a[0].crossbar.conductance, b[0].crossbar.conductance)
    before = a[0].crossbar.programmed.clone()
    memcore.program(a)
    assert not torch.equal(a[0].crossbar.programmed, before)


def test_another_write_relaxes_otherwise(arrays, ctx):
    info, effect = arrays(Wan(), (1, 4, 5)), Wan().effects()[1]
    first, second = (effect.bind(info, Context(random=ctx.random, writes=n)) for n in (0, 1))
    assert not torch.equal(first.z, second.z)


def test_what_the_fit_does_not_cover_is_refused(arrays, ctx):
    with pytest.raises(ConfigError, match="the fit holds from 0 s to 172800 s"):
        memcore.age(layer(), seconds=3 * DAY)
    with pytest.raises(ConfigError, match="leaves the fitted range"):
        Wan(fit="cubic", g_max=50e-6)
    write = Wan().effects()[0].bind(arrays(Wan(), (1, 2, 2)), ctx)
    with pytest.raises(ConfigError, match="map the weights into this window"):
        write(torch.full((1, 2, 2), 41e-6))


def test_the_cubic_fit_ends_where_its_source_does():
    assert Wan.preset("cubic").g_max == pytest.approx(39.26e-6)
    with pytest.raises(ConfigError, match=r"3\.926e-05"):
        Wan(fit="cubic", g_max=40e-6)
