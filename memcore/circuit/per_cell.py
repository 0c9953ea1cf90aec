"""Checks of the parameters that describe a circuit."""

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from memcore.errors import ConfigError

#: V, beyond which another unit is meant: 200 mV is 0.2.
MOST_VOLTS: Final = 1e3


class PerCell:
    """Marks a law or an element whose parameters may be tensors that broadcast to the cells."""


def require(
    owner: Any, names: str, holds: Callable[[Any], Any] | None = None, expected: str = "a number"
) -> None:
    """Refuse named fields that are no finite numbers, or tensors of them, for which `holds`."""
    for name in names.split():
        value = getattr(owner, name)
        if not _finite(value) or (
            holds is not None and not bool(torch.as_tensor(holds(value)).all())
        ):
            raise ConfigError(f"{type(owner).__name__}: {name}={value!r}; expected {expected}")


def volts(value: Any) -> Any:
    """Whether voltages are such as chips have: at most 1000 V, else millivolts are meant."""
    return abs(value) <= MOST_VOLTS


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and bool(value.isfinite().all())
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
