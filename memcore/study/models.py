"""Networks for studies: small ones for digits, words and products, larger, or a function's."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore.errors import StudyError
from memcore.study.components import build
from memcore.study.gpt import Gpt

POOL: Final = "pool"
DIGITS_PLAN: Final = (32, 32, POOL, 64, 64, POOL, 128, POOL)
VGG16_PLAN: Final = (
    *(64, 64, POOL),
    *(128, 128, POOL),
    *(256, 256, 256, POOL),
    *(512, 512, 512, POOL),
    *(512, 512, 512, POOL),
)


class Vgg(nn.Module):
    """3 x 3 convolutions with batch norm and ReLU, pooled by 2, and one linear classifier.

    Simonyan & Zisserman, "Very deep convolutional networks", ICLR 2015, in the form usual for
    small images: batch norm after each convolution, one linear layer at the end.

    Args:
        plan: numbers of channels of the convolutions, with "pool" between them; ends with 1 x 1
            pixel.
        channels: number of channels of the images.
        classes: number of outputs.
    """

    def __init__(self, plan: tuple[int | str, ...], *, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for entry in plan:
            if isinstance(entry, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers.append(nn.Conv2d(width, entry, 3, padding=1, bias=False))
                layers += [nn.BatchNorm2d(entry), nn.ReLU(inplace=True)]
                width = entry
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, channels, height, width] to logits [n, classes]."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def digits_vgg(classes: int = 10) -> Vgg:
    """Five convolutions for 8 x 8 digits, 140 thousand weights, about 99.5 % of the digits."""
    return Vgg(DIGITS_PLAN, channels=1, classes=classes)


class RowReader(nn.Module):
    """An LSTM that reads an image row by row, and one linear classifier of its last state.

    Args:
        width: number of pixels in a row.
        hidden: number of values of the state.
        classes: number of outputs.
    """

    def __init__(self, *, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.rows = nn.LSTM(width, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 1, rows, width] to logits [n, classes]."""
        states, _ = self.rows(images.squeeze(1))
        logits: Tensor = self.classifier(states[:, -1])
        return logits


def digits_lstm(classes: int = 10) -> RowReader:
    """An LSTM of 64 that reads 8 x 8 digits row by row, 19 thousand weights."""
    return RowReader(width=8, hidden=64, classes=classes)


def digits_mlp(classes: int = 10, levels: int | None = None) -> nn.Sequential:
    """Two layers without biases for 8 x 8 digits, 4.7 thousand weights.

    The first weights are spread evenly over `+- sqrt(6 / 64)`, the whole window of cells that hold
    them without headroom.

    Args:
        classes: number of outputs.
        levels: even levels from end to end of this range that the first weights lie on; None for
            any weights.

    Raises:
        StudyError: there are fewer than two levels.
    """
    if levels is not None and not levels >= 2:
        raise StudyError(f"levels = {levels!r}; expected at least 2, or none for any weights")
    layers = nn.Linear(64, 64, bias=False), nn.Linear(64, classes, bias=False)
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight)
        if levels is not None:
            _put_on_levels(layer.weight, math.sqrt(6 / layer.in_features), levels)
    return nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1])


class Middle(nn.Module):
    """The square of `size` x `size` pixels in the middle of images, flat."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, channels, height, width] to [n, channels * size**2]."""
        top, left = ((length - self.size) // 2 for length in images.shape[-2:])
        return images[..., top : top + self.size, left : left + self.size].flatten(1)

    def extra_repr(self) -> str:
        return f"size={self.size}"


def mnist_mlp(classes: int = 10) -> nn.Sequential:
    """Two layers without biases for the middle 20 x 20 pixels of MNIST, 400-100-10.

    The network on which Chen, Peng and Yu, IEEE Trans. Comput.-Aided Des. Integr. Circuits Syst.
    37:3067 (2018), compare analog synapses; with rectifiers in place of their sigmoids. The first
    weights are spread evenly over `+- sqrt(6 / inputs)` of a layer.
    """
    layers = nn.Linear(400, 100, bias=False), nn.Linear(100, classes, bias=False)
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight)
    return nn.Sequential(Middle(20), layers[0], nn.ReLU(), layers[1])


@torch.no_grad()
def _put_on_levels(weight: Tensor, largest: float, levels: int) -> None:
    step = 2 * largest / (levels - 1)
    weight.copy_(((weight + largest) / step).round() * step - largest)


def matrix(size: int = 20) -> nn.Linear:
    """One matrix without a bias, whose first weights are spread over `+- sqrt(6 / size)`."""
    layer = nn.Linear(size, size, bias=False)
    nn.init.kaiming_uniform_(layer.weight)
    return layer


def orders_gpt(words: int = 15) -> Gpt:
    """Two blocks of width 48 with four heads for the texts of `orders`, 58 thousand weights."""
    return Gpt(words=words, width=48, blocks=2, heads=4)


def vgg16(classes: int = 10) -> Vgg:
    """Thirteen convolutions and a 512-10 classifier for CIFAR-10, 14.7 million weights."""
    return Vgg(VGG16_PLAN, channels=3, classes=classes)


def lenet5(classes: int = 10) -> nn.Sequential:
    """Two convolutions and two linear layers for MNIST, 430 thousand weights.

    LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998, in
    the form of 20, 50, 500 and 10 outputs in which it is pruned.
    """
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, classes),
    )


MODELS: Final[dict[str, Callable[..., Any]]] = {
    "digits_vgg": digits_vgg,
    "digits_lstm": digits_lstm,
    "digits_mlp": digits_mlp,
    "mnist_mlp": mnist_mlp,
    "matrix": matrix,
    "orders_gpt": orders_gpt,
    "lenet5": lenet5,
    "vgg16": vgg16,
}

#: What differs from the defaults of `memcore.study.training.Recipe` to train each model well.
RECIPES: Final[dict[str, dict[str, Any]]] = {
    "digits_vgg": {"epochs": 15, "lr": 3e-3, "batch": 64},
    "digits_mlp": {"epochs": 30, "lr": 1e-2, "batch": 64},
    "mnist_mlp": {"epochs": 10, "lr": 2e-3, "batch": 128},
    "matrix": {"epochs": 5, "lr": 1e-2, "batch": 100, "weight_decay": 0.0},
    "digits_lstm": {"epochs": 60, "lr": 1e-2, "batch": 64},
    "orders_gpt": {"epochs": 6, "lr": 5e-3, "batch": 32},
    "lenet5": {"epochs": 12, "lr": 2e-3, "batch": 128},
    "vgg16": {
        "epochs": 100,
        "lr": 0.1,
        "batch": 128,
        "weight_decay": 5e-4,
        "optimizer": "sgd",
    },
}


def model(component: Mapping[str, Any], folder: Path) -> nn.Module:
    """Build the untrained model that a study names, with parameters from torch's global seed.

    Args:
        component: mapping `{"name": ..., parameters}` with a name of `MODELS` or
            "package.module:function".
        folder: folder of the study file, where modules are found.

    Raises:
        StudyError: the name or a parameter is unknown, or the function returns something else.
    """
    built = build("model", component, MODELS, folder)
    if not isinstance(built, nn.Module):
        raise StudyError(
            f"model {component['name']!r} returned {type(built).__name__}; "
            "expected a torch.nn.Module"
        )
    return built
