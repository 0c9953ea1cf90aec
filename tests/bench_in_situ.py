"""Training in place against `Linear` with SGD: ratios of the time of a step, one thread.

Run `python tests/bench_in_situ.py [size] [batch] [--rules agad ...] [--devices constant_step ...]`.
Ratios are medians over interleaved rounds of the best of five, of all rules and devices by default.
The second table is of longer trains; the third has the memory of tensors over that of the weights.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable

import torch
from bench_training import peak_of
from torch import nn

import memcore

DEVICES = {
    "constant_step": {"name": "constant_step", "dw_min": 0.002},
    "constant, c2c": {"name": "constant_step", "dw_min": 0.002, "c2c": 0.3},
    "linear_step": {"name": "linear_step", "dw_min": 0.002},
    "linear, c2c": {"name": "linear_step", "dw_min": 0.002, "c2c": 0.3},
    "soft_bounds": {"name": "soft_bounds", "dw_min": 0.002},
    "soft, c2c": {"name": "soft_bounds", "dw_min": 0.002, "c2c": 0.3},
    "exp_step": {"name": "exp_step"},
    "exp, c2c": {"name": "exp_step", "c2c": 0.3},
    "pow_step": {"name": "pow_step", "dw_min": 0.002},
    "pow, c2c": {"name": "pow_step", "dw_min": 0.002, "c2c": 0.3},
    "piecewise_step": {"name": "piecewise_step", "dw_min": 0.002},
    "piecewise, c2c": {"name": "piecewise_step", "dw_min": 0.002, "c2c": 0.3},
    "neurosim": {"name": "neurosim"},
    "by update": {"name": "neurosim", "noise": "per_update"},
    "tabular": {"name": "tabular"},
    "tabular, c2c": {"name": "tabular", "std_set": (1e-6,), "std_reset": (1e-6,)},
}
#: What gradients are multiplied by: trains of one slot, and of as many as there are.
SHORT, LONG = 1e-3, 0.3


def step_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, scale: float = SHORT
) -> Callable[[], None]:
    """One step of a loss whose gradients keep their size."""
    weights = torch.randn(x.shape[0], x.shape[1], generator=torch.Generator().manual_seed(1))

    def step() -> None:
        optimizer.zero_grad()
        (model(x) * weights).sum().mul(scale).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    """CPU time of a step, which other processes do not lengthen much."""
    begin = time.process_time()
    step()
    return time.process_time() - begin


def best(step: Callable[[], None]) -> float:
    """The shortest of five, with what it needs in the caches."""
    return min(seconds(step) for _ in range(5))


def ratio(plain: Callable[[], None], step: Callable[[], None], count: int) -> tuple[float, float]:
    """Time of a step over that of the plain one, and in ms, of some rounds."""
    step()
    rounds = [(best(plain), best(step)) for _ in range(count)]
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


def mapper_of(rule: str) -> str:
    """What has cells for a rule."""
    return "differential" if memcore.updates[rule].pair == "one_sided" else "offset"


def held() -> int:
    """Bytes of all tensors that are alive."""
    storages = {}
    for each in gc.get_objects():
        if type(each) in (torch.Tensor, nn.Parameter) and not each.is_meta:
            storage = each.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def memory(size: int, rule: str, x: torch.Tensor) -> tuple[float, float]:
    """Bytes of a network in training, and the most that a step needs besides, over its weights."""
    gc.collect()
    before = held()
    model, optimizer = in_place(size, DEVICES["constant_step"], mapper_of(rule), rule)
    step = step_of(model, optimizer, x)
    step()
    gc.collect()
    return (held() - before) / (4 * size**2), peak_of(step) / (4 * size**2)


def table(chosen: argparse.Namespace, x: torch.Tensor, scale: float, rules: list[str]) -> None:
    """Print ratios of rules and the chosen devices."""
    size, devices = chosen.size, chosen.devices
    linear = nn.Linear(size, size, bias=False)
    plain = step_of(linear, torch.optim.SGD(linear.parameters(), lr=1e-6), x, scale)
    plain()
    print("rule".ljust(16), *(name.rjust(15) for name in devices))
    for rule in rules:
        cells = [
            ratio(
                plain,
                step_of(*in_place(size, DEVICES[name], mapper_of(rule), rule), x, scale),
                chosen.rounds,
            )
            for name in devices
        ]
        shown = (f"{times:.1f} ({ms:.1f})".rjust(15) for times, ms in cells)
        print(rule.ljust(16), *shown, flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int, nargs="?", default=512)
    parser.add_argument("batch", type=int, nargs="?", default=64)
    parser.add_argument("--rules", nargs="+", default=sorted(memcore.updates))
    parser.add_argument("--devices", nargs="+", default=[*DEVICES], choices=[*DEVICES])
    parser.add_argument("--rounds", type=int, default=7, help="of each measurement")
    chosen = parser.parse_args()
    size, batch, rules = chosen.size, chosen.batch, chosen.rules
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(batch, size)
    print(f"{size} x {size}, batch {batch}, ratio to Linear + SGD (ms); {memcore.native.status()}")
    table(chosen, x, SHORT, rules)
    print("\nlong trains")
    table(chosen, x, LONG, [rule for rule in rules if rule in ("sgd_pulsed", "agad")])
    print("\nmemory over the weights: in training, and besides in a step")
    for rule in rules:
        print(rule.ljust(16), *(f"{each:.1f}".rjust(8) for each in memory(size, rule, x)))


if __name__ == "__main__":
    main()
