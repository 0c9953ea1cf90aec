"""Seconds that `memcore cost` takes after import: `python tests/bench_costs.py [MODEL ...]`.

Each cost model prices an inference of VGG-16 for CIFAR-10 and one of ResNet-50 for ImageNet, each
in a process of its own, so that nothing is known yet: plugins, tables and arrays. Seconds of the
processor are shown beside those of the clock, as they say more where others use the machine. The
goals are 1 s for VGG-16 and 3 s for ResNet-50.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import memcore
from memcore.cli.cost import _crossbar
from memcore.study.models import vgg16

#: What networks of this size need of a machine that is smaller by default.
SETTINGS: dict[tuple[str, str], dict[str, object]] = {("ResNet-50", "mnsim"): {"grid": 128}}


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut; He et al., CVPR 2016, with the stride in the second."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            *(nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)),
        )
        self.short = nn.Sequential()
        if stride != 1 or channels != out:
            conv = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """As He et al."""
        return torch.relu(self.body(x) + self.short(x))


def resnet50() -> nn.Module:
    """ResNet-50 for images of 224 x 224, 25.5 million weights."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64)]
    layers += [nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "VGG-16": (vgg16, (1, 3, 32, 32)),
    "ResNet-50": (resnet50, (1, 3, 224, 224)),
}


def timed(name: str, model: str) -> tuple[float, float, float]:
    """Seconds of the clock, of the processor, and the energy in J, in a fresh process."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network, inputs = make().eval(), torch.rand(shape)
    wall, cpu = time.perf_counter(), time.process_time()
    settings = SETTINGS.get((name, model), {})
    report = memcore.cost(network, inputs, model=model, crossbar=_crossbar(None), **settings)
    return time.perf_counter() - wall, time.process_time() - cpu, report.total.energy


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="Cost models; all by default.")
    models = parser.parse_args().models or sorted(memcore.costs)
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print(f"seconds of the clock and of {torch.get_num_threads()} threads together, energy")
    spawn = multiprocessing.get_context("spawn")
    for model in models:
        cells = []
        for name in NETWORKS:
            with spawn.Pool(1) as pool:
                wall, cpu, energy = pool.apply(timed, (name, model))
            cells.append(f"{name} {wall:6.2f} {cpu:6.2f} {1e3 * energy:10.4g} mJ")
        print(f"{model:20}  " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
