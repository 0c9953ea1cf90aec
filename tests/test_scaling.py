"""Components at another technology node."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError
from memcore.tables import scaling

NODES = (130, 90, 65, 45, 32, 20, 16, 14, 10, 7)


def test_factors_of_areas_are_those_of_the_table():
    text = (Path(scaling.__file__).parent / "scaling.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        for node in NODES:
            found = scaling.stillmaker_baas(float(row["node_m"]), node * 1e-9)
            assert found.area == pytest.approx(float(row[str(node)]), rel=1e-9)


def test_energies_follow_the_polynomial_at_one_supply():
    found = scaling.stillmaker_baas(45e-9, 7e-9)
    small = 0.1776 * 0.64 - 0.09097 * 0.8 + 0.02447
    assert found.energy == pytest.approx(small / (1.103 * 0.64 - 0.362 * 0.8 + 0.2767), rel=1e-9)


def test_smaller_nodes_take_less_and_the_way_back_undoes_it():
    energies = [scaling.stillmaker_baas(130e-9, node * 1e-9).energy for node in (*NODES, 28, 40)]
    assert energies[:10] == sorted(energies[:10], reverse=True)
    assert energies[4] > energies[10] > energies[5]  # 28 nm lies between 32 and 20
    assert energies[3] > energies[11] > energies[4]  # 40 nm lies between 45 and 32
    for one, other in ((130, 7), (65, 28), (40, 22), (90, 90)):
        down = scaling.stillmaker_baas(one * 1e-9, other * 1e-9)
        up = scaling.stillmaker_baas(other * 1e-9, one * 1e-9)
        assert down.energy * up.energy == pytest.approx(1.0)
        # The published factors of areas have two digits.
        assert down.area * up.area == pytest.approx(1.0, rel=0.05)


def test_a_scaled_component_says_what_it_was():
    adc = memcore.components["mnsim_6"]
    found = memcore.scaled(adc, 20e-9)
    factors = scaling.stillmaker_baas(adc.technology, 20e-9)
    assert found.power == pytest.approx(adc.power * factors.energy)
    assert found.area == pytest.approx(adc.area * factors.area)
    assert (found.rate, found.technology, found.leakage) == (adc.rate, 20e-9, None)
    assert "scaled from 40 nm by stillmaker17" in found.source
    assert memcore.components.cite("stillmaker17").startswith("@article")
    assert memcore.scaled(adc, adc.technology).energy_of_use == adc.energy_of_use


@pytest.mark.parametrize(
    ("name", "node", "rule", "words"),
    [
        ("mnsim_6", 5e-9, "stillmaker_baas", r"node 5 nm has no scaling factors; .* 7 to 130 nm"),
        ("mnsim_6", 32e-9, "stillmaker", r"did you mean 'stillmaker_baas'"),
        ("mnsim_7", 32e-9, "stillmaker_baas", r"'mnsim_7' has no node in its source"),
    ],
)
def test_what_cannot_be_scaled_is_named(name, node, rule, words):
    with pytest.raises(ConfigError, match=words):
        memcore.scaled(memcore.components[name], node, rule)


def test_what_is_no_component_or_no_node_is_named():
    with pytest.raises(ConfigError, match="component='mnsim_6'; expected a Component"):
        memcore.scaled("mnsim_6", 32e-9)
    with pytest.raises(ConfigError, match="node='32 nm'; expected a finite number of m > 0"):
        memcore.scaled(memcore.components["mnsim_6"], "32 nm")


def chip(**parameters):
    layer, x = nn.Linear(20, 5), torch.rand(4, 20)
    uniform = {"name": "uniform", "bits": 8}
    config = memcore.CrossbarConfig(device="ideal", dac=uniform, adc=uniform)
    return memcore.cost(layer, x, crossbar=config, **parameters)


def test_components_of_another_node_need_a_rule_by_name():
    with pytest.raises(ConfigError, match=r"'isaac_shift_add' is of 32 nm, node=2e-08; .*scaling="):
        chip(node=20e-9)
    before, after = chip(), chip(node=20e-9, scaling="stillmaker_baas")
    factors = scaling.stillmaker_baas(32e-9, 20e-9)
    adc, other = before.components["adc"], after.components["adc"]
    assert other.energy == pytest.approx(factors.energy * adc.energy)
    assert other.area == pytest.approx(factors.area * adc.area)
    assert "scaled from 32 nm by stillmaker17" in other.source


def test_digital_logic_of_the_same_node_stands_beside_it():
    macs, unit = 4 * 20 * 5, 0.23e-12
    at_32 = chip()
    factor = scaling.stillmaker_baas(45e-9, 32e-9).energy
    assert at_32.digital_energy == pytest.approx(macs * unit * factor)
    assert "digital 8-bit logic at 32 nm (horowitz14, scaled from 45 nm" in str(at_32)
    at_20 = chip(node=20e-9, scaling="stillmaker_baas")
    assert at_20.digital_energy < at_32.digital_energy
    mixed = memcore.cost(nn.Linear(20, 5), torch.rand(4, 20), model="mnsim")
    assert mixed.digital_energy == pytest.approx(macs * unit)
    assert mixed.to_json()["digital"]["technology"] == 45e-9
