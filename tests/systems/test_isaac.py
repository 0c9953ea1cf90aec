"""The tile of ISAAC against its published chip."""

import pytest
import torch
from memcore_plugins.costs.isaac import Isaac
from torch import nn

import memcore


def test_power_area_and_peak_of_the_chip_are_the_published_ones():
    chip = Isaac()
    assert chip.chip("power") == pytest.approx(65.8, abs=0.05)  # W
    assert chip.chip("area") * 1e6 == pytest.approx(85.4, abs=0.05)  # mm^2
    density = chip.peak / chip.chip("area") * 1e-15  # GOPS/s/mm^2
    assert density == pytest.approx(479, rel=0.01)


def test_a_layer_that_fills_a_tile_draws_the_power_of_a_tile():
    chip = Isaac()
    # 96 arrays of 128 x 128 with eight slices of a weight: 1536 x 128 weights.
    found = memcore.cost(nn.Linear(12 * 128, 128), torch.zeros(7, 12 * 128), model="isaac")
    assert found.layers[0].events["tiles"] == 1
    power = found.total.energy / found.total.time
    link = memcore.components["isaac_link"].power
    assert power == pytest.approx((chip.chip("power") - link) / 168)
    assert found.total.time == pytest.approx(7 * 16 * 1e-7)


def test_weights_of_more_bits_take_more_arrays():
    x = torch.zeros(1, 128)
    counts = [
        memcore.cost(nn.Linear(128, 128), x, model="isaac", weight_bits=bits).layers[0].events
        for bits in (8, 16)
    ]
    assert (counts[0]["arrays"], counts[1]["arrays"]) == (4, 8)
