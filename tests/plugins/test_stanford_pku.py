import math

import pytest
import torch
from memcore_plugins.devices.stanford_pku import StanfordPku

import memcore


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def at_gap(device, nanometres):
    return ((volts(*nanometres) * 1e-9 - device.g_min) / (device.g_max - device.g_min))[None]


def test_rates_currents_and_temperatures_equal_the_oracle(oracle):
    device = StanfordPku()
    for v, gap, current, rate, temperature, _ in oracle("rates.json")["stanford_rates"]:
        s, voltage = at_gap(device, [gap * 1e9]), volts(v)
        assert device.current(s, voltage).item() == pytest.approx(current, rel=1e-11)
        assert device.temperature(s[0], voltage).item() == pytest.approx(temperature, rel=1e-11)
        found = -math.copysign(math.exp(device.log_rate(s[0], voltage).item()), v)
        assert found == pytest.approx(rate, rel=1e-9)


def test_reads_equal_the_oracle(oracle):
    device = StanfordPku()
    for gap, current, ohm in oracle("rates.json")["stanford_read0p1"]:
        found = device.current(at_gap(device, [gap]), volts(0.1)).item()
        assert found == pytest.approx(current, rel=1e-12)
        assert 0.1 / found == pytest.approx(ohm, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "v", "start", "tolerance"),
    [("set_1p8V", 1.8, 1.7, 2e-2), ("reset_m1p3V", -1.3, 0.2, 1e-6)],
)
def test_a_long_pulse_equals_the_oracle(name, v, start, tolerance, oracle, trajectory):
    expected = oracle(f"stanford_pku_{name}_100ns.csv")
    device = StanfordPku(substeps=8)
    s = trajectory(device, at_gap(device, [start]), volts(v).expand(400), 0.25e-9)[:-1, :, 0].T
    found = device.gap(s[0]) * 1e9
    torch.testing.assert_close(found, expected["gap_m"] * 1e9, rtol=0, atol=tolerance)


def test_reset_at_steps_of_a_nanosecond(trajectory):
    device = StanfordPku()
    s = trajectory(device, at_gap(device, [0.2]), volts(-1.3).expand(100), 1e-9)[:, 0, 0]
    assert device.gap(s[50]).item() * 1e9 == pytest.approx(0.88984525, abs=1e-4)
    assert device.gap(s[100]).item() * 1e9 == pytest.approx(1.29850627, abs=1e-4)


def test_triangle_equals_the_oracle(oracle, trajectory):
    expected = oracle("stanford_pku_triangle_2V_16ms.csv")
    device, fine = StanfordPku(), 1
    edges = torch.arange(400 * fine + 1, dtype=torch.float64) / (400 * fine)
    up = 4 * torch.minimum(edges, 0.5 - edges)
    wave = 2 * torch.where(edges <= 0.5, up, -4 * torch.minimum(edges - 0.5, 1 - edges))
    middle = 0.5 * (wave[1:] + wave[:-1])
    s = trajectory(device, at_gap(device, [1.7]), middle, 16e-3 / 400 / fine)[:-1:fine, 0, 0]
    found = device.gap(s) * 1e9
    # The sweep is slow: the switching happens within a sample, so compare away from the jumps.
    difference = (found - expected["gap_m"] * 1e9).abs()
    assert (difference > 2e-2).sum() <= 3
    assert difference.median() < 1e-6


def test_set_threshold_is_that_of_the_least_field():
    device = StanfordPku()
    threshold = 1.4e9 * 12e-9 / (16 - 0.8 * 1.7**3)
    assert threshold == pytest.approx(1.391927, rel=1e-6)
    s = torch.ones(1, dtype=torch.float64)
    assert device.log_rate(s, volts(threshold * 0.9999)).item() == -math.inf
    assert device.log_rate(s, volts(threshold * 1.0001)).isfinite().all()
    assert device.log_rate(s, volts(-1.0499)).item() == -math.inf
    assert device.log_rate(s, volts(-1.0501)).isfinite().all()


def test_series_resistance_divides_the_voltage():
    device = StanfordPku(r_series=500.0)
    s = torch.linspace(0, 1, 9, dtype=torch.float64)
    for v in (-3.0, -0.1, 0.5, 3.0, 50.0):
        voltage = torch.full_like(s, v)
        u, i = device._divide(s, voltage)
        torch.testing.assert_close(u + 500.0 * i, voltage, rtol=1e-12, atol=0)
        expected = 1e-3 * torch.exp(-device.gap(s) / 0.25e-9) * torch.sinh(u / 0.25)
        torch.testing.assert_close(i, expected, rtol=1e-9, atol=0)


def test_compliance_limits_set_but_not_reset(ctx):
    device = StanfordPku(i_max=1e-3)
    low = torch.zeros(1, 1, dtype=torch.float64)
    assert device.current(low, volts(2.0)).item() == pytest.approx(1e-3)
    assert device.current(low, volts(-1.1)).item() == pytest.approx(-1.829636e-2, rel=1e-6)
    opened = device.step(low, volts(-1.3), 1e-7, ctx)
    closed = device.step(opened, volts(2.0), 1e-3, ctx)
    free = StanfordPku().step(opened, volts(2.0), 1e-3, ctx)
    assert 0 < closed.item() < opened.item()
    slower = [device.step(opened, volts(2.0), 1e-3 / n, ctx).item() for n in (10, 100)]
    assert slower == pytest.approx([closed.item()] * 2, abs=2e-3)
    assert free.item() == 0


def test_the_spread_of_the_noise_does_not_depend_on_the_step(ctx):
    device = StanfordPku(delta_g0=1e-3, i_max=1e-5, substeps=1)
    start = torch.full((1, 20_000), 0.5, dtype=torch.float64)
    calm = StanfordPku(i_max=1e-5, substeps=1)
    spread = []
    for n in (1, 16):
        noisy, mean = start, start
        for k in range(n):
            v = torch.full((20_000,), -1.1, dtype=torch.float64)
            noisy = device.step(noisy, v, 16e-9 / n, ctx.child(n, k))
            mean = calm.step(mean, v, 16e-9 / n, ctx)
        spread.append((noisy - mean).std().item())
    assert spread[1] == pytest.approx(spread[0], rel=0.05)
    size = 1e-3 / (1 + math.exp((450 - 298.8) / 500)) * math.sqrt(16e-9 * 1e-9) / 1.5e-9
    assert spread[0] == pytest.approx(size, rel=0.05)


def test_noise_rests_when_the_gap_does(ctx):
    device = StanfordPku.preset("dynamic")
    start = torch.full((1, 100), 0.5, dtype=torch.float64)
    assert torch.equal(device.step(start, torch.full((100,), 0.5).double(), 1e-3, ctx), start)


def test_the_conductance_agrees_with_the_current(state):
    device, small = StanfordPku(r_series=100.0), volts(1e-6)
    slope = (device.current(state(0.3), small) / small).item()
    assert device.conductance(state(0.3)).item() == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize(
    "parameters", [{"g_min": 2e-9}, {"r_series": -1.0}, {"V0": 0.0}, {"s0": 2.0}, {"i_max": 0.0}]
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        StanfordPku(**parameters)
