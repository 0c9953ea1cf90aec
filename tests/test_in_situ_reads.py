"""What rules with several arrays read of a fast one: its columns, through the converters."""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.optim import InSitu

pytestmark = pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")
EVEN = {"name": "constant_step", "dw_min": 0.005, "c2c": 0.0}
X, ERRORS = (Stream(23).child(name).normal((32, 5)) for name in ("inputs", "errors"))
BIAS = pytest.mark.parametrize("bias", ["digital", "mapped"])


def trained(rule, scale=1.0, **more):
    """A layer after some steps, whose inputs are `scale` times as large, and its optimiser."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain = nn.Linear(5, 5)
    config = CrossbarConfig(device=EVEN, mapper="differential", programmer="direct", **more)
    mem = memcore.convert(plain, config, calibration=scale * X if config.dac else None)
    optimizer = InSitu(mem, rule=rule, lr=0.01 / scale)
    for _ in range(4):
        optimizer.zero_grad()
        (mem(scale * X) * ERRORS).sum().backward()
        optimizer.step()
    return mem, optimizer


@BIAS
@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_columns_are_what_cells_hold_whatever_the_range_of_the_dac(scale, bias):
    _, optimizer = trained("tiki_taka2", scale, dac="uniform", bias=bias)
    fast = optimizer._trainers[0].cells[0]
    fast.settle()
    held = fast.crossbar.folded
    assert held.abs().max() > 0
    torch.testing.assert_close(fast.read_columns(slice(None)), held, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(fast.read_columns(slice(1, 3)), held[..., 1:3], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rule", ["tiki_taka", "tiki_taka2", "chopped", "agad", "residual"])
def test_biases_on_the_arrays_are_trained_by_rules_with_several_arrays(rule):
    _, optimizer = trained(rule, bias="mapped", nonidealities=["read_noise"])
    (matrix,) = optimizer.report().matrices
    assert matrix.figures["transfers"] > matrix.figures["slots"] > 0


def test_a_constant_input_is_read_only_where_it_is_asked_for():
    _, optimizer = trained("tiki_taka2", bias="mapped")
    fast = optimizer._trainers[0].cells[0]
    x = torch.cat([X, 2 * torch.ones(32, 1)], 1).unsqueeze(1)
    expected = torch.einsum("ngi,goi->ngo", x, fast.crossbar.folded)
    torch.testing.assert_close(fast.read(x), expected)
