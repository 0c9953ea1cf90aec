"""Layers and wrappers of other libraries, which memcore knows by name and never imports."""

import subprocess
import sys
import types

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.nn import Layer, TransformersConv1D
from memcore.testing import checks_for

IDEAL = CrossbarConfig(device="ideal")
NOISY = CrossbarConfig(device="ideal", nonidealities=["read_noise"])
X = Stream(5).normal((2, 3, 5))


#: As `transformers` has it: a linear layer whose weight is [inputs, outputs].
CONV1D = """
import torch
from torch import nn

class Conv1D(nn.Module):
    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.nx = nx
        self.weight = nn.Parameter(torch.empty(nx, nf).normal_(std=0.3))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        y = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return y.view(x.size()[:-1] + (self.nf,))
"""


def memristive(model):
    return [name for name, m in model.named_modules() if isinstance(m, Layer)]


# -- Conv1D of transformers ------------------------------------------------------------------------


@pytest.fixture
def conv1d(monkeypatch):
    """The class where `transformers` would have it."""
    module = types.ModuleType("transformers.pytorch_utils")
    exec(CONV1D, vars(module))
    monkeypatch.setitem(sys.modules, "transformers", types.ModuleType("transformers"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.Conv1D


def test_the_layer_conforms_on_the_class_of_transformers(conv1d):
    checks = list(checks_for(TransformersConv1D))
    assert {type(check.case.module) for check in checks} == {conv1d}
    for check in checks:
        check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_conv1d_is_known_by_its_name_and_computes_the_same(conv1d, dtype):
    model, x = nn.Sequential(conv1d(4, 5)).to(dtype), X.to(dtype)
    mem = memcore.convert(model, IDEAL)
    assert type(mem[0]) is TransformersConv1D
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-6, torch.bfloat16: 3e-2}[dtype]
    torch.testing.assert_close(mem(x), model(x), rtol=0, atol=tolerance)
    [line] = memcore.summary(mem).layers
    assert (line.kind, line.rows, line.cols) == ("Conv1D", 5, 4)


def test_effective_weights_of_a_conv1d_have_its_shape(conv1d):
    model = conv1d(4, 5)
    mem = memcore.convert(model, IDEAL)
    torch.testing.assert_close(mem.effective_weight, model.weight, rtol=0, atol=1e-5)
    assert "nf=4, nx=5" in repr(mem)


def test_a_class_of_the_same_name_elsewhere_is_another_one():
    namespace = {"__name__": "acme.layers"}
    exec(CONV1D, namespace)
    model = nn.Sequential(nn.Linear(5, 5), namespace["Conv1D"](4, 5))
    mem = memcore.convert(model, IDEAL)
    assert memristive(mem) == ["0"]
    assert memcore.summary(mem).digital == (("1", "no memristive form of Conv1D"),)


def test_converting_imports_no_foreign_library_and_no_compiler():
    # The compiler of torch takes as long as all else of torch together.
    code = (
        "import sys, torch, memcore; "
        "mem = memcore.convert(torch.nn.Linear(2, 2), memcore.CrossbarConfig(device='ideal')); "
        "mem(torch.ones(1, 2)).sum().backward(); "
        "names = ('transformers', 'peft', 'torch._dynamo'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- adapters --------------------------------------------------------------------------------------


class Lora(nn.Module):
    """y = base(x) + scale B A x, as `peft` wraps a layer."""

    def __init__(self, base, rank, scale=0.5):
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, base.out_features, bias=False)})
        self.scale = scale

    def forward(self, x):
        correction = self.lora_B["default"](self.lora_A["default"](x))
        return self.base_layer(x) + self.scale * correction


def adapted():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(Lora(nn.Linear(5, 6), 2), nn.ReLU(), nn.Linear(6, 3))


def test_an_adapter_stays_digital_and_its_base_goes_onto_arrays():
    model = adapted()
    mem = memcore.convert(model, IDEAL)
    assert memristive(mem) == ["0.base_layer", "2"]
    assert type(mem[0].lora_A["default"]) is nn.Linear
    torch.testing.assert_close(mem(X), model(X), rtol=0, atol=1e-5)
    found = memcore.summary(mem)
    why = "an adapter, which corrects what base_layer computes"
    assert found.digital == (("0.lora_A.default", why), ("0.lora_B.default", why))
    assert found.share == pytest.approx((30 + 18) / (30 + 18 + 10 + 12))


def test_a_wrapper_alone_is_converted_as_a_wrapper_in_a_network():
    mem = memcore.convert(adapted()[0], IDEAL)
    assert memristive(mem) == ["base_layer"]


def test_only_the_adapter_learns_while_the_base_stays_as_it_was_written():
    mem = memcore.convert(adapted(), NOISY)
    for name, parameter in mem.named_parameters():
        parameter.requires_grad_("lora" in name)
    cells = mem[0].base_layer.crossbar.conductance.clone()
    mem(X).square().sum().backward()
    moved = [name for name, p in mem.named_parameters() if p.grad is not None and p.grad.any()]
    assert moved == ["0.lora_A.default.weight", "0.lora_B.default.weight"]
    assert torch.equal(mem[0].base_layer.crossbar.conductance, cells)


def test_reverting_gives_the_wrapped_layer_back():
    model = adapted()
    base = model[0].base_layer
    memcore.revert_(memcore.convert_(model, IDEAL))
    assert model[0].base_layer is base
