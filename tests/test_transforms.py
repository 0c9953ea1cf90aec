"""Chips under `torch.func`: gradients of training steps, samples that are mapped over."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

import memcore
from memcore import CrossbarConfig, Stream

BITS = {"name": "uniform", "bits": 8}
X = Stream(3).child("inputs").normal((16, 20))
WAYS = {
    "plain": {},
    "inputs": {"dac": BITS},
    "converters": {"dac": BITS, "adc": BITS},
    "noise": {"dac": BITS, "adc": BITS, "nonidealities": ["d2d", "read_noise"]},
    "levels": {"dac": BITS, "adc": {"name": "pipeline", "bits": 5}},
    "digits": {"dac": {"name": "bit_serial", "bits": 4}, "adc": BITS, "mapper": "bit_slice"},
    "sums": {"mapper": "offset", "adc": BITS, "adc_per": "column", "nonidealities": ["read_noise"]},
    "codes": {"cells": "codes", "nonidealities": [{"name": "finite_states", "states": 8}]},
}
TRAINED = {
    "any chip": {"nonidealities": ["d2d"]},
    "this chip": {"nonidealities": ["d2d"], "training": {"chip": "this"}},
    "each read": {"nonidealities": ["d2d"], "training": {"chip": "any", "anew": "read"}},
    "all": WAYS["noise"],
    "offset": {"mapper": "offset", "nonidealities": ["d2d", "read_noise"]},
}
LEARNED = {"dac": BITS, "training": {"input_range": {"start": 2.0, "batches": 0}}}
FOUND = {"dac": BITS, "training": {"input_range": {"batches": 2}}}


def chip_of(way, layers=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = layers or nn.Sequential(nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 4))
    config = CrossbarConfig(**{"device": "ideal", "tile": (8, 8), **way})
    asks = way not in (LEARNED, FOUND) and (config.adc is not None or config.dac is not None)
    return memcore.convert(model, config, calibration=X if asks else None)


def loss_of(chip):
    def loss(parameters, x):
        return functional_call(chip, parameters, (x,)).square().sum()

    return loss


def moved(parameters, gradients):
    return {name: (each - 0.01 * gradients[name]).detach() for name, each in parameters.items()}


@pytest.mark.parametrize("way", TRAINED.values(), ids=TRAINED)
def test_a_functional_training_takes_the_steps_of_an_ordinary_one(way):
    """Each step rehearses cells of its own, whichever loop moves the parameters."""
    chip = chip_of(way).train()
    twin = copy.deepcopy(chip)
    parameters = dict(chip.named_parameters())
    for _ in range(3):
        found = grad(loss_of(chip))(parameters, X)
        twin.zero_grad()
        twin(X).square().sum().backward()
        for name, each in twin.named_parameters():
            torch.testing.assert_close(found[name], each.grad, rtol=1e-4, atol=1e-4)
        parameters = moved(parameters, found)
        with torch.no_grad():
            for each in twin.parameters():
                each.sub_(0.01 * each.grad)
    cells, others = (each[0].crossbar.cells.rehearsals for each in (chip, twin))
    assert cells == others > 1


@pytest.mark.parametrize("way", TRAINED.values(), ids=TRAINED)
def test_gradients_of_samples_add_up_to_that_of_their_batch(way):
    chip = chip_of(way).train()
    parameters = moved(dict(chip.named_parameters()), dict(chip.named_parameters()))
    twin = copy.deepcopy(chip)
    each = vmap(grad(loss_of(chip)), in_dims=(None, 0))(parameters, X[:, None])
    whole = grad(loss_of(twin))(parameters, X)
    for name, gradient in whole.items():
        torch.testing.assert_close(each[name].sum(0), gradient, rtol=1e-4, atol=1e-3)


def test_weights_that_are_mapped_over_are_refused_in_a_rehearsal():
    chip = chip_of(TRAINED["any chip"]).train()
    several = {name: torch.stack([each, each]) for name, each in chip.named_parameters()}
    with pytest.raises(memcore.ConfigError, match="maps over the weights"):
        vmap(loss_of(chip), in_dims=(0, None))(several, X)


def test_a_learned_range_has_a_gradient_under_a_transform_and_is_not_moved_there():
    chip = chip_of(LEARNED).train()
    chip(X).square().sum().backward()
    parameters = dict(chip.named_parameters())
    for name, gradient in grad(loss_of(chip))(parameters, X).items():
        torch.testing.assert_close(gradient, parameters[name].grad, rtol=1e-4, atol=1e-4)
    torch.optim.SGD(chip.parameters(), lr=1e-3).step()
    with pytest.raises(memcore.ConfigError, match="that training has moved"):
        grad(loss_of(chip))(dict(chip.named_parameters()), X)
    chip(X).sum().backward()


def test_a_range_is_not_found_where_nothing_may_change():
    chip = chip_of(FOUND).train()
    chip(X).sum().backward()
    with pytest.raises(memcore.ConfigError, match="the first batches set"):
        grad(loss_of(chip))(dict(chip.named_parameters()), X)
    chip(X).sum().backward()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_samples_that_are_mapped_over_are_read_by_one_call(way):
    """Else torch takes one sample after the other, and says so."""
    chip = chip_of(way).eval()
    twin = copy.deepcopy(chip)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = vmap(lambda row: chip(row[None])[0])(X)
        assert vmap(chip, in_dims=1)(X.reshape(4, 4, 20)).shape == (4, 4, 4)
    torch.testing.assert_close(found, twin(X))


@pytest.mark.parametrize("way", [WAYS["converters"], WAYS["noise"]], ids=["converters", "noise"])
def test_images_that_are_mapped_over_are_read_by_one_call(way):
    x = Stream(4).normal((6, 2, 5, 5))
    chip = memcore.convert(nn.Conv2d(2, 3, 3), CrossbarConfig(device="ideal", **way), calibration=x)
    twin = copy.deepcopy(chip.eval())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = vmap(lambda image: chip(image[None])[0])(x)
    torch.testing.assert_close(found, twin(x))


def test_steps_of_quantisers_may_be_mapped_over():
    """Then torch's way, one sample after the other, is the way."""
    steps = torch.tensor([[0.1], [0.25], [1.0]])
    found = vmap(lambda step: memcore.ops.quantize.uniform(X, step, -7, 7))(steps)
    expected = [(X / step).round().clamp(-7, 7) * step for step in steps]
    torch.testing.assert_close(found, torch.stack(expected))
