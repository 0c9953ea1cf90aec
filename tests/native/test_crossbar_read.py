"""Reads of windows of images, and of inputs with the noise of the cells."""

import itertools
import math
from math import prod

import pytest
import torch

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import crossbar_read as op
from memcore.ops.crossbar_mvm import crossbar_mvm, pack, unpack
from memcore.ops.windows import Window

ADCS = {"ADC": (-20.0, 20.0), "no ADC": (1.0, 0.0)}
NOISES = {"noise": True, "no noise": False}
ways = pytest.mark.parametrize(
    ("adc", "noisy"),
    list(itertools.product(ADCS.values(), NOISES.values())),
    ids=[f"{a}, {n}" for a, n in itertools.product(ADCS, NOISES)],
)
#: Reads, groups, rows, columns, rows of a tile, and sets of columns.
ROWS = [
    (1, 1, 128, 128, 128, 1),
    (1, 1, 3, 1, 2, 1),
    (5, 2, 70, 9, 32, 1),
    (131, 1, 300, 66, 300, 2),
    (40, 2, 45, 40, 20, 4),
    (17, 3, 257, 70, 200, 1),
]
#: Images, channels, groups, outputs, space, and the window that moves over it.
CONVOLUTIONS = {
    "3 x 3": (3, 24, 1, 40, (16, 16), Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))),
    "one image": (1, 5, 1, 7, (9, 31), Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))),
    "one position": (2, 4, 1, 6, (3, 2), Window((3, 2), (1, 1), (1, 1), (0, 0), (0, 0))),
    "narrow images": (2, 4, 1, 6, (20, 3), Window((3, 2), (1, 1), (1, 1), (1, 0), (1, 0))),
    "strides": (2, 4, 2, 6, (11, 8), Window((3, 2), (2, 3), (1, 1), (1, 1), (1, 1))),
    "1 x 1": (2, 40, 1, 33, (5, 7), Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0))),
    "one dimension": (4, 6, 3, 99, (19,), Window((4,), (1,), (2,), (3,), (2,))),
    "three dimensions": (
        3,
        3,
        1,
        40,
        (5, 6, 4),
        Window((2, 3, 1), (1, 2, 1), (2, 1, 1), (1, 0, 2), (0, 1, 1)),
    ),
}
convolutions = pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)


def columns(groups, rows, cols, tile_rows, *, adc, noisy, values=1):
    """Columns of random weights, with a scale of each of them."""
    generator = torch.Generator().manual_seed(rows + 1000 * cols)
    weight = 0.05 * torch.randn(groups, rows, cols, generator=generator)
    variance = 1e-4 * torch.rand(groups, rows, cols, generator=generator)
    scale = 0.5 + torch.rand(groups * cols, generator=generator)
    dac = torch.tensor([31.0, -127.0, 127.0])
    noise = pack(variance) if noisy else None
    return op.Columns(pack(weight), noise, dac, scale, cols, tile_rows, *adc, 2**40 - 7, values)


def inputs(*shape):
    """Inputs between two codes of the DAC, nearer to one, so that rounding moves none."""
    return (torch.randint(-140, 140, shape) + 0.6 * torch.rand(shape) - 0.3) / 31


def images(case, *, adc, noisy):
    """Images, their window, columns and numbers of reads of a convolution."""
    n, channels, groups, outputs, space, window = case
    x = inputs(n, channels, *space)
    rows = channels // groups * prod(window.kernel)
    lines = columns(groups, rows, outputs // groups, 50, adc=adc, noisy=noisy)
    return x, window, lines, 3 + torch.arange(n * prod(window.positions(space)))


def as_double(value):
    """A tensor of numbers in float64; what else there is as it is."""
    return (
        value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
    )


def in_double(x, lines, reads, bias=None, window=None, channels_first=False):
    """What the definition gives in float64."""
    numbers = [] if window is None else window.numbers
    exact = op.Columns(*map(as_double, lines))
    return op._reference(x.double(), exact, reads, as_double(bias), numbers, channels_first).float()


def assert_codes(y, expected):
    """Equal up to rounding, but for single codes whose current lies between two."""
    assert y.shape == expected.shape
    apart = (y - expected).abs() > 1e-3
    assert int(apart.sum()) <= max(1, apart.numel() // 1000)
    assert float((y - expected).abs().max()) <= 1.5 + 1e-3


@ways
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_inputs_are_read_as_the_definition_says(case, adc, noisy):
    n, groups, rows, cols, tile_rows, values = case
    lines = columns(groups, rows, cols, tile_rows, adc=adc, noisy=noisy, values=values)
    x, reads = inputs(n, groups, rows), 5 + 3 * torch.arange(n)
    bias = torch.randn(groups * cols)
    assert_codes(
        op.crossbar_read(x, lines, reads=reads, bias=bias), in_double(x, lines, reads, bias)
    )


@ways
@convolutions
@pytest.mark.parametrize("channels_first", [False, True])
def test_windows_are_read_as_the_definition_says(case, adc, noisy, channels_first):
    x, window, lines, reads = images(case, adc=adc, noisy=noisy)
    bias = torch.randn(lines.panels.shape[0] * lines.cols)
    how = {"reads": reads, "bias": bias, "window": window, "channels_first": channels_first}
    assert_codes(op.crossbar_read(x, lines, **how), in_double(x, lines, **how))


@ways
@convolutions
def test_windows_give_to_the_bit_what_their_inputs_give(case, adc, noisy):
    x, window, lines, reads = images(case, adc=adc, noisy=noisy)
    groups, positions = lines.panels.shape[0], window.positions(x.shape[2:])
    under = window.cut(window.padded(x), groups).flatten(0, len(positions))
    y = op.crossbar_read(under, lines, reads=reads)
    assert torch.equal(op.crossbar_read(x, lines, window=window, reads=reads), y)
    placed = op.crossbar_read(x, lines, window=window, reads=reads, channels_first=True)
    assert torch.equal(placed, y.view(len(x), *positions, -1).movedim(-1, 1))


def in_units(lines):
    """Columns that have units, and the same ones without, whose weights were multiplied by them."""
    unit = 0.5 + torch.rand(lines.panels.shape[0] * lines.cols)
    weights = unpack(lines.panels, lines.cols) * unit.view(-1, 1, lines.cols)
    return lines._replace(unit=unit), lines._replace(panels=pack(weights))


@ways
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_sums_are_multiplied_by_the_units_of_their_columns(case, adc, noisy):
    n, groups, rows, cols, tile_rows, values = case
    lines = columns(groups, rows, cols, tile_rows, adc=adc, noisy=noisy, values=values)
    x, reads = inputs(n, groups, rows), 5 + 3 * torch.arange(n)
    with_units, without = in_units(lines)
    expected = in_double(x, without, reads)
    assert_codes(op.crossbar_read(x, with_units, reads=reads), expected)
    assert_codes(in_double(x, with_units, reads), expected)


@ways
@convolutions
def test_windows_with_units_give_to_the_bit_what_their_inputs_give(case, adc, noisy):
    x, window, lines, reads = images(case, adc=adc, noisy=noisy)
    lines, _ = in_units(lines)
    groups, positions = lines.panels.shape[0], window.positions(x.shape[2:])
    under = window.cut(window.padded(x), groups).flatten(0, len(positions))
    y = op.crossbar_read(under, lines, reads=reads)
    assert torch.equal(op.crossbar_read(x, lines, window=window, reads=reads), y)


#: Lowest and highest code, and the largest level: at most those that fit into bytes, and more.
WHOLE = [
    (-127.0, 127.0, 31),
    (0.0, 255.0, 32),
    (-128.0, 127.0, 32),
    (-200.0, 200.0, 32),
    (-127.0, 127.0, 100),
]


def of_levels(case, lo, hi, most):
    """Images of codes, their window, and columns of levels with units."""
    x, window, lines, _ = images(case, adc=ADCS["no ADC"], noisy=False)
    groups, _, rows, _ = lines.panels.shape
    levels = torch.randint(-most, most + 1, (groups, rows, lines.cols)).float()
    levels[:, :, 0] = most  # where the sums of 16 bits are largest
    levels[:, :, -1] = -most
    codes = torch.randint(int(lo), int(hi) + 1, x.shape).float()
    codes[0] = hi
    unit = 0.5 + torch.rand(groups * lines.cols)
    dac = torch.tensor([1.0, lo, hi])
    return codes, window, lines._replace(panels=pack(levels), unit=unit, dac=dac), levels


@convolutions
@pytest.mark.parametrize(("lo", "hi", "most"), WHOLE)
def test_sums_over_levels_are_exact(case, lo, hi, most):
    x, window, lines, levels = of_levels(case, lo, hi, most)
    groups, cols = len(levels), lines.cols
    under = window.cut(window.padded(x), groups).flatten(0, x.dim() - 2)
    parts = zip(under.double().split(50, 2), levels.double().split(50, 1), strict=True)
    tiles = [torch.einsum("ngk,gkc->ngc", *each).float() for each in parts]
    expected = sum(each * lines.unit.view(groups, cols) for each in tiles)
    expected = expected * lines.scale.view(groups, cols)
    y = op.crossbar_read(x, lines, window=window)
    assert torch.equal(y.view(expected.shape), expected)


def test_an_input_that_is_no_number_spoils_the_windows_that_it_is_under():
    x, window, lines, _ = of_levels(CONVOLUTIONS["3 x 3"], -127.0, 127.0, 31)
    x[0, 0, 2, 2] = math.nan
    spoilt = op.crossbar_read(x, lines, window=window)
    clean = op.crossbar_read(x.nan_to_num(), lines, window=window)
    under = window.cut(window.padded(x), len(lines.panels)).isnan().flatten(0, x.dim() - 2).any(2)
    assert under.any()
    assert not under.all()
    hit = under.unsqueeze(2).expand(spoilt.shape)
    assert spoilt[hit].isnan().all()
    assert torch.equal(spoilt[~hit], clean[~hit])


@pytest.mark.parametrize("adc", ADCS.values(), ids=ADCS)
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_without_noise_it_is_the_product_of_tiles(case, adc):
    n, groups, rows, cols, tile_rows, _ = case
    lines = columns(groups, rows, cols, tile_rows, adc=adc, noisy=False)
    x = torch.randn(n, groups, rows)
    same = (lines.panels, lines.dac, lines.scale, None, cols, tile_rows, *adc)
    y = crossbar_mvm(x, *same)
    torch.testing.assert_close(op.crossbar_read(x, lines), y, rtol=1e-5, atol=1e-4)


@ways
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_read_depends_neither_on_the_others_nor_on_threads(adc, noisy, threads):
    x, window, lines, reads = images(CONVOLUTIONS["3 x 3"], adc=adc, noisy=noisy)
    together = op.crossbar_read(x, lines, window=window, reads=reads, channels_first=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pairs = zip(x.split(1), reads.split(len(reads) // len(x)), strict=True)
        alone = [
            op.crossbar_read(one, lines, window=window, reads=few, channels_first=True)
            for one, few in pairs
        ]
    finally:
        torch.set_num_threads(before)
    if native.cpu() is None and adc == ADCS["no ADC"]:  # products of torch's own
        torch.testing.assert_close(torch.cat(alone), together, rtol=1e-5, atol=1e-4)
    else:
        assert torch.equal(torch.cat(alone), together)


def test_noise_has_the_variance_of_the_cells():
    groups, rows, cols, n = 1, 20, 8, 4000
    lines = columns(groups, rows, cols, 10, adc=ADCS["no ADC"], noisy=True)
    x = torch.randn(1, groups, rows).expand(n, groups, rows)
    y = op.crossbar_read(x, lines._replace(scale=torch.ones(1)), reads=torch.arange(n))[:, 0]
    codes = (x[0, 0] * 31).round().clamp(-127, 127)
    variance = codes.square() @ lines.variance[0, 0, :, :cols]
    torch.testing.assert_close(y.var(0), variance, rtol=0.1, atol=0)


def test_other_dtypes_are_read_by_the_definition():
    lines = columns(1, 20, 6, 8, adc=ADCS["ADC"], noisy=True)
    x, reads = inputs(4, 1, 20), torch.arange(4)
    wide = lines._replace(
        **{name: getattr(lines, name).double() for name in ("panels", "variance", "dac", "scale")}
    )
    y = op.crossbar_read(x.double(), wide, reads=reads)
    assert y.dtype == torch.float64
    assert_codes(op.crossbar_read(x, lines, reads=reads), y.float())
    low = lines._replace(
        **{name: getattr(lines, name).bfloat16() for name in ("panels", "variance", "dac", "scale")}
    )
    assert op.crossbar_read(x.bfloat16(), low, reads=reads).dtype == torch.bfloat16


def test_arguments_that_do_not_fit_are_refused():
    x, window, lines, reads = images(CONVOLUTIONS["3 x 3"], adc=ADCS["ADC"], noisy=True)
    with pytest.raises(ArgumentTypeError, match="reads is None"):
        op.crossbar_read(x, lines, window=window)
    with pytest.raises(ShapeError, match="reads has shape"):
        op.crossbar_read(x, lines, window=window, reads=reads[:-1])
    with pytest.raises(ShapeError, match="expected larger images"):
        op.crossbar_read(x[..., :0], lines, window=window, reads=reads)
    with pytest.raises(ShapeError, match="dimension"):
        op.crossbar_read(x[0], lines, window=window, reads=reads)
    with pytest.raises(ShapeError, match="they differ"):
        op.crossbar_read(x[:, 1:], lines, window=window, reads=reads)
    with pytest.raises(ConfigError, match="a multiple of"):
        op.crossbar_read(x, lines._replace(values=7), window=window, reads=reads)


def test_no_images_and_no_reads_are_no_results():
    x, window, lines, _ = images(CONVOLUTIONS["3 x 3"], adc=ADCS["ADC"], noisy=True)
    none = torch.arange(0)
    y = op.crossbar_read(x[:0], lines, window=window, reads=none, channels_first=True)
    assert y.shape == (0, 40, 16, 16)
    lines = columns(2, 20, 6, 8, adc=ADCS["ADC"], noisy=True)
    assert op.crossbar_read(torch.randn(0, 2, 20), lines, reads=none).shape == (0, 2, 6)


def narrowed(lines, variance):
    """Columns whose variances are rounded."""
    return lines._replace(variance=op.narrow(variance, lines.tile_rows))


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_narrow_variances_are_those_rounded_to_bfloat16(case):
    _, groups, rows, cols, tile_rows, _ = case
    variance = torch.rand(groups, rows, cols) ** 8
    found = op.widen(op.narrow(variance, tile_rows), rows, cols, tile_rows)
    assert torch.equal(found, variance.bfloat16())


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_narrow_variances_leave_a_standard_deviation_right_to_4_in_1000(case):
    """Whatever the inputs: no term of the sum is negative, so no error outweighs the sum."""
    n, groups, rows, cols, tile_rows, values = case
    lines = columns(groups, rows, cols, tile_rows, adc=ADCS["no ADC"], noisy=True, values=values)
    variance = torch.rand(groups, rows, cols) ** 8
    lines = lines._replace(
        panels=torch.zeros_like(lines.panels), dac=torch.zeros(3), variance=pack(variance)
    )
    x, reads = torch.randn(n, groups, rows) ** 5, torch.arange(n)
    if rows > tile_rows:  # one standard deviation in an output
        x[..., tile_rows:] = 0
    exact = in_double(x, lines, reads)
    found = op.crossbar_read(x, narrowed(lines, variance), reads=reads)
    assert float((found / exact - 1).abs().max()) < 2**-8 + 1e-5


def multiplies_narrow():
    module = native.cpu()
    return module is not None and module.multiplies_narrow()


@pytest.mark.parametrize("adc", ADCS.values(), ids=ADCS)
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_narrow_variances_are_read_as_the_definition_says(case, adc):
    n, groups, rows, cols, tile_rows, values = case
    lines = columns(groups, rows, cols, tile_rows, adc=adc, noisy=True, values=values)
    lines = narrowed(lines, 1e-4 * torch.rand(groups, rows, cols))
    x, reads = inputs(n, groups, rows), 5 + 3 * torch.arange(n)
    y = op.crossbar_read(x, lines, reads=reads)
    assert_codes(y, in_double(x, lines, reads))
    alone = zip(x.split(1), reads.split(1), strict=True)
    apart = [op.crossbar_read(one, lines, reads=few) for one, few in alone]
    if multiplies_narrow():  # a reference sums up in another order
        assert torch.equal(torch.cat(apart), y)


@pytest.mark.parametrize("adc", ADCS.values(), ids=ADCS)
@convolutions
def test_windows_with_narrow_variances_give_what_their_inputs_give(case, adc):
    x, window, lines, reads = images(case, adc=adc, noisy=True)
    groups, positions = lines.panels.shape[0], window.positions(x.shape[2:])
    rows = lines.panels.shape[2]
    lines = narrowed(lines, 1e-4 * torch.rand(groups, rows, lines.cols))
    under = window.cut(window.padded(x), groups).flatten(0, len(positions))
    y = op.crossbar_read(x, lines, window=window, reads=reads)
    assert torch.equal(y, op.crossbar_read(under, lines, reads=reads))
    assert_codes(y, in_double(under, lines, reads))
