"""A trace as a table: a column for each quantity of each cell, a row for each recorded sample."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

#: Rows that are turned into numbers together.
_AT_ONCE = 4096


class Traced(Protocol):
    """What a table needs of a `memcore.Trace`."""

    @property
    def time(self) -> Tensor: ...
    @property
    def voltage(self) -> Tensor: ...
    @property
    def current(self) -> Tensor: ...
    @property
    def state(self) -> Tensor: ...
    @property
    def across(self) -> Tensor: ...
    @property
    def conductance(self) -> Tensor: ...


def table_of(trace: Traced) -> tuple[list[str], Iterator[list[float]]]:
    """The headings and the rows of a trace."""
    cells = trace.state.shape[2:]
    source = trace.voltage
    columns = [
        _named("time", (), trace.time),
        _named("voltage", cells if source.dim() > 1 else (), source),
        _named("current", cells, trace.current),
        _named("across", cells, trace.across),
        _named("conductance", cells, trace.conductance),
        *(_named(f"state_{k}", cells, each) for k, each in enumerate(trace.state.unbind(1))),
    ]
    names = [name for names, _ in columns for name in names]
    return names, _rows([values for _, values in columns])


def _named(name: str, cells: Sequence[int], values: Tensor) -> tuple[list[str], Tensor]:
    """The headings of one quantity, and its columns [rows, columns] in float64."""
    indices = itertools.product(*map(range, cells))
    names = ["_".join([name, *map(str, index)]) for index in indices]
    table = values.detach().to("cpu", torch.float64)
    return names, table.reshape(len(table), len(names))


def _rows(columns: Sequence[Tensor]) -> Iterator[list[float]]:
    for first in range(0, len(columns[0]), _AT_ONCE):
        some = [each[first : first + _AT_ONCE] for each in columns]
        yield from torch.cat(some, 1).tolist()
