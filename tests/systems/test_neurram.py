"""Fits to four measurements of the NeuRRAM chip predict the other four."""

import pytest
import torch
from memcore_plugins.costs.neurram import Neurram
from torch import nn

import memcore

BITS = [(1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8), (7, 9), (8, 10)]
FITTED = {1, 4, 6, 8}


def measured(inputs: int, outputs: int) -> memcore.Component:
    return memcore.components[f"neurram_chip_{inputs}b_{outputs}b"]


@pytest.mark.parametrize("bits", BITS)
def test_ac_wan_energy(bits):
    found, wanted = Neurram(input_bits=bits[0]).energy, measured(*bits).energy
    assert found == pytest.approx(wanted, rel=0.15)
    assert found == pytest.approx(wanted, rel=0.08)


@pytest.mark.parametrize("bits", BITS)
def test_ac_wan_time(bits):
    assert Neurram(input_bits=bits[0]).time == pytest.approx(1 / measured(*bits).rate, rel=0.16)


def test_a_sign_costs_no_pulse():
    assert Neurram(input_bits=1).energy == Neurram(input_bits=2).energy
    assert Neurram(input_bits=3).energy > 1.8 * Neurram(input_bits=2).energy


def test_a_layer_on_one_core_takes_48_times_as_long_as_the_whole_chip():
    found = memcore.cost(nn.Linear(128, 256), torch.zeros(1, 128), model="neurram")
    assert found.layers[0].events == {"cores": 1, "operations": 2 * 128 * 256}
    assert found.total.time == pytest.approx(48 * 2 * 128 * 256 * Neurram().time)
    assert found.total.energy == pytest.approx(2 * 128 * 256 * Neurram().energy)
