import pytest
import torch
from memcore_plugins.devices.linear_step import LinearStep

import memcore


def test_hundred_pulses_equal_the_oracle(ctx):
    device = LinearStep(dw_min=0.005, gamma_up=0.05, gamma_down=0.05)
    start = device.state_at(torch.zeros(1, dtype=torch.float64))
    found = device.position(device.pulses(start, torch.tensor([100]), ctx)).item()
    assert found == pytest.approx(0.4938627, abs=5e-8)
    mirrored = device.position(device.pulses(start, torch.tensor([-100]), ctx)).item()
    assert mirrored == pytest.approx(-found, rel=1e-12)


def test_a_step_is_that_of_the_equation(ctx):
    device = LinearStep.preset("ecram").nominal()
    w = torch.linspace(-0.8, 1.15, 9, dtype=torch.float64)
    up, down = torch.ones(9, dtype=torch.bool), torch.zeros(9, dtype=torch.bool)
    torch.testing.assert_close(device.change(w, up), 0.002 * (1 - 0.1153 * w / 1.1724))
    torch.testing.assert_close(device.change(w, down), -0.002 * (1 - 0.5085 * w / -0.8276))


def test_ecram_is_symmetric_at_zero():
    for name in ("ecram", "ecram_mo"):
        device = LinearStep.preset(name).nominal()
        zero = torch.zeros(2, dtype=torch.float64)
        up, down = device.change(zero, torch.tensor([True, False]))
        assert up == -down


def test_the_slope_does_not_follow_the_bound_of_a_single_cell():
    wide = LinearStep(w_max=1.3)
    w = torch.tensor([0.4], dtype=torch.float64)
    up = torch.tensor([True])
    torch.testing.assert_close(wide.change(w, up), LinearStep().change(w, up))


@pytest.mark.parametrize("noise", ["multiplicative", "additive"])
def test_noise_follows_the_step_or_not(noise, ctx):
    device = LinearStep(gamma_up=0.8, dw_min=0.001, c2c=0.5, noise=noise)
    spread = {}
    for w in (0.0, 0.9):
        start = device.state_at(torch.full((100_000,), w, dtype=torch.float64))
        moved = device.position(device.pulses(start, torch.ones(100_000), ctx))
        spread[w] = moved.std().item()
    assert spread[0.0] == pytest.approx(0.0005, rel=0.01)
    expected = 0.28 if noise == "multiplicative" else 1.0
    assert spread[0.9] / spread[0.0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("parameters", [{"ref_up": -1.0}, {"ref_down": 1.0}, {"noise": "none"}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        LinearStep(**parameters)
