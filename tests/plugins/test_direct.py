import pytest
import torch

from memcore import LogNormal, Normal, devices, programmers

DIRECT = programmers["direct"]()
DEVICES = ["ideal", "vteam", "linear_ion_drift"]


def window(array, share):
    low, high = array.nominal.nominal_range()
    return torch.full(array.shape, low + share * (high - low))


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_nominal_device_takes_its_target(arrays, ctx, name, share):
    array = arrays(name)
    target = window(array, share)
    torch.testing.assert_close(DIRECT.program(array, target, ctx).conductance, target)


@pytest.mark.parametrize("share", [-0.5, 2.0])
@pytest.mark.parametrize("spread", [False, True])
def test_a_target_outside_the_window_gives_the_nearest_end(arrays, ctx, share, spread):
    array = arrays(r_on=Normal(1e4, 1e-3) if spread else 1e4)
    g = DIRECT.program(array, window(array, share), ctx).conductance
    torch.testing.assert_close(g, window(array, min(max(share, 0.0), 1.0)))


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_spread_moves_cells_in_the_middle_of_the_window(arrays, ctx, name, share):
    r_on = devices[name]().r_on
    array = arrays(name, r_on=LogNormal(r_on, 0.1))
    target = window(array, share)
    moved = DIRECT.program(array, target, ctx).conductance / target - 1
    assert (moved != 0).float().mean() > 0.99
    assert 0.01 < moved.std() < 0.11


def test_each_cell_stays_in_its_own_window(arrays, ctx):
    array = arrays(r_on=LogNormal(1e4, 0.3), r_off=LogNormal(1e6, 0.3))
    low, high = array.device.conductance_range()
    for share in (0.0, 0.5, 1.0):
        g = DIRECT.program(array, window(array, share), ctx).conductance
        assert (g >= low * (1 - 1e-6)).all()
        assert (g <= high * (1 + 1e-6)).all()
