"""The floorplan of NeuroSim against one of its runs."""

import json
import math
from pathlib import Path

import pytest
import torch
from memcore_plugins.costs.neurosim_floorplan import NeurosimFloorplan
from memcore_plugins.networks import neurosim_vgg8

import memcore
from memcore.tables import scaling

ORACLE = json.loads((Path(__file__).parents[1] / "oracles/systems/neurosim.json").read_text())


def report(**parameters):
    x = torch.zeros(1, 3, 32, 32)
    return memcore.cost(neurosim_vgg8(), x, model="neurosim_floorplan", **parameters)


@pytest.mark.parametrize("name", ["A", "D"])
def test_ac_ns_2_sub_arrays_area_and_efficiency(name):
    run = ORACLE["runs"][name]
    found = report(rows_at_once=run["rows_at_once"])
    assert sum(layer.events["sub_arrays"] for layer in found.layers) == ORACLE["sub_arrays"]
    assert float(f"{found.components['cells'].area * 1e12:.6g}") == run["array_um2"]
    operations = sum(layer.events["operations"] for layer in found.layers)
    assert operations == 1_231_835_136
    latency = run["latency_ns"] * 1e-9
    assert operations / latency * 1e-12 == pytest.approx(run["tops"], rel=1e-4)
    dynamic, leakage = run["dynamic_pj"] * 1e-12, run["leakage_uw"] * 1e-6
    tops_w = NeurosimFloorplan.efficiency(operations, dynamic, leakage, latency) * 1e-12
    assert tops_w == pytest.approx(run["tops_w"], rel=1e-4)


@pytest.mark.parametrize("parameters", [{}, {"pipelined": False}, {"cell": "1t1r", "cell_bits": 2}])
def test_ac_ns_3_the_report_adds_up(parameters):
    found = report(**parameters).to_json()
    for figure in ("energy", "time", "area"):
        layers = [layer[figure] for layer in found["layers"]]
        assert math.isclose(sum(layers), found["total"][figure], rel_tol=1e-9)
        for layer in found["layers"]:
            parts = sum(part[figure] for part in layer["components"].values())
            assert math.isclose(parts, layer[figure], rel_tol=1e-9, abs_tol=0.0)


def test_layers_keep_up_with_the_first():
    found = report()
    works = [layer.work for layer in found.layers]
    copies = [layer.events["speed_up"] for layer in found.layers]
    # The smallest image is a quarter of the first: at most (32 / 8)^2 copies.
    assert copies[0] == 16
    for work, count in zip(works, copies, strict=True):
        assert work.positions / count <= 64


def test_fewer_rows_at_once_take_more_conversions():
    one, four = (report(rows_at_once=rows).components["adc"] for rows in (128, 32))
    assert four.energy == pytest.approx(4 * one.energy)
    assert four.area == one.area


def test_more_bits_in_a_cell_take_fewer_columns():
    one, two = (report(cell_bits=bits) for bits in (1, 2))
    assert two.components["adc"].energy == pytest.approx(one.components["adc"].energy / 2)
    assert two.total.area < one.total.area


def test_components_of_another_node_are_carried_over_by_a_rule_with_a_name():
    found = report()
    factors = scaling.stillmaker_baas(32e-9, 22e-9)
    conversions = sum(layer.events["conversions"] for layer in found.layers)
    adc = memcore.components["isaac_adc_5b"]
    assert found.components["adc"].energy == pytest.approx(
        conversions * factors.energy * adc.energy
    )
    assert "scaled from 32 nm by stillmaker17" in found.components["adc"].source
    with pytest.raises(memcore.ConfigError, match=r"'isaac_adc_5b' is of 32 nm, node=2.2e-08; .*s"):
        report(scaling="none")
    same = report(scaling="none", node=32e-9, adc="mnsim_7")
    assert same.components["adc"].source == "mnsim"


def test_cells_of_sram_are_known_down_to_22_nm():
    with pytest.raises(memcore.ConfigError, match=r"known for 22 nm and above; expected a larger"):
        report(node=14e-9)
    small, large = (report(node=node, cell="1t1r").components["cells"] for node in (7e-9, 14e-9))
    assert large.area == pytest.approx(4 * small.area)
