"""Sense amplifiers: a sum of one-bit cells is told as a table says, by chance."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from torch import Tensor, nn

from memcore import (
    ConfigError,
    Context,
    Converter,
    CrossbarConfig,
    LogNormal,
    OperationUnit,
    SumTable,
    parameter,
    sensing_table,
)

#: Tables that are kept: layers and chips of one configuration have the same.
_KEPT: Final = 32


@dataclass(frozen=True, kw_only=True)
class SenseTable(Converter):
    """Each sum of an operation unit is drawn from the probabilities of what is told of it.

    Inputs are applied bit by bit, weights lie in slices of one bit, and `rows_at_once` word lines
    are open together: the ideal sum of a bit line is the number of open cells that store a 1. The
    table says how likely each sum is told instead; every unit, bit line and read has a draw of its
    own. Cells are in the table, not in the arrays: it is computed from the device and the effects
    of the configuration, or read from a file. Lin et al., "DL-RSIM", ICCAD 2018.
    """

    table: str | None = parameter(
        None,
        "1",
        "file of a table of sensed sums, JSON, [open - 1][sum] and lists of equally likely sums, "
        "as ONNC-CIM has them; None computes the table from the cells as configured",
    )
    spread: float = parameter(
        0.0,
        "1",
        "standard deviation of ln R of each cell, beside what the device and the effects bring; of "
        "a computed table",
        within=(0, 5),
    )
    bits: int = parameter(
        8, "1", "bits of a sense amplifier: sums above 2^bits - 1 are told as that", within=(1, 16)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table is not None and self.spread:
            raise ConfigError(
                f"SenseTable: spread={self.spread:g} beside table={self.table!r}, which holds the "
                "spread of its cells; expected one of them"
            )

    @property
    def counts_open(self) -> bool:
        return True

    def observe(self, values: Tensor) -> Tensor | None:
        return values.new_tensor((0.0, 2.0**self.bits - 1))

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del full_scale
        if ctx.unit is None:
            raise ConfigError(
                "SenseTable tells sums of cells, and there are none; expected it as an ADC: "
                'adc="sense_table"'
            )
        if self.table is None:
            found = _computed(_Asked(_identity(ctx.unit, self.spread), ctx.unit, self.spread))
        else:
            found = self._loaded(self.table, ctx.unit)
        return found.limited(2**self.bits - 1)

    def _loaded(self, path: str, unit: OperationUnit) -> SumTable:
        table = SumTable.from_json(path)
        if table.rows < unit.rows:
            raise ConfigError(
                f"{unit.rows} word lines are open at once, but '{path}' has sums of {table.rows}; "
                f"expected rows_at_once={table.rows} or less, or a table of more"
            )
        if unit.acting:
            raise ConfigError(
                f"{', '.join(unit.acting)} beside table={path!r}, which says all about its cells; "
                f"expected no effects: without={list(unit.acting)}"
            )
        return table


class _Asked:
    """Of what a table is computed, the same where `key` is."""

    def __init__(self, key: str, unit: OperationUnit, spread: float) -> None:
        self.key, self.unit, self.spread = key, unit, spread

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def _identity(unit: OperationUnit, spread: float) -> str:
    config = CrossbarConfig(
        device=unit.device,
        nonidealities=unit.nonidealities,
        without=unit.without,
        read_voltage=unit.read_voltage,
        temperature=unit.temperature,
    )
    return json.dumps([unit.rows, spread, config.to_mapping()], sort_keys=True)


@lru_cache(maxsize=_KEPT)
def _computed(asked: _Asked) -> SumTable:
    unit = asked.unit
    return sensing_table(
        unit.device,
        rows=unit.rows,
        read_voltage=unit.read_voltage,
        spread=LogNormal(1.0, asked.spread) if asked.spread else None,
        nonidealities=unit.nonidealities,
        temperature=unit.temperature,
        without=unit.without,
    )
