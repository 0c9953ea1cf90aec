"""Operating points of small crossbars by ngspice: `python generate.py [name ...]`.

Every case is written as a netlist: cells as behavioural current sources, transistors as ngspice's
own level-1 MOSFETs, resistances of zero as merged nodes. Nothing of memcore is used. A file has the
case as JSON and arrays: g, applied voltages, node voltages, cell currents.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
OPTIONS = ".options reltol=1e-9 abstol=1e-18 vntol=1e-11 gmin=1e-18 itl1=2000"

SINH = {"kind": "Sinh", "v0": 0.25, "read_voltage": 0.2}
STEEP = {"kind": "Sinh", "v0": 0.08, "read_voltage": 0.2}
OHMIC = {"kind": "Ohmic"}
POLYNOMIAL = {"kind": "Polynomial", "coefficients": [1.0, 0.2, 0.6], "read_voltage": 0.3}
SELECTOR = {"kind": "Selector", "i0": 1.0e-9, "v0": 0.09}
THRESHOLD = {
    "kind": "ThresholdSelector",
    "v_th": 0.8,
    "v_hold": 0.3,
    "r_on": 2e3,
    "r_off": 1e8,
    "smoothing": 0.02,
}
WIRES = {"word_line": 5.0, "bit_line": 3.0, "driver": 60.0, "sense": 40.0}
HARSH = {"word_line": 60.0, "bit_line": 40.0, "driver": 200.0, "sense": 100.0}


def transistor(axis: str, *, modulation: float = 0.0) -> dict[str, Any]:
    """Gates along rows or columns, from off to far on."""
    gates = list(np.round(np.linspace(0.3, 2.0, 8), 6))
    gate = [[v] for v in gates] if axis == "rows" else [gates]
    return {
        "kind": "Transistor",
        "gate_voltage": gate,
        "threshold": 0.5,
        "gain": 4e-4,
        "modulation": modulation,
    }


#: name: (shape, drive, largest voltage, wires, law, series)
CASES: dict[str, tuple[tuple[int, int], str, float, dict[str, Any], Any, Any]] = {
    "sinh_read": ((16, 16), "read", 0.6, WIRES, SINH, None),
    "sinh_steep_harsh": ((8, 12), "read", 1.2, HARSH, STEEP, None),
    "sinh_right_top": (
        (7, 5),
        "read",
        0.8,
        {**WIRES, "drive": "right", "sense_at": "top"},
        SINH,
        None,
    ),
    "sinh_both_ends": (
        (6, 9),
        "read",
        0.8,
        {**HARSH, "drive": "both", "sense_at": "both"},
        SINH,
        None,
    ),
    "polynomial": ((8, 12), "read", 0.9, HARSH, POLYNOMIAL, None),
    "transistor_rows": ((8, 8), "read", 0.9, WIRES, OHMIC, transistor("rows", modulation=0.05)),
    "transistor_cols": ((8, 8), "read", 2.5, HARSH, OHMIC, transistor("cols")),
    "transistor_sinh": ((8, 8), "v/2", 1.8, WIRES, SINH, transistor("cols", modulation=0.02)),
    "selector_read": ((16, 16), "read", 1.5, WIRES, OHMIC, SELECTOR),
    "selector_v2": ((16, 16), "v/2", 2.0, HARSH, OHMIC, SELECTOR),
    "selector_v3_sinh": ((8, 8), "v/3", 2.0, WIRES, SINH, SELECTOR),
    "selector_floating": ((8, 8), "floating", 2.0, HARSH, OHMIC, SELECTOR),
    "threshold_v2": ((8, 8), "v/2", 1.5, WIRES, OHMIC, THRESHOLD),
    "threshold_read": ((6, 8), "read", 1.6, HARSH, OHMIC, THRESHOLD),
    "v2_sinh": ((8, 8), "v/2", 1.2, HARSH, SINH, None),
    "v3_sinh": ((12, 8), "v/3", 1.5, HARSH, SINH, None),
    "grounded_ohmic": ((8, 8), "grounded", 1.0, HARSH, OHMIC, None),
    "floating_ohmic": ((8, 8), "floating", 1.0, HARSH, OHMIC, None),
    "floating_ideal_wires": ((8, 8), "floating", 1.0, {}, SINH, None),
    "floating_steep": ((12, 12), "floating", 1.5, HARSH, STEEP, None),
    "floating_both_ends": (
        (6, 6),
        "floating",
        1.0,
        {**HARSH, "drive": "both", "sense_at": "both"},
        SINH,
        None,
    ),
}


def applied(kind: str, top: float, rows: int, cols: int, rng: Any) -> dict[str, np.ndarray]:
    """Voltages of the ends, and which are open; the cell in the last row but one is selected."""
    open_word, open_bit = np.zeros(rows, bool), np.zeros(cols, bool)
    if kind == "read":
        v = rng.uniform(-top, top, rows)
        return {"v": v, "end": np.zeros(cols), "open_word": open_word, "open_bit": open_bit}
    word_part, bit_part = {"v/2": (1 / 2, 1 / 2), "v/3": (1 / 3, 2 / 3)}.get(kind, (0.0, 0.0))
    v, end = np.full(rows, top * word_part), np.full(cols, top * bit_part)
    v[rows - 2], end[1] = top, 0.0
    if kind == "floating":
        open_word[:], open_bit[:] = True, True
        open_word[rows - 2] = open_bit[1] = False
    return {"v": v, "end": end, "open_word": open_word, "open_bit": open_bit}


class Netlist:
    """Lines of a netlist; nodes joined by zero resistances share a name."""

    def __init__(self) -> None:
        self.lines: list[str] = ["operating point"]
        self.same: dict[str, str] = {}

    def node(self, name: str) -> str:
        while name in self.same:
            name = self.same[name]
        return name

    def resistor(self, a: str, b: str, ohm: float) -> None:
        if ohm > 0:
            self.lines.append(f"R{len(self.lines)} {{{a}}} {{{b}}} {ohm!r}")
            return
        a, b = self.node(a), self.node(b)
        if a != b:
            self.same[a] = b

    def text(self) -> str:
        names = {n: self.node(n) for n in self.same}
        out = "\n".join(self.lines)
        for name, to in names.items():
            out = out.replace(f"{{{name}}}", f"{{{to}}}")
        return out.replace("{", "").replace("}", "")


def wire(net: Netlist, drive: dict[str, np.ndarray], shape: tuple[int, int], r: dict) -> None:
    """Sources, and all segments."""
    rows, cols = shape
    left, right = r.get("drive", "left") != "right", r.get("drive", "left") != "left"
    below, above = r.get("sense_at", "bottom") != "top", r.get("sense_at", "bottom") != "bottom"
    word, bit = r.get("word_line", 0.0), r.get("bit_line", 0.0)
    for i in range(rows):
        if not drive["open_word"][i]:
            net.lines.append(f"VW{i} {{d{i}}} 0 {float(drive['v'][i])!r}")
            for at, wanted in ((0, left), (cols - 1, right)):
                if wanted:
                    net.resistor(f"w{i}_{at}", f"d{i}", word + r.get("driver", 0.0))
        for j in range(cols - 1):
            net.resistor(f"w{i}_{j}", f"w{i}_{j + 1}", word)
    for j in range(cols):
        if not drive["open_bit"][j]:
            net.lines.append(f"VB{j} {{e{j}}} 0 {float(drive['end'][j])!r}")
            for at, wanted in ((0, above), (rows - 1, below)):
                if wanted:
                    net.resistor(f"b{at}_{j}", f"e{j}", bit + r.get("sense", 0.0))
        for i in range(rows - 1):
            net.resistor(f"b{i}_{j}", f"b{i + 1}_{j}", bit)


def law_of(law: dict[str, Any], g: float, u: str) -> str:
    """The current as an expression of the voltage."""
    if law["kind"] == "Ohmic":
        return f"{g!r}*{u}"
    at = law["read_voltage"]
    if law["kind"] == "Sinh":
        return f"{float(g * at / np.sinh(at / law['v0']))!r}*sinh({u}/{law['v0']!r})"
    powers = [(k + 1, a) for k, a in enumerate(law["coefficients"])]
    scale = float(g * at / sum(a * at**k for k, a in powers))
    return f"{scale!r}*(" + "+".join(f"{a!r}*" + "*".join([u] * k) for k, a in powers) + ")"


def series_of(net: Netlist, series: dict[str, Any], i: int, j: int, a: str, b: str) -> None:
    """The element between the memristor and the bit line."""
    name, u = f"{i}_{j}", f"v({a},{b})"
    if series["kind"] == "Transistor":
        gate = np.array(series["gate_voltage"])
        v = float(gate[i % gate.shape[0], j % gate.shape[1]])
        net.lines.append(f"BS{name} s{name} 0 v=min(v({a}),v({b}))")
        net.lines.append(f"VG{name} g{name} s{name} {v!r}")
        net.lines.append(f"M{name} {a} g{name} {b} s{name} fet w=1 l=1")
    elif series["kind"] == "Selector":
        net.lines.append(f"BS{name} {a} {b} i={series['i0']!r}*sinh({u}/{series['v0']!r})")
    else:
        p = {k: repr(x) for k, x in series.items()}

        def above(u: str) -> str:
            x = f"(({u})-{p['v_th']})/{p['smoothing']}"
            jump = f"({p['v_th']}-{p['v_hold']})/{p['r_on']}/(1+exp(-{x}))"
            return f"({jump}+{p['smoothing']}/{p['r_on']}*ln(1+exp({x})))"

        net.lines.append(f"BS{name} {a} {b} i={u}/{p['r_off']}+{above(u)}-{above('-' + u)}")


def netlist(case: Any, g: np.ndarray, drive: dict[str, np.ndarray]) -> tuple[str, Netlist]:
    """The circuit; a 0 V source in each cell measures its current."""
    (rows, cols), _, _, wires, law, series = case
    net = Netlist()
    wire(net, drive, (rows, cols), wires)
    for i in range(rows):
        for j in range(cols):
            name, to = f"{i}_{j}", f"m{i}_{j}" if series else f"{{b{i}_{j}}}"
            net.lines.append(f"VC{name} {{w{name}}} c{name} 0")
            expression = law_of(law, float(g[i, j]), f"v(c{name},{to})")
            net.lines.append(f"BC{name} c{name} {to} i={expression}")
            if series:
                series_of(net, series, i, j, to, f"{{b{name}}}")
    if series and series["kind"] == "Transistor":
        net.lines.append(
            f".model fet nmos level=1 vto={series['threshold']!r} kp={series['gain']!r} "
            f"lambda={series['modulation']!r} gamma=0 phi=0.6 is=1e-30"
        )
    return net.text() + f"\n{OPTIONS}\n.op\n.end\n", net


def run(text: str) -> dict[str, float]:
    """The operating point by vector name, from ngspice's binary raw file."""
    with tempfile.TemporaryDirectory() as folder:
        deck, raw = Path(folder) / "a.cir", Path(folder) / "a.raw"
        deck.write_text(text)
        done = subprocess.run(
            ["ngspice", "-b", "-r", str(raw), str(deck)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not raw.exists() or "aborted" in done.stdout + done.stderr:
            raise SystemExit((done.stdout + done.stderr)[-3000:])
        head, _, data = raw.read_bytes().partition(b"Binary:\n")
    lines = head.decode().split("Variables:\n")[1].splitlines()
    names = [line.split()[1].lower() for line in lines if line.strip()]
    return dict(zip(names, np.frombuffer(data, dtype="<f8")[: len(names)], strict=True))


def main() -> None:
    """Write the files."""
    for number, (name, case) in enumerate(CASES.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        (rows, cols), kind, top, wires, law, series = case
        rng = np.random.default_rng(100 + number)
        g = 10 ** rng.uniform(-6, -4, (rows, cols))
        drive = applied(kind, top, rows, cols, rng)
        text, net = netlist(case, g, drive)
        found = run(text)

        def voltage(node: str, net: Any = net, found: Any = found) -> float:
            return found[f"v({net.node(node)})"]

        cells = [(i, j) for i in range(rows) for j in range(cols)]
        word = np.array([voltage(f"w{i}_{j}") for i, j in cells]).reshape(rows, cols)
        bit = np.array([voltage(f"b{i}_{j}") for i, j in cells]).reshape(rows, cols)
        current = np.array([found[f"i(vc{i}_{j})"] for i, j in cells]).reshape(rows, cols)
        described = json.dumps({"wires": wires, "law": law, "series": series})
        np.savez_compressed(
            HERE / f"{name}.npz",
            case=described,
            g=g,
            **drive,
            word=word,
            bit=bit,
            current=current,
        )
        print(f"{name:24}{np.abs(current).max():12.3e} A largest cell current")


if __name__ == "__main__":
    main()
