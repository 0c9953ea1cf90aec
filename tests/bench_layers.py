"""Converted layers against the plain torch layer: `python tests/bench_layers.py`.

Prints the time of a converted `nn.Linear` divided by that of the plain one in the same run: with
nothing non-ideal, and in tiles of 128 with an 8-bit DAC and ADC.
"""

import argparse

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print("threads  size  batch  plain ms  ideal/plain  tiled 8 bit/plain")
    for threads in thread_counts():
        for size in arguments.sizes:
            for batch in arguments.batches:
                report(threads, size, batch)


@torch.no_grad()
def report(threads: int, size: int, batch: int) -> None:
    """Time one size."""
    plain = nn.Linear(size, size).eval()
    x = torch.randn(batch, size)
    ideal = memcore.convert(plain, memcore.CrossbarConfig(device="ideal"))
    uniform = {"name": "uniform", "bits": 8}
    config = memcore.CrossbarConfig(device="ideal", tile=(128, 128), dac=uniform, adc=uniform)
    tiled = memcore.convert(plain, config, calibration=x)
    layers = {"plain": plain, "ideal": ideal, "tiled": tiled}
    times = interleaved({name: lambda f=layer: f(x) for name, layer in layers.items()})
    base = times["plain"]
    print(
        f"{threads:7d} {size:5d} {batch:6d} {1e3 * base:9.2f} "
        f"{times['ideal'] / base:12.2f} {times['tiled'] / base:18.2f}"
    )


if __name__ == "__main__":
    main()
