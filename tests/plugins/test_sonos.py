import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Stream, devices

Sonos = devices["sonos"]
DAY = 86400.0
SHAPE = (1, 250, 400)


def at(*nanoampere):
    """Conductances of currents at the default read voltage, float64."""
    return torch.tensor(nanoampere, dtype=torch.float64) * 1e-9 / Sonos().v_read


def test_spread_is_that_of_the_table():
    g = at(10.0, 100.0, 500.0, 1600.0)
    day_0 = at(1.0965364864683198, 8.608461099393097, 18.719973901447386, 19.884372777976164)
    day_3 = at(1.5221332873795275, 12.266375182490338, 28.529883960423476, 31.033215534147782)
    torch.testing.assert_close(Sonos().programming_std(g), day_0, rtol=1e-9, atol=0)
    torch.testing.assert_close(Sonos().total_std(g, 3), day_3, rtol=1e-9, atol=0)


def test_mean_shift_is_the_table_and_linear_between(oracle):
    table = oracle("sonos_mean_drift_table.csv")
    g = at(*table["I_nA"].tolist())
    for day in range(1, 6):
        found = Sonos().shift(g, day * DAY)
        torch.testing.assert_close(found, at(*table[f"d{day}"].tolist()), rtol=1e-9, atol=1e-18)
    torch.testing.assert_close(Sonos().shift(at(600.0), DAY), at(0.5 * (0.6155 - 3.8268)))
    torch.testing.assert_close(Sonos().shift(at(800.0), 0.5 * DAY), at(0.5 * -3.8268))


@pytest.mark.parametrize("current", [100.0, 1600.0])
def test_writing_and_retention_have_the_moments_of_the_fits(current, arrays, ctx, moments):
    cell = Sonos()
    effects = [e.bind(arrays(cell, SHAPE), ctx.child(str(e.stage))) for e in cell.effects()]
    g = at(current).expand(SHAPE)
    write, age, _ = effects
    moments(write(g), float(at(current)), float(cell.programming_std(at(current))))
    for day in (1, 3, 5):
        t = torch.tensor(day * DAY, dtype=torch.float64)
        extra = cell.total_std(at(current), day).square() - cell.total_std(at(current), 0).square()
        mean = float(at(current) + cell.shift(at(current), day * DAY))
        moments(age(g, t), mean, math.sqrt(float(extra)))


@pytest.mark.parametrize("days", [0, 5])
def test_read_noise_does_not_depend_on_time(days, arrays, ctx, moments):
    noise = Sonos().effects()[2].bind(arrays(Sonos(), (1, 1, 1)), ctx)
    g = at(400.0).reshape(1, 1, 1)
    noise.settle(g, torch.tensor(days * DAY, dtype=torch.float64))
    std = float(at(12.58037 * (1 - math.exp(-400 / 215.36557))))
    moments(noise(g.unsqueeze(0), Stream(0).at(torch.arange(100_000))), float(g), std)


def layer(**settings):
    torch.manual_seed(0)
    config = CrossbarConfig(**{"device": "sonos", **settings})
    return memcore.convert(nn.Sequential(nn.Linear(30, 20, bias=False)), config)


def test_age_is_additive_and_a_rewrite_draws_the_error_anew():
    a, b = layer(), layer()
    for seconds in (0.3 * DAY, 2.2 * DAY):
        memcore.age(a, seconds=seconds)
    memcore.age(b, seconds=2.5 * DAY)
    torch.testing.assert_close(a[0].crossbar.conductance, b[0].crossbar.conductance)
    before = a[0].crossbar.programmed.clone()
    memcore.program(a)
    assert not torch.equal(a[0].crossbar.programmed, before)


def test_a_converted_layer_reads_with_the_noise_of_its_cells():
    model = layer()
    crossbar, x = model[0].crossbar, torch.linspace(-1, 1, 30)
    with torch.no_grad():
        y = model(x.expand(20_000, 30)).double()
    std = Sonos().read_std(crossbar.conductance.double())
    cells = torch.einsum("k,ako->ao", x.double() ** 2, std[:, :30] ** 2).sum(0)
    expected = cells[:20].sqrt() * float(crossbar.gain)
    torch.testing.assert_close(y.std(0) / expected, torch.ones(20).double(), rtol=0, atol=0.025)


def test_what_the_fits_do_not_cover_is_refused():
    with pytest.raises(ConfigError, match="the fit holds from 0 s to 432000 s"):
        memcore.age(layer(), seconds=6 * DAY)
    with pytest.raises(ConfigError, match="leaves the fitted range"):
        Sonos(g_max=4e-5)
    with pytest.raises(ConfigError, match="leave out 'sonos_retention'"):
        layer(device=Sonos(g_max=3e-5))
    layer(device=Sonos(g_max=3e-5), without=["sonos_retention"])
