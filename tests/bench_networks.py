"""Recurrent layers and a block of GPT-2 against plain torch: `python tests/bench_networks.py`.

Prints the time of what was converted divided by that of the plain one in the same run, in
evaluation: with nothing non-ideal, and in tiles of 128 with an 8-bit DAC and ADC. Layers of torch
of 512 units read 100 steps of a batch of 64; the block has 768 features and 12 heads and reads 4
sequences of 256 tokens.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from bench_timing import interleaved, thread_counts
from torch import Tensor, nn

import memcore


class Block(nn.Module):
    """A block of GPT-2: causal attention, then two layers, each behind a norm and added up."""

    def __init__(self, size: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attend, self.project = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.widen, self.narrow = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, size] as x is."""
        n, tokens, size = x.shape
        qkv = self.attend(self.first(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(), is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(n, tokens, size))
        wide = F.gelu(self.widen(self.second(x)), approximate="tanh")
        return x + self.narrow(wide)


def cases() -> dict[str, tuple[nn.Module, Tensor]]:
    """Networks and inputs by name."""
    steps = torch.randn(100, 64, 512)
    kinds = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
    layers = {name: (kind(512, 512).eval(), steps) for name, kind in kinds.items()}
    return {**layers, "GPT-2 block": (Block().eval(), torch.randn(4, 256, 768))}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(cases()))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--busy", action="store_true", help="time of the processor, one thread")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print("threads  network       plain ms  ideal/plain  tiled 8 bit/plain")
    torch.manual_seed(0)
    for threads in thread_counts():
        if threads > 1 and arguments.busy:
            break
        for name in arguments.only:
            report(threads, name, *cases()[name], arguments)


@torch.no_grad()
def report(
    threads: int, name: str, plain: nn.Module, x: Tensor, arguments: argparse.Namespace
) -> None:
    """Time one network."""
    ideal = memcore.convert(plain, memcore.CrossbarConfig(device="ideal"))
    uniform = {"name": "uniform", "bits": 8}
    config = memcore.CrossbarConfig(device="ideal", tile=(128, 128), dac=uniform, adc=uniform)
    tiled = memcore.convert(plain, config, calibration=x)
    networks = {"plain": plain, "ideal": ideal, "tiled": tiled}
    work = {each: lambda f=network: f(x) for each, network in networks.items()}
    clock = time.thread_time if arguments.busy else time.perf_counter
    times = interleaved(work, seconds=arguments.seconds, least=3, clock=clock)
    base = times["plain"]
    print(
        f"{threads:7d}  {name:12s} {1e3 * base:9.1f} "
        f"{times['ideal'] / base:12.2f} {times['tiled'] / base:18.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
