"""One array and one vector, as a netlist holds them."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from memcore import _check
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore.circuit import CellLaw, Drive, OfDevice, Ohmic, SeriesElement, Solution
from memcore.circuit.array import ArrayCircuit
from memcore.circuit.inputs import check_elements
from memcore.circuit.segments import check_wires, require_siemens
from memcore.circuit.terminals import require_volts
from memcore.contracts.layout import Layout
from memcore.contracts.wires import Wires
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.given import drive_of
from memcore.crossbar.tiling import Tiling
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """The arguments of `memcore.circuit.solve`, in float64, without leading dimensions.

    Attributes:
        g: conductances in S, [rows, cols], with the lines as they are numbered.
        wires: resistances of the wires; tensors have their full size, by position.
        drive: voltages of one vector, [rows] and [cols].
        law: current-voltage law of the memristors.
        series: element in series with each memristor, None for none.
        layout: positions of the lines.
        origin: description of the part of a matrix that this is; empty for an array of its own.
    """

    g: Tensor
    wires: Wires
    drive: Drive
    law: CellLaw
    series: SeriesElement | None
    layout: Layout = dataclasses.field(default_factory=Layout)
    origin: str = ""

    @classmethod
    def of(
        cls,
        cells: Crossbar | Tensor,
        v: Tensor | Drive,
        *,
        wires: Wires | None = None,
        law: CellLaw | None = None,
        series: SeriesElement | None = None,
        array: int = 0,
    ) -> Self:
        """The circuit of a crossbar or of conductances; see `memcore.spice.netlist`."""
        check_elements(Ohmic() if law is None else law, series)
        if wires is not None:
            check_wires(wires)
        if isinstance(cells, Crossbar):
            whole = cells.circuit()
        else:
            whole = ArrayCircuit(g=_arrays(cells), wires=Wires())
        g = _doubles(whole.g)
        if not _check.is_integer(array) or not 0 <= array < len(g):
            raise ConfigError(
                f"array={shown(array)} of conductances of shape {list(g.shape)}; expected the "
                "index of one of the arrays [arrays, rows, cols]"
            )
        require_siemens("the conductance", g)
        drive = v if isinstance(v, Drive) else Drive.read(v)
        if isinstance(cells, Crossbar) and isinstance(v, Tensor):
            drive = _spread(whole, cells.tiling, v, array)
        series = whole.series if series is None else series
        return cls(
            g=g[array],
            wires=_wires(wires or whole.wires or Wires(), g, array),
            drive=_drive(drive, g),
            law=_element(whole.law if law is None else law, g, array),
            series=None if series is None else _element(series, g, array),
            layout=_layout(whole.layout, array),
            origin=_origin(whole, cells.tiling, array) if isinstance(cells, Crossbar) else "",
        )

    def solve(self) -> Solution:
        """Solve the circuit with memcore."""
        return ArrayCircuit(
            g=self.g, wires=self.wires, law=self.law, series=self.series, layout=self.layout
        ).solve(self.drive)


def _arrays(cells: Tensor) -> Tensor:
    """Conductances as [arrays, rows, cols]."""
    if not isinstance(cells, Tensor):
        raise ArgumentTypeError(
            f"cells is a {type(cells).__name__}; expected a Crossbar, or a tensor [rows, cols] in "
            "S: use torch.as_tensor"
        )
    _check.tensor("cells", cells, "[rows, cols]", "S")
    if cells.dim() not in (2, 3) or not cells.numel():
        raise ShapeError(
            f"the conductances have shape {list(cells.shape)}; expected [rows, cols] or "
            "[arrays, rows, cols] in S"
        )
    return cells if cells.dim() == 3 else cells[None]


def _spread(whole: ArrayCircuit, tiling: Tiling, v: Tensor, array: int) -> Drive:
    """The voltages of the word lines of an array for the inputs of the matrix."""
    if v.numel() != tiling.groups * tiling.rows:
        raise ShapeError(
            f"v has shape {list(v.shape)}; expected one vector of {tiling.rows} V for each of the "
            f"{tiling.groups} group(s) of the crossbar: a netlist has one drive, select it"
        )
    lines = drive_of(v.reshape(tiling.groups, tiling.rows), tiling, len(whole.g)).word_line
    return Drive.read(lines.reshape(-1, tiling.array_rows)[array])


def _layout(layout: Layout, array: int) -> Layout:
    orders = (layout.row_order, layout.col_order)
    row_order, col_order = (None if order is None else order[array].cpu() for order in orders)
    return Layout(parts=layout.parts, row_order=row_order, col_order=col_order)


def _origin(whole: ArrayCircuit, tiling: Tiling, array: int) -> str:
    """A description such as "array 5 of 8, rows 16 to 31 and columns 0 to 7 of part 1"."""
    if len(whole.g) == 1 and tiling.full_parts == 1:
        return ""
    part, group, row, col = tiling.place(array)
    first = (row * tiling.array_rows, col * tiling.data_cols)
    last = (
        min(first[0] + tiling.array_rows, tiling.rows) - 1,
        min(first[1] + tiling.data_cols, tiling.cols) - 1,
    )
    of = f" of part {part}" if whole.layout.parts == 1 else ""
    of += f" of group {group}" if tiling.groups > 1 else ""
    return (
        f"array {array} of {len(whole.g)}, rows {first[0]} to {last[0]} and columns {first[1]} to "
        f"{last[1]}{of}"
    )


def _doubles(value: Tensor) -> Tensor:
    return value.detach().cpu().double()


def _wires(wires: Wires, g: Tensor, array: int) -> Wires:
    arrays, rows, cols = g.shape
    shapes = {
        "word_line": (arrays, rows, cols + (wires.drive == "both")),
        "bit_line": (arrays, rows + (wires.sense_at == "both"), cols),
        "driver": (arrays, rows),
        "sense": (arrays, cols),
    }
    full: dict[str, Any] = {}
    for name, shape in shapes.items():
        value = as_tensor(getattr(wires, name), dtype=torch.float64)
        full[name] = _expanded(f"wires.{name}", _doubles(value), shape)[array]
    return dataclasses.replace(wires, **full)


def _drive(drive: Drive, g: Tensor) -> Drive:
    _, rows, cols = g.shape
    fields: dict[str, Any] = {}
    for name, count in (
        ("word_line", rows),
        ("bit_line", cols),
        ("floating_word_lines", rows),
        ("floating_bit_lines", cols),
    ):
        value = getattr(drive, name)
        if value is None:
            fields[name] = None
            continue
        if value.shape[-1] != count or value.numel() != count:
            raise ShapeError(
                f"{name} has shape {list(value.shape)}; expected one vector, [{count}]: a netlist "
                "has one drive, select it"
            )
        value = value.detach().cpu().reshape(count)
        fields[name] = value if value.dtype == torch.bool else value.double()
    selected = Drive(**fields)
    for name in ("word_line", "bit_line"):
        volts, floats = getattr(selected, name), getattr(selected, f"floating_{name}s")
        if volts is not None:
            require_volts(name, volts if floats is None else torch.where(floats, 0, volts))
    return selected


def _element(element: Any, g: Tensor, array: int) -> Any:
    """A law or series element with the parameters of one array."""
    if not dataclasses.is_dataclass(element) or isinstance(element, OfDevice | type):
        return element
    changes = {
        field.name: _expanded(field.name, _doubles(value), tuple(g.shape))[array]
        for field in dataclasses.fields(element)
        if isinstance(value := getattr(element, field.name), Tensor)
    }
    return dataclasses.replace(element, **changes) if changes else element


def _expanded(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    try:
        return value.expand(shape)
    except RuntimeError:
        raise ShapeError(
            f"{name} has shape {list(value.shape)}; expected one that broadcasts to {list(shape)}"
        ) from None
