"""Inputs of another dtype than the cells that they drive: one error, of every layer and read."""

import pytest
import torch
from torch import nn

import memcore
from memcore import ArgumentTypeError, CrossbarConfig

WIRES = {"name": "ir_drop", "word_line": 2.0, "bit_line": 2.0}
#: One way to read each.
WAYS = {
    "exact": {},
    "exact with DAC": {"dac": "uniform"},
    "tiled": {"dac": "uniform", "adc": "uniform", "tile": (16, 16)},
    "wired": {"nonidealities": [WIRES], "tile": (16, 16)},
    "solved": {"nonidealities": ["nonlinear_iv"], "tile": (16, 16)},
    "noisy": {"nonidealities": ["read_noise"], "tile": (16, 16)},
}
OTHERS = (torch.float64, torch.bfloat16, torch.int64, torch.bool)


def flat(arguments):
    """The places of all floating-point tensors among the arguments of a call."""
    for k, each in enumerate(arguments):
        if isinstance(each, tuple):
            yield from ((k, *rest) for rest in flat(each))
        elif isinstance(each, torch.Tensor) and each.is_floating_point():
            yield (k,)


def changed(arguments, place, dtype):
    first, *rest = place
    each = arguments[first]
    new = changed(each, rest, dtype) if rest else each.to(dtype)
    return (*arguments[:first], new, *arguments[first + 1 :])


def written(name, way):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, arguments = memcore.layers[name].trials()[0]
    config = CrossbarConfig(device="ideal", layers=[name], **WAYS[way])
    model = memcore.convert(nn.ModuleDict({"m": module}), config)["m"]
    return model, arguments


@pytest.mark.filterwarnings("ignore::memcore.CalibrationWarning", "ignore::memcore.NoEffectWarning")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(memcore.layers))
def test_inputs_of_another_dtype_are_refused_alike(name, way, training):
    layer, arguments = written(name, way)
    layer.eval()(*arguments)
    layer.train(training)
    for place in flat(arguments):
        for dtype in OTHERS:
            with pytest.raises(ArgumentTypeError, match=str(dtype)):
                layer(*changed(arguments, place, dtype))
    layer(*arguments)


def test_the_message_says_what_to_do():
    layer = memcore.convert(nn.Sequential(nn.Linear(3, 2)), CrossbarConfig(device="ideal"))
    text = (
        "the inputs of '0' are torch.float64, but its cells are torch.float32; expected the same: "
        r"use x.to\(torch.float32\), or the network .to\(torch.float64\)"
    )
    with pytest.raises(ArgumentTypeError, match=text):
        layer(torch.ones(1, 3, dtype=torch.float64))
    with pytest.raises(ArgumentTypeError, match=r"use x.to\(torch.float32\)$"):
        layer(torch.ones(1, 3, dtype=torch.int64))
    assert layer.double()(torch.ones(1, 3, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.filterwarnings("ignore::memcore.CalibrationWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(2, 3, 2)])
def test_autocast_converts_what_it_converts_in_a_digital_layer(layer, way):
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", **WAYS[way]))
    x = torch.rand((2, 6) if isinstance(layer, nn.Linear) else (2, 2, 4, 4))
    mem(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            assert torch.isfinite(mem(x.to(dtype))).all()
