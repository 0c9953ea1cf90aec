"""Which pulses move a device, found on the nominal one: models differ by twenty decades of time."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import torch
from torch import Tensor

from memcore import ConfigError, Context, MemcoreWarning, Memristor, Stream

#: V, the likeliest operating voltages first.
VOLTAGES: Final = (1.0, 1.5, 2.0, 3.0, 0.5, 5.0, 0.2, 8.0, 0.1)
#: s, three per decade.
DURATIONS: Final = tuple(10.0 ** (n / 3) for n in range(-45, 16))
#: A voltage will do if it takes the device this far into what any voltage can reach.
_NEARLY: Final = 0.9
_CROSSED: Final = 0.99  #: share of its way after which a device counts as having arrived
_ARRIVED: Final = 0.98  #: the same for the mean of a few noisy devices
MOVES: Final = 1e-6  #: of the window; less is rounding
COPIES: Final = 32  #: cells to average over, for devices that switch at random
_BISECTIONS: Final = 24


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
        return self.device.state_of(conductance.unsqueeze(-1).expand(-1, COPIES))

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
        if not float(reach.max()) > MOVES:
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
            return (float(self.moved(far, each(v), width)) - start) / (end - start) < wanted

        return _bisect(short, low, DURATIONS[index])

    def crosses(self, voltage: float, width: float) -> bool:
        """Whether a pulse takes the device from one end to where any pulse of `voltage` can."""
        v, (start, end) = torch.tensor([voltage], dtype=torch.float64), self.window
        progress = (float(self.moved(self._far(v), each(v), width)) - start) / (end - start)
        return progress >= _ARRIVED * self.reach(voltage)

    def reach(self, voltage: float) -> float:
        """How far across its window a pulse of any duration takes the device, as a share."""
        return float(self._progress(torch.tensor([voltage], dtype=torch.float64)).max())

    def warn_of_reach(self, voltage: float) -> None:
        """Warn if no pulse leads across the window that targets are planned in."""
        reach = remembered(Probe.reach, self, voltage)
        if reach < _NEARLY and not self._goes_on(voltage):
            direction, kind = "SET" if self.up else "RESET", type(self.device).__name__
            warnings.warn(
                f"pulses of {voltage:g} V {direction} {kind} only {100 * reach:.2g} % of the way "
                f"across its window, however long they are (up to {DURATIONS[-1]:.0e} s): targets "
                "beyond are missed; give another voltage, or parameters whose window pulses cross",
                MemcoreWarning,
                stacklevel=4,
            )

    def _goes_on(self, voltage: float) -> bool:
        """Whether a second longest pulse leads further: some devices move once for each call."""
        v, ctx = torch.tensor([voltage], dtype=torch.float64), Context(random=Stream(0))
        state = self._far(v)
        for n in range(2):
            before = self.device.conductance(state).mean()
            with torch.no_grad():
                state = self.device.step(state, each(v), DURATIONS[-1], ctx.child(n))
        moved = self.device.conductance(state).mean() - before
        return abs(float(moved)) > MOVES * abs(self.window[1] - self.window[0])

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
        after = [self.moved(far, each(voltage), width) for width in DURATIONS]
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
        return moved if moved > MOVES * abs(self.window[1] - self.window[0]) else 0.0


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


def each(voltage: Tensor) -> Tensor:
    """The same voltage for all copies."""
    return voltage.unsqueeze(-1).expand(-1, COPIES)


def _bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    """Where `below` turns false between two times, on a logarithmic scale."""
    a, b = math.log(low), math.log(high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if below(math.exp(middle)) else (a, middle)
    return math.exp(a)
