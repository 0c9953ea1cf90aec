import math

import pytest
import torch
from memcore_plugins.devices.simmons import Simmons

import memcore

CURRENTS = {
    1.2: 2.881138e-4,
    1.4: 6.926620e-5,
    1.5: 3.094916e-5,
    1.6: 1.339803e-5,
    1.8: 2.401298e-6,
}


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def at_width(nanometres, device=None):
    device = device or Simmons()
    return ((volts(nanometres) * 1e-9 - device.w_min) / (device.w_max - device.w_min))[None]


@pytest.mark.parametrize("width", CURRENTS)
@pytest.mark.parametrize("sign", [1, -1])
def test_current_equals_the_oracle(width, sign):
    found = Simmons().current(at_width(width), volts(0.5 * sign)).item()
    assert found == pytest.approx(sign * CURRENTS[width], rel=3e-7)


@pytest.mark.parametrize(
    ("current", "width", "rate"),
    [
        (2e-4, 1.2, 6.652888e-11),
        (2e-4, 1.5, 1.233797e-16),
        (1e-4, 1.2, 2.044666e-11),
        (-2e-5, 1.5, 1.978650e-17),
        (-2e-5, 1.8, 3.539481e-12),
        (-5e-5, 1.8, 1.101607e-10),
    ],
)
def test_rates_equal_the_oracle(current, width, rate):
    found = Simmons().log_rate(at_width(width)[0], volts(current)).exp().item()
    assert found == pytest.approx(rate, rel=1e-6)


def test_the_barrier_and_the_resistance_share_the_voltage():
    device, s = Simmons(), torch.linspace(0, 1, 17, dtype=torch.float64)
    for v in (0.01, 0.3, 0.8):
        i = device.current(s[None], torch.full_like(s, v))
        u = v - device.r_s * i
        again = device._barrier(device.width(s) * 1e9, u)[1]
        torch.testing.assert_close(again, i, rtol=1e-9, atol=0)


def test_the_current_is_found_to_rounding_for_all_widths_and_voltages():
    device = Simmons()
    s = memcore.Stream(5).child("s").uniform((20000,)).double()
    v = 10 ** (4 * memcore.Stream(5).child("v").uniform((20000,)).double() - 3)
    w = device.width(s) * 1e9
    low, high = torch.zeros_like(v), torch.minimum(v, 0.85 + 0.44 * (w - 1.1))
    for _ in range(60):  # the voltage of the barrier, by halving alone
        u = (low + high) / 2
        below = u + device.r_s * device._barrier(w, u)[1] < v
        low, high = torch.where(below, u, low), torch.where(below, high, u)
    at_end = (v - 0.85 - 0.44 * (w - 1.1)) / device.r_s
    expected = torch.maximum(device._barrier(w, (low + high) / 2)[1], at_end)
    torch.testing.assert_close(device.current(s[None], v), expected, rtol=1e-9, atol=0)


def test_a_step_evaluates_the_current_for_its_motion_alone(ctx, monkeypatch):
    current, calls = Simmons.current, []
    monkeypatch.setattr(Simmons, "current", lambda *given: calls.append(None) or current(*given))
    device = Simmons(substeps=4)
    moved = device.step(at_width(1.2), volts(0.8), 1e-3, ctx)
    assert len(calls) == 2 * device.substeps  # each of which takes its share of the time
    assert moved > at_width(1.2)
    assert torch.equal(device.step(at_width(1.2), volts(0.0), 1e-3, ctx), at_width(1.2))


def test_the_current_rises_with_the_voltage_also_beyond_the_barrier():
    device, v = Simmons(), torch.linspace(0, 5, 201, dtype=torch.float64)
    for s in (0.0, 0.5, 1.0):
        i = device.current(torch.full((1, 201), s, dtype=torch.float64), v)
        assert (i.diff() > 0).all()


def test_motion_equals_an_independent_integration(ctx):
    from scipy.integrate import solve_ivp

    device, v = Simmons(substeps=8), 0.8

    def rate(_, w):
        s = torch.tensor((w - 1.1) / 0.8)
        i = device.current(s[None], torch.full_like(s, v))
        return 1e9 * device.log_rate(s, i).exp().numpy()

    solved = solve_ivp(rate, (0, 1e-3), [1.15], method="Radau", rtol=1e-7, atol=1e-10)
    moved = device.step(at_width(1.15), volts(v), 1e-3, ctx)
    assert device.width(moved[0]).item() * 1e9 == pytest.approx(solved.y[0, -1], abs=2e-4)
    assert solved.y[0, -1] > 1.18


def test_conductance_is_that_of_small_signals():
    device, small = Simmons(), volts(1e-5)
    for width in (1.1, 1.5, 1.9):
        slope = (device.current(at_width(width), small) / small).item()
        assert device.conductance(at_width(width)).item() == pytest.approx(slope, rel=1e-4)


def test_a_magnitude_is_wanted_and_widths_are_bounded():
    with pytest.raises(
        memcore.ConfigError, match=r"i_on=-8.9e-06; expected a finite number of A > 0"
    ):
        Simmons(i_on=-8.9e-6)
    with pytest.raises(
        memcore.ConfigError, match=r"w_max=3e-09; .*of m in \[1e-09, 2e-09\]: .* between 1 and 2 nm"
    ):
        Simmons(w_max=3e-9)
    with pytest.raises(memcore.ConfigError, match="expected w_min < w_max"):
        Simmons(w_min=1.8e-9, w_max=1.2e-9)
    assert math.isfinite(Simmons().conductance_range()[0])
