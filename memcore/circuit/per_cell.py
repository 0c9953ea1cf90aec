"""Checks of the parameters that describe a circuit."""

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

from torch import Tensor

from memcore import _check
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore.contracts.units import MOST_VOLTS
from memcore.errors import ConfigError


class PerCell:
    """Marks a law or an element whose parameters may be tensors that broadcast to the cells."""


def require(owner: Any, names: str, holds: Callable[[Any], Any], expected: str) -> None:
    """Refuse named fields that are no finite numbers, or tensors of them, for which `holds`."""
    for name in names.split():
        value = getattr(owner, name)
        if not (_finite(value) and bool(as_tensor(holds(value)).all())):
            raise ConfigError(f"{type(owner).__name__}: {name}={shown(value)}; expected {expected}")


def require_one(owner: Any, names: str, holds: Callable[[Any], Any], expected: str) -> None:
    """Refuse named fields that are no finite numbers, the same for all cells, for which `holds`."""
    for name in names.split():
        value = getattr(owner, name)
        if isinstance(value, Tensor):
            raise ConfigError(
                f"{type(owner).__name__}: {name} is a tensor; expected one number for all cells"
            )
    require(owner, names, holds, expected)


def volts(value: Any) -> Any:
    """Whether voltages are such as chips have: at most 1000 V, else millivolts are meant."""
    return abs(value) <= MOST_VOLTS


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        fits = _check.is_plain(value) and value.is_floating_point()
        return fits and bool(value.isfinite().all())
    whole = isinstance(value, Integral)  # torch has none of more than 64 bits
    return _check.is_integer(value) if whole else _check.is_number(value) and math.isfinite(value)
