import copy
import dataclasses

import pytest
import torch

from memcore import CrossbarConfig, LogNormal, MemcoreWarning, convert, programmers

OPEN_LOOP = programmers["open_loop"]


def targets(array, ctx, low=0.1, high=0.9):
    g_min, g_max = array.nominal.nominal_range()
    share = low + (high - low) * ctx.random.child("targets").uniform(array.shape)
    return g_min + (g_max - g_min) * share


@pytest.mark.parametrize("name", ["data_driven", "ideal", "mms", "yakopcic"])
def test_nominal_cells_end_within_half_a_step_of_the_target(arrays, ctx, name):
    array = arrays(name, shape=(1, 16, 16))
    low, high = array.nominal.nominal_range()
    done = OPEN_LOOP().program(array, targets(array, ctx), ctx)
    assert done.verified.all()
    assert (done.error / (high - low)).abs().max() < 0.02
    finer = OPEN_LOOP(max_pulses=2000).program(array, targets(array, ctx), ctx)
    assert finer.error.abs().mean() < 0.3 * done.error.abs().mean()


@pytest.mark.parametrize("name", ["ideal", "mms", "linear_ion_drift"])
def test_verified_is_what_the_nominal_device_ends_near_to(arrays, ctx, name):
    """Also cells that need no pulse, and steps that are wider than their targets are apart."""
    array = arrays(name, shape=(1, 16, 16))
    low, high = array.nominal.nominal_range()
    target = low + (high - low) * torch.linspace(0, 1, 256).view(array.shape).float()
    target[0, :4] = torch.tensor(low, dtype=torch.float32)
    done = OPEN_LOOP().program(array, target, ctx)
    near = (done.error.abs() / (high - low)).float()
    assert done.verified[near < 0.0199].all()
    assert not done.verified[near > 0.0201].any()
    assert done.verified[0, :4].all()


def test_no_other_number_of_pulses_ends_nearer_to_the_target(arrays, ctx):
    array = arrays("vteam", shape=(1, 8, 8))
    how = OPEN_LOOP(set_voltage=1.0, set_width=1e-13, max_pulses=60)
    target = targets(array, ctx)
    done = how.program(array, target, ctx)
    state = array.nominal.initial_state((), ctx)
    reached = [array.nominal.conductance(state)]
    for _ in range(60):
        state = array.nominal.step(state, torch.tensor(-1.0), 1e-13, ctx)
        reached.append(array.nominal.conductance(state))
    best = (torch.stack(reached).view(-1, 1, 1, 1) - target).abs().min(0).values
    torch.testing.assert_close(done.error.abs(), best, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(done.time, done.pulses * 1e-13)


def test_pulses_go_in_the_direction_of_the_target(arrays, ctx):
    array = arrays("yakopcic", x0=0.5, shape=(1, 1, 2))
    high = array.nominal.nominal_range()[1]
    target = torch.tensor([[[0.2 * high, 0.8 * high]]])
    done = OPEN_LOOP().program(array, target, ctx)
    torch.testing.assert_close(done.conductance, target, rtol=0.02, atol=0)


def test_spread_of_the_cells_stays_as_an_error(arrays, ctx):
    array = arrays("ideal", rate=LogNormal(1e6, 0.2), shape=(1, 100, 100))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low + 0.4 * (high - low))
    done = OPEN_LOOP().program(array, target, ctx)
    moved = (done.conductance - low) / (0.4 * (high - low))
    torch.testing.assert_close(moved, array.device.rate / 1e6, rtol=0.01, atol=0)
    assert done.verified.all()  # nobody looked


def test_targets_that_no_train_reaches_are_not_called_verified(arrays, ctx):
    array = arrays("data_driven", shape=(1, 4, 4))
    target = torch.full(array.shape, array.nominal.nominal_range()[1])
    assert not OPEN_LOOP().program(array, 2 * target, ctx).verified.any()
    assert OPEN_LOOP().program(array, target, ctx).verified.all()


def test_a_rewrite_draws_cycles_anew(arrays, ctx):
    array = arrays("mms", switches=1000, shape=(1, 20, 20))
    first, same = (OPEN_LOOP().program(array, targets(array, ctx), ctx) for _ in "12")
    again = OPEN_LOOP().program(array, targets(array, ctx), dataclasses.replace(ctx, writes=1))
    assert torch.equal(first.conductance, same.conductance)
    assert not torch.equal(first.conductance, again.conductance)
    assert torch.equal(first.pulses, again.pulses)


def test_windows_that_pulses_do_not_cross_are_told(arrays, ctx):
    """The window function of TEAM lets a SET lead hardly anywhere."""
    array = arrays("team", shape=(1, 2, 2))
    with pytest.warns(MemcoreWarning, match=r"SET Team only 5\.8 % of the way across its window"):
        OPEN_LOOP().program(array, targets(array, ctx), ctx)


@pytest.mark.parametrize(("name", "rms"), [("constant_step", 0.005), ("neurosim", 0.15)])
def test_devices_of_whole_pulses_get_their_own(arrays, ctx, name, rms):
    array = arrays(name, shape=(1, 16, 16))
    low, high = array.nominal.nominal_range()
    done = OPEN_LOOP().program(array, targets(array, ctx), ctx)
    width = (done.time / done.pulses)[done.pulses > 0]
    own = {array.nominal.set_pulse[1], array.nominal.reset_pulse[1]}
    assert all(any(abs(w / t - 1) < 1e-5 for t in own) for w in width.tolist())
    assert (done.error / (high - low)).square().mean().sqrt() < rms


@pytest.mark.parametrize("name", ["exp_step", "pow_step", "soft_bounds", "linear_step"])
def test_cells_in_half_precision_are_written_by_the_pulses_that_single_ones_take(name):
    """Steps that bfloat16 rounds away add up all the same."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(12, 8)
    fine, coarse = (
        convert(each, CrossbarConfig(device=name)).effective_weight.float()
        for each in (layer, copy.deepcopy(layer).bfloat16())
    )
    assert (fine - coarse).abs().max() < 0.05 * fine.abs().max()
