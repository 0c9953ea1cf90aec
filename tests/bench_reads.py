"""What most users run, against the plain torch layer: `python tests/bench_reads.py`.

Convolutions, single inputs and noise of a read, each divided by the plain layer in the same run:
with nothing non-ideal, in tiles of 128 with an 8-bit DAC and ADC, and with noise of the cells too.
"""

import argparse

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore

UNIFORM = {"name": "uniform", "bits": 8}
NOISE = [{"name": "read_noise", "relative": 0.05}]
WAYS = {
    "ideal": {"tile": None},
    "8 bit": {"dac": UNIFORM, "adc": UNIFORM},
    "noise": {"nonidealities": NOISE},
    "8 bit and noise": {"dac": UNIFORM, "adc": UNIFORM, "nonidealities": NOISE},
}


def cases() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Layers and inputs by name."""
    return {
        "Linear 128, batch 1": (nn.Linear(128, 128), torch.randn(1, 128)),
        "Linear 1024, batch 1": (nn.Linear(1024, 1024), torch.randn(1, 1024)),
        "Linear 1024, batch 64": (nn.Linear(1024, 1024), torch.randn(64, 1024)),
        "Conv2d 64-128, 3 x 3, 16 x 16, batch 1": (
            nn.Conv2d(64, 128, 3, padding=1),
            torch.randn(1, 64, 16, 16),
        ),
        "Conv2d 64-128, 3 x 3, 16 x 16, batch 16": (
            nn.Conv2d(64, 128, 3, padding=1),
            torch.randn(16, 64, 16, 16),
        ),
    }


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print(f"threads  {'layer':40} plain ms  " + "  ".join(f"{name:>15}" for name in WAYS))
    for threads in thread_counts():
        for name, (layer, x) in cases().items():
            report(threads, name, layer, x)


@torch.no_grad()
def report(threads: int, name: str, layer: nn.Module, x: torch.Tensor) -> None:
    """Time one layer in every way."""
    layers = {"plain": layer}
    for way, settings in WAYS.items():
        config = memcore.CrossbarConfig(**{"device": "ideal", "tile": (128, 128), **settings})
        calibration = x if "dac" in settings else None
        layers[way] = memcore.convert(layer, config, calibration=calibration).eval()
    times = interleaved({key: lambda f=each: f(x) for key, each in layers.items()})
    base = times["plain"]
    ratios = "  ".join(f"{times[way] / base:15.2f}" for way in WAYS)
    print(f"{threads:7d}  {name:40} {1e3 * base:8.3f}  {ratios}")


if __name__ == "__main__":
    main()
