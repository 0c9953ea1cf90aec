"""Reads by one kernel: images without their windows, and small layers without detours."""

import copy

import pytest
import torch
from torch import nn

import memcore
from memcore import native
from memcore.crossbar.readers import Tiled
from memcore.nn.matrix import Matrix

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

UNIFORM = {"name": "uniform", "bits": 6}
NOISE = [{"name": "read_noise", "relative": 0.05}]
WAYS = {
    "8 bit": {"dac": UNIFORM, "adc": UNIFORM},
    "noise": {"nonidealities": NOISE},
    "both": {"dac": UNIFORM, "adc": UNIFORM, "nonidealities": NOISE},
    "by column": {"dac": UNIFORM, "adc": UNIFORM, "nonidealities": NOISE, "adc_per": "column"},
    "slices": {
        "dac": UNIFORM,
        "adc": UNIFORM,
        "nonidealities": NOISE,
        "mapper": {"name": "bit_slice"},
    },
}
LAYERS = {
    "padding": (nn.Conv2d(8, 12, 3, padding=1), (3, 8, 9, 7)),
    "groups": (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), (2, 4, 6, 5)),
    "circular": (nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"), (3, 2, 8)),
    "same": (nn.Conv1d(2, 4, 4, padding="same", dilation=3), (3, 2, 18)),
    "volume": (nn.Conv3d(2, 3, 2, dilation=2, bias=False), (2, 2, 4, 4, 4)),
    "reflect": (nn.Conv2d(4, 6, 3, padding_mode="reflect", padding=2), (1, 4, 9, 9)),
    "no batch": (nn.Conv2d(4, 6, 3, padding_mode="replicate", padding=2), (4, 9, 9)),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def converted(layer, x, way):
    config = memcore.CrossbarConfig(device="ideal", tile=(16, 5), **way)
    return memcore.convert(layer, config, calibration=x if "dac" in way else None)


def outcome(layer, x):
    """Outputs without and with gradients, and the gradients."""
    with torch.no_grad():
        outputs = [layer(x), layer(x)]
    x = x.clone().requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    return [*outputs, y.detach()], [x.grad, *(each.grad for each in layer.parameters())]


@ways
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_images_give_to_the_bit_what_their_windows_give(case, way, training, monkeypatch):
    layer, shape = case
    x = torch.randn(shape)
    mem = converted(copy.deepcopy(layer), x, way).train(training)
    twin = copy.deepcopy(mem)
    assert isinstance(mem.crossbar.reader, Tiled)

    outputs, gradients = outcome(mem, x)
    monkeypatch.setattr(Matrix, "_may_convolve", lambda *_: False)
    expected, wanted = outcome(twin, x)

    for y, each in zip(outputs, expected, strict=True):
        assert torch.equal(y, each)
        assert y.stride() == each.stride()
    for grad, each in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(grad, each, rtol=1e-4, atol=1e-4)
    assert int(mem.crossbar.reads) == int(twin.crossbar.reads)


def test_images_with_their_channels_last_stay_so():
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    mem = converted(nn.Conv2d(8, 12, 3), x, WAYS["both"]).eval()
    twin = copy.deepcopy(mem)
    with torch.no_grad():
        y = mem(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(y, twin(x.contiguous()))


@ways
@pytest.mark.parametrize("shape", [(1, 30), (4, 30), (30,), (2, 3, 30)])
@pytest.mark.parametrize("bias", [False, True])
def test_the_short_way_of_a_read_changes_no_bit(way, shape, bias, monkeypatch):
    x = torch.randn(shape)
    mem = converted(nn.Linear(30, 7, bias=bias), x, way).eval()
    twin = copy.deepcopy(mem)
    with torch.no_grad():
        outputs = [mem(x) for _ in range(3)]
        monkeypatch.setattr(Matrix, "directly", lambda *_: None)
        expected = [twin(x) for _ in range(3)]
    for y, each in zip(outputs, expected, strict=True):
        assert torch.equal(y, each)
    assert int(mem.crossbar.reads) == int(twin.crossbar.reads)


def test_exact_reads_take_the_short_way_too(monkeypatch):
    x = torch.randn(4, 30)
    for way in ({}, {"dac": UNIFORM}):
        mem = converted(nn.Linear(30, 7), x, way).eval()
        with torch.no_grad():
            outputs = [mem(x), mem(x)]
            with monkeypatch.context() as patched:
                patched.setattr(Matrix, "directly", lambda *_: None)
                assert all(torch.equal(y, mem(x)) for y in outputs)


def test_weights_that_moved_are_said_on_the_short_way_too():
    x = torch.randn(4, 30)
    mem = converted(nn.Linear(30, 7), x, WAYS["8 bit"]).eval()
    with torch.no_grad():
        mem(x), mem(x)
        mem.weight.mul_(2)
        with pytest.warns(memcore.errors.StaleCellsWarning):
            mem(x)


@pytest.mark.parametrize("layer", [nn.Linear(30, 7), nn.Conv1d(6, 7, 5)], ids=["linear", "conv"])
def test_a_bias_alone_has_its_gradient(layer):
    x = torch.randn(3, 30) if isinstance(layer, nn.Linear) else torch.randn(3, 6, 12)
    mem = converted(copy.deepcopy(layer), x, WAYS["both"]).eval()
    mem.weight.requires_grad_(False)
    mem(x)
    y = mem(x)
    y.sum().backward()
    torch.testing.assert_close(mem.bias.grad, torch.full((7,), y.numel() / 7))


def test_hooks_of_a_matrix_see_every_read():
    x = torch.randn(3, 6, 12)
    mem = converted(nn.Conv1d(6, 7, 5), x, WAYS["both"]).eval()
    seen = []
    mem.crossbar.register_forward_hook(lambda *_: seen.append("crossbar"))
    mem.matrix.register_forward_hook(lambda *_: seen.append("matrix"))
    with torch.no_grad():
        mem(x)
    assert seen == ["crossbar", "matrix"]


def test_noise_of_a_convolution_stays_out_of_memory():
    layer = nn.Conv2d(32, 64, 3, padding=1)
    x = torch.randn(8, 32, 32, 32)
    mem = converted(layer, x, {"nonidealities": NOISE}).eval()
    windows = 4 * 32 * 9 * 8 * 32 * 32
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        mem(x)
    taken = sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())
    assert taken < windows / 2


def test_an_exported_convolution_reads_the_same():
    x = torch.randn(2, 4, 6, 6)
    mem = converted(nn.Conv2d(4, 6, 3), x, WAYS["both"]).eval()
    twin = copy.deepcopy(mem)
    with torch.no_grad():
        exported = torch.export.export(mem, (x,)).module()
        assert torch.equal(exported(x), twin(x))


@pytest.mark.parametrize("settings", [{"dac": UNIFORM, "adc": UNIFORM}, {"rows_at_once": 4}])
def test_images_are_read_one_by_one_under_vmap(settings):
    x = torch.randn(3, 4, 6, 5)
    mem = memcore.convert(
        nn.Conv2d(4, 6, 3, groups=2),
        memcore.CrossbarConfig(device="ideal", tile=(16, 5), **settings),
        calibration=x if "dac" in settings else None,
    ).eval()
    found = torch.vmap(lambda image: mem(image[None])[0])(x)
    torch.testing.assert_close(found, mem(x), rtol=0, atol=1e-5)
