"""What line resistance costs a whole network: `python tests/bench_wires.py`.

VGG-16 for CIFAR-10 in tiles of 128 x 128, with and without segments of 1 ohm: seconds to convert,
and the time of an inference of 16 images relative to the same arrays without wires (CPU times,
medians of runs that take turns).
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

import memcore
from memcore.study.models import vgg16

DEVICE = {"name": "ideal", "r_on": 1e4, "r_off": 1e6}
WIRES = {"name": "ir_drop", "segment": 1.0}
ROUNDS = 5


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    images, network = torch.randn(16, 3, 32, 32), vgg16().eval()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'converters':18}{'convert, s':>11}{'with wires':>12}{'inference / without wires':>27}")
    for name, adc in (("none", None), ("8-bit ADC", {"name": "uniform", "bits": 8})):
        converted, seconds = [], []
        for effects in ([], [WIRES]):
            config = memcore.CrossbarConfig(device=DEVICE, nonidealities=effects, adc=adc)
            start = time.perf_counter()
            converted.append(memcore.convert(network, config))
            seconds.append(time.perf_counter() - start)
        if adc:
            for model in converted:
                memcore.calibrate(model, images)
        plain, wired = interleaved([reader(model, images) for model in converted])
        print(f"{name:18}{seconds[0]:11.2f}{seconds[1]:12.2f}{wired / plain:27.2f}")


def reader(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """One inference."""

    def read() -> object:
        with torch.no_grad():
            return model(images)

    return read


def interleaved(work: list[Callable[[], object]]) -> list[float]:
    """Median CPU seconds of each."""
    times: list[list[float]] = [[] for _ in work]
    for round_number in range(ROUNDS + 1):
        for run, taken in zip(work, times, strict=True):
            start = time.process_time()
            run()
            if round_number:
                taken.append(time.process_time() - start)
    return [median(taken) for taken in times]


if __name__ == "__main__":
    main()
