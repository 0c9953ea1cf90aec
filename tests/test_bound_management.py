"""Reads that are repeated with half of the inputs where an output clips at its ADC."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.crossbar.readers import electrical

#: Vectors that the ranges are taken from, and vectors up to a thousand times as large.
X = Stream(5).child("x").normal((32, 20)).double()
LARGE = X * torch.logspace(-1, 3, 32, dtype=torch.float64)[:, None]
ADC = {"name": "uniform", "bits": 8}


def layer():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(20, 12).double()


def chip(model=None, x=X, **settings):
    rest = {"device": "ideal", "tile": (8, 8), "adc": ADC, "bound_management": "iterative"}
    config = CrossbarConfig(**{**rest, **settings})
    return memcore.convert(layer() if model is None else model, config, calibration=x)


def looped(mem, x, most=10):
    """What one vector gives after how many reads, in a plain loop, without a DAC."""
    crossbar = mem.crossbar
    weight = crossbar.folded[0].numpy()
    unit = float(crossbar.gain) / crossbar.input_scale
    step = float(crossbar.output.range[0, 1]) / 127 * unit
    for repeats in range(most + 1):
        codes = [
            np.round(weight[:, k : k + 8] @ (x[k : k + 8] / 2**repeats) / step)
            for k in range(0, 20, 8)
        ]
        if max(np.abs(code).max() for code in codes) <= 127:
            break
    return sum(np.clip(code, -127, 127) for code in codes) * step * 2**repeats, repeats + 1


def test_a_vector_is_halved_until_no_output_clips():
    mem = chip()
    bias = mem.bias.detach().numpy()
    wanted, reads = zip(*(looped(mem, x) for x in LARGE.numpy()), strict=True)
    with torch.no_grad(), memcore.counting(mem) as counts:
        y = mem(LARGE)
    np.testing.assert_allclose(y.numpy() - bias, np.stack(wanted), rtol=1e-9, atol=1e-9)
    assert {1, 2, 3} < set(reads)
    assert max(reads) < 12
    assert counts.total.vectors == sum(reads)


def test_large_vectors_are_right_that_would_clip():
    exact, errors = layer(), {}
    with torch.no_grad():
        wanted = exact(LARGE) - exact.bias
        for management in ("iterative", "none"):
            found = chip(bound_management=management)(LARGE) - exact.bias
            error = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
            errors[management] = error[-16:]
    assert float(errors["iterative"].max()) < 0.03
    assert float(errors["none"].min()) > 0.5


def test_ten_repetitions_are_the_most():
    mem = chip()
    with torch.no_grad(), memcore.counting(mem) as counts:
        y = mem(1e9 * X[:1])
    wanted, _ = looped(mem, 1e9 * X[0].numpy())
    np.testing.assert_allclose(y[0].numpy() - mem.bias.detach().numpy(), wanted, rtol=1e-9)
    assert counts.total.vectors == 11


def test_repetitions_dissipate_a_quarter_of_the_read_before():
    mem = chip()
    with torch.no_grad(), memcore.counting(mem) as once:
        mem(X[:1] / 8)
    _, reads = looped(mem, 4 * X[0].numpy())
    with torch.no_grad(), memcore.counting(mem) as several:
        mem(4 * X[:1])
    assert reads > 1
    of_all = sum(0.25**k for k in range(reads)) * 32**2
    assert several.total.dissipation == pytest.approx(of_all * once.total.dissipation, rel=1e-6)


def test_what_does_not_clip_is_read_as_without_it():
    plain, mem = (chip(bound_management=each) for each in ("none", "iterative"))
    with torch.no_grad():
        torch.testing.assert_close(mem(X), plain(X), rtol=1e-12, atol=1e-12)


NOISY = {"nonidealities": ["read_noise"], "dac": {"name": "uniform", "bits": 8}}
SETTINGS = {
    "plain": {},
    "noisy": NOISY,
    "scaled": {**NOISY, "dac_per": "vector", "adc": {**ADC, "full_scale": 1e-6}},
    "columns": {"adc_per": "column", "rows_at_once": 4},
    "slices": {"mapper": "bit_slice", "nonidealities": ["thermal_noise"]},
    "circuits": {"adc": {"name": "sar", "bits": 8, "offset_std": 0.01, "noise_std": 0.01}},
    "wires": {
        "nonidealities": [{"name": "ir_drop", "word_line": 1.0, "bit_line": 1.0}],
        "tile": (32, 32),
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_compiled_reads_and_other_batches_are_those_of_an_eager_read(settings):
    mem = chip(**settings).eval()
    others = copy.deepcopy(mem), copy.deepcopy(mem)
    with torch.no_grad(), memcore.counting(mem) as counts:
        wanted = mem(LARGE)
        torch._dynamo.reset()
        compiled = torch.compile(others[0], fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(LARGE), wanted)
        parts = torch.cat([others[1](some) for some in LARGE.split(5)])
    torch.testing.assert_close(parts, wanted, rtol=1e-9, atol=1e-9)
    assert counts.total.vectors > len(LARGE)


def test_blocks_of_inputs_make_no_difference(monkeypatch):
    mem = chip(**NOISY)
    other = copy.deepcopy(mem)
    with torch.no_grad():
        wanted = mem(LARGE)
        monkeypatch.setattr(electrical, "_CURRENTS", 5 * 12 * 3)  # of 5 vectors
        torch.testing.assert_close(other(LARGE), wanted, rtol=1e-12, atol=1e-12)


def test_noise_of_repetitions_is_their_own():
    model, ones, errors = layer(), torch.ones(4000, 20).double(), []
    with torch.no_grad():
        model.weight.mul_(0.1)[0] = 1.0  # of which all vectors clip
        for management in ("none", "iterative"):
            mem = chip(
                copy.deepcopy(model),
                ones[:1],
                nonidealities=[{"name": "read_noise", "relative": 0.01}],
                adc={**ADC, "bits": 20},
                bound_management=management,
            )
            error = mem(8 * ones)[:, 1:]
            errors.append((error - error.mean(0)) / error.std(0))
    correlation = (errors[0] * errors[1]).mean(0)
    assert float(correlation.abs().max()) < 4 / 4000**0.5


def test_groups_are_halved_each_for_itself():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Conv1d(6, 4, 3, groups=2).double()
    x = Stream(6).normal((4, 6, 9)).double()
    mem, far = chip(conv, x), x.clone()
    far[:, 3:] *= 50
    with torch.no_grad():
        near, found = mem(x), mem(far)
        assert torch.equal(near[:, :2], found[:, :2])
        wanted = conv(far)[:, 2:]
        assert float((found[:, 2:] - wanted).norm() / wanted.norm()) < 0.03


def test_gradients_transforms_and_rehearsals_go_through_it():
    mem = chip(nonidealities=["read_noise"], dac={"name": "uniform", "bits": 8})
    one = mem.train()(8 * X)
    one.square().mean().backward()
    assert mem.weight.grad.isfinite().all()
    mem = chip().eval()
    mapped = torch.func.vmap(mem)(LARGE.view(4, 8, 20)).view(32, 12)
    torch.testing.assert_close(mapped, mem(LARGE), rtol=1e-9, atol=1e-9)


def test_training_in_place_reads_so():
    config = {"device": {"name": "soft_bounds", "dw_min": 0.01}, "mapper": "offset"}
    errors = {}
    for management in ("none", "iterative"):
        mem = chip(**config, bound_management=management)
        optimizer = memcore.optim.InSitu(mem, rule="sgd_pulsed", lr=1e-4)
        y = mem(LARGE)
        errors[management] = float((y - mem.bias - LARGE @ mem.weight.T).detach().norm())
        y.square().mean().backward()
        optimizer.step()
    assert errors["iterative"] < 0.1 * errors["none"]


def test_states_and_files_keep_it():
    mem, other = chip(**NOISY), chip(**NOISY)
    with torch.no_grad():
        mem(LARGE)
        other.load_state_dict(mem.state_dict())
        assert torch.equal(other(LARGE), mem(LARGE))
    config = mem.crossbar.config
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config
    assert config.without_adc().bound_management == "none"
    assert config.replace(adc=None).bound_management == "none"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adc": None}, "no ADC.*expected adc="),
        ({"adc": "sense_table", "mapper": "bit_slice"}, "evenly spaced"),
        ({"dac": "bit_serial"}, "digit by digit"),
        ({"bias": "mapped"}, "bias='digital'"),
        ({"training": {"output_range": {}}}, "one of the two"),
        ({"bound_management": "always"}, "expected one of"),
    ],
)
def test_what_it_cannot_act_on_is_refused(settings, message):
    rest = {"device": "ideal", "adc": ADC, "bound_management": "iterative"}
    with pytest.raises(memcore.ConfigError, match=message):
        CrossbarConfig(**{**rest, **settings})
