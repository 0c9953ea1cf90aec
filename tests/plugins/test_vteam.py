import math

import pytest
import torch
from memcore_plugins.devices.vteam import Vteam

import memcore

RATES = {
    "demo": (0.0245, 0.0495, -640.0, -7290.0, -243890.0),
    "pt_hf_ti": (4.03e-8, 1.209e-7, -55.7899474, -1706.92478, -87947.6739),
    "magic": (2.69741975, 93.8322346, 0.0, -2.6691358, -17512.2),
    "ferroelectric": (0.0, 1.44582614e-6, 0.0, 0.0, -1.21158322e-5),
}


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("preset", RATES)
def test_rates_equal_the_table(preset):
    found = Vteam.preset(preset).rate(volts(1, 2, -1, -2, -6))
    expected = torch.tensor(RATES[preset], dtype=torch.float64)
    digits = 1e-6 if preset == "magic" else 5e-9
    torch.testing.assert_close(found, expected, rtol=digits, atol=0)


def test_switching_times_of_the_demonstration_set(ctx, state):
    device = Vteam()
    for start, v, time, end in ((0.0, 1.0, 122.4489796e-9, 1.0), (1.0, -1.0, 4.6875e-12, 0.0)):
        almost = device.step(state(start), volts(v), 0.999 * time, ctx).item()
        assert abs(almost - end) == pytest.approx(1e-3, rel=1e-6)
        assert device.step(state(start), volts(v), 1.0001 * time, ctx).item() == end


@pytest.mark.parametrize("iv", ["linear", "exponential"])
def test_trajectory_equals_the_oracle(iv, oracle, trajectory):
    expected = oracle("vteam_default_sine_1V_50MHz_x0_0.csv")
    device, n, fine = Vteam(iv=iv), 200, 50
    h = 1 / 50e6 / n / fine
    middle = (torch.arange(2 * n * fine, dtype=torch.float64) + 0.5) * h
    start = torch.zeros(1, 1, dtype=torch.float64)
    states = trajectory(device, start, torch.sin(2 * math.pi * 50e6 * middle), h)[:-1:fine]
    torch.testing.assert_close(states[:, 0, 0], expected["x_m"] / 3e-9, rtol=0, atol=1e-6)
    current = device.current(states[:, 0].T, expected["V_V"])
    torch.testing.assert_close(current, expected[f"I_{iv}_A"], rtol=2e-5, atol=0)


def test_the_peak_of_a_sine_is_the_closed_form(trajectory, state):
    device, w, n = Vteam(), 2 * math.pi * 50e6, 20000
    h = math.pi / w / n
    voltages = torch.sin(w * (torch.arange(n, dtype=torch.float64) + 0.5) * h)
    p = math.asin(0.02)
    exact = 5e-4 / 0.02 * 2 * math.cos(p) / w - 5e-4 * (math.pi - 2 * p) / w
    assert exact == pytest.approx(1.5418677514e-10, rel=1e-9)
    end = trajectory(device, state(0.0), voltages, h)[-1].item()
    assert end * 3e-9 == pytest.approx(exact, rel=1e-7)
    above = trajectory(device, state(0.5), voltages, h)[-1]
    assert above.item() * 3e-9 == pytest.approx(1.6541867751e-9, rel=1e-8)
    assert 1 / device.conductance(above).item() == pytest.approx(573.8258, rel=1e-7)


def test_lobe_areas(oracle, trajectory, state):
    device, n = Vteam(), 8000
    for frequency, positive, negative, peak in oracle("rates.json")["vteam_lobe"][1:]:
        h = 1 / frequency / n
        time = torch.arange(n + 1, dtype=torch.float64) * h
        voltages = torch.sin(2 * math.pi * frequency * (time[:-1] + h / 2))
        s = trajectory(device, state(0.0), voltages, h)[:, :, 0].T
        v = torch.sin(2 * math.pi * frequency * time)
        i = device.current(s, v)
        assert s.max().item() * 3 == pytest.approx(peak, rel=1e-5)
        up, down = slice(0, n // 2 + 1), slice(n // 2, n + 1)
        assert abs(torch.trapezoid(i[up], v[up]).item()) == pytest.approx(positive, rel=1e-3)
        assert abs(torch.trapezoid(i[down], v[down]).item()) == pytest.approx(negative, rel=5e-3)


def test_nothing_moves_between_the_thresholds(ctx, state):
    voltages = torch.linspace(-0.2, 0.02, 50, dtype=torch.float64)
    assert (Vteam().rate(voltages) == 0).all()
    assert (Vteam().step(state(0.5), voltages, 1e9, ctx) == 0.5).all()


def test_a_pulse_may_be_split(ctx, state):
    device = Vteam()
    whole = device.step(state(0.4), volts(0.7), 3e-8, ctx)
    parts = device.step(device.step(state(0.4), volts(0.7), 1e-8, ctx), volts(0.7), 2e-8, ctx)
    torch.testing.assert_close(whole, parts, rtol=1e-14, atol=0)


def test_positive_voltage_resets(ctx, state):
    device = Vteam()
    assert device.polarity == -1
    moved = device.step(state(0.5), volts(1.0), 1e-8, ctx)
    assert device.conductance(moved) < device.conductance(state(0.5))


def test_conductance_of_the_exponential_form(state):
    device = Vteam(iv="exponential")
    assert device.conductance(state(0.0)).item() == pytest.approx(1 / 50)
    assert device.conductance(state(0.5)).item() == pytest.approx(1 / math.sqrt(50 * 1000))
    assert device.conductance(state(1.0)).item() == pytest.approx(1e-3)


def test_thresholds_may_differ_from_cell_to_cell(ctx):
    device = Vteam(v_off=memcore.Uniform(0.5, 1.5))
    cells = device.sample((1000,), ctx)
    moved = cells.step(torch.zeros(1, 1000), torch.ones(1000), 1e-12, ctx)
    assert torch.equal(moved[0] > 0, cells.v_off < 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"v_on": 0.2},
            "v_on=0.2; expected a finite number of V < 0: magnitudes are often printed",
        ),
        ({"k_on": 10.0}, "k_on=10.0; expected a finite number of m/s < 0"),
        ({"v_off": -0.1}, "v_off=-0.1; expected a finite number of V > 0"),
        ({"k_off": 0.0}, "k_off=0.0"),
        ({"x_on": 3e-9, "x_off": 0.0}, "expected x_on < x_off"),
        ({"r_on": memcore.Normal(2e3, 1.0)}, "expected r_on < r_off"),
        ({"iv": "cubic"}, "iv='cubic'; expected one of linear, exponential"),
    ],
)
def test_nonsense_is_refused_by_name(parameters, message):
    with pytest.raises(memcore.ConfigError, match=message):
        Vteam(**parameters)
