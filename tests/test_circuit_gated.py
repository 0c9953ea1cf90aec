"""1T1R cells whose gates are lines: against ngspice's MOSFET, closed forms and limits."""

import shutil

import pytest
import torch

from memcore import ConfigError, Crossbar, Stream, Wires, circuit, spice
from memcore.circuit import Drive, Transistor, single_cell_voltage, solve

ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
G = 10 ** -(4 + 2 * Stream(0).uniform((6, 5)).double())
WIRES = Wires(word_line=3.0, bit_line=2.0, driver=50.0, sense=20.0)
DRIVE = Drive(
    word_line=1.2 * Stream(1).uniform((6,)).double(),
    bit_line=1.5 * Stream(2).uniform((5,)).double(),
)
OPEN = Drive(
    word_line=DRIVE.word_line,
    bit_line=DRIVE.bit_line,
    floating_word_lines=torch.tensor([False, True, False, True, False, False]),
    floating_bit_lines=torch.tensor([True, False, False, True, False]),
)
ACCESS = {
    "plain": Transistor(gate_line=1.6),
    "body effect": Transistor(gate_line=1.6, body_effect=0.45, modulation=0.05, body=-0.2),
    "body above the source": Transistor(gate_line=1.6, body_effect=0.45, body=0.3),
    "gates along bit lines": Transistor(
        gate_line=torch.linspace(1.5, 2.2, 5).double(), gain=3e-4, threshold=0.4
    ),
}


def volts(*each):
    return torch.tensor(each, dtype=torch.float64)


@ngspice
@pytest.mark.parametrize("drive", [DRIVE, OPEN], ids=["driven", "open lines"])
@pytest.mark.parametrize("wires", [Wires(), WIRES], ids=["ideal", "wires"])
@pytest.mark.parametrize("access", ACCESS)
def test_ngspice_agrees_on_gate_lines(access, wires, drive):
    report = spice.check(G, drive, wires=wires, series=ACCESS[access])
    assert report.ok, str(report)


@ngspice
def test_ngspice_agrees_on_curved_cells_behind_a_gate_line():
    law = circuit.Sinh(v0=0.2, read_voltage=0.2)
    report = spice.check(G, DRIVE, wires=WIRES, law=law, series=ACCESS["body effect"])
    assert report.ok, str(report)


@ngspice
def test_ngspice_agrees_on_sorted_lines_behind_gates():
    cells = Crossbar(
        G,
        nonidealities=[{"name": "ir_drop", "segment": 3.0, "placement": "sorted"}],
    )
    gates = torch.linspace(1.5, 2.2, 5).double().expand(6, 5)
    report = spice.check(cells, DRIVE, series=Transistor(gate_line=gates))
    assert report.ok, str(report)


def test_a_saturated_reset_is_a_source_follower():
    # B/2 (V_G - V_T - U)^2 = U G, the memristor at the source.
    found = solve(
        volts([1e-4]),
        Wires(),
        Drive(word_line=volts(0.0), bit_line=volts(2.0)),
        series=Transistor(gate_line=1.6),
    )
    root = 1.2 - (1.2**2 - 1.1**2) ** 0.5
    torch.testing.assert_close(found.device_voltage, volts([-root]), rtol=1e-12, atol=0)


def test_a_reset_leaves_less_than_a_set():
    for cell in (1e-4, 1 / 3.3e3):
        sets, resets = single_cell_voltage(
            volts(1.0, -1.0), volts(cell), volts(0.0), series=Transistor(gate_line=1.6)
        ).tolist()
        assert 0 < -resets < 0.8 * sets


def test_the_body_effect_leaves_a_reset_even_less():
    both = [
        single_cell_voltage(
            volts(-1.5), volts(1e-4), volts(0.0), series=Transistor(gate_line=1.6, body_effect=y)
        )
        for y in (0.0, 0.45)
    ]
    assert both[0] < both[1] < 0


def test_a_set_is_the_same_with_a_gate_that_follows_the_source():
    drive = Drive.read(volts(1.0))
    found, follows = (
        solve(volts([1e-4]), Wires(), drive, series=access).device_voltage
        for access in (Transistor(gate_line=1.6), Transistor(gate_voltage=1.6))
    )
    torch.testing.assert_close(found, follows, rtol=1e-12, atol=0)


@pytest.mark.parametrize("voltage", [1.0, -1.0])
def test_a_cell_alone_is_what_the_circuit_of_one_cell_has(voltage):
    access = Transistor(gate_line=1.6, body_effect=0.45)
    drive = Drive(word_line=volts(max(voltage, 0.0)), bit_line=volts(max(-voltage, 0.0)))
    wires = Wires(driver=300.0, sense=200.0)
    whole = solve(volts([1e-4]), wires, drive, series=access).device_voltage[0, 0]
    word, bit = circuit.path_resistances(1, 1, wires)
    alone = single_cell_voltage(
        volts(voltage), volts(1e-4), (word + bit)[0], series=access, bit_resistance=bit[0]
    )
    torch.testing.assert_close(alone[0], whole, rtol=1e-10, atol=0)


def test_each_vector_is_solved_by_itself():
    drive = Drive(
        word_line=torch.stack([DRIVE.word_line, 0 * DRIVE.word_line]), bit_line=DRIVE.bit_line
    )
    access = ACCESS["body effect"]
    both = solve(G, WIRES, drive, series=access)
    one = solve(G, WIRES, DRIVE, series=access)
    torch.testing.assert_close(both.cell_current[0], one.cell_current, rtol=1e-9, atol=1e-15)


def test_a_solution_is_where_the_next_one_starts():
    access = ACCESS["body effect"]
    found = solve(G, WIRES, OPEN, series=access)
    again = solve(G, WIRES, OPEN, series=access, start=found)
    assert again.iterations == 0


def test_currents_are_derivatives_of_what_is_said_to_be_their_slope():
    upper = torch.linspace(-0.4, 1.5, 39, dtype=torch.float64).requires_grad_()
    lower = torch.linspace(1.1, -0.3, 39, dtype=torch.float64).requires_grad_()
    found = ACCESS["body effect"].between(upper, lower)
    slopes = torch.autograd.grad(found.current.sum(), [upper, lower])
    torch.testing.assert_close(found.upper, slopes[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.lower, -slopes[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ohm", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("volt", [0.1, 1.0, 3.0])
def test_gate_lines_converge_in_lossy_arrays(ohm, volt):
    g = 10 ** -(3 + 3 * Stream(3).uniform((24, 20)).double())
    drive = Drive.select(24, 20, 23, 0, volt, "floating")
    wires = Wires(word_line=ohm, bit_line=ohm)
    law = circuit.Sinh(v0=0.1)
    found = solve(g, wires, drive, law=law, series=Transistor(gate_line=1.6))
    assert bool(found.converged)


def test_single_precision_agrees_with_double_on_gate_lines():
    access = Transistor(gate_line=1.6)
    single = Drive(word_line=DRIVE.word_line.float(), bit_line=DRIVE.bit_line.float())
    low = solve(G.float(), WIRES, single, series=access).cell_current
    high = solve(G, WIRES, DRIVE, series=access).cell_current
    torch.testing.assert_close(low.double(), high, rtol=1e-3, atol=1e-5 * float(high.abs().max()))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "expected one of the two"),
        ({"gate_line": 1.6, "gate_voltage": 1.6}, "expected one of the two"),
        ({"gate_voltage": 1.6, "body_effect": 0.4}, "expected gate_line="),
        ({"gate_line": 1600.0}, "at most 1000"),
    ],
)
def test_what_a_transistor_cannot_be_is_refused(given, text):
    with pytest.raises(ConfigError, match=text):
        Transistor(**given)
