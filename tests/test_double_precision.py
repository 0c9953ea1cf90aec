"""Cells of a network in float64: what effects make of them is right to its precision."""

import math

import pytest
import torch
from torch import nn

import memcore

R_ON, R_OFF = 1.7e4, 3.3e5
LOW, HIGH = 1 / R_OFF, 1 / R_ON


def conductances(effect, **age):
    """Of the cells of a layer, S."""
    layer = nn.Linear(12, 8, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(memcore.Stream(1).normal((8, 12)))
    device = {"name": "ideal", "r_on": R_ON, "r_off": R_OFF}
    mem = memcore.convert(layer, memcore.CrossbarConfig(device=device, nonidealities=[effect]))
    if age:
        memcore.age(mem, **age)
    return mem.crossbar.cells.conductance


def nearest(g, levels):
    """The level that each conductance is at."""
    levels = torch.as_tensor(levels, dtype=torch.float64)
    return levels[(g.unsqueeze(-1) - levels).abs().argmin(-1)]


def spaced(first, last, count):
    return [first + k * (last - first) / (count - 1) for k in range(count)]


MIDDLE = math.sqrt(LOW * HIGH)
WORN = {"mode": "sudden", "p0_lrs": 1e-3, "p0_hrs": 1e-3}
CASES = {
    "stuck": ({"name": "stuck_at", "p_lrs": 0.6, "p_hrs": 0.4}, {}, [LOW, HIGH]),
    "states": ({"name": "finite_states", "states": 7}, {}, spaced(LOW, HIGH, 7)),
    "resistances": (
        {"name": "finite_states", "states": 7, "uniform_in": "resistance"},
        {},
        [1 / r for r in spaced(R_ON, R_OFF, 7)],
    ),
    "drift": (
        {"name": "drift", "nu": 0.9, "towards": "middle"},
        {"seconds": 1e9},
        [(LOW + HIGH) / 2],
    ),
    "retention": ({"name": "retention", **WORN}, {"seconds": 1e6}, [MIDDLE]),
    "endurance": ({"name": "endurance", **WORN}, {"cycles": 10**6}, [MIDDLE]),
    "disturb": ({"name": "read_disturb", "rate": 1.0}, {"reads": 100}, [HIGH]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_levels_and_ends_have_the_precision_of_the_cells(case):
    effect, age, levels = case
    g = conductances(effect, **age)
    assert g.dtype is torch.float64
    torch.testing.assert_close(g, nearest(g, levels), rtol=1e-14, atol=0)
