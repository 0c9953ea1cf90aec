import math

import numpy as np
import pytest
import torch
from memcore_plugins.devices.linear_ion_drift import LinearIonDrift

import memcore
from memcore.modelling import windows

#   x: Joglekar p=1, p=2, Biolek p=2 i>0, i<0, Prodromakis p=1, p=2
TABLE = {
    0.0: (0, 0, 1, 0, 0, 0),
    0.1: (0.36, 0.5904, 0.9999, 0.3439, 0.09, 0.1719),
    0.25: (0.75, 0.9375, 0.99609375, 0.68359375, 0.1875, 0.33984375),
    0.5: (1, 1, 0.9375, 0.9375, 0.25, 0.4375),
    0.75: (0.75, 0.9375, 0.68359375, 0.99609375, 0.1875, 0.33984375),
    0.9: (0.36, 0.5904, 0.3439, 0.9999, 0.09, 0.1719),
    1.0: (0, 0, 0, 1, 0, 0),
}
WINDOWED = [
    {"window": "none"},
    {"window": "joglekar"},
    {"window": "joglekar", "p": 7.0},
    {"window": "biolek", "p": 2.0},
    {"window": "prodromakis"},
    {"window": "prodromakis", "p": 10.0, "j": 1.2},
]


@pytest.mark.parametrize("x", TABLE)
def testwindows_equal_the_table(x):
    at, i = torch.tensor(x, dtype=torch.float64), torch.tensor(1.0)
    found = (
        windows.joglekar(at, 1),
        windows.joglekar(at, 2),
        windows.biolek(at, i, 2),
        windows.biolek(at, -i, 2),
        windows.prodromakis(at, 1, 1),
        windows.prodromakis(at, 2, 1),
    )
    assert [f.item() for f in found] == pytest.approx(TABLE[x], abs=1e-12)


@pytest.mark.parametrize("parameters", WINDOWED[1:])
@pytest.mark.parametrize("v", [0.5, -0.5])
def test_the_motion_starts_at_the_rate_of_the_window(parameters, v, ctx):
    device = LinearIonDrift(**parameters)
    x = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    voltage = torch.full_like(x, v)
    p, j, dt = device.p, device.j, 1e-8
    f = {
        "joglekar": windows.joglekar(x, p),
        "biolek": windows.biolek(x, voltage, p),
        "prodromakis": windows.prodromakis(x, p, j),
    }[device.window]
    rate = 1e-14 * 100 / 1e-8**2 * f * v * device.conductance(x.unsqueeze(0))
    moved = (device.step(x.unsqueeze(0), voltage, dt, ctx)[0] - x) / dt
    torch.testing.assert_close(moved, rate, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("name", "parameters", "tolerance"),
    [
        ("nowindow", {}, 1e-9),
        ("joglekar_p1", {"window": "joglekar"}, 1e-9),
        ("prodromakis_p1", {"window": "prodromakis", "x0": 0.5}, 1e-9),
    ],
)
def test_trajectory_equals_the_oracle(name, parameters, tolerance, oracle, trajectory, sine, state):
    expected = oracle(f"lid_{name}_sine_1V_1Hz.csv")
    device = LinearIonDrift(**parameters)
    states = trajectory(device, state(device.x0), sine(1.0, 1.0, 200, periods=2), 1 / 200)[:-1]
    x = states[:, :, 0].T
    current = device.current(x, expected["V_V"])
    torch.testing.assert_close(x[0], expected["x"], rtol=0, atol=tolerance)
    torch.testing.assert_close(current, expected["I_A"], rtol=0, atol=tolerance * 1e-4)


def test_extremes_without_window(trajectory, sine, state):
    device = LinearIonDrift()
    x = trajectory(device, state(0.1), sine(1.0, 1.0, 1000), 1e-3)[:, 0, 0]
    assert x.max().item() == pytest.approx(0.357467, abs=5e-7)


def test_biolek_extremes(trajectory, sine, state):
    device = LinearIonDrift(window="biolek", p=2.0)
    n, periods = 200, 2
    x = trajectory(device, state(0.1), sine(2.0, 1.0, n, periods), 1 / n)[:, :, 0].T
    v = 2 * torch.sin(2 * math.pi * torch.arange(n * periods + 1, dtype=torch.float64) / n)
    assert x.max().item() == pytest.approx(0.929886, abs=1e-6)
    assert device.current(x, v).max().item() == pytest.approx(3.898356e-4, rel=1e-6)


@pytest.mark.parametrize(
    ("frequency", "area"),
    [(1, 8.927705e-6), (2, 3.450832e-6), (5, 1.216601e-6), (10, 5.852082e-7), (100, 5.658805e-8)],
)
def test_lobe_area_falls_with_frequency(frequency, area, trajectory, sine, state):
    device = LinearIonDrift()
    n = 2000
    x = trajectory(device, state(0.1), sine(1.0, frequency, n), 1 / frequency / n)[:, :, 0].T
    v = torch.sin(2 * math.pi * torch.arange(n + 1, dtype=torch.float64) / n)
    i = device.current(x, v)
    half = n // 2 + 1
    assert abs(torch.trapezoid(i[:half], v[:half]).item()) == pytest.approx(area, rel=2e-5)


def test_no_window_is_the_closed_form_in_flux(ctx, state):
    device = LinearIonDrift()
    r = 100 * 0.3 + 16e3 * 0.7
    k = 1e-14 * 100 / 1e-8**2
    expected = math.sqrt(r**2 - 2 * k * (16e3 - 100) * 0.8 * 0.2)
    moved = device.step(state(0.3), torch.tensor(0.8, dtype=torch.float64), 0.2, ctx)
    assert 1 / device.conductance(moved).item() == pytest.approx(expected, rel=1e-12)


def test_joglekar_satisfies_the_published_flux_charge_relation(ctx, state):
    device = LinearIonDrift(window="joglekar")
    x0, flux, k = 0.1, 0.7, 1e-14 * 100 / 1e-8**2
    x = device.step(state(x0), torch.tensor(1.0, dtype=torch.float64), flux, ctx).item()
    a = (1 - x0) / x0
    charge = math.log(a * x / (1 - x)) / (4 * k)
    fall = (1 + a * math.exp(-4 * k * charge)) / (1 + a)
    found = 100 * charge + (100 - 16e3) / (4 * k) * math.log(fall)
    assert found == pytest.approx(flux, rel=1e-11)


def device_is_exact(device):
    return device.window == "none" or (device.window != "biolek" and device.p == 1)


@pytest.mark.parametrize("parameters", WINDOWED)
@pytest.mark.parametrize("v", [1.0, -1.0])
def test_a_pulse_may_be_split(parameters, v, ctx, state):
    fine = LinearIonDrift(substeps=64, **parameters)
    voltage = torch.tensor(v, dtype=torch.float64)
    whole = fine.step(state(0.4), voltage, 0.3, ctx)
    halves = fine.step(fine.step(state(0.4), voltage, 0.1, ctx), voltage, 0.2, ctx)
    tolerance = 1e-9 if device_is_exact(fine) else 1e-6
    torch.testing.assert_close(whole, halves, rtol=0, atol=tolerance)


def test_substeps_converge_at_fourth_order(ctx, state):
    v = torch.tensor(1.0, dtype=torch.float64)

    def end(n):
        device = LinearIonDrift(window="biolek", p=2.0, substeps=n)
        return device.step(state(0.1), v, 0.5, ctx).item()

    exact = end(512)
    assert abs(end(64) - exact) < abs(end(32) - exact) / 10
    assert end(8) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("parameters", WINDOWED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", [0.0, 1e-7, 0.4, 1.0])
def test_an_absurd_pulse_ends_at_the_end(parameters, dtype, x, ctx, state):
    device = LinearIonDrift(**parameters)
    for v, end in ((1.0, 1.0), (-1.0, 0.0)):
        for dt in (1e3, 1e12):
            moved = device.step(state(x, dtype=dtype), torch.tensor([v], dtype=dtype), dt, ctx)
            assert moved.item() == pytest.approx(end, abs=2e-6)
            assert 0 <= moved.item() <= 1


@pytest.mark.parametrize("window", ["joglekar", "prodromakis", "biolek"])
def test_a_cell_at_an_end_is_slow_but_not_dead(window, ctx, state):
    device = LinearIonDrift(window=window, p=1.0)
    v = torch.tensor([1.0], dtype=torch.float64)
    assert device.step(state(0.0), v, 50.0, ctx).item() > 0.01
    assert device.step(state(1.0), -v, 50.0, ctx).item() < 0.99


def test_there_is_no_hidden_threshold(ctx, state):
    moved = LinearIonDrift().step(state(0.5), torch.tensor([1e-3], dtype=torch.float64), 1e-3, ctx)
    assert moved.item() > 0.5


def test_the_state_of_a_conductance_has_that_conductance():
    device = LinearIonDrift()
    g = torch.logspace(math.log10(1 / 16e3), -2, 50, dtype=torch.float64)
    torch.testing.assert_close(device.conductance(device.state_of(g)), g, rtol=1e-12, atol=0)


def test_positive_voltage_sets(ctx, state):
    device = LinearIonDrift()
    moved = device.step(state(0.5), torch.tensor([1.0], dtype=torch.float64), 1e-3, ctx)
    assert device.polarity == 1
    assert device.conductance(moved) > device.conductance(state(0.5))


@pytest.mark.long
def test_tiny_pulses_add_up_in_single_precision(ctx, state):
    device = LinearIonDrift(window="joglekar")
    x = state(0.1, dtype=torch.float32)
    y = x.double()
    for _ in range(2000):
        x = device.step(x, torch.tensor([0.05]), 1e-4, ctx)
        y = device.step(y, torch.tensor([0.05], dtype=torch.float64), 1e-4, ctx)
    assert (x.double() - 0.1).item() == pytest.approx((y - 0.1).item(), rel=2e-2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": "hann"}, "window='hann'; expected one of none, joglekar, biolek, prodromakis"),
        ({"r_on": 2e4}, "expected r_on < r_off"),
        ({"mobility": -1e-14}, r"mobility=-1e-14; expected a finite number of m\^2/\(V s\) > 0"),
        ({"p": 0}, "p=0; expected a finite number > 0"),
        ({"x0": -0.1}, "x0=-0.1"),
    ],
)
def test_nonsense_is_refused_by_name(parameters, message):
    with pytest.raises(memcore.ConfigError, match=message):
        LinearIonDrift(**parameters)


def published(flux, x0, device):
    """x for a flux in V s, window of Joglekar or Prodromakis, p = 1: it depends on charge alone."""
    k = device.mobility * device.r_on / device.thickness**2
    k *= 4 if device.window == "joglekar" else 1
    a = np.log(1 / x0 - 1)
    low, high = np.full_like(flux, -1e3 / k), np.full_like(flux, 1e3 / k)
    for _ in range(200):  # flux(q) = integral of R dq, which rises
        q = 0.5 * (low + high)
        doped = (np.logaddexp(a, k * q) - np.logaddexp(a, 0)) / k
        below = device.r_off * q + (device.r_on - device.r_off) * doped < flux
        low, high = np.where(below, q, low), np.where(below, high, q)
    return 1 / (1 + np.exp(a - k * q))


@pytest.mark.parametrize("window", ["joglekar", "prodromakis"])
@pytest.mark.parametrize("engine", ["native", "python"])
def test_saturating_loops_of_the_published_model_depend_on_charge_alone(window, engine):
    if engine == "native" and memcore.native.cpu() is None:
        pytest.skip("memcore._cpu is not in use")
    device = LinearIonDrift(window=window, ends="published", x0=0.25)
    t = torch.arange(300, dtype=torch.float64) / 100
    wave = torch.sin(2 * math.pi * t)
    volts = torch.where(wave > 0, 12.0, 9.0) * wave  # ten times +1.2 and -0.9 V
    trace = memcore.simulate(device, volts, 1e-2, engine=engine)
    flux = torch.cat([torch.zeros(1).double(), volts.cumsum(0)[:-1]]) * 1e-2
    x = torch.from_numpy(published(flux.numpy(), 0.25, device))
    current = volts / (device.r_on * x + device.r_off * (1 - x))
    assert float((1 - x).min()) < 1e-8  # far nearer than the 1e-6 of reachable ends
    error = (trace.current.flatten() - current).abs().max() / current.abs().max()
    assert float(error) < 1e-9


@pytest.mark.parametrize("parameters", [{"p": 1.0}, {"p": 5.0}])
@pytest.mark.parametrize("window", ["joglekar", "prodromakis"])
def test_published_ends_hold_cells_for_ever(window, parameters, ctx):
    device = LinearIonDrift(window=window, ends="published", **parameters)
    state = device.state_of(torch.tensor([1 / 16e3, 1 / 100.0]).double())
    torch.testing.assert_close(state[0], torch.tensor([0.0, 1.0]).double())
    state = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    for volts in (5.0, -5.0):
        moved = device.step(state, torch.full((2,), volts).double(), 1e3, ctx)
        assert torch.equal(moved, state)
    inside = device.initial_state((3,), ctx).double()
    there = device.step(inside, torch.full((3,), 1.0).double(), 0.05, ctx)
    back = device.step(there, torch.full((3,), -1.0).double(), 0.05, ctx)
    assert (there[0] > inside[0]).all()
    torch.testing.assert_close(back, inside, rtol=1e-4, atol=0)
    torch.testing.assert_close(there.sum(0), torch.ones(3).double())


@pytest.mark.parametrize("window", ["none", "biolek"])
def test_only_windows_that_vanish_have_published_ends(window):
    with pytest.raises(memcore.ConfigError, match="ends='published' with window="):
        LinearIonDrift(window=window, ends="published")
