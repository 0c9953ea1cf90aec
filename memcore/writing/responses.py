"""What trains of identical pulses do to the nominal device, simulated once and inverted."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.probe import Probe, Pulse, each
from memcore.random import Stream
from memcore.writing.options import WantedPulse
from memcore.writing.pulsing import find_voltage, remembered, warn_of_reach, warn_of_rest

#: What a controller calculates with: float64, on the host.
Numbers = npt.NDArray[np.float64]

_FINE: Final = 0.01  #: largest step between two points of a response, as a share of the window
_FINER: Final = 0.05  #: the same, as a share of the conductance
_POINTS: Final = 4000  #: most points of a response


@dataclass(frozen=True)
class Response:
    """What identical pulses from the far end of the window do to the nominal device.

    Args:
        pulse: each of the train.
        counts: numbers of pulses, ascending from 0, [n].
        conductance: in S after so many pulses, monotone, [n].
        up: whether the conductance rises.

    Examples:
        >>> import numpy as np
        >>> from memcore.writing import Pulse, Response
        >>> counts, g = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1e-6, 3e-6, 4e-6, 4.5e-6])
        >>> rise = Response(Pulse(1.0, 1e-6), counts, g, up=True)
        >>> goal = np.array([3.9e-6])
        >>> rise.needed(g[:1], rise.position(goal), goal)
        array([2.])
    """

    pulse: Pulse
    counts: Numbers
    conductance: Numbers
    up: bool

    def position(self, g: Numbers) -> Numbers:
        """Number of pulses from the far end that gives `g` in S, fractional."""
        position: Numbers = np.interp(self.sign * g, self._rising, self._upto)
        return position

    def needed(self, start: Numbers, position: Numbers, goal: Numbers) -> Numbers:
        """Number of pulses that leads nearest to the goal.

        Args:
            start: conductances in S.
            position: of the goals, from `position`.
            goal: conductances in S.
        """
        begin = self.position(start)
        low = np.floor(position - begin).clip(0)
        below, above = (np.interp(begin + n, self.counts, self.conductance) for n in (low, low + 1))
        nearest: Numbers = low + (abs(above - goal) < abs(below - goal))
        return nearest

    def after(self, start: Numbers, count: Numbers) -> Numbers:
        """Conductances in S to which so many pulses lead from `start` in S."""
        ends = np.interp(self.position(start) + count, self.counts, self.conductance)
        after: Numbers = np.where(count > 0, ends, start)
        return after

    @property
    def sign(self) -> int:
        """1 if the conductance rises, -1 if it falls."""
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
        probe: the nominal device and the direction.
        pulse: each of the train.
        most: number of pulses of the longest train.
        start: state [k, 1, copies] at the beginning, `probe.fresh()` for instance.

    Examples:
        >>> from memcore.writing import Probe, Pulse, response
        >>> probe = Probe(memcore.devices["ideal"](), up=True)
        >>> rise = response(probe, Pulse(1.0, 1e-8), 50, probe.fresh())
        >>> int(rise.counts[-1])
        50
    """
    device, ctx, state = probe.device, Context(random=Stream(0).child("probe")), start
    v = each(torch.tensor([pulse.voltage], dtype=torch.float64, device="cpu"))
    counts, curve, together = [0], [float(device.conductance(state).mean())], 1
    while counts[-1] < most and len(curve) < _POINTS:
        together = min(together, most - counts[-1])
        width = together * pulse.width
        with torch.no_grad():
            after = device.step(state, v, width, ctx.child(len(curve)))
        g = float(device.conductance(after).mean())
        fine, moved = min(_FINE * probe.span, _FINER * curve[-1]), abs(g - curve[-1])
        if moved > fine and together > 1:
            together //= 2
            continue
        state = after
        counts.append(counts[-1] + together)
        curve.append(g)
        together *= 2 if moved < fine / 4 else 1
    points = np.array(curve)
    monotone = np.maximum.accumulate(points) if probe.up else np.minimum.accumulate(points)
    return Response(pulse, np.array(counts, float), monotone, probe.up)


@dataclass(frozen=True, kw_only=True)
class Trains:
    """Trains of identical pulses that take the nominal device across its window.

    Args:
        set: what is asked of the SET pulses, `options.wanted(up=True)` of `PulseOptions`.
        reset: the same for RESET.
        most: number of pulses of the longest train.
        share: of the voltage that neighbours see.
        step: how far a pulse of a width that is searched may move a cell, as a share of the window;
            0 divides the crossing of the window into `most` pulses instead.
        fresh: whether trains begin with fresh cells, or at the end that they lead away from.

    Examples:
        >>> from memcore.writing import Trains
        >>> rise, fall = Trains(most=100).responses(memcore.devices["ideal"]())
        >>> rise.pulse.voltage, fall.pulse.voltage
        (1.0, -1.0)
    """

    set: WantedPulse = field(default_factory=WantedPulse)
    reset: WantedPulse = field(default_factory=WantedPulse)
    most: int
    share: float = 0.0
    step: float = 0.0
    fresh: bool = False

    def responses(self, nominal: Memristor) -> tuple[Response, Response]:
        """The responses of a nominal device to SET and to RESET pulses.

        Raises:
            ConfigError: the device does not move.

        Warns:
            MemcoreWarning: pulses do not cross the window.
            NoEffectWarning: the longest train is too short to move the device.
        """
        rise: Response = remembered(_response, self, nominal, True)
        fall: Response = remembered(_response, self, nominal, False)
        for train in (rise, fall):
            probe = Probe(nominal, train.up)
            warn_of_reach(probe, train.pulse.voltage)
            warn_of_rest(probe, train.pulse, self.most)
        return rise, fall


def _response(how: Trains, nominal: Memristor, up: bool) -> Response:
    probe, wanted = Probe(nominal, up), how.set if up else how.reset
    voltage, width = wanted.voltage, wanted.width
    own = nominal.set_pulse if up else nominal.reset_pulse
    if own is not None and voltage is None:
        voltage = abs(own[0])
    v = find_voltage(probe, voltage, how.share)
    if own is not None and width is None and probe.crosses(Pulse(v, how.most * own[1])):
        width = own[1]
    if width is None and how.step:
        limit = how.step * probe.span
        width = probe.gentle(v, lambda g: torch.full_like(g, limit))
    pulse = Pulse(v, width or probe.crossing(v) / how.most)
    far = torch.tensor([probe.window[0]], dtype=torch.float64, device="cpu")
    return response(probe, pulse, how.most, probe.fresh() if how.fresh else probe.states(far))


def as_numbers(x: Tensor) -> Numbers:
    """A tensor as the controller calculates with it, which sees few numbers at a time."""
    numbers: Numbers = x.detach().cpu().double().numpy()
    return numbers
