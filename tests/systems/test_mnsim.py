"""The machine of MNSIM against runs of MNSIM itself, and against plain loops."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from memcore_plugins import networks
from memcore_plugins.costs import _mnsim
from torch import nn

import memcore
from memcore.cli.main import main

ORACLE = json.loads((Path(__file__).parents[1] / "oracles/systems/mnsim.json").read_text())
RUNS = [pytest.param(run, id=run["name"]) for run in ORACLE["runs"]]
X = torch.zeros(1, 3, 32, 32)
DIGITAL = ("demux", "mux", "input_register", "shift_register", "output_register", "joint")


def report(network, **parameters):
    return memcore.cost(network, X, model="mnsim", **parameters)


def to_the_last_digit(value: float, printed: str) -> bool:
    """Whether a value rounds to what was printed."""
    digits = len(printed.partition(".")[2])
    return abs(value - float(printed)) <= 0.5000001 * 10.0**-digits


def test_ac_mn_1_tiles_of_vgg8():
    words = ["cost", "memcore_plugins.networks:vgg8", "--input", "1x3x32x32", "--model", "mnsim"]
    done = CliRunner().invoke(main, [*words, "--json"])
    layers = json.loads(done.stdout)["layers"]
    tiles = [layer["events"]["tiles"] for layer in layers]
    assert [layer["events"]["tiles"] for layer in layers if layer["kind"] == "matrix"] == [
        *(2, 10, 10, 20, 40, 76, 152, 8)
    ]
    assert sum(tiles) == 322


@pytest.mark.parametrize("run", RUNS)
def test_ac_mn_2_area_latency_and_energy(run):
    found = report(getattr(networks, run["network"])(), **run["parameters"])
    total, parts = found.total, found.components
    assert total.area * 1e12 == pytest.approx(float(run["area_um2"]), rel=1e-9)
    assert total.time * 1e9 == pytest.approx(float(run["latency_ns"]), rel=1e-9)
    assert total.energy * 1e9 == pytest.approx(float(run["energy_nj"]), rel=1e-9)
    assert parts["adc"].energy * 1e9 == pytest.approx(float(run["adc_nj"]), rel=1e-9)
    assert sum(layer.events.get("pes", 0) for layer in found.layers) == run["pes"]
    for name in ("array", "dac", "buffers"):
        assert to_the_last_digit(parts[name].energy * 1e9, run[f"{name}_nj"])
    digital = sum(parts[name].energy for name in DIGITAL) * 1e9
    assert to_the_last_digit(digital, run["digital_nj"])


def test_ac_mn_4_two_bits_a_cell_halve_the_pes_of_every_layer():
    one, two = (report(networks.vgg8(), cell_bits=bits) for bits in (1, 2))
    for before, after in zip(one.layers, two.layers, strict=True):
        assert before.events.get("pes", 0) == 2 * after.events.get("pes", 0)
    assert two.total.area < one.total.area


def test_ac_mn_4_every_cell_of_a_slice_varies_on_its_own():
    config = memcore.CrossbarConfig(
        device="ideal",
        mapper={"name": "bit_slice", "weight_bits": 9, "slice_bits": 1},
        nonidealities=[{"name": "d2d", "std": 0.1}],
    )
    cells = memcore.convert(nn.Linear(64, 64, bias=False), config).crossbar.conductance
    assert cells.shape == (16, 64, 64)
    assert all(len(slice_.unique()) > 4000 for slice_ in cells)


def test_energy_of_the_adc_has_a_closed_form():
    """tiles * PEs * ceil(col / m) * P * positions * ceil(b_a / b_DAC) * n_c * (b + 2) / f."""
    found = report(nn.Sequential(nn.Conv2d(3, 200, 3, stride=2)), activation_bits=7)
    positions, tiles, pes, columns = 15 * 15, 2, 4, 100
    expected = tiles * pes * columns * 1.26e-3 * positions * 7 * 2 * (6 + 2) / 1e9
    assert found.components["adc"].energy == pytest.approx(expected)


class Block(nn.Module):
    """A residual block with a branch of its own."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1)
        self.second = nn.Conv2d(after, after, 3, 1, 1)
        self.branch = nn.Conv2d(before, after, 1, stride)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + self.branch(x))


def residual() -> nn.Module:
    head = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*head, Block(16, 32, 2), Block(32, 64, 2), *tail)


@pytest.mark.parametrize("network", [networks.lenet, residual])
@pytest.mark.parametrize("pipelined", [True, False])
def test_positions_begin_when_their_inputs_are_there(network, pipelined, monkeypatch):
    """The time of the whole against a loop over all positions."""
    lastings, works = [], []
    ends = _mnsim.ends

    def noted(ready, lasting):
        lastings.append(lasting)
        return ends(ready, lasting)

    monkeypatch.setattr(_mnsim, "ends", noted)
    found = report(network(), pipelined=pipelined)
    works = found.layers[0].work.network
    done = []
    for work, lasting in zip(works, lastings, strict=True):
        now, own = 0.0, []
        for position, duration in enumerate(lasting):
            for source in work.sources:
                needed = done[source][-1]
                if pipelined and work.size:
                    needed = done[source][last_needed(work, position)]
                now = max(now, needed)
            now += duration
            own.append(now)
        done.append(own)
    assert found.total.time == pytest.approx(done[-1][-1] * 1e-9)


def last_needed(work, position: int) -> int:
    if work.kind == "sum":
        return position
    (height, width), (_, across) = work.size, work.out_size
    i, j = divmod(position, across)
    (k, _), (s, _), p = work.kernel, work.stride, work.padding[0]
    row = min(max(k - p, 1) + s * i, height) - 1
    return row * width + min(max(k - p, 1) + s * j, width) - 1


def test_a_pipeline_is_faster_and_costs_the_same_conversions():
    one, other = (report(networks.lenet(), pipelined=how) for how in (True, False))
    assert one.total.time < other.total.time
    assert one.components["adc"].energy == other.components["adc"].energy


def test_a_residual_network_has_its_sums_without_tiles():
    found = report(residual())
    kinds = [work.kind for work in found.layers[0].work.network]
    assert kinds.count("sum") == 2
    assert kinds.count("pool") == 1
    assert all("sum" not in layer.name for layer in found.layers)


def test_tiles_lie_along_the_borders_of_growing_squares():
    places = [_mnsim._place(number) for number in range(64)]
    assert sorted(places) == [(row, col) for row in range(8) for col in range(8)]
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in pairwise(places))


def test_smaller_arrays_have_sub_arrays_of_their_size():
    small = report(networks.lenet(), array=(128, 128))
    same = report(networks.lenet(), array=(128, 128), sub_array_rows=128)
    assert small.total == same.total
    assert small.layers[-1].events["tiles"] == report(networks.lenet()).layers[-1].events["tiles"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(memcore.ConfigError, match=r"needs 322 tiles, the chip has 8 x 8"):
        report(networks.vgg8(), grid=8)
    with pytest.raises(memcore.ConfigError, match=r"kernel of 289 positions, an array 256 word"):
        report(nn.Conv2d(3, 4, 17))
    with pytest.raises(memcore.UnknownComponentError, match=r"'mnsim_17'.*did you mean 'mnsim_"):
        report(networks.lenet(), adc="mnsim_17")
    with pytest.raises(memcore.ConfigError, match=r"'neurram_neuron' or .* has no number of bits"):
        report(networks.lenet(), adc="neurram_neuron")


def test_networks_that_want_larger_buffers_are_named():
    """Windows of 500 columns of 40 channels in 9 bits are 66 KB, for sixteen PEs."""
    wide = nn.Conv2d(40, 8, 3, padding=1)
    with pytest.warns(memcore.MemcoreWarning, match=r"moves 4\.12 KB .* the tables hold 2 KB"):
        memcore.cost(wide, torch.zeros(1, 40, 8, 500), model="mnsim")


def test_two_images_take_twice_the_time_and_energy():
    one, two = (
        memcore.cost(networks.lenet(), x, model="mnsim").total for x in (X, X.expand(2, -1, -1, -1))
    )
    assert math.isclose(two.time, 2 * one.time)
    assert math.isclose(two.energy, 2 * one.energy)
    assert two.area == one.area
