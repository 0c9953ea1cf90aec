"""Digital factors by least squares, for each column or each layer."""

import copy

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream

X = Stream(5).child("x").normal((64, 20))


def layer():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(20, 12)


def chip(model=None, x=X, **settings):
    config = CrossbarConfig(**{"device": "ideal", **settings})
    needs = config.dac is not None or config.adc is not None
    model = layer() if model is None else model
    return memcore.convert(model, config, calibration=x if needs else None)


def error(mem, digital, x=X):
    return float((mem(x) - digital(x)).detach().square().mean())


def factors(mem):
    return mem.crossbar.cells.correction


#: What takes current from whole columns.
LOSSES = {
    "wires": {"nonidealities": [{"name": "ir_drop", "word_line": 20.0, "bit_line": 20.0}]},
    "spread": {"nonidealities": [{"name": "d2d", "std": 0.2}]},
    "circuits": {"adc": {"name": "ramp", "bits": 8, "gain_std": 0.1}},
    "mapped bias": {"bias": "mapped", "nonidealities": ["stuck_at", {"name": "d2d", "std": 0.3}]},
}


@pytest.mark.parametrize("loss", LOSSES)
def test_each_scope_is_nearer_to_the_digital_layer_than_the_one_before(loss):
    model = layer()
    plain = chip(model, **LOSSES[loss])
    errors = [error(plain, model)]
    for per in ("layer", "column"):
        mem = copy.deepcopy(plain)
        memcore.tune(mem, X, per=per)
        errors.append(error(mem, model))
    assert errors[2] < errors[1] <= errors[0] * (1 + 1e-9)


def test_the_factor_of_a_column_is_that_of_least_squares():
    model = layer()
    mem = chip(model, nonidealities=[{"name": "d2d", "std": 0.2}])
    read = (mem(X) - model.bias).detach()
    wanted = (model(X) - model.bias).detach()
    memcore.tune(mem, [X[:30], X[30:]])
    expected = (wanted * read).sum(0) / read.square().sum(0)
    torch.testing.assert_close(factors(mem), expected, rtol=1e-4, atol=0)
    before = factors(mem).clone()
    memcore.tune(mem, X)  # once tuned, there is nothing to tune
    torch.testing.assert_close(factors(mem), before, rtol=1e-4, atol=0)


def test_a_gain_that_all_columns_share_is_taken_back_by_one_factor():
    model = layer()
    mem = chip(model, nonidealities=[{"name": "drift", "nu": 0.1}])
    memcore.age(mem, seconds=1e4)
    aged = error(mem, model)
    memcore.tune(mem, X, per="layer")
    assert factors(mem).shape == ()
    assert error(mem, model) < 1e-4 * aged


def test_ideal_arrays_keep_a_factor_of_one_and_a_state_keeps_the_factors(tmp_path):
    mem, other = chip(), chip()
    memcore.tune(mem, X)
    torch.testing.assert_close(factors(mem), torch.ones(12), rtol=0, atol=1e-5)
    other.load_state_dict(mem.state_dict())
    assert torch.equal(factors(other), factors(mem))
    memcore.program(mem)
    assert factors(mem) is None


def test_an_output_without_weights_has_a_factor_of_zero_which_a_state_keeps():
    digital = layer()
    with torch.no_grad():
        digital.weight[3] = 0
    mem, other = (chip(digital, **LOSSES["spread"]) for _ in range(2))
    memcore.tune(mem, X)
    assert factors(mem)[3] == 0
    other.load_state_dict(mem.state_dict())
    assert torch.equal(other(X), mem(X))


def test_all_layers_of_a_network_are_tuned_in_one_pass_without_using_read_numbers():
    conv = nn.Conv2d(2, 4, 3, groups=2)
    model = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    x = Stream(5).normal((8, 2, 6, 6))
    noise = {"name": "read_noise", "relative": 0.01}
    mem = chip(
        model, x, nonidealities=[{"name": "d2d", "std": 0.3}, noise], tile=(40, 20), groups="packed"
    )
    before, other = error(copy.deepcopy(mem), model, x), copy.deepcopy(mem)
    memcore.tune(mem, x)
    assert all(each.crossbar.cells.correction is not None for each in (mem[0], mem[3]))
    assert [int(each.crossbar.reads) for each in (mem[0], mem[3])] == [0, 0]
    assert error(mem, model, x) < before
    assert mem.training == other.training


def test_what_does_not_fit_is_refused():
    with pytest.raises(memcore.ConfigError, match="per='row'; expected one of"):
        memcore.tune(chip(), X, per="row")
    with pytest.raises(memcore.ConfigError, match="there are no inputs to tune on"):
        memcore.tune(chip(), [])
    waiting = memcore.convert(layer(), CrossbarConfig(device="ideal", dac="uniform"))
    with pytest.raises(memcore.ConfigError, match="converters of the model have no range yet"):
        memcore.tune(waiting, X)
