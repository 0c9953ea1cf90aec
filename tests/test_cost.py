"""What a network costs: layers from shapes, components, sums, sources, the command line."""

import json
import math
import re

import pytest
import torch
from click.testing import CliRunner
from memcore_plugins.costs._adc import adc_energies, closed_form
from memcore_plugins.costs.components import ComponentsCost
from torch import nn

import memcore
from memcore import CrossbarConfig
from memcore.cli.main import main
from memcore.nn.tracing import traced

X = memcore.Stream(5).normal((8, 2, 6, 6)).float()
SYSTEMS = ("mnsim", "puma", "pipelayer", "neurosim_floorplan", "isaac", "neurram")
CONVERTERS = {"dac": {"name": "uniform", "bits": 6}, "adc": {"name": "uniform", "bits": 7}}


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*head, nn.Flatten(), nn.Linear(36, 5)).eval()


def chip(**settings) -> nn.Module:
    config = CrossbarConfig(**{"device": "ideal", **CONVERTERS, "tile": (16, 16), **settings})
    return memcore.convert(network(), config, calibration=X)


def command(*words: str):
    return CliRunner().invoke(main, list(words))


# -- layers from shapes ----------------------------------------------------------------------------


def test_layers_of_a_network_and_where_their_inputs_come_from():
    conv, pool, linear = traced(network(), X).layers
    assert (conv.kind, conv.rows, conv.cols, conv.positions) == ("matrix", 18, 4, 36)
    assert (conv.size, conv.out_size, conv.padding, conv.sources) == ((6, 6), (6, 6), (1, 1), ())
    assert (pool.kind, pool.channels, pool.kernel, pool.sources) == ("pool", 4, (2, 2), (0,))
    assert (linear.rows, linear.cols, linear.positions, linear.sources) == (36, 5, 1, (1,))
    assert conv.macs == 8 * 36 * 18 * 4


def test_a_converted_network_has_the_layers_of_the_digital_one():
    assert traced(chip(), X) == traced(network(), X)


def test_tracing_changes_nothing():
    model = chip()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    y = model(X)
    traced(model, X)
    assert torch.equal(model(X), y)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        y = self.shared(torch.relu(self.first(x)))
        y += x
        return self.shared(y) + self.first(x) @ self.first.weight


def test_sums_shared_layers_and_products_outside_of_layers_are_seen():
    found = traced(Branches(), torch.zeros(3, 6))
    names = [layer.name for layer in found.layers]
    assert names == ["first", "shared", "shared_2", "first_2", "sum_1"]
    assert [layer.repeated for layer in found.layers] == [False, False, True, True, False]
    assert found.elsewhere == 1
    assert found.layers[-1].sources == (2, 3)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_matrices_of_a_recurrent_layer_are_read_at_each_step(kind):
    layer = kind(5, 7, 2, bidirectional=True, batch_first=True)
    found = traced(layer, torch.zeros(3, 11, 5)).layers
    weights = {name: weight for name, weight in layer.named_parameters() if weight.dim() == 2}
    assert {work.name: (work.cols, work.rows) for work in found} == {
        name: tuple(weight.shape) for name, weight in weights.items()
    }
    assert {(work.positions, work.inputs) for work in found} == {(11, 3)}
    report = memcore.cost(layer, torch.zeros(3, 11, 5), model="puma")
    assert len(report.layers) == len(weights)


def test_matrices_of_attention_are_found_and_its_products_of_activations_named():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    found = traced(layer, torch.zeros(2, 5, 16))
    matrices = [work for work in found.layers if work.kind == "matrix"]
    assert {work.name: (work.rows, work.cols, work.positions) for work in matrices} == {
        **{f"self_attn.{name}": (16, 16, 5) for name in ("q_proj", "k_proj", "v_proj", "out_proj")},
        "linear1": (16, 32, 5),
        "linear2": (32, 16, 5),
    }
    assert found.elsewhere == 2
    assert memcore.cost(layer, torch.zeros(2, 5, 16), model="mnsim").total.time > 0
    digital = memcore.cost(layer, torch.zeros(2, 5, 16), model="puma")
    assert "2 matrix products outside of layers" in digital.leaves_out
    chip = memcore.convert(layer, CrossbarConfig(device="ideal"))
    assert memcore.cost(chip, torch.zeros(2, 5, 16), model="puma").total == digital.total
    reads = memcore.cost(chip, torch.zeros(2, 5, 16), model="array")
    assert [each.name for each in reads.layers] == [each.name for each in digital.layers]


def test_keys_and_values_of_another_length_and_by_keyword():
    layer = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layer

        def forward(self, x, k, v):
            return self.inner(x, k, value=v)[0]

    batch = [(torch.zeros(2, 3, 8), torch.zeros(2, 7, 6), torch.zeros(2, 7, 4))]
    works = memcore.cost(Crossed(), batch, model="puma").layers
    sizes = [(each.work.rows, each.work.cols, each.work.positions) for each in works]
    assert sizes == [(8, 8, 3), (6, 8, 7), (4, 8, 7), (8, 8, 3)]


def test_tokens_of_a_sequence_are_positions_and_groups_are_counted():
    (tokens,) = traced(nn.Linear(4, 3), torch.zeros(2, 7, 4)).layers
    assert (tokens.positions, tokens.inputs) == (7, 2)
    (conv,) = traced(nn.Conv2d(6, 4, (3, 1), stride=2, groups=2), torch.zeros(1, 6, 9, 9)).layers
    assert (conv.rows, conv.cols, conv.groups, conv.out_size) == (9, 2, 2, (4, 5))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(3, 4, 5, stride=2, padding=3, dilation=2), (2, 3, 17)),
        (nn.Conv2d(4, 6, (3, 5), padding="same", groups=2), (1, 4, 9, 8)),
        (nn.Conv3d(2, 3, 2), (2, 5, 6, 7)),
        (nn.Conv2d(2, 3, 3, padding=(2, 0), padding_mode="circular"), (1, 2, 5, 6)),
        (nn.MaxPool2d(3, 2, 1), (2, 3, 12, 9)),
        (nn.MaxPool2d(2, ceil_mode=True), (1, 3, 7, 7)),
        (nn.MaxPool2d(2, 3, 1, ceil_mode=True), (1, 3, 7, 6)),
        (nn.MaxPool3d(2, dilation=2), (1, 3, 7, 6, 8)),
        (nn.Linear(3, 4), (2, 5, 3)),
    ],
    ids=repr,
)
def test_shapes_by_arithmetic_are_those_that_torch_computes(layer, shape):
    from memcore.nn.shapes import by_shape_alone, largest

    x = torch.zeros(shape)
    wanted = layer(x).shape
    if "Pool" in type(layer).__name__:
        found = largest(
            *(x, nn.modules.utils._ntuple(len(shape) - 2)(layer.kernel_size), layer.stride),
            *(layer.padding, layer.dilation, layer.ceil_mode),
        )[0]
    else:
        by_shape_alone(layer)
        found = layer(x)
    assert found.shape == wanted


def test_what_depends_on_values_cannot_be_followed():
    class Silent(nn.Linear):
        def forward(self, x):
            raise ValueError

    with pytest.raises(memcore.ConversionError, match="cannot be followed: ValueError; expected"):
        memcore.cost(Silent(3, 2), torch.ones(1, 3), model="puma")

    class Fickle(nn.Linear):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > 0 else x

    with pytest.raises(memcore.ConversionError, match=r"shapes of Fickle cannot be followed"):
        memcore.cost(Fickle(3, 2), torch.ones(1, 3), model="puma")


# -- reports ---------------------------------------------------------------------------------------


def every_report():
    yield memcore.cost(chip(), X)
    yield memcore.cost(chip(), X, model="array")
    for name in SYSTEMS:
        yield memcore.cost(network(), X, model=name)


@pytest.mark.parametrize("report", list(every_report()), ids=lambda report: report.model)
def test_a_report_adds_up_names_its_sources_and_says_what_it_leaves_out(report):
    plain = report.to_json()
    for figure in ("energy", "time", "area"):
        layers = [layer[figure] for layer in plain["layers"]]
        assert math.isclose(sum(layers), plain["total"][figure], rel_tol=1e-9)
        for layer in plain["layers"]:
            parts = [part[figure] for part in layer["components"].values()]
            assert math.isclose(sum(parts), layer[figure], rel_tol=1e-9)
            assert all(part >= 0 for part in parts)
        assert plain["total"][figure] > 0
    assert plain["total"]["energy_low"] <= plain["total"]["energy"] * (1 + 1e-12)
    assert plain["total"]["energy_high"] >= plain["total"]["energy"] * (1 - 1e-12)
    assert plain["not_modelled"]
    assert json.loads(json.dumps(plain)) == plain
    assert "not modelled: " in str(report)
    assert "digital 8-bit logic" in str(report)
    known = {component.source for component in memcore.components.values()}
    if report.model not in ("array", "components"):
        for layer in plain["layers"]:
            for part in layer["components"].values():
                source = part["source"].removesuffix(", scaled from 32 nm by stillmaker17")
                assert source in known | {"cell areas in F^2"}


@pytest.mark.parametrize("model", SYSTEMS)
def test_a_system_prices_a_converted_network_as_the_digital_one(model):
    digital, converted = (memcore.cost(n, X, model=model).total for n in (network(), chip()))
    assert converted == digital


def test_a_model_of_arrays_needs_arrays():
    with pytest.raises(memcore.ConversionError, match="no memristive layer"):
        memcore.cost(network(), X)
    config = CrossbarConfig(device="ideal", **CONVERTERS)
    assert memcore.cost(network(), X, crossbar=config).total.energy > 0


def test_a_crossbar_that_is_no_configuration_is_named():
    with pytest.raises(memcore.ConfigError, match="crossbar='x'; expected a CrossbarConfig"):
        memcore.cost(network(), X, crossbar="x")


def test_a_network_without_layers_is_refused():
    with pytest.raises(memcore.ConversionError, match="this ReLU has no layer that 'isaac' can"):
        memcore.cost(nn.ReLU(), X, model="isaac")


def test_inputs_of_a_wrong_shape_are_named():
    with pytest.raises(memcore.ConversionError, match="expected inputs that fit the network"):
        memcore.cost(network(), torch.zeros(1, 3, 6, 6), model="isaac")


def test_a_shared_layer_is_paid_for_once_and_works_twice():
    once = memcore.cost(nn.Linear(6, 6), torch.zeros(1, 6), model="isaac").total
    shared = nn.Linear(6, 6)
    twice = memcore.cost(nn.Sequential(shared, shared), torch.zeros(1, 6), model="isaac").total
    assert twice.area == once.area
    assert twice.energy == pytest.approx(2 * once.energy)


def test_a_model_of_a_third_party_needs_an_estimate_only():
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Flat(memcore.CostModel):
        def estimate(self, activity, array):
            return memcore.Cost(energy=activity.reads * 1e-12, time=activity.reads * 1e-9)

    report = memcore.cost(chip(), X, model=Flat())
    assert report.total.energy == pytest.approx(
        1e-12 * sum(layer.events["reads"] for layer in report.layers)
    )


@pytest.mark.parametrize("per", ["output", "column"])
def test_a_digital_network_has_the_conversions_of_the_converted_one(per):
    settings = {"device": "ideal", **CONVERTERS, "tile": (16, 16), "adc_per": per}
    config = CrossbarConfig(**settings, rows_at_once=5)
    shapes = memcore.cost(network(), X, crossbar=config)
    arrays = memcore.cost(memcore.convert(network(), config, calibration=X), X)
    for one, other in zip(shapes.layers, arrays.layers, strict=True):
        assert one.events == other.events
        for name in ("adc_conversions", "dac_conversions", "bits_out", "bits_in"):
            assert getattr(one.activity, name) == getattr(other.activity, name)
        # What the ADC rounds reaches the layers behind.
        assert one.activity.dissipation == pytest.approx(other.activity.dissipation, rel=0.05)
    assert shapes.total.area == arrays.total.area


# -- the default model -----------------------------------------------------------------------------


def test_components_are_counts_times_figures():
    report = memcore.cost(chip(), X)
    parts, table = report.components, memcore.components
    done = [layer.activity for layer in report.layers]
    conversions = sum(each.conversions for each in done)
    assert parts["adc"].energy == pytest.approx(conversions * 1.42e-12)
    assert parts["dac"].energy == pytest.approx(
        sum(each.dac_conversions[6] for each in done) * table["mnsim_dac_6b"].energy_of_use
    )
    assert parts["shift_add"].energy == pytest.approx(
        sum(each.shift_adds for each in done) * 0.021e-12
    )
    assert parts["cells"].energy == pytest.approx(sum(each.dissipation for each in done) * 1e-7)
    moved = sum(each.bits_in + each.bits_out for each in done)
    assert parts["buffer"].energy == pytest.approx(moved * 20.45e-12 / 256)


def test_a_conversion_by_table_by_survey_and_by_closed_form():
    every = adc_energies(8)
    assert min(every.values()) == 0.145e-12
    assert every["closed form, 28 nm"] == pytest.approx((8 * 100e-15 + 4**8 * 1e-18) * 0.81)
    assert max(every.values()) / min(every.values()) > 7
    table, survey, closed = (
        memcore.cost(chip(), X, adc_from=which).components["adc"]
        for which in ("table", "survey", "closed_form")
    )
    count = table.energy / 1.42e-12
    assert survey.energy == pytest.approx(count * 1.31e-12)
    assert closed.energy == pytest.approx(count * closed_form(7))
    assert table.lowest == survey.lowest
    assert table.lowest <= closed.energy < table.energy < table.highest


def test_bits_or_nodes_that_no_table_has_are_named():
    odd = {"adc": {"name": "uniform", "bits": 12}}
    with pytest.raises(memcore.UnknownComponentError, match="'isaac_adc_12b'"):
        memcore.cost(chip(**odd), X)
    with pytest.raises(memcore.ConfigError, match=r"'isaac_shift_add' is of 32 nm, node=2.8e-08"):
        memcore.cost(chip(), X, node=28e-9)


def test_one_component_prices_converters_of_any_bits():
    odd = {"adc": {"name": "uniform", "bits": 12}}
    own = memcore.Component(name="mine", kind="adc", energy=5e-12, area=1e-9, source="lab")
    part = memcore.cost(chip(**odd), X, adc=own).components["adc"]
    count = sum(layer.events["conversions"] for layer in memcore.cost(chip(), X).layers)
    assert part.energy == pytest.approx(5e-12 * count)
    assert part.source == "lab"
    same = memcore.cost(chip(), X, adc="mnsim_3").components["adc"]
    assert same.energy == pytest.approx(count * 4e-3 / 1.1e9)


def test_exact_reads_have_no_converters_to_pay_for():
    exact = memcore.cost(network(), X, crossbar=CrossbarConfig(device="ideal"))
    assert exact.components["adc"].energy == exact.components["adc"].area == 0
    assert exact.components["cells"].energy > 0


def test_writing_is_paid_for():
    model = chip(device="vteam", programmer="write_verify")
    with memcore.counting(model) as counts:
        memcore.program(model)
    name, work = next(iter(counts.items()))
    matrix = model.get_submodule(name)
    charges = ComponentsCost().table(
        memcore.LayerWork.of_arrays(work, matrix.crossbar.array(), name)
    )
    assert charges["programming"].energy == work.programming_energy > 0


def test_a_report_says_what_writing_the_cells_took():
    mem = chip(device="vteam", programmer="write_verify")
    report, wanted = memcore.cost(mem, X), memcore.yields.yield_report(mem)
    assert report.writing.programming_energy == pytest.approx(wanted.energy)
    assert report.writing.cells_written == wanted.cells
    plain = report.to_json()
    assert plain["writing"]["time"] == report.writing.programming_time > 0
    assert "writing all cells, beside the total: " in str(report)
    assert "writing all cells" not in str(memcore.cost(chip(), X))  # whose pulses are not simulated


def test_arrays_that_do_not_fit_are_written_in_every_run():
    config = CrossbarConfig(device="vteam", programmer="write_verify", tile=(8, 8), **CONVERTERS)
    mem = memcore.convert(network(), config, calibration=X)
    whole = memcore.cost(mem, X)
    arrays = [layer.work.array.arrays for layer in whole.layers]
    room = sum(arrays) - 2
    small = memcore.cost(mem, X, chip_arrays=room)
    assert memcore.cost(mem, X, chip_arrays=sum(arrays)).total == whole.total
    assert small.total.area < whole.total.area
    # All but the last array of the chip keep their weights; three pass through that one.
    last = small.layers[-1]
    assert [layer.events.get("reloads", 0) for layer in small.layers] == [0, 3]
    written = mem[-1].matrices["weight"].crossbar.written
    reload = last.charges["reload"]
    assert reload.energy == pytest.approx(3 / arrays[-1] * written.energy)
    assert reload.energy > 0
    assert reload.time == pytest.approx(3 / arrays[-1] * written.time)
    read, before = last.charges["cells"], whole.layers[-1].charges["cells"]
    assert read.time == pytest.approx(3 * before.time)
    assert read.energy == before.energy
    assert read.area == pytest.approx(before.area * (arrays[-1] - 2) / arrays[-1])


def test_reloads_without_pulses_are_priced_by_the_table():
    mem = chip()
    small = memcore.cost(mem, X, chip_arrays=1)
    arrays = [layer.work.array for layer in small.layers]
    cells = sum(each.arrays * each.rows * each.cols for each in arrays)
    assert [layer.events["reloads"] for layer in small.layers] == [a.arrays for a in arrays]
    assert small.components["reload"].energy == pytest.approx(3.91e-9 * cells)
    assert small.components["reload"].source == "pipelayer17"


# -- command line ----------------------------------------------------------------------------------


def test_the_command_finds_a_module_beside_it(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Linear(9, 4)\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ("cost", "mynet:build", "--input", "2x9", "--model", "mnsim")
    done = command(*words, "--set", "adc=mnsim_7", "--set", "array=128x128", "--json")
    plain = json.loads(done.stdout)
    assert plain["model"] == "mnsim"
    network = torch.nn.Linear(9, 4)
    same = memcore.cost(network, torch.zeros(2, 9), model="mnsim", adc="mnsim_7", array=(128, 128))
    assert plain == same.to_json()
    assert set(plain["total"]) >= {"energy", "time", "area"}
    (layer,) = plain["layers"]
    assert set(layer) >= {"name", "events", "energy", "time", "area", "components"}
    assert set(layer["components"]["adc"]) >= {"energy", "time", "area", "source"}


def test_the_command_draws_when_layers_work(tmp_path):
    file = tmp_path / "gantt.svg"
    words = ("cost", "memcore_plugins.networks:lenet", "--input", "1x3x32x32", "--model", "mnsim")
    assert command(*words, "--plot", str(file)).exit_code == 0
    assert "pool_1" in file.read_text()


def test_the_default_model_converts_as_the_file_says(tmp_path):
    config = tmp_path / "chip.toml"
    config.write_text('[crossbar]\ndevice = "ideal"\nadc = {name = "uniform", bits = 5}\n')
    words = ("cost", "memcore_plugins.networks:puma_layer", "--input", "3x256", "--json")
    coarse = json.loads(command(*words, "--config", str(config)).stdout)
    fine = json.loads(command(*words).stdout)
    (five,), (eight,) = coarse["layers"], fine["layers"]
    assert five["events"]["conversions"] == eight["events"]["conversions"] == 3 * 2 * 256
    ratio = five["components"]["adc"]["energy"] / eight["components"]["adc"]["energy"]
    assert ratio == pytest.approx(0.99 / 1.67)


def test_none_is_a_word_where_a_parameter_is_one_and_no_value_elsewhere():
    words = ("cost", "memcore_plugins.networks:puma_layer", "--input", "1x256")
    plain = command(*words, "--set", "scaling=none", "--set", "node=none", "--json")
    assert plain.exit_code == 0, plain.output
    failed = command(*words, "--model", "neurosim_floorplan", "--set", "scaling=none")
    assert "'isaac_adc_5b' is of 32 nm, node=2.2e-08" in failed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lenet", "--input", "1x3x32x32"), "expected MODULE:CALLABLE"),
        (("memcore_plugins.networks:vgg99", "--input", "1x3"), "is not found"),
        (("no_such_module:build", "--input", "1x3"), "is not found"),
        (("math:pi", "--input", "1x3"), "expected a torch.nn.Module"),
        (("memcore_plugins.networks:lenet", "--input", "1,3"), "expected a shape such as"),
        (
            ("memcore_plugins.networks:lenet", "--input", "1x3x32x32", "--set", "adc"),
            "expected KEY=VALUE",
        ),
        (
            ("memcore_plugins.networks:lenet", "--input", "1x3x32x32", "--config", "none.toml"),
            "there is no file",
        ),
        (
            ("memcore_plugins.networks:lenet", "--input", "1x3x32x32", "--model", "mnsym"),
            "no cost model named 'mnsym'",
        ),
    ],
)
def test_what_the_command_cannot_use_is_named(words, message):
    done = command("cost", *words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_components_are_listed_searched_and_cited(tmp_path):
    listed = command("components", "isaac_adc", "--kind", "adc").stdout
    assert "1.67 pJ" in listed
    assert "1200 um^2" in listed
    assert "isaac16, Table I" in listed
    assert "@inproceedings{kull13" in command("components", "kull13_adc_8b", "--cite").stdout
    file = tmp_path / "mine.csv"
    file.write_text("name,kind,energy_j,source_key\nmine,adc,3e-12,lab\n")
    assert "3 pJ" in command("components", "mine", "--file", str(file)).stdout
    missing = command("components", "warp", "drive")
    assert missing.exit_code == 2
    assert "one of the kinds" in missing.stderr


@pytest.mark.parametrize(
    ("model", "key", "value", "words"),
    [
        ("components", "cell_area", 25.0, "in square metres, 1 um^2 is 1e-12"),
        ("components", "cell_area", (1e-14, 0.04), "in square metres, 1 um^2 is 1e-12"),
        ("array", "cell_area", 4.096, "in square metres, 1 um^2 is 1e-12"),
        ("array", "cell_area", -1e-14, "in square metres, 1 um^2 is 1e-12"),
        ("array", "read_time", 100.0, "in seconds, 100 ns is 1e-7"),
        ("components", "read_time", 100.0, "in seconds, 100 ns is 1e-7"),
        ("neurosim_floorplan", "conversion_time", 10.0, "in seconds, 100 ns is 1e-7"),
        ("pipelayer", "write_time", 50.88, "in seconds, 100 ns is 1e-7"),
        ("pipelayer", "read_energy", 1.08, "in joules, 1 pJ is 1e-12"),
    ],
)
def test_figures_of_a_cell_in_other_units_are_asked_for_in_si(model, key, value, words):
    with pytest.raises(memcore.ConfigError, match=re.escape(words)):
        memcore.costs[model](**{key: value})
