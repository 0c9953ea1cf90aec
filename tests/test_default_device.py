"""A default device of torch that a user has set: nothing of memcore lands there by itself."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.overrides import BaseTorchFunctionMode

import memcore
from memcore import CrossbarConfig, Stream
from memcore.ops._library import is_plain

ROOT = Path(__file__).parents[1]
FACTORIES = {
    *("tensor", "as_tensor", "asarray", "zeros", "ones", "full", "empty", "eye", "arange"),
    *("linspace", "logspace", "rand", "randn", "randint", "randperm", "scalar_tensor"),
}
#: What users make follows the default device, as with torch: waveforms, networks, cases of tests.
FOLLOW = ("memcore/testing", "memcore/dynamics/stimuli.py", "memcore/study/gpt.py")
FOLLOW = (*FOLLOW, "memcore/nn/transformers_conv1d.py")


def factories(path):
    """Lines of a file that make a tensor on the default device; trials of layers may."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    cases = {id(n) for m in methods if m.name == "trials" for n in ast.walk(m)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in cases:
            continue
        if ast.unparse(node.func) not in {f"torch.{name}" for name in FACTORIES}:
            continue
        if not any(keyword.arg in ("device", None) for keyword in node.keywords):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_tensor_that_is_made_says_where():
    files = [*(ROOT / "memcore").rglob("*.py"), *(ROOT / "plugins/memcore_plugins").rglob("*.py")]
    named = {path.relative_to(ROOT).as_posix(): path for path in files}
    assert [
        line
        for name, path in sorted(named.items())
        if not name.startswith(FOLLOW)
        for line in factories(path)
    ] == []


@pytest.fixture
def elsewhere():
    """Within, tensors without a place are on a device where nothing has values."""

    def begin():
        torch.set_default_device("meta")

    yield begin
    torch.set_default_device(None)  # any other one stays on the stack of modes


def draws(*shape, name="x"):
    return Stream(7).child(name).normal(shape)


UNIFORM = {"adc": {"name": "uniform", "bits": 6}, "dac": {"name": "uniform", "bits": 6}}
SLICES = {"name": "bit_slice", "slice_bits": [3, 4]}
WAYS = {
    "plain": {},
    "converters": UNIFORM,
    "columns": {**UNIFORM, "adc_per": "column", "mapper": "offset", "rows_at_once": 3},
    "slices": {**UNIFORM, "mapper": "bit_slice", "dac": {"name": "bit_serial", "bits": 4}},
    "lanes": {**UNIFORM, "mapper": SLICES, "lanes": [{"copies": 2}, {"device": "pcm"}]},
    "noise": {"nonidealities": ["d2d", "c2c", "read_noise", "stuck_at", "drift", "rtn"]},
    "wires": {"nonidealities": ["ir_drop", "read_noise"]},
    "series": {"nonidealities": ["ir_drop_series"]},
    "breaks": {"nonidealities": [{"name": "ir_drop", "open_bit_lines": 0.05}]},
    "curved": {"nonidealities": ["nonlinear_iv"]},
    "avoided": {"nonidealities": ["stuck_at"], "faults": "avoided", "spare_cols": 2},
    "packed": {"cells": "codes", "nonidealities": [{"name": "finite_states", "states": 8}]},
    "halves": {"cells": "float16"},
    "pcm": {"device": "pcm", **UNIFORM},
    "verified": {"device": "vteam", "programmer": "write_verify"},
    "differing": {"adc": {"name": "sar", "bits": 5}},
    "pipeline": {"adc": {"name": "pipeline", "bits": 5}},
}


def lived(way, begin=lambda: None):
    """What a chip tells of its life."""
    layer = nn.Sequential(nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(0.3 * draws(*parameter.shape, name=name))
    x = draws(8, 9)
    begin()
    settings = {"device": "ideal", "tile": (8, 8), **way}
    chip = memcore.convert(layer, CrossbarConfig(**settings), seed=3, calibration=x)
    seen = [chip(x)]
    memcore.age(chip, seconds=1e3)
    with memcore.counting(chip, traced=True) as counts:
        seen.append(chip(x))
    assert counts.total.reads > 0
    memcore.summary(chip)
    chip.train()
    (chip(x).square().mean()).backward()
    seen += [parameter.grad for parameter in chip.parameters()]
    with torch.no_grad():
        chip[0].weight.mul_(0.9)
    seen.append(chip(x))
    memcore.program(chip.eval())
    memcore.calibrate(chip, x)
    seen.append(chip(x))
    memcore.cost(chip, x, model="array")
    seen.append(memcore.revert_(chip)(x))
    return seen


@pytest.mark.filterwarnings("ignore::memcore.MemcoreWarning")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_chip_lives_where_its_weights_are(way, elsewhere):
    expected = lived(way)
    found = lived(way, elsewhere)
    assert [each.device.type for each in found] == ["cpu"] * len(found)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", ["cpu", "meta"])
def test_a_default_device_keeps_no_tensor_from_the_kernels(place, elsewhere):
    plain, device = torch.ones(2), torch.device(place)
    assert is_plain(plain)
    with device:
        assert is_plain(plain)
    torch.set_default_device(device)
    assert is_plain(plain)
    with BaseTorchFunctionMode():  # which may look at all that is computed
        assert not is_plain(plain)
