"""Time and memory of converting decoders that are never whole in memory as digital networks.

`python tests/bench_decoders.py [sizes]`: of each size in a process of its own, built on `meta` in
bfloat16, with weights that are drawn when they are asked for. `kept` is what the chip holds:
parameters, cells and what its reads use. `largest` is that of its largest matrix, `peak` the growth
of the resident set while it was converted.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

import memcore

#: Width and layers, as in GPT-2 and GPT-3.
SIZES = {"10 M": (256, 12), "85 M": (768, 12), "300 M": (1024, 24), "1.2 B": (2048, 24)}


class Drawn(Mapping[str, Tensor]):
    """Random weights of a network, drawn when they are asked for."""

    def __init__(self, model: nn.Module) -> None:
        self._like = model.state_dict()

    def __getitem__(self, name: str) -> Tensor:
        like = self._like[name]
        return torch.empty(like.shape, dtype=like.dtype).normal_(std=0.02)

    def __iter__(self) -> Iterator[str]:
        return iter(self._like)

    def __len__(self) -> int:
        return len(self._like)


def main() -> None:
    """Print the table, each line from a process of its own."""
    asked = sys.argv[1:] or list(SIZES)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    print("weights           s  kept GB  largest GB  peak GB  ns/weight", flush=True)
    for name in asked:
        subprocess.run([sys.executable, __file__, "--one", name], check=True)


def one(name: str) -> None:
    """Convert one decoder."""
    width, depth = SIZES[name]
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(width, width // 64, 4 * width, batch_first=True)
        model: nn.Module = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        model = model.to(torch.bfloat16).eval()
    config = memcore.CrossbarConfig(device="ideal", nonidealities=["d2d"])
    memcore.convert(nn.Linear(2, 2), config)  # imports and first calls
    before, start = peak(), time.perf_counter()
    model = memcore.convert_(model, config, weights=Drawn(model))
    seconds = time.perf_counter() - start
    count = sum(parameter.numel() for parameter in model.parameters())
    largest = max(map(held, memcore.nn.walk.unique_matrices(model)))
    print(
        f"{count:13,d} {seconds:5.1f} {held(model):8.2f} {largest:11.3f} {peak() - before:8.2f}"
        f" {1e9 * seconds / count:10.1f}",
        flush=True,
    )


def held(module: nn.Module) -> float:
    """GB of parameters and of buffers, those of reads among them."""
    tensors = {t.data_ptr(): t for t in (*module.parameters(), *module.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) / 1e9


def peak() -> float:
    """Peak resident set of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    one(sys.argv[2]) if sys.argv[1:2] == ["--one"] else main()
