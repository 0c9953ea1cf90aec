"""Time of programming by pulses: `python tests/bench_programming.py`.

Write-verify of a million cells to 1 % of the window and of the target, against the same loop over
cells one by one in Python, on fewer of them; half-select of a 128 x 128 array, cell by cell; both
with wires of 1 ohm. Cells per second, pulses of each cell and the ratio to the plain loop.

Before them `memcore.program` of a 1024 x 1024 layer that is written without pulses, divided by a
forward pass of the digital layer with a batch of 64 in the same run, as a loop of training has it.
"""

import dataclasses
import time
from collections.abc import Callable

import torch
from bench_timing import interleaved, thread_counts
from torch import Tensor, nn

import memcore
from memcore import ArrayInfo, Context, Memristor, Programmed, Programmer, Stream, Wires

CTX = Context(random=Stream(0))
MILLION = (61, 128, 128)
TILE = (1, 128, 128)
SMALL = (1, 64, 64)
PLAIN = 50  #: cells for the loop in Python


def main() -> None:
    """Print the table."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for threads in thread_counts():
        rewriting(threads)
    print("routine                                   cells        s   cells/s  pulses  accepted")
    vteam = memcore.devices["vteam"]
    magic = vteam.preset("magic")
    spread = vteam(
        r_on=memcore.LogNormal(50.0, 0.1, max=70.0), r_off=memcore.LogNormal(1e3, 0.1, min=700.0)
    )
    write_verify = memcore.programmers["write_verify"]
    half_select = memcore.programmers["sequential_half_select"]
    open_loop = memcore.programmers["open_loop"]()
    vectorised = report("write_verify, vteam, window", write_verify(), vteam(), MILLION)
    report("write_verify, vteam, target", write_verify(tolerance_of="target"), vteam(), MILLION)
    report("write_verify, spread, window", write_verify(), spread, MILLION)
    report("open_loop, vteam", open_loop, vteam(), MILLION)
    for scheme in ("V/2", "V/3"):
        report(f"half-select {scheme}, magic, by cell", half_select(scheme=scheme), magic, TILE)
    report("half-select V/2, magic, by row", half_select(order="row"), magic, TILE)
    wires = Wires(word_line=1.0, bit_line=1.0)
    report("write_verify, magic, 1 ohm, 1t1r", write_verify(), magic, MILLION, wires)
    for scheme in ("V/2", "V/3"):
        way = half_select(scheme=scheme)
        report(f"half-select {scheme}, magic, 1 ohm", way, magic, SMALL, wires)
    report("half-select V/2, 1 ohm, by row", half_select(order="row"), magic, TILE, wires)
    plain = plain_loop(vteam())
    print(
        f"a plain loop over cells: {plain:.3g} cells/s; write_verify is {vectorised / plain:.0f}x"
    )


@torch.no_grad()
def rewriting(threads: int) -> None:
    """One line: the time of a rewrite by that of a forward pass."""
    plain, x = nn.Linear(1024, 1024), torch.randn(64, 1024)
    work: dict[str, Callable[[], object]] = {"plain": lambda: plain(x)}
    for name, effects in (("direct", []), ("direct, d2d", ["d2d"])):
        config = memcore.CrossbarConfig(device="ideal", nonidealities=effects)
        chip = memcore.convert(nn.Linear(1024, 1024), config)
        work[name] = lambda chip=chip: memcore.program(chip)  # type: ignore[misc]
    times = interleaved(work)
    base = times.pop("plain")
    ratios = ", ".join(f"{name} {seconds / base:.2f}" for name, seconds in times.items())
    print(f"{threads} thread(s), program / forward pass of {1e3 * base:.2f} ms: {ratios}")


def report(
    name: str,
    programmer: Programmer,
    device: Memristor,
    shape: tuple[int, int, int],
    wires: Wires | None = None,
) -> float:
    """One line of the table; returns cells per second."""
    array, target = targets(device, shape)
    array = dataclasses.replace(array, wires=wires)
    programmer.program(*targets(device, (1, 4, 4)), CTX)  # finds the pulses
    start = time.perf_counter()
    done = programmer.program(array, target, CTX)
    seconds = time.perf_counter() - start
    print(f"{name:36s} {target.numel():10,d} {seconds:8.2f} {told(done, seconds)}")
    return target.numel() / seconds


def told(done: Programmed, seconds: float) -> str:
    """Speed, pulses and acceptance."""
    accepted = torch.as_tensor(done.verified).float().mean()
    pulses = torch.as_tensor(done.pulses).double().mean()
    return f"{done.conductance.numel() / seconds:9.3g} {pulses:7.1f} {100 * accepted:7.2f} %"


def targets(device: Memristor, shape: tuple[int, int, int]) -> tuple[ArrayInfo, Tensor]:
    """Arrays, and targets evenly spread over the window."""
    nominal = device.nominal()
    low, high = nominal.nominal_range()
    drawn = device.sample(shape, CTX.child("device"))
    array = ArrayInfo(arrays=shape[0], rows=shape[1], cols=shape[2], device=drawn, nominal=nominal)
    return array, low + (high - low) * CTX.random.child("targets").uniform(shape)


def plain_loop(device: Memristor) -> float:
    """Cells per second of the same routine, one cell after another."""
    programmer = memcore.programmers["write_verify"]()
    _, target = targets(device, (1, 1, PLAIN))
    low, high = device.nominal_range()
    ramps = {up: programmer.ramp_of(device, up=up) for up in (False, True)}
    start = time.perf_counter()
    for goal in target.flatten().tolist():
        state = device.initial_state((), CTX)
        level, rising = 0, None
        for _ in range(programmer.max_pulses):
            missing = goal - float(device.conductance(state))
            if abs(missing) <= programmer.tolerance * (high - low):
                break
            level = level + 1 if rising == (missing > 0) else 0
            rising = missing > 0
            pulse = ramps[rising][min(level, len(ramps[rising]) - 1)]
            state = device.step(state, torch.tensor(pulse.voltage), pulse.width, CTX)
    return PLAIN / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
