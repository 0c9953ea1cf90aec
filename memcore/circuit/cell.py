"""A cell as one element: its memristor, the element in series with it, and its own wires."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.series import SeriesElement

#: Halving alone needs 53 steps in float64, and at least every third step halves.
_STEPS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingPoint:
    """Operating points of cells: voltages across cell and memristor, currents, and slopes dI/dU."""

    voltage: Tensor
    device: Tensor
    current: Tensor
    slope: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """All cells of a circuit.

    Attributes:
        law: current-voltage law of the memristors.
        series: element in series with each memristor, None for none.
        g: conductances in S.
        own: resistance R, in ohm, of the wires that a cell's own current passes. With x = U + R I
            as the unknown of Newton's method, neither U nor I runs away, however steep the law.
    """

    law: CellLaw
    series: SeriesElement | None
    g: Tensor
    own: Tensor

    def at(self, x: Tensor, guess: Tensor) -> OperatingPoint:
        """The point with U + R I = `x`; `guess` is the voltage of the memristor nearby."""
        device = self._device(x, guess)
        current, slope = self._memristor(device)
        if self.series is None:
            return OperatingPoint(voltage=device, device=device, current=current, slope=slope)
        rest = x - device - self.own * current
        through, steep = self._element(rest)
        # The flatter of the two is less sensitive to the rounding of its voltage.
        current = torch.where(slope <= steep, current, through)
        both = slope + steep
        slope = slope * (steep / torch.where(both == 0, 1, both))
        return OperatingPoint(
            voltage=x - self.own * current, device=device, current=current, slope=slope
        )

    def _memristor(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Current and slope, in the dtype of the circuit whatever the law calculates in."""
        dtype = self.g.dtype
        return self.law.current(u, self.g).to(dtype), self.law.slope(u, self.g).to(dtype)

    def _element(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Current and slope of the element in series."""
        assert self.series is not None
        dtype = self.g.dtype
        return self.series.current(u).to(dtype), self.series.slope(u).to(dtype)

    def _device(self, x: Tensor, guess: Tensor) -> Tensor:
        if self.series is None and isinstance(self.law, Ohmic):
            return x / (1 + self.own * self.g)
        if self.series is None and not bool(self.own.any()):
            return x
        return root(self._excess(x), x, guess)

    def _excess(self, x: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """A function of the memristor's voltage that is 0 at the solution, and its slope > 0."""

        def memristor_only(device: Tensor) -> tuple[Tensor, Tensor]:
            current, slope = self._memristor(device)
            return device + self.own * current - x, 1 + self.own * slope

        def joint(device: Tensor) -> tuple[Tensor, Tensor]:
            current, slope = self._memristor(device)
            rest = x - device - self.own * current
            through, steep = self._element(rest)
            return current - through, slope + steep * (1 + self.own * slope)

        return memristor_only if self.series is None else joint


def root(excess: Callable[[Tensor], tuple[Tensor, Tensor]], end: Tensor, guess: Tensor) -> Tensor:
    """The zero of a rising function between 0 and `end`: Newton, halving where that is slow."""
    low, high = end.clamp(max=0), end.clamp(min=0)
    x = torch.minimum(torch.maximum(guess, low), high)
    fine = 4 * torch.finfo(x.dtype).eps * end.abs()
    before = step = high - low
    for _ in range(_STEPS):
        value, slope = excess(x)
        below = value < 0
        low, high = torch.where(below, x, low), torch.where(below, high, x)
        newton = x - value / slope
        trusted = (newton >= low) & (newton <= high) & ((newton - x).abs() <= before / 2)
        to = torch.where(trusted, newton, (low + high) / 2)
        to = torch.where(value == 0, x, to)
        before, step = step, (to - x).abs()
        x = to
        if bool((step <= fine).all()):
            break
    return x
