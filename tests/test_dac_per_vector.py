"""Inputs that are scaled one vector at a time, such as the tokens of a transformer."""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream

#: Vectors of very different size.
X = Stream(5).child("x").normal((48, 20)) * torch.logspace(0, -3, 48)[:, None]


def layer():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(20, 12)


def chip(model=None, x=X, **settings):
    config = CrossbarConfig(**{"device": "ideal", "dac_per": "vector", **settings})
    needs = config.dac is not None or config.adc is not None
    return memcore.convert(
        layer() if model is None else model, config, calibration=x if needs else None
    )


#: Ways to read: exactly, tile by tile, with noise, with digits, and currents of whole arrays.
READS = {
    "exact": {},
    "DAC": {"dac": {"name": "uniform", "bits": 16}},
    "tiled": {"dac": {"name": "uniform", "bits": 14}, "adc": {"name": "uniform", "bits": 18}},
    "noisy": {"nonidealities": [{"name": "read_noise", "relative": 1e-7}]},
    "serial": {"dac": {"name": "bit_serial", "bits": 12}, "adc": {"name": "uniform", "bits": 18}},
}


@pytest.mark.parametrize("read", READS)
def test_outputs_and_gradients_are_those_of_the_digital_layer(read):
    model, found = layer(), []
    mem = chip(model, tile=(8, 8), **READS[read])
    for each in (model, mem):
        x = X.clone().requires_grad_()
        y = each(x)
        each.zero_grad()
        y.sum().backward()
        found.append([y.detach() - model.bias.detach(), x.grad, each.weight.grad.clone()])
    for one, other in zip(*found, strict=True):
        error = (one - other).abs().amax(-1) / one.abs().amax(-1)
        assert float(error.max()) < 3e-3


def test_small_vectors_are_resolved_as_well_as_large_ones():
    model, errors = layer(), {}
    for per in ("layer", "vector"):
        mem = chip(model, dac="uniform", adc="uniform", dac_per=per)
        wanted = model(X) - model.bias
        error = (mem(X) - model.bias - wanted).square().mean(1) / wanted.square().mean(1)
        errors[per] = error.detach().sqrt()
    assert errors["vector"].max() < 0.1
    assert errors["layer"][-8:].min() > 0.5


def test_a_vector_is_read_alike_in_any_batch_and_at_any_size():
    mem = chip(dac="uniform", adc="uniform")
    bias = mem.bias
    torch.testing.assert_close(mem(X[40:41]), mem(X)[40:41])
    torch.testing.assert_close(mem(8 * X) - bias, 8 * (mem(X) - bias), rtol=1e-4, atol=1e-5)
    assert torch.equal(mem(torch.zeros(2, 20)), bias.expand(2, 12))


def test_inputs_that_are_never_negative_use_all_levels():
    mem = chip(x=X.abs(), dac="uniform")
    torch.testing.assert_close(mem.crossbar.input.range[0, 1].item(), 1.0)
    assert mem.crossbar.input.form.lo == 0


def test_convolutions_and_attention_take_it():
    conv, x = nn.Conv2d(2, 4, 3, padding=1), Stream(5).normal((2, 2, 5, 5))
    found = chip(conv, x, dac={"name": "uniform", "bits": 12})(x)
    torch.testing.assert_close(found, conv(x), rtol=0, atol=5e-3)
    block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = Stream(5).normal((2, 6, 16))
    found = chip(block, x, dac="uniform", adc="uniform")(x)
    assert float((found - block(x)).detach().norm() / block(x).detach().norm()) < 0.05


def test_training_counting_and_states_go_through_it():
    mem, other = (
        chip(dac="uniform", nonidealities=[{"name": "d2d", "std": 0.1}]) for _ in range(2)
    )
    with torch.no_grad():
        mem.weight.mul_(1.5)
    mem.train()(X).square().mean().backward()
    assert mem.weight.grad.isfinite().all()
    memcore.program(mem.eval())
    other.load_state_dict(mem.state_dict())
    assert torch.equal(other(X), mem(X))
    with memcore.counting(mem) as counts:
        plain = mem(X)
    assert counts.total.vectors == 48
    assert torch.equal(plain, mem(X))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bias": "mapped"}, "bias='digital'"),
        ({"dac": "uniform", "training": {"input_range": {}}}, "one of the two"),
        ({"dac_per": "token"}, "expected one of"),
    ],
)
def test_what_does_not_go_with_it_is_refused(settings, message):
    with pytest.raises(memcore.ConfigError, match=message):
        chip(**settings)


def test_who_looks_for_its_name_elsewhere_finds_it():
    for make in (CrossbarConfig, lambda **given: CrossbarConfig.from_mapping(given)):
        with pytest.raises(memcore.MemcoreError, match="'noise_management', which is called 'dac_"):
            make(device="ideal", noise_management="abs_max")


@pytest.mark.parametrize("read", READS)
def test_gradients_change_no_bit_of_the_outputs(read):
    mem = chip(tile=(8, 8), **READS[read]).eval()
    mem.crossbar.reads.zero_()
    with torch.no_grad():
        alone = mem(X)
    mem.crossbar.reads.zero_()
    assert torch.equal(mem(X.clone().requires_grad_()), alone)
