"""Steps of a training through the hardware against plain ones: `python tests/bench_training.py`.

A step is a forward pass, a backward pass and SGD. Prints its time divided by that of the plain
network in the same run, and the peak of the memory of tensors in a step, divided likewise. Each row
adds one thing to those before.
"""

import argparse
import time
from collections.abc import Callable

import torch
from bench_counting import resnet18
from bench_timing import interleaved, thread_counts
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import memcore

_EIGHT_BITS = {"name": "uniform", "bits": 8}
_ROWS = {
    "spread": {"nonidealities": ["d2d"]},
    "+ 32 states": {"nonidealities": ["d2d", {"name": "finite_states", "states": 32}]},
    "+ converters": {"dac": _EIGHT_BITS, "adc": _EIGHT_BITS},
    "+ read noise": {
        "nonidealities": ["d2d", {"name": "finite_states", "states": 32}, "read_noise"]
    },
}


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """As in any residual network."""
        return torch.relu(x + self.layers(x))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="of nn.Linear")
    parser.add_argument("--batch", type=int, default=64, help="of nn.Linear")
    parser.add_argument("--channels", type=int, default=64, help="of the residual block")
    parser.add_argument("--network", action="store_true", help="ResNet-18 too, of 32 images")
    parser.add_argument(
        "--busy", action="store_true", help="processor time of one thread, on a machine in use"
    )
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    clock = time.thread_time if arguments.busy else time.perf_counter
    for threads in thread_counts():
        if arguments.busy and threads > 1:
            break
        linear = nn.Linear(arguments.size, arguments.size)
        x = torch.randn(arguments.batch, arguments.size)
        report(f"Linear, {threads} threads", linear, x, clock)
        inside = x.clone().requires_grad_()
        report(f"Linear inside a network, {threads} threads", linear, inside, clock)
        images = torch.randn(32, arguments.channels, 32, 32)
        report(f"residual block, {threads} threads", Block(arguments.channels), images, clock)
        if arguments.network:
            report(f"ResNet-18, {threads} threads", resnet18(), torch.rand(32, 3, 32, 32), clock)


def report(title: str, plain: nn.Module, x: Tensor, clock: Callable[[], float]) -> None:
    """Time a network with more and more of its hardware."""
    settings: dict[str, object] = {"device": "ideal", "tile": (128, 128)}
    steps = {"plain": step_of(plain, x)}
    for name, more in _ROWS.items():
        settings |= more
        config = memcore.CrossbarConfig(**settings)
        asks = config.dac is not None
        network = memcore.convert(plain, config, calibration=x[:8].detach() if asks else None)
        steps[name] = step_of(network.train(), x)
    times = interleaved(steps, clock=clock)
    peaks = {name: peak_of(step) for name, step in steps.items()}
    print(f"\n{title}\n{'':14s}     ms   time  memory")
    for name, seconds in times.items():
        ratios = seconds / times["plain"], peaks[name] / peaks["plain"]
        print(f"{name:14s} {1e3 * seconds:6.1f} {ratios[0]:6.2f} {ratios[1]:7.2f}")


def step_of(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """One step of a training."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        x.grad = None
        network(x).square().mean().backward()
        optimizer.step()

    return step


def peak_of(step: Callable[[], None]) -> int:
    """Bytes that tensors took at most in a step, beyond what they took before it.

    Memory from before the step may be said to be freed in it or not; it counts neither way.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    now = most = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now = max(0, now + event.nbytes())
            most = max(most, now)
    return most


if __name__ == "__main__":
    main()
