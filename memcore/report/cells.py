"""`export_cells`: every cell of a network with its place and conductance, for other programs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memcore._csv import write_csv, writing
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import hookimpl
from memcore.contracts.records import Programmed
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.nn.walk import named_matrices
from memcore.registry.instances import manager

_Columns = Mapping[str, NDArray[Any]]


@contextmanager
def recorded_writes() -> Iterator[dict[str, Programmed]]:
    """Keep what the routines say of every cell that is written in a `with` block.

    Networks remember sums only. The last writing of each matrix counts.

    For example::

        with memcore.recorded_writes() as writes:
            chip = memcore.convert(model, config, seed=0)
        memcore.export_cells(chip, "cells.csv", writes=writes)
    """
    recorder = _Recorder()
    hooks = manager()
    hooks.register(recorder)
    try:
        yield recorder.writes
    finally:
        hooks.unregister(recorder)


class _Recorder:
    def __init__(self) -> None:
        self.writes: dict[str, Programmed] = {}

    @hookimpl
    def memcore_array_programmed(self, array: ArrayInfo, programmed: Programmed) -> None:
        self.writes[array.name] = programmed


def export_cells(
    model: nn.Module, path: str | Path, *, writes: Mapping[str, Programmed] | None = None
) -> Path:
    """Write every cell of a converted network into a file.

    A CSV has a line for each cell: the name of its matrix, the array, part and group, the word line
    and the bit line in it, the row and the column of the group's matrix that they belong to as
    input and output (-1 where there is none, as in reference columns and unused cells), and the
    conductance right after writing and now, in S. Packed groups are one group here.
    An NPZ has the same columns as arrays, under "MATRIX/COLUMN".

    Lines are numbered as the mapping numbers them; an effect of wires may place them in another
    order on the chip.

    Args:
        model: a converted network.
        path: path of the file, which ends in .csv or .npz.
        writes: what `recorded_writes` kept, for the pulses, the energy in J and the acceptance of
            each cell beside it.

    Returns:
        The path of the file.

    Raises:
        ConfigError: it ends otherwise, nothing can be written there, or a matrix has no record.
        ConversionError: the network has no memristive layer.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"path={shown(path)}; expected a path that ends in .csv or .npz")
    if writes is not None and not isinstance(writes, Mapping):
        raise ConfigError(f"writes={shown(writes)}; expected what memcore.recorded_writes() kept")
    target = Path(path)
    if target.suffix not in (".csv", ".npz"):
        raise ConfigError(f"path={shown(str(path))}; expected a name that ends in .csv or .npz")
    tables = {
        name: {**_columns(matrix.crossbar), **_taken(name, matrix.crossbar, writes)}
        for name, (_, matrix) in named_matrices(model).items()
    }
    if target.suffix == ".csv":
        rows = ([name, *row] for name, columns in tables.items() for row in _rows(columns))
        return write_csv(target, ["matrix", *next(iter(tables.values()))], rows)
    with writing(target):
        flat = {f"{n}/{key}": column for n, t in tables.items() for key, column in t.items()}
        np.savez_compressed(target, **flat)  # type: ignore[arg-type]
    return target


def _rows(columns: _Columns) -> Iterator[tuple[Any, ...]]:
    yield from zip(*(column.tolist() for column in columns.values()), strict=True)


def _columns(crossbar: Crossbar) -> _Columns:
    """The columns of a matrix, a value for each cell."""
    tiling = crossbar.tiling
    g = crossbar.conductance.detach().cpu().numpy()
    arrays, lines, bits = np.indices(g.shape)
    places = np.array([tiling.place(array) for array in range(g.shape[0])])
    part, group, row_tile, col_tile = (places[:, k][arrays] for k in range(4))
    inputs = row_tile * tiling.array_rows + lines
    outputs = col_tile * tiling.data_cols + bits
    outside = (inputs >= tiling.rows) | (outputs >= tiling.cols) | (bits >= tiling.data_cols)
    told = {
        "array": arrays,
        "part": part,
        "group": group,
        "word_line": lines,
        "bit_line": bits,
        "input": np.where(inputs < tiling.rows, inputs, -1),
        "output": np.where(outside, -1, outputs),
        "programmed": crossbar.programmed.detach().cpu().expand(g.shape).numpy(),
        "conductance": g,
    }
    return {name: column.reshape(-1) for name, column in told.items()}


def _taken(name: str, crossbar: Crossbar, writes: Mapping[str, Programmed] | None) -> _Columns:
    """What writing the cells took, where it was recorded."""
    if writes is None:
        return {}
    taken = writes.get(name)
    shape = crossbar.conductance.shape
    if taken is None or taken.conductance.shape != shape:
        raise ConfigError(
            f"writes has no record of {name or 'the model'!r}; expected what "
            "memcore.recorded_writes() kept while this network was converted or programmed"
        )
    told = {"pulses": taken.pulses, "energy": taken.energy, "accepted": taken.verified}
    return {key: _each(value, shape) for key, value in told.items()}


def _each(value: Tensor | float, shape: torch.Size) -> NDArray[Any]:
    each = as_tensor(value).detach().cpu()
    return (each.int() if each.dtype == torch.bool else each).expand(shape).reshape(-1).numpy()
