"""Time and memory of converting a network: `python tests/bench_conversion.py`.

The MLP 784-512-10 and VGG-16 for CIFAR-10, both with `vteam`; VGG-16 with normal r_on and r_off,
finite states and stuck cells. Memory is the growth of the peak resident set over the model.
"""

import resource
import time

import torch
from torch import nn

import memcore
from memcore.study.models import vgg16


def main() -> None:
    """Print the table."""
    mlp = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    plain = memcore.CrossbarConfig(device="vteam")
    device = memcore.devices["vteam"](
        r_on=memcore.Normal(50.0, 10.0, min=1.0), r_off=memcore.Normal(1e3, 20.0, min=1.0)
    )
    disturbed = memcore.CrossbarConfig(
        device=device,
        nonidealities=[
            {"name": "finite_states", "states": 10},
            {"name": "stuck_at", "p_lrs": 0.1, "p_hrs": 0.1},
        ],
    )
    memcore.convert(nn.Linear(2, 2), disturbed)  # imports and first calls
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("network                      devices      s   peak MB beyond the model")
    report("MLP 784-512-10, vteam", mlp, plain)
    report("VGG-16, vteam, disturbed", vgg16(), disturbed)


def report(name: str, model: nn.Module, config: memcore.CrossbarConfig) -> None:
    """Convert in place once; a second time would find the memory of the first."""
    before = peak()
    start = time.perf_counter()
    memcore.convert_(model, config)
    seconds = time.perf_counter() - start
    devices = sum(2 * layer.rows * layer.cols for layer in memcore.summary(model).layers)
    print(f"{name:26s} {devices:9,d} {seconds:6.3f} {peak() - before:10.0f}")


def peak() -> float:
    """Peak resident set of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
