"""The search for pulses that move a device: models differ by twenty decades of time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.random import Stream

#: V, the likeliest operating voltages first.
VOLTAGES: Final = (1.0, 1.5, 2.0, 3.0, 0.5, 5.0, 0.2, 8.0, 0.1)
#: Changes of conductance below this share of the window are rounding.
ROUNDING: Final = 1e-6
#: A voltage is good enough if it takes the device this far into what any voltage can reach.
NEARLY: Final = 0.9
_CROSSED: Final = 0.99  #: share of its way after which a device counts as having arrived
_ARRIVED: Final = 0.98  #: the same for the mean of a few noisy devices
_COPIES: Final = 32  #: cells to average over, for devices that switch at random
_BISECTIONS: Final = 24


def durations(per_decade: int) -> tuple[float, ...]:
    """Durations from 1 fs to 100 ks in s, so many for each decade, ascending."""
    return tuple(10.0 ** (n / per_decade) for n in range(-15 * per_decade, 5 * per_decade + 1))


DURATIONS: Final = durations(3)  #: s


@dataclass(frozen=True)
class Pulse:
    """A constant voltage for some time.

    Args:
        voltage: in V, with its sign.
        width: in s.
    """

    voltage: float
    width: float


def scan(
    device: Memristor, state: Tensor, voltage: Tensor, widths: Sequence[float], ctx: Context
) -> Tensor:
    """Conductance after single pulses of different widths, each from the same state.

    Args:
        device: every parameter a number.
        state: [k, *cells].
        voltage: [*cells] in V.
        widths: in s.
        ctx: handed to every step.

    Returns:
        [len(widths), *cells] in S.
    """
    with torch.no_grad():
        ends = [device.step(state, voltage, width, ctx) for width in widths]
        return torch.stack([device.conductance(end) for end in ends])


@dataclass(frozen=True)
class Probe:
    """A nominal device under pulses of one direction.

    What is random is averaged over a few copies, with draws that are always the same.

    Args:
        device: every parameter a number, as `device.nominal()` returns it.
        up: True for SET, which raises the conductance, False for RESET.

    Examples:
        >>> from memcore.writing import Probe
        >>> probe = Probe(memcore.devices["ideal"](), up=True)
        >>> round(probe.reach(1.0), 2)  # 1 V leads across the whole window
        1.0
        >>> f"{probe.crossing(1.0):.1e} s"
        '9.9e-07 s'
    """

    device: Memristor
    up: bool

    @property
    def sign(self) -> int:
        """Sign of the voltage that moves the device in this direction."""
        return self.device.polarity if self.up else -self.device.polarity

    @cached_property
    def window(self) -> tuple[float, float]:
        """The conductances that pulses lead away from and lead to, in S."""
        low, high = self.device.nominal_range()
        return (low, high) if self.up else (high, low)

    @property
    def span(self) -> float:
        """Width of the window in S, positive."""
        start, end = self.window
        return abs(end - start)

    def states(self, conductance: Tensor) -> Tensor:
        """States [k, n, copies] of cells with given conductances [n] in S."""
        return self.device.state_of(each(conductance))

    def fresh(self) -> Tensor:
        """State [k, 1, copies] of fresh cells."""
        return self.device.initial_state((1, _COPIES), _context()).double()

    def moved(self, state: Tensor, voltage: Tensor | float, width: float) -> Tensor:
        """Mean conductance [n] in S of copies after one pulse of `width` s.

        Args:
            state: [k, n, copies].
            voltage: [n, copies] in V, or one number for all.
            width: in s.
        """
        if isinstance(voltage, float):
            voltage = torch.full(state.shape[1:], voltage, dtype=torch.float64, device="cpu")
        return scan(self.device, state, voltage, (width,), _context())[0].mean(-1)

    def from_far_end(self, voltage: float, width: float) -> float:
        """Conductance in S after one pulse to a cell at the far end of the window."""
        v = torch.tensor([voltage], dtype=torch.float64, device="cpu")
        return float(self.moved(self._far(v), each(v), width))

    def progress(self, voltages: Tensor) -> Tensor:
        """Share of the window that is crossed, [durations, voltages], by pulses of `DURATIONS`."""
        known = tuple(voltages.tolist())
        if known not in self._known:
            self._known[known] = self._scan(voltages)
        return self._known[known]

    def reach(self, voltage: float) -> float:
        """Share of the window that pulses of any duration cross."""
        return float(
            self.progress(torch.tensor([voltage], dtype=torch.float64, device="cpu")).max()
        )

    def crossing(self, voltage: float) -> float:
        """Time in s that takes the device nearly as far across its window as `voltage` can."""
        scanned = next((k for k in self._known if voltage in k), (voltage,))
        progress = self.progress(torch.tensor(scanned, dtype=torch.float64, device="cpu"))
        progress = progress[:, scanned.index(voltage)]
        wanted = _CROSSED * float(progress.max())
        index = int((progress >= wanted).nonzero()[0])
        low = DURATIONS[index - 1] if index else DURATIONS[0] / 2.2
        start, end = self.window

        def short(width: float) -> bool:
            return (self.from_far_end(voltage, width) - start) / (end - start) < wanted

        return _bisect(short, low, DURATIONS[index])

    def crosses(self, pulse: Pulse) -> bool:
        """Whether a pulse leads as far across the window as any pulse of its voltage."""
        start, end = self.window
        progress = (self.from_far_end(pulse.voltage, pulse.width) - start) / (end - start)
        return progress >= _ARRIVED * self.reach(pulse.voltage)

    def goes_on(self, voltage: float) -> bool:
        """Whether a second, longest pulse leads further: some devices move once for each call."""
        v = torch.tensor([voltage], dtype=torch.float64, device="cpu")
        state, ctx = self._far(v), Context(random=Stream(0))
        for n in range(2):
            before = self.device.conductance(state).mean()
            with torch.no_grad():
                state = self.device.step(state, each(v), DURATIONS[-1], ctx.child(n))
        moved = self.device.conductance(state).mean() - before
        return abs(float(moved)) > ROUNDING * self.span

    def gentle(self, voltage: float, allowed: Callable[[Tensor], Tensor]) -> float:
        """Width in s of the longest pulse that moves no cell further than it may.

        Args:
            voltage: in V, with its sign.
            allowed: from conductances [n] in S to the largest change of each in S.
        """
        low, high = sorted(self.window)
        even = torch.linspace(0, 1, 33, dtype=torch.float64, device="cpu")
        g = torch.cat([low + (high - low) * even, low * (high / low) ** even])
        states = self.states(g)
        start, limit = self.device.conductance(states).mean(-1), allowed(g)

        def gentle(width: float) -> bool:
            return bool(((self.moved(states, voltage, width) - start).abs() <= limit).all())

        return _bisect(gentle, DURATIONS[0], DURATIONS[-1])

    def disturbed(self, voltage: float, share: float) -> float:
        """Change in S under a part of the voltage while the whole of it crosses the window.

        Args:
            voltage: in V, with its sign.
            share: of the voltage.
        """
        scanned = next((k for k in self._known if voltage in k), (voltage,))
        progress = self.progress(torch.tensor(scanned, dtype=torch.float64, device="cpu"))
        progress = progress[:, scanned.index(voltage)]
        width = DURATIONS[int((progress >= _CROSSED * progress.max()).nonzero()[0])]
        states = self.states(torch.linspace(*self.window, 9, dtype=torch.float64, device="cpu"))
        start = self.device.conductance(states).mean(-1)
        moved = float((self.moved(states, share * voltage, width) - start).abs().max())
        return moved if moved > ROUNDING * self.span else 0.0

    @cached_property
    def _known(self) -> dict[tuple[float, ...], Tensor]:
        return {}

    def _scan(self, voltages: Tensor) -> Tensor:
        start, end = self.window
        after = scan(self.device, self._far(voltages), each(voltages), DURATIONS, _context())
        return (after.mean(-1) - start) / (end - start)

    def _far(self, voltages: Tensor) -> Tensor:
        return self.states(torch.full_like(voltages, self.window[0]))


def each(values: Tensor) -> Tensor:
    """The same values [n] for all copies of a probe, [n, copies]."""
    return values.unsqueeze(-1).expand(-1, _COPIES)


def _context() -> Context:
    return Context(random=Stream(0).child("probe"))


def _bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    """The time between two where `below` turns false, on a logarithmic scale."""
    a, b = math.log(low), math.log(high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if below(math.exp(middle)) else (a, middle)
    return math.exp(a)
