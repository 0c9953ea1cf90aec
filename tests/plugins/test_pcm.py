import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, Context, CrossbarConfig, Stream, devices
from memcore.testing import parametrize_with_checks

Pcm = devices["pcm"]
TIMES = (25.0, 3600.0, 86400.0, 365 * 86400.0)
WIDE = Pcm(g_max=2e-4)  # holds the conductances of the conformance kit


@parametrize_with_checks(
    *WIDE.effects(),
    expected_failures={"check_neutral_is_the_identity": "left out by its name, not by parameters"},
)
def test_effects_conform(check):
    check()


def test_closed_forms_are_those_of_the_table(oracle, us):
    cell, zero = Pcm(), torch.zeros((), dtype=torch.float64)
    for x, std, mean, spread, q, *later in oracle("statistical.json")["pcm"]:
        g = us(25 * x)
        close(cell.programming_std(g), std * 1e-6)
        close(cell.drift_mean(g), mean)
        close(cell.drift_std(g), spread)
        close(cell.noise_ratio(g), q)
        for t, factor, noise in zip(TIMES, later[::2], later[1::2], strict=True):
            drifted = cell.drifted(g, g, t, zero)
            close(drifted / g, factor)
            close(cell.read_std(drifted, g, t), noise * 1e-6)


def close(found, expected):
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=1e-9, atol=0)


def test_the_other_fits(us):
    g = us(0.0, 5.0, 12.5, 25.0)
    expected = us(0.28638599, 0.62098044, 0.95527805, 1.06552324)
    found = Pcm.preset("joshi_fig3b").programming_std(g)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=0)
    plain = Pcm.preset("state_independent")
    torch.testing.assert_close(plain.programming_std(g), us(*[0.2] * 4))
    close(plain.drift_mean(g), 0.1)
    close(plain.drift_std(g), 0.05)


def test_the_error_scales_with_the_highest_conductance(us):
    found = Pcm(g_max=50e-6).programming_std(us(50.0))
    torch.testing.assert_close(found, 2 * Pcm().programming_std(us(25.0)))


def test_an_empty_cell_has_finite_statistics(us):
    cell, g = Pcm(), us(0.0)
    for value in (cell.drift_mean(g), cell.drift_std(g), cell.noise_ratio(g)):
        assert value.isfinite().all()


@pytest.fixture
def bound(arrays, ctx):
    def bind(cell=None, shape=(1, 250, 400), writes=0):
        cell = cell or Pcm()
        info = arrays(cell, shape)
        where = Context(random=ctx.random, writes=writes)
        return [e.bind(info, where.child(str(e.stage))) for e in cell.effects()]

    return bind


@pytest.mark.parametrize("x", [0.1, 0.5, 1.0])
def test_programming_errors_have_the_moments_of_the_fit(bound, moments, us, x):
    cell = Pcm()
    g = torch.full((1, 250, 400), 25e-6 * x, dtype=torch.float64)
    std = float(cell.programming_std(us(25 * x)))
    moments(bound()[0](g), 25e-6 * x, std)


@pytest.mark.parametrize("x", [0.02, 0.5])
def test_drift_exponents_are_folded_normals(bound, moments, us, x):
    cell, drift = Pcm(), bound()[1]
    g = torch.full((1, 250, 400), 25e-6 * x, dtype=torch.float64)
    after = drift(g, torch.tensor(3600.0, dtype=torch.float64))
    nu = -(after / g).log() / math.log1p(3600 / 20)
    m, s = float(cell.drift_mean(us(25 * x))), float(cell.drift_std(us(25 * x)))
    mean = s * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * s**2)) + m * math.erf(
        m / (s * math.sqrt(2))
    )
    moments(nu, mean, math.sqrt(m**2 + s**2 - mean**2))
    if x == 0.02:
        assert mean == pytest.approx(0.08581161903792352, rel=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 3600.0, 365 * 86400.0])
def test_read_noise_grows_with_the_age(bound, moments, seconds):
    cell, (_, _, noise) = Pcm(), bound()
    programmed = torch.full((1, 1, 1), 12.5e-6, dtype=torch.float64)
    noise.settle(programmed, torch.tensor(seconds, dtype=torch.float64))
    reads = Stream(0).at(torch.arange(100_000))
    g = 0.8 * programmed.unsqueeze(0)
    std = float(cell.read_std(g, programmed, seconds))
    moments(noise(g, reads), 10e-6, std)


def layer(**settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 24, bias=False))
    config = CrossbarConfig(device="pcm", tile=None, **settings)
    return memcore.convert(model, config)


def test_age_is_additive_and_a_trajectory():
    a, b = layer(), layer()
    memcore.age(a, seconds=100.0)
    early = a[0].crossbar.conductance.clone()
    memcore.age(a, seconds=86300.0)
    memcore.age(b, seconds=86400.0)
    assert torch.equal(a[0].crossbar.conductance, b[0].crossbar.conductance)
    assert (a[0].crossbar.conductance <= early).all()


def test_writing_again_draws_errors_anew_and_keeps_the_exponents():
    model = layer()
    crossbar = model[0].crossbar

    def written():
        memcore.age(model, seconds=1e4)
        return crossbar.programmed.clone(), crossbar.conductance.clone()

    before, aged = written()
    memcore.program(model)
    again, aged_again = written()
    assert not torch.equal(before, again)
    some = (before > 1e-7) & (again > 1e-7)
    assert some.sum() > 1000
    torch.testing.assert_close((aged / before)[some], (aged_again / again)[some])


@pytest.mark.parametrize("seconds", [0.0, 86400.0])
def test_a_converted_layer_reads_with_the_noise_of_its_cells(seconds):
    model = layer(read_voltage=0.2)
    memcore.age(model, seconds=seconds)
    crossbar, cell = model[0].crossbar, Pcm()
    with torch.no_grad():
        x = torch.linspace(-1, 1, 48)
        y = model(x.expand(20_000, 48)).double()
    std = cell.read_std(crossbar.conductance.double(), crossbar.programmed.double(), seconds)
    cells = torch.einsum("k,ako->ao", x.double() ** 2, std[:, :48] ** 2).sum(0)
    expected = cells[:24].sqrt() * float(crossbar.gain)
    torch.testing.assert_close(y.std(0) / expected, torch.ones(24).double(), rtol=0, atol=0.025)


def test_effects_go_by_their_names_and_can_be_left_out():
    names = ["pcm_programming", "pcm_drift", "pcm_read_noise"]
    assert list(CrossbarConfig(device="pcm").effects) == names
    config = CrossbarConfig(device="pcm", without=["pcm_drift"])
    assert list(config.effects) == [names[0], names[2]]


def test_positive_and_negative_cells_are_drawn_apart():
    crossbar = layer(without=["pcm_drift", "pcm_read_noise"])[0].crossbar
    plus, minus = crossbar.programmed
    assert plus.shape == minus.shape
    both_empty = (plus < 1.5e-6) & (minus < 1.5e-6)
    assert not torch.equal(plus[both_empty], minus[both_empty])


def test_what_the_fit_does_not_cover_is_refused(bound):
    with pytest.raises(ConfigError, match="the fit holds from 0 s to"):
        memcore.age(layer(), seconds=1e9)
    with pytest.raises(ConfigError, match="map the weights into this window"):
        bound(shape=(1, 2, 2))[0](torch.full((1, 2, 2), 30e-6))
    with pytest.raises(ConfigError, match="expected g_min < g_max"):
        Pcm(g_min=1e-4)
    with pytest.raises(ConfigError, match="fit='boybat'; expected one of"):
        Pcm(fit="boybat")


def test_it_cannot_be_pulsed(ctx, us):
    cell = Pcm()
    state = cell.state_of(us(10.0))
    with pytest.raises(NotImplementedError, match="programmer='direct'"):
        cell.step(state, torch.ones(1), 1e-6, ctx)
    with pytest.raises(NotImplementedError, match="programmer='direct'"):
        cell.pulses(state, torch.ones(1), ctx)
