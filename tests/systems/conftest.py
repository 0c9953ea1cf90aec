"""The digits network of the systems' tests, 13 584 weights, trained in seconds."""

import copy
import functools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from memcore.study.data import digits


def cnn() -> nn.Sequential:
    """Two convolutions of 16 and 32 filters, two linear layers of 64 and 10 outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Loader:
    """Batches of the training images in an order that each epoch draws anew from a seed."""

    def __init__(self, seed: int, size: int = 64) -> None:
        self.split = digits().train
        self.generator = torch.Generator().manual_seed(seed)
        self.size = size

    def __iter__(self):
        order = torch.randperm(len(self.split), generator=self.generator)
        for chosen in order.split(self.size):
            yield self.split.images[chosen], self.split.labels[chosen]


def train(model: nn.Module, loader: Loader, epochs: int) -> nn.Module:
    """Train to the end: the rate rises first and falls to nothing."""
    optimizer = torch.optim.Adam(model.parameters())
    steps = epochs * -(-len(loader.split) // loader.size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    return _steps(model, loader, epochs, optimizer, schedule.step)


def _steps(
    model: nn.Module,
    loader: Loader,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    after: Callable[[], None] = lambda: None,
) -> nn.Module:
    model.train()
    dtype = next(model.parameters()).dtype
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(images.to(dtype)), labels).backward()
            optimizer.step()
            after()
    return model.eval()


@functools.cache
def _trained(seed: int, epochs: int) -> nn.Module:
    # In double precision: in single precision another processor trains another network.
    torch.manual_seed(seed)
    return train(cnn().double(), Loader(seed), epochs).float()


def trained(seed: int, epochs: int = 25) -> tuple[nn.Module, Loader]:
    """A trained network of a seed, and a loader in an order of its own."""
    return copy.deepcopy(_trained(seed, epochs)), Loader(1000 + seed)


def train_on(model: nn.Module, loader: Loader, epochs: int) -> nn.Module:
    """Go on at the rate at which passes train."""
    return _steps(model, loader, epochs, torch.optim.Adam(model.parameters(), lr=3e-3))


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """Percent of the test images."""
    model.eval()
    test = digits().test
    return 100 * float((model(test.images).argmax(1) == test.labels).double().mean())


@pytest.fixture(scope="session")
def digits_cnn() -> SimpleNamespace:
    """What trains and judges the digits network."""
    pytest.importorskip("sklearn")
    return SimpleNamespace(trained=trained, train_on=train_on, accuracy=accuracy)
