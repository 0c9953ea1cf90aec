"""Every operator on CUDA against its reference on the CPU."""

from math import prod

import pytest
import torch

import memcore
from memcore import LogNormal, SerialLevels, native
from memcore.ops import (
    _library,
    codebook_product,
    coincidences,
    crossbar_mvm,
    philox,
    pulse_order,
    quantize,
    sensed_sums,
    serial_read,
)
from memcore.ops.coincidences import Lines
from memcore.ops.crossbar_read import Columns, crossbar_read
from memcore.ops.windows import Window
from memcore.optim import PulsedCells, trains
from memcore.random import Stream

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
    pytest.mark.skipif(
        torch.cuda.is_available() and native.cuda() is None, reason="memcore._cuda is not in use"
    ),
]


@pytest.mark.parametrize("size", [0, 1, 5, 1023, 70_001])
def test_uniform_and_bernoulli_equal_the_reference_bit_for_bit(size):
    reads = torch.tensor([0, -1, 2**40])
    expected = philox._uniform_reference(reads, None, size, -9)
    assert torch.equal(philox.uniform(reads.cuda(), size, -9).cpu(), expected)
    assert torch.equal(philox.bernoulli(reads.cuda(), size, -9, 0.3).cpu(), expected < 0.3)


@pytest.mark.parametrize("size", [1, 5, 1023, 70_001])
def test_normal_is_within_a_few_ulp_of_the_reference(size):
    reads = torch.tensor([0, 2**40])
    got = philox.normal(reads.cuda(), size, 4).cpu()
    expected = philox._normal_reference(reads, None, size, 4)
    assert ((got - expected).abs() <= 8 * 2**-24 * expected.abs()).all()


def test_chosen_elements_equal_those_of_the_full_draw():
    reads, elements = torch.tensor([3, 1]).cuda(), torch.tensor([1999, 0, 5, 5, 7]).cuda()
    for draw in (philox.uniform, philox.normal):
        assert torch.equal(draw(reads, 5, 11, elements), draw(reads, 2000, 11)[:, elements])


@pytest.mark.parametrize("shape", [(1,), (33, 5), (300_001,)])
def test_uniform_quantisation_equals_the_reference(shape):
    x = torch.randn(shape)
    x.view(-1)[0] = torch.nan
    for step in (torch.tensor([0.03]), torch.rand(shape[-1]) + 0.01):
        expected = quantize._uniform_reference(x, step, -20.0, 25.0)
        got = quantize.uniform(x.cuda(), step.cuda(), -20.0, 25.0).cpu()
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("n", [1, 2, 16, 256, 5000, 7000])
def test_levels_equal_the_reference(n):
    generator = torch.Generator().manual_seed(n)
    for levels in (torch.linspace(-2, 2, n), torch.randn(n, generator=generator).sort().values):
        middles = ((levels[1:].double() + levels[:-1].double()) / 2).float()
        x = torch.cat([levels, middles, torch.tensor([torch.nan, torch.inf]), torch.randn(5000)])
        x = torch.cat([x, x.nextafter(torch.tensor(torch.inf))])
        expected = quantize._levels_reference(x, levels)
        got = quantize.levels(x.cuda(), levels.cuda()).cpu()
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("n", [1, 20, 300])  # the last is too large for shared memory
@pytest.mark.parametrize("cols", [1, 17, 300])
def test_levels_take_a_table_for_each_column(cols, n):
    x, levels = torch.randn(211, cols), torch.randn(cols, n).sort(1).values
    got = quantize.levels(x.cuda(), levels.cuda()).cpu()
    assert torch.equal(got, quantize._levels_reference(x, levels))


@pytest.mark.parametrize("adc", [(-20.0, 20.0), (1.0, 0.0)])
@pytest.mark.parametrize(
    ("n", "groups", "rows", "cols", "tile"),
    [
        (1, 1, 1, 1, 1),
        (1, 1, 300, 33, 128),
        (64, 1, 500, 130, 128),
        (40, 3, 45, 50, 20),
        (4001, 4, 45, 130, 20),  # enough outputs for the large blocks of any GPU
        (33_000, 1, 152, 65, 36),
    ],
)
def test_mvm_codes_agree_with_the_reference(n, groups, rows, cols, tile, adc):
    weight = torch.randn(groups, rows, cols) * 0.05
    outputs = groups * cols
    tensors = [torch.randn(n, groups, rows), crossbar_mvm.pack(weight)]
    tensors += [torch.tensor([31.0, -127.0, 127.0]), torch.ones(1), torch.randn(outputs).round()]
    rest = (cols, tile, *adc)
    expected = crossbar_mvm._reference(*tensors, *rest)
    got = crossbar_mvm.crossbar_mvm(*(t.cuda() for t in tensors), *rest).cpu()
    if adc[1] < adc[0]:
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)
        return
    error = (got - expected).abs()
    assert error.max() <= 1
    assert (error != 0).sum() <= max(1, error.numel() // 1000)


def test_mvm_results_do_not_depend_on_the_batch():
    x = torch.randn(256, 1, 300).cuda()
    panels = crossbar_mvm.pack(torch.randn(1, 300, 100) * 0.05).cuda()
    dac, scale = torch.tensor([31.0, -127.0, 127.0]).cuda(), torch.ones(1).cuda()
    rest = (panels, dac, scale, None, 100, 128, -20.0, 20.0)
    whole = crossbar_mvm.crossbar_mvm(x, *rest)
    for size in (1, 8):
        parts = [crossbar_mvm.crossbar_mvm(part, *rest) for part in x.split(size)]
        assert torch.equal(torch.cat(parts), whole)


def test_mvm_results_do_not_depend_on_the_shape_of_the_blocks():
    x = torch.randn(33_000, 1, 150).cuda()
    panels = crossbar_mvm.pack(torch.randn(1, 150, 70) * 0.05).cuda()
    dac, scale = torch.tensor([31.0, -127.0, 127.0]).cuda(), torch.ones(1).cuda()
    rest = (panels, dac, scale, None, 70, 64, -20.0, 20.0)
    whole = crossbar_mvm.crossbar_mvm(x, *rest)  # large blocks
    assert torch.equal(crossbar_mvm.crossbar_mvm(x[-37:], *rest), whole[-37:])  # small blocks


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_mvm_equals_that_of_the_processor_bit_for_bit():
    if native.status().cpu.isa == "baseline":
        pytest.skip("the processor has no fused multiply-add")
    tensors = [torch.randn(70, 2, 150), crossbar_mvm.pack(torch.randn(2, 150, 70) * 0.05)]
    tensors += [torch.tensor([31.0, -127.0, 127.0]), torch.rand(140), torch.randn(140)]
    rest = (70, 64, 1.0, 0.0)
    got = crossbar_mvm.crossbar_mvm(*(t.cuda() for t in tensors), *rest).cpu()
    assert torch.equal(got, crossbar_mvm.crossbar_mvm(*tensors, *rest))


@pytest.mark.parametrize(
    ("n", "groups", "inputs", "outputs", "longest"),
    [(1, 1, 1, 1, 1), (5, 2, 17, 33, 40), (64, 1, 130, 70, 31), (3, 1, 1001, 900, 300)],
)
def test_coincidences_equal_the_reference(n, groups, inputs, outputs, longest):
    rows = Lines(2 * torch.rand(n, groups, inputs) - 1, 5)
    cols = Lines(2 * torch.rand(n, groups, outputs) - 1, -6)
    length = torch.randint(longest + 1, (n, groups)).float()
    expected = coincidences._reference(rows, cols, length, 9)
    there = [Lines(side.probability.cuda(), side.key) for side in (rows, cols)]
    assert _library.fits_cuda(*(side.probability for side in there), length.cuda())
    found = coincidences.coincidences(*there, length.cuda(), 9)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 43), (1, 1001, 333)])
def test_the_first_pulses_equal_the_reference(shape):
    up, down = (torch.randint(-3, 5, shape).clamp(min=0).float() for _ in range(2))
    draw = pulse_order.Draw(-5, 2**40)
    found = pulse_order.first_of(up.cuda(), down.cuda(), draw).cpu()
    assert torch.equal(found, pulse_order._first_reference(up, down, draw))


@pytest.mark.parametrize("values", [1, 3])
@pytest.mark.parametrize(
    ("n", "groups", "rows", "cols", "tile"),
    [(1, 1, 300, 33, 128), (40, 3, 45, 51, 20), (513, 1, 1000, 600, 128)],
)
def test_codes_of_reads_with_noise_agree_with_the_reference(n, groups, rows, cols, tile, values):
    matrices = torch.randn(groups, rows, cols) * 0.05, torch.rand(groups, rows, cols) * 0.01
    packed = [*map(crossbar_mvm.pack, matrices), torch.tensor([31.0, -127.0, 127.0]), torch.ones(1)]
    rest = (cols, tile, -20.0, 20.0, -3, values)
    x, reads = torch.randn(n, groups, rows), torch.arange(n)
    expected = crossbar_read(x, Columns(*packed, *rest), reads=reads)
    there = Columns(*(each.cuda() for each in packed), *rest)
    error = (crossbar_read(x.cuda(), there, reads=reads.cuda()).cpu() - expected).abs()
    assert error.max() <= 1
    assert (error != 0).sum() <= max(1, error.numel() // 1000)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_reads_of_images_agree_with_the_reference(noisy, channels_first):
    window = Window((3, 2), (1, 1), (1, 2), (1, 0), (1, 1))
    matrices = torch.randn(2, 18, 37) * 0.05, torch.rand(2, 18, 37) * 0.01
    panels, variance = map(crossbar_mvm.pack, matrices)
    dac, scale, bias = torch.tensor([31.0, -127.0, 127.0]), torch.ones(1), torch.randn(74)
    x = torch.randn(4, 6, 7, 6)
    reads = torch.arange(4 * prod(window.positions((7, 6)))) if noisy else None
    tensors = [x, panels, variance if noisy else None, dac, scale, reads, bias]
    found = []
    for place in ("cpu", "cuda"):
        each = [None if tensor is None else tensor.to(place) for tensor in tensors]
        given = Columns(*each[1:5], 37, 8, 1.0, 0.0, -3)
        settings = {"reads": each[5], "bias": each[6], "channels_first": channels_first}
        found.append(crossbar_read(each[0], given, window=window, **settings).cpu())
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-3)


def test_pulses_in_double_precision_take_the_reference():
    rows, cols = (Lines(torch.rand(3, 1, 5, dtype=torch.float64).cuda(), k) for k in (1, 2))
    length = torch.full((3, 1), 9.0, dtype=torch.float64).cuda()
    assert not _library.fits_cuda(rows.probability, cols.probability, length)
    assert coincidences.coincidences(rows, cols, length, 0)[0].dtype == torch.float64


def there(*args):
    """Tensors on the GPU, whatever else there is as it is."""
    return [each.cuda() if isinstance(each, torch.Tensor) else each for each in args]


@pytest.mark.parametrize("base", [None, 0.37])
@pytest.mark.parametrize(
    "dac",
    [(0, 15, 4), (0, 255, 4), (-127, 127, 1), (-255, 255, 8), (-2000, 2000, 1)],
    ids=["one step", "two", "seven", "two bytes", "eleven"],
)
@pytest.mark.parametrize(
    ("n", "groups", "rows", "cols", "tile_rows"),
    [(1, 1, 1, 1, 1), (3, 2, 70, 13, 9), (17, 1, 1030, 3, 1024), (6001, 2, 300, 130, 128)],
)
def test_serial_reads_equal_those_of_the_processor(n, groups, rows, cols, tile_rows, dac, base):
    form, full = SerialLevels(0.25, *dac[:2], bits_per_step=dac[2]), 2 ** dac[2] - 1
    digits = serial_read.Digits(form.step, sum(form.planes, ()), form.places, form.lo, form.hi)
    largest = min(3, (2**15 - 1) // (tile_rows * full))
    held = torch.randint(-largest, largest + 1, (groups, rows, cols), dtype=torch.int8)
    laid, each = (
        serial_read.lay_out(held, tile_rows),
        None if base is None else torch.full((cols,), base),
    )
    scale = 1 + torch.rand(groups * cols)
    adc = serial_read.adc_of(laid, full, torch.full((cols,), 0.3), each, scale, (-40.0, 50.0))
    x = 0.25 * torch.randint(int(dac[0]) - 3, int(dac[1]) + 4, (n, groups, rows)).float()
    x[0, 0, 0] = torch.nan
    moved = [type(part)(*there(*part)) for part in (laid, digits, adc)]
    found = serial_read.serial_read(x.cuda(), *moved).cpu()
    expected = serial_read.serial_read(x, laid, digits, adc)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("n", "groups", "units", "rows", "cols"),
    [(1, 1, 1, 1, 1), (3, 2, 5, 9, 7), (2, 1, 70, 2, 70), (512, 2, 40, 9, 1001)],
)
def test_sensed_sums_equal_those_of_the_processor(n, groups, units, rows, cols):
    table = memcore.sensing_table("ideal", rows=9, spread=LogNormal(1.0, 0.3))
    bits = torch.randint(2, (n, groups, units, rows), dtype=torch.uint8)
    cells = torch.randint(2, (groups, units, rows, cols), dtype=torch.uint8)
    columns = table.threshold.shape[2]
    for tables in ((table.threshold, table.other, -77, 9, columns), (None, None, 0, 9, 1)):
        args = (bits, cells, torch.arange(n) + 2**33, *tables)
        found = sensed_sums.sensed_sums(*there(*args)).cpu()
        assert torch.equal(found, sensed_sums.sensed_sums(*args))


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize(
    ("n", "rows", "cols"), [(1, 1, 1), (1, 4096, 1000), (17, 129, 33), (513, 300, 2001)]
)
def test_products_with_codes_agree_with_those_of_the_processor(n, rows, cols, width):
    codes = torch.randint(0, 1 << width, (rows, cols), dtype=torch.uint8)
    packed, book = codebook_product.pack_codes(codes, width), torch.randn(1 << width)
    args = (torch.randn(n, rows), packed, book, torch.randn(cols), cols, width)
    found = codebook_product.codebook_product(*there(*args)).cpu()
    expected = codebook_product.codebook_product(*args)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * rows**0.5)


def test_nothing_gives_nothing_there_too():
    bits, cells = (
        torch.ones(0, 1, 2, 3, dtype=torch.uint8),
        torch.ones(1, 2, 3, 4, dtype=torch.uint8),
    )
    reads = torch.arange(0)
    assert sensed_sums.sensed_sums(*there(bits, cells, reads, None, None, 0, 3, 1)).shape == (
        0,
        1,
        4,
    )
    packed, book = (
        codebook_product.pack_codes(torch.ones(3, 4, dtype=torch.uint8), 4),
        torch.rand(16),
    )
    args = there(torch.rand(0, 3), packed, book, None, 4, 4)
    assert codebook_product.codebook_product(*args).shape == (0, 4)


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize("mapper", ["offset", "differential"])
@pytest.mark.parametrize("tile", [(5, 19), (128, 128)])
@pytest.mark.parametrize("device", ["constant_step", "soft_bounds", "pow_step", "exp_step"])
def test_trains_and_pulses_move_cells_as_on_the_processor(device, tile, mapper):
    settings = {"name": device, "c2c": 0.1}
    if device == "soft_bounds":
        settings["w_max"] = memcore.Normal(1.0, 0.1)
    config = memcore.CrossbarConfig(device=settings, mapper=mapper, tile=tile)
    x, d = (Stream(9).child(name).normal((64, 1, 200)) for name in "xd")
    pulses = (Stream(9).child("pulses").uniform((2, 1, 200, 200)) * 4).floor()
    found = []
    for place in ("cpu", "cuda"):
        torch.manual_seed(1)
        linear = torch.nn.Linear(200, 200).to(place)
        cells = PulsedCells(memcore.convert(linear, config).crossbar)
        cells.take(trains(x.to(place), d.to(place), 0.1, 0.01), Stream(3), 0)
        cells.pulse(*pulses.to(place))
        before = cells.crossbar.programmed.clone()
        cells.resume()
        assert torch.equal(cells.crossbar.programmed, before)
        found.append(cells)
    one, other = found
    assert int(one.pulses) == int(other.pulses) > 10_000
    torch.testing.assert_close(other.state.cpu(), one.state, rtol=0, atol=1e-5)
    torch.testing.assert_close(other.energy.cpu(), one.energy, rtol=1e-5, atol=0)


def test_operands_need_no_alignment():
    x = torch.randn(4001).cuda()[1:]
    expected = quantize._uniform_reference(x.cpu(), torch.tensor([0.1]), -5.0, 5.0)
    assert torch.equal(quantize.uniform(x, 0.1, -5, 5).cpu(), expected)
    inputs, panels = x.view(20, 1, 200), crossbar_mvm.pack(torch.randn(1, 200, 30)).cuda()
    dac, scale = torch.zeros(3).cuda(), torch.ones(1).cuda()
    rest = (panels, dac, scale, None, 30, 64, -100.0, 100.0)
    shifted = crossbar_mvm.crossbar_mvm(inputs, *rest)
    assert torch.equal(shifted, crossbar_mvm.crossbar_mvm(inputs.clone(), *rest))


def test_work_goes_to_the_current_stream():
    side = torch.cuda.Stream()
    x = torch.randn(1_000_000).cuda()
    expected = quantize.uniform(x, 0.1, -5, 5)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(10_000_000)
        y = x * 1.0
        got = quantize.uniform(y, 0.1, -5, 5)
    side.synchronize()
    assert torch.equal(got, expected)


def test_operators_obey_the_rules_of_torch():
    reads = torch.tensor([1, 2]).cuda()
    torch.library.opcheck(torch.ops.memcore.philox_normal.default, (reads, None, 9, 3))
    x, step = torch.randn(4, 6).cuda(), torch.tensor([0.1]).cuda()
    torch.library.opcheck(torch.ops.memcore.quantize_uniform.default, (x, step, -7.0, 7.0))
