"""Simulated device-steps per second: `python tests/bench_simulate.py [names]`.

For each device: one cell for 1e5 steps, and many cells for some steps under one waveform and under
a waveform per cell, always float32, only the last state kept. "of torch" compares with a loop over
the vectorised plain-torch `step` in the same run, timed over fewer steps. The floor counts the
operations of one device-step, each at the rate at which this machine runs it alone on a block that
stays in the cache; "of floor" is 1 when nothing but arithmetic takes time, and more where cells
rest and their arithmetic is left out. "moving" is one cell whose every step moves it. Rates are
wall-clock; floors compare processor time, which other programs on the machine disturb less.
"""

import math
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from memcore import Context, Memristor, Stream, devices, native, simulate
from memcore.dynamics.recording import Program, lower, record
from memcore.dynamics.recording import run as kernel

CELLS = 1_000_000
BLOCK = 1024
#: name: (amplitude in V, dt in s, steps of many cells)
DEVICES = {
    "linear_ion_drift": (1.0, 1e-3, 300),
    "vteam": (1.0, 1e-11, 1000),
    "yakopcic": (0.45, 1e-5, 20),
    "stanford_pku": (1.5, 1e-9, 8),
    "data_driven": (0.9, 1e-4, 100),
    "mms": (0.5, 1e-5, 100),
}
#: A voltage and a dt in s at which one cell moves in each of 1e5 steps, from its on state.
MOVING = {"stanford_pku": (-1.1, 2e-11), "yakopcic": (-0.2, 1e-7)}
_STATE, _REGISTER, _CONSTANT = 4 << 24, 3 << 24, 0


def best(run: Callable[[], object], *, seconds: float = 3.0, least: int = 3) -> tuple[float, float]:
    """The shortest wall and processor times of several runs in seconds: the machine is shared."""
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least:
        start = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def rate_of(operation: str, operands: int, varying: int) -> float:
    """Seconds per number of one operation on a block that stays in the cache, one thread."""
    repeats, steps = 10, 200
    places = [_STATE, _REGISTER, _REGISTER | 1][:varying] + [_CONSTANT] * (operands - varying)
    padded = [*places, -1, -1, -1][:3]
    listed = [("copy", _REGISTER, _STATE, -1, -1), ("copy", _REGISTER | 1, _STATE, -1, -1)]
    listed += [(operation, _REGISTER | 2, *padded)] * repeats
    program = Program([[], [], [], listed], constants=[0.7], n_constants=1, series=1, registers=3)
    state, voltage = torch.rand(1, BLOCK) + 0.5, torch.zeros(steps)
    _, seconds = best(lambda: kernel.run(program, state, voltage, 0), seconds=0.1)
    return seconds / (BLOCK * steps * (repeats + 2))


def floor(program: Program) -> float:
    """Seconds of one device-step on one thread if nothing but the operations took time."""
    rates: dict[tuple[str, int, int], float] = {}
    total = 0.0
    for operation, _, *places in program.lists[3]:
        if operation in {"skip_unless", "skip_if"}:
            continue
        given = [place for place in places if place >= 0]
        kind = (operation, len(given), sum(place >> 24 >= 2 for place in given))
        if kind not in rates:
            rates[kind] = rate_of(*kind)
        total += rates[kind]
    return total


def program_of(device: Memristor, state: Tensor, dt: float, *, shared: bool) -> Program:
    """What the native engine runs."""
    ctx = Context(random=Stream(0))
    return lower(record(device, state, torch.zeros(state.shape[1:]), dt, ctx), shared=shared)


def torch_loop(device: Memristor, state: Tensor, voltage: Tensor, dt: float) -> None:
    """The vectorised plain-torch loop."""
    ctx = Context(random=Stream(0))
    for now in voltage:
        state = device.step(state, now.expand(state.shape[1:]), dt, ctx)


def line(what: str, device: Memristor, state: Tensor, voltage: Tensor, dt: float) -> None:
    """Time and print one case."""
    cells, steps = state[0].numel(), voltage.shape[0]
    wall, cpu = best(lambda: simulate(device, voltage, dt, state=state, record="last"))
    few = voltage[: max(2, min(steps, 2000 if cells == 1 else 5))]
    plain, _ = best(lambda: torch_loop(device, state, few, dt), seconds=0.5, least=2)
    program = program_of(device, state, dt, shared=voltage.dim() == 1)
    instructions, rate = len(program.lists[3]), cells * steps / wall
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    part = floor(program) * cells * steps / cpu if cells > 1 else math.nan
    torch.set_num_threads(threads)
    print(
        f"{what:28}{instructions:6}{wall:10.4f}{rate:12.3g}{plain / len(few) * steps / wall:10.1f}"
        f"{part:10.2f}",
        flush=True,
    )


def bench(name: str) -> None:
    """All cases of one device."""
    amplitude, dt, steps = DEVICES[name]
    device = devices[name]()
    fresh = device.initial_state((), Context(random=Stream(0)))
    line(f"{name}, 1 cell", device, fresh, wave(amplitude, 100_000), dt)
    low, high = device.nominal_range()
    if name in MOVING:
        volts, short = MOVING[name]
        on = device.state_of(torch.tensor(high))
        line(f"{name}, 1 cell, moving", device, on, torch.full((100_000,), volts), short)
    state = device.state_of(low + (high - low) * torch.rand(CELLS))
    line(f"{name}, one waveform", device, state, wave(amplitude, steps), dt)
    each = wave(amplitude, min(steps, 100))[:, None] * torch.linspace(0.9, 1.1, CELLS)
    line(f"{name}, one per cell", device, state, each, dt)


def wave(amplitude: float, steps: int) -> Tensor:
    """One period of a sine."""
    return amplitude * torch.sin(torch.arange(steps) * (2 * math.pi / steps))


def main() -> None:
    """Print the table."""
    print(native.status())
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {CELLS} cells, best times"
    )
    print(f"{'':28}{'ops':>6}{'s':>10}{'steps/s':>12}{'of torch':>10}{'of floor':>10}")
    for name in sys.argv[1:] or DEVICES:
        bench(name)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
