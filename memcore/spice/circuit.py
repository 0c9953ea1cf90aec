"""One array and one vector, as a netlist can hold them."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from memcore.as_given import circuit_of
from memcore.circuit import CellLaw, Drive, OfDevice, Ohmic, SeriesElement, Solution, solve
from memcore.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.wires import Wires


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """What `memcore.circuit.solve` takes, in float64, without leading dimensions.

    Attributes:
        g: [rows, cols] S.
        wires: resistances; tensors are of full size.
        drive: [rows] and [cols].
        law: of the memristors.
        series: what is in series with each, None for nothing.
    """

    g: Tensor
    wires: Wires
    drive: Drive
    law: CellLaw
    series: SeriesElement | None

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
        """See `memcore.spice.netlist`."""
        drive, g = v, cells
        if isinstance(cells, Crossbar):
            found = circuit_of(cells.pipeline.product)
            wires, law, series = wires or found[0], law or found[1], series or found[2]
            g = cells.conductance
            drive = _spread(cells, v, array) if isinstance(v, Tensor) else v
        assert isinstance(g, Tensor)
        g = _doubles(g if g.dim() == 3 else g[None])
        if g.dim() != 3 or not 0 <= array < len(g):
            raise ConfigError(
                f"array={array!r} of conductances of shape {list(g.shape)}; expected the index of "
                "one of the arrays [arrays, rows, cols]"
            )
        return cls(
            g=g[array],
            wires=_wires(wires or Wires(), g, array),
            drive=_drive(drive if isinstance(drive, Drive) else Drive.read(drive), g),
            law=_element(law or Ohmic(), g, array),
            series=None if series is None else _element(series, g, array),
        )

    def solve(self) -> Solution:
        """By memcore."""
        return solve(self.g, self.wires, self.drive, law=self.law, series=self.series)


def _doubles(value: Tensor) -> Tensor:
    return value.detach().cpu().double()


def _spread(crossbar: Crossbar, v: Tensor, array: int) -> Tensor:
    """What the word lines of an array see of the inputs of the matrix."""
    rows, groups = crossbar.tiling.rows, crossbar.tiling.groups
    if v.shape[-1:] != (rows,) or v.numel() != rows * groups:
        raise ConfigError(
            f"v has shape {list(v.shape)}; expected one vector of {rows} V for each of the "
            f"{groups} group(s) of the crossbar"
        )
    lines = crossbar.tiling.spread(v.reshape(1, groups, rows))[0]
    return lines[min(max(array, 0), len(lines) - 1)]


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
        value = torch.as_tensor(getattr(wires, name), dtype=torch.float64)
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
            raise ConfigError(
                f"{name} has shape {list(value.shape)}; expected one vector, [{count}]: a netlist "
                "has one drive, select it"
            )
        value = value.detach().cpu().reshape(count)
        fields[name] = value if value.dtype == torch.bool else value.double()
    return Drive(**fields)


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
        raise ConfigError(
            f"{name} has shape {list(value.shape)}; expected one that broadcasts to {list(shape)}"
        ) from None
