import pytest
import torch
from memcore_plugins.devices.pow_step import PowStep
from memcore_plugins.devices.soft_bounds import SoftBounds

import memcore


def weights_after(device, start, count, ctx):
    state = device.state_at(torch.as_tensor(start, dtype=torch.float64))
    number = torch.full(state.shape[1:], count, dtype=torch.float64)
    return device.position(device.pulses(state, number, ctx))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, 0.0035355), (10, 0.0345280), (100, 0.2784071), (400, 0.6574251)],
)
def test_pulses_equal_the_oracle(count, expected, ctx):
    device = PowStep(dw_min=0.01)
    assert weights_after(device, [0.0], count, ctx).item() == pytest.approx(expected, abs=6e-8)
    assert weights_after(device, [0.0], -count, ctx).item() == pytest.approx(-expected, abs=6e-8)


@pytest.mark.parametrize("gamma", [0.3, 0.9, 1.0, 1.0001, 2.0, 4.0])
def test_many_pulses_equal_single_ones_for_every_power(gamma, ctx):
    device = PowStep(gamma_up=gamma, gamma_down=gamma, dw_min=0.02)
    start = torch.linspace(-1, 1, 11, dtype=torch.float64)
    for sign in (1, -1):
        single = start
        for _ in range(80):
            single = weights_after(device, single, sign, ctx)
        found = weights_after(device, start, 80 * sign, ctx)
        torch.testing.assert_close(found, single, rtol=0, atol=2e-6)


def test_power_one_are_soft_bounds(ctx):
    start = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    for count in (1, 50, -200):
        # A soft bound of 1 with steps s (1 - w) is a power step of twice the scale.
        soft = weights_after(SoftBounds(dw_min=0.01), start, count, ctx)
        power = weights_after(PowStep(dw_min=0.02, gamma_up=1.0, gamma_down=1.0), start, count, ctx)
        torch.testing.assert_close(power, soft, rtol=0, atol=1e-9)


@pytest.mark.parametrize("parameters", [{"gamma_up": 0.0}, {"gamma_down": -1.0}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        PowStep(**parameters)
