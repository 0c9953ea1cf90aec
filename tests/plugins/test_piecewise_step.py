import pytest
import torch
from memcore_plugins.devices.linear_step import LinearStep
from memcore_plugins.devices.piecewise_step import PiecewiseStep

import memcore


def test_the_step_interpolates_the_table():
    device = PiecewiseStep(dw_min=0.01, up=(3.0, 1.0, 2.0), down=(0.0, 1.0))
    w = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64)
    rising = device.change(w, torch.ones(5, dtype=torch.bool))
    falling = device.change(w, torch.zeros(5, dtype=torch.bool))
    assert rising.tolist() == pytest.approx([0.03, 0.02, 0.01, 0.015, 0.02])
    assert falling.tolist() == pytest.approx([0.0, -0.0025, -0.005, -0.0075, -0.01])


@pytest.mark.parametrize(
    "table", [(1.0, 1.0), (2.0, 0.1, 3.0, 0.0), (0.0, 1.0, 0.0), (5.0, 0.01, 5.0, 0.01, 5.0)]
)
@pytest.mark.parametrize("dw", [0.003, 0.3])
def test_many_pulses_equal_single_ones_across_the_table(table, dw, ctx):
    device = PiecewiseStep(dw_min=dw, up=table, down=table)
    state = torch.linspace(0, 1, 23, dtype=torch.float64)[None]
    for sign in (1, -1):
        single = state
        for _ in range(150):
            single = device.pulses(single, torch.full((23,), sign), ctx)
        found = device.pulses(state, torch.full((23,), 150 * sign), ctx)
        torch.testing.assert_close(found, single, rtol=0, atol=1e-9)


def test_a_straight_table_is_a_linear_step(ctx):
    piecewise = PiecewiseStep(dw_min=0.01, up=(1.4, 0.6), down=(0.6, 1.4))
    linear = LinearStep(dw_min=0.01, gamma_up=0.4, gamma_down=0.4)
    state = torch.linspace(0, 1, 9, dtype=torch.float64)[None]
    for count in (1, 30, -500):
        number = torch.full((9,), count)
        found, expected = (d.pulses(state, number, ctx) for d in (piecewise, linear))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("parameters", [{"up": (1.0,)}, {"down": (1.0, -1.0)}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        PiecewiseStep(**parameters)
