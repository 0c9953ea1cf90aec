"""Threshold selectors with a memory: the drive is raised in steps, and they switch on the way."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memcore import _check as checks
from memcore.circuit.drive import Drive
from memcore.circuit.inputs import ends, require_drive, shape_of
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.per_cell import PerCell
from memcore.circuit.series import ThresholdSelector
from memcore.circuit.solution import Solution
from memcore.circuit.solver import solve
from memcore.contracts.wires import Wires
from memcore.errors import ConfigError, ConvergenceError

_OHMIC = Ohmic()
#: Selectors that are as overdriven as the first but for rounding: the first by number switches.
_TIE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Ramped(Solution):
    """A solution at the end of a ramp; `iterations` are those of all its solutions.

    Attributes:
        on: the selectors that conduct, bool [..., rows, cols].
        events: number of switchings on the way, int64 [...].
    """

    on: Tensor
    events: Tensor

    def __getitem__(self, index: Any) -> "Ramped":
        """Some of the vectors and arrays, by the leading dimensions."""
        key = index if isinstance(index, tuple) else (index,)
        some = super().__getitem__(index)
        assert isinstance(some, Ramped)
        on = self.on[(*key, slice(None), slice(None))]
        return dataclasses.replace(some, on=on, events=self.events[key])


def ramp(
    g: Tensor,
    wires: Wires,
    drive: Drive,
    *,
    series: ThresholdSelector,
    law: CellLaw = _OHMIC,
    start: Drive | None = None,
    on: Tensor | None = None,
    steps: int = 20,
    events: int | None = None,
    tolerance: float | None = None,
    iterations: int = 100,
) -> Ramped:
    """Find where threshold selectors come to rest when the drive goes from `start` to `drive`.

    A selector is off, I = U / R_off, until ``|U|`` exceeds V_th. Then it is on, and conducts
    (U - V_hold) / R_on more in the direction in which it has switched, until that is nothing:
    where U has fallen to V_hold it is off again.

    All voltages go from start to end together, in equal steps. They are slow, and selectors switch
    in no time: after each switching the circuit settles before the next one. Of several that exceed
    V_th in a step the one with the largest ``|U| / V_th`` goes first: it has been the first to
    reach V_th if voltages rise in proportion; with more steps this depends less and less on the
    proportion. Lines float as those of `drive` do from the beginning on.

    Args:
        g: conductances of the memristors [..., rows, cols] S, float32 or float64.
        wires: resistances.
        drive: the end of the ramp.
        series: the selectors; `smoothing` has no part in it, transitions are jumps.
        law: current-voltage law of the memristors.
        start: the beginning of the ramp; None for 0 V on all lines.
        on: selectors that conduct at `start`, bool, broadcast to [..., rows, cols], also with
            leading dimensions of its own; None for none. Those that cannot hold there are off.
        steps: number of steps of the drive.
        events: largest number of switchings that a vector may take on the way; None for four of
            each cell.
        tolerance: tolerance of each solution, see `solve`.
        iterations: largest number of iterations of Newton's method for each solution.

    Raises:
        ConvergenceError: a circuit cannot be solved, or its selectors find no rest.
        ConfigError: something does not fit.
    """
    _check_course(series, start, on, steps, events)
    _check(g, wires, drive, law, series, start, on)
    limit = 4 * g.shape[-2:].numel() if events is None else events
    settled = partial(solve, g, wires, law=law, tolerance=tolerance, iterations=iterations)
    walk = _Walk(g, settled, series, limit)
    if on is not None:
        walk.begin(_faded(drive, start, 0.0), on)
    for step in range(steps + 1):
        walk.settle(_faded(drive, start, step / steps))
    return walk.result()


def _check_course(
    series: object, start: Drive | None, on: Tensor | None, steps: int, events: int | None
) -> None:
    """Refuse selectors, steps and beginnings that make no ramp."""
    checks.integer("steps", steps, at_least=1)
    if events is not None:
        checks.integer("events", events, at_least=0)
    if on is not None and start is None:
        raise ConfigError(
            "on= without start=; expected start= too, since at 0 V no selector conducts"
        )
    if not isinstance(series, ThresholdSelector):
        raise ConfigError(f"series={series!r}; expected a ThresholdSelector, or use solve")


def _check(
    g: Tensor,
    wires: Wires,
    drive: Drive,
    law: CellLaw,
    series: ThresholdSelector,
    start: Drive | None,
    on: Tensor | None,
) -> None:
    """Refuse, under the names used here, what `solve` would refuse under its own."""
    shapes: dict[str, tuple[int, ...]] = {}
    shape_of(g, wires, drive, law, series)
    if start is not None:
        require_drive("start", start, g)
        shapes |= ends("start", start)
    if on is not None:
        if not isinstance(on, Tensor) or on.dtype != torch.bool or on.device != g.device:
            came = f"{on.dtype} on {on.device}" if isinstance(on, Tensor) else repr(on)
            raise ConfigError(f"on is {came}; expected a bool for each cell, on {g.device}")
        shapes["on"] = tuple(on.shape)
    shape_of(g, wires, drive, law, series, shapes)


def _faded(drive: Drive, start: Drive | None, part: float) -> Drive:
    """The drive after `part` of the way from `start` to `drive`."""

    def between(first: Tensor | None, last: Tensor | None) -> Tensor:
        zero = torch.zeros_like(drive.word_line[..., :1])
        return (1 - part) * (zero if first is None else first) + part * (
            zero if last is None else last
        )

    word, bit = drive.word_line, drive.bit_line
    before = (None, None) if start is None else (start.word_line, start.bit_line)
    ends = None if bit is None and before[1] is None else between(before[1], bit)
    return dataclasses.replace(drive, word_line=between(before[0], word), bit_line=ends)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Branches(PerCell):
    """Selectors of which each stays on its branch.

    Up to V_hold, and against its way, the current of one that is on is that of one that is off:
    whether it counts as on there makes no difference, and the law never falls.

    Attributes:
        selector: the selector, whose parameters count.
        way: direction of conduction, [..., rows, cols]: 0 where a selector is off, otherwise the
            sign of U as it switched on; bool if the sign is that of U.
    """

    selector: ThresholdSelector
    way: Tensor

    def current(self, u: Tensor) -> Tensor:
        way = self._way(u)
        over = (way * u - self.selector.v_hold).clamp(min=0)
        return u / self.selector.r_off + way * over / self.selector.r_on

    def slope(self, u: Tensor) -> Tensor:
        way = self._way(u)
        over = (way * u > self.selector.v_hold) & (way != 0)
        return 1 / self.selector.r_off + over.to(u.dtype) / self.selector.r_on

    def _way(self, u: Tensor) -> Tensor:
        return torch.where(self.way, u.sign(), 0) if self.way.dtype == torch.bool else self.way


class _Walk:
    """The selectors on their way along the ramp."""

    def __init__(
        self, g: Tensor, settled: Callable[..., Solution], selector: ThresholdSelector, limit: int
    ) -> None:
        self.g, self.settled, self.selector, self.limit = g, settled, selector, limit
        self.way = torch.zeros_like(g)
        self.events = torch.zeros((), dtype=torch.int64, device=g.device)
        self.iterations = 0
        self.latest: Solution | None = None

    def begin(self, drive: Drive, on: Tensor) -> None:
        """Those that are on conduct in the direction of their voltage."""
        u = self._solve(drive, on)
        self.way = torch.where(on, u.sign(), 0)

    def settle(self, drive: Drive) -> None:
        """Let selectors switch, one after the other, until all are consistent."""
        while True:
            u = self._solve(drive, self.way)
            dropped = (self.way != 0) & (self.way * u <= self.selector.v_hold)
            self.way = torch.where(dropped, 0, self.way)
            first = _first(torch.where(self.way == 0, u.abs() / self.selector.v_th, 0))
            self.way = torch.where(first, u.sign(), self.way)
            self.events = self.events + dropped.sum((-2, -1)) + first.sum((-2, -1))
            if not bool(first.any()):
                return
            self._require_rest()

    def result(self) -> Ramped:
        fields: dict[str, Any] = {
            field.name: getattr(self.latest, field.name) for field in dataclasses.fields(Solution)
        }
        fields["iterations"] = self.iterations
        return Ramped(**fields, on=(self.way != 0).clone(), events=self.events)

    def _solve(self, drive: Drive, way: Tensor) -> Tensor:
        """The voltages across the selectors, in V."""
        series = _Branches(selector=self.selector, way=way)
        latest = self.latest = self.settled(drive, series=series, start=self.latest)
        self.iterations += latest.iterations
        return latest.cell_voltage - latest.device_voltage

    def _require_rest(self) -> None:
        restless = self.events > self.limit
        if bool(restless.any()):
            raise ConvergenceError(
                f"selectors of {int(restless.sum())} of {restless.numel()} vectors still switch "
                f"after {self.limit} times: there may be no state at rest, an oscillation; allow "
                "more with events=, or take smaller steps"
            )


def _first(ratio: Tensor) -> Tensor:
    """The largest of each vector that is above 1, bool [..., rows, cols]."""
    flat = ratio.flatten(-2)
    largest = flat.amax(-1, keepdim=True)
    index = (flat >= (1 - _TIE) * largest).to(torch.int8).argmax(-1, keepdim=True)
    chosen = torch.zeros_like(flat, dtype=torch.bool).scatter(-1, index, largest > 1)
    return chosen.view(ratio.shape)
