"""Converted layers against the plain torch layer: `python tests/bench_layers.py`.

Prints, for one thread and two, the time of a converted `nn.Linear` divided by that of the plain one
in the same run: with nothing non-ideal, and in tiles of 128 with an 8-bit DAC and ADC.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import memcore


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, native: {memcore.native.status().cpu.reason}")
    print("threads  size  batch  plain ms  ideal/plain  tiled 8 bit/plain")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for size in arguments.sizes:
            for batch in arguments.batches:
                report(threads, size, batch, arguments.repeat)


@torch.no_grad()
def report(threads: int, size: int, batch: int, repeat: int) -> None:
    """Time one size."""
    plain = nn.Linear(size, size)
    x = torch.randn(batch, size)
    ideal = memcore.convert(plain, memcore.CrossbarConfig(device="ideal"))
    uniform = {"name": "uniform", "bits": 8}
    config = memcore.CrossbarConfig(device="ideal", tile=(128, 128), dac=uniform, adc=uniform)
    tiled = memcore.convert(plain, config, calibration=x)
    calls = [lambda: plain(x), lambda: ideal(x), lambda: tiled(x)]
    base, *others = interleaved(calls, repeat)
    ratios = [statistics.median(o / b for o, b in zip(other, base)) for other in others]
    milliseconds = 1e3 * statistics.median(base)
    print(
        f"{threads:7d} {size:5d} {batch:6d} {milliseconds:9.2f} {ratios[0]:12.2f} {ratios[1]:18.2f}"
    )


def interleaved(calls: list[Callable[[], object]], repeat: int) -> list[list[float]]:
    """Seconds of each call, taken in turns, so that a slow moment hits all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeat + 3):
        for call, record in zip(calls, times):
            start = time.perf_counter()
            call()
            if turn >= 3:
                record.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
