"""What is handed to the circuit solver and does not fit is named."""

import math

import pytest
import torch

from memcore import (
    ConfigError,
    Crossbar,
    MemcoreError,
    NoEffectWarning,
    Stream,
    Wires,
    circuit,
    devices,
    effective_conductance,
    spice,
)
from memcore.circuit import Drive, OfDevice, Polynomial, Selector, Sinh, Transistor, solve

ROWS, COLS = 6, 4
G = torch.linspace(1e-5, 1e-4, ROWS * COLS, dtype=torch.float64).view(ROWS, COLS)
WIRES = Wires(word_line=1.0, bit_line=2.0)
V = torch.linspace(0.1, 0.6, ROWS, dtype=torch.float64)
VTEAM = devices["vteam"]()
THRESHOLD = circuit.ThresholdSelector(v_th=0.8, v_hold=0.3, r_on=2e3, r_off=1e8)


def ones(*shape):
    return torch.ones(shape, dtype=torch.float64)


def opened(*shape):
    return torch.zeros(shape, dtype=torch.bool)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"law": Sinh(v0=ones(5, 4))}, r"Sinh.v0 has shape \[5, 4\], but g has \[6, 4\]; expected"),
        ({"law": Sinh(v0=ones(6))}, r"Sinh.v0 has shape \[6\].*\[6, 1\] for one of each word line"),
        (
            {"law": OfDevice(device=VTEAM, state=VTEAM.state_of(G.mT))},
            r"OfDevice.state\[0\] has shape \[4, 6\], but g has \[6, 4\]",
        ),
        (
            {"law": OfDevice(device=VTEAM, state=G)},
            r"OfDevice.state has shape \[6, 4\]; expected \[k, ..., 6, 4\]",
        ),
        (
            {"series": Transistor(gate_voltage=ones(6))},
            r"Transistor.gate_voltage has shape \[6\], but g has \[6, 4\]",
        ),
        ({"series": Selector(i0=1e-6, v0=ones(5, 1))}, r"Selector.v0 has shape \[5, 1\]"),
        ({"series": Selector}, r"series is the class Selector; expected an object"),
        ({"law": circuit.Ohmic}, r"law is the class Ohmic; expected an object, Ohmic\(...\)"),
        ({"law": "sinh"}, "law='sinh'; expected an object with methods current and slope"),
        ({"drive": V}, r"drive is a Tensor; expected a Drive, Drive.read\(v\)"),
        ({"start": 1}, "start is a int; expected a Solution"),
        (
            {"g": G.expand(3, 6, 4), "drive": Drive.read(V.expand(2, 6))},
            r"do not broadcast: g \[3\], drive.word_line \[2\]; expected the same number or 1",
        ),
        (
            {"drive": Drive(word_line=V.expand(3, 6), bit_line=ones(2, 4))},
            r"drive.word_line \[3\], drive.bit_line \[2\]",
        ),
        (
            {"drive": Drive(word_line=V, floating_word_lines=opened(5))},
            r"drive.floating_word_lines has shape \[5\], but g has \[6, 4\]; expected \[..., 6\]",
        ),
        (
            {"drive": Drive(word_line=V.expand(2, 6), floating_bit_lines=opened(3, 4))},
            r"drive.word_line \[2\], drive.floating_bit_lines \[3\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(given, text):
    arguments = {"g": G, "wires": WIRES, "drive": Drive.read(V), **given}
    with pytest.raises(MemcoreError, match=text):
        solve(**arguments)


@pytest.mark.parametrize("wires", [1.0, None, {"word_line": 1.0}])
def test_what_are_no_wires_is_named(wires):
    for compute in (
        lambda: effective_conductance(G, wires),
        lambda: solve(G, wires, Drive.read(V)),
        lambda: circuit.path_resistance(ROWS, COLS, wires),
    ):
        with pytest.raises(TypeError, match=f"wires is a {type(wires).__name__}; expected Wires"):
            compute()


def test_arrays_of_numpy_are_named():
    with pytest.raises(TypeError, match=r"g is a ndarray.*use torch.as_tensor\(g\)"):
        effective_conductance(G.numpy(), WIRES)
    with pytest.raises(TypeError, match=r"g is a ndarray.*use torch.as_tensor\(g\)"):
        solve(G.numpy(), WIRES, Drive.read(V))


ALONE = {"voltage": V[:1], "g": G[:1, 0], "resistance": 10 * torch.ones(1, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Drive.select(4, 3, 1, 0, "x"), "voltage='x'; expected a finite number of V"),
        (lambda: Drive.select(4, 3, 1, 0, math.nan), "voltage=nan; expected a finite number of V"),
        (lambda: Drive.select(4, -3, 1, 0, 1.0), "cols=-3; expected an integer >= 1"),
        (lambda: Drive.select("4", 3, 1, 0, 1.0), "rows='4'; expected an integer >= 1"),
        (lambda: Drive.select(4, 3, "a", 0, 1.0), "row='a'; expected an index from 0 to 3"),
        (lambda: Drive.select(4, 3, 0, True, 1.0), "col=True; expected an index from 0 to 2"),
        (lambda: Drive.select(4, 3, 0, V, 1.0), "col=tensor.*; expected an index from 0 to 2"),
        (lambda: Drive.select(4, 3, 0, 0, 1.0, device="x"), "device='x'; expected a torch device"),
        (lambda: Drive.select(4, 3, 0, 0, 1.0, dtype=float), "dtype=.*; expected torch.float64"),
        (lambda: Drive.select(4, 3, 0, 0, 1.0, ["V/2"]), r"scheme=\['V/2'\]; expected one of"),
        (lambda: solve(G, WIRES, Drive.read(V), strict=1), "strict=1; expected True or False"),
        (
            lambda: circuit.ramp(G, WIRES, Drive.read(V), series=THRESHOLD, events="1"),
            "events='1'; expected an integer >= 0",
        ),
        (lambda: circuit.path_resistance(2**20, 2**20, WIRES), "expected an integer >= 1 up to"),
        (lambda: Sinh(v0=0.2, read_voltage=V), "read_voltage is a tensor; expected one number"),
        (lambda: Sinh(v0=V.to_sparse()), "v0=tensor.*; expected V, above 0"),
        (lambda: Sinh(v0=10**400), "v0=.*; expected V, above 0"),
        (lambda: spice.netlist(G, V, law=G), "law=tensor.*; expected an object with methods"),
        (lambda: spice.netlist(G, V, wires=3), "wires is a int; expected Wires"),
        (lambda: spice.netlist(G, V, array="1"), "array='1' of .*; expected the index of one"),
        (lambda: spice.netlist(G.to_sparse(), V), "cells is sparse; expected a dense tensor"),
        (lambda: circuit.path_resistance(-2, 3, WIRES), "rows=-2; expected an integer >= 1"),
        (lambda: circuit.path_resistances(2, 3.5, WIRES), "cols=3.5; expected an integer >= 1"),
        (lambda: circuit.path_resistance(2, 3, WIRES, device="x"), "device='x'; expected a torch"),
        (lambda: single(voltage=1.0), "voltage is a float; expected a tensor .*torch.as_tensor"),
        (lambda: single(g=1e-4), "g is a float; expected a tensor .* in S: use torch.as_tensor"),
        (lambda: single(resistance=10), "resistance is a int; expected a tensor .* in ohm"),
        (lambda: single(g=G[:, 0]), r"g has shape \[6\]; expected one that broadcasts"),
        (lambda: single(g=G[:1, 0].float()), "g is torch.float32, but voltage is torch.float64"),
        (lambda: single(law=3), "law=3; expected an object with methods current and slope"),
        (lambda: single(series=Transistor), "series is the class Transistor; expected an object"),
        (
            lambda: single(series=Transistor(gate_line=1.5), bit_resistance=1.0),
            "bit_resistance is a float; expected a tensor",
        ),
        (lambda: Polynomial(coefficients=("a",)), "a coefficient of Polynomial='a'; expected"),
        (lambda: Polynomial(coefficients=None), "coefficients=None; expected numbers"),
        (lambda: Polynomial(coefficients="1"), "coefficients='1'; expected numbers"),
        (lambda: Polynomial(coefficients=(0, 0)), "expected numbers that are not all 0"),
        (lambda: Polynomial(coefficients=()), r"coefficients=\(\); expected numbers"),
        (lambda: Selector.from_half_bias_ratio("9", 1, 1), "ratio of the selector='9'; expected"),
    ],
)
def test_arguments_of_circuits_that_do_not_fit_are_named(call, text):
    with pytest.raises(MemcoreError, match=text):
        call()


def single(**given):
    return circuit.single_cell_voltage(**{**ALONE, **given})


def test_selection_takes_numbers_and_batches():
    one = Drive.select(4, 3, 1, 2, 1)
    many = Drive.select(4, 3, torch.tensor([1, 0]), 2, torch.tensor([1.0, 2.0]))
    assert torch.equal(many.word_line[0], one.word_line)
    assert many.word_line[1].tolist() == [2.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("given", [{"device": "vteam"}, {"device": type(VTEAM)}, {"state": None}])
def test_a_law_of_a_device_takes_a_device_and_its_state(given):
    (name,) = given
    with pytest.raises(ConfigError, match=f"OfDevice: {name}=.*; expected"):
        OfDevice(**{"device": VTEAM, "state": VTEAM.state_of(G), **given})


@pytest.mark.parametrize("scheme", ["V/2", "floating"])
def test_a_batch_of_laws_is_a_batch_of_circuits(scheme):
    v0 = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)[:, None, None].expand(3, ROWS, COLS)
    drive = Drive.select(ROWS, COLS, 2, 1, 1.0, scheme)
    together = solve(G, WIRES, drive, law=Sinh(v0=v0))
    assert together.current.shape == (3, COLS)
    again = solve(G, WIRES, drive, law=Sinh(v0=v0), start=together)
    assert again.iterations == 0
    alone = solve(G, WIRES, drive, law=Sinh(v0=0.2))
    atol = 1e-8 * float(alone.cell_current.abs().max())
    torch.testing.assert_close(together[1].cell_current, alone.cell_current, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "border",
    [
        lambda g: solve(g, Wires(), Drive.read(V)),
        lambda g: effective_conductance(g, Wires(word_line=1.0)),
        lambda g: circuit.cell_currents(V, g, Wires(word_line=1.0)),
        lambda g: spice.netlist(g, V),
        lambda g: circuit.ramp(g, Wires(), Drive.read(V), series=THRESHOLD),
    ],
)
def test_resistances_are_not_taken_for_conductances(border):
    with pytest.raises(ConfigError, match=r"up to 1e\+04; expected siemens.* give 1 / R"):
        border(torch.full((6, 4), 1e4, dtype=torch.float64))


@pytest.mark.parametrize(
    "border",
    [
        lambda v: solve(G, Wires(), Drive.read(v)),
        lambda v: circuit.cell_currents(v, G, Wires(word_line=1.0)),
        lambda v: spice.netlist(G, v),
    ],
)
def test_millivolts_are_not_taken_for_volts(border):
    with pytest.raises(ConfigError, match="expected at most 1000 V: give volts"):
        border(1e4 * V + 1e4)


def test_currents_in_single_precision_keep_their_tolerance():
    g = 1e-6 + 1e-4 * Stream(0).uniform((128, 128))
    v, wires = 0.2 * Stream(1).uniform((128,)), Wires(word_line=2.0, bit_line=2.0)
    found = circuit.cell_currents(v, g, wires)
    exact = circuit.cell_currents(v.double(), g.double(), wires)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5 * float(exact.max()))


class Falls:
    """Negative differential resistance between 0.2 and 0.4 V."""

    def current(self, u, g):
        return g * (u - 5 * u.abs().clamp(0.2, 0.4) * u.sign() + u.sign())

    def slope(self, u, g):
        return torch.where((u.abs() > 0.2) & (u.abs() < 0.4), -4 * g, g)


def test_a_law_that_falls_is_refused():
    with pytest.raises(ConfigError, match=r"current of Falls falls .* several solutions"):
        solve(G, WIRES, Drive.read(V), law=Falls())


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (lambda x: (G * x, WIRES, Drive.read(V)), "g"),
        (lambda x: (G, WIRES, Drive.read(V * x)), "drive.word_line"),
        (lambda x: (G, Wires(word_line=x), Drive.read(V)), "wires.word_line"),
    ],
)
def test_gradients_that_a_solution_drops_are_said(inputs, names):
    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    with pytest.warns(NoEffectWarning, match=f"respect to {names} are not computed by solve"):
        solve(*inputs(one))
    with torch.no_grad():
        solve(*inputs(one))


def test_gradients_that_currents_drop_are_said():
    with pytest.warns(NoEffectWarning, match="respect to g are not computed by cell_currents"):
        circuit.cell_currents(V, G.clone().requires_grad_(), WIRES)


@pytest.mark.parametrize(
    "border",
    [
        lambda x: solve(x, WIRES, Drive.read(V)),
        lambda x: effective_conductance(x, WIRES),
        lambda x: circuit.cell_currents(V, x, WIRES),
        Crossbar,
        lambda x: Crossbar(G) @ x,
        lambda x: Crossbar(G).solve(x),
        Drive.read,
        lambda x: Wires(word_line=x),
        lambda x: spice.netlist(x, V),
        lambda x: spice.netlist(G, x),
    ],
)
def test_arrays_of_numpy_are_refused_with_the_remedy(border):
    with pytest.raises(MemcoreError, match=r"is a ndarray; expected .*use torch\.as_tensor"):
        border(G.numpy())
