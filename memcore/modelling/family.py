"""Measured current-voltage curves of several states, and the currents of cells between them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memcore.contracts.product import Product
from memcore.errors import ConfigError
from memcore.modelling.curves import Curves, Rows, single

_SLACK: Final = 1e-4  #: rounding of single precision at the last voltage


class Family(NamedTuple):
    """Currents of states of ascending conductance, at ascending voltages, 0 V among them.

    Args:
        voltage: V, one row of `Curves`.
        current: A, [states, voltages].
        level: S, current over voltage at the read voltage, one row of `Curves`.
        window: S, the lowest and the highest level, as numbers.
    """

    voltage: Curves
    current: Tensor
    level: Curves
    window: tuple[float, float]

    @classmethod
    def of(cls, voltage: Sequence[float], current: Rows, read_voltage: float) -> "Family":
        """The family of curves that rise.

        Args:
            voltage: V, ascending, 0 among them.
            current: A, a row for each state, by ascending conductance.
            read_voltage: V, at which the current tells the conductance.

        Raises:
            ConfigError: the curves do not rise through 0 A at 0 V, or the conductances are not
                positive and ascending.
        """
        _require_rising(voltage, current, read_voltage)
        amperes = torch.tensor(current, dtype=torch.float64, device="cpu")
        levels = chords(voltage, amperes, read_voltage)
        require_levels(levels, read_voltage)
        window = float(levels[0]), float(levels[-1])
        return cls(single(voltage), amperes, single(levels.tolist()), window)

    def at(self, g: Tensor, voltage: Tensor) -> Tensor:
        """The current of cells of g S, on straight lines between what was measured.

        Beyond the last voltage I/V is kept; beyond the last state it is in proportion to g.
        """
        volts, levels = self.voltage.to(voltage), self.level.to(g)
        inside = voltage.clamp(volts.values[0, 0], volts.values[0, -1])
        known = g.clamp(levels.values[0, 0], levels.values[0, -1])
        v, s = volts.place(0, inside), levels.place(0, known)
        states, width = self.current.shape
        i = v.detach().floor().clamp(0, width - 2).long()
        j = s.detach().floor().clamp(0, states - 2).long()
        flat = self.current.to(voltage.device, voltage.dtype).flatten()
        corner = j * width + i
        near = torch.lerp(flat[corner], flat[corner + 1], v - i)
        far = torch.lerp(flat[corner + width], flat[corner + width + 1], v - i)
        at_rest = inside == 0
        beyond = torch.where(at_rest, 1, voltage / torch.where(at_rest, 1, inside))
        return torch.lerp(near, far, s - j) * beyond * (g / known)


class FamilyProduct(Product):
    """The currents of arrays: a matrix product for each measured state, weighted by its share.

    An effect of `Stage.MVM` binds it.

    Args:
        family: measured curves of the cells.
    """

    voltage: Tensor
    current: Tensor
    level: Tensor

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.register_buffer("voltage", family.voltage.values[0])
        self.register_buffer("current", family.current)
        self.register_buffer("level", family.level.values[0])

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        self._require_measured(v)
        place = Curves(self.voltage[None]).to(v).place(0, v)
        left = place.detach().floor().clamp(0, len(self.voltage) - 2).long()
        table, share = self.current.to(v), place - left
        lines = []
        for row, weight in zip(table, self._shares(g), strict=True):
            drive = torch.lerp(row[left], row[left + 1], share)
            cells = weight.expand(len(v), *g.shape[1:])
            lines.append(torch.einsum("nar,narc->nac", drive, cells))
        return torch.stack(lines).sum(0)

    def _shares(self, g: Tensor) -> list[Tensor]:
        """The share of each state in a cell; straight lines that add up."""
        level = self.level.to(g)
        known = g.clamp(level[0], level[-1])
        place = Curves(level[None]).place(0, known)
        return [(1 - (place - k).abs()).clamp(min=0) * (g / known) for k in range(len(level))]

    def _require_measured(self, v: Tensor) -> None:
        if torch.compiler.is_compiling() or v.is_meta or not v.numel():
            return
        low, high = (float(end) for end in v.aminmax())
        first, last = float(self.voltage[0]), float(self.voltage[-1])
        if low < first * (1 + _SLACK) or high > last * (1 + _SLACK):
            raise ConfigError(
                f"voltages from {low:.4g} to {high:.4g} V; currents were measured from "
                f"{first:.4g} to {last:.4g} V: lower the read voltage, or measure further"
            )


def _between(volts: Curves, amperes: Tensor, voltage: Tensor) -> Tensor:
    """The current of each state at one voltage, [states]."""
    place = volts.place(0, voltage)
    left = int(place.clamp(0, amperes.shape[1] - 2))
    return torch.lerp(amperes[:, left], amperes[:, left + 1], place - left)


def chords(voltage: Sequence[float], current: Tensor, read_voltage: float) -> Tensor:
    """Conductance in S of each state [states]: current over voltage at the read voltage."""
    at = torch.tensor(read_voltage, dtype=torch.float64, device="cpu")
    return _between(single(voltage), current, at) / read_voltage


def require_levels(levels: Tensor, read_voltage: float) -> None:
    """Refuse states that are fewer than two, insulating, not ascending or equal.

    Raises:
        ConfigError: with their conductances.
    """
    if len(levels) < 2 or not bool((levels[0] > 0) & (levels.diff() > 0).all()):
        raise ConfigError(
            f"the curves have {', '.join(f'{g:.4g}' for g in levels.tolist())} S at "
            f"{read_voltage:g} V; expected two or more different conductances > 0, ascending: a "
            "curve for each state"
        )


def _require_rising(volts: Sequence[float], rows: Rows, read_voltage: float) -> None:
    rising = all(a < b for a, b in pairwise(volts)) and 0.0 in volts
    fits = rising and all(
        len(row) == len(volts)
        and row[volts.index(0.0)] == 0
        and all(a <= b for a, b in pairwise(row))
        for row in rows
    )
    if not (fits and volts[0] < 0 < volts[-1] and volts[0] <= read_voltage <= volts[-1]):
        raise ConfigError(
            f"{len(rows)} rows of iv_current at {len(volts)} voltages, read_voltage="
            f"{read_voltage!r}; expected voltages of both signs and 0 that ascend, with currents "
            "that never fall and are 0 at 0 V: take a device's from_iv, which makes them so"
        )
