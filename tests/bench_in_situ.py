"""Training in place against `Linear` with SGD: ratios of the time of a step, one thread.

Run `python tests/bench_in_situ.py [size] [batch]`; ratios are medians over interleaved rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import memcore

DEVICES = {
    "constant_step": {"name": "constant_step", "dw_min": 0.002},
    "constant_step, c2c": {"name": "constant_step", "dw_min": 0.002, "c2c": 0.3},
    "soft_bounds": {"name": "soft_bounds", "dw_min": 0.002},
    "soft_bounds, c2c": {"name": "soft_bounds", "dw_min": 0.002, "c2c": 0.3},
}
ROUNDS = 7


def step_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor
) -> Callable[[], None]:
    """One step of a loss whose gradients keep their size."""
    weights = torch.randn(x.shape[0], x.shape[1], generator=torch.Generator().manual_seed(1))

    def step() -> None:
        optimizer.zero_grad()
        (model(x) * weights).sum().mul(1e-3).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    """CPU time of a step, which other processes do not lengthen much."""
    begin = time.process_time()
    step()
    return time.process_time() - begin


def ratio(plain: Callable[[], None], step: Callable[[], None]) -> tuple[float, float]:
    """Time of a step over that of the plain one, and in ms."""
    step()
    rounds = [(min(seconds(plain) for _ in range(5)), seconds(step)) for _ in range(ROUNDS)]
    return (
        statistics.median(mine / its for its, mine in rounds),
        1e3 * statistics.median(mine for _, mine in rounds),
    )


def in_place(
    size: int, device: object, mapper: str, rule: str
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A layer that is trained in place."""
    config = memcore.CrossbarConfig(device=device, mapper=mapper)
    model = memcore.convert(nn.Linear(size, size, bias=False), config)
    return model, memcore.optim.InSitu(model, rule=rule, lr=0.01)


def main() -> None:
    """Print the table."""
    size, batch = (int(each) for each in (*sys.argv[1:], *(512, 64)[len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(batch, size)
    linear = nn.Linear(size, size, bias=False)
    plain = step_of(linear, torch.optim.SGD(linear.parameters(), lr=1e-6), x)
    plain()
    print(f"{size} x {size}, batch {batch}, ratio to Linear + SGD (ms)")
    print("rule".ljust(16), *(name.rjust(20) for name in DEVICES))
    for rule in sorted(memcore.updates):
        mapper = "differential" if memcore.updates[rule].pair == "one_sided" else "offset"
        cells = [
            ratio(plain, step_of(*in_place(size, d, mapper, rule), x)) for d in DEVICES.values()
        ]
        print(rule.ljust(16), *(f"{times:.1f} ({ms:.1f})".rjust(20) for times, ms in cells))


if __name__ == "__main__":
    main()
