"""Every operator on CUDA against its reference on the CPU."""

import pytest
import torch

from memcore import native
from memcore.ops import crossbar_mvm, philox, quantize

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
