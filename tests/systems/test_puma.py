"""The accesses of PUMA against a run of its simulator, and against plain loops."""

import json
from collections import Counter
from math import ceil
from pathlib import Path

import pytest
import torch
from memcore_plugins.costs import _puma
from memcore_plugins.networks import puma_layer
from torch import nn

import memcore

ORACLE = json.loads((Path(__file__).parents[1] / "oracles/systems/puma.json").read_text())


def report(network, inputs, **parameters):
    return memcore.cost(network, torch.zeros(1, inputs), model="puma", **parameters)


def counted(inputs: int, outputs: int) -> Counter:
    """The accesses of one vector, one after another."""
    counts: Counter = Counter()
    steps, slices = range(16), range(8)
    for row in range(0, inputs, 128):
        for _ in range(0, outputs, 128):
            counts["input_register_write"] += 128
            counts["output_register"] += 128  # the result is read
            for _ in steps:
                counts["input_register_read"] += 1
                counts["dac"] += 128
                counts["output_register"] += 2 * 128  # read, added to, written
                counts["shift_add"] += 128
                for _ in slices:
                    counts["crossbar"] += 1
                    counts["adc"] += 128
                    counts["sample_hold"] += 128
                    counts["shift_add"] += 128
        if row:
            counts["alu"] += outputs
    counts["activation"] += outputs
    tiles = ceil(ceil(ceil(inputs / 128) * ceil(outputs / 128) / 2) / 8)
    counts["receive_buffer"] += 2 * (tiles * ceil(inputs / 16) + ceil(outputs / 16))
    return counts


@pytest.mark.parametrize("shape", [(256, 256), (700, 130), (1500, 900)])
def test_ac_pu_1_counts_are_those_of_loops(shape):
    events = report(nn.Linear(*shape), shape[0]).layers[0].events
    wanted = counted(*shape)
    assert {name: events[name] for name in wanted} == dict(wanted)


def test_ac_pu_1_counts_are_those_of_the_simulator():
    events = report(puma_layer(), 256).layers[0].events
    assert {name: events[name] for name in ORACLE["counts"]} == ORACLE["counts"]


def test_ac_pu_2_dynamic_energy():
    parts = report(puma_layer(), 256).components
    dynamic = sum(charge.energy for name, charge in parts.items() if name != "leakage")
    assert dynamic == pytest.approx(ORACLE["dynamic_j"], rel=0.02)
    # Of the energy that the simulator prints: it also counts polls and instructions, 1.1 %.
    for name in ("adc", "crossbar"):
        share = parts[name].energy / ORACLE["dynamic_j"]
        assert share == pytest.approx(ORACLE[f"{name}_share"], abs=0.002)


def test_ac_pu_3_cycles():
    found = report(puma_layer(), 256)
    assert found.layers[0].events["cycles"] == pytest.approx(ORACLE["cycles"], rel=0.1)
    assert found.total.time == pytest.approx(2118e-9)


#: PUMA's numbers: 16 bits in two's complement, 2-bit cells, inputs bit by bit.
NUMBERS = memcore.CrossbarConfig(
    device="ideal",
    mapper={
        "name": "bit_slice",
        "weight_bits": 16,
        "slice_bits": 2,
        "encoding": "twos_complement",
        "w_max": 2.0**15 - 1,
    },
    dac={
        "name": "bit_serial",
        "bits": 16,
        "signed": "twos_complement",
        "full_scale": 2.0**15 - 1,
    },
)


def test_ac_pu_4_sliced_product_is_that_of_integers():
    """1000 random matrices of 16 x 8 beside each other, extreme and negative ones among them."""
    generator = torch.Generator().manual_seed(7)

    def numbers(*shape):
        return torch.randint(-(2**15), 2**15, shape, generator=generator)

    weight, x = numbers(1000, 8, 16), numbers(6, 16)
    weight[0], weight[1], weight[2] = -(2**15), 2**15 - 1, -weight[2].abs()
    x[0], x[1], x[2] = -(2**15), 2**15 - 1, -x[2].abs()
    layer = nn.Linear(16, 8000, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(weight.flatten(0, 1).double())
        found = memcore.convert(layer, NUMBERS)(x.double())
    wanted = x @ weight.flatten(0, 1).T
    assert torch.equal(found.round().long(), wanted)
    assert float((found - wanted).abs().max()) < 0.01


def test_ac_pu_5_a_recurrent_layer_converts_runs_and_is_priced():
    layer, x = nn.LSTM(20, 30, batch_first=True), memcore.Stream(3).normal((2, 5, 20)).float()
    chip = memcore.convert(layer, memcore.CrossbarConfig(device="ideal"))
    torch.testing.assert_close(chip(x)[0], layer(x)[0], rtol=1e-4, atol=1e-5)
    found = memcore.cost(chip, x, model="puma")
    names = [name for name, weight in layer.named_parameters() if weight.dim() == 2]
    assert [each.name for each in found.layers] == names
    one = report(nn.Linear(20, 120), 20).total.energy + report(nn.Linear(30, 120), 30).total.energy
    assert found.total.energy == pytest.approx(2 * 5 * one)


def test_ac_pu_6_areas_follow_from_the_constants():
    root = 8**0.5
    core = 22 * 128 * 1.67e-7 + 4 * 128 * 4e-5 / 1024 + 4 * 6e-5 + 4 * 0.0012 + 6 * 0.00078
    core += 64 * 2.5e-5 + 6 * 0.00078 + 0.00108 * root + 0.00392 + 0.00567 * 32 / 45 + 0.0003
    core += 0.00145 * 2.25
    tile = 8 * core + 2 * 0.0041 * root + 0.090 + 2 * 0.00145 + 0.0044 + 0.086
    assert _puma.core_area() * 1e6 == pytest.approx(core, rel=1e-9)
    assert _puma.tile_area() * 1e6 == pytest.approx(tile, rel=1e-9)
    node = 168 * tile + 0.047 * 42 + 22.88
    assert _puma.node_area() * 1e6 == pytest.approx(node, rel=1e-9)
    assert node == pytest.approx(101.3, abs=0.05)
    assert _puma.core_leakage() * 1e3 == pytest.approx(3.169, abs=5e-4)


def test_a_convolution_is_a_product_for_each_position():
    conv = memcore.cost(nn.Conv2d(16, 32, 3), torch.zeros(1, 16, 10, 10), model="puma")
    line = report(nn.Linear(144, 32), 144)
    assert conv.total.energy == pytest.approx(64 * line.total.energy)
    assert conv.layers[0].events["tiles"] == line.layers[0].events["tiles"]


def test_bits_that_no_table_has_are_named():
    with pytest.raises(memcore.UnknownComponentError, match=r"'puma_adc_12b'"):
        report(puma_layer(), 256, adc_bits=12)
