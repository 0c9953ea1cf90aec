"""Networks read through sense amplifiers: each sum of a unit is told by a table."""

import copy
import json

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, LogNormal, SumTable, sensing_table
from memcore.sensing import sensed_product
from memcore.testing.layer_case import LayerCase

DAC = {"name": "bit_serial", "bits": 6, "signed": "twos_complement", "full_scale": 3.875}
MAPPER = {
    "name": "bit_slice",
    "weight_bits": 6,
    "slice_bits": 1,
    "encoding": "twos_complement",
    "w_max": 31 / 16,
}


def config(adc="sense_table", **settings):
    given = {
        "device": memcore.devices["ideal"](r_on=1e4, r_off=1e5),
        "dac": DAC,
        "mapper": MAPPER,
        "adc": adc,
        "rows_at_once": 4,
        "tile": None,
        **settings,
    }
    return memcore.CrossbarConfig(**given)


def example():
    """Inputs of 3 integer and 3 fraction bits, a layer with weights of 2 and 4, in 20 rows."""
    i = torch.arange(20.0)
    x = torch.stack([((7 * i + 3 * c) % 13 - 6) / 4 for c in range(3)])
    layer = nn.Linear(20, 1, bias=False)
    layer.weight.data = ((((5 * i) % 11) - 5) / 8).unsqueeze(0)
    return x, layer


def write(path, told, rows):
    nested = [[told(v) for v in range(n + 1)] for n in range(1, rows + 1)]
    path.write_text(json.dumps(nested))
    return str(path)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))


FREE = {"dac": {"name": "bit_serial", "bits": 6, "signed": "twos_complement"}}
FREE["mapper"] = {**MAPPER, "w_max": None}


@pytest.fixture
def images():
    return torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(1)) - 0.3


# -- composition -----------------------------------------------------------------------------------


def test_ac_dl_5_a_table_file_that_loses_one_gives_the_published_outputs(tmp_path):
    x, layer = example()
    path = write(tmp_path / "x.json", lambda v: [max(v - 1, 0)], 4)
    model = memcore.convert(layer, config({"name": "sense_table", "table": path}))
    assert model(x).flatten().tolist() == [-1.125, 1.21875, 2.90625]


@pytest.mark.parametrize("rows", [1, 4, 9, 20])
def test_cells_that_do_not_differ_give_the_product(rows):
    x, layer = example()
    model = memcore.convert(layer, config(rows_at_once=rows))
    assert torch.equal(model(x), layer(x))


@pytest.mark.parametrize(
    ("encoding", "adc_per"),
    [
        ("twos_complement", "output"),
        ("offset", "output"),
        ("offset", "column"),
        ("differential", "column"),
    ],
)
@pytest.mark.parametrize("tile", [None, (10, 8)])
def test_sums_told_right_are_the_bit_serial_product(encoding, adc_per, tile, images):
    model = network()
    settings = {**FREE, "mapper": {**FREE["mapper"], "encoding": encoding}, "tile": tile}
    clean = memcore.convert(model, config(None, **settings), calibration=images)
    told = memcore.convert(model, config(adc_per=adc_per, **settings), calibration=images)
    torch.testing.assert_close(told(images), clean(images))


@torch.no_grad()
def test_a_layer_draws_what_the_stand_alone_product_draws_on_average():
    torch.manual_seed(0)
    x, layer = torch.rand(1, 20) * 3, nn.Linear(20, 1, bias=False)
    layer.weight.data = ((layer.weight.data / layer.weight.data.abs().max()) * 31).round() / 16
    model = memcore.convert(layer, config({"name": "sense_table", "spread": 0.3}))
    table = sensing_table(config().device, rows=4, read_voltage=0.2, spread=LogNormal(1.0, 0.3))
    many = x.expand(20_000, -1)
    y = model(many)
    form = {"inputs": (3, 3), "weights": (2, 4), "rows": 4, "table": table}
    z = sensed_product((many * 8).round() / 8, layer.weight.data.t().contiguous(), **form)
    assert y.std() > 0.05
    assert abs(float(y.mean() - z.mean())) < 5 * float(y.std()) / 20_000**0.5 * 2**0.5
    assert float(y.std()) == pytest.approx(float(z.std()), rel=0.05)


# -- draws -----------------------------------------------------------------------------------------


def test_each_read_draws_anew_and_the_same_chip_draws_the_same(images):
    told = {"name": "sense_table", "spread": 0.4}
    one, two, other = (
        memcore.convert(network(), config(told, **FREE), calibration=images, seed=seed)
        for seed in (0, 0, 1)
    )
    first = one(images)
    assert torch.equal(first, two(images))
    assert not torch.equal(first, one(images))
    assert not torch.equal(first, other(images))


def test_a_read_draws_the_same_whichever_reads_come_with_it(images):
    told = {"name": "sense_table", "spread": 0.4}
    layer = nn.Linear(32, 5)
    x = images.flatten(1)
    one, two = (
        memcore.convert(layer, config(told, **FREE), calibration=x, seed=0) for _ in range(2)
    )
    whole = one(x)
    assert torch.equal(torch.cat([two(x[:2]), two(x[2:2]), two(x[2:])]), whole)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_table_keeps_its_precision_in_a_network_of_another_one(images, dtype):
    told = {"name": "sense_table", "spread": 0.4}
    mem = memcore.convert(nn.Linear(32, 5), config(told, **FREE), calibration=images.flatten(1))
    x = images.flatten(1).to(dtype)
    other = copy.deepcopy(mem).to(dtype)
    assert torch.equal(other.crossbar.output.form.threshold, mem.crossbar.output.form.threshold)
    assert other(x).dtype == dtype
    other.crossbar.training_reads.zero_()
    if dtype == torch.float64:
        torch.testing.assert_close(other(x).float(), mem(x.float()), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_smaller_spread_and_a_smaller_unit_err_less(images):
    def error(spread, rows):
        told = {"name": "sense_table", "spread": spread}
        chosen = config(told, rows_at_once=rows, **FREE)
        clean = memcore.convert(network(), config(**FREE), calibration=images)
        model = memcore.convert(network(), chosen, calibration=images)
        return float((model(images) - clean(images)).square().mean())

    assert error(0.4, 9) > 2 * error(0.2, 9) > 0
    assert error(0.2, 9) > 2 * error(0.2, 2)
    assert error(1e-3, 9) < 1e-9, "without spread nothing errs, so nothing was compared"


def test_effects_and_drawn_parameters_of_the_cells_are_in_the_table(images):
    exact = memcore.convert(network(), config(**FREE), calibration=images)(images)
    noisy = {"name": "read_noise", "relative": 0.3}
    device = memcore.devices["ideal"](r_on=memcore.Normal(1e4, 3e3, min=4e3), r_off=1e5)
    for settings in ({"nonidealities": [noisy]}, {"nonidealities": ["d2d"]}, {"device": device}):
        model = memcore.convert(network(), config(**FREE, **settings), calibration=images)
        assert not torch.allclose(model(images), exact), settings
    left_out = config(**FREE, nonidealities=[noisy], without=["read_noise"])
    model = memcore.convert(network(), left_out, calibration=images)
    torch.testing.assert_close(model(images), exact)


@torch.no_grad()
def test_an_amplifier_of_few_bits_saturates():
    _, layer = example()
    layer.weight.data.fill_(1 / 16)
    model = memcore.convert(layer, config({"name": "sense_table", "bits": 1}, rows_at_once=20))
    ones = torch.full((1, 20), 1 / 8)
    assert layer(ones).item() == pytest.approx(20 / 128)
    assert model(ones).item() == pytest.approx(1 / 128)


# -- the life of a network -------------------------------------------------------------------------


def test_gradients_go_straight_through_and_training_rehearses(images):
    model = memcore.convert(
        network(), config({"name": "sense_table", "spread": 0.2}, **FREE), calibration=images
    )
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    target = torch.arange(6) % 5
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < sum(losses[:3])


def test_a_state_is_loaded_with_the_draws_of_its_chip(images):
    told = config({"name": "sense_table", "spread": 0.4}, **FREE)
    one = memcore.convert(network(), told, calibration=images, seed=3)
    two = memcore.convert(network(), told, calibration=images, seed=4)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(images), two(images))


def test_a_configuration_is_written_and_read(tmp_path):
    chosen = config({"name": "sense_table", "spread": 0.2, "bits": 4})
    again = memcore.CrossbarConfig.from_mapping(chosen.to_mapping())
    assert again.adc == chosen.adc


def test_conversions_are_counted_and_a_diagnosis_names_the_amplifiers(images):
    model = memcore.convert(
        network(), config({"name": "sense_table", "spread": 0.3}, **FREE), calibration=images
    )
    with memcore.counting(model) as counts:
        model(images)
    conversions = counts.total.adc_conversions
    # 6 input bits, 6 slices: a convolution of 18 rows in 5 units, and 48 rows in 12 units.
    assert sum(conversions.values()) == 36 * (6 * 16 * 5 * 3 + 6 * 12 * 5)
    found = memcore.diagnose(model, [(images, torch.arange(6) % 5)])
    assert "adc" in str(found)


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dac": None}, "not applied as bits"),
        ({"dac": {"name": "uniform", "full_scale": 1.0}}, "not applied as bits"),
        ({"dac": {**DAC, "signed": "magnitude"}}, "not applied as bits"),
        ({"dac": {**DAC, "bits_per_step": 2}}, "not applied as bits"),
        ({"mapper": "differential"}, "more than one bit"),
        ({"mapper": {**MAPPER, "slice_bits": 2}}, "more than one bit"),
        ({"mapper": {**MAPPER, "encoding": "differential"}}, 'adc_per="column"'),
        ({"bias": "mapped"}, "bias='digital'"),
        ({"nonidealities": ["drift"]}, "drift lets cells age"),
        ({"nonidealities": ["ir_drop"]}, "currents of whole lines"),
        ({"adc": None, "dac": "sense_table"}, "as an ADC"),
    ],
)
def test_what_sense_amplifiers_cannot_read_is_named(settings, message):
    _, layer = example()
    with pytest.raises(ConfigError, match=message):
        memcore.convert(layer, config(**settings))


def test_a_file_that_does_not_fit_the_cells_is_named(tmp_path):
    _, layer = example()
    told = {"name": "sense_table", "table": write(tmp_path / "x.json", lambda v: [v], 3)}
    with pytest.raises(ConfigError, match="rows_at_once=3 or less"):
        memcore.convert(layer, config(told))
    with pytest.raises(ConfigError, match="d2d beside table"):
        memcore.convert(layer, config(told, rows_at_once=3, nonidealities=["d2d"]))
    with pytest.raises(ConfigError, match="expected one of them"):
        memcore.converters["sense_table"](table="x.json", spread=0.1)


def test_a_table_limited_to_what_an_amplifier_tells_keeps_its_probabilities():
    table = sensing_table("ideal", rows=5, spread=LogNormal(1.0, 0.3))
    limited = table.limited(2)
    assert torch.equal(limited.probability[..., :2], table.probability[..., :2])
    torch.testing.assert_close(limited.probability[..., 2], table.probability[..., 2:].sum(2))
    assert isinstance(limited, SumTable)


def test_parts_of_inputs_with_ranges_of_their_own_are_refused():
    case = LayerCase.all_of(memcore.layers["joint_recurrent_cell"])[0]
    joint = config(dac={"name": "bit_serial", "signed": "twos_complement"})
    settings = {key: getattr(joint, key) for key in ("dac", "mapper", "adc", "rows_at_once")}
    with pytest.raises(ConfigError, match="parts of its inputs have ranges of their own"):
        case.outputs(case.convert(**settings))
