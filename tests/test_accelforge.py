"""The arrays of a cost report as an architecture that AccelForge reads."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import memcore
from memcore.cli.main import main

yaml = pytest.importorskip("yaml")

CONVERTERS = {"dac": {"name": "uniform", "bits": 6}, "adc": {"name": "uniform", "bits": 7}}
CONFIG = memcore.CrossbarConfig(
    device="vteam", programmer="write_verify", tile=(16, 16), **CONVERTERS
)


class Tagged(yaml.SafeLoader):
    """Nodes as pairs of their tags and their fields."""


Tagged.add_multi_constructor(
    "!", lambda loader, tag, node: (tag, loader.construct_mapping(node, deep=True))
)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 5)).eval()


@pytest.fixture(scope="module")
def report():
    x = memcore.Stream(5).uniform((3, 2, 6, 6)).float()
    return memcore.cost(memcore.convert(network(), CONFIG, calibration=x), x)


@pytest.fixture(scope="module")
def nodes(report):
    loaded = yaml.load(report.to_accelforge(), Loader=Tagged)
    assert set(loaded) == {"arch"}
    return {fields["name"]: (tag, fields) for tag, fields in loaded["arch"]["nodes"]}


def actions(node):
    return {action["name"]: action for action in node[1]["actions"]}


def test_nodes_lead_from_the_buffer_to_the_cells(nodes):
    assert [(tag, name) for name, (tag, _) in nodes.items()] == [
        ("Memory", "buffer"),
        ("Container", "array"),
        ("Toll", "shift_add"),
        ("Toll", "dac"),
        ("Toll", "adc"),
        ("Container", "cell"),
        ("Memory", "weights"),
        ("Compute", "product"),
    ]
    assert nodes["adc"][1]["direction"] == "up"
    assert nodes["dac"][1]["tensors"] == {"keep": "input"}
    spatial = {each["name"]: each["fanout"] for each in nodes["cell"][1]["spatial"]}
    assert spatial == {"columns": 16, "rows": 16}


def test_as_many_actions_as_the_network_takes_cost_what_the_report_says(report, nodes):
    """Counts from the shapes alone: 3 images, 16 positions of a window of 18, 320 inputs."""
    macs = 3 * (16 * 18 * 20 + 320 * 5)
    inputs, sums = 3 * (16 * 18 + 320), 3 * (16 * 20 * 2 + 5 * 20)
    parts = report.components
    for name, count, charge in (
        ("weights", macs, parts["cells"]),
        ("dac", inputs, parts["dac"]),
        ("adc", sums, parts["adc"]),
        ("shift_add", sums, parts["shift_add"]),
        ("buffer", inputs + sums, parts["buffer"]),
    ):
        energy = actions(nodes[name])["read"]["energy"]
        assert count * energy == pytest.approx(charge.energy, rel=1e-9)
    written, weights = report.writing, 18 * 20 + 320 * 5
    assert written.programming_energy > 0
    assert weights * actions(nodes["weights"])["write"]["energy"] == pytest.approx(
        written.programming_energy
    )


def test_areas_of_all_nodes_are_those_of_the_chip(report, nodes):
    arrays = nodes["array"][1]["spatial"][0]["fanout"]
    assert arrays == 2 * 2 + 20 * 1
    total = nodes["buffer"][1]["area"]
    total += arrays * sum(nodes[name][1]["area"] for name in ("adc", "dac", "shift_add"))
    total += arrays * 16 * 16 * nodes["weights"][1]["area"]
    assert total == pytest.approx(report.total.area, rel=1e-9)


def test_each_number_is_one_in_every_version_of_yaml(nodes):
    for tag, fields in nodes.values():
        if tag != "Container":
            assert isinstance(fields["area"], float | int)
            for action in fields["actions"]:
                assert isinstance(action["energy"], float | int)
                assert isinstance(action["latency"], float | int)


def test_the_command_writes_the_architecture(tmp_path):
    file = tmp_path / "arch.yaml"
    words = ["cost", "memcore_plugins.networks:puma_layer", "--input", "1x256"]
    done = CliRunner().invoke(main, [*words, "--accelforge", str(file)])
    assert done.exit_code == 0, done.output
    tags = [tag for tag, _ in yaml.load(file.read_text(), Loader=Tagged)["arch"]["nodes"]]
    assert tags.count("Toll") == 3


def test_a_system_has_no_arrays_to_write():
    with pytest.raises(memcore.ConfigError, match=r"'mnsim' prices a system .*\"components\""):
        memcore.cost(nn.Linear(4, 3), torch.zeros(1, 4), model="mnsim").to_accelforge()
