"""From conductances measured between pulses to mean curves and the spread of pulses."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memcore._tensor import as_tensor
from memcore.errors import ConfigError
from memcore.fitting.measurements import PulseData
from memcore.modelling.curves import PulseTables, Rows, pulse_tables

_NODES: Final = 8  #: of the deviation over the window, at most
_WIDE: Final = 0.1  #: of a curve, over which its slope is taken: mean curves are rough
_PER_NODE: Final = 50  #: increments that determine one of them


class Runs(NamedTuple):
    """Conductances in S before the first pulse of a run and after each; NaN where none was read.

    Args:
        up: runs of SET pulses, [devices, cycles, pulses + 1].
        down: runs of RESET pulses, likewise.
    """

    up: Tensor
    down: Tensor

    @classmethod
    def of(cls, ltp: Tensor, ltd: Tensor) -> "Runs":
        """The runs in two tables.

        Args:
            ltp: S before the first SET pulse and after each, [devices, cycles, pulses + 1], or
                without the first one or two dimensions if there is one device or one cycle.
            ltd: the same of RESET pulses, whose number may differ.

        Raises:
            ConfigError: the tables do not fit, or a conductance is not positive.
        """
        up, down = _table(ltp, "ltp"), _table(ltd, "ltd")
        if len(up) != len(down):
            raise ConfigError(
                f"ltp has {len(up)} devices and ltd {len(down)}; expected the same ones"
            )
        return cls(up, down)


class PulseCurves(NamedTuple):
    """Mean curves of measured devices, and the deviations of pulses and reads.

    Args:
        ltp: S, ascending, [devices, pulses + 1].
        ltd: S, descending, [devices, pulses + 1].
        std_set: S, deviation of a SET pulse at equally spaced places of the window.
        std_reset: S, deviation of a RESET pulse.
        read_std: S, deviation of a read.
        departure: of the mean curves from monotone ones, rms over the window, the worst.
    """

    ltp: Rows
    ltd: Rows
    std_set: tuple[float, ...]
    std_reset: tuple[float, ...]
    read_std: float
    departure: float


# -- runs ------------------------------------------------------------------------------------------


def _table(values: Tensor | None, name: str) -> Tensor:
    """[devices, cycles, pulses + 1] float64."""
    if values is None:
        other = "RESET" if name == "ltd" else "SET"
        raise ConfigError(
            f"{name} is None; expected {other} pulses, too: a device of measured curves needs both "
            "directions; where one was measured, fit a model such as neurosim, or mirror the curve"
        )
    try:
        table = as_tensor(values, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{name} is no table of numbers ({error}); expected a tensor of siemens"
        ) from None
    if not 1 <= table.dim() <= 3 or table.shape[-1] < 3:
        raise ConfigError(
            f"{name} has shape {tuple(table.shape)}; expected [devices, cycles, pulses + 1], two "
            "or more pulses"
        )
    table = table.reshape(*[1] * (3 - table.dim()), *table.shape)
    known = table.isfinite()
    if not bool(known[..., 1:].any(1).all()) or not bool((table[known] > 0).all()):
        raise ConfigError(
            f"{name} has values <= 0, or pulses after which no cycle of a device was read; "
            "expected siemens > 0"
        )
    return table


def runs_of(records: Sequence[PulseData]) -> Runs:
    """The runs of each record, one for each device.

    Raises:
        ConfigError: the runs of one direction differ in their number of pulses.
    """
    split = [list(_split(record)) for record in records]
    names = names_of(records)
    _require_both(split, names)
    up, down = (
        _stacked([[run for sign, run in runs if sign == wanted] for runs in split], wanted, names)
        for wanted in (1, -1)
    )
    return Runs(up, down)


def left_out(records: Sequence[PulseData]) -> tuple[str, ...]:
    """Remarks on last runs that `runs_of` leaves out, since they have fewer pulses than others."""
    names = names_of(records)
    split = [list(_split(record)) for record in records]
    remarks = []
    for sign, word in ((1, "SET"), (-1, "RESET")):
        lengths = [[max(run) for way, run in runs if way == sign] for runs in split]
        longest = max((n for each in lengths for n in each), default=0)
        remarks += [
            f"the last run of {word} pulses in {name} has {each[-1]} of {longest} pulses, as where "
            "a measurement was broken off: it is left out; cut it off, or measure it to its end"
            for name, each in zip(names, lengths, strict=True)
            if _is_broken_off(each, longest)
        ]
    return tuple(remarks)


def _is_broken_off(lengths: Sequence[int], longest: int) -> bool:
    """Whether the last of several runs has fewer pulses than the longest one of all devices."""
    return len(lengths) > 1 and lengths[-1] < longest


def _require_both(split: Sequence[Sequence[tuple[int, object]]], names: Sequence[str]) -> None:
    """Refuse devices of which one direction was measured."""
    for runs, name in zip(split, names, strict=True):
        for sign, word in ((1, "SET"), (-1, "RESET")):
            if runs and all(way != sign for way, _ in runs):
                raise ConfigError(
                    f"there are no {word} pulses in {name}; expected both directions, which a "
                    "device of measured curves needs: where one was measured, fit a model such as "
                    "neurosim, which keeps its own curve of the other"
                )


def names_of(records: Sequence[PulseData]) -> list[str]:
    """What messages call each record: its label, or its number."""
    return [record.label or f"device {k}" for k, record in enumerate(records)]


def _split(record: PulseData) -> Iterable[tuple[int, dict[int, list[float]]]]:
    """Direction of each run, and what was read after how many of its pulses."""
    sign, place, last = 0, 0, None
    run: dict[int, list[float]] = {}
    for count, g in zip(record.count.tolist(), record.conductance.tolist(), strict=True):
        now = (count > 0) - (count < 0)
        if now and now != sign:
            if sign:
                yield sign, run
            sign, place, run = now, 0, {} if last is None else {0: [last]}
        place += abs(int(count))
        if sign:
            run.setdefault(place, []).append(g)
        last = g
    if sign:
        yield sign, run


def _stacked(
    devices: Sequence[Sequence[dict[int, list[float]]]], sign: int, names: Sequence[str]
) -> Tensor:
    word = "SET" if sign > 0 else "RESET"
    lengths = [[max(run) for run in runs] for runs in devices]
    longest = max((n for each in lengths for n in each), default=0)
    # The measurement may have been ended in the middle of a run, see `left_out`.
    kept = [
        runs[:-1] if _is_broken_off(each, longest) else runs
        for runs, each in zip(devices, lengths, strict=True)
    ]
    wrong = [
        sorted(set(map(max, runs))) for runs in kept if {max(run) for run in runs} != {longest}
    ]
    if longest < 2 or wrong or not all(kept):
        listed = "; ".join(f"{name}: {each}" for name, each in zip(names, lengths, strict=True))
        raise ConfigError(
            f"the runs of {word} pulses have these pulses: {listed}; expected runs of "
            "the same number of pulses, two or more: cut the data, give devices a column device, "
            "or the read of a fresh cell the number 0 in a column pulse"
        )
    table = torch.full(
        (len(kept), max(map(len, kept)), longest + 1), torch.nan, device="cpu"
    ).double()
    for d, runs in enumerate(kept):
        for c, run in enumerate(runs):
            for place, values in run.items():
                table[d, c, place] = sum(values) / len(values)
    return table


# -- curves ----------------------------------------------------------------------------------------


def curves_of(runs: Runs, names: Sequence[str] = ()) -> PulseCurves:
    """Mean curves and deviations of runs; `names` of the devices are for messages.

    Raises:
        ConfigError: the conductance does not rise under SET pulses and fall under RESET pulses.
    """
    begins = [begin_of(table) for table in runs]
    means = [_means(table)[:, begin:] for table, begin in zip(runs, begins, strict=True)]
    up, down = (table[..., begin:] for table, begin in zip(runs, begins, strict=True))
    (ltp, far_up), (ltd, far_down) = _monotone(means[0]), _monotone(-means[1])
    ltd = -ltd
    for word, curves, mean in (("SET", ltp, means[0]), ("RESET", -ltd, means[1])):
        is_flat = ~(curves[:, -1] > curves[:, 0])
        if bool(is_flat.any()):
            number = int(is_flat.nonzero()[0])
            raise ConfigError(_no_change(word, mean[number], names[number : number + 1], number))
    rows = _rows(ltp), _rows(ltd)
    tables = pulse_tables(*rows)
    noise = [_residuals(table, tables, k) for k, table in enumerate((up, down))]
    read = _read_variance(noise)
    span = (tables.high - tables.low)[:-1]
    departure = torch.maximum(far_up, far_down) / span
    std_set, std_reset = (_deviation(n, read) for n in noise)
    return PulseCurves(*rows, std_set, std_reset, read**0.5, float(departure.max()))


def _no_change(word: str, mean: Tensor, name: Sequence[str], number: int) -> str:
    """What a mean curve [pulses + 1] does in place of moving as it should."""
    first, last = (float(mean[k]) for k in (0, -1))
    return (
        f"in {name[0] if name else f'device {number}'} the conductance does not "
        f"{'rise' if word == 'SET' else 'fall'} under {word} pulses: it goes from {first:.4g} to "
        f"{last:.4g} S in {len(mean) - 1} of them; expected the two directions as declared: they "
        "may be exchanged, the column may hold resistances, or these pulses be too weak"
    )


def begin_of(table: Tensor) -> int:
    """Pulses of a run after which each device was read; what was before is on no curve.

    Args:
        table: S, [devices, cycles, pulses + 1], NaN where nothing was read.
    """
    is_read = table.isfinite().any(1)
    return int(is_read.int().argmax(1).max())


def _means(table: Tensor) -> Tensor:
    """Mean of the cycles, [devices, pulses + 1]; what was never read lies on a straight line.

    NaN before the first read of a device, on the way to which nothing is known.
    """
    mean = table.nanmean(1)
    for row in mean:
        known = row.isfinite().nonzero().squeeze(1)
        for left, right in zip(known[:-1].tolist(), known[1:].tolist(), strict=True):
            row[left : right + 1] = torch.lerp(
                row[left],
                row[right],
                torch.linspace(0, 1, right - left + 1, dtype=row.dtype, device="cpu"),
            )
    return mean


def _monotone(curves: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest curves that never fall, and the rms distance from them of each."""
    found = torch.stack([isotonic(row) for row in curves])
    return found, (found - curves).square().mean(1).sqrt()


def isotonic(row: Tensor) -> Tensor:
    """The centred isotonic regression of equally spaced values [n].

    Neighbours that fall are pooled; each pool stands at its centre, straight lines in between
    (Oron and Flournoy, Stat. Biopharm. Res. 9:258, 2017), so that measured plateaus stay, and
    falls become slopes.
    """
    values, sizes = pooled(row)
    places = sizes.cumsum(0) - 0.5 * (sizes + 1)
    if len(values) == 1:
        return values.expand(len(row))
    at = torch.arange(len(row), dtype=torch.float64, device="cpu").clamp(
        float(places[0]), float(places[-1])
    )
    right = torch.searchsorted(places, at).clamp(1, len(places) - 1)
    share = (at - places[right - 1]) / (places[right] - places[right - 1])
    return torch.lerp(values[right - 1], values[right], share)


def pooled(row: Tensor) -> tuple[Tensor, Tensor]:
    """Means and sizes of the pools of adjacent violators of values [n], float64."""
    pools: list[tuple[float, int]] = []  # sum of the values, number
    for value in row.tolist():
        pool = (value, 1)
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1])
        pools.append(pool)
    total, number = (
        torch.tensor([p[k] for p in pools], dtype=torch.float64, device="cpu") for k in (0, 1)
    )
    return total / number, number


def _rows(curves: Tensor) -> Rows:
    return tuple(tuple(row) for row in curves.tolist())


# -- deviations ------------------------------------------------------------------------------------


class Residuals(NamedTuple):
    """Differences between the steps of a device and its mean curve.

    Args:
        value: S, [devices, cycles, steps], NaN where there is none.
        place: in the window, at the beginning of each step, likewise.
        kept: of a deviation before the step, likewise.
        gap: pulses of each step, [steps].
    """

    value: Tensor
    place: Tensor
    kept: Tensor
    gap: Tensor


def _residuals(table: Tensor, tables: PulseTables, direction: int) -> Residuals:
    """Residuals of runs in one direction, corrected for the mean being that of the same cycles."""
    read = table.isfinite().any((0, 1)).nonzero().squeeze(1)
    gap = read.diff().double()
    before, after = table[..., read[:-1]], table[..., read[1:]]
    count, cycles = table.shape[0], table.isfinite().any(2).sum(1)[:, None, None]
    low, span = tables.low[:-1, None, None], (tables.high - tables.low)[:-1, None, None]
    row = (torch.arange(count, device="cpu") + direction * (count + 1))[:, None, None]
    place = (before - low) / span
    come = place if direction == 0 else 1 - place
    start = tables.curves.place(row, come.nan_to_num())
    moved = tables.curves.at(row, start + gap) - come
    moved = moved if direction == 0 else -moved
    factor = torch.where(cycles > 1, (cycles / (cycles - 1).clamp(min=1)).sqrt(), torch.nan)
    width = max(1.0, _WIDE * (table.shape[2] - 1))
    slopes = [_slope(tables, row, start + ahead, width) for ahead in (0, gap)]
    return Residuals(
        (after - before - moved * span) * factor, place, (slopes[1] / slopes[0]).clamp(0, 1), gap
    )


def _slope(tables: PulseTables, row: Tensor, place: Tensor, width: float) -> Tensor:
    return tables.curves.at(row, place + width) - tables.curves.at(row, place - width)


def _read_variance(noise: Sequence[Residuals]) -> float:
    """Variance of a read in S^2, from the correlation of consecutive steps.

    A read is the end of a step and the beginning of the next.

    With r = w + e' - q e of pulses w and reads e, <r r'> = -q <e^2>.
    """
    both = [(-n.value[..., :-1] * n.value[..., 1:]).flatten() for n in noise]
    kept = [n.kept[..., 1:].expand_as(n.value[..., 1:]).flatten() for n in noise]
    product, share = torch.cat(both), torch.cat(kept)
    known = product.isfinite() & share.isfinite()
    if not bool(known.any()):
        return 0.0
    return max(float(product[known].mean() / share[known].mean().clamp(min=0.1)), 0.0)


def _deviation(noise: Residuals, read: float) -> tuple[float, ...]:
    """Standard deviations of a pulse in S at equally spaced places, less what reads add.

    Empty if they cannot be told.
    """
    variance = (noise.value.square() - (1 + noise.kept.square()) * read) / noise.gap
    place = noise.place.expand_as(variance)
    known = variance.isfinite() & place.isfinite()
    variance, place = variance[known], place[known].clamp(0, 1)
    if not len(variance):
        return ()
    overall = float(variance.mean())
    if overall <= 0:
        return (0.0,)
    # What reads add is as uncertain as it is large, and leaves fewer nodes to be told apart.
    needed = _PER_NODE * (1 + 2 * read / overall) ** 2
    nodes = min(_NODES, int(len(variance) / needed))
    if nodes < 2:
        return (overall**0.5,)
    at = torch.linspace(0, 1, nodes, dtype=torch.float64, device="cpu")[:, None]
    weight = (1 - (place - at).abs() * (nodes - 1)).clamp(min=0)
    total = weight.sum(1)
    mean = torch.where(total >= 1, (weight @ variance) / total.clamp(min=1), overall)
    return tuple(mean.clamp(min=0).sqrt().tolist())
