"""Batch norms that become part of the weights before them."""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig

CONFIG = CrossbarConfig(device="ideal")
PAIRS = {
    "conv": (nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (3, 4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6), (3, 4, 5, 5)),
    "linear": (nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), (3, 4)),
    "1d": (nn.Conv1d(4, 6, 2), nn.BatchNorm1d(6), (3, 4, 5)),
    "3d": (nn.Conv3d(4, 6, 2), nn.BatchNorm3d(6), (3, 4, 3, 3, 3)),
}


def trained(norm):
    """A norm that has seen something."""
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        if norm.affine:
            norm.weight.uniform_(-1, 2)
            norm.bias.normal_()
    return norm


class Block(nn.Module):
    """A residual block, whose first product has two readers if it is tapped."""

    def __init__(self, tapped=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), trained(nn.BatchNorm2d(4))
        self.tapped = tapped

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + (y if self.tapped else x)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_folded_pair_computes_what_both_did(pair):
    layer, norm, shape = PAIRS[pair]
    model = nn.Sequential(layer, trained(norm), nn.ReLU()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(shape)
    mem = memcore.convert(model, CONFIG, fold_batch_norm=True)
    assert not any(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) for each in mem.modules())
    expected = model(x).detach()
    torch.testing.assert_close(mem(x), expected, rtol=0, atol=3e-5 * float(expected.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(memcore.revert_(mem)(x), expected, rtol=0, atol=1e-5)


def test_a_block_inside_what_fx_cannot_follow_is_folded():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def forward(self, x):
            return self.block(x) if x.sum() > 0 else self.block(-x)

    model, x = Odd().eval(), torch.randn(2, 4, 3, 3)
    mem = memcore.convert(model, CONFIG, fold_batch_norm=True)
    torch.testing.assert_close(mem(x), model(x), rtol=0, atol=3e-5)
    assert not isinstance(mem.block.norm, nn.BatchNorm2d)


@pytest.mark.parametrize("why", ["tapped", "hooked", "tied", "left out", "no statistics"])
def test_what_another_part_of_the_network_sees_is_not_folded(why):
    block = Block(tapped=why == "tapped").eval()
    model, x, filter_fn = nn.Sequential(block, nn.Conv2d(4, 4, 1)), torch.randn(2, 4, 3, 3), None
    if why == "hooked":
        block.conv.register_forward_hook(lambda *_: None)
    elif why == "tied":
        model[1].weight = block.conv.weight
    elif why == "left out":
        filter_fn = lambda module, name: name == "1"  # noqa: E731
    elif why == "no statistics":
        block.norm = nn.BatchNorm2d(4, track_running_stats=False)
    with pytest.warns(memcore.NoEffectWarning, match="fold_batch_norm changes nothing"):
        mem = memcore.convert(model, CONFIG, fold_batch_norm=True, filter_fn=filter_fn)
    torch.testing.assert_close(mem(x), model(x), rtol=0, atol=3e-5)


def test_a_norm_over_another_dimension_is_refused_where_it_is_met():
    model = nn.Sequential(nn.Linear(4, 6), trained(nn.BatchNorm1d(6))).eval()
    mem = memcore.convert(model, CONFIG, fold_batch_norm=True)
    with pytest.raises(memcore.ShapeError, match="convert without fold_batch_norm"):
        mem(torch.randn(2, 6, 4))
