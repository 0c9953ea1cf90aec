"""Convolutions in training: gradients of a convolution, without the windows that were read."""

import copy
import io

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream, native
from memcore.nn.conv import Conv

BITS = {"name": "uniform", "bits": 8}
WAY = {"dac": BITS, "adc": BITS, "tile": (8, 8), "nonidealities": ["d2d", "read_noise"]}
CONVOLUTIONS = {
    "1d, circular": (nn.Conv1d(3, 5, 3, padding="same", padding_mode="circular"), (2, 3, 8)),
    "2d, groups": (
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2, dilation=(1, 2)),
        (3, 4, 9, 8),
    ),
    "3d, no bias": (nn.Conv3d(2, 3, 2, bias=False), (2, 2, 4, 4, 4)),
    "no batch": (nn.Conv2d(2, 3, 3), (2, 5, 5)),
}


def draws(*shape):
    return Stream(4).child("x").normal(shape)


def gradients(model, x, dtype=None):
    """Outputs, and the gradients of the inputs and of the parameters."""
    model, x = copy.deepcopy(model), x.clone().requires_grad_()
    with torch.autocast("cpu", enabled=dtype is not None, dtype=torch.bfloat16):
        y = model(x)
    y.float().square().sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["float32", "autocast"])
@pytest.mark.parametrize("bias", ["digital", "mapped"])
@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_gradients_are_those_of_the_windows_that_were_read(layer, bias, dtype, monkeypatch):
    """With inputs beyond the range of the DAC, where the gradient of an input stops."""
    module, shape = layer
    x = draws(*shape)
    config = CrossbarConfig(device="ideal", bias=bias, training={"weight_noise": 0.01}, **WAY)
    mem = memcore.convert(module, config, calibration=0.7 * x).train()
    found = gradients(mem, x, dtype)
    monkeypatch.setattr(Conv, "_is_straight", lambda *arguments: False)
    for mine, other in zip(found, gradients(mem, x, dtype), strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("more", [{"groups": "packed"}, {"dac_per": "vector"}], ids=str)
def test_groups_that_share_arrays_and_vectors_of_their_own_scale_train_too(more):
    """What a window is scaled by, and which groups are read at once, an image does not tell."""
    x = draws(3, 4, 6, 6)
    module = nn.Conv2d(4, 4, 3, groups=4)
    config = CrossbarConfig(device="ideal", **{**WAY, "tile": (64, 64)}, **more)
    mem = memcore.convert(module, config, calibration=x).train()
    with torch.no_grad():
        mem.weight.mul_(0.9)
    y, of_x, *of_parameters = gradients(mem, x)
    ideal = [each.float() for each in gradients(memcore.revert_(copy.deepcopy(mem)), x)]
    for mine, other in zip((y, of_x, *of_parameters), ideal, strict=True):
        alike = torch.corrcoef(torch.stack([mine.flatten(), other.flatten()]))[0, 1]
        assert alike > 0.8


def test_what_a_step_keeps_for_its_gradients_is_images_and_no_windows():
    x = draws(4, 8, 16, 16)
    config = CrossbarConfig(device="ideal", **WAY)
    mem = memcore.convert(nn.Conv2d(8, 8, 3, padding=1), config, calibration=x).train()
    kept = []

    def keep(tensor):
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        mem(x.requires_grad_())
    assert sum(kept) < 4 * x.nbytes  # of the windows there are 9 times as many values


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_cells_that_images_were_read_with_are_kept_as_what_they_stand_for_alone():
    """Beside the weights: no variances, and no copies that a kernel reads."""
    x = draws(4, 32, 9, 9)
    config = CrossbarConfig(device="ideal", **WAY)
    mem = memcore.convert(nn.Conv2d(32, 64, 3), config, calibration=x).train()
    with torch.no_grad():
        mem.weight.mul_(0.9)
    mem(x)
    kept = io.BytesIO()
    torch.save(mem.matrix._rehearsing.present.reader, kept)
    assert len(kept.getvalue()) < 2.2 * mem.weight.nbytes
