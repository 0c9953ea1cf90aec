"""Trains of identical pulses, and what they do to the nominal device."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore import Context, Memristor, NoEffectWarning, Stream
from memcore_plugins.programmers._pulses import COPIES, MOVES, Probe, Pulse, each, remembered

Numbers = npt.NDArray[np.float64]

_FINE: Final = 0.01  #: between two points of a response, as a share of the window
_FINER: Final = 0.05  #: the same, as a share of the conductance
_POINTS: Final = 4000  #: of a response


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
    v = torch.full((1, COPIES), pulse.voltage, dtype=torch.float64)
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
            probe = Probe(nominal, train.up)
            probe.warn_of_reach(train.pulse.voltage)
            self._warn_of_rest(probe, train.pulse)
        return rise, fall

    def _warn_of_rest(self, probe: Probe, pulse: Pulse) -> None:
        """Warn if even the longest train is too short to move the device."""
        start, end = probe.window
        v, longest = torch.tensor([pulse.voltage], dtype=torch.float64), self.most * pulse.width
        after = probe.moved(probe.states(torch.full_like(v, start)), each(v), longest)
        if not abs(float(after) - start) > MOVES * abs(end - start):
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
    own = nominal.set_pulse if up else nominal.reset_pulse
    if own is not None and voltage is None:
        voltage = abs(own[0])
    v = probe.voltage(voltage, name, how.share)
    if own is not None and width is None and probe.crosses(v, how.most * own[1]):
        width = own[1]
    if width is None and how.step:
        limit = how.step * abs(probe.window[1] - probe.window[0])
        width = probe.gentle(v, lambda g: torch.full_like(g, limit))
    pulse = Pulse(v, width or probe.crossing(v) / how.most)
    if how.fresh:
        ctx = Context(random=Stream(0).child("probe"))
        start = nominal.initial_state((1, COPIES), ctx).double()
    else:
        start = probe.states(torch.tensor([probe.window[0]], dtype=torch.float64))
    return response(probe, pulse, how.most, start)


def as_numbers(x: Tensor) -> Numbers:
    """For the arithmetic of the controller, which sees few numbers at a time."""
    found: Numbers = x.detach().cpu().double().numpy()
    return found
