"""What arrays do, counted by arithmetic, against plain loops and closed forms."""

import contextlib
import dataclasses

import pytest
import torch
from torch import nn

import memcore
from memcore import Activity, CrossbarConfig, Stream
from memcore.crossbar.dissipation import power_of

X = Stream(5).normal((8, 2, 6, 6))
CONVERTERS = {"dac": {"name": "uniform", "bits": 6}, "adc": {"name": "uniform", "bits": 7}}


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
        )


def memristive(x=X, **settings):
    config = CrossbarConfig(**{"device": "ideal", **settings})
    calibration = x if settings.get("dac") or settings.get("adc") else None
    return memcore.convert(network(), config, calibration=calibration)


def counted(model, x=X):
    with memcore.counting(model) as counts:
        y = model(x)
    return y, counts


WAYS = {
    "exact": {},
    "tiled": {**CONVERTERS, "tile": (16, 16)},
    "electrical": {"nonidealities": ["thermal_noise"], **CONVERTERS, "tile": (16, 16)},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_counting_leaves_the_outputs_as_they_are(way):
    model = memristive(**way).eval()
    before = memristive(**way).eval()(X)
    y, _ = counted(model)
    assert torch.equal(y, before)


#: Layers of which the power is summed up where the inputs lie, without windows.
LAYERS = {
    "linear": (nn.Linear(18, 5), (4, 3, 18)),
    "no bias": (nn.Linear(18, 5, bias=False), (4, 18)),
    "1-d, dilated": (nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), (2, 3, 11)),
    "2-d": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 7, 6)),
    "2-d, single image": (nn.Conv2d(3, 4, 3, padding=1), (3, 7, 6)),
    "2-d, same": (nn.Conv2d(3, 4, (3, 5), padding="same"), (2, 3, 7, 6)),
    "2-d, circular": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), (2, 3, 5, 6)),
    "2-d, groups": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 5, 6)),
    "3-d": (nn.Conv3d(2, 3, 2, stride=(1, 2, 1), padding=1), (2, 2, 4, 5, 3)),
}
SETTINGS = {
    "exact": {},
    "bias in cells": {"bias": "mapped"},
    "tiles": {**CONVERTERS, "tile": (9, 7)},
    "codes above 0": {
        "dac": {"name": "uniform", "bits": 4, "full_scale": (0.5, 1.5)},
        "adc": {"name": "uniform", "bits": 7},
    },
    "shared lines": {**CONVERTERS, "mapper": "offset"},
    "faults avoided": {
        **CONVERTERS,
        "tile": (9, 8),
        "faults": "avoided",
        "nonidealities": [{"name": "stuck_at", "p_lrs": 0.1}],
    },
}


@pytest.mark.filterwarnings("ignore::memcore.SaturationWarning")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)
def test_power_where_inputs_lie_is_that_of_what_drives_the_lines(layer, shape, settings):
    """With a trace, every window is written out and passes the DAC."""
    x = Stream(12).normal(shape)
    config = CrossbarConfig(device="ideal", **settings)
    model = memcore.convert(layer, config, calibration=x if "dac" in settings else None).eval()
    with torch.no_grad(), memcore.counting(model, traced=True) as slow:
        y = model(x)
    for images in (x, x.to(memory_format=torch.channels_last) if len(shape) == 4 else x):
        with torch.no_grad(), memcore.counting(model) as fast:
            torch.testing.assert_close(model(images), y, rtol=1e-5, atol=1e-6)
        one, other = fast.total, slow.total
        assert one.dissipation == pytest.approx(other.dissipation, rel=1e-6)
        assert dataclasses.replace(one, dissipation=other.dissipation) == other


def test_counting_goes_on_where_gradients_are_wanted():
    model = memristive(**WAYS["tiled"])
    with torch.no_grad(), memcore.counting(model) as quiet:
        model(X)
    with memcore.counting(model) as counts:
        model(X).sum().backward()
    assert counts.total.reads == quiet.total.reads
    assert counts.total.dissipation == pytest.approx(quiet.total.dissipation, rel=1e-6)
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("tile", [None, (30, 21)])
def test_power_of_ohmic_cells_is_added_up_in_double_precision(tile):
    """A float32 sum of 210 cells would be 1e-7 off."""
    g = Stream(8).uniform((300, 210)) * 1e-4
    chip = memcore.Crossbar(g, tile=tile)
    x = Stream(9).normal((4, 300))
    power = power_of(chip.cells.effects, chip.conductance, chip.tiling)(x.unsqueeze(1))
    expected = float(x.double().square().sum(0) @ g.double().sum(1))
    assert power == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("way", ["tiled", "electrical"])
def test_counts_of_a_network_in_tiles(way):
    """Convolution: 18 inputs, 4 outputs, 9 positions; linear: 36 inputs, 5 outputs."""
    _, counts = counted(memristive(**WAYS[way]))
    first, last = counts["0"], counts["3"]
    assert (first.vectors, last.vectors) == (72, 8)
    assert (first.reads, last.reads) == (72 * 2 * 2, 8 * 2 * 3)  # two polarities, tiles of rows
    assert (first.drives, last.drives) == (72 * 2 * 18, 8 * 2 * 36)
    assert first.adc_conversions == {(0, 7): 72 * 2 * 4}
    assert last.adc_conversions == {(0, 7): 8 * 3 * 5}
    assert first.dac_conversions == {6: 72 * 18}
    assert (first.shift_adds, last.shift_adds) == (72 * 4 * 1, 8 * 5 * 2)
    assert (last.bits_in, last.bits_out) == (8 * 36 * 6, 8 * 3 * 5 * 7)
    assert counts.total.reads == first.reads + last.reads


def test_columns_converted_one_by_one_count_twice_and_a_reference_once_for_each_array():
    settings = {**CONVERTERS, "tile": (16, 3), "adc_per": "column"}
    _, both = counted(memristive(**settings))
    assert both["3"].conversions == 8 * 3 * 2 * 5
    assert both["3"].shift_adds == 8 * 5 * (3 * 2 - 1)
    _, one = counted(memristive(**settings, mapper="offset"))
    # Two columns and a reference on each array of three: three arrays beside each other.
    assert one["3"].conversions == 8 * 3 * (5 + 3)


def test_exact_reads_are_seen_and_nothing_is_converted():
    _, counts = counted(memristive())
    assert counts["0"].reads == 72 * 2
    assert counts["0"].conversions == counts["0"].shift_adds == 0
    assert counts["0"].dac_conversions == {}


def test_groups_of_word_lines_are_reads_of_their_own():
    settings = {**CONVERTERS, "tile": (16, 16)}
    _, whole = counted(memristive(**settings))
    _, parts = counted(memristive(**settings, rows_at_once=5))
    # 36 inputs in tiles of 16, 16 and 4 rows: four, four and one group of at most five.
    assert (whole["3"].reads, parts["3"].reads) == (8 * 2 * 3, 8 * 2 * 9)
    assert parts["3"].drives == whole["3"].drives
    assert parts["3"].conversions == 3 * whole["3"].conversions


@pytest.mark.parametrize("dac_per", ["layer", "vector"])
def test_ranges_are_found_while_reads_are_counted(dac_per):
    settings = {**CONVERTERS, "tile": (16, 3), "dac_per": dac_per}
    config = CrossbarConfig(device="ideal", **settings)
    found = []
    for around in (contextlib.nullcontext, memcore.counting):
        mem = memcore.convert(network()[3], config)
        with around(*[mem] * (around is memcore.counting)):
            memcore.calibrate(mem, X.reshape(-1, 36))
        found.append(mem.crossbar.output.range)
    assert torch.equal(*found)


def test_no_inputs_are_read_in_groups_of_word_lines():
    mem = memristive(**CONVERTERS, tile=(16, 16), rows_at_once=5, nonidealities=["read_noise"])
    assert mem[:3](X[:0]).shape == (0, *mem[:3](X).shape[1:])


def test_power_is_the_square_of_the_voltage_times_the_conductance():
    model = memristive(device="vteam", tile=(16, 16), read_voltage=0.3)
    _, counts = counted(model)
    crossbar = model[3].crossbar
    x = nn.Sequential(*list(model)[:3])(X).detach().double()
    volts = crossbar.input_scale * x
    cells = crossbar.tiling.join(crossbar.conductance).double().sum((0, 3))[0]
    expected = float((volts.square() @ cells).sum())
    # Cells on bit lines beside the five outputs are on the same word lines.
    assert crossbar.tiling.array_cols == 5
    assert counts["3"].dissipation == pytest.approx(expected, rel=1e-6)


def test_power_with_wires_is_what_the_drivers_deliver():
    """Against the solved circuit, vector by vector; the heat of the wires is part of it."""
    wires = {"name": "ir_drop", "segment": 5.0, "driver": 40.0, "columns": "shared"}
    model = memcore.convert(
        nn.Linear(12, 5), CrossbarConfig(device="vteam", nonidealities=[wires], tile=(8, 8))
    )
    x = X.reshape(-1, 12)[:6]
    _, counts = counted(model, x)
    v = x.double() * model.crossbar.input_scale
    solution = model.crossbar.solve(v)
    rows = nn.functional.pad(v, (0, 4)).view(-1, 2, 8)
    expected = (rows * solution.cell_current.sum(-1)).sum()
    assert counts[""].dissipation == pytest.approx(float(expected), rel=1e-6)
    plain = memcore.convert(model.digital(), CrossbarConfig(device="vteam", tile=(8, 8)))
    assert counts[""].dissipation < counted(plain, x)[1][""].dissipation


def test_power_of_curved_cells_is_voltage_times_current():
    curve = {"name": "nonlinear_iv", "v0": 0.2}
    model = memcore.convert(
        nn.Linear(4, 3), CrossbarConfig(device="ideal", nonidealities=[curve], tile=None)
    )
    x = X.reshape(-1, 4)[:5]
    _, counts = counted(model, x)
    v, vr = x.double() * model.crossbar.input_scale, 0.2
    current = vr * torch.sinh(v / 0.2) / torch.tensor(vr / 0.2).double().sinh()
    cells = model.crossbar.conductance.double().sum((0, 2))
    assert counts[""].dissipation == pytest.approx(float(((v * current) @ cells).sum()))


def test_pulses_are_counted_while_cells_are_written():
    config = CrossbarConfig(device="vteam", programmer="write_verify")
    model = memcore.convert(nn.Linear(6, 4), config)
    with torch.no_grad():
        model.weight.neg_()
    with memcore.counting(model) as counts:
        memcore.program(model)
    report = memcore.yields.yield_report(model)
    assert counts.total.cells_written == report.cells == 48
    assert counts.total.pulses == round(report.pulses * report.cells) > 0
    assert counts.total.programming_energy == pytest.approx(report.energy, rel=1e-6)


def test_training_is_counted_too_and_ends_with_the_block():
    model = memristive(**WAYS["tiled"])
    with memcore.counting(model) as counts:
        model(X.clone().requires_grad_()).sum().backward()
    before = counts.total
    model(X)
    assert counts.total == before
    assert before.vectors == 80
    assert type(model[3].crossbar.reader).__name__ == "Tiled"


def test_activities_add():
    one = Activity(reads=1, adc_conversions={(0, 8): 2}, dissipation=0.5)
    two = Activity(reads=2, adc_conversions={(0, 8): 3, (1, 4): 1}, pulses=7)
    both = one + two
    assert both == Activity(
        reads=3, adc_conversions={(0, 8): 5, (1, 4): 1}, dissipation=0.5, pulses=7
    )
    assert both.conversions == 6


def test_what_is_not_memristive_cannot_be_counted():
    with (
        pytest.raises(memcore.ConversionError, match="no memristive layer"),
        memcore.counting(network()),
    ):
        pass


# -- cost -----------------------------------------------------------------------------------------


def test_a_cost_is_what_its_model_makes_of_the_counts():
    model = memristive(**WAYS["tiled"])
    _, counts = counted(memristive(**WAYS["tiled"]))
    report = memcore.cost(model, X, model="array", read_time=1e-8, cell_area=1e-14)
    assert report.model == "array"
    assert [layer.name for layer in report.layers] == ["0", "3"]
    assert report.total.energy == pytest.approx(1e-8 * counts.total.dissipation)
    # Four arrays of the convolution and six of the linear layer, read at once.
    assert report.total.time == pytest.approx(1e-8 * (72 * 4 / 4 + 8 * 6 / 6))
    assert report.total.area == pytest.approx(
        1e-14 * sum(layer.crossbar.conductance.numel() for layer in (model[0], model[3]))
    )
    assert "total" in str(report)


def test_batches_of_a_loader_are_all_run_and_modes_come_back():
    model = memristive(**WAYS["tiled"]).train()
    halves = memcore.cost(model, [(X[:4], None), (X[4:], None)])
    assert halves.total.energy == pytest.approx(memcore.cost(model, X).total.energy)
    assert model.training


def test_an_unknown_cost_model_and_an_unknown_parameter_are_named():
    model = memristive()
    with pytest.raises(memcore.UnknownPluginError, match="no cost model named 'arrays'"):
        memcore.cost(model, X, model="arrays")
    with pytest.raises(memcore.ConfigError, match=r"read_tine.*did you mean 'read_time'"):
        memcore.cost(model, X, model="array", read_tine=1e-9)


def test_parameters_beside_a_mapping_are_merged_and_beside_an_instance_refused():
    model = memristive()
    mapping = {"name": "array", "read_time": 1e-9, "cell_area": 1e-14}
    merged = memcore.cost(model, X, model=mapping, read_time=2e-9).total
    assert merged == memcore.cost(model, X, model="array", read_time=2e-9, cell_area=1e-14).total
    with pytest.raises(memcore.ConfigError, match=r"with read_time; expected the parameters in"):
        memcore.cost(model, X, model=memcore.costs["array"](), read_time=2e-9)


@pytest.mark.parametrize("adc", [None, "uniform"])
def test_counting_leaves_the_readers_as_they_are(adc):
    x = torch.rand(4, 6)
    config = CrossbarConfig(device="ideal", adc=adc)
    mem = memcore.convert(nn.Linear(6, 3), config, calibration=x if adc else None)
    before = list(mem.modules())
    with memcore.counting(mem):
        mem(x)
    assert list(mem.modules()) == before


def test_a_writing_while_counting_is_read_and_counted():
    mem = memcore.convert(nn.Linear(6, 3), CrossbarConfig(device="ideal"))
    x = torch.rand(4, 6)
    with memcore.counting(mem) as counts, torch.no_grad():
        mem.weight.mul_(2)
        memcore.program(mem)
        y = mem(x)
    assert counts.total.vectors == 4
    assert counts.total.cells_written > 0
    torch.testing.assert_close(mem(x), y)
    torch.testing.assert_close(y, mem.digital()(x), rtol=1e-4, atol=1e-5)


def traced(model, x):
    with memcore.counting(model, traced=True) as counts:
        model(x)
    return counts


#: Mapper, arrays, word lines at once, DAC: shapes of every kind.
TRACED = [
    ({"tile": (16, 3), "rows_at_once": 5}, 4),
    ({"tile": (8, 8), "mapper": "offset"}, 3),
    ({"tile": (16, 16), "mapper": {"name": "bit_slice", "weight_bits": 5, "slice_bits": 2}}, 5),
    ({}, 1),
]


@pytest.mark.parametrize(("settings", "bits"), TRACED)
def test_traced_lines_and_the_identities_of_reads(settings, bits):
    dac = {"name": "bit_serial", "bits": bits, "full_scale": (0.0, 1.0)}
    adc = {"name": "uniform", "bits": 6, "full_scale": 1e-4}
    config = CrossbarConfig(device="ideal", dac=dac, adc=adc, **settings)
    model = memcore.convert(nn.Linear(37, 7, bias=False), config)
    x = Stream(2).uniform((11, 37)).float().where(Stream(3).uniform((11, 37)) < 0.4, 0.0)
    counts = traced(model, x)
    work, trace, plan = counts[""], counts.traces[""], model.crossbar.plan
    tiling = plan.tiling
    arrays = tiling.full_parts * tiling.col_tiles
    # reads = positions x parts x row tiles x column tiles x groups x steps x units of an array
    assert work.reads == 11 * bits * plan.row_groups * arrays
    assert trace.reads * arrays == work.reads
    assert work.drives == 11 * bits * 37 * arrays
    assert len(trace.open) == plan.group_rows + 1
    assert trace.driven == sum(lines * reads for lines, reads in enumerate(trace.open))
    # Ones of each bit of the codes, the lowest first.
    codes = (x * (2**bits - 1)).round().long()
    assert trace.ones == tuple(int((codes >> k & 1).sum()) for k in range(bits))
    assert trace.driven < 11 * bits * 37
    # Against a plain loop over bits and groups of word lines.
    open_lines = [0] * (plan.group_rows + 1)
    for k in range(bits):
        for first, rows in zip(plan.first_rows, [*plan.first_rows[1:], 37], strict=True):
            for lines in (codes[:, first:rows] >> k & 1).sum(1).tolist():
                open_lines[lines] += 1
    assert trace.open == tuple(open_lines)


def test_conversions_are_reads_times_columns_for_every_shape():
    for settings, bits in TRACED:
        dac = {"name": "bit_serial", "bits": bits, "full_scale": (0.0, 1.0)}
        adc = {"name": "uniform", "bits": 6, "full_scale": 1e-4}
        for per in ("output", "column"):
            config = CrossbarConfig(device="ideal", dac=dac, adc=adc, adc_per=per, **settings)
            model = memcore.convert(nn.Linear(37, 7, bias=False), config)
            plan = model.crossbar.plan
            columns = 0
            for value, _ in enumerate(plan.values):
                shared = per == "column" and plan.tiling.shared[value]
                columns += plan.tiling.col_tiles if shared else 7
            assert plan.activity(11).conversions == 11 * bits * plan.row_groups * columns


def test_nothing_is_traced_unless_asked_for():
    _, counts = counted(memristive())
    assert counts.traces == {}
    assert set(traced(memristive(), X).traces) == {"0", "3"}
