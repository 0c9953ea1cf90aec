"""Netlists: solved here by nodal analysis always, by ngspice where it is installed."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from memcore import Crossbar, MemcoreError, SpiceError, Stream, Wires, circuit, spice
from memcore.circuit import Drive
from memcore.cli.main import main
from memcore.spice.check import compare

ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
ORACLES = Path(__file__).parent / "oracles"
G = 1e-6 + 1e-4 * Stream(0).uniform((7, 5)).double()
V = 0.4 * Stream(1).uniform((7,)).double() - 0.2
WIRES = Wires(word_line=3.0, bit_line=2.0, driver=10.0, sense=5.0)

WIRINGS = {
    "no resistance": Wires(),
    "no resistance, both ends": Wires(drive="both", sense_at="both"),
    "word lines only": Wires(word_line=4.0),
    "bit lines only": Wires(bit_line=4.0, drive="both"),
    "ends": WIRES,
    "no end segments": Wires(word_line=3.0, bit_line=2.0, driver=9.0, first=False, last=False),
    "right and top": Wires(word_line=3.0, bit_line=2.0, driver=9.0, drive="right", sense_at="top"),
    "both ends": Wires(word_line=3.0, bit_line=2.0, sense=5.0, drive="both", sense_at="both"),
    "each segment": Wires(
        word_line=5 * Stream(2).uniform((7, 5)).double(),
        bit_line=5 * Stream(3).uniform((8, 5)).double(),
        driver=9 * Stream(4).uniform((7,)).double(),
        sense=9 * Stream(5).uniform((5,)).double(),
        drive="right",
        sense_at="both",
    ),
}

CELLS = {
    "sinh": {"law": circuit.Sinh(v0=0.1, read_voltage=0.2)},
    "sinh of each cell": {"law": circuit.Sinh(v0=0.1 + 0.1 * Stream(5).uniform((7, 5)).double())},
    "polynomial": {"law": circuit.Polynomial(coefficients=(1.0, 0.2, 0.6), limit=0.15)},
    "transistor": {
        "series": circuit.Transistor(
            gate_voltage=torch.linspace(0.3, 2.0, 5).double(), gain=4e-4, modulation=0.1
        )
    },
    "selector": {"series": circuit.Selector(i0=1e-8, v0=0.09)},
    "threshold selector": {
        "series": circuit.ThresholdSelector(
            v_th=0.1, v_hold=0.05, r_on=2e3, r_off=1e8, smoothing=0.02
        )
    },
    "sinh and selector": {
        "law": circuit.Sinh(v0=0.1, read_voltage=0.2),
        "series": circuit.Selector(i0=1e-8, v0=0.09),
    },
}


def largest(solution, result):
    return max(each.relative for each in compare(solution, result))


@pytest.mark.parametrize("wiring", WIRINGS)
def test_netlists_of_resistors_are_the_circuit_that_is_solved(wiring, nodal):
    wires = WIRINGS[wiring]
    solution = circuit.solve(G, wires, Drive.read(V), tolerance=1e-13)
    assert largest(solution, nodal(spice.netlist(G, V, wires=wires))) < 1e-9


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating", "grounded"])
def test_netlists_hold_what_write_schemes_apply(scheme, nodal):
    drive = Drive.select(7, 5, 5, 1, 1.2, scheme)
    solution = circuit.solve(G, WIRES, drive, tolerance=1e-13)
    assert largest(solution, nodal(spice.netlist(G, drive, wires=WIRES))) < 1e-9


@pytest.mark.parametrize("file", sorted(ORACLES.glob("ngspice/*16x40.npz")), ids=lambda f: f.stem)
def test_netlists_have_the_currents_that_ngspice_has_for_these_arrays(file, nodal):
    stored = np.load(file)
    word, bit, source, end, first, last = (float(x) for x in stored["params"])
    wires = Wires(
        word_line=word, bit_line=bit, driver=source, sense=end, first=first > 0, last=last > 0
    )
    netlist = spice.netlist(
        torch.from_numpy(stored["G"]), torch.from_numpy(stored["V"]), wires=wires
    )
    wanted = torch.from_numpy(stored["I"])
    torch.testing.assert_close(nodal(netlist).current, wanted, rtol=1e-9, atol=0)


@ngspice
@pytest.mark.parametrize("wiring", WIRINGS)
def test_ngspice_agrees_on_ohmic_cells(wiring):
    found = spice.check(G, V, wires=WIRINGS[wiring], tolerance=1e-9)
    assert found.ok, str(found)
    assert str(found).endswith("agree within 1e-09")


@ngspice
@pytest.mark.parametrize("scheme", ["read", "V/2", "grounded"])
@pytest.mark.parametrize("cells", CELLS)
def test_ngspice_agrees_on_cells_that_are_not_ohmic(cells, scheme):
    drive = V if scheme == "read" else Drive.select(7, 5, 5, 1, 0.6, scheme)
    found = spice.check(G, drive, wires=WIRES, **CELLS[cells])
    assert found.ok, str(found)


@ngspice
@pytest.mark.parametrize("cells", ["sinh", "transistor", "selector"])
def test_ngspice_agrees_on_floating_lines(cells):
    drive = Drive.select(7, 5, 5, 1, 0.6, "floating")
    found = spice.check(G, drive, wires=WIRES, **CELLS[cells])
    assert found.ok, str(found)


def _made(described):
    if described is None:
        return None
    given = {k: tuple(v) if k == "coefficients" else v for k, v in described.items()}
    kind = getattr(circuit, given.pop("kind"))
    if "gate_voltage" in given:
        given["gate_voltage"] = torch.tensor(given["gate_voltage"]).double()
    return kind(**given)


NONLINEAR = sorted(ORACLES.glob("ngspice_nonlinear/*.npz"))
SLOW = ("threshold_v2", "threshold_read")  # ngspice takes seconds for them


@ngspice
@pytest.mark.parametrize(
    "file", [file for file in NONLINEAR if file.stem not in SLOW], ids=lambda file: file.stem
)
def test_ngspice_finds_in_netlists_what_it_found_in_netlists_of_other_make(file):
    stored = np.load(file)
    case = json.loads(str(stored["case"]))
    tensor = {name: torch.from_numpy(stored[name]) for name in stored if name != "case"}
    drive = Drive(
        word_line=tensor["v"],
        bit_line=tensor["end"],
        floating_word_lines=tensor["open_word"],
        floating_bit_lines=tensor["open_bit"],
    )
    netlist = spice.netlist(
        tensor["g"],
        drive,
        wires=Wires(**case["wires"]),
        law=_made(case["law"]),
        series=_made(case["series"]),
    )
    found = spice.run(netlist)
    volts = float(tensor["v"].abs().max())
    for mine, theirs, scale in (
        (found.word_line, tensor["word"], volts),
        (found.bit_line, tensor["bit"], volts),
        (found.cell_current, tensor["current"], float(tensor["current"].abs().max())),
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6 * scale)


@ngspice
def test_a_wrong_answer_is_noticed():
    found = spice.check(G, V, wires=WIRES, tolerance=1e-18)
    assert not found.ok
    assert "DO NOT AGREE within 1e-18" in str(found)


@ngspice
def test_every_array_of_a_crossbar_is_a_circuit_of_its_own():
    crossbar = Crossbar(G, wires=WIRES, tile=(4, 3), law=circuit.Sinh(v0=0.3))
    found = [spice.check(crossbar, V, array=k) for k in range(4)]
    assert all(each.ok for each in found)
    whole = crossbar @ V
    tiles = torch.stack([each.result.current for each in found]).view(2, 2, 3).sum(0)
    torch.testing.assert_close(tiles.flatten()[:5], whole, rtol=1e-6, atol=0)


@ngspice
def test_ngspice_says_why_it_fails():
    bad = spice.netlist(G, V, wires=WIRES).replace(
        "R_0_0 w_0_0", "B_0_0 w_0_0 b_0_0 i=no_such(1) ;"
    )
    with pytest.raises(MemcoreError, match=r"found no operating point: .*no_such"):
        spice.run(bad)


def test_without_ngspice_there_is_advice(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MemcoreError, match="install ngspice: apt install ngspice"):
        spice.run(spice.netlist(G, V))


def test_a_program_that_hangs_is_stopped(tmp_path, monkeypatch):
    fake = tmp_path / "ngspice"
    fake.write_text(f"#!{sys.executable}\nimport time\n\ntime.sleep(60)\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(MemcoreError, match=r"not finished after 0\.2 s"):
        spice.run(spice.netlist(G, V), timeout=0.2)


def test_the_netlist_of_two_cells_is_what_one_would_write():
    g = torch.tensor([[1e-4, 0.0]], dtype=torch.float64)
    wires = Wires(word_line=1.0, bit_line=2.0, driver=50.0)
    lines = spice.netlist(g, torch.tensor([0.1], dtype=torch.float64), wires=wires).splitlines()
    assert lines[0].endswith("a crossbar of 1 word lines and 2 bit lines")
    assert [line for line in lines if line[0] not in "*."][:9] == [
        "Rw_0_left d_0 w_0_0 51.0",
        "Rw_0_0 w_0_0 w_0_1 1.0",
        "Vd_0 d_0 0 0.1",
        "Rb_0_bottom b_0_0 e_0 2.0",
        "Ve_0 e_0 0 0.0",
        "Rb_1_bottom b_0_1 e_1 2.0",
        "Ve_1 e_1 0 0.0",
        "R_0_0 w_0_0 b_0_0 10000.0",
        "set numdgt=16",
    ]
    assert "* no current through the cell of w_0_1 and b_0_1" in lines


def test_lines_that_hang_on_nothing_are_given_a_potential(nodal):
    g = G.clone()
    g[2] = 0
    drive = Drive.select(7, 5, 5, 1, 1.0, "floating")
    netlist = spice.netlist(g, drive, wires=WIRES)
    assert [line for line in netlist.splitlines() if line.startswith("Vt_")] == [
        "Vt_w_2_0 w_2_0 0 0"
    ]
    assert largest(circuit.solve(g, WIRES, drive), nodal(netlist)) < 1e-8


@pytest.mark.parametrize("gates", [0.1, torch.tensor([0.1, 1.0, 0.1, 0.1, 1.0]).double()])
@pytest.mark.parametrize("missing", [False, True])
def test_memristors_of_cells_without_current_have_the_voltage_that_memcore_finds(
    gates, missing, nodal
):
    """None behind a transistor that is off, all of it where the memristor does not conduct."""
    g = G.clone()
    g[:, 1::2] = 0 if missing else g[:, 1::2]
    series = circuit.Transistor(gate_voltage=gates, gain=1e9)  # as good as a wire where it is on
    solution = circuit.solve(g, WIRES, Drive.read(V), series=series)
    on = torch.as_tensor(gates).expand(5) > 0.5
    netlist = spice.netlist(g, V, wires=WIRES, series=series)
    for name in re.findall(r"^Bs_\S+ \S+ \S+", netlist, re.MULTILINE):
        netlist += f"V{name} 0\n"
    found = nodal(netlist).device_voltage
    torch.testing.assert_close(found, solution.device_voltage, rtol=0, atol=1e-8)
    assert torch.equal(found[:, ~on], torch.zeros_like(found[:, ~on]))


@ngspice
def test_ngspice_agrees_where_all_transistors_are_off():
    off = circuit.Transistor(gate_voltage=0.1)
    found = spice.check(G, V, wires=WIRES, series=off)
    assert found.ok, str(found)


class Cubic:
    """A law of one's own."""

    def current(self, u, g):
        return g * (u + u**3)

    def slope(self, u, g):
        return g * (1 + 3 * u**2)

    def spice(self, u, g, row, col):
        del row, col
        return f"{g!r}*({u}+{u}*{u}*{u})"


def test_a_law_of_ones_own_says_what_it_is_for_ngspice():
    assert "*v(w_0_0,b_0_0)*v(w_0_0,b_0_0)" in spice.netlist(G, V, law=Cubic())


@ngspice
def test_ngspice_agrees_on_a_law_of_ones_own():
    assert spice.check(G, 3 * V, wires=WIRES, law=Cubic()).ok


class Unwritten:
    """A law, or what is in series, that is no formula."""

    def current(self, u, g=1.0):
        return g * u

    def slope(self, u, g=1.0):
        return g + 0 * u


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"v": V[:3]}, r"word_line has shape \[3\]; expected one vector, \[7\]"),
        ({"v": V.expand(2, 7)}, r"shape \[2, 7\].*select it"),
        ({"cells": G[0]}, r"the conductances have shape \[5\]; expected \[rows, cols\] or"),
        ({"cells": G.tolist()}, "cells is a list; expected a Crossbar, or a tensor"),
        ({"cells": G, "array": 1}, r"array=1 of conductances of shape \[1, 7, 5\]"),
        ({"cells": Crossbar(G), "array": 1}, "array=1 of conductances"),
        ({"cells": Crossbar(G), "v": V[:3]}, "expected one vector of 7 V"),
        ({"wires": Wires(driver=torch.ones(4))}, r"wires.driver has shape \[4\]"),
        ({"cells": -G}, "negative entries or NaN, or infinite ones .*; expected siemens"),
        ({"cells": G * torch.nan}, "negative entries or NaN, or infinite ones"),
        ({"v": V / 0}, "word_line has infinite entries or NaN; expected V"),
        (
            {"v": Drive(word_line=V, bit_line=torch.full((5,), torch.nan).double())},
            "bit_line has infinite entries or NaN",
        ),
        ({"law": Unwritten()}, "the law Unwritten has no expression in ngspice"),
        ({"series": Unwritten()}, "the series element Unwritten has no expression"),
        ({"law": object()}, "expected an object with methods current and slope, Sinh"),
        ({"series": object()}, "expected an object with methods current and slope, Selector"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, message):
    with pytest.raises(MemcoreError, match=message):
        spice.netlist(**{"cells": G, "v": V, **arguments})


def invoke(*arguments):
    return CliRunner().invoke(main, ["spice", *map(str, arguments)])


@ngspice
@pytest.mark.parametrize("cells", [[], ["--law", "sinh", "--series", "transistor"]])
def test_a_random_array_is_checked_on_the_command_line(cells):
    done = invoke("check", "--rows", 6, "--cols", 4, "--scheme", "V/2", *cells)
    assert done.exit_code == 0, done.output
    assert "6 word lines, 4 bit lines" in done.output
    assert invoke("check", "--tolerance", 1e-19, *cells).exit_code == 1


@ngspice
def test_sorted_lines_are_checked_on_the_command_line():
    arguments = ("--placement", "sorted", "--driver", 20, "--sense-at", "both")
    done = invoke("check", *arguments, "--series", "selector", "--scheme", "V/2")
    assert done.exit_code == 0, done.output
    assert "These bit lines lie next to each other" in invoke("netlist", *arguments).output


def test_schemes_may_be_typed_in_lower_case():
    lower, upper = (invoke("netlist", "--scheme", scheme) for scheme in ("v/2", "V/2"))
    assert lower.exit_code == upper.exit_code == 0, lower.output
    assert lower.output == upper.output


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_conductances_come_from_a_file(tmp_path, suffix):
    path, out = tmp_path / f"g{suffix}", tmp_path / "array.cir"
    if suffix == ".npy":
        np.save(path, G.numpy())
    else:
        np.savetxt(path, G.numpy(), delimiter=",")
    done = invoke("netlist", path, "-o", out)
    assert done.exit_code == 0, done.output
    assert f"R_6_4 w_6_4 b_6_4 {1 / float(G[6, 4])!r}" in out.read_text()
    assert "a crossbar of 7 word lines" in invoke("netlist", path).output


def test_a_file_without_numbers_is_an_error(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("word line,bit line\n1,2\n")
    done = invoke("netlist", path)
    assert done.exit_code == 2
    assert ".csv without a header" in done.output
    assert invoke("netlist", "--r-on", 1e6, "--r-off", 1e3).exit_code == 2


@pytest.mark.parametrize(
    ("option", "beside"),
    [
        (("--rows", 5), ""),
        (("--cols", 6), ""),  # the default, but given
        (("--r-on", 1), ""),
        (("--r-off", 1e9), ""),
        (("--seed", 3, "--scheme", "V/2"), ""),
        (("--v0", 0.3), "--law ohmic"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, option, beside):
    path = tmp_path / "g.csv"
    np.savetxt(path, G.numpy(), delimiter=",")
    assert invoke("netlist", path, "--seed", 3, "--law", "sinh", "--v0", 0.3).exit_code == 0
    done = invoke("netlist", path, *option)
    assert done.exit_code == 2
    assert f"error: {option[0]} has no effect beside {beside}" in done.output


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize("option", ["--segment", "--voltage", "--r-off", "--tolerance"])
def test_numbers_that_are_none_are_refused_in_one_line(option, number):
    done = invoke("check", option, number)
    assert done.exit_code == 2
    assert done.output == f"error: {option} {number}; expected a finite number\n"


def test_a_netlist_needs_a_place(tmp_path):
    done = invoke("netlist", "-o", tmp_path / "none" / "x.cir", "--segment", 1e300)
    assert done.exit_code == 2
    assert done.output.startswith(f"error: there is no folder '{tmp_path / 'none'}' to write")
    long = tmp_path / ("x" * 300)
    assert invoke("netlist", "-o", long).output.startswith(f"error: '{long}' cannot be written")


def test_a_check_that_takes_long_says_so_and_can_be_limited(monkeypatch):
    given = []

    def run(deck, timeout):
        given.append(timeout)
        raise SpiceError("stopped")

    monkeypatch.setattr(sys.modules["memcore.spice.check"], "run", run)
    arguments = ["spice", "check", "--rows", "64", "--cols", "64", "--timeout", "7"]
    done = CliRunner().invoke(main, arguments)
    assert given == [7.0]
    assert "ngspice takes about 5 s or more for 64 x 64 cells" in done.output
    done = CliRunner().invoke(main, ["spice", "check"])
    assert "takes about" not in done.output
