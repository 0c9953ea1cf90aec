"""What a rehearsed step keeps for its backward pass: a byte for each weight, where levels fit."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

import memcore
from memcore import CrossbarConfig, Stream, native
from memcore.crossbar.transforms import is_transformed
from memcore.ops.folded import Folded
from memcore.ops.rehearsal import Levels
from memcore.ops.surrogate import through_read

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

BITS = {"name": "uniform", "bits": 8}
with torch.random.fork_rng():
    torch.manual_seed(0)
    LAYERS = {
        "linear": (nn.Linear(300, 200), (8, 300)),
        "a scale for each output": (nn.Linear(300, 200), (8, 300)),
        "convolution": (nn.Conv2d(32, 64, 3), (2, 32, 6, 6)),
        "groups": (nn.Conv2d(32, 64, 3, groups=2), (2, 32, 6, 6)),
    }
layers = pytest.mark.parametrize("layer", LAYERS)


def draws(*shape, name="x"):
    return Stream(5).child(name).normal(shape)


def rehearsed(layer, states=32):
    """A layer with all of its hardware that has not read the cells of its step, and inputs."""
    module, shape = LAYERS[layer]
    effects = ["d2d", {"name": "finite_states", "states": states}, "read_noise"]
    way = {"nonidealities": effects, "dac": BITS, "adc": BITS, "training": {"chip": "any"}}
    if layer == "a scale for each output":
        way["mapper"] = {"name": "differential", "scale": "column"}
    config = CrossbarConfig(device="ideal", **way)
    mem = memcore.convert(module, config, calibration=draws(*shape), seed=3).train()
    begin_step(mem)
    return mem, draws(*shape, name="again").requires_grad_()


def begin_step(mem):
    mem.zero_grad()
    with torch.no_grad():
        for each in mem.parameters():
            each.mul_(0.95)


def gradients(mem, x, read: Callable | None = None):
    """Of the inputs and of the parameters, of a loss in which outputs have different shares."""
    y = (read or mem)(x)
    (y * draws(*y.shape, name="up")).sum().backward()
    return [x.grad, *(each.grad for each in mem.parameters())]


@contextlib.contextmanager
def in_floats(monkeypatch):
    """Levels are kept as the floats that they are."""
    with monkeypatch.context() as patch:
        patch.setattr(Levels, "dtype", torch.float32)
        yield


def kept_by(mem, x):
    """Bytes of all tensors that a pass forward keeps but for its inputs."""
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        y = mem(x)
    assert y.requires_grad
    return sum(sizes.values()) - x.nbytes


@layers
def test_a_layer_inside_a_network_keeps_a_byte_for_each_weight(layer):
    mem, x = rehearsed(layer)
    assert kept_by(mem, x) < 1.2 * mem.weight.numel()


@layers
def test_a_level_that_needs_more_than_a_byte_is_kept_as_a_float(layer):
    mem, x = rehearsed(layer, states=256)
    assert 4 * mem.weight.numel() <= kept_by(mem, x) < 4.2 * mem.weight.numel()


def peak_of(mem, x):
    """Bytes of the tensors of a step, at most."""
    now = most = 0
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        mem(x).sum().backward()
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def test_a_step_takes_at_most_half_as_much_memory_again_as_that_of_the_network():
    """With spread, 32 states, converters and read noise."""
    mem, x = rehearsed("linear")
    plain = LAYERS["linear"][0]
    peaks = []
    for module in (plain, mem):
        module.zero_grad()
        peaks.append(peak_of(module, x.detach().requires_grad_()))
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("states", [2, 32, 128, 129, 256])
@layers
def test_gradients_are_to_the_bit_those_of_levels_that_are_kept_as_floats(
    layer, states, monkeypatch
):
    with in_floats(monkeypatch):
        expected = gradients(*rehearsed(layer, states))
    for one, other in zip(gradients(*rehearsed(layer, states)), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("outputs", [1, 7])
def test_levels_and_their_unit_have_the_gradients_of_their_product(outputs):
    """Those of gradients too, which reach the weights through what cells stand for."""
    pairs = torch.randint(-31, 32, (2, 7, 5), dtype=torch.int8)
    unit = torch.rand(outputs) + 0.1
    held = pairs * unit.unsqueeze(1)
    found = []
    for folded in (Folded(pairs, unit), Folded(held), None):
        x, matrix = draws(3, 2, 5).requires_grad_(), held.clone().requires_grad_()
        y = torch.einsum("ngk,gok->ngo", x, matrix)
        if folded is not None:
            assert torch.equal(folded.weight, held)
            y = through_read(y.detach(), x, matrix, None, folded, None)
        slope, of_matrix = torch.autograd.grad(y.square().sum(), (x, matrix), create_graph=True)
        (slope.square().sum() + of_matrix.sum()).backward()
        found.append((slope, of_matrix, x.grad, matrix.grad))
    for levels, floats, plain in zip(*found, strict=True):
        assert torch.equal(levels, floats)
        torch.testing.assert_close(levels, plain)


@layers
def test_weights_may_change_between_a_pass_forward_and_the_one_backward(layer):
    """The gradients stay those of the pass, also the second time."""
    expected = gradients(*rehearsed(layer))
    mem, x = rehearsed(layer)
    y = mem(x)
    with torch.no_grad():
        for each in mem.parameters():
            each.mul_(0.5)
    for times in (1, 2):
        (y * draws(*y.shape, name="up")).sum().backward(retain_graph=True)
        for one, other in zip((x.grad, mem.weight.grad), expected[:2], strict=True):
            assert torch.equal(one, times * other)


@pytest.mark.parametrize("reentrant", [True, False])
@layers
def test_a_recomputed_read_keeps_what_the_first_one_kept(layer, reentrant):
    """To the bit, though the first one writes the cells and the other finds them written."""
    mem, x = rehearsed(layer)
    expected = gradients(mem, x)
    mem, x = rehearsed(layer)
    found = gradients(mem, x, lambda x: checkpoint(mem, x, use_reentrant=reentrant))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_reads_of_one_step_keep_one_byte_for_each_weight_together():
    mem, x = rehearsed("linear")
    kept = kept_by(lambda x: sum(mem(x) for _ in range(8)), x)
    assert kept < 2.2 * mem.weight.numel()  # those of the first read, and of all others


def test_a_pass_backward_makes_no_zeros_as_large_as_the_weights():
    """Where only the gradients of gradients would reach them through what cells stand for."""
    mem, x = rehearsed("linear")
    y, size = mem(x).sum(), mem.weight.nbytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        y.backward()
    events = profiled.profiler.kineto_results.events()
    large = [each for each in events if each.name() == "[memory]" and each.nbytes() >= size]
    assert len(large) == 2  # what the cells stand for, and the gradient


@layers
def test_a_pass_under_a_transform_leaves_nothing_of_it_to_those_after_it(layer):
    """What the cells stand for is kept with the numbers of no transform that has ended."""
    expected = gradients(*rehearsed(layer))
    mem, x = rehearsed(layer)
    mem(x.detach())
    torch.func.grad(lambda x: mem(x).sum())(x.detach())
    assert not is_transformed(*mem.matrix._rehearsing.present.compact)
    for one, other in zip(gradients(mem, x), expected, strict=True):
        assert torch.equal(one, other)
