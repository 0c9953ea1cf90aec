"""Marks that an instrument leaves in a record: a plateau of currents at its limit."""

from typing import Final

import torch
from torch import Tensor

from memcore.fitting.measurements import Data, IVData

_WITHIN: Final = 1e-3  #: share of the largest current within which currents are the same
_SHARE: Final = 0.03  #: of all samples, from which those at the largest current are a plateau
_FEWEST: Final = 5
_MOVED: Final = 0.02  #: share of the largest voltage by which it moves on a plateau


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
