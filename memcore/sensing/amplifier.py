"""Sense amplifiers: the references that a summed current is compared with."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from memcore import _check
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore.contracts.units import MOST_CELLS
from memcore.errors import ConfigError

#: The rule for the references, or a function from the number of open lines to their currents in A.
References = Literal["midpoint"] | Callable[[int], Tensor | Sequence[float]]


def midpoints(low: float, high: float, lines: int) -> Tensor:
    """References half-way between the nominal currents of neighbouring sums, float64 [lines] A.

    Args:
        low: current of a nominal 0 in A.
        high: current of a nominal 1 in A.
        lines: number of open word lines.

    Raises:
        ConfigError: an argument is no such number.
    """
    low, high = _check.number("low", low, unit="A"), _check.number("high", high, unit="A")
    lines = _check.integer("lines", lines, at_least=1, at_most=MOST_CELLS)
    value = torch.arange(lines + 1, dtype=torch.float64, device="cpu")
    nominal = value * high + (lines - value) * low
    return (nominal[1:] + nominal[:-1]) / 2


def references_of(rule: References, low: float, high: float, lines: int) -> Tensor:
    """The references for a number of open lines, ascending, float64 [lines] A.

    Raises:
        ConfigError: there is no such rule, or a function returns something else.
    """
    if isinstance(rule, str) and rule == "midpoint":
        return midpoints(low, high, lines)
    if not callable(rule):
        raise ConfigError(
            f"references={shown(rule)}; expected 'midpoint', or a function from the number of open "
            "lines to as many ascending currents in A"
        )
    found = as_tensor(rule(lines), dtype=torch.float64).flatten()
    fits = found.numel() == lines and bool(found.isfinite().all())
    if not fits or bool((found.diff() < 0).any()):
        raise ConfigError(
            f"references gave {shown(found.tolist())} for {lines} open lines; expected {lines} "
            "finite, ascending currents in A"
        )
    return found


def require_rows(rows: int) -> int:
    """The number of word lines that are open at once, at most.

    Raises:
        ConfigError: it is no integer from 1 to 1024.
    """
    rows = _check.integer("rows", rows, at_least=1)
    if rows > 1024:
        raise ConfigError(f"rows={rows}; expected at most 1024 word lines that are open at once")
    return rows
