"""Sense amplifiers: time of a table, and of reads through one: `python tests/bench_sensing.py`.

Reads are divided by those of the same bit-serial plan with a lossless ADC on each unit, which draws
nothing, and by the plain layer, in time of the processor. The goal is 3 of the former.
"""

import argparse
import time

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore
from memcore import LogNormal

CELLS = memcore.devices["ideal"](r_on=1e4, r_off=1e5)
SETTINGS = {
    "device": CELLS,
    "dac": {"name": "bit_serial", "signed": "twos_complement"},
    "mapper": {"name": "bit_slice", "slice_bits": 1, "encoding": "twos_complement"},
}
#: Lossless converters of each unit, and sense amplifiers of cells that differ.
ADCS = {"clean": {"name": "uniform", "bits": 8}, "told": {"name": "sense_table", "spread": 0.2}}


def cases() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Layers and inputs by name."""
    return {
        "Linear 256, batch 64": (nn.Linear(256, 256), torch.randn(64, 256)),
        "Conv2d 32-64, 3 x 3, 8 x 8, batch 8": (
            nn.Conv2d(32, 64, 3, padding=1),
            torch.randn(8, 32, 8, 8),
        ),
    }


@torch.no_grad()
def report(threads: int, rows: int, name: str, layer: nn.Module, x: torch.Tensor) -> None:
    """Time one layer."""
    work = {"plain": layer}
    for key, adc in ADCS.items():
        # Whole units in a tile, so that the clean reads have the fused kernel.
        tile = (rows * (128 // rows), 128)
        config = memcore.CrossbarConfig(**SETTINGS, adc=adc, rows_at_once=rows, tile=tile)
        work[key] = memcore.convert(layer, config, calibration=x)
    runs = {key: lambda f=each: f(x) for key, each in work.items()}
    times = interleaved(runs, clock=time.process_time)
    told = times["told"]
    print(
        f"{threads:7d}  {rows:4d}  {name:38} {1e3 * times['clean']:9.2f} {1e3 * told:9.2f}  "
        f"{told / times['clean']:6.2f}  {told / times['plain']:8.1f}"
    )


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    for rows in (9, 128):
        start = time.perf_counter()
        memcore.sensing_table(CELLS, rows=rows, spread=LogNormal(1.0, 0.2))
        print(f"table of {rows:3d} rows: {time.perf_counter() - start:.2f} s")
    print(f"threads  rows  {'layer':38} clean, ms  told, ms   ratio  to plain")
    for threads in thread_counts():
        for rows in (4, 9, 16):
            for name, (layer, x) in cases().items():
                report(threads, rows, name, layer, x)


if __name__ == "__main__":
    main()
