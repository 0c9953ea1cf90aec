"""What counting adds to a forward pass: `python tests/bench_counting.py`.

A network is read as it is and within `memcore.counting`, by turns, so that both see the same
machine; processor time, as wall time on a shared machine says little. The goal is 2 %. What is
derived from all cells when counting begins is in no pass; it stands in a column of its own.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from bench_timing import thread_counts
from torch import Tensor, nn

import memcore

CONVERTERS = {"dac": {"name": "uniform", "bits": 8}, "adc": {"name": "uniform", "bits": 8}}
TILED = {**CONVERTERS, "tile": (128, 128)}


class Block(nn.Module):
    """Two convolutions beside a shortcut, as in ResNet-18."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.short = nn.Conv2d(channels, width, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """As He et al., CVPR 2016, batch norms folded."""
        return torch.relu(self.body(x) + self.short(x))


def resnet18() -> nn.Module:
    """ResNet-18 for images of 32 x 32, 11 million weights."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU()]
    channels = 64
    for width in (64, 128, 256, 512):
        layers += [Block(channels, width, 1 if width == 64 else 2), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def cases() -> dict[str, tuple[nn.Module, Tensor, dict[str, object]]]:
    """Networks, inputs and settings by name."""
    conv = nn.Conv2d(64, 128, 3, padding=1), torch.rand(8, 64, 16, 16)
    linear = nn.Linear(1024, 1024), torch.rand(64, 1024)
    return {
        "Linear 1024, batch 64, exact": (*linear, {}),
        "Linear 1024, batch 64, tiles": (*linear, TILED),
        "Conv2d 64-128, 16 x 16, batch 8, exact": (*conv, {}),
        "Conv2d 64-128, 16 x 16, batch 8, tiles": (*conv, TILED),
        "ResNet-18, 32 x 32, batch 4, exact": (resnet18(), torch.rand(4, 3, 32, 32), {}),
        "ResNet-18, 32 x 32, batch 4, tiles": (resnet18(), torch.rand(4, 3, 32, 32), TILED),
    }


@torch.no_grad()
def report(threads: int, name: str, network: nn.Module, x: Tensor, settings: object) -> None:
    """Time one network."""
    config = memcore.CrossbarConfig(device="ideal", **settings)  # type: ignore[arg-type]
    given = x if settings else None
    plain = memcore.convert(network, config, calibration=given).eval()
    watched = memcore.convert(network, config, calibration=given).eval()
    before = time.process_time()
    with memcore.counting(watched):
        first = time.process_time() - before
        base, both = paired(lambda: plain(x), lambda: watched(x))
    print(f"{threads:7d}  {name:40} {1e3 * base:9.2f} {100 * (both - 1):7.2f} % {1e3 * first:9.1f}")


def paired(one: Callable[[], object], two: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the first of two, and the median ratio of the second to it, run by turns."""
    times, ratios = [], []
    end = time.perf_counter() + 4
    one(), two()
    while time.perf_counter() < end or len(times) < 15:
        pair = []
        for run in (one, two):
            start = time.process_time()
            run()
            pair.append(time.process_time() - start)
        times.append(pair[0])
        ratios.append(pair[1] / pair[0])
    return median(times), median(ratios)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print(f"threads  {'network':40} pass, ms  counting  begun, ms")
    for threads in thread_counts():
        for name, (network, x, settings) in cases().items():
            report(threads, name, network, x, settings)


if __name__ == "__main__":
    main()
