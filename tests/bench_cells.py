"""Drawing, writing and ageing the cells of one layer: `python tests/bench_cells.py`.

Nanoseconds for each cell of `nn.Linear(2048, 2048)`, whose 8.4 million cells the programmer
`direct` writes: one normal draw for each, conversion, writing once more, and ageing, by turns. Then
the peak of the resident set during the conversion, over what is kept of it.
"""

import argparse
import gc
import time
from functools import partial
from pathlib import Path

import torch
from bench_timing import interleaved, thread_counts
from torch import nn

import memcore
from memcore import Stream

SIZE = 2048
STATES = {"name": "finite_states", "states": 16}
STUCK = {"name": "stuck_at", "p_lrs": 0.0175, "p_hrs": 0.0904}
SPREAD = {"name": "vteam", "r_on": {"normal": {"mean": 50.0, "std": 5.0, "min": 1.0}}}
WAYS: dict[str, dict[str, object]] = {
    "ideal": {"device": "ideal"},
    "d2d": {"device": "ideal", "nonidealities": ["d2d"]},
    "states": {"device": "ideal", "nonidealities": [STATES]},
    "stuck": {"device": "ideal", "nonidealities": [STUCK]},
    "all three": {"device": "ideal", "nonidealities": ["d2d", STATES, STUCK]},
    "spread r_on": {"device": SPREAD},
    "all four": {"device": SPREAD, "nonidealities": ["d2d", STATES, STUCK]},
    "and drift": {"device": "ideal", "nonidealities": ["d2d", STATES, STUCK, "drift"]},
}


@torch.no_grad()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each row")
    parser.add_argument("--busy", action="store_true", help="time of the processor, one thread")
    parser.add_argument("--only", nargs="+", default=list(WAYS), metavar="EFFECTS")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {memcore.native.status()}")
    print("threads  effects        draw  convert  program      age  (ns a cell)   peak / kept")
    layer = nn.Linear(SIZE, SIZE)
    for threads in thread_counts():
        if threads > 1 and arguments.busy:
            break
        for name in arguments.only:
            report(threads, name, layer, memcore.CrossbarConfig(**WAYS[name]), arguments)


def report(
    threads: int,
    name: str,
    layer: nn.Module,
    config: memcore.CrossbarConfig,
    arguments: argparse.Namespace,
) -> None:
    """Time one configuration."""
    chip = memcore.convert(layer, config)
    cells = chip.crossbar.programmed.numel()
    work = {
        "draw": lambda: Stream(0).normal((cells,)),
        "convert": lambda: memcore.convert(layer, config),
        "program": partial(memcore.program, chip),
        "age": partial(memcore.age, chip, seconds=1.0),
    }
    clock = time.thread_time if arguments.busy else time.perf_counter
    times = interleaved(work, seconds=arguments.seconds, least=3, clock=clock)
    figures = "  ".join(f"{1e9 * times[each] / cells:7.2f}" for each in work)
    work.clear()
    del chip
    print(f"{threads:7d}  {name:11s} {figures} {memory(layer, config):26.1f}", flush=True)


def memory(layer: nn.Module, config: memcore.CrossbarConfig) -> float:
    """Peak of the resident set during a conversion, over what it leaves behind."""
    gc.collect()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    chip = memcore.convert(layer, config)
    gc.collect()
    ratio = (resident("VmHWM") - before) / (resident("VmRSS") - before)
    del chip
    return ratio


def resident(which: str) -> int:
    """A figure of this process in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which))


if __name__ == "__main__":
    main()
