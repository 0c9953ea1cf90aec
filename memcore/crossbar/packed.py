"""Conductances of cells in fewer bits than single precision."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

from memcore.errors import ConfigError

#: How cells are kept: in the dtype of the weights, as half precision, or as codes of a table.
Kept = Literal["full", "float16", "codes"]

_CODES: Final = 256  #: entries that a table has at most
_SAMPLE: Final = 1 << 16  #: cells whose values are looked at first
_AT_ONCE: Final = 1 << 18  #: cells that are looked up together
_GRID: Final = 1 << 16  #: places of a grid on which codes are looked up, at most
_DIMS: Final = 3  #: of conductances: arrays, rows, cols
_LEAST: Final = 2.0**-14  #: share of the largest conductance from which half precision has 11 bits


#: From values to their places in a table, if they are there.
_Search = Callable[[Tensor], Tensor]


class Packed(NamedTuple):
    """Conductances and what they stand for.

    Args:
        values: uint8: codes [arrays, rows, cols], or the bytes of half precision, [..., 2], which
            no change of the dtype of a module reaches and which processes can send each other.
        table: S, the conductance of each code; or the unit of the halves, [1].
    """

    values: Tensor
    table: Tensor

    @classmethod
    def of_state(cls, values: Tensor, table: Tensor) -> "Packed":
        """What a state holds; before, half precision was kept as int16."""
        return cls(_bytes(values) if values.dtype == torch.int16 else values, table)

    @property
    def are_codes(self) -> bool:
        """Whether the values are codes of the table, rather than halves."""
        return self.values.dim() <= _DIMS

    @property
    def halves(self) -> Tensor:
        """Of values that are halves, the share that each has of the unit, [arrays, rows, cols]."""
        return self.values.view(torch.float16).squeeze(-1)

    def is_kept_like(self, values: Tensor) -> bool:
        """Whether others are of the same kind, both codes or both halves."""
        return values.dtype == self.values.dtype and values.dim() == self.values.dim()

    def unpacked(self) -> Tensor:
        """The conductances in S, in the dtype of the table."""
        if not self.are_codes:
            return self.halves.to(self.table.dtype).mul_(self.table)
        found = torch.empty_like(self.values, dtype=self.table.dtype)
        pieces = (torch.split(each.view(-1), _AT_ONCE) for each in (self.values, found))
        for codes, place in zip(*pieces, strict=True):
            torch.index_select(self.table, 0, codes.int(), out=place)
        return found


def packed(conductance: Tensor, kept: Kept, name: str, causes: str) -> Packed:
    """Conductances [arrays, rows, cols] S in fewer bits.

    Args:
        conductance: S, finite.
        kept: "codes", which loses nothing, or "float16", which rounds to 2^-11 of each.
        name: of the matrix, for messages.
        causes: names of what gave the conductances, for messages.

    Raises:
        ConfigError: there are too many different ones for codes, or they differ too much in size
            for half precision.
    """
    if kept == "float16":
        return _halves(conductance, name)
    flat = conductance.contiguous().view(-1)
    table = flat[:: max(1, flat.numel() // _SAMPLE)].unique()  # type: ignore[no-untyped-call]
    codes = _codes(flat, table)
    if codes is None:  # some values are rare
        table = flat.unique()  # type: ignore[no-untyped-call]
        codes = _codes(flat, table)
    if codes is None:
        raise ConfigError(
            f"cells='codes' holds {_CODES} different conductances, and those of {name} have more, "
            f"by {causes}; expected cells with few states, such as those of bit_slice or "
            "finite_states without a spread, or cells='float16'"
        )
    return Packed(codes.view(conductance.shape), table)


def _codes(flat: Tensor, table: Tensor) -> Tensor | None:
    """The places of values in a sorted table; None if it is too long, or has not all of them."""
    if len(table) > _CODES:
        return None
    codes = torch.empty_like(flat, dtype=torch.uint8)
    for find in (_on_a_grid(table), _by_halves(table)):
        if find is not None and _find(find, flat, table, codes):
            return codes
    return None


def _find(find: _Search, flat: Tensor, table: Tensor, codes: Tensor) -> bool:
    """Whether all values are found; then their places are in `codes`."""
    pieces = (torch.split(each, _AT_ONCE) for each in (flat, codes))
    for values, place in zip(*pieces, strict=True):
        found = find(values)
        if not torch.equal(table.index_select(0, found), values):
            return False
        place.copy_(found)
    return True


def _on_a_grid(table: Tensor) -> _Search | None:
    """The search on a grid as fine as the nearest entries; None for a grid that is too long."""
    if len(table) < 2:
        return None
    step = (table[1:] - table[:-1]).min()
    grid = ((table - table[0]) / step).round()
    if not grid[-1] < _GRID:
        return None
    places = torch.zeros(int(grid[-1]) + 1, dtype=torch.int32, device=table.device)
    places[grid.long()] = torch.arange(len(table), dtype=torch.int32, device=table.device)

    def find(values: Tensor) -> Tensor:
        on_grid = values.sub(table[0]).div_(step).round_().clamp_(0, len(places) - 1)
        return places.index_select(0, on_grid.int())

    return find


def _by_halves(table: Tensor) -> _Search:
    def find(values: Tensor) -> Tensor:
        return torch.searchsorted(table, values, out_int32=True).clamp_(max=len(table) - 1)

    return find


def _halves(conductance: Tensor, name: str) -> Packed:
    unit = conductance.amax().reshape(1)
    unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    share = conductance / unit
    if bool(((share > 0) & (share < _LEAST)).any()):
        least = float(conductance[share > 0].min())
        raise ConfigError(
            f"cells='float16' holds conductances that are at most {1 / _LEAST:.0f} times apart, "
            f"and those of {name} go from {least:.3g} to {float(unit):.3g} S; expected "
            "cells='full'"
        )
    return Packed(_bytes(share.to(torch.float16)), unit)


def _bytes(values: Tensor) -> Tensor:
    """The bytes of values [...], [..., 2]."""
    return values.unsqueeze(-1).contiguous().view(torch.uint8)
