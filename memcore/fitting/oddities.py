"""What looks odd in a record before it is fitted: a limit, a wrong unit, exchanged directions."""

from typing import Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.fitting.measurements import Data, IVData, PulseData
from memcore.fitting.scaling import DataScale

_WITHIN: Final = 1e-3  #: share of the largest current within which currents are the same
_SHARE: Final = 0.03  #: of all samples, from which those at the largest current are a plateau
_FEWEST: Final = 5
#: Times beyond the resistances of the device, from which a unit may be wrong: where the user gave
#: its parameters, and where the defaults stand in for them.
_APART: Final = 5.0
_APART_FROM_DEFAULTS: Final = 30.0
_FELT: Final = 0.05  #: share of the largest current from which one under a negative voltage is seen
_MOVED: Final = 0.02  #: share of the largest voltage by which it moves on a plateau


def oddities(data: Data, device: Memristor, limit: float | None, *, given: bool) -> tuple[str, ...]:
    """Remarks on data that do not look like those of the device at the start of the search.

    Args:
        data: measured data.
        device: nominal device at the start.
        limit: current limit that was declared, in A.
        given: whether the user gave parameters of the device.
    """
    apart = _APART if given else _APART_FROM_DEFAULTS
    own = (*plateaus(data, limit), *_magnitudes(data))
    return (*own, *_sizes(data, device, apart), *_directions(data))


def _sizes(data: Data, device: Memristor, apart: float) -> tuple[str, ...]:
    """A remark on resistances far from those of the device."""
    ohms = DataScale.of(data).ohms
    try:
        low, high = (1 / g for g in reversed(device.nominal_range()))
    except Exception:  # a device of one's own may not know its range
        return ()
    if ohms is None or (ohms[0] < apart * high and ohms[1] > low / apart):
        return ()
    return (
        f"the data are of {ohms[0]:.2g} to {ohms[1]:.2g} ohm, but the search starts at one of "
        f"{low:.2g} to {high:.2g} ohm: right for another device, wrong where a unit is, such as uA "
        "for mA",
    )


def _magnitudes(data: Data) -> tuple[str, ...]:
    """A remark on currents that have no sign where the voltages have both."""
    if not isinstance(data, IVData):
        return ()
    current, below = data.current / data.current.abs().max(), data.voltage < 0
    if not bool(below.any()) or not bool((data.voltage > 0).any()):
        return ()
    if float(current.min()) < -_WITHIN or float(current[below].max()) < _FELT:
        return ()
    return (
        "no current is negative, though voltages of both signs are: magnitudes may have been "
        "saved, as for a logarithmic axis; give the currents with their signs",
    )


def _directions(data: Data) -> tuple[str, ...]:
    """A remark on conductances that fall under SET and rise under RESET."""
    if not isinstance(data, PulseData):
        return ()
    change, count = data.conductance.diff(), data.count[1:]
    up, down = change[count > 0], change[count < 0]
    if len(up) and len(down) and float(up.sum()) < 0 < float(down.sum()):
        return (
            "the conductance falls under SET pulses and rises under RESET pulses: the directions "
            "may be exchanged, or the sign of the amplitudes is that of another polarity",
        )
    return ()


def plateaus(data: Data, limit: float | None) -> tuple[str, ...]:
    """A remark on currents that an undeclared limit holds.

    Args:
        data: measured data.
        limit: limit that was declared, in A.
    """
    if not isinstance(data, IVData):
        return ()
    remarks = []
    for sign in (1, -1):
        at = plateau(data.voltage, sign * data.current)
        if at is None:
            continue
        level, count = at
        if limit is not None and level > (1 - 10 * _WITHIN) * limit:
            continue
        remarks.append(
            f"{count} of {len(data.current)} samples lie at the same current, {sign * level:.4g} "
            f"A, while the voltage moves: a plateau of a current limit (compliance), which the fit "
            f"takes for the device; declare it by limit={level:.4g}"
        )
    return tuple(remarks)


def plateau(voltage: Tensor, current: Tensor) -> tuple[float, int] | None:
    """The level and the number of samples at the largest current, None if they are no plateau."""
    level = float(current.max())
    if level <= 0:
        return None
    at = current >= level * (1 - _WITHIN)
    count = int(at.sum())
    runs = at[1:] & at[:-1]
    if count < max(_FEWEST, _SHARE * len(current)) or int(runs.sum()) < count // 2:
        return None
    moved = voltage[at].max() - voltage[at].min()
    if float(moved) < _MOVED * float(voltage.abs().max()):
        return None
    return float(torch.median(current[at])), count
