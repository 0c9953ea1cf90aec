"""SkyWater's ReRAM against an own integration of its equations, in float64 with its heat."""

import math

import numpy as np
import pytest
import torch
from memcore_plugins.devices.sky130_reram import Sky130Reram
from scipy.integrate import solve_ivp

import memcore

#: The released constants, written down a second time.
K, T_OX, D_REF, D_MIN, D_MAX = 8.617333262e-5, 5e-9, 4.7249e-9, 3.3e-9, 4.9e-9
C_TH, TAU = 3.1825e-16, 0.23e-9


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def current(d, v):
    return 6.14e-5 * math.exp(-(T_OX - d) / (T_OX - D_REF)) * math.sinh(v / 0.43)


def rate(d, kelvin, v):
    """Growth in m/s with generation and recombination as two terms, as they are released."""
    x = (16.5 - 1.25 * ((T_OX - d) * 1e9) ** 3) * 0.25e-9 / T_OX * v
    kt = K * kelvin
    return 150 * (math.exp((-1.501 + x) / kt) - math.exp((-1.5 - x) / kt))


def integrated(v, start, times, *, lag=True):
    """Thickness in nm at some times after a voltage was applied, with the heat that lags or not."""

    def slope(_, y):  # in nm, K and ns
        d = y[0] * 1e-9
        power = abs(v * current(d, v))
        kelvin = y[1] if lag else 300 + power * TAU / C_TH
        return [
            rate(d, kelvin, v),
            (power / C_TH - (y[1] - 300) / TAU) * 1e-9 if lag else 0.0,
        ]

    def arrived(_, y):
        return (D_MAX * 1e9 - y[0]) if v > 0 else (y[0] - D_MIN * 1e9)

    arrived.terminal = True
    end = times[-1] * 1e9
    begin = [start * 1e9, 300.0]
    done = solve_ivp(
        slope, (0, end), begin, "Radau", events=arrived, dense_output=True, rtol=1e-8, atol=1e-10
    )
    last = done.t[-1]
    return done.sol(np.minimum(times * 1e9, last))[0]


def at(device, metres):
    return (volts(metres) - device.d_min) / (device.d_max - device.d_min)


@pytest.mark.parametrize("v", [-1.4, -0.3, -1e-3, 5e-4, 1e-2, 0.8, 1.6])
def test_rates_are_the_difference_of_generation_and_recombination(v):
    device = Sky130Reram()
    for d in (3.3e-9, 4.2e-9, 4.9e-9):
        s, voltage = at(device, d), volts(v)
        kelvin = 300 + abs(v * current(d, v)) * TAU / C_TH
        assert device.temperature(s, voltage).item() == pytest.approx(kelvin, rel=1e-10)
        found = device.log_rate(s, voltage).exp() * device._push(s, voltage).sign()
        assert found.item() == pytest.approx(rate(d, kelvin, v), rel=1e-6)


def run(trajectory, device, v, start, end, steps=100):
    """Times, thickness in nm at each, and the change of the state in each step."""
    s = trajectory(device, at(device, start)[None], volts(v).expand(steps, 1), end / steps)
    return np.linspace(0, end, steps + 1), device.thickness(s[:, 0, 0]).numpy() * 1e9, s[:, 0, 0]


@pytest.mark.parametrize(
    ("v", "start", "end"),
    [(2.4, 3.3e-9, 2e-7), (-1.2, 4.9e-9, 1e-6), (-1.5, 4.9e-9, 4e-8), (1.2, 4.2e-9, 1e-6)],
)
def test_pulses_equal_an_integration_without_lag(v, start, end, trajectory):
    times, found, _ = run(trajectory, Sky130Reram(), v, start, end)
    expected = integrated(v, start, times, lag=False)
    assert expected[-1] != expected[0]
    # A SET runs away within one of these steps, so that a single sample may lie in the jump.
    away = np.abs(found - expected)
    assert (away > 5e-3).sum() <= 1
    assert np.median(away) < 1e-4


@pytest.mark.parametrize(("v", "start", "end"), [(2.4, 3.3e-9, 1e-8), (-1.5, 4.9e-9, 4e-8)])
def test_the_lag_of_the_heat_is_a_matter_of_its_time_constant(v, start, end, trajectory):
    times, found, _ = run(trajectory, Sky130Reram(), v, start, end, 200)
    expected = integrated(v, start, times)
    middle, rising = 0.5 * (expected[0] + expected[-1]), v > 0
    crossed = [times[np.argmax((x > middle) == rising)] for x in (found, expected)]
    assert abs(crossed[1] - crossed[0]) < 5 * TAU
    assert found[-1] == pytest.approx(expected[-1], abs=0.01)


def test_the_window_is_the_published_one():
    low, high = Sky130Reram().conductance_range()
    # "After FORM, the RRAMs end up in an ultra-low LRS of 30-120 uS": the documentation of the PDK.
    assert 30e-6 < high < 120e-6
    assert high == pytest.approx(6.14e-5 / 0.43 * math.exp(-0.1 / 0.2751), rel=1e-12)
    assert low == pytest.approx(6.14e-5 / 0.43 * math.exp(-1.7 / 0.2751), rel=1e-12)
    # Unformed cells are above 10 Mohm there; the model is of formed ones.
    assert low > 0.1e-6


def test_published_pulses_set_and_reset_and_reads_do_not(ctx):
    device = Sky130Reram()
    ends = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    # 1T1R #5 of the documentation: 2.4 V for a SET, 2.6 V the other way for a RESET, 1000 ns each.
    assert device.step(ends, volts(2.4, 2.4), 1e-6, ctx).tolist() == [[1.0, 1.0]]
    assert device.step(ends, volts(-2.6, -2.6), 1e-6, ctx).tolist() == [[0.0, 0.0]]
    # "Reading is usually performed with a low-applied voltage (e.g., 0.1-0.2V)": a second of it.
    middle = torch.linspace(0, 1, 9, dtype=torch.float64)[None]
    for v in (-0.2, 0.0, 0.2):
        read = device.step(middle, volts(v).expand(9), 1.0, ctx)
        torch.testing.assert_close(read, middle, rtol=0, atol=1e-4)


def test_a_reset_limits_itself_and_a_set_runs_away(trajectory):
    device = Sky130Reram()
    falls = -run(trajectory, device, -1.2, 4.9e-9, 1e-6)[2].diff()
    assert (falls >= 0).all()
    assert (falls[1:] <= falls[:-1] + 1e-12).all()  # ever slower, as the heat falls
    rises = run(trajectory, device, 2.4, 3.3e-9, 5e-9)[2].diff()
    assert rises.max() > 20 * rises[0] > 0


def test_the_conductance_is_that_of_small_voltages_and_has_its_state():
    device, small = Sky130Reram(), volts(1e-6)
    s = torch.linspace(0, 1, 7, dtype=torch.float64)
    g = device.conductance(s[None])
    torch.testing.assert_close(device.current(s[None], small) / small, g, rtol=1e-9, atol=0)
    torch.testing.assert_close(device.state_of(g)[0], s, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "parameters", [{"d_min": 5e-9}, {"d_max": 6e-9}, {"V_ref": 0.0}, {"s0": 2.0}, {"E_g": -1.0}]
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        Sky130Reram(**parameters)
