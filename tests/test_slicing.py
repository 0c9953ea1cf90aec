"""Bit slices, serial inputs and several cells a weight: integers stay exact, systems come back."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import (
    Converter,
    CrossbarConfig,
    Lookup,
    Mapped,
    Mapper,
    Part,
    Stream,
    UniformLevels,
)
from memcore.contracts.records import Context
from memcore.testing.cases import ReferenceDevice
from memcore.testing.layer_case import Ohmic

LOW, HIGH = 1e-5, 8e-5
DEVICE = ReferenceDevice(r_on=1 / HIGH, r_off=1 / LOW)
VOLT = 0.2
#: Digits of 1 to 4 bits are whole multiples of this part of the window, and half digits too.
FINEST = (HIGH - LOW) / 210

pytestmark = pytest.mark.filterwarnings(
    "ignore:adc_per='column' changes nothing:memcore.errors.NoEffectWarning"
)


@dataclass(frozen=True, kw_only=True)
class Counts(Converter):
    """An ADC with a code for each multiple of a current."""

    step: float
    largest: int = 1 << 22

    def observe(self, values):
        return values.new_tensor([-self.largest * self.step, self.largest * self.step])

    def bind(self, full_scale, ctx):
        return UniformLevels(full_scale.new_tensor([self.step]), -self.largest, self.largest)


def integers(low, high, *shape, name="x"):
    draws = Stream(3).child(name).uniform(shape, dtype=torch.float64)
    return torch.floor(low + (high + 1 - low) * draws).float()


def integer_layer(bits, encoding, rows=11, cols=5):
    """Weights that are codes; in the midpoint encoding these are odd multiples of a half."""
    layer, top = nn.Linear(rows, cols), 2 ** (bits - 1) - 1
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            codes = integers(-top, top, *parameter.shape, name=name)
            parameter.copy_(codes + 0.5 if encoding == "midpoint" else codes)
    return layer, top + 0.5 * (encoding == "midpoint")


WIDTHS = {5: [1, 2, 4, (1, 2, 2), (4, 1)], 8: [1, 2, 3, 4, (1, 3, 4), (4, 4), (2, 2, 1, 1, 1, 1)]}
CODINGS = [
    ("uniform", {}),
    ("bit_serial", {}),
    ("bit_serial", {"bits_per_step": 2}),
    ("bit_serial", {"bits_per_step": 4}),  # one phase, of the three bits of a magnitude
    ("bit_serial", {"signed": "split"}),
    ("bit_serial", {"signed": "split", "bits_per_step": 3}),
    ("bit_serial", {"signed": "twos_complement"}),
    ("bit_serial", {"signed": "twos_complement", "bits_per_step": 2}),
    ("bit_serial", {"signed": "twos_complement", "bits_per_step": 4}),
]
HOW = st.fixed_dictionaries(
    {
        "adc_per": st.sampled_from(["output", "column"]),
        "tile": st.none() | st.sampled_from([(4, 3), (5, 4), (24, 2), (128, 128)]),
        "rows_at_once": st.none() | st.sampled_from([1, 3, 4, 64]),
        "bias": st.sampled_from(["digital", "mapped"]),
    }
)


@pytest.mark.parametrize("encoding", ["differential", "offset", "midpoint", "twos_complement"])
@pytest.mark.parametrize(("name", "coding"), CODINGS)
@settings(max_examples=25)
@given(data=st.data(), how=HOW, bits=st.sampled_from([5, 8]), adc=st.booleans())
def test_every_slicing_and_coding_gives_the_integer_product(
    name, coding, encoding, data, how, bits, adc
):
    widths = data.draw(st.sampled_from(WIDTHS[bits]))
    if adc and name == "bit_serial":
        how = {**how, "bias": "digital"}  # a constant input is no whole number of digits
    layer, w_max = integer_layer(bits, encoding)
    x = integers(-7, 7, 6, 11)
    full = 8 if coding.get("signed") == "twos_complement" else 7
    part = full if name == "uniform" else 2 ** min(3, coding.get("bits_per_step", 1)) - 1
    unit = VOLT / 7 * full / part * FINEST  # of one digit of an input on the finest digit
    mem = memcore.convert(
        layer,
        CrossbarConfig(
            device=DEVICE,
            mapper={
                "name": "bit_slice",
                "weight_bits": bits,
                "slice_bits": widths,
                "encoding": encoding,
                "w_max": w_max,
            },
            dac={"name": name, "bits": 4, "full_scale": 7.0, **coding},
            adc=Counts(step=unit) if adc else None,
            read_voltage=VOLT,
            **how,
        ),
    )
    with torch.no_grad():
        found, expected = mem(x), layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-2)
    assert torch.equal((2 * found).round(), 2 * expected)


@pytest.mark.parametrize("encoding", ["differential", "offset", "twos_complement"])
@pytest.mark.parametrize("rows_at_once", [None, 3])
@pytest.mark.parametrize("copies", [1, 2])
def test_spikes_that_are_counted_give_the_integer_product(encoding, rows_at_once, copies):
    layer, w_max = integer_layer(5, encoding)
    x, volts, unit = integers(-8, 7, 6, 11), 0.25, 2.0**-16  # powers of two, which floats add up
    lanes = 4 if encoding == "differential" else 5
    mem = memcore.convert(
        layer,
        CrossbarConfig(
            device=ReferenceDevice(r_on=1 / (2 * unit), r_off=1 / unit),
            mapper={
                "name": "bit_slice",
                "weight_bits": 5,
                "slice_bits": 1,
                "encoding": encoding,
                "w_max": w_max,
            },
            dac={"name": "spike_code", "bits": 4, "full_scale": 7.0, "signed": "twos_complement"},
            adc={"name": "integrate_fire", "bits": 8, "threshold": volts * unit},
            read_voltage=volts * 7 / 8,  # of the largest code, the lowest of which is -8
            rows_at_once=rows_at_once,
            lanes=[{"copies": copies}, *[{}] * (lanes - 1)],
        ),
    )
    with torch.no_grad():
        torch.testing.assert_close(mem(x), layer(x), rtol=0, atol=1e-4)


# -- ranges of tiles -------------------------------------------------------------------------------


def uneven(module):
    """Weights that grow from row to row and from column to column."""
    with torch.no_grad():
        weight = module.weight.flatten(1)
        rows, cols = (torch.logspace(-2, 0, n) for n in weight.shape)
        module.weight.mul_((rows[:, None] * cols).view_as(module.weight))
    return module


TILED = {
    "exact": {},
    "ADC": {"adc": {"name": "uniform", "bits": 20}},
    "groups": {"adc": {"name": "uniform", "bits": 20}, "rows_at_once": 3},
    "circuit": {"nonidealities": [Ohmic()]},
    "circuit, groups": {"nonidealities": [Ohmic()], "rows_at_once": 3},
    "circuit, ADC, groups": {
        "nonidealities": [Ohmic()],
        "adc": {"name": "uniform", "bits": 20},
        "rows_at_once": 3,
    },
}


@pytest.mark.parametrize("how", TILED.values(), ids=TILED)
@pytest.mark.parametrize(
    "mapper",
    [
        {"name": "differential"},
        {"name": "offset"},
        {"name": "multi_cell", "significance": (2.0, 1.0)},
        *(
            {"name": "bit_slice", "weight_bits": 16, "slice_bits": 4, "encoding": encoding}
            for encoding in ["differential", "offset", "midpoint", "twos_complement"]
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_each_tile_may_have_a_largest_weight_of_its_own(how, mapper, adc_per):
    linear, conv = uneven(nn.Linear(11, 7)), uneven(nn.Conv1d(6, 8, 3, groups=2))
    for layer, x in ((linear, integers(-7, 7, 40, 11)), (conv, integers(-7, 7, 4, 6, 9))):
        config = CrossbarConfig(
            device=DEVICE,
            mapper={**mapper, "scale": "tile"},
            tile=(4, 3),
            bias="mapped",
            adc_per=adc_per,
            **how,
        )
        calibration = x if "adc" in how else None
        mem = memcore.convert(layer, config, calibration=calibration)
        with torch.no_grad():
            torch.testing.assert_close(mem(x), layer(x), rtol=1e-3, atol=2e-3)
        assert mem.crossbar.gain.dim() == 3
        again = memcore.convert(layer, config, seed=1, calibration=calibration)
        again.load_state_dict(mem.state_dict())
        assert torch.equal(again(x), mem(x))


def test_ranges_of_tiles_round_small_tiles_finely():
    layer = uneven(nn.Linear(16, 16, bias=False))
    off = {}
    for scale in ("matrix", "column", "tile"):
        mapper = {"name": "bit_slice", "weight_bits": 4, "scale": scale}
        config = CrossbarConfig(device=DEVICE, mapper=mapper, tile=(4, 4))
        mem = memcore.convert(layer, config)
        ratio = mem.crossbar.folded[0] / layer.weight.detach() - 1
        off[scale] = float(ratio.square().mean())
    assert off["tile"] < off["column"] < off["matrix"]


@dataclass(frozen=True, kw_only=True)
class PerRow(Mapper):
    """A gain for each word line, which no ADC behind a bit line can have."""

    def map(self, weight, device, ctx):
        gain = torch.arange(1.0, 1 + weight[0].numel()).view(1, *weight.shape[1:])
        return Mapped(parts=(Part(target=weight * 0 + LOW),), gain=gain)


def test_a_gain_that_differs_inside_an_array_is_refused():
    with pytest.raises(memcore.ConfigError, match="differs between word lines of one array"):
        memcore.convert(nn.Linear(4, 3), CrossbarConfig(device=DEVICE, mapper=PerRow()))


# -- published systems -----------------------------------------------------------------------------


def bare(weight, **config):
    """A layer without bias in float64 on arrays."""
    layer = nn.Linear(*reversed(weight.shape), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
    return memcore.convert(layer, CrossbarConfig(**config))


#: Outputs of MNSIM 2.0 (commit ca39ccb) for a layer of 300 inputs in two blocks of 256 word lines,
#: inputs of 9 bits, one in each phase; bits of the ADC, and of a cell.
MNSIM = {
    (6, 1): [-0.862745, 1.01961, 5.41176, 13.0196, 12.3922, 12.0784, 11.6078, 16.7059],
    (6, 2): [-2.43137, 0.313726, 7.52941, 9.72549, 13.4902, 10.4314, 11.2941, 15.3725],
    (10, 1): [1.41176, 2.19608, 5.56863, 10.3529, 12.3922, 11.9216, 12.7843, 14.9804],
    (10, 2): [1.41176, 2.19608, 5.72549, 10.5098, 12.4706, 11.8431, 12.7059, 14.902],
}


@pytest.mark.parametrize(("bits", "cell"), MNSIM)
def test_outputs_of_mnsim_come_back_to_the_digit(bits, cell):
    i, j = torch.arange(300, dtype=torch.float64), torch.arange(8, dtype=torch.float64)
    weight = ((7 * i + 13 * j[:, None]) % 511 - 255) / 255
    x = ((11 * i) % 511 - 255) / 255
    # Powers of two, so that halves of a step, of which there are many, are rounded to even.
    unit, volts = 2.0**-16, 0.25
    low = unit * (2**cell - 1)
    largest = volts * low * 256
    mem = bare(
        weight,
        device=ReferenceDevice(r_on=1 / (2 * low), r_off=1 / low),
        mapper={"name": "bit_slice", "weight_bits": 9, "slice_bits": cell, "w_max": 1.0},
        dac={"name": "bit_serial", "bits": 9, "full_scale": 1.0},
        adc={
            "name": "uniform",
            "bits": bits,
            "full_scale": largest * (1 - 2.0 ** (1 - bits)),
        },
        read_voltage=volts,
        tile=(256, 256),
        nonidealities=[Ohmic()],
    )
    with torch.no_grad():
        y = (mem(x[None])[0] / 20 * 255).round() * 20 / 255
    assert y.tolist() == pytest.approx(MNSIM[bits, cell], rel=5e-6)  # of six digits


@dataclass(frozen=True, kw_only=True)
class Sensed(Converter):
    """A sense amplifier that finds `table[v]` where v cells of value one are open."""

    unit: float
    table: tuple[int, ...]

    def observe(self, values):
        return values.new_tensor([0.0, len(self.table) * self.unit])

    def bind(self, full_scale, ctx):
        values = full_scale.new_tensor(self.table) * self.unit
        edges = (torch.arange(1, len(self.table)).to(full_scale) - 0.5) * self.unit
        return Lookup(edges, values)


#: Of ONNC-CIM (commit dd15eae): 20 rows, inputs of 6 bits, 3 of a fraction, weights of 6, 4 of one.
ONNC = [-1.125, 1.21875, 2.90625]


@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("rows", [1, 4, 9, 20])
@pytest.mark.parametrize("exact", [True, False])
def test_outputs_of_a_sensing_table_come_back_to_the_digit(rows, exact, adc_per):
    i = torch.arange(20, dtype=torch.float64)
    x = ((7 * i + 3 * torch.arange(3.0)[:, None]) % 13 - 6) / 4
    weight = ((5 * i[None]) % 11 - 5) / 8
    volts = 0.2 / (31 / 8) * 4  # of a bit of an input: two's complement reaches down to -4
    mem = bare(
        weight,
        device=ReferenceDevice(r_on=1e4, r_off=1e12),
        mapper={
            "name": "bit_slice",
            "weight_bits": 6,
            "slice_bits": 1,
            "encoding": "twos_complement",
            "w_max": 31 / 16,
        },
        dac={"name": "bit_serial", "bits": 6, "full_scale": 31 / 8, "signed": "twos_complement"},
        adc=Sensed(
            unit=volts * (1e-4 - 1e-12),
            table=tuple(v if exact else max(v - 1, 0) for v in range(21)),
        ),
        rows_at_once=rows,
        adc_per=adc_per,
        tile=(32, 32),
    )
    with torch.no_grad():
        y = mem(x)[:, 0]
    if exact:
        torch.testing.assert_close(y, x @ weight[0], rtol=0, atol=1e-9)
    elif rows == 4:
        torch.testing.assert_close(y, y.new_tensor(ONNC), rtol=0, atol=1e-9)


class OfTheBatch(nn.Module):
    """Levels between the lowest and the highest value at hand, rounded down, tile by tile."""

    def __init__(self, bits):
        super().__init__()
        self.bits = bits

    def forward(self, x):
        low, high = x.amin((0, 1, 3), keepdim=True), x.amax((0, 1, 3), keepdim=True)
        span = high - low
        code = ((x - low) / span * 2**self.bits + 1e-6).floor().clamp(max=2**self.bits - 1)
        return torch.where(span > 1e-9 * high, low + code * span / 2**self.bits, x)


@dataclass(frozen=True, kw_only=True)
class BatchRange(Converter):
    bits: int

    def observe(self, values):
        return values.new_tensor([0.0, 1.0])

    def bind(self, full_scale, ctx):
        return OfTheBatch(self.bits)


#: What the integers of NeuroSim's emulation of inference give (weights of 8 bits beside a dummy
#: column, arrays of 128 rows, on/off ratio 10), exact ties rounded up; bits of ADC and cell.
NEUROSIM = {
    (5, 1): [-0.817061, -0.021093, 1.007564, 0.558507],
    (5, 2): [-0.690031, 0.024055, 1.09494, 0.553947],
    (5, 4): [-0.671009, 0.008564, 1.083223, 0.625643],
    (8, 1): [-0.607093, 0.122033, 1.232634, 0.722618],
    (8, 2): [-0.590662, 0.11797, 1.242689, 0.724664],
    (8, 4): [-0.591805, 0.123042, 1.242252, 0.730562],
}


@pytest.mark.parametrize(("bits", "cell"), NEUROSIM)
def test_outputs_of_neurosim_come_back_to_the_digit(bits, cell):
    i, j = torch.arange(256, dtype=torch.float64), torch.arange(4, dtype=torch.float64)
    weight = ((7 * i + 13 * j[:, None]) % 255 - 127) / 128
    x = (11 * i) % 256 / 256
    mem = bare(
        weight,
        device=ReferenceDevice(r_on=1e4, r_off=1e5),
        mapper={"name": "bit_slice", "slice_bits": cell, "encoding": "midpoint", "w_max": 1.0},
        dac={"name": "bit_serial", "bits": 8, "full_scale": (0.0, 1.0)},
        adc=BatchRange(bits=bits),
        adc_per="column",
        tile=(128, 128),
    )
    with torch.no_grad():
        y = mem(x[None])[0] * (127.5 / 128) * (255 / 256)  # its steps are 1/128 and 1/256
    torch.testing.assert_close(y, y.new_tensor(NEUROSIM[bits, cell]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_a_fixed_range_is_right_on_average_where_one_of_the_batch_rounds_down(cell):
    """The sums of 128 rows that NeuroSim's emulation digitises, in 5 bits."""
    i, j = torch.arange(256, dtype=torch.float64), torch.arange(4, dtype=torch.float64)
    weight = (255 / 2 * ((((7 * i + 13 * j[:, None]) % 255 - 127) / 128) + 1)).round().long()
    inputs = ((11 * i) % 256 / 256 * 255).round().long()
    bit = (inputs >> torch.arange(8)[:, None]) & 1
    digits = (weight >> torch.arange(0, 8, cell)[:, None, None]) & (2**cell - 1)
    product = bit[:, None, None] * digits  # steps, slices, outputs, rows
    sums = product.unflatten(-1, (2, 128)).sum(-1).double().movedim(-1, 2)
    low, high = sums.amin(-1, keepdim=True), sums.amax(-1, keepdim=True)
    apart = (high > low).expand(sums.shape)
    told = OfTheBatch(5)(sums.flatten(0, 2)[None, None])[0, 0]
    lost = (told.view(sums.shape) - sums) / ((high - low) / 2**5)
    assert lost[apart].mean() < -0.3
    top = 128.0 * (2**cell - 1)
    fixed = memcore.converters["uniform"](bits=5, full_scale=(0.0, top))
    form = fixed.bind(torch.tensor([0.0, top]), Context(random=Stream(0)))
    missed = (form(sums.float()).double() - sums) / float(form.step)
    assert missed.mean().abs() < 0.1
