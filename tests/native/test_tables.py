"""Sums told through tables and products with codes, compared with their references."""

import pytest
import torch

import memcore
from memcore import LogNormal, native
from memcore.ops import sensed_sums as ops
from memcore.ops.codebook_product import codebook_product, pack_codes, unpack_codes
from memcore.ops.sensed_sums import sensed_sums
from memcore.ops.weighted_squares import EXACT, weighted_squares
from memcore.ops.weighted_squares import _reference as squares_reference

TABLE = memcore.sensing_table("ideal", rows=9, spread=LogNormal(1.0, 0.3))


def bits(*shape, share=0.5):
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.rand(*shape, generator=generator) < share).to(torch.uint8)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("n", "groups", "units", "rows", "cols"),
    [(1, 1, 1, 1, 1), (3, 2, 5, 9, 7), (2, 1, 3, 4, 1500), (40, 3, 2, 8, 33), (2, 1, 700, 2, 70)],
)
def test_sums_are_those_of_the_reference_bit_for_bit(n, groups, units, rows, cols, share):
    args = (bits(n, groups, units, rows, share=share), bits(groups, units, rows, cols))
    reads = torch.arange(n) + 2**33
    told = (*args, reads, TABLE.threshold, TABLE.other, -77, 9, TABLE.threshold.shape[2])
    assert torch.equal(sensed_sums(*told), ops._reference(*told))
    right = (*args, reads, None, None, 0, 9, 1)
    assert torch.equal(sensed_sums(*right), ops._reference(*right))


@pytest.mark.parametrize(
    "sizes", [(0, 1, 2, 3, 4), (2, 0, 2, 3, 4), (2, 1, 0, 3, 4), (2, 1, 2, 3, 0)]
)
def test_sums_of_nothing_are_0(sizes):
    n, groups, units, rows, cols = sizes
    args = (bits(n, groups, units, rows), bits(groups, units, rows, cols), torch.arange(n))
    y = sensed_sums(*args, None, None, 0, 9, 1)
    assert y.shape == (n, groups, cols)
    assert not y.any()


@pytest.mark.parametrize(
    ("lines", "sensed"), [(1, 1), (1, 2), (4, 8), (9, 16), (12, 16), (20, 32), (255, 2), (256, 4)]
)
@pytest.mark.parametrize("odd", [False, True], ids=["aliases", "any numbers"])
def test_told_sums_equal_the_reference_for_tables_of_any_size(lines, sensed, odd):
    """Small tables lie in registers, others in memory; what is no alias is told as it is given."""
    generator = torch.Generator().manual_seed(lines)
    shape = (lines + 1, lines + 1, sensed)
    threshold = torch.rand(shape, generator=generator)
    threshold[:, :, 0], threshold[:, ::2, -1] = 1.0, 0.0
    other = torch.randint(0, sensed, shape, generator=generator).float()
    if odd:
        threshold, other = threshold * 1.5 - 0.2, other + 0.25
    opened = (torch.rand(60, 1, 2, lines, generator=generator) < 0.7).to(torch.uint8)
    cells = (torch.rand(1, 2, lines, 530, generator=generator) < 0.6).to(torch.uint8)
    args = (opened, cells, torch.arange(60), threshold, other, 17, lines, sensed)
    assert torch.equal(sensed_sums(*args), ops._reference(*args))


def test_sums_of_many_rows_do_not_overflow():
    ones = torch.ones(1, 1, 1, 1000, dtype=torch.uint8)
    y = sensed_sums(
        ones, torch.ones(1, 1, 1000, 3, dtype=torch.uint8), torch.arange(1), *[None] * 2, 0, 1000, 1
    )
    assert y.flatten().tolist() == [1000.0] * 3


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"bits": torch.zeros(1, 1, 1, 3)}, memcore.ArgumentTypeError),
        ({"cells": torch.zeros(1, 1, 4, 2, dtype=torch.uint8)}, memcore.ShapeError),
        ({"reads": torch.zeros(2, dtype=torch.int64)}, memcore.ShapeError),
        ({"lines": 2}, memcore.ConfigError),
        ({"sensed": 3}, memcore.ConfigError),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, error):
    args = {
        "bits": bits(1, 1, 1, 3),
        "cells": bits(1, 1, 3, 2),
        "reads": torch.arange(1),
        "threshold": None,
        "other": None,
        "key": 0,
        "lines": 3,
        "sensed": 1,
    }
    with pytest.raises(error, match="expected"):
        sensed_sums(**{**args, **change})


def test_told_sums_compile():
    args = (bits(3, 1, 2, 4), bits(1, 2, 4, 5), torch.arange(3))
    tables = (TABLE.threshold, TABLE.other, 5, 9, TABLE.threshold.shape[2])
    compiled = torch.compile(sensed_sums, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*args, *tables), sensed_sums(*args, *tables))


# -- squares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [EXACT, (20.0, -7.0, 30.0)])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 15), (5, 64), (2, 5003), (300, 2050)])
def test_weighted_squares_equal_the_definition(shape, codes):
    generator = torch.Generator().manual_seed(shape[1])
    x = torch.randn(shape, generator=generator)
    weights = torch.rand(shape[1], generator=generator)
    inverse, lo, hi = codes
    z = x if codes is EXACT else (x * inverse).round().clamp(lo, hi)
    expected = float((z.double().square() * weights.double()).sum())
    assert weighted_squares(x, weights, codes) == pytest.approx(expected, rel=2e-6)
    assert float(squares_reference(x, weights, *codes)) == pytest.approx(expected, rel=1e-12)


def test_weighted_squares_do_not_depend_on_the_threads():
    x, weights = torch.randn(700, 1500), torch.rand(1500)
    before = torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.add(weighted_squares(x, weights))
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("x", "weights", "error"),
    [
        (torch.zeros(2, 3), torch.zeros(4), memcore.ShapeError),
        (torch.zeros(()), torch.zeros(4), memcore.ShapeError),
        (torch.zeros(2, 3).double(), torch.zeros(3), memcore.ArgumentTypeError),
        (torch.zeros(2, 3), torch.zeros(3).double(), memcore.ArgumentTypeError),
    ],
)
def test_weighted_squares_refuse_what_does_not_fit(x, weights, error):
    with pytest.raises(error, match="expected"):
        weighted_squares(x, weights)


# -- codes -----------------------------------------------------------------------------------------


def coded(rows, cols, bits, n, bias=True):
    generator = torch.Generator().manual_seed(rows + cols)
    codes = torch.randint(0, 1 << bits, (rows, cols), generator=generator, dtype=torch.uint8)
    book = torch.randn(1 << bits, generator=generator)
    x = torch.randn(n, rows, generator=generator)
    added = torch.randn(cols, generator=generator) if bias else None
    return codes, (x, pack_codes(codes, bits), book, added, cols, bits)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (5, 31), (130, 33), (300, 64)])
def test_codes_are_packed_and_unpacked(rows, cols, bits):
    codes, (_, packed, *_) = coded(rows, cols, bits, 1)
    assert torch.equal(unpack_codes(packed, cols, bits), codes)
    assert packed.numel() == -(-cols // 32) * rows * 32 * bits // 8


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("n", "rows", "cols"), [(1, 1, 1), (1, 300, 70), (3, 128, 32), (17, 129, 33), (600, 20, 5)]
)
def test_products_with_codes_are_those_with_weights(n, rows, cols, bits, bias):
    codes, args = coded(rows, cols, bits, n, bias)
    x, _, book, added, *_ = args
    y = codebook_product(*args)
    exact = x.double() @ book.double()[codes.long()] + (0 if added is None else added.double())
    torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-5 * rows**0.5)
    one = codebook_product(x[-1:], *args[1:])
    exactly = {"rtol": 0, "atol": 0} if native.cpu() else {"rtol": 1e-5, "atol": 1e-5 * rows**0.5}
    torch.testing.assert_close(one, y[-1:], **exactly, msg="a result depends on the other inputs")


@pytest.mark.parametrize(("n", "rows", "cols"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_products_of_nothing_are_the_bias(n, rows, cols):
    _, args = coded(rows, cols, 4, n)
    y = codebook_product(*args)
    assert y.shape == (n, cols)
    if rows == 0:
        assert torch.equal(y, args[3].expand_as(y))


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (0, torch.zeros(2, 3).double(), memcore.ArgumentTypeError),
        (0, torch.zeros(2, 4), memcore.ShapeError),
        (2, torch.zeros(15), memcore.ShapeError),
        (3, torch.zeros(3), memcore.ShapeError),
        (5, 5, memcore.ConfigError),
    ],
)
def test_codes_that_do_not_fit_are_refused(place, value, error):
    _, args = coded(3, 4, 4, 2)
    with pytest.raises(error, match="expected"):
        codebook_product(*args[:place], value, *args[place + 1 :])
