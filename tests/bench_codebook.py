"""Layers with codebooks against the float layer: `python tests/bench_codebook.py`.

Weights are codes of 4 bits (16 entries) or 8 bits (256) that a kernel decodes while it multiplies,
inputs are rounded to one of 16 entries. Each time, of the processor, is divided by that of the
float layer in the same run; bytes are those of the weights. "reference" decodes all weights with
torch at each call.
"""

import argparse
import time

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore
from memcore.compression import CodebookConv2d, CodebookLinear, kmeans
from memcore.ops.codebook_product import _reference

ENTRIES = (16, 256)


def cases() -> dict[str, tuple[nn.Linear | nn.Conv2d, torch.Tensor]]:
    """Layers and inputs by name."""
    return {
        "Linear 1024, batch 1": (nn.Linear(1024, 1024), torch.randn(1, 1024)),
        "Linear 4096, batch 1": (nn.Linear(4096, 4096), torch.randn(1, 4096)),
        "Linear 1024, batch 64": (nn.Linear(1024, 1024), torch.randn(64, 1024)),
        "Conv2d 64-128, 3 x 3, 16 x 16, batch 4": (
            nn.Conv2d(64, 128, 3, padding=1),
            torch.randn(4, 64, 16, 16),
        ),
    }


def coded(
    layer: nn.Linear | nn.Conv2d, x: torch.Tensor, entries: int
) -> CodebookLinear | CodebookConv2d:
    """The layer with codebooks of so many weights and of 16 inputs."""
    made: CodebookLinear | CodebookConv2d
    if isinstance(layer, nn.Conv2d):
        made = CodebookConv2d.like(layer, weights=entries, inputs=16)
    else:
        made = CodebookLinear.like(layer, weights=entries, inputs=16)
    made.take(layer.weight, kmeans(layer.weight, entries), kmeans(x, 16)).freeze()
    return made


@torch.no_grad()
def report(threads: int, name: str, layer: nn.Linear | nn.Conv2d, x: torch.Tensor) -> None:
    """Time one layer in every way."""
    for entries in ENTRIES:
        made = coded(layer, x, entries)
        work = {"plain": lambda: layer(x), "coded": lambda made=made: made(x)}
        packed = made.packed
        if isinstance(layer, nn.Linear) and packed is not None:
            work["reference"] = lambda packed=packed: _reference(
                packed.nearest(x), packed.packed, packed.book, layer.bias, packed.cols, packed.bits
            )
        times = interleaved(work, clock=time.process_time)
        base = times["plain"]
        ratio = f"{times['reference'] / base:9.2f}" if "reference" in times else f"{'':9}"
        share = made.size.code_bytes / (4 * layer.weight.numel())
        print(
            f"{threads:7d}  {name:40} {entries:7d} {1e3 * base:9.3f} {times['coded'] / base:6.2f} "
            f"{ratio}  {share:5.3f}"
        )


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print(f"threads  {'layer':40} entries  plain, ms  coded  reference  bytes")
    for threads in thread_counts():
        for name, (layer, x) in cases().items():
            report(threads, name, layer, x)


if __name__ == "__main__":
    main()
