"""Cells that are written while they are read, against their reference and the other kernels."""

import itertools
import math

import pytest
import torch

from memcore import native
from memcore.ops import crossbar_read, rehearsal
from memcore.ops.crossbar_mvm import pack
from memcore.ops.crossbar_read import Columns
from memcore.ops.rehearsal import CellStep, Codes, Known, Reads, Steps, Terms, Writing

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

LOG, NORMAL = CellStep("log_factor", 0.2, 1.0), CellStep("factor", 0.5, 1.0, low=-2.0, least=0.0)
LEVELS = CellStep("nearest", 9.9e-5, 31.0, low=1e-6)
STEPS = {
    "nothing": [],
    "spread": [LOG],
    "drawn again": [NORMAL],
    "offset": [LOG, CellStep("offset", 1e-6, 0.0, least=0.0)],
    "levels": [LEVELS],
    "a cell that stays": [CellStep("log_factor", 0.1, 1.0), LEVELS],
    "a cell that may move": [CellStep("log_factor", 0.5, 1.0), LEVELS],
    "resistances": [LOG, CellStep("nearest_inverse", 9.9e5, 31.0, low=1e4)],
    "one level": [CellStep("nearest", 0.0, 3.0, low=2e-5)],
}
SHAPES = [(1, 1, 1), (2, 5, 3), (1, 52, 90), (1, 70, 300), (3, 29, 130)]


def writing(shape, steps, *, scales=False, relative=0.05, constant=1e-14):
    weight = torch.randn(shape)
    weight.view(-1)[:1] = 0.0
    peak = (weight.abs().amax((0, 2)) if scales else weight.abs().amax().reshape(1)) + 1e-6
    numbers = (9.9e-5, 1e-6, 9.9e-5, 1e-4, relative, constant)
    keys = [
        (3 + 2 * k, 4 + 2 * k) if step.kind[:4] != "near" else (0, 0)
        for k, step in enumerate(steps)
    ]
    return Writing(weight, peak, numbers, Steps(steps), keys)


def terms(tile_rows, *, adc=True, narrow=False):
    dac = Codes(torch.tensor([0.05]), -50.0, 50.0)
    levels = Codes(torch.tensor([3e-6]), -60.0, 60.0) if adc else None
    return Terms(0.07, dac, levels, tile_rows, 77, narrow)


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_cells_are_those_of_the_reference(steps, shape, scales):
    w = writing(shape, steps, scales=scales)
    found, expected = rehearsal.write(w), rehearsal.reference(w)
    every = ((each.folded, each.variance, each.gain) for each in (found, expected))
    for one, other in zip(*every, strict=True):
        close = torch.isclose(one, other, rtol=2e-5, atol=1e-6 * float(other.abs().max()))
        # A cell between two levels may take either.
        assert (~close).sum() <= (2 if any(s.kind[:4] == "near" for s in steps) else 0)


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("steps", [[LEVELS], [LOG, LEVELS]], ids=["levels", "spread"])
def test_large_weights_are_finite_as_long_as_what_their_levels_stand_for_is(steps, scales):
    """A level is a weight of 7e32, and 31 siemens would not be finite."""
    w = writing((2, 5, 40), steps, scales=scales, relative=0.0, constant=0.0)
    w = w._replace(weight=2e34 * w.weight / w.scale.max(), scale=2e34 * w.scale / w.scale.max())
    found, expected = rehearsal.write(w), rehearsal.reference(w)
    assert found is not None
    assert (~torch.isclose(found.folded, expected.folded, rtol=1e-4)).sum() <= 2
    spoilt = w.weight.clone()
    spoilt[1, 2, 3] = math.nan
    assert rehearsal.write(w._replace(weight=spoilt)) is None


def narrows():
    """Whether variances are rounded, where this machine multiplies what is rounded."""
    return [False, True] if crossbar_read.narrows(torch.empty(0)) else [False]


def laid_out(matrix, tile_rows, *, narrow):
    """Cells [groups, outputs, inputs] as the kernel of reads takes them."""
    columns = matrix.transpose(1, 2)
    return crossbar_read.narrow(columns, tile_rows) if narrow else pack(columns)


@pytest.mark.parametrize("adc", [True, False])
@pytest.mark.parametrize("n", [1, 7, 33, 100])
@pytest.mark.parametrize("tile_rows", [40, 37, 300])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_read_is_to_the_bit_that_of_the_kernel_of_reads(shape, tile_rows, n, adc):
    groups, outputs, inputs = shape
    for scales, narrow in itertools.product((False, True), narrows()):
        w = writing(shape, [LOG, LEVELS], scales=scales)
        t = terms(tile_rows, adc=adc, narrow=narrow)
        x, numbers = torch.randn(n, groups, inputs), Reads(5, 3)
        known = rehearsal.write(w)
        folded = rehearsal.unfilled(w)
        bias = torch.randn(groups * outputs)
        y = rehearsal.read(w, t, x, numbers, bias=bias, folded=folded)
        assert folded.pairs.dtype == torch.int8
        assert torch.equal(folded.weight, known.folded)
        assert torch.equal(y, rehearsal.read(known, t, x, numbers, bias=bias))
        units = t.units(w.gain)
        variances = known.variance * units.square.unsqueeze(1)
        panels = pack(known.pairs.transpose(1, 2)), laid_out(variances, tile_rows, narrow=narrow)
        unit = (known.unit * units.factor).expand(outputs).repeat(groups)
        scale = units.scale if scales is False else units.scale.repeat(groups)
        ends = (1.0, 0.0) if t.adc is None else t.adc[1:]
        columns = Columns(*panels, units.codes, scale, outputs, tile_rows, *ends, t.key, 1, unit)
        reads = torch.arange(5, 5 + 3 * n, 3)
        assert torch.equal(y, crossbar_read.crossbar_read(x, columns, reads=reads, bias=bias))


@pytest.mark.parametrize("narrow", narrows())
@pytest.mark.parametrize("tile_rows", [1, 13, 128, 200, 300])
def test_a_read_depends_neither_on_other_reads_nor_on_threads(tile_rows, narrow):
    w = writing((1, 70, 300), [LOG])
    t = terms(tile_rows, narrow=narrow)
    x = torch.randn(90, 1, 300)
    y = rehearsal.read(w, t, x, Reads(0, 1))
    some = [rehearsal.read(w, t, x[k : k + 31], Reads(k, 1)) for k in range(0, 90, 31)]
    assert torch.equal(y, torch.cat(some))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(y, rehearsal.read(w, t, x, Reads(0, 1)))
    finally:
        torch.set_num_threads(threads)


def test_a_read_without_noise_is_the_product_of_double_precision():
    w = writing((2, 40, 260), [LOG], relative=0.0, constant=0.0)
    t = terms(260, adc=False)
    x = torch.randn(9, 2, 260)
    units = t.units(w.gain)
    codes = (x.double() * units.codes[0]).round().clamp(-50, 50)
    folded = rehearsal.write(w).folded.double() * units.factor
    expected = torch.einsum("ngk,gok->ngo", codes, folded) * units.scale
    torch.testing.assert_close(
        rehearsal.read(w, t, x, None).double(), expected, rtol=1e-4, atol=1e-3
    )


def test_more_reads_than_are_packed_at_once_are_the_same_reads():
    w = writing((1, 4, 6), [LOG])
    t = terms(6)
    x = torch.randn(4100, 1, 6)
    y = rehearsal.read(w, t, x, Reads(0, 1))
    parts = [rehearsal.read(w, t, x[k : k + 1025], Reads(k, 1)) for k in range(0, 4100, 1025)]
    assert torch.equal(y, torch.cat(parts))


#: Bits of codes, and levels: at most those that fit into bytes, and more.
WHOLE = [
    (-127.0, 127.0, 31.0),
    (0.0, 255.0, 32.0),
    (-128.0, 127.0, 32.0),
    (-3.0, 0.0, 1.0),
    (-200.0, 200.0, 32.0),
    (-127.0, 127.0, 100.0),
    (-1.5, 1.5, 3.0),
]


@pytest.mark.parametrize("tile_rows", [3, 16, 61, 128, 300])
@pytest.mark.parametrize(("lo", "hi", "most"), WHOLE)
def test_sums_over_levels_are_exact(lo, hi, most, tile_rows):
    steps = [CellStep("log_factor", 0.3, 1.0), CellStep("nearest", most * 2.0**-20, most, low=0.0)]
    w = writing((2, 37, 300), steps, relative=0.0, constant=0.0)
    weight = torch.randn(2, 37, 300)
    largest = weight.abs().max()  # where the sums of 16 bits are largest too
    weight[0, 0], weight[0, 1] = largest, -largest
    w = w._replace(weight=weight, scale=largest.reshape(1))
    span = most * 2.0**-20
    w = w._replace(numbers=(span, 0.0, span, span, 0.0, 0.0))
    known = rehearsal.write(w)
    assert known.levels == (2.0**-20, most)
    assert torch.equal(known.pairs, known.pairs.round())
    assert known.pairs.max() == -known.pairs.min() == most
    x = (torch.rand(45, 2, 300) * (hi - lo) + lo).round()
    x[:5] = hi
    x[5:9] = lo
    t = Terms(1.0, Codes(torch.ones(1), lo, hi), None, tile_rows, 0)
    units = t.units(w.gain)
    codes = x.clamp(lo, hi).double()
    tiles = zip(codes.split(tile_rows, 2), known.pairs.double().split(tile_rows, 2), strict=True)
    sums = [torch.einsum("ngk,gok->ngo", *each).float() for each in tiles]
    unit = known.unit * units.factor
    expected = sum(each * unit for each in sums)
    assert torch.equal(rehearsal.read(w, t, x, None), expected)
    assert torch.equal(rehearsal.read(known, t, x, None), expected)


def test_an_input_that_is_no_number_stays_in_its_own_read():
    w, t = writing((1, 20, 300), [LOG, LEVELS]), terms(64)
    x = torch.randn(40, 1, 300)
    y = rehearsal.read(w, t, x, Reads(0, 1))
    x[17, 0, 200] = math.nan
    spoilt = rehearsal.read(w, t, x, Reads(0, 1))
    assert spoilt[17].isnan().all()
    others = torch.arange(40) != 17
    assert torch.equal(spoilt[others], y[others])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_said(value):
    w = writing((1, 3, 300), [LOG])
    w.weight[0, 1, 7] = value
    broken = w._replace(scale=torch.full((1,), value) if value == math.inf else w.scale)
    assert rehearsal.write(broken) is None
    assert rehearsal.reference(broken) is None
    assert rehearsal.read(broken, terms(300), torch.randn(2, 1, 300), Reads(0, 1)) is None


def test_known_cells_need_no_noise():
    known = Known(torch.randn(1, 3, 8), None, torch.ones(1))
    t = terms(8, adc=False)
    y = rehearsal.read(known, t, torch.eye(8).unsqueeze(1), None)
    expected = 20.0 * known.folded[0].T * 0.05
    torch.testing.assert_close(y[:, 0], expected)
