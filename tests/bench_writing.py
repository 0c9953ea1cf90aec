"""Writing a layer again, against its forward pass: `python tests/bench_writing.py`.

`memcore.program` of a layer of 1024 x 1024 with the programmer `direct`, divided by a forward pass
of a batch of 64 of the plain layer in the same run.
"""

import argparse

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore

SPREAD = {"name": "vteam", "r_on": {"normal": {"mean": 50.0, "std": 5.0, "min": 1.0}}}
WAYS = {
    "ideal": {"device": "ideal"},
    "vteam": {"device": "vteam"},
    "8 bit": {"device": "ideal", "dac": "uniform", "adc": "uniform"},
    "spread": {"device": SPREAD},
}


@torch.no_grad()
def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    layer, x = nn.Linear(1024, 1024), torch.randn(64, 1024)
    chips = {
        name: memcore.convert(
            layer, memcore.CrossbarConfig(**way), calibration=x if "dac" in way else None
        )
        for name, way in WAYS.items()
    }
    print(
        "threads  forward ms  " + "  ".join(f"{name:>8}" for name in WAYS) + "  (program/forward)"
    )
    for threads in thread_counts():
        work = {name: lambda c=chip: memcore.program(c) for name, chip in chips.items()}
        times = interleaved({"forward": lambda: layer(x), **work})
        base = times["forward"]
        ratios = "  ".join(f"{times[name] / base:8.2f}" for name in WAYS)
        print(f"{threads:7d}  {1e3 * base:10.2f}  {ratios}")


if __name__ == "__main__":
    main()
