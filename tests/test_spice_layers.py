"""Netlists of layers, and of lines that lie in another order than their numbers."""

import dataclasses
import shutil

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, Crossbar, CrossbarConfig, Stream, Wires, circuit, spice
from memcore.circuit import Drive
from memcore.spice.check import compare

ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
G = 1e-6 + 1e-4 * Stream(0).uniform((7, 5)).double()
WIRES = Wires(word_line=3.0, bit_line=2.0, driver=10.0, sense=5.0)
V = 0.2 * Stream(1).uniform((7,)).double()
ENDS = [("left", "bottom"), ("right", "top"), ("both", "both")]
SORTED = {"name": "ir_drop", "segment": 4.0, "driver": 20.0, "placement": "sorted"}
SHARED = {"name": "ir_drop", "segment": 4.0, "driver": 20.0, "columns": "shared"}
BOTH = {**SHARED, "placement": "sorted", "drive": "both"}


def largest(solution, result):
    return max(each.relative for each in compare(solution, result))


def converted(effect, layer=None, **settings):
    torch.manual_seed(0)
    layer = nn.Linear(10, 5) if layer is None else layer
    config = {"device": {"name": "ideal", "r_on": 1e4, "r_off": 1e6}, "tile": (4, 3), **settings}
    return memcore.convert(layer, CrossbarConfig(**config, nonidealities=[effect])).crossbar


def inputs(crossbar):
    tiling = crossbar.tiling
    return 0.2 * Stream(3).uniform((tiling.groups, tiling.rows)).double()


@pytest.mark.parametrize(("drive", "sense_at"), ENDS)
def test_sorted_lines_carry_the_currents_of_the_matrix_and_keep_their_numbers(
    drive, sense_at, nodal
):
    effect = {**SORTED, "drive": drive, "sense_at": sense_at, "word_line": 7.0, "sense": 5.0}
    crossbar = Crossbar(G, nonidealities=[effect])
    found = nodal(spice.netlist(crossbar, V))
    torch.testing.assert_close(found.current, V @ crossbar.folded[0].mT, rtol=1e-9, atol=0)
    assert largest(crossbar.solve(V), found) < 1e-8
    plain = Crossbar(G, nonidealities=[{**effect, "placement": "as_mapped"}])
    assert not torch.allclose(plain @ V, found.current, rtol=1e-4)


def test_the_netlist_says_where_sorted_lines_lie():
    g = torch.tensor([[1e-4, 1e-5], [1e-6, 1e-5], [1e-5, 1e-3]], dtype=torch.float64)
    netlist = spice.netlist(Crossbar(g, nonidealities=[SORTED]), V[:3])
    lines = netlist.splitlines()
    assert lines[
        lines.index("* These word lines lie next to each other, from top to bottom:") + 1
    ] == ("*   1 0 2")
    assert lines[
        lines.index("* These bit lines lie next to each other, from left to right:") + 1
    ] == ("*   1 0")
    assert "Rw_2_left d_2 w_2_1 24.0" in lines
    assert "Rw_2_1 w_2_1 w_2_0 4.0" in lines
    assert "Rb_0_1 b_0_1 b_2_1 4.0" in lines


@pytest.mark.parametrize("scheme", ["V/2", "floating"])
def test_a_write_scheme_selects_the_cell_by_its_number_wherever_it_lies(scheme, nodal):
    crossbar = Crossbar(G, nonidealities=[SORTED])
    drive = Drive.select(7, 5, 5, 1, 1.2, scheme)
    solution = crossbar.solve(drive)
    assert int(solution.cell_voltage.argmax()) == 5 * 5 + 1
    assert largest(solution, nodal(spice.netlist(crossbar, drive))) < 1e-8


@ngspice
@pytest.mark.parametrize("scheme", ["read", "V/2"])
def test_parameters_of_single_cells_follow_their_lines(scheme):
    crossbar = Crossbar(G, nonidealities=[SORTED])
    law = circuit.Sinh(v0=0.1 + 0.1 * Stream(5).uniform((7, 5)).double())
    gate = circuit.Transistor(gate_voltage=torch.linspace(0.6, 2.0, 7).double()[:, None], gain=4e-4)
    drive = V if scheme == "read" else Drive.select(7, 5, 5, 1, 0.6, scheme)
    found = spice.check(crossbar, drive, law=law, series=gate)
    assert found.ok, str(found)
    gates = gate.current(found.solution.cell_voltage - found.solution.device_voltage)
    scale = float(gates.abs().max())
    torch.testing.assert_close(found.solution.cell_current, gates, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize("effect", [SHARED, BOTH], ids=["shared", "shared and sorted"])
def test_parts_that_share_word_lines_are_one_array(effect, nodal):
    crossbar = converted(effect)
    v, solution = inputs(crossbar), crossbar.solve(inputs(crossbar)[0])
    assert solution.word_line.shape == (6, 4, 6)
    found = [nodal(spice.netlist(crossbar, v, array=k)) for k in range(6)]
    assert max(largest(solution[k], each) for k, each in enumerate(found)) < 1e-8
    current = (
        torch.stack([each.current for each in found]).view(3, 2, 3, 2).sum(0).flatten(0, 1)[:5]
    )
    folded = crossbar.folded[0].double() / crossbar.gain.double()
    expected = folded @ v[0]
    scale = float(current.abs().max())
    torch.testing.assert_close(current[:, 0] - current[:, 1], expected, rtol=0, atol=1e-6 * scale)


def test_every_array_of_a_layer_is_chosen_by_its_number(nodal):
    crossbar = converted({"name": "ir_drop", "segment": 4.0})
    v, solution = inputs(crossbar), crossbar.solve(inputs(crossbar))
    assert solution.word_line.shape == (1, 12, 4, 3)
    netlists = [spice.netlist(crossbar, v, array=k) for k in range(12)]
    found = torch.stack([nodal(each).current for each in netlists])
    torch.testing.assert_close(found, solution[0].current, rtol=1e-8, atol=1e-14)
    assert "* array 11 of 12, rows 8 to 9 and columns 3 to 4 of part 1" in netlists[11]
    parts = crossbar.tiling.gather(found.unsqueeze(0)).sum(3)[:, 0, 0]
    expected = crossbar.folded[0].double() @ v[0] / crossbar.gain.double()
    scale = float(parts.abs().max())
    torch.testing.assert_close(parts[0] - parts[1], expected, rtol=0, atol=1e-6 * scale)


def test_groups_of_a_convolution_have_inputs_of_their_own(nodal):
    layer = nn.Conv1d(4, 6, 1, groups=2, bias=False)
    crossbar = converted(SHARED, layer, mapper="offset", tile=None)
    v = inputs(crossbar)
    assert v.shape == (2, 2)
    solution = crossbar.solve(torch.stack([v, 2 * v]))
    assert solution.word_line.shape == (2, 2, 2, 4)  # three columns and a reference
    for k in range(2):
        found = nodal(spice.netlist(crossbar, v, array=k))
        assert largest(solution[0, k], found) < 1e-8
    with pytest.raises(ConfigError, match=r"expected v \[\.\.\., 2, 2\]"):
        crossbar.solve(v[0])
    with pytest.raises(ConfigError, match=r"for each of the 2 group"):
        spice.netlist(crossbar, v[0])


@ngspice
@pytest.mark.parametrize("effect", [SORTED, SHARED, BOTH], ids=["sorted", "shared", "both"])
def test_ngspice_agrees_on_an_array_of_a_layer(effect):
    crossbar = converted(effect, tile=(8, 5))
    found = spice.check(crossbar, inputs(crossbar), array=1, tolerance=1e-9)
    assert found.ok, str(found)


@pytest.mark.parametrize("law", ["sinh", "polynomial"])
def test_curved_cells_have_a_circuit_without_wires(law):
    effect = memcore.nonidealities["nonlinear_iv"](law=law, v0=memcore.Normal(0.2, 0.02, min=0.1))
    crossbar = Crossbar(G, nonidealities=[effect])
    torch.testing.assert_close(crossbar.solve(V).current, crossbar @ V, rtol=1e-8, atol=0)
    twice = dataclasses.replace(effect, read_voltage=0.1)
    assert "B_6_4 w_6_4 b_6_4 i=" in spice.netlist(Crossbar(G, nonidealities=[twice]), V)


@pytest.mark.parametrize("name", ["ir_drop_series", "ir_drop_profile"])
def test_approximations_have_no_circuit(name):
    crossbar = Crossbar(G, nonidealities=[name])
    for refused in (crossbar.solve, lambda v: spice.netlist(crossbar, v)):
        with pytest.raises(ConfigError, match=f"'{name}' is an approximation: there is no circuit"):
            refused(V)


def test_wires_that_are_given_keep_the_order_of_the_lines(nodal):
    crossbar = Crossbar(G, nonidealities=[SORTED])
    wires = dataclasses.replace(WIRES, word_line=torch.linspace(1, 5, 5).double())
    found = nodal(spice.netlist(crossbar, V, wires=wires))
    rows, cols = (
        crossbar.cells.effects.product.row_order[0],
        crossbar.cells.effects.product.col_order[0],
    )
    expected = circuit.solve(G[rows][:, cols], wires, Drive.read(V[rows])).current
    torch.testing.assert_close(found.current[cols], expected, rtol=1e-8, atol=0)
