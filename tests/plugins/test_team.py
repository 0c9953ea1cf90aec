import math

import pytest
import torch
from memcore_plugins.devices.team import Team

import memcore
from memcore.modelling import distance


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("current", "rate"),
    [(2e-3, 2.044033446e-6), (0.5e-3, 2.582151665e-13), (-0.1e-3, 5.909211800e-12)],
)
def test_rates_equal_the_oracle(current, rate):
    found = Team(window="none").log_rate(volts(0.5), volts(current)).exp().item()
    assert found == pytest.approx(rate, rel=1e-9)


def test_trajectory_equals_the_oracle(oracle, trajectory, state):
    expected = oracle("team_fit_sine_1V_1kHz.csv")
    device, n, fine = Team(substeps=1), 200, 10
    h = 1e-3 / n / fine
    middle = (torch.arange(2 * n * fine, dtype=torch.float64) + 0.5) * h
    voltages = torch.sin(2 * math.pi * 1e3 * middle)
    s = trajectory(device, state(1.25 / 3), voltages, h)[:-1:fine, :, 0].T
    torch.testing.assert_close(s[0] * 3, expected["x_m"] * 1e9, rtol=0, atol=1e-4)
    assert s.max().item() * 3 == pytest.approx(1.333502, abs=1e-4)
    current = device.current(s, expected["V_V"])
    torch.testing.assert_close(current, expected["I_A"], rtol=1e-4, atol=0)
    assert current.max().item() == pytest.approx(2.175867e-3, rel=1e-4)


@pytest.mark.parametrize("v", [1.0, -1.0])
def test_substeps_converge_at_second_order(v, state, ctx):
    def end(n):
        return Team(substeps=n).step(state(0.5 if v < 0 else 0.42), volts(v), 1e-4, ctx).item()

    exact = end(2000)
    assert abs(end(40) - exact) < abs(end(20) - exact) / 3
    assert end(16) == pytest.approx(exact, abs=2e-4)


def test_nothing_moves_between_the_thresholds(state, ctx):
    device = Team()
    safe = volts(115e-6, -8.9e-6, 0.0) / device.conductance(state(0.5)) * 0.999
    assert (device.step(state(0.5), safe, 1e9, ctx) == 0.5).all()


def test_a_reset_ends_at_its_threshold_current(state, ctx):
    device = Team(alpha_off=1.0, k_off=1e-3, window="none", substeps=1)
    v = volts(0.05)
    for dt in (1e-6, 1e-3, 1e3):
        moved = device.step(state(0.1), v, dt, ctx)
        assert device.current(moved, v).item() >= 115e-6 * (1 - 1e-9)


def test_a_magnitude_for_the_negative_threshold_is_refused():
    with pytest.raises(
        memcore.ConfigError, match=r"i_on=8.9e-06; expected a finite number of A < 0"
    ):
        Team(i_on=8.9e-6)


def test_the_tiny_constants_of_the_pickett_fit_survive_single_precision(state, ctx):
    device = Team.preset("pickett", window="none")
    v = torch.tensor([8.0])
    coarse = device.step(state(0.02, dtype=torch.float32), v, 1e-3, ctx)
    fine = device.step(state(0.02), v.double(), 1e-3, ctx)
    assert coarse.item() == pytest.approx(fine.item(), abs=1e-5)
    assert fine.item() > 0.022


def test_motion_under_an_exponential_rate_is_exact():
    push, slope = volts(0.3, 0.3, 0.3, 3.0), volts(-5.0, 2.0, 0.0, 2.0)
    found = distance(push.log(), slope)
    expected = [math.log1p(1.5) / 5, -math.log1p(-0.6) / 2, 0.3, 2.0]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("parameters", [{"k_on": 1.0}, {"w_c": 0.0}, {"window": "x"}, {"iv": "x"}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        Team(**parameters)


def test_the_listing_of_technion_has_no_window():
    device = Team.preset("technion")
    assert device.window == "none"
    rate = device.log_rate(volts(0.1, 0.5, 0.9), volts(2e-4, 2e-4, 2e-4)).exp()
    expected = 8e-13 * (2e-4 / 115e-6 - 1) ** 3
    torch.testing.assert_close(rate, volts(expected, expected, expected))
