"""From measured current-voltage curves to a family of rising ones."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.curves.runs import pooled
from memcore.fitting.device_records import IVCurve
from memcore.modelling.curves import Rows
from memcore.modelling.family import chords, require_levels

_FAR: Final = 0.05  #: rms distance of a curve from a rising one, over its largest current


def _apart(volts: Tensor) -> Tensor:
    """Voltages that differ in single precision; the ends and 0 V are kept."""
    near = 1e-6 * float(volts[-1] - volts[0])
    kept = [float(volts[0])]
    for v in volts[1:].tolist():
        if v - kept[-1] > near:
            kept.append(v)
        elif v == 0 or (v == float(volts[-1]) and kept[-1] != 0):
            kept[-1] = v
    return torch.tensor(kept, dtype=volts.dtype, device="cpu")


class IVFamily(NamedTuple):
    """Rising current-voltage curves of several states.

    Args:
        voltage: V, ascending, 0 among them.
        current: A, a row for each state, by ascending conductance; none falls.
        departure: rms distance of the worst curve from a rising one, over its largest current.
        mirrored: whether one side is the mirror image of the other, which alone was measured.
    """

    voltage: tuple[float, ...]
    current: Rows
    departure: float
    mirrored: bool

    @classmethod
    def of(cls, voltage: Tensor, current: Tensor, read_voltage: float) -> "IVFamily":
        """The family in two tables; see `family_of`.

        Args:
            voltage: V, [samples], or [states, samples] if they differ.
            current: A, [states, samples].
            read_voltage: V, at which the current tells the conductance.

        Raises:
            ConfigError: the tables do not fit.
        """
        if current.dim() != 2 or voltage.dim() not in (1, 2):
            raise ConfigError(
                f"voltage has shape {tuple(voltage.shape)} and current {tuple(current.shape)}; "
                "expected [samples] and [states, samples]"
            )
        volts = voltage.expand_as(current) if voltage.dim() == 1 else voltage
        pairs = zip(volts, current, strict=True)
        return family_of([IVCurve(voltage=v, current=i) for v, i in pairs], read_voltage)


def family_of(curves: Sequence[IVCurve], read_voltage: float) -> IVFamily:
    """Rising curves at common voltages.

    The voltages are those of all curves within the range that all of them cover; a curve that was
    not measured at one of them has the straight line there.

    Args:
        curves: of two states or more.
        read_voltage: V, at which the current tells the conductance.

    Raises:
        ConfigError: the curves do not fit.
    """
    rows = [_sorted(curve) for curve in curves]
    mirrored = all(float(v.min()) >= 0 for v, _ in rows) or all(
        float(v.max()) <= 0 for v, _ in rows
    )
    if mirrored:
        rows = [(torch.cat([-v.flip(0), v]), torch.cat([-i.flip(0), i])) for v, i in rows]
        rows = [_sorted(IVCurve(voltage=v, current=i)) for v, i in rows]
    volts = _common(rows, read_voltage)
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
    rising = tuple(tuple(row) for row in table[order].tolist())
    return IVFamily(grid, rising, max(far for _, far in risen), mirrored)


def _common(rows: Sequence[tuple[Tensor, Tensor]], read_voltage: float) -> Tensor:
    """The voltages of all curves, within the range that all of them cover."""
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
    volts = torch.unique(torch.cat([*(v for v, _ in rows), torch.zeros(1, device="cpu").double()]))
    return _apart(volts[(volts >= low) & (volts <= high)])


def _sorted(curve: IVCurve) -> tuple[Tensor, Tensor]:
    """Ascending voltages, each once, with the mean of the currents measured there."""
    volts, which = curve.voltage.unique(return_inverse=True)
    total = torch.zeros_like(volts).index_add_(0, which, curve.current)
    return volts, total / which.bincount()


def conductance_of(curve: IVCurve, read_voltage: float) -> Tensor:
    """Conductance in S at the read voltage, or at its negative if only that was measured."""
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
