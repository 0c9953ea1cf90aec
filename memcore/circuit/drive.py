"""Drives: the voltages at the ends of the lines of a crossbar."""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from memcore import _check
from memcore._keywords import hinted
from memcore._text import shown
from memcore.contracts.units import MOST_CELLS
from memcore.errors import ArgumentTypeError, ConfigError

Scheme = Literal["V/2", "V/3", "floating", "grounded"]

#: Parts of the voltage on unselected word lines and unselected bit lines.
_PARTS: dict[Scheme, tuple[float, float]] = {
    "V/2": (1 / 2, 1 / 2),
    "V/3": (1 / 3, 2 / 3),
    "floating": (0.0, 0.0),
    "grounded": (0.0, 0.0),
}
_SPELLED: dict[str, Scheme] = {scheme.lower(): scheme for scheme in _PARTS}


def scheme_named(name: str) -> Scheme:
    """A scheme as memcore spells it, "V/2" for "v/2"; upper and lower case mean the same.

    Raises:
        ConfigError: there is no such scheme.
    """
    scheme = _SPELLED.get(name.lower()) if isinstance(name, str) else None
    if scheme is None:
        known = ", ".join(map(repr, _PARTS))
        raise ConfigError(f"scheme={shown(name)}; expected one of {known}")
    return scheme


@dataclass(frozen=True, kw_only=True, eq=False)
class Drive:
    """The voltages at the ends of the lines, and the ends that are open.

    A line that is driven (sensed) at both ends has the same voltage, or is open, at both.

    Attributes:
        word_line: voltages of the drivers in V, [..., rows].
        bit_line: voltages at the far side of the sense resistances in V, [..., cols]; None is 0 V
            (virtual ground).
        floating_word_lines: word lines with open ends, bool [..., rows]; None for none.
        floating_bit_lines: bit lines with open ends, bool [..., cols]; None for none.
    """

    word_line: Tensor
    bit_line: Tensor | None = None
    floating_word_lines: Tensor | None = None
    floating_bit_lines: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("word_line", "bit_line"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0
            ):
                raise ArgumentTypeError(
                    f"Drive: {name} is {_came(value)}; expected a tensor of V in floating point, "
                    "one per line: use torch.as_tensor"
                )
        for name in ("floating_word_lines", "floating_bit_lines"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, Tensor) and value.dtype == torch.bool and value.dim() > 0
            ):
                raise ArgumentTypeError(
                    f"Drive: {name} is {_came(value)}; expected a bool tensor, one per line: use "
                    "torch.as_tensor"
                )

    @classmethod
    def read(cls, v: Tensor) -> Self:
        """Word lines at `v` [..., rows] V, bit lines at virtual ground."""
        return cls(word_line=v)

    @classmethod
    @hinted
    def select(
        cls,
        rows: int,
        cols: int,
        row: int | Tensor,
        col: int | Tensor,
        voltage: float | Tensor,
        scheme: Scheme = "V/2",
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Self:
        """Put `voltage` across one cell of `rows` x `cols` and less across the others.

        The word line of the cell is at `voltage`, its bit line at 0 V. The others: "V/2" at half
        the voltage; "V/3" word lines at a third, bit lines at two thirds; "floating" open;
        "grounded" at 0 V.

        Args:
            rows: number of word lines.
            cols: number of bit lines.
            row: row of the selected cell; tensors [...] for a batch of selections.
            col: column of the selected cell.
            voltage: voltage across the selected cell in V.
            scheme: connection of the unselected lines.
            dtype: dtype of the voltages.
            device: torch device of the voltages.

        Raises:
            ConfigError: the scheme is not known, or there is no such cell.
        """
        _check.torch_device("device", device)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ArgumentTypeError(f"dtype={shown(dtype)}; expected torch.float64 or float32")
        rows = _check.integer("rows", rows, at_least=1, at_most=MOST_CELLS)
        word = _chosen("row", row, rows, device)
        cols = _check.integer("cols", cols, at_least=1, at_most=MOST_CELLS)
        bit = _chosen("col", col, cols, device)
        whole = torch.as_tensor(_volts(voltage), dtype=dtype, device=device)[..., None]
        return cls.against(word, bit, whole, scheme)

    @classmethod
    @hinted
    def against(cls, word: Tensor, bit: Tensor, voltage: Tensor, scheme: Scheme = "V/2") -> Self:
        """Put `voltage` across the cells where selected word lines and bit lines cross.

        Args:
            word: selected word lines, bool [..., rows]. Where there are none, nothing is driven:
                all lines are at 0 V.
            bit: selected bit lines, bool [..., cols].
            voltage: voltage across the selected cells in V, [..., 1].
            scheme: connection of the unselected lines, as for `select`.

        Raises:
            ConfigError: the scheme is not known.
        """
        scheme = scheme_named(scheme)
        rests = ~word.any(-1, keepdim=True)
        whole = torch.where(rests, 0, voltage)
        of_word, of_bit = _PARTS[scheme]
        floats = scheme == "floating"
        return cls(
            word_line=torch.where(word, whole, of_word * whole),
            bit_line=torch.where(bit, 0 * whole, of_bit * whole),
            floating_word_lines=~(word | rests) if floats else None,
            floating_bit_lines=~(bit | rests) if floats else None,
        )


def _volts(voltage: float | Tensor) -> float | Tensor:
    """A voltage or a tensor of them, checked."""
    if isinstance(voltage, Tensor):
        return _check.tensor("voltage", voltage, "[...]", "V", any_real=True)
    return _check.number("voltage", voltage, unit="V")


def _chosen(
    name: str, index: int | Tensor, count: int, device: torch.device | str | None
) -> Tensor:
    fits = _check.is_integer(index) or (isinstance(index, Tensor) and _is_index(index))
    lines = torch.as_tensor(index if fits else -1, device=device)
    if not bool(((lines >= 0) & (lines < count)).all()):
        raise ConfigError(f"Drive: {name}={shown(index)}; expected an index from 0 to {count - 1}")
    return lines[..., None] == torch.arange(count, device=device)


def _is_index(value: Tensor) -> bool:
    return _check.is_plain(value) and not (value.is_floating_point() or value.dtype is torch.bool)


def _came(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {list(value.shape)}"
    return f"a {type(value).__name__}"
