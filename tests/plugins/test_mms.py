import math

import pytest
import torch
from memcore_plugins.devices.mms import Mms

import memcore


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_rates_equal_the_oracle(oracle, state, ctx):
    device = Mms()
    for v, x, rate in oracle("rates.json")["mms_rates"]:
        # x' - x = rate (1 - e^-L dt) / L; expm1 keeps the digits of a short step.
        dt = 1e-9
        moved = (device.step(state(x), volts(v), dt, ctx) - x).item() / dt
        assert moved == pytest.approx(rate, rel=2e-5, abs=1e-6)


def test_trajectory_equals_the_oracle(oracle, trajectory, state):
    expected = oracle("mms_sine_0p5V_100Hz.csv")
    device, n, fine = Mms(), 200, 100
    h = 1 / 100 / n / fine
    middle = (torch.arange(2 * n * fine, dtype=torch.float64) + 0.5) * h
    voltages = 0.5 * torch.sin(2 * math.pi * 100 * middle)
    x = trajectory(device, state(0.0), voltages, h)[:-1:fine, :, 0].T
    torch.testing.assert_close(x[0], expected["x"], rtol=0, atol=1e-5)
    current = device.current(x, expected["V_V"])
    torch.testing.assert_close(current, expected["I_A"], rtol=0, atol=1e-8)


def test_lobe_areas_shrink_at_high_frequency(oracle, trajectory, state):
    device, n = Mms(), 400
    v = 0.5 * torch.sin(2 * math.pi * torch.arange(n + 1, dtype=torch.float64) / n)
    middle = 0.5 * torch.sin(2 * math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n)
    for frequency, positive, negative in oracle("rates.json")["mms_lobe"]:
        # The mean of the two lobes settles long before the lobes do.
        periods, tolerance = (2, 1e-3) if frequency < 1e4 else (8, 2e-2)
        x = trajectory(device, state(0.0), middle.repeat(periods), 1 / frequency / n)
        i = device.current(x[-n - 1 :, :, 0].T, v)
        halves = slice(0, n // 2 + 1), slice(n // 2, n + 1)
        mean = sum(abs(torch.trapezoid(i[h], v[h]).item()) for h in halves) / 2
        assert mean == pytest.approx((positive + negative) / 2, rel=tolerance)


def test_a_pulse_may_be_split(state, ctx):
    device = Mms()
    whole = device.step(state(0.2), volts(0.25), 3e-4, ctx)
    parts = device.step(device.step(state(0.2), volts(0.25), 1e-4, ctx), volts(0.25), 2e-4, ctx)
    torch.testing.assert_close(whole, parts, rtol=1e-13, atol=0)


def test_the_state_decays_to_the_middle_without_voltage(state, ctx):
    after = Mms().step(state(1.0), volts(0.0), 1.81, ctx).item()
    assert after == pytest.approx(0.5 + 0.5 * math.exp(-1), abs=2e-3)


def test_a_read_moves_the_state(state, ctx):
    assert Mms().step(state(0.0), volts(0.1), 1e3, ctx).item() == pytest.approx(0.99958, abs=1e-5)


def test_the_schottky_branch_is_pinched_and_counts_in_the_conductance(state):
    device = Mms.preset("schottky")
    assert device.current(state(0.3), volts(0.0)).item() == 0
    small = volts(1e-7)
    slope = (device.current(state(0.3), small) / small).item()
    assert device.conductance(state(0.3)).item() == pytest.approx(slope, rel=1e-6)
    assert device.current(state(0.3), volts(1e4)).isfinite().all()


def test_finitely_many_switches_fluctuate_as_the_binomial(ctx):
    device = Mms(switches=100)
    x = torch.full((1, 100_000), 0.5, dtype=torch.float64)
    moved = device.step(x, torch.zeros(100_000, dtype=torch.float64), 1e4, ctx)
    assert moved.mean().item() == pytest.approx(0.5, abs=4 * 0.05 / math.sqrt(1e5))
    assert moved.std().item() == pytest.approx(0.05, rel=4 / math.sqrt(2e5))
    again = device.step(x, torch.zeros(100_000, dtype=torch.float64), 1e4, ctx)
    assert torch.equal(moved, again)


def test_cold_switches_with_high_thresholds_stay_finite(ctx):
    device = Mms(v_on=5.0, v_off=5.0)
    moved = device.step(torch.full((1, 3), 0.5), torch.tensor([-1.0, 0.0, 1.0]), 1.0, ctx)
    assert moved.isfinite().all()


@pytest.mark.parametrize(
    "parameters", [{"tau": 0.0}, {"phi": 1.2}, {"switches": 0}, {"v_on": math.nan}, {"r_on": 2e3}]
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        Mms(**parameters)
