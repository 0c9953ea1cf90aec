"""Resistances of the wires of a crossbar."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.errors import ArgumentTypeError, ConfigError

#: Ohm of a segment that is broken.
OPEN: Final = 1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class Wires:
    """Resistances of the word lines, the bit lines and what they end in; all in ohm, 0 is exact.

    Each cell owns the word-line segment on its driver side and the bit-line segment on its sense
    side. The resistance of a driver is in series with the segment before the first cell, that of a
    sense node (a virtual ground) with the segment after the last cell.

    A number holds for all segments (lines); a tensor is broadcast, so that a segment, a line or an
    array can have its own, and may require gradients, which `effective_conductance` computes and a
    `Crossbar` does not.

    An infinite resistance is a line that is broken there. It counts as `OPEN`, 1e9 ohm: what leaks
    through is a hundred-thousandth of the current of a cell of 10 kilo-ohm, and all solvers keep
    their accuracy.

    Attributes:
        word_line: resistance of one word-line segment; [..., rows, cols], from left to right, or
            [..., rows, cols + 1] where both ends are driven.
        bit_line: resistance of one bit-line segment; [..., rows, cols], from top to bottom, or
            [..., rows + 1, cols] where both ends are sensed.
        driver: resistance of the source of a word line; [..., rows].
        sense: resistance of the sense node in which a bit line ends; [..., cols].
        first: whether there is a segment between a driver and the cell next to it.
        last: whether there is a segment between a sense node and the cell next to it.
        drive: ends of the word lines that are driven. With "both", there are two drivers of the
            same voltage, each with its resistance.
        sense_at: ends of the bit lines that are sensed. With "both", the current of a bit line is
            the sum of the two.

    Raises:
        ArgumentTypeError: if a resistance is neither a number nor a floating-point tensor, or if
            `first` or `last` is no bool.
        ConfigError: if a resistance is negative or NaN, or an end has another name.
    """

    word_line: float | Tensor = 0.0
    bit_line: float | Tensor = 0.0
    driver: float | Tensor = 0.0
    sense: float | Tensor = 0.0
    first: bool = True
    last: bool = True
    drive: Literal["left", "right", "both"] = "left"
    sense_at: Literal["bottom", "top", "both"] = "bottom"

    def __post_init__(self) -> None:
        for name in ("word_line", "bit_line", "driver", "sense"):
            value = getattr(self, name)
            _require(name, value)
            object.__setattr__(self, name, _closed(value))
        for name in ("first", "last"):
            if not isinstance(getattr(self, name), bool):
                raise ArgumentTypeError(
                    f"{name} is {getattr(self, name)!r}; expected True or False"
                )
        for name, ends in (
            ("drive", ("left", "right", "both")),
            ("sense_at", ("bottom", "top", "both")),
        ):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in ends:
                wanted = ", ".join(map(repr, ends))
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {wanted}")

    def like(self, other: Tensor) -> Self:
        """The same resistances, tensors in the dtype and on the device of `other`."""
        changes: dict[str, Any] = {
            name: value.to(other)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
            and (value.dtype != other.dtype or value.device != other.device)
        }
        return dataclasses.replace(self, **changes) if changes else self


def _require(name: str, value: object) -> None:
    if isinstance(value, Tensor):
        if not (value.is_meta or _check.is_plain(value)):
            _check.tensor(name, value, "that broadcasts to the segments", "ohm")
        if not value.is_floating_point():
            raise ArgumentTypeError(
                f"{name} is a {value.dtype} tensor; expected ohm in floating point"
            )
        ohm = value.detach()
        if ohm.is_meta or bool((ohm >= 0).all()):
            return
        raise ConfigError(f"{name} has negative entries or NaN; expected ohm, at least 0")
    if isinstance(value, bool) or not isinstance(value, int | float):
        several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        came = f"a {type(value).__name__}" if several else shown(value)
        remedy = ": use torch.as_tensor" if several else ""
        raise ArgumentTypeError(f"{name} is {came}; expected ohm as a number or a tensor{remedy}")
    if not value >= 0:
        raise ConfigError(f"{name} is {shown(value)} ohm; expected a number, at least 0")


def _closed(value: float | Tensor) -> float | Tensor:
    """A resistance with `OPEN` where it is infinite or beyond."""
    if not isinstance(value, Tensor):
        return OPEN if value > _check.LARGEST else float(value)
    if value.is_meta or not bool(value.isinf().any()):
        return value
    return value.masked_fill(value.isinf(), OPEN)
