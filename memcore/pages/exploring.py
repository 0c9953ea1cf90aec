"""What a device does at the points of a grid of its parameters, for a page with sliders."""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args, get_type_hints

import torch
from torch import Tensor, nn

from memcore._tensor import as_tensor
from memcore._text import hint
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.crossbar.config import CrossbarConfig
from memcore.dynamics.simulate import simulate
from memcore.dynamics.sweep import liveliest_sweep
from memcore.errors import ConfigError, MemcoreError, MemcoreWarning
from memcore.nn.conversion import convert
from memcore.nn.walk import unique_matrices
from memcore.random import Stream

_FACTORS: Final = tuple(4.0 ** (k / 3) for k in range(-3, 4))
#: Sliders, since the grid has a point for each combination; where cells are written, that is slow.
_MOST: Final = 3
_MOST_WRITTEN: Final = 2
_STRIDE: Final = 4  #: of the sweep, of which every so many samples are drawn
_PULSES: Final = 30
_LEVELS: Final = 9
_CELLS: Final = 200  #: at each level of which the spread is told
_TINY: Final = 1e-30  #: S, which stands for no current


@dataclass(frozen=True)
class Slider:
    """A parameter that is varied.

    Attributes:
        name: its name.
        unit: its SI unit, empty for a pure number.
        doc: what it is.
        values: the values at which everything is computed, in order.
        base: index of the device's own value.
    """

    name: str
    unit: str
    doc: str
    values: tuple[float, ...]
    base: int


@dataclass(frozen=True, eq=False)
class Curves:
    """What the device does at some settings; rows of settings that are not allowed are NaN.

    Attributes:
        loop: log10 of current over voltage along the sweep, [settings, samples]; None without one.
        response: log10 of the conductance after each pulse, [settings, pulses]; None without.
        written: mean and standard deviation of written cells in S, [settings, 2, levels]; None
            where cells do not differ.
    """

    loop: Tensor | None
    response: Tensor | None
    written: Tensor | None


@dataclass(frozen=True, eq=False)
class Grid:
    """A device at the points of a grid.

    Attributes:
        device: the device, each distribution at its nominal value where curves are drawn.
        sliders: the parameters that are varied.
        voltage: voltages of the sweep in V, [samples]; empty without one.
        duration: time of the sweep in s.
        pulses: voltage in V and duration in s of a SET and of a RESET pulse; None without.
        curves: what it does at each point, the last slider varying fastest.
    """

    device: Memristor
    sliders: tuple[Slider, ...]
    voltage: Tensor
    duration: float
    pulses: tuple[tuple[float, float], tuple[float, float]] | None
    curves: Curves


def grid(device: Memristor, vary: Sequence[str] = ()) -> Grid:
    """Compute a device at the points of a grid.

    Args:
        device: a device.
        vary: names of up to three parameters, two where cells differ; by default those that change
            its curves most.

    Raises:
        ConfigError: a name is that of no parameter that can be varied, there are too many, or there
            is nothing to draw.
    """
    bench = _Bench(device)
    every = {each.name: each for each in _sliders(device, each_cell=bench.moves)}
    for name in vary:
        if name not in every:
            raise ConfigError(
                f"vary has {name!r}; expected parameters of the device that are numbers and may "
                f"differ from cell to cell{hint(name, list(every))}"
            )
    most = _MOST_WRITTEN if bench.spreads else _MOST
    if len(set(vary)) > most:
        why = ", since cells of this device differ" if bench.spreads else ""
        raise ConfigError(f"vary has {len(set(vary))} parameters; expected up to {most}{why}")
    chosen = [every[name] for name in dict.fromkeys(vary)] or _liveliest(bench, every)[:most]
    if not chosen:
        raise ConfigError(f"{type(device).__name__} has no parameter that a slider could vary")
    points = list(itertools.product(*(slider.values for slider in chosen)))
    curves = bench.at([slider.name for slider in chosen], points)
    return Grid(device, tuple(chosen), bench.drawn, bench.duration, bench.pulses, curves)


class _Bench:
    """The experiments that all settings go through: those that suit the device as it is."""

    def __init__(self, device: Memristor) -> None:
        self.device = device
        self.plan = device.nominal()
        self.voltage, self.dt, self.drawn = (
            torch.zeros(0, device="cpu"),
            0.0,
            torch.zeros(0, device="cpu"),
        )
        self.pulses: tuple[tuple[float, float], tuple[float, float]] | None = None
        if self.plan.set_pulse is not None and self.plan.reset_pulse is not None:
            self.pulses = self.plan.set_pulse, self.plan.reset_pulse  # only pulses move it
        else:
            self._sweep()
        self.moves = self.pulses is not None or bool(len(self.voltage))
        self.spreads = bool((self._written(device)[1] > 0).any())
        if not self.moves and not self.spreads:
            raise ConfigError(
                f"{type(device).__name__} has no dynamics and no spread; there is nothing to draw"
            )

    @property
    def duration(self) -> float:
        return self.dt * len(self.voltage)

    def at(self, names: Sequence[str], points: Sequence[Sequence[float]]) -> Curves:
        """The curves at settings of parameters."""
        settings = [dict(zip(names, point, strict=True)) for point in points]
        allowed = [k for k, each in enumerate(settings) if _allowed(self.device, each)]
        if not allowed:
            raise ConfigError(f"no setting of {', '.join(names)} is allowed; expected some")
        count = len(points)
        written = None
        if self.spreads:
            made = [dataclasses.replace(self.device, **settings[k]) for k in allowed]  # type: ignore[type-var]
            written = _spread_out(
                torch.stack([self._written(each) for each in made]), allowed, count
            )
        if not self.moves:
            return Curves(None, None, written)
        columns = {n: torch.tensor([settings[k][n] for k in allowed], device="cpu") for n in names}
        cells = dataclasses.replace(self.plan, **columns)  # type: ignore[type-var]
        loop = response = None
        if len(self.voltage):
            loop = _spread_out(self._loop(cells, len(allowed)), allowed, count)
        if self.pulses is not None:
            response = _spread_out(_response(cells, len(allowed), self.pulses), allowed, count)
        return Curves(loop, response, written)

    def _loop(self, cells: Memristor, count: int) -> Tensor:
        trace = simulate(cells, self.voltage, self.dt, shape=(count,), record=_STRIDE)
        half = trace.current.shape[0] - len(self.drawn)
        v, i = trace.voltage[half:, None].double(), trace.current[half:].double()
        chord = torch.where(v == 0, trace.conductance[half:].double(), i / v)
        return chord.clamp(min=_TINY).log10().T

    def _sweep(self) -> None:
        """Find the sweep, and pulses of its peak that take the device half way."""
        try:
            trace = liveliest_sweep(self.device)
        except ConfigError:  # no voltage moves it
            return
        self.voltage = trace.voltage
        self.dt = float(trace.time[1] - trace.time[0])
        self.drawn = self.voltage[len(self.voltage) // 2 :: _STRIDE]
        peak = float(self.voltage.abs().max()) * self.plan.polarity
        low, high = self.plan.nominal_range()
        middle = math.sqrt(low * high)
        up = _width(self.plan, low, peak, middle)
        down = _width(self.plan, high, -peak, middle)
        if up and down:
            self.pulses = (peak, up), (-peak, down)

    def _written(self, device: Memristor) -> Tensor:
        """Mean and standard deviation of cells that are written to levels of the window."""
        levels = torch.linspace(0, 1, _LEVELS, device="cpu")
        layer = nn.Linear(_LEVELS, _CELLS, bias=False)
        with torch.no_grad():
            layer.weight.copy_(levels.expand(_CELLS, _LEVELS))
        config = CrossbarConfig(device=device, tile=None, programmer="direct", training="off")
        with warnings.catch_warnings():  # that pulses are not asked for is what is wanted
            warnings.simplefilter("ignore", MemcoreWarning)
            chip = convert(layer, config, seed=0)
        (matrix,) = unique_matrices(chip)
        cells = matrix.crossbar.programmed[0].double()
        return torch.stack([cells.mean(1), cells.std(1)])


def _sliders(device: Memristor, *, each_cell: bool) -> Iterator[Slider]:
    """The parameters that are numbers other than 0.

    With `each_cell`, only those that may differ from cell to cell, since all settings are computed
    together.
    """
    hints = get_type_hints(type(device))
    for field in dataclasses.fields(device):  # type: ignore[arg-type]
        value = getattr(device, field.name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and value and math.isfinite(value)):
            continue
        if isinstance(value, int) or (each_cell and Tensor not in get_args(hints[field.name])):
            continue
        values = [value * f for f in (_FACTORS if value > 0 else _FACTORS[::-1])]
        values = [v for v in values if v == value or _allowed(device, {field.name: v})]
        if len(values) >= 3:
            unit = field.metadata.get("unit", "")
            doc = field.metadata.get("doc", "")
            at = values.index(value)
            yield Slider(field.name, "" if unit == "1" else unit, doc, tuple(values), at)


def _allowed(device: Memristor, setting: dict[str, float]) -> bool:
    try:
        dataclasses.replace(device, **setting).nominal_range()  # type: ignore[type-var]
    except (MemcoreError, ArithmeticError, ValueError):
        return False
    return True


def _liveliest(bench: _Bench, every: dict[str, Slider]) -> list[Slider]:
    """The sliders, those that change the curves most first."""
    change = {}
    for name, slider in every.items():
        ends = [(slider.values[0],), (slider.values[-1],)]
        curves = bench.at([name], ends)
        change[name] = sum(
            float((rows[0] - rows[1]).abs().nan_to_num(0).mean())
            for rows in (curves.loop, curves.response, _logs(curves.written))
            if rows is not None
        )
    return sorted(every.values(), key=lambda slider: -change[slider.name])


def _logs(written: Tensor | None) -> Tensor | None:
    return None if written is None else written.clamp(min=_TINY).log10()


def _width(plan: Memristor, start: float, voltage: float, middle: float) -> float:
    """The duration of the pulses of which a few take a cell nearest to the middle; 0 if none."""
    best = (math.inf, 0.0)
    for decade in range(-12, 1):
        width = 10.0**decade
        state = plan.state_of(torch.full((1,), start, dtype=torch.float64, device="cpu"))
        for n in range(_PULSES // 3):
            push = torch.full((1,), voltage, dtype=torch.float64, device="cpu")
            state = plan.step(state, push, width, _context(n))
        g = float(plan.conductance(state))
        if g > 0 and math.isfinite(g) and abs(g / start - 1) > 1e-3:
            best = min(best, (abs(math.log(g / middle)), width))
    return best[1]


def _context(n: int) -> Context:
    return Context(random=Stream(0).child("pulses", n))


def _response(
    cells: Memristor, count: int, pulses: tuple[tuple[float, float], tuple[float, float]]
) -> Tensor:
    """log10 of the conductance before and after SET pulses, then after RESET pulses."""
    quiet = dataclasses.replace(cells, c2c=0.0) if hasattr(cells, "c2c") else cells  # type: ignore[type-var]
    lowest = as_tensor(quiet.conductance_range()[0]).double().expand(count)
    state = quiet.state_of(lowest)
    rows = [quiet.conductance(state)]
    for n in range(2 * _PULSES):
        voltage, width = pulses[n // _PULSES]
        push = torch.full((count,), voltage, dtype=torch.float64, device="cpu")
        state = quiet.step(state, push, width, _context(n))
        rows.append(quiet.conductance(state))
    return torch.stack(rows, 1).clamp(min=_TINY).log10()


def _spread_out(rows: Tensor, allowed: Sequence[int], count: int) -> Tensor:
    """Rows at their points, NaN at those that are not allowed."""
    whole = torch.full((count, *rows.shape[1:]), math.nan, dtype=torch.float64, device="cpu")
    whole[torch.tensor(allowed, device="cpu")] = rows.double()
    return whole
