"""Reads of cells that hold whole numbers, digit by digit."""

import pytest
import torch

from memcore import SerialLevels, native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import serial_read as op

#: Lowest and highest code, bits of a step, and how negative codes are applied.
DACS = {
    "unsigned": (0, 255, 1, "magnitude"),
    "magnitude": (-127, 127, 1, "magnitude"),
    "two bits": (-100, 127, 2, "magnitude"),
    "split": (-127, 127, 3, "split"),
    "two's complement": (-128, 127, 1, "twos_complement"),
    "two's complement of digits": (-128, 100, 4, "twos_complement"),
    "never zero": (1, 5, 1, "magnitude"),
}
dacs = pytest.mark.parametrize("dac", DACS.values(), ids=DACS)
#: Reads, groups, rows, columns, rows of a tile, and the largest number of a cell.
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (1, 1, 128, 9, 128, 3),
    (1, 1, 300, 257, 128, 7),
    (2, 2, 70, 130, 20, 63),
    (3, 2, 70, 13, 9, 1),
    (65, 1, 300, 5, 128, 7),
    (130, 3, 45, 10, 20, 63),
    (17, 1, 1030, 3, 1024, 63),
    (4200, 1, 33, 3, 16, 3),
]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def digits_of(dac, step=0.25):
    lo, hi, bits, signed = dac
    form = SerialLevels(step, lo, hi, bits_per_step=bits, signed=signed)
    return form, op.Digits(form.step, sum(form.planes, ()), form.places, form.lo, form.hi)


def case(size, dac, *, factor=1.0, base=None, ends=(-(2.0**22), 2.0**22)):
    """Inputs, cells and converters."""
    n, groups, rows, cols, tile_rows, largest = size
    torch.manual_seed(n + rows)
    form, digits = digits_of(dac)
    full = 2**form.bits_per_step - 1
    largest = min(largest, (2**15 - 1) // (tile_rows * full))
    numbers = torch.randint(-largest, largest + 1, (groups, rows, cols), dtype=torch.int8)
    x = 0.25 * torch.randint(int(dac[0]) - 3, int(dac[1]) + 4, (n, groups, rows)).float()
    each = None if base is None else torch.full((cols,), base)
    laid, scale = op.lay_out(numbers, tile_rows), 1 + torch.rand(groups * cols)
    adc = op.adc_of(laid, full, torch.full((cols,), factor), each, scale, ends)
    return x, numbers, laid, form, digits, adc


def in_double(x, numbers, form, adc, tile_rows):
    """What arrays give whose cells hold the numbers, in float64."""
    full = 2**form.bits_per_step - 1
    peak = form.step.double() * max(abs(form.lo), abs(form.hi))
    y = 0.0
    digits = (form.digits(x.double()) * full / peak).round()  # of what is no whole volt
    for driven, place in zip(digits, form.places, strict=True):
        for first in range(0, x.shape[2], tile_rows):
            some = driven[..., first : first + tile_rows]
            held = numbers[:, first : first + tile_rows].double()
            current = torch.einsum("ngk,gkc->ngc", some, held)
            if adc.base is not None:
                current = current + some.sum(-1, keepdim=True) * adc.base.double()
            codes = (current * adc.factor.double()).round().clamp(adc.lo, adc.hi)
            y = y + place * codes * adc.scale.double().view(numbers.shape[0], -1)
    return y


def assert_exact(y, exact):
    """Equal but for the rounding of the sum of phases."""
    torch.testing.assert_close(y.double(), exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))


@dacs
@sizes
def test_sums_of_whole_numbers_are_exact(size, dac):
    x, numbers, laid, form, digits, adc = case(size, dac)
    exact = in_double(x, numbers, form, adc, size[4])
    assert_exact(op.serial_read(x, laid, digits, adc), exact)


@dacs
@sizes
def test_the_adc_rounds_and_clips_each_of_them(size, dac):
    # No sum times this factor lies between two codes but at a tie, which is even on both sides.
    ends = (-20.0, 31.0)
    x, numbers, laid, form, digits, adc = case(size, dac, factor=0.125, ends=ends)
    exact = in_double(x, numbers, form, adc, size[4])
    assert_exact(op.serial_read(x, laid, digits, adc), exact)


@pytest.mark.parametrize("ends", [(-0.5, 3.5), (-float("inf"), float("inf")), (0.0, 3.25)], ids=str)
def test_ends_that_are_no_integers_clip_as_they_are(ends):
    size = (65, 1, 64, 5, 16, 3)
    x, numbers, laid, form, digits, adc = case(size, DACS["magnitude"], factor=0.317, ends=ends)
    exact = in_double(x, numbers, form, adc, size[4])
    assert_exact(op.serial_read(x, laid, digits, adc), exact)


@dacs
@sizes
@pytest.mark.parametrize("base", [None, 0.37])
def test_the_kernel_equals_the_reference_to_the_bit(size, dac, base):
    x, _, laid, _, digits, adc = case(size, dac, factor=0.3, base=base, ends=(-40.0, 50.0))
    y = op.serial_read(x, laid, digits, adc)
    assert torch.equal(y, op._reference(x, laid, digits, adc))


@pytest.mark.parametrize("factor", [0.125, 0.317, 1.0, 3.71, 127 / 97, 127 / 31])
@pytest.mark.parametrize("dac", [DACS["unsigned"], DACS["two bits"]], ids=str)
def test_codes_of_16_bits_are_those_of_floats(dac, factor):
    """Where a multiplier was found, it gives the codes of all sums."""
    x, _, laid, _, digits, adc = case(SIZES[1], dac, factor=factor, ends=(-127.0, 127.0))
    assert int(adc.short[0, 0]) > 0 or factor < 1  # none for halves, which go to even codes
    slow = adc._replace(short=torch.zeros_like(adc.short))
    y = op.serial_read(x, laid, digits, slow)
    assert torch.equal(op.serial_read(x, laid, digits, adc), y)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("base", [None, 0.37])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_read_depends_neither_on_the_others_nor_on_threads(count, base, threads):
    size = (130, 3, 45, 200, 20, 63)
    x, _, laid, _, digits, adc = case(size, DACS["magnitude"], factor=0.3, base=base)
    together, before = op.serial_read(x, laid, digits, adc), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        some = [op.serial_read(each, laid, digits, adc) for each in x.split(count)]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.cat(some), together)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_read_too(dtype):
    x, numbers, laid, form, digits, adc = case(SIZES[1], DACS["magnitude"])
    y = op.serial_read(x.to(dtype), laid, digits, adc)
    assert y.dtype == dtype
    exact = in_double(x, numbers, form, adc, 128)
    scale = float(exact.abs().max())
    eps = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), exact, rtol=eps, atol=max(eps, 1e-6) * scale)


@pytest.mark.parametrize("size", SIZES[4:6], ids=str)
def test_an_input_that_is_nan_gives_nan_in_its_read_alone(size):
    x, _, laid, _, digits, adc = case(size, DACS["magnitude"])
    clean = op.serial_read(x, laid, digits, adc)
    x[1, 0, 33] = torch.nan
    y = op.serial_read(x, laid, digits, adc)
    assert y[1, 0].isnan().all()
    y[1, 0] = clean[1, 0]
    assert torch.equal(y, clean)


def test_infinite_inputs_saturate():
    x, _, laid, _, digits, adc = case(SIZES[1], DACS["magnitude"])
    sign = torch.where(x < 0, -1.0, 1.0)
    found = op.serial_read(torch.inf * sign, laid, digits, adc)
    assert torch.equal(found, op.serial_read(1e6 * sign, laid, digits, adc))


def test_nothing_gives_nothing():
    x, _, laid, _, digits, adc = case(SIZES[1], DACS["magnitude"])
    assert op.serial_read(x[:0], laid, digits, adc).shape == (0, 1, 9)


@dacs
def test_planes_are_the_digits_of_the_form(dac):
    form, digits = digits_of(dac)
    codes = torch.arange(dac[0], dac[1] + 1, dtype=torch.int32)
    full, peak = 2**form.bits_per_step - 1, form.step * max(abs(form.lo), abs(form.hi))
    for phase, driven in enumerate(form.digits(0.25 * codes)):
        digit = op._driven(codes, digits, phase)
        torch.testing.assert_close(driven, digit * (peak / full), rtol=1e-6, atol=0)


def test_what_does_not_fit_is_refused():
    x, numbers, laid, _, digits, adc = case(SIZES[1], DACS["magnitude"])
    with pytest.raises(ConfigError, match="numbers are up to 100 and tile_rows is 128"):
        op.lay_out(torch.full((1, 2, 2), 100, dtype=torch.int8), 128)
    with pytest.raises(ShapeError, match=r"numbers is torch.float32 of shape \[1, 128, 9\]"):
        op.lay_out(numbers.float(), 128)
    with pytest.raises(ArgumentTypeError, match=r"x is torch\.int64"):
        op.serial_read(x.long(), laid, digits, adc)
    with pytest.raises(ArgumentTypeError, match=r"cells is torch\.uint8; expected torch\.int8"):
        op.serial_read(x, laid._replace(cells=laid.cells.to(torch.uint8)), digits, adc)
    with pytest.raises(ShapeError, match="tables has shape"):
        op.serial_read(x[..., :-1], laid._replace(tile_rows=64), digits, adc)
    large = op.lay_out(torch.full((1, 700, 1), 63, dtype=torch.int8), 700)
    with pytest.raises(ConfigError, match="sums of numbers in a tile are up to 44100; expected at"):
        op.adc_of(large, 1, torch.ones(1), None, torch.ones(1), (-1.0, 1.0))
    backwards = digits._replace(planes=digits.planes[-4:] + digits.planes[:-4])
    with pytest.raises(ConfigError, match="expected four numbers for each plane, by phases"):
        op.serial_read(x, laid, backwards, adc)


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_it_is_an_operator_that_a_compiler_may_call():
    x, _, laid, _, digits, adc = case(SIZES[4], DACS["split"])
    args = (x, laid.tables, laid.shift, laid.cells, digits.step, adc.factor, adc.base, adc.scale)
    rest = (
        adc.short,
        list(digits.planes),
        list(digits.places),
        laid.together,
        laid.within,
        laid.tile_rows,
        [-127.0, 127.0, -9.0, 9.0],
    )
    torch.library.opcheck(torch.ops.memcore.serial_read.default, (*args, *rest))
