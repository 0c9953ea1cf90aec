import pytest
import torch
from memcore_plugins.devices.constant_step import ConstantStep

import memcore
from memcore import Normal


def weight(device, state):
    return device.position(state).item()


def at(device, w):
    return device.state_at(torch.tensor([w], dtype=torch.float64))


def test_steps_are_even_and_stop_at_the_bounds(ctx):
    device = ConstantStep(dw_min=0.01, w_max=0.5, w_min=-0.2)
    for count, expected in ((10, 0.1), (-10, -0.1), (60, 0.5), (-60, -0.2)):
        found = device.pulses(at(device, 0.0), torch.tensor([count]), ctx)
        assert weight(device, found) == pytest.approx(expected, abs=1e-12)


def test_conductance_is_linear_in_the_weight():
    device = ConstantStep(g_zero=5e-5, g_unit=2e-5)
    for w in (-1.0, -0.3, 0.0, 1.0):
        assert device.conductance(at(device, w)).item() == pytest.approx(5e-5 + 2e-5 * w, rel=1e-12)
    assert device.conductance_range() == pytest.approx((3e-5, 7e-5))


@pytest.mark.parametrize(
    ("up_down", "up", "down"), [(0.0, 1, 1), (0.25, 1, 0.75), (-0.25, 0.75, 1)]
)
def test_asymmetry_shrinks_the_steps_of_one_direction(up_down, up, down, ctx):
    device = ConstantStep(dw_min=0.01, up_down=up_down)
    higher, lower = (
        weight(device, device.pulses(at(device, 0.0), torch.tensor([n]), ctx)) for n in (1, -1)
    )
    assert higher == pytest.approx(0.01 * up, rel=1e-9)
    assert lower == pytest.approx(-0.01 * down, rel=1e-9)


def test_imbalance_of_a_cell_is_taken_from_one_direction_and_given_to_the_other(ctx):
    device = ConstantStep(dw_min=0.01, imbalance=Normal(0.0, 0.05)).sample((100_000,), ctx)
    start = torch.full((1, 100_000), 0.5)
    up, down = (
        device.position(device.pulses(start, torch.full((100_000,), n), ctx)) for n in (1, -1)
    )
    assert (up + down).std().item() == pytest.approx(2 * 0.05 * 0.01, rel=0.02)
    assert (up - down).std().item() == pytest.approx(0.0, abs=1e-6)


def test_noise_of_a_pulse_is_relative_to_its_step(ctx):
    device = ConstantStep(dw_min=0.002, c2c=0.3)
    start = torch.full((1, 100_000), 0.5, dtype=torch.float64)
    for count in (1, 25, 100):
        moved = device.position(device.pulses(start, torch.full((100_000,), count), ctx))
        assert moved.mean().item() == pytest.approx(0.002 * count, rel=4e-3)
        assert moved.std().item() == pytest.approx(0.3 * 0.002 * count**0.5, rel=0.01)


def test_published_spread_is_drawn(ctx):
    cells = ConstantStep.preset("gokmen_vlasov").sample((100_000,), ctx)
    assert cells.gain.std().item() == pytest.approx(0.3, rel=0.02)
    assert cells.w_max.mean().item() == pytest.approx(1.0, rel=0.01)
    assert cells.w_min.std().item() == pytest.approx(0.3, rel=0.02)
    assert cells.imbalance.std().item() == pytest.approx(0.01, rel=0.02)
    assert torch.corrcoef(torch.stack([cells.w_max, cells.w_min]))[0, 1].abs() < 0.02


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"dw_min": 0.0}, "dw_min"),
        ({"w_max": -1.0}, "w_max"),
        ({"w_min": 0.1}, "w_min"),
        ({"w_min": -4.0}, "lowest conductance"),
        ({"w_min": Normal(-1.0, 1.0, max=0.0), "g_zero": 5e-6}, "lowest conductance"),
        ({"write_std": -1.0}, "write_std"),
    ],
)
def test_nonsense_is_refused_by_name(parameters, named):
    with pytest.raises(memcore.ConfigError, match=named):
        ConstantStep(**parameters)


def test_a_drawn_cell_that_does_not_conduct_is_refused(ctx):
    device = ConstantStep(w_min=Normal(-1.0, 1.0, max=-0.01))
    with pytest.raises(memcore.ConfigError, match="give the distribution of w_min a min"):
        device.sample((1000,), ctx)
