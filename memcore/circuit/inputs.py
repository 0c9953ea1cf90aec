"""Checks of what is handed to the solver."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcore._text import shown
from memcore.circuit.drive import Drive
from memcore.circuit.laws import CellLaw, OfDevice
from memcore.circuit.per_cell import PerCell
from memcore.circuit.segments import check_cells, check_wires
from memcore.circuit.series import SeriesElement
from memcore.contracts.wires import Wires
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError


def shape_of(
    g: Tensor,
    wires: Wires,
    drive: Drive,
    law: CellLaw,
    series: SeriesElement | None,
    besides: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[int, ...]:
    """The shape [..., rows, cols] of all vectors and arrays, to which all inputs broadcast.

    Args:
        g: conductances.
        wires: resistances.
        drive: drive of the lines.
        law: current-voltage law of the memristors.
        series: element in series with each memristor, None for none.
        besides: shapes of further inputs, by name.
    """
    check_cells(g)
    check_wires(wires)
    require_drive("drive", drive, g)
    check_elements(law, series)
    shapes = {"g": tuple(g.shape), **ends("drive", drive), **_cells(law, g), **_cells(series, g)}
    return _joined(shapes | dict(besides or {}))


def check_elements(law: object, series: object) -> None:
    """Refuse a law, or an element in series unless it is None, without current and slope."""
    _require_element("law", law, "Sinh(v0=0.25)")
    if series is not None:
        _require_element("series", series, "Selector(i0=1e-9, v0=0.1)")


def require_drive(name: str, drive: object, g: Tensor) -> None:
    """Refuse a drive that does not fit the lines of an array."""
    if not isinstance(drive, Drive):
        raise ArgumentTypeError(
            f"{name} is a {type(drive).__name__}; expected a Drive, Drive.read(v) for word lines "
            "at v and bit lines at 0 V"
        )
    rows, cols = g.shape[-2:]
    for line, count in (("word_line", rows), ("bit_line", cols)):
        _expect(f"{name}.{line}", getattr(drive, line), g, count, g.dtype)
        _expect(f"{name}.floating_{line}s", getattr(drive, f"floating_{line}s"), g, count)


def ends(name: str, drive: Drive) -> dict[str, tuple[int, ...]]:
    """The shapes of a drive, as [..., rows, 1] and [..., 1, cols]."""
    shapes: dict[str, tuple[int, ...]] = {}
    for field, value in vars(drive).items():
        if value is not None:
            *lead, lines = value.shape
            shapes[f"{name}.{field}"] = (*lead, lines, 1) if "word" in field else (*lead, 1, lines)
    return shapes


def _expect(
    name: str, value: Tensor | None, g: Tensor, count: int, dtype: torch.dtype = torch.bool
) -> None:
    if value is None:
        return
    if value.shape[-1] != count:
        raise ShapeError(
            f"{name} has shape {list(value.shape)}, but g has {list(g.shape)}; expected "
            f"[..., {count}]"
        )
    if value.dtype != dtype or value.device != g.device:
        raise ConfigError(
            f"{name} is {value.dtype} on {value.device}, but g is {g.dtype} on {g.device}; "
            "expected the same: convert one of them"
        )


def _require_element(name: str, element: object, example: str) -> None:
    if isinstance(element, type):
        raise ConfigError(
            f"{name} is the class {element.__name__}; expected an object, {element.__name__}(...)"
        )
    if not all(callable(getattr(element, method, None)) for method in ("current", "slope")):
        raise ConfigError(
            f"{name}={shown(element)}; expected an object with methods current and slope, "
            f"{example} for instance"
        )


def _cells(element: Any, g: Tensor) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that an element holds for each cell."""
    if isinstance(element, OfDevice):
        came, cells = list(element.state.shape), ", ".join(map(str, g.shape[-2:]))
        if len(came) < 3:
            raise ShapeError(
                f"OfDevice.state has shape {came}; expected [k, ..., {cells}], as device.state_of "
                "and device.initial_state return it"
            )
        return {"OfDevice.state[0]": tuple(came[1:])}
    if not isinstance(element, PerCell):
        return {}
    tensors = ((k, value) for k, value in vars(element).items() if isinstance(value, Tensor))
    return {f"{type(element).__name__}.{name}": tuple(value.shape) for name, value in tensors}


def _joined(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    rows, cols = shapes["g"][-2:]
    for name, shape in shapes.items():
        down, across = (1, 1, *shape)[-2:]
        if down not in (1, rows) or across not in (1, cols):
            raise ShapeError(
                f"{name} has shape {list(shape)}, but g has {list(shapes['g'])}; expected "
                f"[..., {rows}, {cols}], or [{rows}, 1] for one of each word line, [1, {cols}] for "
                "one of each bit line"
            )
    try:
        return (*np.broadcast_shapes(*(shape[:-2] for shape in shapes.values())), rows, cols)
    except ValueError:
        leads = ", ".join(f"{k} {list(shape[:-2])}" for k, shape in shapes.items() if shape[:-2])
        raise ConfigError(
            f"the leading dimensions do not broadcast: {leads}; expected the same number or 1 at "
            "each place from the right"
        ) from None


#: Voltages at which a law is looked at, as a share of the largest that is applied.
_SAMPLES = 33


def require_rising(law: CellLaw, g: Tensor, shape: tuple[int, ...], largest: float) -> None:
    """Refuse a law of one's own whose current falls with the voltage: there are several solutions.

    Args:
        law: current-voltage law; those of memcore rise by construction.
        g: conductances.
        shape: of all vectors and arrays.
        largest: largest voltage in V that cells can see.

    Raises:
        ConfigError: the current falls somewhere up to the largest voltage.
    """
    if type(law).__module__.startswith("memcore.") or not largest > 0:
        return
    before: Tensor | None = None
    for share in torch.linspace(-1, 1, _SAMPLES, dtype=torch.float64, device="cpu").tolist():
        current = law.current(g.new_full(shape, share * largest), g)
        if before is not None:
            slack = 64 * torch.finfo(g.dtype).eps * torch.maximum(current.abs(), before.abs())
            if bool((current < before - slack).any()):
                raise ConfigError(
                    f"the current of {type(law).__name__} falls with the voltage near "
                    f"{share * largest:.3g} V; expected one that never falls up to the "
                    f"{largest:.3g} V that are applied: otherwise a circuit has several solutions"
                )
        before = current
