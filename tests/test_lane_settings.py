"""Lanes with a device, effects, an ADC and a number of copies of their own."""

import copy
import dataclasses
import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import (
    Affine,
    ConfigError,
    Converter,
    CrossbarConfig,
    Gaussian,
    Lane,
    NonIdeality,
    Programmed,
    Programmer,
    Stage,
    Stream,
    UniformLevels,
)
from memcore.crossbar.readers import Electrical, Tiled, TiledLanes
from memcore.testing.cases import ReferenceDevice

VOLT = 0.2
BASE = ReferenceDevice(r_on=1e4, r_off=1e5)
#: Another window, twenty times as wide.
WIDE = ReferenceDevice(r_on=5e2, r_off=1e6)
WIDTHS = (1, 2, 4)
SLICES = {"name": "bit_slice", "weight_bits": 8, "slice_bits": WIDTHS, "w_max": 127.0}


def integers(low, high, *shape, name="x"):
    draws = Stream(3).child(name).uniform(shape, dtype=torch.float64)
    return torch.floor(low + (high + 1 - low) * draws).float()


def layer_of(rows=11, cols=5, bits=8):
    layer, top = nn.Linear(rows, cols, bias=False), 2 ** (bits - 1) - 1
    with torch.no_grad():
        layer.weight.copy_(integers(-top, top, cols, rows, name="w"))
    return layer


def uniform(bits, full_scale=None):
    return {"name": "uniform", "bits": bits, "full_scale": full_scale}


# -- integers stay exact ---------------------------------------------------------------------------

#: Devices whose lowest conductance and whose digits of 1 to 4 bits are multiples of a current.
EXACT = {
    ReferenceDevice(r_on=1 / 8e-5, r_off=1 / 1e-5): 7e-5 / 105,
    ReferenceDevice(r_on=1 / 2.12e-3, r_off=1 / 2e-5): 2.1e-3 / 105,
}


@dataclass(frozen=True, kw_only=True)
class Counts(Converter):
    """An ADC with a code for each multiple of a current, between two numbers of them."""

    step: float
    largest: int = 1 << 22

    def observe(self, values):
        return values.new_tensor([-self.largest * self.step, self.largest * self.step])

    def bind(self, full_scale, ctx):
        return UniformLevels(full_scale.new_tensor([self.step]), -self.largest, self.largest)


LANE = st.tuples(
    st.sampled_from([1, 2, 3]), st.sampled_from([*EXACT]), st.sampled_from([1 << 20, 1 << 22])
)


@settings(max_examples=60)
@given(
    lanes=st.lists(LANE, min_size=3, max_size=3),
    encoding=st.sampled_from(["differential", "offset", "twos_complement"]),
    adc_per=st.sampled_from(["output", "column"]),
    tile=st.none() | st.sampled_from([(4, 3), (5, 4), (128, 128)]),
    rows_at_once=st.none() | st.sampled_from([1, 3]),
    serial=st.booleans(),
    adc=st.booleans(),
)
def test_lanes_of_any_cells_copies_and_lossless_adcs_give_the_integer_product(
    lanes, encoding, adc_per, tile, rows_at_once, serial, adc
):
    layer, x = layer_of(), integers(-7, 7, 6, 11)
    bit = VOLT if serial else VOLT / 7
    first = lanes[0][1]
    mem = memcore.convert(
        layer,
        CrossbarConfig(
            device=first,
            mapper={
                **SLICES,
                "slice_bits": WIDTHS if encoding == "differential" else (1, 3, 4),
                "encoding": encoding,
            },
            dac={"name": "bit_serial" if serial else "uniform", "bits": 4, "full_scale": 7.0},
            adc=Counts(step=bit * EXACT[first]) if adc else None,
            adc_per=adc_per if adc else "output",
            tile=tile,
            rows_at_once=rows_at_once,
            read_voltage=VOLT,
            lanes=[
                Lane(
                    copies=copies,
                    device=device,
                    adc=Counts(step=bit * EXACT[device], largest=largest) if adc else None,
                )
                for copies, device, largest in lanes
            ],
        ),
    )
    with torch.no_grad():
        found, expected = mem(x), layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-2)
    assert torch.equal(found.round(), expected)
    parts = sum(copies for copies, _, _ in lanes) * (2 if encoding == "differential" else 1)
    assert mem.crossbar.tiling.full_parts == parts


# -- by hand, in float64 ---------------------------------------------------------------------------


def windows(lanes):
    return [(1 / lane.device.r_off, 1 / lane.device.r_on) for lane in lanes]


def by_hand(weight, x, lanes, tile_rows):
    """Outputs of integer weights in differential slices, from digits to codes of ADCs."""
    code, total, place = weight.double().numpy(), 0.0, 1
    volts = VOLT * x.double().numpy() / 7
    for width, lane, (low, high) in zip(WIDTHS, lanes, windows(lanes), strict=True):
        digit = np.floor(np.abs(code) / place) % 2**width * np.sign(code)
        siemens = (high - low) * digit / (2**width - 1)  # of the pair, g_min cancels
        levels = 2 ** (lane.adc.bits - 1) - 1
        step = lane.adc.full_scale / levels
        for first in range(0, weight.shape[1], tile_rows):
            some = slice(first, first + tile_rows)
            current = lane.copies * volts[:, some] @ siemens[:, some].T
            counted = np.clip(np.rint(current / step), -levels, levels) * step
            total = total + counted / lane.copies * place * (2**width - 1) / (high - low)
        place *= 2**width
    return total * 7 / VOLT


COARSE = (
    Lane(device=BASE, adc=uniform(5, 6.13e-5), copies=2),
    Lane(device=WIDE, adc=uniform(7, 2.171e-3)),
    Lane(device=BASE, adc=uniform(9, 1.237e-4), copies=3),
)


@pytest.mark.parametrize("tile_rows", [4, 16])
def test_each_lane_is_converted_by_its_own_adc_as_by_hand(tile_rows):
    layer, x = layer_of(16, 6), integers(-7, 7, 40, 16)
    config = CrossbarConfig(
        device=BASE,
        mapper=SLICES,
        dac=uniform(4, 7.0),
        adc="uniform",
        tile=(tile_rows, 4),
        lanes=COARSE,
        read_voltage=VOLT,
    )
    mem = memcore.convert(layer, config)
    assert isinstance(mem.crossbar.reader, TiledLanes)
    with torch.no_grad():
        found = mem(x).double()
    expected = torch.from_numpy(by_hand(layer.weight.detach(), x, COARSE, tile_rows))
    # A sum in float32 may fall on the other side of half a step.
    wrong = (found - expected).abs() > 1e-4 * expected.abs().max()
    assert wrong.double().mean() < 0.005
    assert (found - layer(x).double()).abs().mean() > 3  # these ADCs do round


@dataclass(frozen=True, kw_only=True)
class Quiet(NonIdeality):
    """Noise of the cells that no ADC sees, or an effect that only the electrical reader knows."""

    stage = Stage.CURRENT

    def bind(self, array, ctx):
        return Affine()


@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_the_fused_reader_of_lanes_gives_what_the_electrical_one_does(adc_per, bias):
    layer, x = nn.Conv2d(4, 6, 3, groups=2), torch.randn(2, 4, 6, 6)
    found = []
    for effects in ([], [Quiet()]):
        config = CrossbarConfig(
            device=BASE,
            mapper={"name": "bit_slice", "slice_bits": WIDTHS},
            adc=uniform(8),
            adc_per=adc_per,
            bias=bias,
            tile=(6, 4),
            lanes=[{"adc": uniform(6), "copies": 2}, {"device": WIDE}, {"adc": uniform(9)}],
            nonidealities=effects,
        )
        mem = memcore.convert(layer, config, calibration=x)
        kind = Electrical if effects else TiledLanes
        assert isinstance(mem.crossbar.reader, kind)
        with torch.no_grad():
            found.append(mem(x))
    wrong = (found[0] - found[1]).abs() > 1e-4 * found[1].abs().max()
    assert wrong.double().mean() < 0.01


def test_lanes_whose_adcs_have_the_same_codes_are_read_at_once():
    config = CrossbarConfig(
        device=BASE, mapper=SLICES, adc=uniform(8, 1e-3), lanes=[{"adc": uniform(8, 1e-4)}, {}, {}]
    )
    assert isinstance(memcore.convert(layer_of(), config).crossbar.reader, Tiled)


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 4, 9])
def test_errors_of_cells_average_over_copies(copies):
    layer = layer_of(64, 32)
    config = CrossbarConfig(
        device=BASE,
        mapper={"name": "bit_slice", "slice_bits": 7, "w_max": 127.0},
        nonidealities=[Spread(std=1e-6)],
        lanes=[{"copies": copies}],
    )
    mem = memcore.convert(layer, config)
    error = mem.crossbar.folded[0] - layer.weight
    # Two cells of each copy, each with an error of 1e-6 S, in units of a step.
    expected = math.sqrt(2 / copies) * 1e-6 * 127 / (1 / BASE.r_on - 1 / BASE.r_off)
    assert float(error.detach().std()) == pytest.approx(expected, rel=0.06)


@dataclass(frozen=True, kw_only=True)
class Spread(NonIdeality):
    """Errors of writing, the same in all cells' distribution."""

    stage = Stage.PROGRAM
    std: float = 1e-6

    def bind(self, array, ctx):
        return Affine(offset=self.std * ctx.random.normal(array.shape))


@pytest.mark.parametrize("adc", [None, uniform(20)])
@pytest.mark.parametrize("encoding", ["differential", "offset"])
def test_noise_of_reads_averages_over_copies_and_acts_in_its_lane_alone(encoding, adc):
    layer, x = layer_of(32, 24), integers(-7, 7, 200, 32)
    widths = (3, 4) if encoding == "differential" else (4, 4)
    mapper = {**SLICES, "slice_bits": widths, "encoding": encoding}
    std, span = 2e-6, 1 / BASE.r_on - 1 / BASE.r_off

    def deviation(copies, noisy):
        lanes = [{}, {}]
        lanes[noisy] = {"copies": copies, "nonidealities": [White(std=std)]}
        config = CrossbarConfig(device=BASE, mapper=mapper, lanes=lanes, adc=adc)
        mem = memcore.convert(layer, config, calibration=x if adc else None)
        with torch.no_grad():
            return float((mem(x) - layer(x)).std())

    for noisy, place in ((0, 1), (1, 2 ** widths[0])):
        for copies in (1, 4):
            # Each output has a positive and a negative cell for each input, or one and a reference.
            siemens = std * math.sqrt(2 / copies) * float(x.square().sum(1).mean().sqrt())
            expected = siemens * place * (2 ** widths[noisy] - 1) / span
            assert deviation(copies, noisy) == pytest.approx(expected, rel=0.12)


@dataclass(frozen=True, kw_only=True)
class White(NonIdeality):
    """Noise of each cell at each read."""

    stage = Stage.READ
    std: float = 1e-6

    def bind(self, array, ctx):
        return Gaussian(std=self.std)


def test_each_copy_has_a_reference_column_of_its_own():
    config = CrossbarConfig(
        device=BASE,
        mapper={**SLICES, "slice_bits": 8, "encoding": "offset"},
        nonidealities=[Spread(std=1e-6)],
        lanes=[{"copies": 2}],
        tile=(16, 8),
    )
    layer = layer_of(16, 6)
    mem = memcore.convert(layer, config)
    g = mem.crossbar.conductance.double()  # [copies, rows, outputs and a reference]
    held = (g[..., :6] - g[..., 6:]).mean(0) * 255 / (1 / BASE.r_on - 1 / BASE.r_off)
    torch.testing.assert_close(mem.crossbar.folded[0].T.double(), held, rtol=1e-4, atol=1e-3)


# -- devices ---------------------------------------------------------------------------------------


def test_digits_lie_in_the_window_of_their_own_device():
    layer = layer_of(16, 6)
    config = CrossbarConfig(
        device=BASE, mapper=SLICES, lanes=[{}, {"device": WIDE}, {"copies": 2}], tile=(8, 4)
    )
    mem = memcore.convert(layer, config)
    tiling, g = mem.crossbar.tiling, mem.crossbar.conductance.double()
    for lane, (width, place, device) in enumerate(
        ((1, 1, BASE), (2, 2, WIDE), (4, 8, BASE)),
    ):
        low, high = 1 / device.r_off, 1 / device.r_on
        held = tiling.of_lane(lane).join(g[tiling.arrays_of(lane)])
        for part, sign in zip(held, (1, -1) * (2 if lane == 2 else 1), strict=True):
            code = (sign * layer.weight.detach().double().T).clamp(min=0)
            digit = torch.div(code, place, rounding_mode="floor") % 2**width
            expected = low + (high - low) * digit / (2**width - 1)
            torch.testing.assert_close(part[0], expected, rtol=1e-5, atol=0)


def test_a_device_brings_its_effects_and_its_programmer_to_its_own_lane():
    config = CrossbarConfig(
        device=BASE, mapper=SLICES, lanes=[{}, {"device": "pcm"}, {"device": "soft_bounds"}]
    )
    mem = memcore.convert(layer_of(32, 16), config)
    cells = mem.crossbar.cells
    kinds = [memcore.registry.specs.provided_name(each.programmer) for each in config.of_lanes]
    assert kinds == ["direct", "direct", "open_loop"]
    assert [name for name in config.effects if "pcm" in name] == list(config.effects)

    before = mem.crossbar.conductance.clone()
    memcore.age(mem, seconds=1e5)
    drifted = mem.crossbar.conductance != before
    moved = [bool(drifted[cells.tiling.arrays_of(lane)].any()) for lane in range(3)]
    assert moved == [False, True, False]
    pulses = mem.crossbar.written.pulses * mem.crossbar.written.cells
    assert pulses > 0


@dataclass(frozen=True, kw_only=True)
class Halfway(Programmer):
    """Cells end halfway between what they were and what they should be."""

    incremental = True

    def program(self, array, target, ctx):
        before = target if array.present is None else array.present
        return Programmed(conductance=0.5 * (before + target))


@dataclass(frozen=True, kw_only=True)
class Lazy(ReferenceDevice):
    """A device that is written so."""

    programmer = Halfway()


def test_a_rewrite_starts_from_what_the_cells_are_in_the_lane_that_asks_for_it():
    layer = layer_of()
    lazy = Lazy(r_on=BASE.r_on, r_off=BASE.r_off)
    config = CrossbarConfig(device=BASE, mapper=SLICES, lanes=[{}, {"device": lazy}, {}])
    mem = memcore.convert(layer, config)
    tiling, before = mem.crossbar.tiling, mem.crossbar.programmed
    with torch.no_grad():
        mem.weight.mul_(-1)
        layer.weight.copy_(mem.weight)
    memcore.program(mem)
    fresh, after = memcore.convert(layer, config).crossbar.programmed, mem.crossbar.programmed
    for lane in range(3):
        some = tiling.arrays_of(lane)
        expected = 0.5 * (before[some] + fresh[some]) if lane == 1 else fresh[some]
        torch.testing.assert_close(after[some], expected)


def test_leaving_an_effect_out_leaves_it_out_of_every_lane():
    lanes = [{"device": "pcm"}, {}, {"device": "pcm"}]
    config = CrossbarConfig(device=BASE, mapper=SLICES, lanes=lanes)
    some = config.replace(without=tuple(config.effects))
    layer, x = layer_of(), integers(-7, 7, 6, 11)
    with torch.no_grad():
        torch.testing.assert_close(memcore.convert(layer, some)(x), layer(x), rtol=1e-4, atol=1e-1)
    assert not some.effects


def test_a_spread_of_parameters_is_drawn_for_the_cells_of_its_lane():
    spread = {"name": "vteam", "r_on": {"normal": {"mean": 1e3, "std": 100.0}}, "r_off": 1e5}
    plain = {**spread, "r_on": 1e3}
    layer = layer_of(32, 16)
    full = {"name": "bit_slice", "weight_bits": 8, "slice_bits": 7, "w_max": 1.0}
    for lanes, differs in (([{"device": spread}], True), ([{"device": plain}], False)):
        mem = memcore.convert(layer, CrossbarConfig(device=BASE, mapper=full, lanes=lanes))
        highest = mem.crossbar.conductance[mem.crossbar.conductance > 5e-4]
        assert bool(highest.std() > 1e-5) == differs


# -- a life ----------------------------------------------------------------------------------------

LIFE = [
    {"copies": 2},
    {"device": "pcm", "adc": uniform(9)},
    {"nonidealities": [{"name": "finite_states", "states": 9}, "read_noise"]},
]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"nonidealities": ["ir_drop"]},
        {"nonidealities": [{"name": "ir_drop", "columns": "shared"}], "adc_per": "column"},
        {"nonidealities": ["rtn", "drift"], "dac": {"name": "bit_serial", "bits": 5}},
        {"nonidealities": ["stuck_at"], "faults": "avoided", "spare_cols": 2},
        {"dac": "uniform", "dac_per": "vector"},
        {"mapper": {"name": "block_float", "slice_bits": WIDTHS}},
        {"adc": {"name": "sar", "bits": 8, "capacitor_std": 0.02, "columns_per_adc": 2}},
        {"programmer": "write_verify", "device": "soft_bounds"},
    ],
    ids=str,
)
def test_a_chip_with_lanes_is_saved_copied_aged_trained_and_written_again(how):
    layer, x = nn.Linear(20, 6), torch.randn(7, 20)
    lanes = LIFE
    if "programmer" in how:  # which sends pulses
        lanes = [LIFE[0], {"device": "exp_step", "nonidealities": ["drift"]}, LIFE[2]]
    mapper = {"name": "bit_slice", "slice_bits": WIDTHS}
    config = CrossbarConfig(
        **{
            "device": BASE,
            "mapper": mapper,
            "adc": uniform(8),
            "tile": (8, 8),
            **how,
            "lanes": lanes,
        }
    )
    with torch.no_grad():
        mem = memcore.convert(layer, config, calibration=x)
        memcore.age(mem, seconds=100.0)
        other = memcore.convert(layer, config, seed=1, calibration=x)
        other.load_state_dict(mem.state_dict())
        again, one = pickle.loads(pickle.dumps(mem)), copy.deepcopy(mem)
        y = mem(x)
        for each in (other, again, one):
            assert torch.equal(each(x), y)
        halves = copy.deepcopy(one)
        torch.testing.assert_close(torch.cat([halves(x[:3]), halves(x[3:])]), one(x))
    mem.train()
    mem(x).square().sum().backward()
    assert mem.weight.grad.isfinite().all()
    with torch.no_grad():
        mem.weight.add_(0.01)
    mem(x).square().sum().backward()
    memcore.program(mem.eval())
    with torch.no_grad():
        error = (mem(x) - nn.functional.linear(x, mem.weight, mem.bias)).std()
    assert error < 0.5 * layer(x).std()


def test_ranges_of_lanes_with_other_bits_are_powers_of_two_apart_in_steps():
    layer, x = nn.Linear(32, 8), torch.randn(64, 32)
    adc = {"name": "uniform", "bits": 8, "ratios": "powers_of_two"}
    config = CrossbarConfig(
        device=BASE,
        mapper={"name": "bit_slice", "slice_bits": WIDTHS},
        adc=adc,
        lanes=[{"adc": {**adc, "bits": 5}}, {"device": WIDE}, {"copies": 3}],
    )
    crossbar = memcore.convert(layer, config, calibration=x).crossbar
    steps = [
        float(form.step) * float(gain)
        for form, gain in zip(crossbar.output.form.forms, crossbar.gain, strict=True)
    ]
    for step in steps:
        exponent = math.log2(step / max(steps))
        assert exponent == pytest.approx(round(exponent), abs=1e-4)


def test_a_fixed_range_of_one_lane_stays_while_others_are_calibrated():
    layer, x = nn.Linear(32, 8), torch.randn(64, 32)
    config = CrossbarConfig(
        device=BASE,
        mapper={"name": "bit_slice", "slice_bits": WIDTHS},
        adc=uniform(8),
        dac=uniform(8),
        lanes=[{"adc": uniform(8, 1e-3)}, {}, {}],
    )
    mem = memcore.convert(layer, config, calibration=x)
    lowest, highest = mem.crossbar.output.range.unbind(1)
    assert float(highest[0]) == pytest.approx(1e-3)
    assert float(highest[1]) != pytest.approx(1e-3)
    memcore.calibrate(mem, 10 * x)
    assert float(mem.crossbar.output.range[0, 1]) == pytest.approx(1e-3)
    assert (lowest < 0).all()


# -- reports and costs -----------------------------------------------------------------------------


@pytest.fixture
def chip():
    config = CrossbarConfig(
        device=BASE,
        mapper=SLICES,
        dac=uniform(8),
        adc=uniform(8),
        tile=(8, 4),
        lanes=[
            {"copies": 2, "adc": uniform(4)},
            {"device": {"name": "ideal", "r_on": {"normal": {"mean": 1e3, "std": 50.0}}}},
            {"nonidealities": [{"name": "finite_states", "states": 9}], "adc": uniform(9)},
        ],
    )
    x = integers(-7, 7, 12, 16)
    return memcore.convert(layer_of(16, 6), config, calibration=x), x


def test_conversions_and_areas_are_those_of_the_adc_of_each_lane(chip):
    mem, x = chip
    with memcore.counting(mem) as counts:
        mem(x)
    done = counts[""]
    # Two tiles of rows, six outputs, for each of twelve vectors.
    assert done.adc_conversions == {(0, 4): 144, (1, 8): 144, (2, 9): 144}
    assert done.bits_out == 144 * (4 + 8 + 9)
    assert done.reads == 12 * (2 * 2 + 2 + 2) * 2 * 2  # parts, tiles of rows and of columns
    cost = memcore.cost(mem, x)
    table = cost.layers[0].charges["adc"]
    found = {bits: memcore.components[f"isaac_adc_{bits}b"] for bits in (4, 8, 9)}
    energy = sum(144 * each.energy_of_use for each in found.values())
    area = sum(arrays * found[bits].area for bits, arrays in ((4, 16), (8, 8), (9, 8)))
    assert table.energy == pytest.approx(energy)
    assert table.area == pytest.approx(area)


def test_a_digital_network_is_priced_as_the_converted_one(chip):
    mem, x = chip
    digital = memcore.cost(layer_of(16, 6), x, crossbar=mem.crossbar.config)
    found = memcore.cost(mem, x)
    mine, its = (each.layers[0].charges["adc"] for each in (digital, found))
    assert (mine.energy, mine.area) == pytest.approx((its.energy, its.area))


def test_power_of_lanes_with_wires_is_the_sum_of_theirs():
    layer, x = layer_of(16, 6), integers(0, 7, 5, 16)

    def power(lanes, effects):
        config = CrossbarConfig(
            device=BASE, mapper=SLICES, lanes=lanes, nonidealities=effects, tile=(8, 4)
        )
        mem = memcore.convert(layer, config)
        with memcore.counting(mem) as counts, torch.no_grad():
            mem(x)
        return counts[""].dissipation

    wires = {"name": "ir_drop", "word_line": 1e-3, "bit_line": 1e-3}
    same = ReferenceDevice(r_on=BASE.r_on, r_off=BASE.r_off)
    expected = power([], [])
    assert power([{}, {"device": same}, {}], []) == pytest.approx(expected, rel=1e-5)
    assert power([{}, {"device": same}, {}], [wires]) == pytest.approx(expected, rel=1e-3)


def test_the_error_budget_knows_the_effects_of_lanes(chip):
    mem, x = chip
    target = layer_of(16, 6)(x).detach()

    def metric(y, wanted):
        return -float((y - wanted).square().mean())

    budget = memcore.diagnose(mem, [(x, target)], metric)
    assert [each.name for each in budget.effects] == ["device(r_on)", "finite_states", "dac", "adc"]
    assert all(each.acts for each in budget.effects)
    assert budget.ideal == pytest.approx(0.0, abs=1e-2)


def test_summary_ranges_and_provenance_tell_of_lanes(chip):
    mem, x = chip
    assert "device(r_on), finite_states, dac, adc" in str(memcore.summary(mem))
    lanes = [each.lane for each in memcore.check_ranges(mem, x).converters if each.kind == "ADC"]
    assert lanes == [0, 1, 2]
    names = [entry["name"] for entry in memcore.provenance(mem)]
    assert names.count("uniform") == 3  # that of the inputs is the same as one
    assert "finite_states" in names


# -- configurations --------------------------------------------------------------------------------


def test_lanes_stand_in_files_as_tables(tmp_path):
    path = tmp_path / "chip.toml"
    path.write_text(
        """
        [crossbar]
        device = "ideal"
        mapper = { name = "bit_slice", slice_bits = [3, 4] }
        adc = "uniform"

        [[crossbar.lanes]]
        device = "vteam"
        copies = 2

        [[crossbar.lanes]]
        adc = { name = "uniform", bits = 6 }
        nonidealities = [{ name = "finite_states", states = 16 }]
        """,
        encoding="utf-8",
    )
    config = CrossbarConfig.from_toml(path)
    assert [type(device).__name__ for device in config.devices] == ["Vteam", "Ideal"]
    assert [adc.bits for adc in config.adcs] == [8, 6]
    assert [lane.copies for lane in config.lanes] == [2, 1]
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_device_files_stand_in_lanes(tmp_path):
    (tmp_path / "mine.toml").write_text('[device]\nname = "ideal"\nr_on = 123.0\n', "utf-8")
    path = tmp_path / "chip.toml"
    path.write_text(
        'device = "ideal"\nmapper = { name = "bit_slice", slice_bits = 7 }\n'
        'lanes = [{ device = "mine.toml" }]\n',
        "utf-8",
    )
    assert CrossbarConfig.from_toml(path).devices[0].r_on == 123.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lanes": "twice"}, "expected a list"),
        ({"lanes": [3]}, r"lanes\[0\]=3; expected a memcore.Lane"),
        ({"lanes": [{"copy": 2}]}, "has no setting 'copy'; did you mean 'copies'"),
        ({"lanes": [{"copies": 0}]}, r"lanes\[0\]: copies"),
        ({"lanes": [{}, {"adc": {"name": "uniform", "bits": 0}}], "adc": "uniform"}, r"lanes\[1\]"),
        ({"lanes": [{"adc": "uniform"}]}, "but adc is None"),
        ({"lanes": [{"device": "nothing"}]}, "nothing"),
        ({"lanes": [{"nonidealities": ["ir_drop", "ir_drop_series"]}]}, "compute the product"),
    ],
    ids=str,
)
def test_lanes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(memcore.MemcoreError, match=message):
        CrossbarConfig(device="ideal", mapper=SLICES, **settings)


def test_another_number_of_lanes_is_refused():
    config = CrossbarConfig(device="ideal", mapper=SLICES, lanes=[{}, {}])
    with pytest.raises(ConfigError, match="has 2 entries, but the mapping has 3 lanes"):
        memcore.convert(layer_of(), config)


def test_the_circuit_of_cells_of_different_kinds_is_refused():
    lanes = [{}, {"device": WIDE}, {}]
    config = CrossbarConfig(device=BASE, mapper=SLICES, lanes=lanes, nonidealities=["ir_drop"])
    mem = memcore.convert(layer_of(), config)
    with pytest.raises(ConfigError, match="cells of different kinds"):
        mem.crossbar.solve(torch.full((11,), 0.1))


def test_lanes_are_not_trained_in_place():
    config = CrossbarConfig(device="soft_bounds", lanes=[{"copies": 2}])
    mem = memcore.convert(layer_of(), config)
    with pytest.raises(ConfigError, match=r"lanes=\(\)"):
        memcore.optim.InSitu(mem, rule="sgd_pulsed", lr=0.1)


# -- what cells of a lane cost ---------------------------------------------------------------------


def lanes_that_pulse(**settings):
    """Two lanes: cells that take pulses, each with energy, and cells that are written at once."""
    lanes = [{"device": {"name": "exp_step"}}, {"device": WIDE}]
    mapper = {"name": "bit_slice", "slice_bits": [3, 4]}
    config = CrossbarConfig(device=BASE, mapper=mapper, lanes=lanes, tile=(8, 4), **settings)
    return memcore.convert(layer_of(16, 6), config)


@pytest.mark.parametrize("model", ["array", "components"])
def test_cells_of_each_lane_have_an_area_of_their_own(model):
    mem, x = lanes_that_pulse(), integers(0, 7, 5, 16)
    cells = [lane.arrays * 8 * 4 for lane in mem.crossbar.array().lanes]
    plain, found = (
        memcore.cost(mem, x, model=model, cell_area=area).total.area
        for area in (1e-12, (1e-12, 3e-12))
    )
    assert found - plain == pytest.approx(2e-12 * cells[1])


def test_cells_of_each_lane_turn_what_their_own_conductances_draw_into_heat():
    x = integers(0, 7, 5, 16)
    mem = lanes_that_pulse()
    report = memcore.cost(mem, x, model="array", read_time=1e-8)
    squares = (mem.crossbar.input_scale * x.double()).square().sum(0).view(2, 1, 8, 1)
    total = 0.0
    for lane in range(2):  # parts, tiles of rows, tiles of columns, rows, columns
        g = mem.crossbar.conductance[mem.crossbar.tiling.arrays_of(lane)].double()
        total += float((squares * g.view(-1, 2, 2, 8, 4)).sum())
    assert report.total.energy == pytest.approx(1e-8 * total, rel=1e-5)


def test_writing_again_takes_what_the_programmer_of_each_lane_reports():
    """Cells whose programmer tells no energy take that of the tables, those of a lane alone too."""
    mem, x = lanes_that_pulse(), integers(0, 7, 5, 16)
    (work,) = (each.work for each in memcore.cost(mem, x).layers)
    pulsed, told_nothing = work.writing_of_lanes
    assert pulsed.pulses > 0
    assert pulsed.programming_energy + pulsed.programming_time > 0
    assert not told_nothing.programming_energy + told_nothing.programming_time
    assert pulsed.pulses + told_nothing.pulses == work.writing.pulses
    first, second = (lane.arrays for lane in work.array.lanes)
    spike = memcore.components["pipelayer_write_spike"]
    cell = spike.energy_of_use * 8 * 4
    for room in (1, first, first + 1):
        again = memcore.cost(mem, x, chip_arrays=room).layers[0].charges["reload"]
        written = first + second - (room - 1)
        of_first = max(0, written - second)
        expected = min(written, second) * cell + of_first / first * pulsed.programming_energy
        assert again.energy == pytest.approx(expected)
    dear = dataclasses.replace(spike, energy=3 * spike.energy_of_use, name="dear")
    own = memcore.cost(mem, x, chip_arrays=1, cell_write=(spike, dear)).layers[0].charges["reload"]
    assert own.energy == pytest.approx(3 * second * cell + pulsed.programming_energy)


def test_figures_of_lanes_that_do_not_fit_are_refused():
    mem, x = lanes_that_pulse(), integers(0, 7, 5, 16)
    with pytest.raises(ConfigError, match="cell_area has 3 entries, and the layer has 2 lanes"):
        memcore.cost(mem, x, cell_area=(1e-15, 2e-15, 3e-15))
    alike = memcore.convert(layer_of(16, 6), CrossbarConfig(device=BASE, mapper=SLICES))
    with pytest.raises(ConfigError, match=r"cell_area has 2 entries, .* cells of one kind"):
        memcore.cost(alike, x, model="array", cell_area=(1e-15, 2e-15))


@pytest.mark.parametrize("model", ["mnsim", "isaac", "neurosim_floorplan", "puma", "pipelayer"])
def test_a_model_with_cells_of_its_own_says_that_it_prices_no_lanes(model):
    mem, x = lanes_that_pulse(), integers(0, 7, 5, 16)
    found = memcore.cost(mem, x, model=model)
    assert "cells of the lanes: the model has cells of its own instead" in found.leaves_out
    alike = memcore.cost(layer_of(16, 6), x, model=model)
    assert found.total == alike.total
    assert not any("lanes" in each for each in alike.leaves_out)
