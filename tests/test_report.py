import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig
from memcore.report.provenance import config_provenance

CONFIG = CrossbarConfig(
    device={"name": "ideal", "r_on": {"lognormal": {"median": 1e4, "sigma": 0.1}}},
    mapper="offset",
    nonidealities=["read_noise", {"name": "stuck_at", "p_lrs": 0.1}, "read_noise"],
    tile=(16, 9),
    adc={"name": "uniform", "full_scale": 1e-3},
)


@pytest.fixture
def mem():
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6, 10)
    )
    return memcore.convert(model, CONFIG, filter_fn=lambda m, name: name != "3")


def test_summary_counts_arrays_cells_and_their_use(mem):
    [layer] = memcore.summary(mem).layers
    assert (layer.name, layer.kind, layer.rows, layer.cols) == ("0", "Conv2d", 18, 6)
    # Each of two groups has 18 inputs on two arrays, 3 outputs and a reference column on one.
    assert (layer.arrays, layer.cells) == (4, 4 * 16 * 9)
    assert layer.utilisation == pytest.approx(2 * 18 * 4 / (4 * 16 * 9))


def test_summary_shows_conductances_and_effects_in_the_order_of_the_user(mem):
    [layer] = memcore.summary(mem).layers
    g = mem[0].crossbar.conductance
    assert (layer.lowest, layer.highest) == (g.min().item(), g.max().item())
    assert layer.effects == ("device(r_on)", "read_noise", "stuck_at", "read_noise_2", "adc")


def test_summary_says_what_stayed_digital_and_why(mem):
    assert memcore.summary(mem).digital == (
        ("1", "no memristive form of BatchNorm2d"),
        ("3", "Linear left out when the model was converted"),
    )


def test_summary_prints_a_table(mem):
    lines = str(memcore.summary(mem)).splitlines()
    assert lines[0].split() == [
        *("layer", "kind", "matrix", "arrays", "cells", "used", "conductance", "effects")
    ]
    assert lines[1].startswith("0      Conv2d  18 x 6  4       576    25 %")
    assert lines[2] == "4 arrays, 576 cells in 1 layers; 64.3 % of the weights are on crossbars"
    assert lines[-1] == "  3: Linear left out when the model was converted"


def test_an_ideal_layer_alone_has_no_effects_and_a_name():
    mem = memcore.convert(nn.Linear(3, 2), CrossbarConfig(device="ideal", tile=None))
    summary = memcore.summary(mem)
    assert summary.cells == 2 * 3 * 2
    assert summary.layers[0].utilisation == 1.0
    row = str(summary).splitlines()[1]
    assert row.startswith("(the model)  Linear  3 x 2")
    assert row.endswith("1e-06 .. 0.0001 S  none")


def test_summary_shows_what_the_wires_take_where_it_is_asked_for():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(1.0)
    ohmic = {"device": {"name": "ideal", "r_on": 1e4, "r_off": 1e12}, "mapper": "offset"}
    wires = {"name": "ir_drop", "word_line": 0.0, "bit_line": 0.0, "driver": 1e3}
    chip = memcore.convert(
        model, {"0": CrossbarConfig(**ohmic, nonidealities=[wires]), "1": CrossbarConfig(**ohmic)}
    )
    first, second = memcore.summary(chip, wires=True).layers
    # A driver of 1 kohm before a cell of 0.1 mS and a reference in the middle of the window.
    assert first.loss.largest == pytest.approx(0.15 / 1.15, rel=1e-3)
    assert second.loss is None
    lines = str(memcore.summary(chip, wires=True)).splitlines()
    assert "wires take" in lines[0]
    assert "at most 13 %" in lines[1]
    assert "nothing" in lines[2]
    assert "wires take" not in str(memcore.summary(chip))


def test_provenance_traces_every_plugin_to_a_distribution_and_its_version(mem):
    entries = memcore.provenance(mem)
    assert [entry["name"] for entry in entries] == [
        *("ideal", "offset", "direct", "read_noise", "stuck_at", "uniform", "conv")
    ]
    for entry in entries:
        assert entry["distribution"] == "memcore"
        assert entry["version"] == memcore.__version__
        assert {"kind", "origin", "parameters"} <= set(entry)


def test_provenance_writes_every_parameter_out(mem):
    by_name = {entry["name"]: entry["parameters"] for entry in memcore.provenance(mem)}
    assert by_name["ideal"]["r_on"] == {"lognormal": {"median": 1e4, "sigma": 0.1}}
    assert by_name["ideal"]["r_off"] == 1e6
    assert by_name["stuck_at"]["p_lrs"] == 0.1
    assert by_name["stuck_at"]["p_hrs"] == 0.0
    assert by_name["uniform"]["bits"] == 8


def test_a_plugin_without_a_distribution_is_named_by_its_address():
    crossbar = memcore.Crossbar(torch.ones(2, 2), wires=memcore.Wires(word_line=1.0))
    entries = config_provenance(crossbar.config)
    assert [entry["kind"] for entry in entries] == ["devices", "nonidealities"]
    assert entries[1]["name"] == "memcore.crossbar.given:GivenCircuit"
