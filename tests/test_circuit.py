"""The circuit of a crossbar against ngspice's operating points and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from memcore import (
    ConfigError,
    Context,
    Memristor,
    Stream,
    Wires,
    circuit,
    devices,
    effective_conductance,
    native,
)
from memcore.circuit import Drive, solve
from memcore.circuit.losses import Lines

ORACLES = Path(__file__).parent / "oracles"
NONLINEAR = sorted((ORACLES / "ngspice_nonlinear").glob("*.npz"))
LINEAR = sorted((ORACLES / "ngspice").glob("*.npz"))


def element(described):
    if described is None:
        return None
    fields = {name: value for name, value in described.items() if name != "kind"}
    for name, value in fields.items():
        if name == "coefficients":
            fields[name] = tuple(value)
        elif isinstance(value, list):
            fields[name] = torch.tensor(value, dtype=torch.float64)
    return getattr(circuit, described["kind"])(**fields)


def described(path):
    with np.load(path) as file:
        data = {name: torch.from_numpy(file[name]) for name in file.files if name != "case"}
        case = json.loads(str(file["case"]))
    floats = bool(data["open_word"].any() | data["open_bit"].any())
    drive = Drive(
        word_line=data["v"],
        bit_line=data["end"],
        floating_word_lines=data["open_word"] if floats else None,
        floating_bit_lines=data["open_bit"] if floats else None,
    )
    laws = {"law": element(case["law"]), "series": element(case["series"])}
    return data, Wires(**case["wires"]), drive, laws


def test_operating_points_are_there():
    assert len(NONLINEAR) == 21
    assert len(LINEAR) == 24


@pytest.mark.parametrize("path", NONLINEAR, ids=lambda path: path.stem)
def test_voltages_and_currents_are_those_of_ngspice(path):
    data, wires, drive, laws = described(path)
    found = solve(data["g"], wires, drive, **laws)
    largest = data["current"].abs().max()
    assert ((found.cell_current - data["current"]).abs().max() / largest) < 1e-8
    scale = (data["word"] - data["bit"]).abs().max()
    assert (found.word_line - data["word"]).abs().max() / scale < 1e-8
    assert (found.bit_line - data["bit"]).abs().max() / scale < 1e-8


@pytest.mark.parametrize("path", LINEAR, ids=lambda path: path.stem)
def test_ohmic_currents_are_those_of_ngspice(path):
    with np.load(path) as file:
        g, v, expected, params = (torch.from_numpy(file[k]) for k in ("G", "V", "I", "params"))
    word, bit, driver, sense, first, last = params.tolist()
    wires = Wires(
        word_line=word, bit_line=bit, driver=driver, sense=sense, first=bool(first), last=bool(last)
    )
    found = solve(g, wires, Drive.read(v)).current
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(found, v @ effective_conductance(g, wires), rtol=1e-9, atol=0)
    parts = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    many = solve(g, wires, Drive.read(parts * v))
    torch.testing.assert_close(many.current, parts * expected, rtol=1e-9, atol=0)


# -- closed forms ----------------------------------------------------------------------------------

R_L, R_H = 1e4, 1e6


def low_but_one(n, selected=R_L):
    g = torch.full((n, n), 1 / R_L, dtype=torch.float64)
    g[0, 0] = 1 / selected
    return g


@pytest.mark.parametrize(
    ("n", "sneak", "ratio"),
    [(4, 7777.8, 1.764), (16, 1377.8, 1.136), (64, 319.98, 1.032), (256, 78.585, 1.008)],
)
def test_sneak_paths_of_a_floating_array(n, sneak, ratio):
    drive = Drive.select(n, n, 0, 0, 1.0, "floating")
    low = solve(low_but_one(n), Wires(), drive).current[0]
    high = solve(low_but_one(n, R_H), Wires(), drive).current[0]
    assert float(1 / (low - 1 / R_L)) == pytest.approx(sneak, rel=1e-4)
    exact = R_L * (2 / (n - 1) + 1 / (n - 1) ** 2)
    assert float(1 / (low - 1 / R_L)) == pytest.approx(exact, rel=1e-9)
    assert float(low / high) == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize("scheme", ["V/2", "V/3"])
def test_power_of_a_scheme(scheme):
    n, v = 8, 1.5
    found = solve(low_but_one(n), Wires(), Drive.select(n, n, 0, 0, v, scheme))
    half, third = 2 * (n - 1) / 4, (n * n - 1) / 9
    expected = v**2 / R_L * (1 + (half if scheme == "V/2" else third))
    power = (found.cell_voltage * found.cell_current).sum()
    assert float(power) == pytest.approx(expected, rel=1e-12)


def test_selector_has_its_half_bias_ratio():
    selector = circuit.Selector.from_half_bias_ratio(1e4, 1.2, 1e-5)
    whole, half = selector.current(torch.tensor([1.2, 0.6], dtype=torch.float64))
    assert float(whole) == pytest.approx(1e-5)
    assert float(whole / half) == pytest.approx(1e4)


# -- any circuit -----------------------------------------------------------------------------------

WIRES = Wires(word_line=8.0, bit_line=5.0, driver=50.0, sense=30.0)
SINH = circuit.Sinh(v0=0.2, read_voltage=0.2)
SERIES = {
    "none": None,
    "transistor": circuit.Transistor(gate_voltage=1.2, gain=5e-4),
    "selector": circuit.Selector.from_half_bias_ratio(1e3, 1.0, 1e-4),
    "threshold": circuit.ThresholdSelector(v_th=0.4, v_hold=0.2, r_on=1e3, r_off=1e8),
}


def array(*shape):
    generator = torch.Generator().manual_seed(7)
    return 10 ** -(4 + 2 * torch.rand(*shape, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_nodes_and_cells_agree(series):
    g, v = array(9, 6), array(4, 9) * 1e4
    found = solve(g, WIRES, Drive.read(v), law=SINH, series=series)
    assert bool(found.converged.all())
    current = SINH.current(found.device_voltage, g)
    scale = found.cell_current.abs().max()
    assert float((current - found.cell_current).abs().max() / scale) < 1e-9
    if series is not None:
        current = series.current(found.cell_voltage - found.device_voltage)
        assert float((current - found.cell_current).abs().max() / scale) < 1e-8
    torch.testing.assert_close(found.current.sum(-1), found.driver_current.sum(-1))


def test_each_vector_and_array_is_solved_by_itself():
    g, v = array(2, 1, 9, 6), array(4, 9) * 1e4
    together = solve(g, WIRES, Drive.read(v), law=SINH)
    assert together.current.shape == (2, 4, 6)
    alone = solve(g[1, 0], WIRES, Drive.read(v[2]), law=SINH)
    torch.testing.assert_close(together.current[1, 2], alone.current, rtol=1e-8, atol=0)


def test_word_and_bit_lines_may_change_places():
    g, v, end = array(9, 6), array(9) * 1e4, array(6) * 1e3
    found = solve(g, WIRES, Drive(word_line=v, bit_line=end), law=SINH)
    turned = Wires(
        word_line=5.0, bit_line=8.0, driver=30.0, sense=50.0, drive="right", sense_at="top"
    )
    back = solve(g.mT, turned, Drive(word_line=end, bit_line=v), law=SINH)
    torch.testing.assert_close(back.cell_current.mT, -found.cell_current, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(back.bit_line.mT, found.word_line, rtol=1e-8, atol=1e-9)


def test_ohmic_arrays_are_reciprocal():
    g, eye = array(9, 6), torch.eye(9, dtype=torch.float64)
    forward = solve(g, WIRES, Drive.read(eye)).current
    zero = torch.zeros(9, dtype=torch.float64)
    ends = torch.eye(6, dtype=torch.float64)
    backward = -solve(g, WIRES, Drive(word_line=zero, bit_line=ends)).driver_current
    torch.testing.assert_close(forward, backward.mT, rtol=1e-9, atol=0)


def test_without_wires_cells_are_alone():
    g, v = array(9, 6), array(9) * 1e4
    expected = SINH.current(v[:, None].expand(9, 6), g).sum(0)
    torch.testing.assert_close(solve(g, Wires(), Drive.read(v), law=SINH).current, expected)


@pytest.fixture
def products(monkeypatch):
    """A list that grows with every product of what wires lose."""
    calls, drop = [], Lines.drop
    monkeypatch.setattr(Lines, "drop", lambda *given: calls.append(None) or drop(*given))
    return calls


def test_a_vector_at_rest_between_open_lines_costs_nothing(products):
    g, row, col = array(4, 2), torch.tensor([1, 2]), torch.tensor([1, 0])
    v = torch.tensor([1.0, 0.0], dtype=torch.float64)
    found = solve(g, WIRES, Drive.select(4, 2, row, col, v, "floating"))
    assert len(products) < 20
    alone = solve(g, WIRES, Drive.select(4, 2, 1, 1, 1.0, "floating"))
    torch.testing.assert_close(found.cell_current[0], alone.cell_current, rtol=1e-9, atol=0)
    assert float(found.cell_current[1].abs().max()) == 0


def test_open_lines_are_solved_no_further_than_the_tolerance(products):
    found = solve(array(32, 32), WIRES, Drive.select(32, 32, 20, 5, 1.0, "floating"))
    assert len(products) < 20
    assert float(found.residual) <= 1e-10


@pytest.mark.parametrize("ohm", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(8))
def test_lines_on_which_no_current_can_flow_have_the_potential_of_the_driven_one(ohm, seed):
    g = 10 ** -(4 + 3 * Stream(seed).uniform((5, 4)).double())
    drive = Drive(
        word_line=torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64),
        floating_word_lines=torch.arange(5) > 0,
        floating_bit_lines=torch.ones(4, dtype=torch.bool),
    )
    wires = Wires(word_line=ohm, bit_line=ohm)
    for series in (None, circuit.Selector(i0=1e-7, v0=0.1), circuit.Transistor(gate_line=2.0)):
        found = solve(g, wires, drive, series=series)
        assert found.cell_current.abs().max() < 1e-15
        torch.testing.assert_close(found.word_line, torch.ones_like(g), rtol=1e-9, atol=0)
        torch.testing.assert_close(found.bit_line, torch.ones_like(g), rtol=1e-9, atol=0)


def test_lines_at_one_potential_carry_no_current_between_open_lines():
    drive = Drive(
        word_line=torch.full((5,), 0.7, dtype=torch.float64),
        floating_bit_lines=torch.ones(4, dtype=torch.bool),
    )
    found = solve(array(5, 4), Wires(word_line=2.0, bit_line=2.0), drive)
    assert found.cell_current.abs().max() < 1e-15
    torch.testing.assert_close(found.bit_line, 0.7 * torch.ones(5, 4).double(), rtol=1e-9, atol=0)


def test_small_currents_between_open_lines_are_exact_beside_cells_that_conduct_well():
    # One cell of 1e-12 S is all that the open lines have to the sensed one.
    g = torch.tensor([[1e-3, 0.0], [1e-3, 1e-12]], dtype=torch.float64)
    drive = Drive(
        word_line=torch.tensor([1.0, 0.0], dtype=torch.float64),
        floating_word_lines=torch.tensor([False, True]),
        floating_bit_lines=torch.tensor([True, False]),
    )
    expected = 1 / (2 / 1e-3 + 1e12)
    assert float(solve(g, Wires(), drive).current[1]) == pytest.approx(expected, rel=1e-8)


def test_nothing_is_driven():
    found = solve(array(3, 3), WIRES, Drive.read(torch.zeros(3, dtype=torch.float64)), law=SINH)
    assert bool(found.converged)
    assert float(found.cell_current.abs().max()) == 0


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_single_precision_agrees_with_double(series):
    g, v = array(12, 10), array(12) * 1e4
    double = solve(g, WIRES, Drive.read(v), law=SINH, series=series).current
    single = solve(g.float(), WIRES, Drive.read(v.float()), law=SINH, series=series).current
    assert float((single - double).abs().max() / double.abs().max()) < 1e-4


@pytest.mark.parametrize("name", ["vteam", "yakopcic", "stanford_pku"])
def test_a_device_is_a_law(name):
    device = devices.get(name)()
    low, high = device.nominal_range()
    g = torch.linspace(low * 1.1, high * 0.2, 20, dtype=torch.float64).view(4, 5)
    law = circuit.OfDevice(device=device, state=device.state_of(g))
    found = solve(g, WIRES, Drive.read(array(4) * 1e3), law=law)
    expected = device.current(law.state, found.cell_voltage)
    scale = expected.abs().max()
    assert float((found.cell_current - expected).abs().max() / scale) < 1e-8


CURVED = [name for name in devices if devices[name].current is not Memristor.current]


@pytest.mark.parametrize("name", CURVED)
def test_a_device_at_rest_has_the_slope_of_small_voltages(name):
    device = devices[name]()
    low, high = device.nominal_range()
    g = torch.full((2, 3), (low * high) ** 0.5, dtype=torch.float64)
    law = circuit.OfDevice(device=device, state=device.state_of(g))
    slope, small = law.slope(0 * g, g), torch.full_like(g, 1e-5)
    torch.testing.assert_close(slope, law.current(small, g) / small, rtol=1e-3, atol=0)


@pytest.mark.parametrize("volt", [0.1, -1.5])
@pytest.mark.parametrize("name", CURVED)
def test_devices_between_open_lines_converge(name, volt):
    device = devices[name]()
    state = device.initial_state((4, 3), Context(random=Stream(0))).double()
    law, g = circuit.OfDevice(device=device, state=state), torch.zeros(4, 3, dtype=torch.float64)
    found = solve(g, Wires(), Drive.select(4, 3, 1, 1, volt, "floating"), law=law)
    assert found.iterations <= 8
    scale = found.cell_current.abs().max()
    floating = found.cell_current.sum(0)[[0, 2]]
    assert float(floating.abs().max() / scale) < 1e-9


@pytest.mark.parametrize(
    ("typed", "scheme"), [("v/2", "V/2"), ("v/3", "V/3"), ("Floating", "floating")]
)
def test_schemes_are_known_in_upper_and_lower_case(typed, scheme):
    first, second = (Drive.select(4, 3, 2, 1, 1.5, name) for name in (typed, scheme))
    assert torch.equal(first.word_line, second.word_line)
    assert torch.equal(first.bit_line, second.bit_line)
    assert circuit.scheme_named(typed) == scheme


@pytest.mark.parametrize("scheme", ["V/4", 2])
def test_an_unknown_scheme_is_refused(scheme):
    with pytest.raises(ConfigError, match=f"scheme={scheme!r}; expected one of 'V/2', 'V/3'"):
        Drive.select(4, 3, 2, 1, 1.5, scheme)


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating", "grounded"])
@pytest.mark.parametrize("ohm", [0.0, 2.0, 50.0])
@pytest.mark.parametrize(
    "series",
    [
        circuit.Selector.from_half_bias_ratio(1e6, 2.0, 1e-4),
        circuit.Transistor(gate_voltage=torch.linspace(0.2, 1.5, 16, dtype=torch.float64)[:, None]),
        circuit.ThresholdSelector(v_th=0.8, v_hold=0.1, r_on=100.0, r_off=1e10, smoothing=2e-3),
    ],
    ids=["selector", "transistor", "threshold"],
)
def test_steep_cells_converge(series, ohm, scheme):
    wires = Wires(word_line=ohm, bit_line=ohm, driver=10 * ohm)
    drive = Drive.select(16, 16, 12, 5, 2.0, scheme)
    law = circuit.Sinh(v0=0.05, read_voltage=0.2)
    found = solve(array(16, 16), wires, drive, law=law, series=series)
    assert found.iterations <= 30
    inside = series.current(found.cell_voltage - found.device_voltage)
    assert float((inside - found.cell_current).abs().max() / found.cell_current.abs().max()) < 1e-8


def test_what_does_not_converge_says_so():
    arguments = (array(6, 6), WIRES, Drive.read(array(6) * 1e4))
    with pytest.raises(circuit.ConvergenceError, match="after 1 iterations"):
        solve(*arguments, law=SINH, iterations=1)
    found = solve(*arguments, law=SINH, iterations=1, strict=False)
    assert not bool(found.converged)
    assert float(found.residual) > 1e-10


def test_wrong_input_is_explained():
    g = array(3, 4)
    with pytest.raises(ConfigError, match=r"expected \[\.\.\., 3\]"):
        solve(g, WIRES, Drive.read(torch.zeros(4, dtype=torch.float64)))
    with pytest.raises(ConfigError, match="convert one of them"):
        solve(g, WIRES, Drive.read(torch.zeros(3)))
    floats = torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    v = torch.zeros(3, dtype=torch.float64)
    drive = Drive(word_line=v, floating_word_lines=floats[0], floating_bit_lines=floats[1])
    with pytest.raises(ConfigError, match="all lines float"):
        solve(g, WIRES, drive)
    with pytest.raises(ConfigError, match="slope"):
        circuit.Polynomial(coefficients=(1.0, 0.0, -0.25), limit=1.5)
    with pytest.raises(ConfigError, match="scheme"):
        Drive.select(3, 4, 0, 0, 1.0, "v/4")
    with pytest.raises(ConfigError, match="row=3"):
        Drive.select(3, 4, 3, 0, 1.0)


VOLTS = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
READ = Drive.read(VOLTS)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"g": array(3, 4) * torch.inf}, "g has .*infinite ones"),
        ({"g": array(3, 4) * torch.nan}, "g has negative entries or NaN"),
        ({"drive": Drive.read(VOLTS * torch.nan)}, "drive.word_line has infinite entries or NaN"),
        (
            {"drive": Drive(word_line=VOLTS, bit_line=array(4) * torch.inf)},
            "drive.bit_line has infinite entries or NaN",
        ),
        ({"tolerance": 0}, "tolerance=0; expected a number above 0"),
        ({"tolerance": -1.0}, "tolerance=-1.0; expected"),
        ({"tolerance": float("nan")}, "tolerance=nan; expected"),
        ({"iterations": 0}, "iterations=0; expected how many at most"),
    ],
)
def test_what_nothing_can_converge_with_is_refused(given, text):
    arguments = {"g": array(3, 4), "wires": WIRES, "drive": READ, **given}
    with pytest.raises(ValueError, match=text):
        solve(**arguments)


def test_voltages_of_open_lines_need_not_be_known():
    first = torch.tensor([True, False, False])
    drive = Drive(word_line=torch.where(first, torch.nan, VOLTS), floating_word_lines=first)
    assert bool(solve(array(3, 4), WIRES, drive).cell_current.isfinite().all())


def test_a_law_without_a_number_is_what_the_error_names():
    with pytest.raises(circuit.ConvergenceError, match=r"is NaN .*the law, what is in series or"):
        solve(array(3, 4), WIRES, READ, law=NoNumber())


class NoNumber:
    """No law: what it gives is no number."""

    def current(self, u, g):
        return torch.full_like(u, torch.nan)

    def slope(self, u, g):
        return torch.ones_like(u)


# -- one elimination for many vectors --------------------------------------------------------------

BY_ALL_WIRES = [
    Wires(word_line=8.0, bit_line=5.0, driver=50.0, sense=30.0),
    Wires(word_line=8.0, bit_line=0.0, drive="right", sense_at="top", first=False),
    Wires(word_line=0.0, bit_line=5.0, drive="both", sense_at="both", sense=3.0),
]


def by_iteration(monkeypatch, *given):
    """The solution for which nothing is shared."""
    with monkeypatch.context() as patch:
        patch.setattr("memcore.circuit.solver.worthwhile", lambda *_: False)
        found = solve(*given)
    assert found.iterations > 0
    return found


def expect_same(found, expected):
    assert found.iterations == 0
    assert bool(found.converged.all())
    assert float(found.residual.max()) < 1e-12
    for name in ("word_line", "bit_line", "device_voltage"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-9)
    largest = float(expected.cell_current.abs().max())
    torch.testing.assert_close(
        found.cell_current, expected.cell_current, rtol=1e-9, atol=1e-9 * largest
    )


@pytest.mark.parametrize("wires", BY_ALL_WIRES)
def test_many_vectors_of_one_array_are_solved_without_an_iteration(wires, monkeypatch):
    random = Stream(3)
    drive = Drive(
        word_line=random.uniform((40, 9)).double(), bit_line=random.uniform((7,)).double() - 0.5
    )
    given = array(9, 7), wires, drive
    expect_same(solve(*given), by_iteration(monkeypatch, *given))


@pytest.mark.parametrize("lead", [(3, 1), (1, 3), (2, 1, 3)])
def test_arrays_and_vectors_may_stand_in_any_order(lead, monkeypatch):
    random = Stream(4)
    g = 10 ** -(3 + 2 * random.child("g").uniform((*lead, 6, 11)).double())
    word_line = 1 + random.child("ohm").uniform((*lead, 1, 1)).double()
    every = [20 if count == 1 else count for count in lead]
    drive = Drive.read(random.child("v").uniform((*every, 6)).double())
    given = g, Wires(word_line=word_line, bit_line=2.0), drive
    expect_same(solve(*given), by_iteration(monkeypatch, *given))


@pytest.mark.parametrize("wires", BY_ALL_WIRES[:2])
def test_open_lines_of_many_selections_are_shared(wires, monkeypatch):
    row, col = torch.arange(8)[:, None], torch.arange(6)
    given = array(8, 6), wires, Drive.select(8, 6, row, col, 1.2, "floating")
    found = solve(*given)
    expect_same(found, by_iteration(monkeypatch, *given))
    selected = found.cell_current.sum(-1)[torch.arange(8), :, torch.arange(8)]
    largest = float(found.cell_current.abs().max())
    torch.testing.assert_close(
        found.cell_current.sum((-2, -1)), selected, rtol=1e-9, atol=1e-12 * largest
    )


def test_open_lines_of_two_ends_keep_their_ends_apart(monkeypatch):
    wires = Wires(word_line=20.0, bit_line=20.0, drive="both", sense_at="both")
    rows = torch.arange(6)
    drive = Drive.select(6, 6, rows, rows, 1.0, "floating")
    whole = solve(array(6, 6), wires, drive)
    one = solve(array(6, 6), wires, Drive.select(6, 6, 4, 4, 1.0, "floating"))
    torch.testing.assert_close(whole.cell_current[4], one.cell_current, rtol=1e-8, atol=1e-18)


@pytest.mark.parametrize("vectors", [1, 40])
def test_each_vector_has_the_currents_of_a_sparse_solution(vectors):
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    rows, cols, ohm = 24, 17, 4.0
    g, v = array(rows, cols), Stream(6).uniform((vectors, rows)).double()
    line = [
        sparse.diags(
            [-np.ones(n - 1), np.r_[np.full(n - 1, 2.0), 1.0], -np.ones(n - 1)], [-1, 0, 1]
        )
        for n in (cols, rows)
    ]
    down = line[1].toarray()[::-1, ::-1]
    word, bit = sparse.kron(sparse.eye(rows), line[0]), sparse.kron(down, sparse.eye(cols))
    cell = sparse.diags(g.flatten().numpy())
    nodes = sparse.bmat([[word / ohm + cell, -cell], [-cell, bit / ohm + cell]]).tocsc()
    source = np.zeros((2 * rows * cols, vectors))
    source[np.arange(rows) * cols] = v.numpy().T / ohm
    x = torch.from_numpy(linalg.splu(nodes).solve(source).T).view(vectors, 2, rows, cols)
    found = solve(g, Wires(word_line=ohm, bit_line=ohm), Drive.read(v))
    torch.testing.assert_close(found.word_line, x[:, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.bit_line, x[:, 1], rtol=1e-10, atol=1e-12)


def test_a_law_that_is_not_ohmic_is_iterated_for_each_vector():
    v = Stream(7).uniform((40, 5)).double()
    assert solve(array(5, 4), WIRES, Drive.read(v), law=SINH).iterations > 0


def test_vectors_at_rest_are_shared_too():
    v = torch.zeros(40, 5, dtype=torch.float64)
    found = solve(array(5, 4), WIRES, Drive.read(v))
    assert bool(found.converged.all())
    assert float(found.cell_current.abs().max()) == 0
    assert float(found.residual.max()) == 0


def test_single_precision_shares_too(monkeypatch):
    v = Stream(8).uniform((40, 30)).double()
    g = array(30, 20)
    expected = solve(g, WIRES, Drive.read(v))
    found = solve(g.float(), WIRES, Drive.read(v.float()))
    assert found.iterations == 0
    largest = float(expected.cell_current.abs().max())
    error = (found.cell_current.double() - expected.cell_current).abs().max()
    assert float(error) < 1e-5 * largest


@pytest.mark.parametrize("ends", [{}, {"drive": "both", "sense_at": "both"}])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_vector_of_ohmic_cells_is_found_as_several_of_the_same_array_are(ends, lead, dtype):
    """The one by a kernel that iterates, the others by an elimination."""
    stream = Stream(8)
    g = (1e-6 + 1e-4 * stream.child("g").uniform((*lead, 12, 17))).to(dtype)
    v = stream.child("v").normal((*lead, 12)).to(dtype)
    segments = 12 + bool(ends)
    bit = 2.0 + 3 * stream.child("w").uniform((*lead, 17, segments)).to(dtype).mT
    wires = Wires(word_line=5.0, bit_line=bit, driver=10.0, **ends)
    alone = solve(g, wires, Drive.read(v))
    drive = Drive.read(v.expand(5, *v.shape))
    together = solve(g, wires, drive)
    assert native.cpu() is None or alone.iterations == 0
    for name in ("word_line", "bit_line", "cell_current"):
        one, other = getattr(alone, name), getattr(together, name)[2]
        close = 1e-9 if dtype is torch.float64 else 1e-4
        torch.testing.assert_close(one, other, rtol=close, atol=close * float(other.abs().max()))
