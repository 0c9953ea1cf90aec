"""Weights in slices and inputs in steps: with lossless converters, integers stay exact."""

import copy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import (
    Affine,
    Converter,
    CrossbarConfig,
    Gaussian,
    Mapped,
    Mapper,
    NonIdeality,
    Part,
    Reference,
    SerialLevels,
    Stage,
    Stream,
    UniformLevels,
    native,
)
from memcore.crossbar.numbering import TRAINING
from memcore.crossbar.readers import Electrical, Exact, Tiled
from memcore.crossbar.readers import Serial as SerialReads
from memcore.crossbar.readers.phases import in_phases
from memcore.testing.cases import ReferenceDevice
from memcore.testing.layer_case import Ohmic

#: Conductances of the device are 1, 2, 3 or 4 times this, for the digits 0, 1, 2 and 3.
UNIT = 2.5e-5
DEVICE = ReferenceDevice(r_on=1 / (4 * UNIT), r_off=1 / UNIT)
#: The largest input, and the largest magnitude of a weight in three digits.
PEAK, LARGEST = 7, 31
READ_VOLTAGE = 0.2

#: A column or a lane without a converter is what some of these tests compare with.
pytestmark = pytest.mark.filterwarnings(
    "ignore:adc_per='column' changes nothing:memcore.errors.NoEffectWarning"
)


def digits(code, count):
    """Base 4, the lowest digit first."""
    return [torch.div(code, 4**k, rounding_mode="floor") % 4 for k in range(count)]


@dataclass(frozen=True, kw_only=True)
class Sliced(Mapper):
    """Integer weights in digits of two bits, each in a lane of its own."""

    signs: str = "differential"

    def map(self, weight, device, ctx):
        parts = []
        if self.signs == "differential":
            for sign in (1, -1):
                for lane, digit in enumerate(digits((sign * weight).clamp(min=0), 3)):
                    parts.append(Part(target=UNIT * (1 + digit), lane=lane, sign=sign))
        else:
            for lane, digit in enumerate(digits(weight + 32, 3)):
                # The offset 32 has the digits 0, 0 and 2.
                zero = weight.new_full((*weight.shape[:2], 1), UNIT * (3 if lane == 2 else 1))
                parts.append(Part(target=UNIT * (1 + digit), lane=lane))
                parts.append(Reference(target=zero, lane=lane))
        return Mapped(parts=tuple(parts), gain=weight.new_tensor([1.0, 4.0, 16.0]) / UNIT)


@dataclass(frozen=True, kw_only=True)
class Levels(Converter):
    """Integer codes of a fixed step, as a DAC of integers or as an ADC."""

    step: float = 1.0
    lo: int = -PEAK
    hi: int = PEAK
    bits: int = 4

    def observe(self, values):
        return values.new_tensor([self.lo * self.step, self.hi * self.step])

    def bind(self, full_scale, ctx):
        return UniformLevels(full_scale.new_tensor([self.step]), self.lo, self.hi)


@dataclass(frozen=True, kw_only=True)
class Serial(Levels):
    """The same, applied in steps of some bits."""

    bits_per_step: int = 1
    signed: str = "magnitude"

    def bind(self, full_scale, ctx):
        return SerialLevels(
            full_scale.new_tensor([self.step]),
            self.lo,
            self.hi,
            bits_per_step=self.bits_per_step,
            signed=self.signed,
        )


@dataclass(frozen=True, kw_only=True)
class Quiet(NonIdeality):
    """Noise of the cells, of a size that no converter sees."""

    stage = Stage.READ
    std: float = 1e-13

    def bind(self, array, ctx):
        return Gaussian(std=self.std)


def lossless_adc(dac=None):
    """An ADC with one code for each sum of integers."""
    drive = 1.0
    if isinstance(dac, Serial):
        drive = max(abs(dac.lo), dac.hi) / (2**dac.bits_per_step - 1)
    largest = PEAK if dac is None else max(abs(dac.lo), dac.hi)
    return Levels(step=READ_VOLTAGE / largest * UNIT * drive, lo=-4095, hi=4095, bits=13)


#: How a read is made: what it takes, and the reader that memcore chooses for it.
READERS = {
    "exact": ({}, Exact),
    "tiled": ({"adc": True}, Tiled),
    "noisy": ({"adc": True, "nonidealities": [Quiet()]}, Tiled),
    "noisy without ADC": ({"nonidealities": [Quiet()]}, Tiled),
    "electrical": ({"adc": True, "nonidealities": [Ohmic()]}, Electrical),
    "electrical without ADC": ({"nonidealities": [Ohmic()]}, Electrical),
}


def integers(low, high, *shape, name="x"):
    draws = Stream(3).child(name).uniform(shape, dtype=torch.float64)
    return torch.floor(low + (high + 1 - low) * draws).float()


def of_integers(module):
    """The module with integer weights and biases that three digits hold."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(integers(-LARGEST, LARGEST, *parameter.shape, name=name))
    return module


def converted(module, *, dac=None, adc=False, **how):
    dac = Levels() if dac is None else dac
    return memcore.convert(
        module,
        CrossbarConfig(
            device=DEVICE,
            dac=dac,
            adc=lossless_adc(dac) if adc else None,
            read_voltage=READ_VOLTAGE,
            **{"mapper": Sliced(), **how},
        ),
    )


def assert_integers(found, expected):
    """The same integers, up to the rounding of float32."""
    assert torch.equal(expected, expected.round())
    assert torch.equal(found.round(), expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=5e-3)


HOW = st.fixed_dictionaries(
    {
        "mapper": st.builds(Sliced, signs=st.sampled_from(["differential", "reference"])),
        "adc_per": st.sampled_from(["output", "column"]),
        "tile": st.none() | st.sampled_from([(4, 3), (5, 4), (6, 16), (24, 2), (128, 128)]),
        "rows_at_once": st.none() | st.sampled_from([1, 2, 3, 4, 7, 64]),
        "bias": st.sampled_from(["digital", "mapped"]),
    }
)
readers = pytest.mark.parametrize(("way", "reader"), READERS.values(), ids=READERS)


def is_read_by(layer, reader):
    """Whether the layer is read as expected.

    Groups that cross tiles take the electrical way, and noise that outputs share.
    """
    crossbar = layer.crossbar
    shares = crossbar.is_stochastic and crossbar.tiling.references > 0
    if reader is Tiled and (shares or not crossbar.plan.groups_are_even):
        reader = Electrical
    return isinstance(crossbar.reader, reader)


@readers
@given(how=HOW, bias=st.booleans())
def test_slices_compute_the_integer_product(way, reader, how, bias):
    layer = of_integers(nn.Linear(11, 5, bias=bias))
    x = integers(-PEAK, PEAK, 6, 11)
    mem = converted(layer, **way, **how)

    assert is_read_by(mem, reader)
    with torch.no_grad():
        assert_integers(mem(x), layer(x))


@readers
@settings(max_examples=30)
@given(how=HOW, groups=st.sampled_from([1, 2]))
def test_slices_of_a_grouped_convolution_compute_the_integer_product(way, reader, how, groups):
    layer = of_integers(nn.Conv2d(2 * groups, 3 * groups, (3, 2), padding=1, groups=groups))
    x = integers(-PEAK, PEAK, 2, 2 * groups, 5, 4)
    mem = converted(layer, **way, **how)

    assert is_read_by(mem, reader)
    with torch.no_grad():
        assert_integers(mem(x), layer(x))


@dataclass(frozen=True, kw_only=True)
class Scaled(Sliced):
    """Integers times 1, 2, 3, ..., each output with a scale of its own."""

    def map(self, weight, device, ctx):
        scale = torch.arange(1, weight.shape[-1] + 1).to(weight)
        mapped = Sliced.map(self, (weight / scale).round(), device, ctx)
        return Mapped(parts=mapped.parts, gain=mapped.gain[:, None] * scale)


@readers
@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("signs", ["differential", "reference"])
@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_outputs_may_have_a_scale_of_their_own(way, reader, adc_per, signs, bias):
    layer = of_integers(nn.Conv1d(6, 8, 3, groups=2))
    with torch.no_grad():
        for parameter in layer.parameters():
            scale = torch.arange(1.0, 5.0).repeat(2)
            parameter.mul_(scale.view(-1, *[1] * (parameter.dim() - 1)))
    x = integers(-PEAK, PEAK, 2, 6, 5)
    mem = converted(
        layer, mapper=Scaled(signs=signs), adc_per=adc_per, tile=(4, 3), bias=bias, **way
    )

    assert is_read_by(mem, reader)
    with torch.no_grad():
        assert_integers(mem(x), layer(x))


def test_gradients_are_those_of_the_digital_layer():
    layer = of_integers(nn.Linear(11, 5))
    mem = converted(layer, adc=True, tile=(4, 3), rows_at_once=2)
    x = integers(-PEAK, PEAK, 6, 11)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    mem(found).square().sum().backward()
    layer(expected).square().sum().backward()

    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(mem.weight.grad, layer.weight.grad, rtol=1e-4, atol=1e-3)


# -- rounds and offsets of single reads ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LineOffset(NonIdeality):
    """Each bit line carries a current of its own whenever it is read."""

    stage = Stage.CURRENT
    amperes: float = 0.0

    def bind(self, array, ctx):
        return Affine(offset=self.amperes)


@pytest.mark.parametrize("products", [[], [Ohmic()]], ids=["product", "circuit"])
@pytest.mark.parametrize("rows_at_once", [None, 2, 3, 4, 5])
@pytest.mark.parametrize("tile", [(4, 16), (5, 16), (6, 16), (16, 16)])
def test_a_line_is_read_once_for_each_group_of_word_lines(tile, rows_at_once, products):
    layer = of_integers(nn.Linear(10, 3, bias=False))
    adc = lossless_adc(Levels())
    effects = [*products, LineOffset(amperes=5 * adc.step)]
    mem = converted(
        layer,
        adc=True,
        mapper=Constant(),
        tile=tile,
        rows_at_once=rows_at_once,
        nonidealities=effects,
    )
    with torch.no_grad():
        y = mem(torch.zeros(1, 10))

    groups = mem.crossbar.plan.row_groups
    torch.testing.assert_close(y, torch.full_like(y, 5.0 * groups), rtol=1e-5, atol=0)


@dataclass(frozen=True, kw_only=True)
class LineNoise(NonIdeality):
    """Each bit line has noise of its own whenever it is read."""

    stage = Stage.CURRENT
    std: float = 0.0

    def bind(self, array, ctx):
        return Gaussian(self.std)


@pytest.mark.parametrize("adc", [True, False], ids=["adc", "exact outputs"])
def test_lines_have_noise_of_their_own_for_each_group_of_word_lines(adc):
    layer = nn.Linear(12, 2, bias=False)
    step = lossless_adc(Levels()).step
    how = {"adc": True} if adc else {}
    mem = converted(
        layer,
        mapper=Constant(),
        tile=(6, 16),
        rows_at_once=2,
        nonidealities=[LineNoise(std=50 * step)],
        **how,
    )
    with torch.no_grad():
        y = mem(torch.zeros(20_000, 12))

    # Two tiles of three groups each: the variances of six independent draws add up.
    assert float(y.mean()) == pytest.approx(0, abs=4 * 50 * (6 / 20_000) ** 0.5)
    assert float(y.var()) == pytest.approx(6 * 50**2, rel=0.05)


@pytest.mark.parametrize(
    "effects",
    [["read_noise"], ["read_noise", LineNoise(std=1e-6)], ["read_noise", Ohmic()]],
    ids=["product", "lines", "circuit"],
)
def test_what_is_read_does_not_depend_on_the_blocks_of_a_batch(effects, monkeypatch):
    layer, x = nn.Linear(12, 5), torch.randn(50, 12)
    found = []
    for currents in (1 << 20, 700, 1):
        monkeypatch.setattr("memcore.crossbar.readers.electrical._CURRENTS", currents)
        mem = converted(layer, tile=(6, 4), rows_at_once=2, nonidealities=effects)
        with torch.no_grad():
            found.append(mem(x))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)
    assert len(found[0].unique(dim=0)) == 50


@dataclass(frozen=True, kw_only=True)
class Constant(Mapper):
    """All weights are 1, in one column each."""

    def map(self, weight, device, ctx):
        target = torch.full_like(weight, UNIT)
        return Mapped(parts=(Part(target=target),), gain=weight.new_tensor([1 / UNIT]))


@pytest.mark.parametrize("products", [[], [Ohmic()]], ids=["product", "circuit"])
def test_the_noise_of_a_reference_cell_is_common_to_the_outputs_of_its_lane(products):
    layer = nn.Linear(1, 3, bias=False)
    nn.init.zeros_(layer.weight)
    noise = {"name": "read_noise", "std": 1e-7, "relative": 0.0}
    mem = converted(
        layer, mapper=Sliced(signs="reference"), nonidealities=[*products, noise], tile=None
    )
    with torch.no_grad():
        y = mem(torch.ones(20_000, 1)) / 1e-7 * UNIT

    # Gains are 1, 4 and 16; a weight and the reference beside it draw one number each.
    one = 1 + 4**2 + 16**2
    wanted = one * (torch.eye(3) + torch.ones(3, 3))
    torch.testing.assert_close(torch.cov(y.T), wanted, rtol=0.05, atol=0.03 * one)


# -- ranges ----------------------------------------------------------------------------------------


def calibrated(seed=0, **how):
    layer = of_integers(nn.Linear(11, 5))
    x = integers(-PEAK, PEAK, 40, 11)
    config = CrossbarConfig(
        device=DEVICE, mapper=Sliced(), adc={"name": "uniform", "symmetric": False}, **how
    )
    return memcore.convert(layer, config, seed=seed, calibration=x), layer, x


@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_each_lane_has_the_range_of_its_own_currents(adc_per):
    mem, layer, x = calibrated(adc_per=adc_per)
    matrix = layer.weight.detach().T.unsqueeze(0)
    mapped = Sliced().map(matrix, DEVICE, None)
    voltage = x * mem.crossbar.input_scale
    for lane, found in enumerate(mem.crossbar.output.range):
        pair = (mapped.parts[lane], mapped.parts[lane + 3])
        columns = [part.sign * (voltage @ part.target[0]) for part in pair]
        if adc_per == "column":
            currents = torch.cat([columns[0], -columns[1]])
        else:
            currents = columns[0] + columns[1]
        wanted = torch.stack([currents.min(), currents.max()])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-9)
    assert len(mem.crossbar.output.range.unique(dim=0)) == 3


@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_ranges_of_lanes_are_saved_and_loaded(adc_per):
    mem, _, x = calibrated(adc_per=adc_per)
    again = memcore.convert(
        of_integers(nn.Linear(11, 5)), mem.crossbar.config, calibration=torch.zeros(1, 11)
    )
    again.load_state_dict(copy.deepcopy(mem.state_dict()))

    assert torch.equal(again.crossbar.output.range, mem.crossbar.output.range)
    assert torch.equal(again(x), mem(x))


# -- inputs in steps -------------------------------------------------------------------------------

SERIAL = {
    "magnitude, 1 bit": Serial(),
    "magnitude, 2 bits": Serial(bits_per_step=2),
    "split": Serial(signed="split"),
    "split, 2 bits": Serial(signed="split", bits_per_step=2),
    "two's complement": Serial(lo=-8, hi=7, signed="twos_complement"),
    "two's complement, 2 bits": Serial(lo=-8, hi=7, signed="twos_complement", bits_per_step=2),
    "unsigned": Serial(lo=0, hi=15, signed="twos_complement"),
    "unsigned, 2 bits": Serial(lo=0, hi=15, signed="twos_complement", bits_per_step=2),
}
serial = pytest.mark.parametrize("dac", SERIAL.values(), ids=SERIAL)


@serial
def test_digits_add_up_to_the_code(dac):
    levels = dac.bind(torch.tensor([0.0, 1.0]), None)
    codes = torch.arange(dac.lo - 2.0, dac.hi + 3.0)
    drives = levels.digits(codes)
    peak = max(abs(dac.lo), dac.hi)

    assert len(drives) == len(levels.places) == levels.steps
    total = sum(place * each for place, each in zip(levels.places, drives, strict=True))
    torch.testing.assert_close(total, codes.clamp(dac.lo, dac.hi))
    assert torch.equal(levels(codes), codes.clamp(dac.lo, dac.hi))
    assert drives.abs().max() <= peak * (1 + 1e-6)
    if dac.signed != "magnitude":
        assert drives.min() >= 0


@serial
@readers
@pytest.mark.parametrize("signs", ["differential", "reference"])
@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_inputs_in_steps_give_the_integer_product(dac, way, reader, signs, adc_per):
    layer = of_integers(nn.Linear(11, 5))
    x = integers(dac.lo, dac.hi, 6, 11)
    how = {"mapper": Sliced(signs=signs), "adc_per": adc_per, "tile": (4, 3), "rows_at_once": 2}
    mem = converted(layer, dac=dac, **way, **how)
    plain = converted(layer, dac=Levels(lo=dac.lo, hi=dac.hi), **way, **how)

    assert mem.crossbar.plan.places == dac.bind(torch.zeros(2), None).places
    reader = Electrical if reader is Exact else reader
    if (
        reader is Tiled
        and not mem.crossbar.is_stochastic
        and native.cpu() is not None
        and native.cpu().looks_up_bytes()
    ):
        reader = SerialReads
    assert is_read_by(mem, reader)
    with torch.no_grad():
        assert_integers(mem(x), layer(x))
        torch.testing.assert_close(mem(x), plain(x), rtol=1e-4, atol=5e-3)


@serial
def test_a_mapped_bias_is_driven_in_steps_too(dac):
    layer = of_integers(nn.Linear(11, 5))
    x = integers(dac.lo, dac.hi, 6, 11)
    mem = converted(layer, dac=dac, bias="mapped", nonidealities=[Ohmic()])
    with torch.no_grad():
        torch.testing.assert_close(mem(x), layer(x), rtol=1e-4, atol=5e-3)


@serial
def test_the_constant_input_counts_1_and_no_line_of_twos_complement_is_driven_negative(dac):
    levels = dac.bind(torch.zeros(2), None)
    phases = in_phases(levels, torch.zeros(1, 1, 3), constant=True)
    constant = [lines[0, 0, -1] for lines, _ in phases]

    total = sum(place * each for each, (_, place) in zip(constant, phases, strict=True))
    assert float(total) == pytest.approx(1.0)
    assert min(constant) >= 0


@pytest.mark.parametrize(("lo", "hi"), [(-7, 7), (-8, 8), (-6, 5), (1, 5)])
def test_codes_without_a_twos_complement_are_refused(lo, hi):
    with pytest.raises(memcore.ConfigError, match=rf"codes from {lo} to {hi} have no two's"):
        SerialLevels(1.0, lo, hi, signed="twos_complement")


def test_each_step_draws_noise_of_its_own():
    layer = nn.Linear(1, 2000, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    noise = {"name": "read_noise", "std": 1e-7, "relative": 0.0}
    settings = {"mapper": Constant(), "tile": None, "nonidealities": [noise]}
    drawn = []
    for dac in (Serial(lo=0, hi=2), Serial(lo=0, hi=1), Serial(lo=0, hi=3)):
        mem = converted(layer, dac=dac, **settings)
        with torch.no_grad():
            y = mem(torch.full((1, 1), float(dac.hi)))[0] / dac.hi - 1
        drawn.append(y / 1e-7 * UNIT)
    # The code 2 has one digit, in the second place; 3 has one in each, weighted by 1/3 and 2/3.
    high, only, both = drawn
    assert float(high.std()) == pytest.approx(1.0, rel=0.1)
    assert float(only.std()) == pytest.approx(1.0, rel=0.1)
    assert float(both.std()) == pytest.approx(5**0.5 / 3, rel=0.1)


@pytest.mark.parametrize(("training", "begin"), [(False, 0), (True, TRAINING)])
def test_repeated_reads_and_steps_never_share_a_draw(training, begin):
    layer = nn.Linear(1, 50, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    noise = {"name": "read_noise", "std": 1e-7, "relative": 0.0}
    mem = converted(layer, dac=Serial(), mapper=Constant(), nonidealities=[noise])
    mem.train(training)
    seen = []
    kept = Tiled._product

    def watched(x, numbers):
        seen.extend(numbers.tolist())
        return kept(mem.crossbar.reader, x, numbers)

    mem.crossbar.reader._product = watched
    with torch.no_grad():
        mem(torch.ones(4, 1))
        mem(torch.ones(3, 1))
    assert sorted(seen) == [3 * begin + number for number in range(3 * (4 + 3))]
