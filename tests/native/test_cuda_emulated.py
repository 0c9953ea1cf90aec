"""The CUDA kernels without a GPU: compiled for the processor, against the references."""

from math import prod

import pytest
import torch

from memcore.ops import (
    _library,
    coincidences,
    crossbar_mvm,
    crossbar_read,
    philox,
    pulse_order,
    quantize,
)
from memcore.ops.coincidences import Lines
from memcore.ops.crossbar_read import Columns
from memcore.ops.pulse_order import Draw
from memcore.ops.windows import Window
from memcore.random import Stream

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_emulated_gpu")]


def drawn(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Normal numbers, not of a `Stream`, whose draws are what is tested here."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("instead")
@pytest.mark.parametrize("size", [1, 5, 1023, 40_000])
def test_draws_are_those_of_the_reference(size):
    reads = torch.tensor([0, -1, 2**40])
    some = torch.arange(size).flip(0) * 3
    for elements in (None, some):
        u = philox._uniform_reference(reads, elements, size, -9)
        out = torch.empty_like(u)
        assert torch.equal(philox._run("philox_uniform", out, reads, elements, -9), u)
        hits = torch.empty(u.shape, dtype=torch.bool)
        philox._run("philox_bernoulli", hits, reads, elements, -9, 0.3)
        assert torch.equal(hits, u < torch.tensor(0.3))
        z = philox._normal_reference(reads, elements, size, -9)
        found = philox._run("philox_normal", out, reads, elements, -9)
        assert ((found - z).abs() <= 8 * 2**-24 * z.abs()).all()


@pytest.mark.usefixtures("instead")
@pytest.mark.parametrize("shape", [(1,), (33, 5), (40, 64), (70_001,)])
def test_quantised_numbers_are_those_of_the_reference(shape):
    x = drawn(1, shape)
    x.view(-1)[0] = torch.nan
    for step in (torch.tensor([0.03]), drawn(2, shape[-1:]).abs() + 0.01):
        expected = quantize._uniform_reference(x, step, -20.0, 25.0)
        found = quantize._uniform_native(x, step, -20.0, 25.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("instead")
@pytest.mark.parametrize("n", [1, 2, 20, 300, 7000])  # the last ones are too large to be shared
@pytest.mark.parametrize("cols", [1, 17, 40])
def test_levels_are_those_of_the_reference(n, cols):
    levels = drawn(1, (cols, n)).sort(1).values
    x = torch.cat([drawn(2, (50, cols)), levels[:, :1].T, levels[:, -1:].T + 1])
    x[3] = torch.nan
    for table in (levels, levels[0]):
        expected = quantize._levels_reference(x, table)
        found = quantize._levels_native(x, table)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("instead")
@pytest.mark.parametrize("adc", [(-20.0, 20.0), (1.0, 0.0)])
@pytest.mark.parametrize(
    ("n", "groups", "rows", "cols", "tile"),
    [(1, 1, 1, 1, 1), (1, 1, 300, 33, 128), (40, 3, 45, 50, 20), (300, 2, 152, 65, 36)],
)
def test_products_are_those_of_the_reference(n, groups, rows, cols, tile, adc):
    weight = drawn(1, (groups, rows, cols)) * 0.05
    bias = drawn(2, (groups * cols,)).round()
    tensors = [drawn(3, (n, groups, rows)), crossbar_mvm.pack(weight)]
    tensors += [torch.tensor([31.0, -127.0, 127.0]), torch.ones(1), bias]
    found = crossbar_mvm._native(*tensors, cols, tile, *adc)
    expected = crossbar_mvm._reference(*tensors, cols, tile, *adc)
    if adc[1] < adc[0]:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
        return
    error = (found - expected).abs()
    assert error.max() <= 1
    assert (error != 0).sum() <= max(1, error.numel() // 1000)


#: Vectors, groups, inputs, outputs, and the longest train.
SIZES = [
    (1, 1, 1, 1, 1),
    (1, 1, 4, 8, 31),
    (5, 1, 6, 4, 31),
    (3, 2, 5, 17, 40),
    (64, 1, 70, 130, 3),
    (2, 3, 33, 7, 97),
    (3, 2, 66, 65, 700),  # large tiles, and more words than are in shared memory at a time
]


def lines(n: int, groups: int, count: int, name: str) -> Lines:
    stream = Stream(3).child(name)
    signed = 2 * stream.uniform((n, groups, count)) - 1
    certain = stream.child("certain").uniform(signed.shape) < 0.1
    return Lines(torch.where(certain, signed.sign(), signed), stream.child("draws").key)


def lengths(n: int, groups: int, longest: int) -> torch.Tensor:
    drawn = Stream(4).uniform((n, groups)) * (longest + 1)
    drawn[0, 0] = longest
    return drawn.floor()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("first", [7, 2**40])
def test_coincidences_are_those_of_the_reference(size, first):
    n, groups, inputs, outputs, longest = size
    sides = lines(n, groups, inputs, "x"), lines(n, groups, outputs, "d")
    length = lengths(n, groups, longest)
    found = coincidences._by_cuda(*sides, length, first)
    expected = coincidences._reference(*sides, length, first)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert found[0].sum() + found[1].sum() > 0


def test_trains_without_slots_have_no_coincidences():
    sides = lines(3, 2, 5, "x"), lines(3, 2, 4, "d")
    for length in (torch.zeros(3, 2), torch.tensor([[0.0, 0], [0, 2], [0, 0]])):
        found = coincidences._by_cuda(*sides, length, 1)
        expected = coincidences._reference(*sides, length, 1)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert not found[0][0].any()
        assert not found[1][0].any()


def numbers(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pulses that raise weights and that lower them, one more than `count`."""
    drawn = (Stream(6).child(name).uniform((count + 1,)) for name in ("up", "down"))
    up, down = ((9 * each - 4).floor().clamp(min=0) for each in drawn)
    return up, down


@pytest.mark.parametrize("count", [1, 3, 127, 128, 131, 40_001])
@pytest.mark.parametrize("draw", [Draw(11, 3), Draw(-5, 2**40 + 1)])
@pytest.mark.parametrize("start", [0, 1])  # the second one is not aligned
def test_the_first_pulses_are_those_of_the_reference(count, draw, start):
    up, down = (each[start : start + count] for each in numbers(count))
    found = pulse_order._first_by_cuda(up, down, draw)
    assert torch.equal(found, pulse_order._first_reference(up, down, draw))


def columns(groups, rows, cols, tile_rows, *, values=1, adc=(1.0, 0.0), dac=(31.0, -127.0, 127.0)):
    stream = Stream(9)
    weight = stream.child("w").normal((groups, rows, cols)) * 0.05
    variance = stream.child("v").uniform((groups, rows, cols)) * 0.01
    scale = stream.child("scale").uniform((groups * cols,)) + 0.5
    panels, variance = crossbar_mvm.pack(weight), crossbar_mvm.pack(variance)
    return Columns(panels, variance, torch.tensor(dac), scale, cols, tile_rows, *adc, -3, values)


def read(x, given, reads, bias):
    return crossbar_read._by_cuda(x, given, reads, bias, [], False)


#: Reads, groups, rows, columns, rows of a tile, sets of columns.
READS = [
    (1, 1, 1, 1, 1, 1),
    (1, 1, 300, 36, 128, 1),
    (35, 1, 130, 33, 64, 3),
    (40, 3, 45, 50, 20, 1),
    (33, 2, 70, 64, 100, 2),
    (129, 2, 70, 64, 33, 2),  # enough for the large blocks
]


@pytest.mark.parametrize("dac", [(31.0, -127.0, 127.0), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("size", READS)
def test_reads_with_noise_are_those_of_the_reference(size, dac):
    n, groups, rows, cols, tile_rows, values = size
    given = columns(groups, rows, cols, tile_rows, values=values, dac=dac)
    x = Stream(9).child("x").normal((n, groups, rows))
    reads = torch.arange(n) * 2**33 - 5
    for bias in (Stream(9).child("bias").normal((groups * cols,)), None):
        expected = crossbar_read._reference(x, given, reads, bias, [], False)
        found = read(x, given, reads, bias)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3 if dac[0] else 1e-4)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("size", READS)
def test_reads_with_units_are_those_of_the_reference(size, noisy):
    n, groups, rows, cols, tile_rows, values = size
    unit = Stream(9).child("unit").uniform((groups * cols,)) + 0.5
    given = columns(groups, rows, cols, tile_rows, values=values)._replace(unit=unit)
    given = given if noisy else given._replace(variance=None)
    x, reads = Stream(9).child("x").normal((n, groups, rows)), torch.arange(n)
    expected = crossbar_read._reference(x, given, reads, None, [], False)
    torch.testing.assert_close(read(x, given, reads, None), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", READS)
def test_codes_of_reads_with_noise_are_those_of_the_reference(size):
    n, groups, rows, cols, tile_rows, values = size
    given = columns(groups, rows, cols, tile_rows, values=values, adc=(-20.0, 20.0))
    given = given._replace(scale=torch.ones(1))
    x, reads = Stream(9).child("x").normal((n, groups, rows)), torch.arange(n)
    expected = crossbar_read._reference(x, given, reads, None, [], False)
    error = (read(x, given, reads, None) - expected).abs()
    assert error.max() <= 1
    assert (error != 0).sum() <= max(1, error.numel() // 1000)


def test_a_read_with_noise_does_not_depend_on_the_others():
    given = columns(2, 70, 50, 32)
    x, reads = Stream(9).child("x").normal((129, 2, 70)), torch.arange(129)
    whole = read(x, given, reads, None)  # by large blocks
    assert torch.equal(read(x[92:], given, reads[92:], None), whole[92:])
    assert not torch.equal(read(x, given, reads + 1, None), whole)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("space", "window"),
    [
        ((9,), Window((3,), (2,), (1,), (1,), (1,))),
        ((7, 6), Window((3, 2), (1, 1), (1, 2), (1, 0), (1, 1))),
    ],
)
def test_reads_of_images_are_those_of_the_reference(space, window, noisy, channels_first):
    given = columns(2, 3 * prod(window.kernel), 37, 8)
    x = Stream(9).child("images").normal((4, 6, *space))
    reads = torch.arange(4 * prod(window.positions(space))) if noisy else None
    given = given if noisy else given._replace(variance=None)
    bias = Stream(9).child("bias").normal((74,))
    arguments = (x, given, reads, bias, window.numbers, channels_first)
    found, expected = crossbar_read._by_cuda(*arguments), crossbar_read._reference(*arguments)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_only_tensors_of_a_gpu_are_for_its_kernels():
    assert not _library.fits_cuda(torch.ones(3))
    assert not _library.fits_cuda(torch.ones(3, device="meta"))
