"""Networks that publications of crossbar systems report figures of, untrained."""

from torch import nn


def vgg8() -> nn.Module:
    """The VGG-8 of MNSIM's examples, for 3 x 32 x 32 images: 7 convolutions, a linear layer."""
    layers: list[nn.Module] = []
    before = 3
    for index, channels in enumerate((128, 128, 256, 256, 512, 512)):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        before = channels
    layers += [nn.Conv2d(512, 1024, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 10))


def lenet() -> nn.Module:
    """The LeNet of MNSIM's examples, for 3 x 32 x 32 images."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def neurosim_vgg8() -> nn.Module:
    """The VGG-8 of NeuroSim's inference benchmark, for 3 x 32 x 32 images."""
    layers: list[nn.Module] = []
    before = 3
    for index, channels in enumerate((128, 128, 256, 256, 512, 512)):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if index % 2 else []
        before = channels
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def puma_layer() -> nn.Module:
    """The fully connected layer of PUMA's public example: 256 inputs, 256 sigmoids."""
    return nn.Sequential(nn.Linear(256, 256), nn.Sigmoid())


def vgg_a() -> nn.Module:
    """VGG-A with 11 layers of weights, for 3 x 224 x 224 images."""
    layers: list[nn.Module] = []
    before = 3
    for channels in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if channels:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        else:
            layers.append(nn.MaxPool2d(2))
    head = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(4096, 1000))
