import math

import pytest
import torch
from memcore_plugins.devices.data_driven import DataDriven

import memcore


def pulsed(device, r, v, dt, ctx, times=1):
    state = torch.tensor([[(r - device.r_on) / (device.r_off - device.r_on)]], dtype=torch.float64)
    for _ in range(times):
        state = device.step(state, torch.tensor([v], dtype=torch.float64), dt, ctx)
    return device.resistance(state).item()


@pytest.mark.parametrize(
    ("r", "v", "after"),
    [
        (11e3, 0.8, 11222.495439),
        (14e3, 0.8, 14039.903748),
        (16e3, -0.8, 15162.775367),
        (12e3, -0.8, 11988.777063),
        (12e3, 1.0, 12443.110662),
        (15e3, -1.0, 10602.842553),
    ],
)
def test_one_pulse_on_device_2(r, v, after, ctx):
    assert pulsed(DataDriven.preset("dut2"), r, v, 1e-4, ctx) == pytest.approx(after, abs=1e-6)


def test_pulse_train_equals_the_oracle(oracle, ctx):
    expected = oracle("datadriven2018_DUT2_pulses_0p8V_100us.csv")
    device = DataDriven.preset("dut2")
    state = torch.tensor([[1.5 / 7]], dtype=torch.float64)
    found = [state]
    for v in expected["V_V"][1:]:
        state = device.step(state, v, 1e-4, ctx)
        found.append(state)
    states = torch.cat(found)[:, 0].unsqueeze(0)
    torch.testing.assert_close(device.resistance(states), expected["R_ohm"], rtol=1e-9, atol=0)
    read = device.current(states, torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(read, expected["Iread_0p5V_A"], rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("r", "v", "dt", "after"),
    [
        (3000.0, 1.5, 1e-6, 2423.3174211088076),
        (3000.0, 0.1, 1e-6, 2933.901772730095),
        (2600.0, 0.1, 1e-6, 2600.0),
        (2000.0, -1.5, 1e-5, 2197.5776623718293),
        (2000.0, 1.5, 1e-6, 1951.3291569232583),
    ],
)
def test_one_pulse_of_the_2021_set(r, v, dt, after, ctx):
    device = DataDriven.preset("maheshwari_2021")
    assert pulsed(device, r, v, dt, ctx) == pytest.approx(after, rel=1e-9)


@pytest.mark.parametrize(
    ("r", "v", "after"),
    [
        (14e3, 0.8, 14040.525480923738),
        (12e3, 0.8, 12104.229039954233),
        (16e3, -0.8, 15734.16400029777),
        (13e3, -0.6, 13000.0),
    ],
)
def test_one_pulse_of_the_2017_form(r, v, after, ctx):
    device = DataDriven.preset("tiox_2017")
    assert pulsed(device, r, v, 1e-4, ctx) == pytest.approx(after, rel=1e-9)


def test_a_read_switches_the_2021_set(ctx):
    assert pulsed(DataDriven.preset("maheshwari_2021"), 3000.0, 0.1, 1e-6, ctx) < 2950


def test_the_rate_is_that_of_the_paper(ctx):
    device, r, v = DataDriven.preset("dut2"), 12e3, 0.8
    rate = 743.47 * math.expm1(6.51 * v) * math.expm1(5.11e-4 * (16.71e3 - r))
    assert (pulsed(device, r, v, 1e-9, ctx) - r) / 1e-9 == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("preset", DataDriven.presets)
@pytest.mark.parametrize("v", [1.0, -1.0, 4.0, -4.0])
def test_a_pulse_may_be_split(preset, v, ctx):
    device = DataDriven.preset(preset)
    r = 0.5 * (device.r_on + device.r_off)
    whole = pulsed(device, r, v, 3e-6, ctx)
    assert pulsed(device, r, v, 1e-6, ctx, times=3) == pytest.approx(whole, rel=1e-10)


def test_a_pulse_never_passes_its_limit(ctx):
    device = DataDriven.preset("dut1")
    assert pulsed(device, 4600.0, 1.0, 1e9, ctx) == pytest.approx(4947.0)
    assert pulsed(device, 5500.0, 1.0, 1e9, ctx) == 5500.0


def test_polarity_follows_eta():
    assert DataDriven.preset("dut2").polarity == -1
    assert DataDriven.preset("taox").polarity == 1
    assert DataDriven.preset("maheshwari_2021").polarity == 1


def test_conductance_is_that_of_small_signals(state):
    device, small = DataDriven(), torch.tensor([1e-6], dtype=torch.float64)
    slope = (device.current(state(0.3), small) / small).item()
    assert device.conductance(state(0.3)).item() == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"eta": 2}, "eta=2; expected one of 1, -1"),
        ({"eta": -1}, "A_p=743.47 and t_p=6.51; expected their product < 0 with eta=-1"),
        ({"A_n": 6.8e4}, "A_n=68000.0 and t_n=0.31; expected their product < 0 with eta=1"),
        ({"law": "cubic"}, "law='cubic'"),
        ({"k_p": 0.0}, "k_p=0.0"),
        ({"rn1": math.inf}, "rn1=inf"),
    ],
)
def test_nonsense_is_refused_by_name(parameters, message):
    with pytest.raises(memcore.ConfigError, match=message):
        DataDriven(**parameters)
