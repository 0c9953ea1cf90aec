import math

import pytest
import torch
from memcore_plugins.devices.yakopcic import X_MIN, Yakopcic

import memcore


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("v", "x", "current", "rate"),
    [
        (0.45, 0.11, 4.207855e-4, 1579.20526),
        (0.45, 0.5, 1.912661e-3, 923.531364),
        (-0.45, 0.9, -3.442790e-3, -1625.911771),
        (-0.45, 0.2, -7.650646e-4, -145.115982),
        (0.1, 0.5, 4.250018e-4, 0.0),
    ],
)
def test_current_and_rate_equal_the_oracle(v, x, current, rate, state, ctx):
    device, dt = Yakopcic(), 1e-9
    assert device.current(state(x), volts(v)).item() == pytest.approx(current, rel=2e-7)
    moved = (device.step(state(x), volts(v), dt, ctx) - x).item() / dt
    assert moved == pytest.approx(rate, rel=1e-5)


def test_trajectory_equals_the_oracle(oracle, trajectory, state):
    expected = oracle("yakopcic_oblea_sine.csv")
    device, n, fine = Yakopcic(), 200, 8
    h = 1 / 100 / n / fine
    middle = (torch.arange(2 * n * fine, dtype=torch.float64) + 0.5) * h
    voltages = 0.45 * torch.sin(2 * math.pi * 100 * middle)
    x = trajectory(device, state(0.11), voltages, h)[:-1:fine, :, 0].T
    torch.testing.assert_close(x[0], expected["x"], rtol=0, atol=1e-5)
    current = device.current(x, expected["V_V"])
    torch.testing.assert_close(current, expected["I_A"], rtol=0, atol=4e-8)
    assert x.min().item() == pytest.approx(0.092916, abs=1e-6)
    assert x.max().item() == pytest.approx(0.969737, abs=1e-5)


@pytest.mark.parametrize("v", [0.45, -0.45])
def test_a_pulse_may_be_split(v, state, ctx):
    device = Yakopcic()
    whole = device.step(state(0.4), volts(v), 2e-4, ctx)
    parts = state(0.4)
    for _ in range(64):
        parts = device.step(parts, volts(v), 2e-4 / 64, ctx)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-6)


def test_motion_is_exactly_linear_before_the_damping_begins(state, ctx):
    moved = Yakopcic().step(state(0.1), volts(0.45), 1e-4, ctx).item()
    speed = 4000 * (math.exp(0.45) - math.exp(0.16))
    assert moved - 0.1 == pytest.approx(speed * 1e-4, rel=1e-12)


def test_reads_between_the_thresholds_move_nothing(state, ctx):
    voltages = torch.linspace(-0.15, 0.16, 40, dtype=torch.float64)
    assert (Yakopcic().step(state(0.5), voltages, 1e9, ctx) == 0.5).all()


def test_the_state_never_becomes_an_open_circuit(state, ctx):
    device = Yakopcic()
    moved = device.step(state(0.5), volts(-3.0), 1e6, ctx)
    assert moved.item() == X_MIN
    assert device.step(moved, volts(1.0), 1e-4, ctx).item() > 0.1


def test_eta_turns_the_device_around(state, ctx):
    device = Yakopcic(eta=-1)
    assert device.polarity == -1
    assert device.step(state(0.5), volts(0.4), 1e-4, ctx).item() < 0.5


def test_two_amplitudes_of_the_current(state):
    device = Yakopcic.preset("jo")
    ratio = device.current(state(0.5), volts(-1.0)) / device.current(state(0.5), volts(1.0))
    assert ratio.item() == pytest.approx(-4.35 / 3.7)


@pytest.mark.parametrize(
    "parameters", [{"x_p": 1.0}, {"V_n": -0.15}, {"eta": 0}, {"b": 0.0}, {"alpha_p": -1.0}]
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        Yakopcic(**parameters)
