"""Pruning towards arrays on a network of digits, against pruning at once.

Both train for as many epochs, and for as many of them after the cut. At 8 times fewer weights the
way of the cut decides; at 3.5 times it does not.
"""

import copy
import functools
import itertools
import os

import pytest
import torch

import memcore
from memcore.study.data import mnist
from memcore.study.models import lenet5

CONFIG = memcore.CrossbarConfig(device="ideal", tile=(32, 32))
EPOCHS, RETRAINING = 24, 12
SETTINGS = {"name": "admm", "rho": 1e-2, "most": 1.0, "retraining": RETRAINING}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=3e-3)


def compressed(model, loader, *passes):
    return memcore.compress(model, CONFIG, list(passes), loader, optimizer=adam)


@pytest.fixture(scope="module")
def both(digits_cnn):
    """Accuracy with ADMM, with 8 bits after it, and with a cut at once; and the ratio."""

    @functools.cache
    def longer(seed):
        model, loader = digits_cnn.trained(seed)
        return digits_cnn.train_on(model, loader, EPOCHS), loader

    @functools.cache
    def compare(seed, keep):
        model, loader = digits_cnn.trained(seed)
        drawn, report = compressed(model, loader, {**SETTINGS, "keep": keep, "epochs": EPOCHS})
        rounded, _ = compressed(drawn, loader, {"name": "quantize", "bits": 8})
        model, loader = copy.deepcopy(longer(seed))
        cut, other = compressed(model, loader, {**SETTINGS, "keep": keep, "epochs": 0})
        assert other.ratio == report.ratio
        return (*map(digits_cnn.accuracy, (drawn, rounded, cut)), report)

    return compare


@pytest.mark.slow
def test_ac_ad_5_admm_beats_one_cut_at_8_times(both):
    drawn, rounded, cut, report = both(0, 0.33)
    assert report.ratio >= 8
    assert drawn >= cut + 3
    assert rounded >= drawn - 0.5
    before, after = report.arrays
    assert after < 0.5 * before
    residuals = [figures["residual"] for _, _, figures in report.log]
    assert residuals[-1] < 0.5 * residuals[EPOCHS // 2]


@pytest.mark.slow
def test_ac_ad_5_on_four_of_five_seeds_at_8_times_and_not_at_3_5_times(both):
    strong = [both(seed, 0.33) for seed in range(5)]
    assert min(report.ratio for *_, report in strong) >= 8
    assert sum(drawn >= cut + 3 for drawn, _, cut, _ in strong) >= 4
    weak = (drawn < cut + 3 for drawn, _, cut, _ in (both(seed, 0.53) for seed in range(5)))
    assert sum(itertools.islice(filter(None, weak), 2)) == 2  # of five: not four of them
    lost = [drawn - rounded for drawn, rounded, _, _ in strong]
    assert sum(lost) / 5 <= 0.5


# -- MNIST -----------------------------------------------------------------------------------------


class Mnist:
    """Batches of the training images in an order that each epoch draws anew."""

    def __init__(self, folder):
        self.data = mnist(folder)
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self):
        train = self.data.train
        for chosen in torch.randperm(len(train), generator=self.generator).split(128):
            yield self.data.prepare(train.images[chosen]), train.labels[chosen]

    @torch.no_grad()
    def accuracy(self, model):
        test = self.data.test
        right = [
            (model.eval()(self.data.prepare(images)).argmax(1) == labels).double()
            for images, labels in zip(test.images.split(1000), test.labels.split(1000), strict=True)
        ]
        return 100 * float(torch.cat(right).mean())


@pytest.mark.slow
def test_ac_ad_6_lenet_5_keeps_its_digits_with_17_69_times_fewer_weights():
    folder = os.environ.get("MEMCORE_MNIST")
    if folder is None:
        pytest.skip("MEMCORE_MNIST names no folder with the IDX files of MNIST")
    loader = Mnist(folder)
    torch.manual_seed(0)
    # A pass that keeps everything trains the network.
    base, _ = compressed(lenet5(), loader, {**SETTINGS, "keep": 1.0, "epochs": 0})
    longer, _ = compressed(base, loader, {**SETTINGS, "keep": 1.0, "epochs": 0})
    drawn, report = compressed(base, loader, {**SETTINGS, "keep": 0.23, "epochs": EPOCHS})
    assert report.ratio >= 17.69
    assert loader.accuracy(drawn) >= loader.accuracy(longer) - 0.2
