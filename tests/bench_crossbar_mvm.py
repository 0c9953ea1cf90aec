"""Crossbar product with converters against torch: `python tests/bench_crossbar_mvm.py`.

Columns: F.linear on the same float32 sizes (no converters at all), the operator with tiles of 128
rows and 8-bit converters, and what torch alone takes for the same (a product for each tile, rounded
and clamped).
"""

import torch
from bench_timing import interleaved, thread_counts
from torch import Tensor
from torch.nn import functional

from memcore import native
from memcore.ops import crossbar_mvm

SIZES = ((1, 1024), (64, 1024), (256, 1024), (1, 4096), (64, 4096), (256, 4096))
TILE, CODE, DAC_STEP = 128, 127.0, 1 / 40


def with_torch(x: Tensor, tiles: Tensor) -> Tensor:
    """The same arithmetic in torch: x [n, rows], tiles [rows / TILE, TILE, cols]."""
    codes = torch.clamp(torch.round(x / DAC_STEP), -CODE, CODE)
    tiled = codes.view(x.shape[0], -1, TILE).transpose(0, 1)
    return torch.bmm(tiled, tiles).round_().clamp_(-CODE, CODE).sum(0)


def measure(n: int, size: int) -> dict[str, float]:
    """Median seconds of each alternative for a batch of n and a square matrix."""
    x, weight = torch.randn(n, size), torch.randn(size, size) / 10
    panels = crossbar_mvm.pack(weight.T[None])
    tiles = weight.T.contiguous().view(-1, TILE, size)
    dac, scale = torch.tensor([1 / DAC_STEP, -CODE, CODE]), torch.ones(1)
    rest = (panels, dac, scale, None, size, TILE, -CODE, CODE)
    return interleaved(
        {
            "linear": lambda: functional.linear(x, weight),
            "memcore": lambda: crossbar_mvm.crossbar_mvm(x[:, None], *rest),
            "torch": lambda: with_torch(x, tiles),
        }
    )


def main() -> None:
    """Print the table."""
    print(native.status())
    print(f"torch {torch.__version__}; medians of interleaved runs, ms")
    head = ("threads", "batch", "size", "F.linear", "memcore", "torch+ADC")
    print("".join(f"{name:>11}" for name in head), "  memcore/F.linear  torch+ADC/memcore  GFLOP/s")
    for threads in thread_counts():
        for n, size in SIZES:
            t = measure(n, size)
            times = "".join(f"{1e3 * t[name]:11.3f}" for name in ("linear", "memcore", "torch"))
            ratios = f"{t['memcore'] / t['linear']:18.2f}{t['torch'] / t['memcore']:19.2f}"
            rate = 2e-9 * n * size * size / t["memcore"]
            print(f"{threads:11}{n:11}{size:11}{times}{ratios}{rate:9.0f}")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
