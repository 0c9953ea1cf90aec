import dataclasses

import pytest
import torch
from memcore_plugins.devices.soft_bounds import SoftBounds

import memcore


def weight_after(device, start, count, ctx):
    state = device.state_at(torch.tensor([start], dtype=torch.float64))
    return device.position(device.pulses(state, torch.tensor([count]), ctx)).item()


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        (0.0, 1, 0.01),
        (0.0, 10, 0.0956179),
        (0.0, 100, 0.6339677),
        (0.0, 400, 0.9820494),
        (1.0, -1, 0.98),
        (1.0, -10, 0.8087642),
        (1.0, -100, -0.2679353),
        (1.0, -400, -0.9640989),
    ],
)
def test_pulses_equal_the_oracle(start, count, expected, ctx):
    device = SoftBounds(dw_min=0.01)
    found = weight_after(device, start, count, ctx)
    assert found == pytest.approx(expected, abs=6e-8)
    if count > 0:
        assert found == pytest.approx(1 - 0.99**count, rel=1e-12)


@pytest.mark.parametrize(
    ("count", "expected"), [(10, 0.0198566), (100, 0.1849567), (400, 0.5912222), (1000, 0.9979525)]
)
def test_reram_equals_the_oracle(count, expected, ctx):
    device = dataclasses.replace(SoftBounds.preset("reram_sb").nominal(), c2c=0.0, write_std=0.0)
    assert weight_after(device, 0.0, count, ctx) == pytest.approx(expected, abs=6e-8)


def test_up_and_down_agree_at_the_symmetry_point_alone():
    device = SoftBounds(dw_min=0.02, up_down=0.3, imbalance=0.1, w_max=1.2, w_min=-0.7)
    point = device.symmetry_point
    up, down = 0.02 * 1.1, 0.02 * 0.6
    assert point == pytest.approx((up - down) / (up / 1.2 + down / 0.7), rel=1e-12)
    w = torch.tensor([point, point], dtype=torch.float64)
    steps = device.change(w, torch.tensor([True, False]))
    assert steps[0].item() == pytest.approx(-steps[1].item(), rel=1e-12)


def test_alternating_pulses_lead_to_the_symmetry_point(ctx):
    device = SoftBounds(dw_min=0.01, imbalance=0.2, w_max=1.5)
    state = device.state_at(torch.tensor([-0.9, 1.4], dtype=torch.float64))
    for n in range(2000):
        state = device.pulses(state, torch.full((2,), 1 if n % 2 else -1), ctx)
    found = device.position(state)
    assert found.tolist() == pytest.approx([device.symmetry_point] * 2, abs=0.01)


def test_cells_with_a_reference_conduct_alike_at_their_symmetry_points(ctx):
    preset = SoftBounds.preset("reram_array_om")
    device = dataclasses.replace(preset, offset=0.0, write_std=0.0).sample((1000,), ctx)
    state = device.state_at(device.symmetry_point.double())
    g = device.conductance(state)
    torch.testing.assert_close(g, torch.full_like(g, device.g_zero), rtol=1e-5, atol=0)
    spread = preset.sample((100_000,), ctx)
    error = spread.reference - spread.symmetry_point
    assert error.std().item() == pytest.approx(0.05, rel=0.02)


def test_the_reference_moves_the_conductance_but_not_the_pulses(ctx):
    plain, shifted = SoftBounds(), SoftBounds(offset=0.25)
    state = plain.state_at(torch.tensor([0.3], dtype=torch.float64))
    count = torch.tensor([7])
    assert torch.equal(plain.pulses(state, count, ctx), shifted.pulses(state, count, ctx))
    lower = plain.conductance(state) - shifted.conductance(state)
    assert lower.item() == pytest.approx(0.25 * plain.g_unit, rel=1e-9)


def test_log_normal_steps_of_the_arrays(ctx):
    cells = SoftBounds.preset("reram_array_hfo2").sample((100_000,), ctx)
    assert cells.gain.log().std().item() == pytest.approx(0.7125, rel=0.02)
    assert cells.gain.log().mean().item() == pytest.approx(0.0, abs=0.01)


def test_a_step_longer_than_the_window_ends_at_the_bound(ctx):
    device = SoftBounds(dw_min=3.0)
    for count, end in ((1, 1.0), (5, 1.0), (-1, -1.0)):
        assert weight_after(device, 0.2, count, ctx) == pytest.approx(end, abs=1e-5)


@pytest.mark.parametrize("parameters", [{"w_min": 0.0}, {"noise": "none"}, {"about": "one"}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        SoftBounds(**parameters)
