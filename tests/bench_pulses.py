"""Many identical pulses at once against one: `python tests/bench_pulses.py`.

Times one pulse and a thousand on a million cells, float32, for every pulsed device: without noise,
with noise from pulse to pulse, and with the spread of a published set, if there is one. The last
column is what a thousand pulses cost in units of one.
"""

import argparse
import dataclasses

import torch
from bench_timing import interleaved, thread_counts

import memcore
from memcore import Context, Memristor, Stream

#: A published set of each device, where there is one.
SETS = {
    "constant_step": "gokmen_vlasov",
    "linear_step": "ecram_mo",
    "soft_bounds": "reram_sb",
    "exp_step": "reram_es",
    "pow_step": None,
    "piecewise_step": None,
    "neurosim": "ag_a_si",
}


def variants(name: str, cells: int, ctx: Context) -> dict[str, Memristor]:
    """Devices of one model, from the simplest to the most real."""
    cls = memcore.devices[name]
    published = cls.preset(SETS[name]) if SETS[name] else cls(c2c=0.3)
    off = {"c2c": 0.0} | ({"write_std": 0.0} if hasattr(published, "write_std") else {})
    found = {
        "no noise": dataclasses.replace(published.nominal(), **off),
        "noise": published.nominal(),
    }
    if SETS[name] and name != "neurosim":
        found["noise, cells differ"] = published.sample((cells,), ctx)
    return found


@torch.no_grad()
def report(name: str, cells: int, pulses: int) -> None:
    """Print the lines of one model."""
    ctx = Context(random=Stream(0))
    one = torch.where(torch.arange(cells) % 2 == 0, 1, -1)
    for label, device in variants(name, cells, ctx).items():
        state = device.initial_state((cells,), ctx)
        times = interleaved(
            {
                "one": lambda d=device, s=state: d.pulses(s, one, ctx),  # type: ignore[misc]
                "many": lambda d=device, s=state: d.pulses(s, pulses * one, ctx),  # type: ignore[misc]
            },
            seconds=1.0,
            least=3,
        )
        once, many = times["one"], times["many"]
        print(f"{name:16}{label:22}{1e3 * once:10.1f}{1e3 * many:12.1f}{many / once:10.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--pulses", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{memcore.native.status()}\ntorch {torch.__version__}; medians of interleaved runs")
    for threads in thread_counts():
        print(f"\n{arguments.cells} cells, {threads} threads")
        print(f"{'':38}{'1 pulse ms':>10}{f'{arguments.pulses} ms':>12}{'ratio':>10}")
        for name in SETS:
            report(name, arguments.cells, arguments.pulses)


if __name__ == "__main__":
    main()
