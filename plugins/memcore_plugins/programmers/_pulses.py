"""Which pulses move a device, found on the nominal one: models differ by twenty decades of time."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore import ConfigError, Context, Memristor, NoEffectWarning, Stream

Numbers = npt.NDArray[np.float64]

#: V, the likeliest operating voltages first.
VOLTAGES: Final = (1.0, 1.5, 2.0, 3.0, 0.5, 5.0, 0.2, 8.0, 0.1)
#: s, three per decade.
DURATIONS: Final = tuple(10.0 ** (n / 3) for n in range(-45, 16))
#: A voltage will do if it takes the device this far into what any voltage can reach.
_NEARLY: Final = 0.9
_CROSSED: Final = 0.99  #: share of its way after which a device counts as having arrived
_MOVES: Final = 1e-6  #: of the window; less is rounding
_COPIES: Final = 32  #: cells to average over, for devices that switch at random
_BISECTIONS: Final = 24
_FINE: Final = 0.01  #: between two points of a response, as a share of the window
_FINER: Final = 0.05  #: the same, as a share of the conductance
_POINTS: Final = 4000  #: of a response


@dataclass(frozen=True)
class Pulse:
    """A constant voltage for some time.

    Args:
        voltage: V, with its sign.
        width: s.
    """

    voltage: float
    width: float


@dataclass(frozen=True)
class Probe:
    """A nominal device under pulses of one direction.

    Args:
        device: every parameter a number.
        up: SET, or else RESET.
    """

    device: Memristor
    up: bool

    @property
    def sign(self) -> int:
        """Sign of the voltage."""
        return self.device.polarity if self.up else -self.device.polarity

    @cached_property
    def window(self) -> tuple[float, float]:
        """The conductance that pulses lead away from and the one that they lead to, S."""
        low, high = self.device.nominal_range()
        return (low, high) if self.up else (high, low)

    def moved(self, state: Tensor, voltage: Tensor, width: float) -> Tensor:
        """Conductance after a pulse, mean over the last dimension, S."""
        ctx = Context(random=Stream(0).child("probe"))
        with torch.no_grad():
            return self.device.conductance(self.device.step(state, voltage, width, ctx)).mean(-1)

    def states(self, conductance: Tensor) -> Tensor:
        """States [k, n, copies] with given conductances [n]."""
        return self.device.state_of(conductance.unsqueeze(-1).expand(-1, _COPIES))

    def voltage(self, given: float | None, name: str, share: float = 0.0) -> float:
        """A voltage that takes the device across its window, with its sign, V.

        Args:
            given: magnitude, to check instead of finding one.
            name: of the parameter, for the message.
            share: of the voltage that neighbours see; among those that will do, the voltage is
                chosen whose neighbours move least.

        Raises:
            ConfigError: the device does not move in this direction.
        """
        magnitudes = VOLTAGES if given is None else (given,)
        v = self.sign * torch.tensor(magnitudes, dtype=torch.float64)
        try:
            progress = self._progress(v)
        except NotImplementedError as error:  # known by its statistics only
            raise ConfigError(str(error)) from error
        reach = progress.amax(0)
        if not float(reach.max()) > _MOVES:
            direction, kind = "SET" if self.up else "RESET", type(self.device).__name__
            tried = ", ".join(f"{x:g}" for x in v.tolist())
            raise ConfigError(
                f"{kind} does not {direction} at {tried} V; expected a {name} in V at which its "
                "step() moves it, or a programmer that needs no pulses, such as 'direct'"
            )
        good = (reach >= _NEARLY * reach.max()).nonzero().flatten().tolist()
        if share and len(good) > 1:
            disturbed = [self._disturbed(float(v[i]), share, progress[:, i]) for i in good]
            good = [good[disturbed.index(min(disturbed))]]
        return float(v[good[0]])

    def crossing(self, voltage: float) -> float:
        """How long the device takes from one end to nearly where `voltage` can take it, s."""
        v = torch.tensor([voltage], dtype=torch.float64)
        scanned = next((k for k in self._known if voltage in k), (voltage,))
        progress = self._progress(torch.tensor(scanned, dtype=torch.float64))
        progress = progress[:, scanned.index(voltage)]
        wanted = _CROSSED * float(progress.max())
        index = int((progress >= wanted).nonzero()[0])
        low = DURATIONS[index - 1] if index else DURATIONS[0] / 2.2
        far, (start, end) = self._far(v), self.window

        def short(width: float) -> bool:
            return (float(self.moved(far, _each(v), width)) - start) / (end - start) < wanted

        return _bisect(short, low, DURATIONS[index])

    def gentle(self, voltage: float, allowed: Callable[[Tensor], Tensor]) -> float:
        """The longest pulse that moves no cell by more than `allowed(g)` siemens, in s."""
        low, high = sorted(self.window)
        even = torch.linspace(0, 1, 33, dtype=torch.float64)
        g = torch.cat([low + (high - low) * even, low * (high / low) ** even])
        states = self.states(g)
        v = torch.full(states.shape[1:], voltage, dtype=torch.float64)
        start, limit = self.device.conductance(states).mean(-1), allowed(g)

        def gentle(width: float) -> bool:
            return bool(((self.moved(states, v, width) - start).abs() <= limit).all())

        return _bisect(gentle, DURATIONS[0], DURATIONS[-1])

    def _progress(self, voltage: Tensor) -> Tensor:
        """How far across its window the device gets, [durations, voltages]."""
        known = tuple(voltage.tolist())
        if known not in self._known:
            self._known[known] = self._scan(voltage)
        return self._known[known]

    @cached_property
    def _known(self) -> dict[tuple[float, ...], Tensor]:
        return {}

    def _scan(self, voltage: Tensor) -> Tensor:
        far, (start, end) = self._far(voltage), self.window
        after = [self.moved(far, _each(voltage), width) for width in DURATIONS]
        return (torch.stack(after) - start) / (end - start)

    def _far(self, voltage: Tensor) -> Tensor:
        return self.states(torch.full_like(voltage, self.window[0]))

    def _disturbed(self, voltage: float, share: float, progress: Tensor) -> float:
        """How far the device moves under part of the voltage while the whole one crosses."""
        width = DURATIONS[int((progress >= _CROSSED * progress.max()).nonzero()[0])]
        g = torch.linspace(*self.window, 9, dtype=torch.float64)
        states = self.states(g)
        v = torch.full(states.shape[1:], share * voltage, dtype=torch.float64)
        start = self.device.conductance(states).mean(-1)
        moved = float((self.moved(states, v, width) - start).abs().max())
        return moved if moved > _MOVES * abs(self.window[1] - self.window[0]) else 0.0


@dataclass(frozen=True)
class Response:
    """What identical pulses from the far end of the window do to the nominal device.

    Args:
        pulse: each of them.
        counts: of pulses, ascending from 0, [n].
        conductance: S after so many pulses, monotone, [n].
        current: A at the voltage of the pulse, [n].
        up: whether the conductance rises.
    """

    pulse: Pulse
    counts: Numbers
    conductance: Numbers
    current: Numbers
    up: bool

    def position(self, g: Numbers) -> Numbers:
        """How many pulses from the far end give `g` in S, fractional; at most `last`."""
        found: Numbers = np.interp(self.sign * g, self._rising, self._upto)
        return found

    def needed(self, start: Numbers, position: Numbers, goal: Numbers) -> Numbers:
        """How many pulses lead from `start` nearest to `goal`, which lies at `position`."""
        begin = self.position(start)
        low = np.floor(position - begin).clip(0)
        below, above = (np.interp(begin + n, self.counts, self.conductance) for n in (low, low + 1))
        found: Numbers = low + (abs(above - goal) < abs(below - goal))
        return found

    def after(self, start: Numbers, count: Numbers) -> Numbers:
        """Where so many pulses lead from `start`, S."""
        ends = np.interp(self.position(start) + count, self.counts, self.conductance)
        found: Numbers = np.where(count > 0, ends, start)
        return found

    def evenness(self, start: Numbers, end: Numbers, count: float) -> Numbers:
        """The mean current of a train, relative to the mean of those at its beginning and end.

        Args:
            start: S of the cells before the train.
            end: S after it.
            count: of pulses; those after a cell has arrived find it at the end.
        """
        begin, reached = self.position(start), self.position(end)
        arrived = reached >= self.counts[self.last]
        till = np.where(arrived, begin + count, reached)
        passed = np.where(till > begin, till - begin, 1.0)
        mean = (self._charge(till) - self._charge(begin)) / passed
        first, last = (np.interp(n, self.counts, self.current) for n in (begin, till))
        known = (till > begin) & (first + last != 0)
        found: Numbers = np.where(known, 2 * mean / np.where(known, first + last, 1.0), 1.0)
        return found

    def _charge(self, count: Numbers) -> Numbers:
        """Of so many pulses from the far end, in A times pulses."""
        beyond = (count - self.counts[-1]).clip(0) * self.current[-1]
        found: Numbers = np.interp(count, self.counts, self._charges) + beyond
        return found

    @cached_property
    def _charges(self) -> Numbers:
        found = np.diff(self.counts) * 0.5 * (self.current[1:] + self.current[:-1])
        return np.concatenate([[0.0], found.cumsum()])

    @property
    def sign(self) -> int:
        """1 if it rises."""
        return 1 if self.up else -1

    @cached_property
    def last(self) -> int:
        """The index after which nothing changes any more."""
        return int((self.conductance != self.conductance[-1]).sum())

    @cached_property
    def _rising(self) -> Numbers:
        return self.sign * self.conductance[: self.last + 1]

    @cached_property
    def _upto(self) -> Numbers:
        return self.counts[: self.last + 1]


def response(probe: Probe, pulse: Pulse, most: int, start: Tensor) -> Response:
    """Simulate up to `most` pulses on the nominal device, many at once while it moves little.

    Args:
        probe: the device and the direction.
        pulse: each of them.
        most: how many.
        start: state [k, 1, copies] at the beginning.
    """
    device, ctx, state = probe.device, Context(random=Stream(0).child("probe")), start
    v = torch.full((1, _COPIES), pulse.voltage, dtype=torch.float64)
    window = abs(probe.window[1] - probe.window[0])
    counts, curve, together = [0], [float(device.conductance(state).mean())], 1
    current = [float(device.current(state, v).mean())]
    while counts[-1] < most and len(curve) < _POINTS:
        together = min(together, most - counts[-1])
        width = together * pulse.width
        with torch.no_grad():
            after = device.step(state, v, width, ctx.child(len(curve)))
        g = float(device.conductance(after).mean())
        fine, moved = min(_FINE * window, _FINER * curve[-1]), abs(g - curve[-1])
        if moved > fine and together > 1:
            together //= 2
            continue
        state = after
        counts.append(counts[-1] + together)
        curve.append(g)
        current.append(float(device.current(state, v).mean()))
        together *= 2 if moved < fine / 4 else 1
    found = np.array(curve)
    monotone = np.maximum.accumulate(found) if probe.up else np.minimum.accumulate(found)
    return Response(pulse, np.array(counts, float), monotone, np.array(current), probe.up)


@dataclass(frozen=True, kw_only=True)
class Trains:
    """What the pulses of both directions should be.

    Args:
        set_voltage: magnitude in V; None finds one.
        reset_voltage: the same for RESET.
        set_width: in s; None finds one.
        reset_width: the same for RESET.
        most: how many pulses a train may have.
        share: of the voltage that neighbours see.
        step: how far a pulse of found width may move a cell, as a share of the window; 0 divides
            the crossing of the window into `most` pulses instead.
        fresh: begin with fresh cells, or else at the end that the pulses lead away from.
    """

    set_voltage: float | None
    reset_voltage: float | None
    set_width: float | None
    reset_width: float | None
    most: int
    share: float = 0.0
    step: float = 0.0
    fresh: bool = False

    def responses(self, nominal: Memristor) -> tuple[Response, Response]:
        """The responses of a nominal device to SET and to RESET pulses."""
        rise: Response = remembered(_response, self, nominal, True)
        fall: Response = remembered(_response, self, nominal, False)
        for train in (rise, fall):
            self._warn_of_rest(Probe(nominal, train.up), train.pulse)
        return rise, fall

    def _warn_of_rest(self, probe: Probe, pulse: Pulse) -> None:
        """Warn if even the longest train is too short to move the device."""
        start, end = probe.window
        v, longest = torch.tensor([pulse.voltage], dtype=torch.float64), self.most * pulse.width
        after = probe.moved(probe.states(torch.full_like(v, start)), _each(v), longest)
        if not abs(float(after) - start) > _MOVES * abs(end - start):
            name, kind = "set_width" if probe.up else "reset_width", type(probe.device).__name__
            warnings.warn(
                f"{self.most} pulses of {pulse.width:g} s at {pulse.voltage:g} V do not move "
                f"{kind}: its cells stay as they are; give a longer {name} in s, or none to have "
                "one found",
                NoEffectWarning,
                stacklevel=4,
            )


def _response(how: Trains, nominal: Memristor, up: bool) -> Response:
    probe = Probe(nominal, up)
    voltage, width, name = (
        (how.set_voltage, how.set_width, "set_voltage")
        if up
        else (how.reset_voltage, how.reset_width, "reset_voltage")
    )
    v = probe.voltage(voltage, name, how.share)
    if width is None and how.step:
        limit = how.step * abs(probe.window[1] - probe.window[0])
        width = probe.gentle(v, lambda g: torch.full_like(g, limit))
    pulse = Pulse(v, width or probe.crossing(v) / how.most)
    if how.fresh:
        ctx = Context(random=Stream(0).child("probe"))
        start = nominal.initial_state((1, _COPIES), ctx).double()
    else:
        start = probe.states(torch.tensor([probe.window[0]], dtype=torch.float64))
    return response(probe, pulse, how.most, start)


def remembered(find: Callable[..., Any], *arguments: Any) -> Any:
    """What was found before for the same arguments: layers of a network share their device."""
    try:
        hash(arguments)
    except TypeError:  # a device with a list or a dictionary among its parameters
        return find(*arguments)
    return _remember(find, *arguments)


@lru_cache(maxsize=64)
def _remember(find: Callable[..., Any], *arguments: Any) -> Any:
    return find(*arguments)


def _each(voltage: Tensor) -> Tensor:
    return voltage.unsqueeze(-1).expand(-1, _COPIES)


def _bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    """Where `below` turns false between two times, on a logarithmic scale."""
    a, b = math.log(low), math.log(high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if below(math.exp(middle)) else (a, middle)
    return math.exp(a)


def as_numbers(x: Tensor) -> Numbers:
    """For the arithmetic of the controller, which sees few numbers at a time."""
    found: Numbers = x.detach().cpu().double().numpy()
    return found
