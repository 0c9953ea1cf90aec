"""Networks built as those of the real world are, with few channels: converted, reverted, noisy."""

import copy

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

import memcore
from memcore import CrossbarConfig
from memcore.nn import Layer
from memcore.study.data import digits


class BasicBlock(nn.Module):
    """He et al., "Deep residual learning", CVPR 2016: two convolutions beside a shortcut."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + beside)


class ResNet18(nn.Module):
    """A stem of 7 x 7, four stages of two blocks, a mean over the image and a classifier."""

    def __init__(self, width: int = 4, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        stages, here = [], width
        for k in range(4):
            out = width << k
            blocks = [BasicBlock(here, out, 1 if k == 0 else 2), BasicBlock(out, out, 1)]
            stages.append(nn.Sequential(*blocks))
            here = out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(here, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Sandler et al., "MobileNetV2", CVPR 2018: wider, depthwise, narrow again."""

    def __init__(self, width: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_activated(nn.Conv2d(width, hidden, 1, bias=False)))
        depthwise = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        layers += [
            _activated(depthwise),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True))


class MobileNetV2(nn.Module):
    """Inverted residuals between a convolution of the image and one to all features."""

    #: Expansion, output channels, blocks and stride of each stage.
    plan = ((1, 4, 1, 1), (3, 8, 2, 2))

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        here = 8
        layers: list[nn.Module] = [
            _activated(nn.Conv2d(channels, here, 3, 1, padding=1, bias=False))
        ]
        for expansion, out, blocks, stride in self.plan:
            for k in range(blocks):
                layers.append(InvertedResidual(here, out, stride if k == 0 else 1, expansion))
                here = out
        layers.append(_activated(nn.Conv2d(here, 32, 1, bias=False)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class ViT(nn.Module):
    """Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021: patches are tokens."""

    def __init__(self, size: int = 16, patch: int = 4, width: int = 16, classes: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.1 * torch.randn(1, (size // patch) ** 2 + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        logits: Tensor = self.head(self.norm(self.encoder(tokens + self.positions))[:, 0])
        return logits


class UNet(nn.Module):
    """Ronneberger et al., "U-Net", MICCAI 2015: down, up again, and joined at each size."""

    def __init__(self, width: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.down = nn.ModuleList([_double(3, width), _double(width, 2 * width)])
        self.pool = nn.MaxPool2d(2)
        self.bottom = _double(2 * width, 4 * width)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(4 * width, 2 * width, 2, 2),
                nn.ConvTranspose2d(2 * width, width, 2, 2),
            ]
        )
        self.join = nn.ModuleList([_double(4 * width, 2 * width), _double(2 * width, width)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([kept.pop(), up(x)], dim=1))
        maps: Tensor = self.head(x)
        return maps


def _double(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class Tagger(nn.Module):
    """Words to vectors, a bidirectional LSTM of two layers, and a tag for each word."""

    def __init__(self, words: int = 20, width: int = 8, tags: int = 5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, tags)

    def forward(self, words: Tensor) -> Tensor:
        logits: Tensor = self.head(self.lstm(self.embedding(words))[0])
        return logits


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
WORDS = torch.arange(28).view(4, 7) * 3 % 20

#: Each network, and inputs of it.
NETWORKS = {
    "ResNet-18": (ResNet18, IMAGES),
    "MobileNetV2": (MobileNetV2, IMAGES),
    "ViT": (ViT, IMAGES),
    "U-Net": (UNet, IMAGES),
    "LSTM tagger": (Tagger, WORDS),
}


def network(name: str) -> nn.Module:
    """A network with random weights, in evaluation, whose batch norms have seen images."""
    make, inputs = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = make()
        if any(isinstance(each, nn.BatchNorm2d) for each in model.modules()):
            with torch.no_grad():
                for _ in range(20):
                    model.train()(inputs)
        return model.eval()


networks = pytest.mark.parametrize("name", NETWORKS)
IDEAL = CrossbarConfig(device="ideal", groups="packed")
NOISY = CrossbarConfig(
    device="ideal",
    nonidealities=["read_noise", {"name": "d2d", "std": 0.02}],
    dac="uniform",
    adc="uniform",
    tile=(64, 64),
)
#: What has weights and stays digital.
DIGITAL = (nn.BatchNorm2d, nn.LayerNorm, nn.Embedding)


def grouped(model):
    return any(getattr(each, "groups", 1) > 1 for each in model.modules())


@networks
def test_a_network_computes_what_it_computed_and_goes_back(name):
    model, x = network(name), NETWORKS[name][1]
    expected = model(x).detach()
    mem = memcore.convert(model, IDEAL.replace(groups="packed" if grouped(model) else "apart"))
    scale = expected.abs().max().item()
    torch.testing.assert_close(mem(x), expected, rtol=0, atol=1e-4 * scale)
    stayed = {type(mem.get_submodule(each)) for each, _ in memcore.summary(mem).digital}
    assert all(issubclass(each, (*DIGITAL, Layer, type(model))) for each in stayed)
    assert torch.equal(memcore.revert_(mem)(x), model(x))


@networks
def test_a_noisy_chip_of_8_bits_is_near_the_network_and_can_be_saved(name, tmp_path):
    model, x = network(name), NETWORKS[name][1]
    expected = model(x).detach()
    mem = memcore.convert(model, NOISY, calibration=x)
    other = memcore.convert(model, NOISY, seed=1)
    with torch.no_grad():
        found = copy.deepcopy(mem)(x)
        error = (found - expected).norm() / expected.norm()
        assert 1e-3 < error < 0.2
        save_model(mem, str(tmp_path / "chip"))
        load_model(other, str(tmp_path / "chip"))
        assert torch.equal(other(x), found)


@pytest.mark.parametrize("name", ["ResNet-18", "MobileNetV2"])
def test_folded_batch_norms_compute_what_the_network_did(name):
    model, x = network(name), NETWORKS[name][1]
    expected = model(x).detach()
    mem = memcore.convert(model, CrossbarConfig(device="ideal"), fold_batch_norm=True)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in mem.modules())
    scale = expected.abs().max().item()
    torch.testing.assert_close(mem(x), expected, rtol=0, atol=1e-4 * scale)


def trained_on_digits(data):
    """A MobileNetV2 after a second of training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, epochs = MobileNetV2(channels=1, classes=10), 4
        optimiser = torch.optim.Adam(model.parameters())
        steps = epochs * -(-len(data.train) // 50)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-2, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(data.train)).split(50):
                optimiser.zero_grad()
                logits = model.train()(data.train.images[index])
                nn.functional.cross_entropy(logits, data.train.labels[index]).backward()
                optimiser.step()
                schedule.step()
    return model.eval()


def test_a_mobile_net_still_reads_digits_on_a_noisy_chip_of_8_bits():
    data = digits()
    model = trained_on_digits(data)
    config = NOISY.replace(groups="packed")
    mem = memcore.convert(model, config, calibration=data.train.images[:200], fold_batch_norm=True)

    def share(net):
        with torch.no_grad():
            right = net(data.test.images).argmax(1) == data.test.labels
        return right.double().mean().item()

    assert share(model) > 0.88
    assert share(mem) > share(model) - 0.06
