"""A crossbar as an ngspice netlist."""

import textwrap
from collections.abc import Callable
from typing import Any

from torch import Tensor

from memcore._version import __version__
from memcore.circuit import CellLaw, Drive, Ohmic, SeriesElement
from memcore.circuit.series import gated
from memcore.contracts.layout import Layout
from memcore.contracts.wires import Wires
from memcore.crossbar.crossbar import Crossbar
from memcore.spice.circuit import Circuit
from memcore.spice.expressions import Mosfets, of_gated, of_law, of_series

_HEAD = """\
* memcore {version}: a crossbar of {rows} word lines and {cols} bit lines
{origin}* cells: {cells}
* word lines driven at: {wires.drive}; bit lines sensed at: {wires.sense_at}
*
* w_i_j and b_i_j are the nodes of word line i and bit line j at their cell, m_i_j lies between
* its memristor and what is in series with it. Vd_i drives word line i from node d_i, with the
* current -i(Vd_i). Ve_j holds the end e_j of bit line j, into which i(Ve_j) flows: with two ends,
* both are this node. Resistances of 0 are sources of 0 V.
{layout}"""
_OPTIONS = ".options {} gmin=1e-18 itl1=5000 itl2=5000 numdgt=16"
_EXACT = "reltol=1e-12 abstol=1e-20 vntol=1e-14"
#: Newton's method leaves errors of second order, so that far more digits are right than are asked
#: for. With tighter bounds the rounding of high-ohmic nodes keeps ngspice from an end.
_ITERATED = "reltol=1e-9 abstol=1e-16 vntol=1e-12"
#: Vectors in one print command.
_PRINTED = 40
#: Of comments.
_WIDTH = 90

#: The line of a series element at a row and a column; None where nothing flows.
_Line = Callable[[int, int], str | None]


def netlist(
    cells: Crossbar | Tensor,
    v: Tensor | Drive,
    *,
    wires: Wires | None = None,
    law: CellLaw | None = None,
    series: SeriesElement | None = None,
    array: int = 0,
) -> str:
    """Write the circuit that `memcore.circuit.solve` solves, for ngspice.

    Run it with `ngspice -b FILE`, or with `run`: it prints the voltages of all nodes, and the
    currents of drivers, bit lines and cells, with all digits.

    Args:
        cells: a `Crossbar`, which brings its conductances, wires, law and series element, and the
            positions that `ir_drop` gives its lines; or conductances in S, [rows, cols] or [arrays,
            rows, cols].
        v: voltages of the word lines in V, one vector [rows], with the bit lines at virtual ground;
            or any `memcore.circuit.Drive` of the array. For a `Crossbar` it is the input of the
            whole matrix in V, [groups, rows] if that has several groups.
        wires: resistances of the wires; by default those of the crossbar, or none.
        law: current-voltage law of the memristors; by default that of the crossbar, or ohmic.
        series: element in series with each memristor; by default that of the crossbar, or none.
        array: index of one of several arrays, in the order of `Crossbar.solve`.

    Raises:
        ConfigError: a shape does not fit, a law has no expression in ngspice, or there is no
            circuit behind an effect.
    """
    return write(Circuit.of(cells, v, wires=wires, law=law, series=series, array=array))


def write(circuit: Circuit) -> str:
    """The netlist of a circuit."""
    deck = _Deck(circuit)
    deck.word_lines()
    deck.bit_lines()
    deck.cells()
    deck.tie_islands()
    rows, cols = circuit.g.shape
    cell = type(circuit.law).__name__
    if circuit.series is not None:
        cell += f" in series with {type(circuit.series).__name__}"
    head = _HEAD.format(
        version=__version__,
        rows=rows,
        cols=cols,
        cells=cell,
        wires=circuit.wires,
        origin=f"* {circuit.origin}\n" if circuit.origin else "",
        layout="".join(f"* {line}".rstrip() + "\n" for line in _layout(circuit.layout)),
    )
    linear = isinstance(circuit.law, Ohmic) and circuit.series is None
    options = _OPTIONS.format(_EXACT if linear else _ITERATED)
    return head + "\n".join([options, *deck.lines, *_control(deck.measured)]) + "\n"


def _layout(layout: Layout) -> list[str]:
    """The positions of the lines, where these are not as they are numbered."""
    lines = []
    if layout.parts > 1:
        parts = ", ".join(f"{layout.parts} c + {k} of part {k}" for k in range(layout.parts))
        lines += ["", f"Parts share word lines: column c of the matrix is bit line {parts}."]
    for name, ends, order in (
        ("word lines", "top to bottom", layout.row_order),
        ("bit lines", "left to right", layout.col_order),
    ):
        if order is not None:
            numbers = " ".join(map(str, order.tolist()))
            lines += ["", f"These {name} lie next to each other, from {ends}:"]
            lines += [f"  {line}" for line in textwrap.wrap(numbers, _WIDTH)]
    return lines


def _control(measured: list[str]) -> list[str]:
    chunks = (measured[k : k + _PRINTED] for k in range(0, len(measured), _PRINTED))
    prints = ("print " + " ".join(chunk) for chunk in chunks)
    return [".control", "set numdgt=16", "op", "print all", *prints, "quit", ".endc", ".end"]


class _Groups:
    """Groups of connected nodes."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, node: str) -> str:
        parent = self.parent.setdefault(node, node)
        while parent != node:
            self.parent[node] = self.parent.setdefault(parent, parent)
            node, parent = parent, self.parent[parent]
        return node

    def join(self, a: str, b: str) -> bool:
        """Connect two nodes; whether they were not connected before."""
        a, b = self.find(a), self.find(b)
        self.parent[a] = b
        return a != b


class _Deck:
    """The lines of a netlist, and what is connected to what."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.rows, self.cols = circuit.g.shape
        # The lines at their positions.
        self.word = _order(circuit.layout.row_order, self.rows)
        self.bit = _order(circuit.layout.col_order, self.cols)
        self.lines: list[str] = []
        self.measured: list[str] = []
        self.shorted, self.connected = _Groups(), _Groups()

    def word_lines(self) -> None:
        wires, drive = self.circuit.wires, self.circuit.drive
        segments, driver = _list(wires.word_line), _list(wires.driver)
        left, right = wires.drive != "right", wires.drive != "left"
        open_end, volts = _flags(drive.floating_word_lines, self.rows), drive.word_line.tolist()
        for k, i in enumerate(self.word):
            line, nodes = segments[k], [f"w_{i}_{j}" for j in self.bit]
            if left:
                first, *line = line
                self._end(f"w_{i}_left", f"d_{i}", nodes[0], driver[k], first, open_end[i])
            if right:
                *line, last = line
                self._end(f"w_{i}_right", nodes[-1], f"d_{i}", driver[k], last, open_end[i])
            for a, b, ohm in zip(nodes[:-1], nodes[1:], line, strict=True):
                self._wire(a, a, b, ohm)
            if not open_end[i]:
                self._source(f"Vd_{i}", f"d_{i}", volts[i])

    def bit_lines(self) -> None:
        wires, drive = self.circuit.wires, self.circuit.drive
        segments, sense = _list(wires.bit_line), _list(wires.sense)
        top, bottom = wires.sense_at != "bottom", wires.sense_at != "top"
        open_end = _flags(drive.floating_bit_lines, self.cols)
        volts = [0.0] * self.cols if drive.bit_line is None else drive.bit_line.tolist()
        for k, j in enumerate(self.bit):
            line, nodes = [row[k] for row in segments], [f"b_{i}_{j}" for i in self.word]
            if top:
                first, *line = line
                self._end(f"b_{j}_top", f"e_{j}", nodes[0], sense[k], first, open_end[j], False)
            if bottom:
                *line, last = line
                self._end(f"b_{j}_bottom", nodes[-1], f"e_{j}", sense[k], last, open_end[j], False)
            for a, b, ohm in zip(nodes[:-1], nodes[1:], line, strict=True):
                self._wire(a, a, b, ohm)
            if not open_end[j]:
                self._source(f"Ve_{j}", f"e_{j}", volts[j])

    def cells(self) -> None:
        g, law = self.circuit.g.tolist(), of_law(self.circuit.law, self.circuit.g)
        series, rest = self._series()
        for i in range(self.rows):
            for j in range(self.cols):
                w, m, b = (f"{letter}_{i}_{j}" for letter in "wmb")
                to = b if series is None else m
                current = f"{g[i][j]!r}" if law is None else law(f"v({w},{to})", i, j)
                behind = "" if series is None else series(i, j)
                if behind is None or (law is None and g[i][j] == 0):
                    self.lines.append(f"* no current through the cell of {w} and {b}")
                    if series is not None:  # the voltage is across the one that does not conduct
                        self._wire(m, m, w if behind is None else b, 0.0)
                    continue
                self._cell(f"_{i}_{j}", (w, to), current, law is None)
                if behind:
                    self.lines.append(behind)
                self.connected.join(w, b)
        self.lines += rest()

    def _series(self) -> tuple[_Line | None, Callable[[], list[str]]]:
        """The lines of the series elements, and those that all of them share, to come last."""
        element, g = self.circuit.series, self.circuit.g
        if element is None:
            return None, list
        gate = gated(element)
        if gate is None:
            flow = of_series(element, g)

            def two(i: int, j: int) -> str | None:
                current = flow(f"v(m_{i}_{j},b_{i}_{j})", i, j)
                return None if current is None else f"Bs_{i}_{j} m_{i}_{j} b_{i}_{j} i={current}"

            return two, list
        between = of_gated(gate, g)
        if isinstance(between, Mosfets):
            return between.line, between.common

        def three(i: int, j: int) -> str:
            current = between(f"v(m_{i}_{j})", f"v(b_{i}_{j})", i, j)
            return f"Bs_{i}_{j} m_{i}_{j} b_{i}_{j} i={current}"

        return three, list

    def _cell(self, name: str, nodes: tuple[str, str], value: str | None, ohmic: bool) -> None:
        letter, given = ("R", repr(1 / float(value or 0))) if ohmic else ("B", f"i={value}")
        self.lines.append(f"{letter}{name} {nodes[0]} {nodes[1]} {given}")
        self.measured.append(f"@{letter.lower()}{name}[i]")

    def tie_islands(self) -> None:
        """Give a potential to the nodes that no current reaches."""
        for letter in "wb":
            for i in range(self.rows):
                for j in range(self.cols):
                    node = f"{letter}_{i}_{j}"
                    if self.connected.join(node, "0"):
                        self.lines.append(f"* nothing else holds {node}")
                        self.lines.append(f"Vt_{node} {node} 0 0")

    def _source(self, name: str, node: str, volts: float) -> None:
        self.lines.append(f"{name} {node} 0 {volts!r}")
        self.shorted.join(node, "0")
        self.connected.join(node, "0")

    def _end(
        self,
        name: str,
        a: str,
        b: str,
        end: float,
        segment: float,
        floats: bool,
        word: bool = True,
    ) -> None:
        """The last segment and what the line ends in; nothing of an open end carries current."""
        if not floats:
            wires = self.circuit.wires
            kept = wires.first if word else wires.last
            self._wire(name, a, b, end + segment if kept else end)

    def _wire(self, name: str, a: str, b: str, ohm: float) -> None:
        self.connected.join(a, b)
        if ohm > 0:
            self.lines.append(f"R{name} {a} {b} {ohm!r}")
        elif self.shorted.join(a, b):
            self.lines.append(f"V{name} {a} {b} 0")
        else:
            self.lines.append(f"* {a} and {b} are one node already")


def _order(order: Tensor | None, count: int) -> list[int]:
    return list(range(count)) if order is None else order.tolist()


def _list(value: object) -> Any:
    assert isinstance(value, Tensor)
    return value.tolist()


def _flags(floating: Tensor | None, count: int) -> list[bool]:
    return [False] * count if floating is None else floating.tolist()
