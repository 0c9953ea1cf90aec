"""Block floating point: integers with an exponent for each column of an array."""

import pytest
import torch
from torch import nn

import memcore
from memcore import Context, CrossbarConfig, Stream

IDEAL = memcore.devices["ideal"]()


def weights(*shape):
    """Weights whose columns differ by orders of magnitude."""
    size = torch.logspace(0, -3, shape[-1])
    return Stream(5).child("weights").normal(shape) * size


def mapped(weight, tile=None, **settings):
    mapper = memcore.mappers["block_float"](**settings)
    return mapper.map(weight, IDEAL, Context(random=Stream(0), tile=tile))


@pytest.mark.parametrize("encoding", ["differential", "offset", "twos_complement"])
def test_a_weight_is_an_integer_times_a_power_of_two(encoding):
    weight = weights(2, 12, 5).double()
    found = mapped(weight, (4, 128), encoding=encoding, weight_bits=6)
    step = found.step
    assert torch.equal(step.log2(), step.log2().round())
    code = found.weight() / step
    torch.testing.assert_close(code, (weight / step).round().clamp(-31, 31), rtol=0, atol=1e-9)
    assert code.abs().max() <= 31 + 1e-9


def test_the_exponent_of_a_block_is_the_least_that_holds_its_largest_weight():
    weight = weights(2, 12, 5)
    step = mapped(weight, (4, 128), weight_bits=6).step.view(3, 4, 5)
    assert torch.equal(step, step[:, :1].expand_as(step))
    peak = weight.abs().view(2, 3, 4, 5).amax((0, 2))
    assert (31 * step[:, 0] >= peak).all()
    assert (15.5 * step[:, 0] < peak).all()


def test_few_bits_of_an_exponent_leave_small_blocks_the_least_one():
    step = mapped(weights(1, 8, 6), exponent_bits=1).step
    assert step.unique().numel() == 2
    assert step.max() == 2 * step.min()


def test_a_block_of_zeros_and_a_matrix_of_zeros_are_zeros():
    weight = weights(1, 8, 3)
    weight[..., 1] = 0
    for each in (weight, torch.zeros(1, 8, 3)):
        found = mapped(each)
        assert found.gain.isfinite().all()
        torch.testing.assert_close(found.weight(), each, rtol=0, atol=0.05)
        assert found.weight()[..., 1].abs().max() == 0


def test_small_columns_keep_their_precision_where_a_common_range_loses_it():
    model, x = nn.Linear(40, 6, bias=False), Stream(3).normal((9, 40))
    with torch.no_grad():
        model.weight.copy_(weights(1, 40, 6)[0].mT)
    expected = model(x).detach()
    errors = {}
    for name in ("bit_slice", "block_float"):
        config = CrossbarConfig(
            device="ideal", tile=(16, 16), mapper={"name": name, "weight_bits": 6}
        )
        found = memcore.convert(model, config)(x).detach()
        errors[name] = ((found - expected).square().mean(0) / expected.square().mean(0)).sqrt()
    assert errors["block_float"].max() < 0.1
    assert errors["bit_slice"].max() > 0.5


def test_lossless_converters_give_the_integer_products_shifted():
    model = nn.Linear(20, 6, bias=False)
    with torch.no_grad():
        model.weight.copy_(weights(1, 20, 6)[0].mT)
    config = CrossbarConfig(
        device="ideal", tile=(8, 16), mapper="block_float", adc={"name": "uniform", "bits": 22}
    )
    x = torch.arange(40.0).view(2, 20) % 7 - 3
    mem = memcore.convert(model, config, calibration=x)
    rounded = mapped(model.weight.detach().double().mT[None], (8, 16)).weight()[0]
    torch.testing.assert_close(mem(x).double(), x.double() @ rounded, rtol=0, atol=1e-4)
