import math

import pytest
import torch
from memcore_plugins.devices.nonlinear_ion_drift import NonlinearIonDrift

import memcore


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("v", [-1.3, -0.2, 0.0, 0.4, 1.1])
def test_the_current_is_that_of_the_paper(v, state):
    expected = 0.3**2 * 0.9e-6 * math.sinh(2 * v) + 1e-10 * math.expm1(4 * v)
    found = NonlinearIonDrift().current(state(0.3), volts(v)).item()
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("v", [-1.2, 0.3, 1.2])
def test_without_window_the_motion_is_linear_in_time(v, state, ctx):
    moved = NonlinearIonDrift().step(state(0.5), volts(v), 0.1, ctx).item()
    assert moved - 0.5 == pytest.approx(0.1 * v**5, rel=1e-12)


def test_joglekar_motion_is_logistic(state, ctx):
    device = NonlinearIonDrift(window="joglekar")
    moved = device.step(state(0.2), volts(1.1), 0.5, ctx).item()
    assert math.log(moved / (1 - moved) * 4) == pytest.approx(4 * 0.5 * 1.1**5, rel=1e-12)


@pytest.mark.parametrize("window", ["joglekar", "biolek", "prodromakis"])
def testwindows_follow_their_equation(window, state, ctx):
    from memcore.modelling import windows

    device, dt, v = NonlinearIonDrift(window=window, p=3.0), 1e-7, volts(-1.0)
    x = volts(0.3)
    f = {
        "joglekar": windows.joglekar(x, 3.0),
        "biolek": windows.biolek(x, v, 3.0),
        "prodromakis": windows.prodromakis(x, 3.0, 1.0),
    }[window].item()
    moved = (device.step(x[None], v, dt, ctx) - x).item() / dt
    assert moved == pytest.approx(-f, rel=1e-5)


def test_a_read_moves_far_less_than_a_write(state, ctx):
    device = NonlinearIonDrift()
    read = device.step(state(0.5), volts(0.1), 0.1, ctx).item() - 0.5
    write = device.step(state(0.5), volts(1.0), 0.1, ctx).item() - 0.5
    assert 0 < read == pytest.approx(write * 1e-5, rel=1e-9)


def test_the_conductance_is_that_of_small_signals(state):
    device, small = NonlinearIonDrift(), volts(1e-7)
    slope = (device.current(state(0.3), small) / small).item()
    assert device.conductance(state(0.3)).item() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("parameters", [{"m": 0.0}, {"chi": -1.0}, {"window": "x"}, {"x0": 2.0}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        NonlinearIonDrift(**parameters)
