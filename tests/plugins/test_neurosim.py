import dataclasses
import math

import pytest
import torch
from memcore_plugins.devices._neurosim_label import rate_of
from memcore_plugins.devices.neurosim import NeuroSim

import memcore
from memcore import Normal

TABLE = [
    (0.01, 126.26896, 0.50098995),
    (0.5, 2.5198768, 0.54944348),
    (1, 1.2516528, 0.59856075),
    (1.75, 0.70208071, 0.67088021),
    (2.4, 0.4991812, 0.73138096),
    (3, 0.38682967, 0.78457994),
    (4.88, 0.20030343, 0.92387590),
    (5, 0.19240638, 0.93077570),
    (7, 0.090138786, 0.99611601),
    (9, 0.022810256, 1.0),
]


def curve(nl_ltp=0.0, nl_ltd=0.0, pulses=100, **changes):
    parameters = {"c2c": 0.0, "n_ltp": pulses, "n_ltd": pulses, **changes}
    return NeuroSim(nl_ltp=nl_ltp, nl_ltd=nl_ltd, **parameters)


def after(device, start, count, ctx):
    state = torch.tensor([[start]], dtype=torch.float64)
    return device.pulses(state, torch.tensor([count]), ctx).item()


@pytest.mark.parametrize(("nl", "a_norm", "middle"), TABLE)
def test_labels_give_the_published_curve(nl, a_norm, middle, ctx):
    assert 1 / rate_of(nl).item() == pytest.approx(a_norm, rel=6e-8)
    assert after(curve(nl), 0.0, 50, ctx) == pytest.approx(middle, abs=6e-9)


@pytest.mark.parametrize("nl", [0.002, 0.3, 2.4, 6.76, 9.5])
def test_the_label_is_the_largest_deviation_from_the_straight_line(nl):
    a = 1 / rate_of(nl).item()
    x = torch.linspace(0, 1, 1_000_001, dtype=torch.float64)
    f = torch.expm1(-x / a) / math.expm1(-1 / a)
    assert (f - x).max().item() / (0.07 * math.sqrt(2)) == pytest.approx(nl, rel=1e-9)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, 0.027600625772500775),
        (10, 0.24637342838878684),
        (50, 0.7845799374521216),
        (100, 0.9999999999999999),
    ],
)
def test_label_3_equals_the_oracle_and_its_steep_depression_is_the_mirror_image(
    count, expected, ctx
):
    device = curve(3.0, -3.0)
    assert after(device, 0.0, count, ctx) == pytest.approx(expected, rel=1e-9)
    assert after(device, 1.0, -count, ctx) == pytest.approx(1 - expected, abs=1e-9)


def test_other_signs_start_slowly(ctx):
    device = curve(-2.0, 2.0)
    up = [after(device, 0.0, n, ctx) for n in (10, 50, 100)]
    down = [1 - after(device, 1.0, -n, ctx) for n in (10, 50, 100)]
    steep = [1 - after(curve(2.0), 0.0, 100 - n, ctx) for n in (10, 50, 100)]
    assert up == pytest.approx(steep, abs=1e-9)
    assert down == pytest.approx(up, abs=1e-12)
    assert up[0] < 0.1


@pytest.mark.parametrize("nl", [0.0, 1e-9, 9e-4, -9e-4])
def test_a_label_of_zero_is_a_straight_line(nl, ctx):
    device = curve(nl, nl)
    for count in (1, 25, 100):
        assert after(device, 0.0, count, ctx) == pytest.approx(count / 100, rel=1e-9)
        assert after(device, 1.0, -count, ctx) == pytest.approx(1 - count / 100, abs=1e-9)


def test_labels_near_zero_are_nearly_straight(ctx):
    for nl in (1.1e-3, -1.1e-3):
        assert after(curve(nl), 0.0, 50, ctx) == pytest.approx(0.5, abs=2e-4)


def test_spread_of_potentiation_and_of_depression_is_drawn_separately(ctx):
    device = NeuroSim(nl_ltp=Normal(2.0, 0.2), nl_ltd=Normal(-2.0, 0.2)).sample((100_000,), ctx)
    assert device.nl_ltp.std().item() == pytest.approx(0.2, rel=0.02)
    both = torch.stack([device.nl_ltp, device.nl_ltd])
    assert torch.corrcoef(both)[0, 1].abs() < 0.02


@pytest.mark.parametrize("count", [1, 4, 100])
def test_noise_grows_with_the_root_of_the_pulses(count, ctx):
    device = curve(0.0, pulses=10_000, c2c=0.01)
    state = torch.full((1, 100_000), 0.5, dtype=torch.float64)
    found = device.pulses(state, torch.full((100_000,), count), ctx)
    assert found.std().item() == pytest.approx(0.01 * math.sqrt(count), rel=0.01)


def test_a_bent_curve_draws_noise_back(ctx):
    device = curve(5.0, pulses=100, c2c=0.005)
    keeps = math.exp(-1 / (100 * 0.19240638))
    state = torch.full((1, 100_000), 0.2, dtype=torch.float64)
    found = device.pulses(state, torch.full((100_000,), 40), ctx)
    expected = 0.005 * math.sqrt((1 - keeps**80) / (1 - keeps**2))
    assert found.std().item() == pytest.approx(expected, rel=0.015)
    assert expected < 0.6 * 0.005 * math.sqrt(40)


@pytest.mark.parametrize(
    ("preset", "r_on", "ratio", "labels", "polarity"),
    [
        ("ag_a_si", 26e6, 12.5, (2.4, -4.88), 1),
        ("taox_tio2", 5e6, 2, (1.85, -1.79), 1),
        ("taox_hfox", 100e3, 10, (0.04, -0.63), 1),
        ("pcmo", 23e6, 6.84, (3.68, -6.76), -1),
        ("alox_hfo2", 16.9e3, 4.43, (1.94, -0.61), 1),
        ("gst_pcm", 4.71e3, 19.8, (0.105, 2.4), 1),
        ("epiram", 81e3, 50.2, (0.5, -0.5), 1),
        ("hzo_fefet", 559.28e3, 45, (1.75, 1.46), 1),
    ],
)
def test_published_devices(preset, r_on, ratio, labels, polarity):
    device = NeuroSim.preset(preset)
    assert device.conductance_range() == pytest.approx((1 / (r_on * ratio), 1 / r_on))
    assert (device.nl_ltp, device.nl_ltd) == labels
    assert device.polarity == polarity


def test_a_device_that_sets_at_negative_voltages(ctx):
    device = dataclasses.replace(NeuroSim.preset("pcmo"), c2c=0.0)
    state = torch.full((1, 2), 0.5, dtype=torch.float64)
    moved = device.step(state, torch.tensor([-2.0, 2.0]), 1e-3, ctx)[0]
    assert moved[0] > 0.5 > moved[1]


@pytest.mark.parametrize(
    "parameters",
    [{"nl_ltp": 10.0}, {"nl_ltd": -10.2}, {"n_ltp": 0.5}, {"r_on": -1.0}, {"r_off": 1e3}],
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        NeuroSim(**parameters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadWithNoise(NeuroSim):
    """Cells that are moved by a noisy update, and read about where they are."""

    write_noise = 0.1
    variables = 2


def test_noise_of_an_update_and_noise_of_what_is_read_have_nothing_in_common():
    device = ReadWithNoise(noise="per_update", c2c=0.02, x0=0.5)
    ctx = memcore.Context(random=memcore.Stream(0))
    x, apart = device.pulses(device.initial_state((20_000,), ctx), torch.ones(20_000), ctx)
    assert abs(torch.corrcoef(torch.stack([x, apart]))[0, 1]) < 0.03
