"""A network with a layer that memcore does not know, on crossbars like any other."""

import torch
from memcore_example.gated import GatedLinear, MemristiveGatedLinear
from torch import nn

import memcore


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(GatedLinear(6, 8), nn.Linear(8, 3))


def test_layer_is_found_and_lists_both_of_its_matrices():
    mem = memcore.convert(network(), memcore.CrossbarConfig(device="ideal"))

    assert isinstance(mem[0], MemristiveGatedLinear)
    names = [layer.name for layer in memcore.summary(mem).layers]
    assert names == ["0.value", "0.gate", "1"]


def test_gate_is_on_arrays_of_its_own():
    config = memcore.CrossbarConfig(device="ideal", nonidealities=["drift"])
    mem, x = memcore.convert(nn.Sequential(GatedLinear(6, 8)), config), torch.randn(4, 6)
    value, gate = (mem[0].matrices[name].crossbar for name in ("value", "gate"))
    with torch.no_grad():
        fresh = mem(x)
        gate.age(seconds=1e6)
        of_gate = mem(x)
        value.age(seconds=1e6)

        assert not torch.equal(of_gate, fresh)
        assert not torch.equal(mem(x), of_gate)


def test_training_and_going_back():
    model = network()
    mem = memcore.convert(model, memcore.CrossbarConfig(device="ideal"))
    x, before = torch.randn(16, 6), mem[0].gate.detach().clone()
    mem(x).square().sum().backward()
    with torch.no_grad():
        for parameter in mem.parameters():
            parameter.sub_(0.01 * parameter.grad)
    memcore.program(mem)
    y = mem(x)
    digital = memcore.revert_(mem)

    assert type(digital[0]) is GatedLinear
    assert not torch.equal(digital[0].gate, before)
    torch.testing.assert_close(digital(x), y, rtol=1e-4, atol=1e-5)
