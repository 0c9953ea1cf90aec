import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Stream, devices

Cmo = devices["reram_cmo"]
SHAPE = (1, 250, 400)
EXACT = {"rel": 1e-9}


@pytest.mark.parametrize(
    ("acceptance", "slope", "offset"),
    [(0.002, 0.00106879, 0.00081107), (0.02, 0.01129027, 0.01121854)],
)
def test_acceptance_decides_the_error_of_writing(
    acceptance, slope, offset, arrays, ctx, moments, us
):
    cell = Cmo(acceptance=acceptance)
    for g in (9.0, 50.0, 88.2):
        expected = 1e-6 * (slope * g + offset)
        assert float(cell.programming_std(us(g))) == pytest.approx(expected, **EXACT)
    write = cell.effects()[0].bind(arrays(cell, SHAPE), ctx)
    g = torch.full(SHAPE, 50e-6, dtype=torch.float64)
    moments(write(g), 50e-6, 1e-6 * (slope * 50 + offset))


@pytest.mark.parametrize("acceptance", [0.0, 0.01, 0.2, 2, 0.0200001])
def test_another_acceptance_is_refused(acceptance):
    with pytest.raises(ConfigError, match=r"there are fits for 0.002 \(0.2 %\) and 0.02 \(2 %\)"):
        Cmo(acceptance=acceptance)


@pytest.mark.parametrize("seconds", [1.0, 3600.0, 86400.0])
def test_relaxation_shifts_and_widens(seconds, arrays, ctx, moments):
    relax = Cmo().effects()[1].bind(arrays(Cmo(), SHAPE), ctx)
    g = torch.full(SHAPE, 50e-6, dtype=torch.float64)
    log = math.log(seconds)
    mean = 50 - 0.08900206 * log
    std = 0.04201137 * log + 0.41183342
    moments(relax(g, torch.tensor(seconds, dtype=torch.float64)), 1e-6 * mean, 1e-6 * std)


def test_no_time_changes_nothing(arrays, ctx):
    relax = Cmo().effects()[1].bind(arrays(Cmo(), (1, 2, 2)), ctx)
    g = torch.full((1, 2, 2), 50e-6)
    assert torch.equal(relax(g, torch.zeros(())), g)


@pytest.mark.parametrize("seconds", [1.0, 86400.0])
def test_read_noise_is_that_of_the_fit(seconds, arrays, ctx, moments, us):
    noise = Cmo().effects()[2].bind(arrays(Cmo(), (1, 1, 1)), ctx)
    g = us(50.0).reshape(1, 1, 1)
    noise.settle(g, torch.tensor(seconds, dtype=torch.float64))
    std = 1e-6 * 0.0277316 * math.log10(50) * math.sqrt(math.log((seconds + 1e-6) / 2e-6))
    assert float(Cmo().read_std(g, seconds)) == pytest.approx(std, **EXACT)
    moments(noise(g.unsqueeze(0), Stream(0).at(torch.arange(100_000))), 50e-6, std)


def test_no_conductance_and_no_time_makes_the_noise_nan(us):
    for seconds in (0.0, 1e-9, 1.0):
        std = Cmo().read_std(us(0.0, 0.1, 1.0, 9.0), seconds)
        assert std.isfinite().all()
        assert (std >= 0).all()
    assert float(Cmo().read_std(us(0.5), 1.0)) == 0


def layer():
    torch.manual_seed(0)
    return memcore.convert(
        nn.Sequential(nn.Linear(30, 20, bias=False)), CrossbarConfig(device="reram_cmo")
    )


def test_age_is_additive_and_a_rewrite_draws_the_error_anew():
    a, b = layer(), layer()
    for seconds in (1000.0, 9000.0):
        memcore.age(a, seconds=seconds)
    memcore.age(b, seconds=10_000.0)
    assert torch.equal(a[0].crossbar.conductance, b[0].crossbar.conductance)
    before = a[0].crossbar.programmed.clone()
    memcore.program(a)
    assert not torch.equal(a[0].crossbar.programmed, before)


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_a_converted_layer_reads_with_the_noise_of_its_cells(seconds):
    model = layer()
    memcore.age(model, seconds=seconds)
    crossbar = model[0].crossbar
    x = torch.linspace(-1, 1, 30)
    with torch.no_grad():
        y = model(x.expand(20_000, 30)).double()
    std = Cmo().read_std(crossbar.conductance.double(), seconds)
    cells = torch.einsum("k,ako->ao", x.double() ** 2, std[:, :30] ** 2).sum(0)
    expected = cells[:20].sqrt() * float(crossbar.gain)
    if seconds:
        torch.testing.assert_close(y.std(0) / expected, torch.ones(20).double(), rtol=0, atol=0.025)
    else:
        assert (expected == 0).all()


def test_what_the_fit_does_not_cover_is_refused():
    with pytest.raises(ConfigError, match="the fit holds from 1 s"):
        memcore.age(layer(), seconds=0.5)
    for window in ({"g_min": 5e-6}, {"g_max": 1e-4}):
        with pytest.raises(ConfigError, match="leaves the fitted range"):
            Cmo(**window)
