"""What every programmer promises of lines: it says which it sends pulses through, and does."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.layout import Layout
from memcore.contracts.programmer import Programmer
from memcore.contracts.records import Programmed
from memcore.contracts.wires import Wires
from memcore.testing.cases import array, conductances, context, fail

#: Small arrays, since programmers may solve a network for every cell.
_ARRAYS, _ROWS, _COLS = 2, 4, 3
#: ohm, of each segment; the cells of the reference device have 10 to 100 kilo-ohm.
_OHM: Final = 500.0
#: Largest relative difference of conductances that are the same but for rounding.
_SAME: Final = 1e-4
_STUCK: Final = 4e-5  #: S


def _array(arrays: int = _ARRAYS, cols: int = _COLS) -> ArrayInfo:
    return array(spread=False, arrays=arrays, rows=_ROWS, cols=cols)


def _program(programmer: Programmer, target: Tensor, seed: int = 0, **told: Any) -> Programmed:
    info = dataclasses.replace(_array(), **told)
    return programmer.program(info, target, context(seed, "program"))


def _targets() -> Tensor:
    return conductances(_array(), torch.float64)


def _same(a: Programmed, b: Programmed) -> bool:
    names = ("conductance", "pulses", "energy", "verified", "time")
    return all(
        torch.equal(torch.as_tensor(getattr(a, name)), torch.as_tensor(getattr(b, name)))
        for name in names
    )


def _wires() -> Wires:
    return Wires(word_line=_OHM, bit_line=_OHM)


def check_lines_are_path_network_or_none(programmer: Programmer) -> None:
    """`lines` is one of the three, and `through_lines` follows it."""
    if programmer.lines not in ("path", "network", None):
        fail(
            programmer,
            f"lines={programmer.lines!r}",
            "write lines = 'path' where one cell conducts at a time, lines = 'network' where all "
            "cells of an array do, or nothing",
        )
    if programmer.through_lines and programmer.lines is None:
        fail(
            programmer,
            "through_lines is True, but lines is None",
            "say in the class what takes part of the voltage: lines = 'path' or 'network'",
        )


def check_wires_act_where_lines_say_so(programmer: Programmer) -> None:
    """Wires that resist change the result of a programmer with `lines`, and of no other."""
    target = _targets()
    plain, wired = _program(programmer, target), _program(programmer, target, wires=_wires())
    if programmer.through_lines and _same(plain, wired):
        fail(
            programmer,
            f"lines={programmer.lines!r}, but wires of {_OHM:g} ohm change nothing",
            "let pulses through memcore.writing.SingleCells or Network, which array.wires act on, "
            "or leave lines out",
        )
    if programmer.lines is None and not _same(plain, wired):
        fail(
            programmer,
            "array.wires change the result, but lines is None: in a layer there are none",
            "write lines = 'path' or lines = 'network' in the class, so that it is told of wires",
        )


def check_wires_without_resistance_change_nothing(programmer: Programmer) -> None:
    """Ideal wires and none are the same."""
    target = _targets()
    if not _same(_program(programmer, target), _program(programmer, target, wires=Wires())):
        fail(
            programmer,
            "wires of 0 ohm change the result",
            "divide the voltage by 1 + R G, or use memcore.writing.Path, which does",
        )


def check_wires_may_differ_from_segment_to_segment(programmer: Programmer) -> None:
    """A resistance for each segment, in single precision, is taken as well as one for all."""
    each = Wires(word_line=torch.full((_ROWS, _COLS), _OHM), bit_line=_OHM)
    target = _targets()
    one, many = (_program(programmer, target, wires=w).conductance for w in (_wires(), each))
    _require_same(
        programmer,
        one,
        many,
        "a tensor of equal resistances gives other conductances than the number",
        "take wires from memcore.writing.Path or Network, or broadcast them over the segments",
    )


def check_lines_can_be_left_out(programmer: Programmer) -> None:
    """With the parameter `wires="none"` of `memcore.writing.LineOptions`, wires do not act."""
    if "wires" not in {field.name for field in dataclasses.fields(programmer)}:  # type: ignore[arg-type]
        return
    without = dataclasses.replace(programmer, wires="none")  # type: ignore[type-var]
    if without.through_lines:
        fail(
            programmer,
            "with wires='none', through_lines is still True",
            "inherit from memcore.writing.LineOptions, or override through_lines",
        )
    target = _targets()
    if not _same(_program(without, target), _program(without, target, wires=_wires())):
        fail(
            programmer,
            "with wires='none', array.wires still change the result",
            "write array = self.behind_lines(array) before wires are used",
        )


def check_wires_act_where_lines_lie(programmer: Programmer) -> None:
    """`array.layout` is heeded: lines in another order, and parts that share word lines."""
    if not programmer.through_lines:
        return
    target, ends = _targets(), _turned()
    plain, turned = (
        _program(programmer, target, wires=_wires(), parts=2, layout=layout)
        for layout in (Layout(), ends)
    )
    if _same(plain, turned):
        fail(
            programmer,
            "array.layout changes nothing, though lines lie in the opposite order",
            "use memcore.writing.Path or Network, or lay cells where they lie, array.layout.lay",
        )
    if programmer.lines == "path" and not _is_random(programmer, target):
        there = programmer.program(
            _as_it_lies(ends), ends.lay(target), context(0, "program")
        ).conductance
        _require_same(
            programmer,
            turned.conductance,
            ends.number(there),
            "cells end elsewhere than on an array whose lines are numbered as they lie",
            "take the resistance of each path from where its cell lies, array.layout.number(ohm)",
        )


def check_stuck_cells_stay(programmer: Programmer) -> None:
    """Cells of `array.stuck` conduct what they are stuck at, with wires and without."""
    target = _targets()
    stuck = torch.full_like(target, torch.nan)
    stuck[0, 1, 2] = stuck[1, 3, 0] = _STUCK
    for wires in (None, _wires() if programmer.through_lines else None):
        done = _program(programmer, target, stuck=stuck, wires=wires)
        held = done.conductance.expand(target.shape)[~stuck.isnan()]
        if not torch.allclose(held, torch.full_like(held, _STUCK), rtol=1e-5, atol=0):
            fail(
                programmer,
                f"cells that are stuck at {_STUCK:g} S conduct {held.tolist()} S afterwards",
                "pick cells with memcore.writing.CellParameters, or keep array.stuck where it is "
                "not NaN",
            )


def _turned() -> Layout:
    """Both arrays are parts on common word lines, and all lines lie in the opposite order."""
    rows, cols = torch.arange(_ROWS).flip(0), torch.arange(2 * _COLS).flip(0)
    return Layout(parts=2, row_order=rows[None], col_order=cols[None])


def _as_it_lies(layout: Layout) -> ArrayInfo:
    """The one array on which the parts lie, its lines numbered by their positions."""
    return dataclasses.replace(
        _array(_ARRAYS // layout.parts, layout.parts * _COLS), wires=_wires()
    )


def _is_random(programmer: Programmer, target: Tensor) -> bool:
    a, b = (_program(programmer, target, seed).conductance for seed in (0, 1))
    return not torch.equal(a, b)


def _require_same(programmer: Programmer, a: Tensor, b: Tensor, what: str, remedy: str) -> None:
    far = float(((a - b).abs() / b.abs()).max())
    if not far <= _SAME:
        fail(programmer, f"{what}, by up to {100 * far:.3g} %", remedy)


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_lines_are_path_network_or_none,
    check_wires_act_where_lines_say_so,
    check_wires_without_resistance_change_nothing,
    check_wires_may_differ_from_segment_to_segment,
    check_lines_can_be_left_out,
    check_wires_act_where_lines_lie,
    check_stuck_cells_stay,
)
