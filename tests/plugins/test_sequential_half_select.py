import dataclasses

import numpy as np
import pytest
import torch

from memcore import ConfigError, LogNormal, devices, programmers
from memcore.testing import checks_for
from memcore.writing import SequentialLoop

HALF_SELECT = programmers["sequential_half_select"]
MAGIC = devices["vteam"].preset("magic")  # thresholds at -1.5 V and 0.3 V


def targets(array, ctx, low=0.0, high=1.0):
    g_min, g_max = array.nominal.nominal_range()
    share = low + (high - low) * ctx.random.child("targets").uniform(array.shape)
    return g_min + (g_max - g_min) * share


def one_to_write(array, row, col):
    """All cells hold what fresh cells hold, but one."""
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low)
    target[:, row, col] = 0.5 * (low + high)
    return target


@pytest.mark.parametrize("order", ["cell", "row"])
@pytest.mark.parametrize(
    ("scheme", "on_lines", "elsewhere"), [("V/2", 1 / 2, 0), ("V/3", 1 / 3, -1 / 3)]
)
def test_neighbours_see_their_share_of_the_voltage(arrays, ctx, order, scheme, on_lines, elsewhere):
    """Without a threshold and away from the ends, motion is in proportion to the voltage."""
    array = arrays("ideal", x0=0.0, shape=(2, 5, 4))
    fresh = array.nominal.initial_state(array.shape, ctx)[0]
    how = HALF_SELECT(scheme=scheme, order=order, set_voltage=1.0, set_width=1e-8, tolerance=0.6)
    low, high = array.nominal.nominal_range()
    target = one_to_write(array, 2, 1).double()
    target[:, 2, 1] = low + 0.9 * (high - low)
    done = how.program(array, target, ctx)
    moved = (done.state[0] - fresh)[0]
    share = torch.full((5, 4), float(elsewhere)).double()
    share[2, :] = share[:, 1] = on_lines
    share[2, 1] = 1.0
    expected = (share * moved[2, 1]).clamp(min=0)
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-9)
    assert moved[2, 1] > 0.5


def test_neighbours_on_the_selected_lines_alone_dissipate(arrays, ctx):
    array = arrays(MAGIC, shape=(1, 6, 7))
    how = HALF_SELECT(read_time=0.0)
    done = how.program(array, one_to_write(array, 4, 2), ctx)
    touched = torch.zeros(6, 7, dtype=torch.bool)
    touched[4] = touched[:, 2] = True
    assert torch.equal(done.energy[0] > 0, touched)
    half = done.energy[0][4, 0] / done.energy[0][1, 2]
    torch.testing.assert_close(half, torch.ones(()), rtol=1e-4, atol=0)


@pytest.mark.parametrize("order", ["cell", "row"])
def test_a_threshold_above_half_the_voltage_protects_the_neighbours(arrays, ctx, order):
    array = arrays(MAGIC, shape=(1, 12, 10))
    target = targets(array, ctx)
    done = HALF_SELECT(order=order).program(array, target, ctx)
    alone = HALF_SELECT(order=order, cell="1t1r").program(array, target, ctx)
    assert done.verified.all()
    assert torch.equal(done.conductance, alone.conductance)
    assert done.energy.sum() > alone.energy.sum()


def test_a_threshold_below_half_the_voltage_does_not(arrays, ctx):
    array = arrays("vteam", shape=(1, 12, 12))
    passive, alone = (
        HALF_SELECT(set_voltage=1.0, cell=cell).program(array, targets(array, ctx), ctx)
        for cell in ("passive", "1t1r")
    )
    assert alone.verified.all()
    assert passive.verified.float().mean() < 0.5
    later = (
        (passive.error > 0)[0, :6].float().mean()
    )  # SET pulses of later cells raise earlier ones
    assert later > 0.9


def test_arrays_are_written_side_by_side_as_if_alone(arrays, ctx):
    array = arrays(MAGIC, shape=(5, 6, 6))
    target = targets(array, ctx)
    for order in ("cell", "row"):
        how = HALF_SELECT(order=order)
        done = how.program(array, target, ctx)
        for index in range(5):
            single = dataclasses.replace(array, arrays=1)
            alone = how.program(single, target[index : index + 1], ctx)
            torch.testing.assert_close(
                done.conductance[index], alone.conductance[0], rtol=1e-4, atol=0
            )
            assert torch.equal(done.pulses[index], alone.pulses[0])


def test_further_passes_correct_what_the_first_one_left(arrays, ctx):
    device = dataclasses.replace(MAGIC, x_off=LogNormal(3e-9, 0.3))
    array = arrays(device, shape=(1, 10, 10))
    target = targets(array, ctx)
    once, often = (HALF_SELECT(passes=n).program(array, target, ctx) for n in (1, 12))
    assert once.verified.float().mean() < 0.7
    assert often.verified.float().mean() > 0.9
    assert often.reversals.max() >= 1
    assert (often.pulses >= once.pulses).all()


@pytest.mark.parametrize(("name", "start"), [("magic", 0.0), ("magic", 1.0), ("yakopcic", None)])
def test_the_energy_of_a_train_is_that_of_all_its_pulses(arrays, ctx, name, start, monkeypatch):
    """A cell that switches at the beginning of a train takes its power from then on."""
    device = (
        devices["yakopcic"]() if name == "yakopcic" else devices["vteam"].preset(name, s0=start)
    )
    array = arrays(device, shape=(1, 1, 1))
    low, high = device.nominal_range()
    target = torch.full(array.shape, low + 0.6 * (high - low), dtype=torch.float64)
    how = HALF_SELECT(cell="1t1r", read_time=0.0)
    state = device.initial_state(array.shape, ctx).double()
    seen = []
    monkeypatch.setattr(SequentialLoop, "_moved", _watching(SequentialLoop._moved, seen))
    done = how.program(array, target, ctx)
    spent = 0.0
    for voltage, width in seen:
        for _ in range(5000):
            current = device.current(state, voltage)
            state = device.step(state, voltage, width / 5000, ctx)
            power = 0.5 * voltage * (current + device.current(state, voltage))
            spent += (power * width / 5000).item()
    assert done.energy.item() == pytest.approx(spent, rel=0.005)


def _watching(moved, seen):
    def watched(self, train, state, what, width):
        seen.append((what.voltage, width))
        return moved(self, train, state, what, width)

    return watched


def test_energy_and_time_add_up(arrays, ctx):
    array = arrays("ideal", r_on=1e4, r_off=1e4 + 0.1, shape=(1, 3, 3))
    how = HALF_SELECT(
        **{"set_voltage": 2.0, "set_width": 1e-7, "reset_voltage": 2.0, "reset_width": 1e-7},
        tolerance=0.6,
        read_time=0.0,
    )
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low, dtype=torch.float64)
    target[0, 1, 1] = high
    done = how.program(array, target, ctx)
    width = done.pulses[0, 1, 1].item() * 1e-7
    assert done.time.sum().item() == pytest.approx(width)
    assert done.energy[0, 1, 1].item() == pytest.approx(2.0**2 * 1e-4 * width, rel=1e-4)
    assert done.energy[0, 1, 0].item() == pytest.approx(1.0**2 * 1e-4 * width, rel=1e-4)
    assert done.energy[0, 0, 0].item() == 0


def test_reads_carry_noise_and_a_rewrite_draws_it_anew(arrays, ctx):
    array = arrays(MAGIC, shape=(1, 8, 8))
    how = HALF_SELECT(read_noise_std=2e-5, passes=2)
    again = dataclasses.replace(ctx, writes=1)
    first, same, other = (how.program(array, targets(array, ctx), c) for c in (ctx, ctx, again))
    assert torch.equal(first.conductance, same.conductance)
    assert not torch.equal(first.conductance, other.conductance)


def test_schemes_may_be_typed_in_lower_case():
    assert HALF_SELECT(scheme="v/3") == HALF_SELECT(scheme="V/3")


@pytest.mark.parametrize("scheme", ["V/4", "grounded"])
def test_schemes_that_cannot_write_are_refused(scheme):
    with pytest.raises(ConfigError, match=f"scheme='{scheme}'; expected one of 'V/2', 'V/3'"):
        HALF_SELECT(scheme=scheme)


def test_cuts_trains_into_common_pulses():
    from memcore.writing import slots

    count = np.array([[3], [0], [7], [7], [12], [40]])
    total = sum(pulses * some for pulses, some in slots(count))
    assert (total == count).all()
    assert [pulses for pulses, _ in slots(np.array([[5], [0], [5]]))] == [5]
    assert not list(slots(np.zeros((2, 1), dtype=int)))


@pytest.mark.parametrize("check", list(checks_for(HALF_SELECT(cell="1t1r"))), ids=str)
def test_with_transistors_every_promise_is_kept(check):
    check()
