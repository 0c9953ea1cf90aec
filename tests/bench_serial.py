"""Slices and serial inputs against the products that they imply: `python tests/bench_serial.py`.

Each phase of the input and each slice is a product of its own. Their floor is the product of the
layer in int8 or in float32, whichever is faster here, times their number. Reads of cells that hold
whole numbers are divided by it, by the plain layer, and by the way that cells of any kind are read.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore
from memcore.crossbar.readers import choose

ADC = {"name": "uniform", "bits": 8}
#: Mapper, DAC, and word lines driven at once.
WAYS = {
    "2-bit slices": ({"slice_bits": 2}, {}, None),
    "2-bit slices, two's complement": ({"slice_bits": 2}, {"signed": "twos_complement"}, None),
    "1-bit slices": ({"slice_bits": 1}, {}, None),
    "1-bit slices, two's complement, 16 rows": (
        {"slice_bits": 1, "encoding": "twos_complement"},
        {"signed": "twos_complement"},
        16,
    ),
}


def cases() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Layers and inputs that are not negative, as behind a rectifier, by name."""
    return {
        "Linear 1024, batch 1": (nn.Linear(1024, 1024), torch.rand(1, 1024)),
        "Linear 1024, batch 64": (nn.Linear(1024, 1024), torch.rand(64, 1024)),
        "Conv2d 64-128, 3 x 3, 16 x 16, batch 1": (
            nn.Conv2d(64, 128, 3, padding=1),
            torch.rand(1, 64, 16, 16),
        ),
    }


def converted(layer: nn.Module, way: str, x: torch.Tensor) -> nn.Module:
    """The layer on arrays of 128 x 128."""
    mapper, dac, rows = WAYS[way]
    config = memcore.CrossbarConfig(
        device="ideal",
        tile=(128, 128),
        mapper={"name": "bit_slice", **mapper},
        dac={"name": "bit_serial", **dac},
        adc=ADC,
        rows_at_once=rows,
    )
    return memcore.convert(layer, config, calibration=x).eval()


def in_float(layer: nn.Module, way: str, x: torch.Tensor) -> nn.Module:
    """The same, read as cells of any kind are."""
    kept = choose._whole
    choose._whole = lambda *_: None
    try:
        return converted(layer, way, x)
    finally:
        choose._whole = kept


def product(layer: nn.Module, x: torch.Tensor) -> dict[str, object]:
    """The product of a layer in float32 and in int8."""
    weight = layer.weight.detach().flatten(1)
    if x.dim() == 4:
        x = F.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1)
    work = {"float32": lambda: F.linear(x, weight)}
    if len(x) > 16:
        codes, digits = x.to(torch.int8), weight.to(torch.int8).t()
        work["int8"] = lambda: torch._int_mm(codes, digits)
    return work


@torch.no_grad()
def report(
    threads: int, way: str, name: str, layer: nn.Module, x: torch.Tensor, *, busy: bool
) -> None:
    """Time one layer."""
    clock = time.thread_time if busy else time.perf_counter
    mem, wide = converted(layer, way, x), in_float(layer, way, x)
    crossbar = mem.crossbar
    work = {"plain": lambda: layer(x), "whole": lambda: mem(x), "float path": lambda: wide(x)}
    times = interleaved({**work, **product(layer, x)}, seconds=1.0, least=5, clock=clock)
    products = len(crossbar.plan.places) * len(crossbar.plan.values)
    floor = products * min(times[key] for key in ("float32", "int8") if key in times)
    whole = times["whole"]
    ratios = (whole / floor, whole / times["plain"], times["float path"] / whole)
    print(
        f"{threads:7d}  {name:40} {way:40} {products:8d} {1e3 * whole:9.2f} "
        + " ".join(f"{each:9.2f}" for each in ratios)
        + "  "
        + " ".join(f"{key} {1e3 * value:.2f}" for key, value in times.items())
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", action="store_true", help="processor time of one thread")
    busy = parser.parse_args().busy
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print(f"threads  {'layer':40} {'cells':40} products  whole, ms  / floor  / plain  float path /")
    for threads in thread_counts():
        if busy and threads > 1:
            continue
        for name, (layer, x) in cases().items():
            for way in WAYS:
                report(threads, way, name, layer, x, busy=busy)


if __name__ == "__main__":
    main()
