import pytest
import torch
from memcore_plugins.devices.ideal import Ideal

import memcore


def test_every_conductance_of_the_window_can_be_set_exactly(ctx):
    device = Ideal(r_on=1e4, r_off=1e6)
    g = torch.linspace(1e-6, 1e-4, 101, dtype=torch.float64)
    torch.testing.assert_close(device.conductance(device.state_of(g)), g, rtol=1e-14, atol=0)


def test_targets_outside_the_window_give_its_nearest_end():
    device = Ideal(r_on=1e4, r_off=1e6)
    g = device.conductance(device.state_of(torch.tensor([-1e-3, 0.0, 1.0])))
    torch.testing.assert_close(g, torch.tensor([1e-6, 1e-6, 1e-4]))


def test_the_state_moves_linearly_and_stops_at_the_ends(ctx, state):
    device = Ideal(rate=1e6)
    v = torch.tensor([1.0], dtype=torch.float64)
    assert device.step(state(0.25), v, 0.5e-6, ctx).item() == pytest.approx(0.75)
    assert device.step(state(0.25), v, 1.0, ctx).item() == 1
    assert device.step(state(0.25), -v, 1.0, ctx).item() == 0
    assert device.step(state(0.25), 0 * v, 1.0, ctx).item() == 0.25


def test_open_loop_programming_of_spread_cells_moves_every_cell(ctx):
    device = Ideal(r_on=memcore.Normal(1e4, 500.0), r_off=memcore.Normal(1e6, 5e4))
    cells = device.sample((1000,), ctx)
    middle = device.nominal().state_of(torch.full((1000,), 5e-5))
    assert cells.conductance(middle).unique().numel() > 990


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"r_on": 0.0}, "Ideal: r_on=0.0; expected a finite number of ohm > 0"),
        ({"r_off": float("nan")}, "r_off=nan"),
        ({"r_on": 2e6}, "expected r_on < r_off"),
        ({"x0": 1.5}, r"x0=1.5; expected a finite number in \[0, 1\]"),
        ({"rate": "fast"}, r"rate='fast'; expected a finite number of 1/\(V s\) > 0"),
    ],
)
def test_nonsense_is_refused_by_name(parameters, message):
    with pytest.raises(memcore.ConfigError, match=message):
        Ideal(**parameters)


def test_a_distribution_reaching_below_zero_is_refused_when_drawn(ctx):
    with pytest.raises(memcore.ConfigError, match="cells drew r_on outside its range"):
        Ideal(r_on=memcore.Normal(1e4, 1e4)).sample((1000,), ctx)
