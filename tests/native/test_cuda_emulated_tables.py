"""CUDA kernels of whole numbers, sensed sums and codes without a GPU, against those of the CPU."""

import pytest
import torch

import memcore
from memcore import LogNormal, SerialLevels, native
from memcore.ops import codebook_product, sensed_sums, serial_read
from memcore.ops.serial_read import Digits

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_emulated_gpu")]


def generator(seed: int) -> torch.Generator:
    """Not of a `Stream`, whose draws are what is tested here."""
    return torch.Generator().manual_seed(seed)


# -- whole numbers ---------------------------------------------------------------------------------

#: Lowest and highest code, bits of a step, and how negative codes are applied.
DACS = {
    "unsigned": (0, 255, 1, "magnitude"),
    "magnitude": (-127, 127, 1, "magnitude"),
    "one step": (0, 15, 4, "magnitude"),
    "two steps": (-100, 127, 4, "magnitude"),
    "split": (-127, 127, 3, "split"),
    "two's complement": (-128, 127, 1, "twos_complement"),
    "two's complement of digits": (-128, 100, 4, "twos_complement"),
    "never zero": (1, 5, 1, "magnitude"),
    "digits of two bytes": (-255, 255, 8, "magnitude"),
    "many phases": (-2000, 2000, 1, "split"),
}
#: Reads, groups, rows, columns, rows of a tile, and the largest number of a cell.
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (1, 1, 128, 9, 128, 3),
    (3, 2, 70, 13, 9, 1),
    (130, 3, 45, 70, 20, 63),
    (17, 1, 1030, 3, 1024, 63),
    (601, 1, 33, 130, 16, 3),  # enough for the large blocks
]


def whole(size, dac, base=None, ends=(-40.0, 50.0)):
    """Inputs, cells, digits and converters."""
    n, groups, rows, cols, tile_rows, largest = size
    lo, hi, bits, signed = dac
    random = generator(n + rows)
    form = SerialLevels(0.25, lo, hi, bits_per_step=bits, signed=signed)
    digits = Digits(form.step, sum(form.planes, ()), form.places, form.lo, form.hi)
    full = 2**bits - 1
    largest = min(largest, (2**15 - 1) // (tile_rows * full))
    held = torch.randint(-largest, largest + 1, (groups, rows, cols), generator=random)
    laid = serial_read.lay_out(held.to(torch.int8), tile_rows)
    x = 0.25 * torch.randint(int(lo) - 3, int(hi) + 4, (n, groups, rows), generator=random).float()
    each = None if base is None else torch.full((cols,), base)
    scale = 1 + torch.rand(groups * cols, generator=random)
    adc = serial_read.adc_of(laid, full, torch.full((cols,), 0.3), each, scale, ends)
    return x, laid, digits, adc


def by_cuda(x, laid, digits, adc):
    out = serial_read._empty(x, laid, digits, adc)
    assert serial_read._is_packable(digits)
    serial_read._by_cuda(out, *serial_read._dense(x, laid, digits, adc))
    return out


@pytest.mark.parametrize("dac", DACS.values(), ids=DACS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_serial_reads_are_those_of_the_processor_bit_for_bit(size, dac):
    base = 0.37 if size[0] % 2 else None
    case = whole(size, dac, base)
    assert torch.equal(by_cuda(*case), serial_read.serial_read(*case))


@pytest.mark.parametrize("ends", [(-0.5, 3.5), (-float("inf"), float("inf"))], ids=str)
def test_ends_that_are_no_integers_clip_as_those_of_the_processor(ends):
    for base in (None, 0.37):
        case = whole(SIZES[3], DACS["magnitude"], base, ends)
        assert torch.equal(by_cuda(*case), serial_read.serial_read(*case))


def test_reads_in_pieces_are_those_at_once(monkeypatch):
    case = whole(SIZES[3], DACS["split"])
    once = by_cuda(*case)
    monkeypatch.setattr(serial_read, "_WORDS", 3 * 15 * 8 * 57)  # of 57 reads
    assert torch.equal(by_cuda(*case), once)


def test_inputs_that_are_nan_or_infinite_are_those_of_the_processor():
    x, *rest = whole(SIZES[2], DACS["magnitude"])
    x[1, 0, 69], x[2, 1, 3], x[0, 1, 1] = torch.nan, torch.inf, -torch.inf
    found, expected = by_cuda(x, *rest), serial_read.serial_read(x, *rest)
    assert found[1, 0].isnan().all()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_digits_of_more_than_two_bytes_or_too_many_phases_are_for_the_reference():
    for dac in ((0, 2**17, 17, "magnitude"), (-(2.0**23), 2.0**23, 1, "split")):
        form = SerialLevels(1.0, *dac[:2], bits_per_step=dac[2], signed=dac[3])
        digits = Digits(form.step, sum(form.planes, ()), form.places, form.lo, form.hi)
        assert serial_read._is_packable(digits) == (dac[3] == "split")
    many = digits._replace(places=form.places * 2)
    assert not serial_read._is_packable(many)


# -- sensed sums -----------------------------------------------------------------------------------

TABLE = memcore.sensing_table("ideal", rows=9, spread=LogNormal(1.0, 0.3))


def bits(*shape, share=0.5):
    drawn = torch.rand(*shape, generator=generator(sum(shape)))
    return (drawn < share).to(torch.uint8)


def sums_by_cuda(*args):
    out = sensed_sums._empty(*args)
    sensed_sums._by_cuda(sensed_sums._Asked(*args).dense, out)
    return out


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("n", "groups", "units", "rows", "cols"),
    [
        (1, 1, 1, 1, 1),
        (3, 2, 5, 9, 7),
        (2, 1, 3, 4, 1500),
        (2, 1, 70, 2, 70),
        (40, 3, 2, 8, 81),  # enough for eight columns a thread
        (40, 2, 3, 9, 136),
    ],
)
def test_sensed_sums_are_those_of_the_processor_bit_for_bit(n, groups, units, rows, cols, share):
    args = (bits(n, groups, units, rows, share=share), bits(groups, units, rows, cols))
    reads = torch.arange(n) + 2**33
    told = (*args, reads, TABLE.threshold, TABLE.other, -77, 9, TABLE.threshold.shape[2])
    assert torch.equal(sums_by_cuda(*told), sensed_sums.sensed_sums(*told))
    right = (*args, reads, None, None, 0, 9, 1)
    assert torch.equal(sums_by_cuda(*right), sensed_sums.sensed_sums(*right))


@pytest.mark.parametrize(
    ("lines", "sensed"), [(1, 1), (4, 8), (20, 32), (33, 2**14), (255, 2), (1000, 1)]
)
@pytest.mark.parametrize("odd", [False, True], ids=["aliases", "any numbers"])
def test_sums_of_tables_of_any_size_are_those_of_the_processor(lines, sensed, odd):
    random, shape = generator(lines), (lines + 1, lines + 1, sensed)
    threshold = torch.rand(shape, generator=random)
    threshold[:, :, 0], threshold[:, ::2, -1] = 1.0, 0.0
    other = torch.randint(0, sensed, shape, generator=random).float()
    if odd:
        threshold, other = threshold * 1.5 - 0.2, other + 0.25
    opened = (torch.rand(20, 1, 2, lines, generator=random) < 0.7).to(torch.uint8)
    cells = (torch.rand(1, 2, lines, 530, generator=random) < 0.6).to(torch.uint8)
    args = (opened, cells, torch.arange(20), threshold, other, 17, lines, sensed)
    assert torch.equal(sums_by_cuda(*args), sensed_sums.sensed_sums(*args))


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("n", "rows", "cols"),
    [(1, 1, 1), (1, 300, 70), (3, 128, 32), (17, 129, 33), (9, 257, 40), (130, 70, 129)],
)
def test_products_with_codes_are_those_of_the_processor(
    n, rows, cols, width, bias, request: pytest.FixtureRequest
):
    random = generator(rows + cols)
    codes = torch.randint(0, 1 << width, (rows, cols), generator=random, dtype=torch.uint8)
    book, x = torch.randn(1 << width, generator=random), torch.randn(n, rows, generator=random)
    added = torch.randn(cols, generator=random) if bias else None
    args = (x, codebook_product.pack_codes(codes, width), book, added, cols, width)
    expected = codebook_product.codebook_product(*args)
    fused = native.cpu() is not None and native.status().cpu.isa != "baseline"
    request.getfixturevalue("instead")
    found = codebook_product._native(*args)
    if fused:  # sums are in the order of the rows, and each product is fused with its sum
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * rows**0.5)
