"""`export_cells`: every cell of a network with its place and conductance, for other programs."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray
from torch import nn

from memcore._text import shown
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.nn.walk import named_matrices

#: The columns of the CSV after the name of the matrix.
COLUMNS: Final = (
    *("array", "part", "group", "word_line", "bit_line", "input", "output"),
    *("programmed", "conductance"),
)
_Columns = Mapping[str, NDArray[Any]]


def export_cells(model: nn.Module, path: str | Path) -> Path:
    """Write every cell of a converted network into a file.

    A CSV has a line for each cell: the name of its matrix, the array, part and group, the word line
    and the bit line in it, the input and the output of the layer that they belong to (-1 where
    there is none, as in reference columns and unused cells), and the conductance right after
    writing and now, in S. An NPZ has the same columns as arrays, under "MATRIX/COLUMN".

    Lines are numbered as the mapping numbers them; an effect of wires may place them in another
    order on the chip.

    Args:
        model: a converted network.
        path: path of the file, which ends in .csv or .npz.

    Returns:
        The path of the file.

    Raises:
        ConfigError: it ends otherwise, or nothing can be written there.
        ConversionError: the network has no memristive layer.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".npz"):
        raise ConfigError(f"path={shown(str(path))}; expected a name that ends in .csv or .npz")
    tables = {
        name: _columns(matrix.crossbar) for name, (_, matrix) in named_matrices(model).items()
    }
    try:
        if target.suffix == ".npz":
            flat = {f"{n}/{key}": column for n, t in tables.items() for key, column in t.items()}
            np.savez_compressed(target, **flat)  # type: ignore[arg-type]
        else:
            with target.open("w", encoding="utf-8", newline="") as file:
                _write(file, tables)
    except OSError as error:
        raise ConfigError(f"'{target}' cannot be written: {error.strerror}") from None
    return target


def _write(file: TextIO, tables: Mapping[str, _Columns]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["matrix", *COLUMNS])
    for name, columns in tables.items():
        writer.writerows([name, *row] for row in _rows(columns))


def _rows(columns: _Columns) -> Iterator[tuple[Any, ...]]:
    yield from zip(*(columns[name].tolist() for name in COLUMNS), strict=True)


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
