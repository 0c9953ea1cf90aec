"""Quantisation and random numbers against a plain copy: `python tests/bench_quantize.py`.

The first table times the kernels into an existing tensor against `copy_`, the second the public
functions, which allocate their result, against `clone`. A rate counts bytes read and written; "of
copy" is 1 when a kernel is as fast as moving the data.
"""

from collections.abc import Callable

import torch
from bench_timing import interleaved, thread_counts
from torch import Tensor

from memcore import native
from memcore.ops import philox, quantize

COUNT = 10_000_000
KEY = 12345


def tables() -> dict[str, Tensor]:
    """Tables of levels by name."""
    generator = torch.Generator().manual_seed(0)
    return {
        "levels, 16 even": torch.linspace(-3, 3, 16),
        "levels, 256 even": torch.linspace(-3, 3, 256),
        "levels, 256 logarithmic": torch.logspace(-3, 0.6, 256),
        "levels, 256 random": torch.randn(256, generator=generator).sort().values,
        "levels, 4096 even": torch.linspace(-3, 3, 4096),
    }


def kernels(x: Tensor, out: Tensor) -> dict[str, Callable[[], object]]:
    """The kernels, into a tensor that exists."""
    cpu = native.cpu()
    if cpu is None:
        return {"copy_": lambda: out.copy_(x)}
    step, read = torch.tensor([6 / 255]), torch.tensor([0])
    place, to, size = x.data_ptr(), out.data_ptr(), x.numel()
    work: dict[str, Callable[[], object]] = {
        "copy_": lambda: out.copy_(x),
        "uniform, 256 steps": lambda: cpu.quantize_uniform(
            place, size, step.data_ptr(), 1, -128.0, 127.0, to
        ),
    }
    for name, table in tables().items():
        work[name] = lambda t=table: cpu.quantize_levels(  # type: ignore[misc]
            place, size, t.data_ptr(), t.numel(), 1, to
        )
    work["philox uniform"] = lambda: cpu.philox_uniform(read.data_ptr(), 1, 0, size, KEY, to, 0)
    work["philox normal"] = lambda: cpu.philox_normal(read.data_ptr(), 1, 0, size, KEY, to, 0)
    work["torch.randn (one thread)"] = lambda: torch.randn(size, out=out)
    return work


def functions(x: Tensor) -> dict[str, Callable[[], object]]:
    """The public functions, which allocate their result."""
    read = torch.tensor([0])
    work: dict[str, Callable[[], object]] = {
        "clone": x.clone,
        "uniform, 256 steps": lambda: quantize.uniform(x, 6 / 255, -128, 127),
    }
    for name, table in tables().items():
        work[name] = lambda t=table: quantize.levels(x, t)  # type: ignore[misc]
    work["torch: round(x / step).clamp() * step"] = lambda: (
        torch.round(x / (6 / 255)).clamp(-128, 127) * (6 / 255)
    )
    work["philox normal"] = lambda: philox.normal(read, x.numel(), KEY)
    return work


def show(title: str, work: dict[str, Callable[[], object]], base: str) -> None:
    """Print one table of times relative to the alternative named `base`."""
    print(f"\n{title:40}{'ms':>9}{'ns each':>10}{'GB/s':>8}{'of copy':>9}")
    times = interleaved(work, seconds=4.0)
    for name, t in times.items():
        rate = 8e-9 * COUNT / t
        print(f"{name:40}{1e3 * t:9.2f}{1e9 * t / COUNT:10.3f}{rate:8.1f}{times[base] / t:9.2f}")


def main() -> None:
    """Print the tables."""
    print(native.status())
    print(f"torch {torch.__version__}; medians of interleaved runs, {COUNT} float32")
    x, out = torch.randn(COUNT), torch.empty(COUNT)
    for threads in thread_counts():
        show(f"kernels, {threads} threads", kernels(x, out), "copy_")
        show(f"functions, {threads} threads", functions(x), "clone")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
