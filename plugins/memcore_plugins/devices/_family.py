"""Measured current-voltage curves of several states: lookups, and what makes them of data."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from memcore import ConfigError, fitting
from memcore_plugins.devices._measured import pooled
from memcore_plugins.devices._tables import Curves, Rows, single

_FAR: Final = 0.05  #: rms distance of a curve from a rising one, over its largest current
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
        """A family of curves that rise."""
        amperes = torch.tensor(current, dtype=torch.float64)
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


class Product(nn.Module):
    """The currents of arrays: a matrix product for each measured state, weighted by its share.

    Args:
        family: of the cells.
    """

    voltage: Tensor
    current: Tensor
    level: Tensor

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.register_buffer("voltage", family.voltage.values[0])
        self.register_buffer("current", family.current)
        self.register_buffer("level", family.level.values[0])

    def forward(self, v: Tensor, g: Tensor) -> Tensor:
        """A, [reads, arrays, cols]."""
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
        """Of each state in a cell; straight lines that add up."""
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
                f"Tabular: voltages from {low:.4g} to {high:.4g} V; currents were measured from "
                f"{first:.4g} to {last:.4g} V: lower the read voltage, or measure further"
            )


def _between(volts: Curves, amperes: Tensor, voltage: Tensor) -> Tensor:
    """The current of each state at one voltage, [states]."""
    place = volts.place(0, voltage)
    left = int(place.clamp(0, amperes.shape[1] - 2))
    return torch.lerp(amperes[:, left], amperes[:, left + 1], place - left)


# -- from data -------------------------------------------------------------------------------------


def _apart(volts: Tensor) -> Tensor:
    """Without those that are the same in single precision; the ends and 0 V are kept."""
    near = 1e-6 * float(volts[-1] - volts[0])
    kept = [float(volts[0])]
    for v in volts[1:].tolist():
        if v - kept[-1] > near:
            kept.append(v)
        elif v == 0 or (v == float(volts[-1]) and kept[-1] != 0):
            kept[-1] = v
    return torch.tensor(kept, dtype=volts.dtype)


def family_of(
    curves: Sequence[fitting.IVCurve], read_voltage: float
) -> tuple[tuple[float, ...], Rows, float, bool]:
    """Voltages, currents, their distance from rising ones, and whether a side is a mirror image.

    The voltages are those of all curves within the range that all of them cover; a curve that was
    not measured at one of them has the straight line there.

    Raises:
        ConfigError: the curves do not fit.
    """
    rows = [_sorted(curve) for curve in curves]
    mirrored = all(float(v.min()) >= 0 for v, _ in rows) or all(
        float(v.max()) <= 0 for v, _ in rows
    )
    if mirrored:
        rows = [(torch.cat([-v.flip(0), v]), torch.cat([-i.flip(0), i])) for v, i in rows]
        rows = [_sorted(fitting.IVCurve(voltage=v, current=i)) for v, i in rows]
    low, high = max(float(v[0]) for v, _ in rows), min(float(v[-1]) for v, _ in rows)
    if not low < 0 < high:
        raise ConfigError(
            f"the curves have the voltages from {low:.4g} to {high:.4g} V in common; expected both "
            "signs in all curves, or one and the same sign in all"
        )
    if not low <= read_voltage <= high or read_voltage == 0:
        raise ConfigError(
            f"read_voltage={read_voltage!r}; expected one that all curves have, from {low:.4g} to "
            f"{high:.4g} V but 0"
        )
    volts = torch.unique(torch.cat([*(v for v, _ in rows), torch.zeros(1).double()]))
    volts = _apart(volts[(volts >= low) & (volts <= high)])
    names = [curve.label or f"curve {k}" for k, curve in enumerate(curves)]
    risen = [
        _rising(volts, _resampled(v, i, volts), name)
        for name, (v, i) in zip(names, rows, strict=True)
    ]
    grid = tuple(volts.tolist())
    table = torch.stack([i for i, _ in risen])
    levels = chords(grid, table, read_voltage)
    order = levels.argsort()
    require_levels(levels[order], read_voltage)
    rows_of = tuple(tuple(row) for row in table[order].tolist())
    return grid, rows_of, max(far for _, far in risen), mirrored


def _sorted(curve: fitting.IVCurve) -> tuple[Tensor, Tensor]:
    """Ascending voltages, each once, with the mean of the currents measured there."""
    volts, which = curve.voltage.unique(return_inverse=True)
    total = torch.zeros_like(volts).index_add_(0, which, curve.current)
    return volts, total / which.bincount()


def conductance_of(curve: fitting.IVCurve, read_voltage: float) -> Tensor:
    """S of a curve at the read voltage, or at its negative if only the mirror image has it."""
    v, i = _sorted(curve)
    at = v.new_tensor(
        [read_voltage if float(v[0]) <= read_voltage <= float(v[-1]) else -read_voltage]
    )
    return _resampled(v, i, at)[0] / at[0]


def _resampled(v: Tensor, i: Tensor, at: Tensor) -> Tensor:
    right = torch.searchsorted(v, at).clamp(1, len(v) - 1)
    share = (at - v[right - 1]) / (v[right] - v[right - 1])
    return torch.lerp(i[right - 1], i[right], share)


def _rising(volts: Tensor, current: Tensor, name: str) -> tuple[Tensor, float]:
    """The nearest rising curve through 0 A at 0 V, and the distance over the largest current."""
    risen = _isotonic(current)
    found = torch.where(volts < 0, risen.clamp(max=0), risen.clamp(min=0)).where(volts != 0, 0.0)
    far = float((found - current).square().mean().sqrt() / current.abs().max().clamp(min=1e-300))
    if far > _FAR:
        raise ConfigError(
            f"{name} is {100 * far:.2g} % of its largest current away from one that rises "
            "through 0 A at 0 V; expected reads of one state, which the voltage does not move: cut "
            "the sweep before it switches, or subtract the offset of the instrument"
        )
    return found, far


def _isotonic(row: Tensor) -> Tensor:
    values, sizes = pooled(row)
    return values.repeat_interleave(sizes.long())


def chords(voltage: Sequence[float], current: Tensor, read_voltage: float) -> Tensor:
    """S of each state [states], current over voltage at the read voltage."""
    at = torch.tensor(read_voltage, dtype=torch.float64)
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
