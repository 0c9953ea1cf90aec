"""Line resistance as an effect: its numbers, its approximations and how far these are from it."""

import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ArrayInfo, ConfigError, Context, CrossbarConfig, NoEffectWarning, Stream, Wires

IR_DROP = memcore.nonidealities["ir_drop"]
SERIES = memcore.nonidealities["ir_drop_series"]
PROFILE = memcore.nonidealities["ir_drop_profile"]
IDEAL = memcore.devices["ideal"](r_on=1e4, r_off=1e6)


def bound(effect, arrays, rows, cols):
    info = ArrayInfo(arrays=arrays, rows=rows, cols=cols, device=IDEAL, nominal=IDEAL)
    return effect.bind(info, Context(random=Stream(0)))


@pytest.mark.parametrize(
    ("node", "pitch", "expected"),
    [
        (22, 80e-9, 1.05 * 2.2e-8 * 80e-9 / (52e-9 * 21.5e-9)),
        (22, None, 1.05 * 2.2e-8 * 55e-9 / (52e-9 * 21.5e-9)),
        (32, 100e-9, 2.2e-8 * 100e-9 / (77e-9 * 34e-9)),
        (90, None, 2.2e-8 * 225e-9 / (217e-9 * 96.5e-9)),
    ],
)
def test_the_technology_node_gives_the_segment(node, pitch, expected):
    assert IR_DROP(node=node, pitch=pitch).segment_resistance == pytest.approx(expected)


def test_narrower_wires_resist_more():
    nodes = (90, 65, 45, 32, 22)
    found = [IR_DROP(node=node).segment_resistance for node in nodes]
    assert found == sorted(found)
    assert 0.1 < found[0] < found[-1] < 5  # ohm for a cell, as published for these nodes


def test_one_line_may_differ():
    assert IR_DROP(segment=2.0, bit_line=0.5).resistances == (2.0, 0.5)
    assert IR_DROP().resistances == (1.0, 1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"segment": -1.0}, r"segment=-1\.0; expected a finite number of ohm"),
        ({"sense": float("inf")}, "sense=inf; expected a finite number of ohm"),
        ({"node": 28}, "node=28; expected one of 90, 65"),
        ({"node": 22, "segment": 1.0}, "expected one of the two"),
        (
            {"segment": memcore.Normal(1.0, 0.1)},
            r"segment=Normal\(.*; expected a finite number of ohm",
        ),
        (
            {"segment": torch.tensor(1.0)},
            r"segment=tensor\(1\.\); expected a finite number of ohm",
        ),
        ({"driver": -torch.ones(9)}, "driver outside its range; expected a finite number of ohm"),
        ({"bit_line": True}, "bit_line=True; expected a finite number of ohm"),
        ({"pitch": 1e-7}, "pitch=1e-07 without a node; expected node="),
        (
            {"node": 22, "pitch": 80},
            r"pitch=80; expected a finite number of m in \[1e-09, 0.001\].*: 80e-9 is 80 nm",
        ),
        ({"node": 22, "pitch": 80e-12}, "pitch=8e-11; expected a finite number of m"),
        ({"node": 22, "pitch": "80e-9"}, "pitch='80e-9'; expected a finite number of m"),
        ({"drive": "top"}, "drive='top'; expected one of"),
        ({"columns": "paired"}, "columns='paired'; expected one of"),
        ({"placement": "best"}, "placement='best'; expected one of"),
    ],
)
def test_bad_parameters_say_what_is_expected(parameters, message):
    with pytest.raises(ConfigError, match=message):
        IR_DROP(**parameters)


def test_series_resistances_of_a_corner_cell_are_those_of_its_path():
    g = torch.full((1, 4, 3), 1e-4)
    a = bound(SERIES(word_line=2.0, bit_line=3.0, driver=10.0, sense=20.0), 1, 4, 3).matrix(g)
    assert float(1 / a[0, 3, 0]) == pytest.approx(1e4 + 2 + 3 + 30, rel=1e-6)
    assert float(1 / a[0, 0, 2]) == pytest.approx(1e4 + 6 + 12 + 30, rel=1e-6)


@pytest.mark.parametrize("approximate", [SERIES, PROFILE])
def test_approximations_are_right_where_nothing_else_conducts(approximate):
    """One bit line with a single conducting cell, next to its sense node, at a small current."""
    g = torch.zeros(1, 8, 1, dtype=torch.float64)
    g[0, 7, 0] = 1e-6
    effect = approximate(word_line=0.0, bit_line=1.0)
    v = torch.full((1, 1, 8), 0.2, dtype=torch.float64)
    exact = bound(effect.exact(), 1, 8, 1)(v, g.unsqueeze(0))
    torch.testing.assert_close(bound(effect, 1, 8, 1)(v, g.unsqueeze(0)), exact, rtol=1e-5, atol=0)


def test_the_profile_is_the_quadratic_one():
    """By hand: two cells, c and the sums written out."""
    g = torch.tensor([[[2e-3], [1e-3]]])
    v = torch.tensor([[[0.2, 0.1]]])
    a = 2 * 5.0 * (2e-3 * 0.2 + 1e-3 * 0.1) / 0.2
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    expected = 2e-3 * 0.2 * (1 - c * (1 - (1 - 0.5) ** 2)) + 1e-3 * 0.1
    found = bound(PROFILE(bit_line=5.0), 1, 2, 1)(v, g.unsqueeze(0))
    assert float(found) == pytest.approx(expected, rel=1e-5)


RESISTANCES = ["segment", "word_line", "bit_line", "driver", "sense"]


@pytest.mark.parametrize("name", RESISTANCES)
@pytest.mark.parametrize("effect", [IR_DROP, SERIES, PROFILE])
def test_every_resistance_acts_or_is_warned_of(effect, name):
    g, v = Stream(0).uniform((1, 8, 6)) * 1e-4, Stream(1).uniform((1, 1, 8)) * 0.2
    zero = dict.fromkeys(RESISTANCES if name != "segment" else RESISTANCES[3:], 0.0)
    without = bound(effect(**{**zero, "segment": 0.0}), 1, 8, 6)(v, g[None])
    given = effect(**{**zero, name: 50.0})
    if effect is PROFILE and name in ("word_line", "driver", "sense"):
        with pytest.warns(NoEffectWarning, match=rf"{name}=50\.0 of 'ir_drop_profile' act on no"):
            assert torch.equal(bound(given, 1, 8, 6)(v, g[None]), without)
    else:
        assert (bound(given, 1, 8, 6)(v, g[None]) < 0.999 * without).all()


def test_the_exact_effect_has_the_same_wires():
    effect = SERIES(node=22, driver=7.0, sense=3.0)
    assert vars(effect.exact().wires()) == vars(effect.wires())


def test_diagnose_says_how_far_an_approximation_is_off():
    torch.manual_seed(0)
    layer = nn.Linear(64, 10)
    x = Stream(1).normal((100, 64))
    config = CrossbarConfig(
        device={"name": "ideal", "r_on": 1e4, "r_off": 1e6},
        nonidealities=[{"name": "ir_drop_series", "segment": 5.0}],
    )
    mem = memcore.convert(layer, config)
    found = memcore.diagnose(mem, [(x, layer(x).argmax(-1))])
    (approximation,) = found.approximations
    exact = memcore.convert(
        layer, config.replace(nonidealities=({"name": "ir_drop", "segment": 5.0},))
    )
    with torch.no_grad():
        wanted = (mem(x) - exact(x)).norm() / exact(x).norm()
    assert approximation.error == pytest.approx(float(wanted), rel=1e-4)
    assert "ir_drop_series approximates: solved exactly" in str(found)
    assert memcore.diagnose(exact, [(x, layer(x).argmax(-1))]).approximations == ()


def _conductance_matrix(g, word, bit):
    """Nodal analysis of an array driven at the left and sensed at the bottom, by dense algebra."""
    rows, cols = g.shape
    size = rows * cols
    matrix = torch.zeros(2 * size, 2 * size, dtype=torch.float64)
    inputs = torch.zeros(2 * size, rows, dtype=torch.float64)

    def connect(a, b, siemens):
        matrix[a, a] += siemens
        if b is not None:
            matrix[b, b] += siemens
            matrix[a, b] -= siemens
            matrix[b, a] -= siemens

    for i in range(rows):
        for j in range(cols):
            w, b = i * cols + j, size + i * cols + j
            connect(w, w - 1 if j else None, 1 / word[i, j])
            inputs[w, i] += 0 if j else 1 / word[i, j]
            connect(b, b + cols if i < rows - 1 else None, 1 / bit[i, j])
            connect(w, b, g[i, j])
    nodes = torch.linalg.solve(matrix, inputs)
    return (nodes[-cols:] / bit[-1][:, None]).mT


@pytest.mark.skipif(
    memcore.native.cpu() is None, reason="the reference of ladders loses digits across a break"
)
def test_broken_lines_are_open_behind_the_break():
    g = 1e-5 + 1e-4 * Stream(0).uniform((6, 5)).double()
    word, bit = torch.full((6, 5), 2.0).double(), torch.full((6, 5), 3.0).double()
    word[2, 3] = word[4, 0] = bit[3, 1] = bit[5, 2] = math.inf
    wires = Wires(word_line=word, bit_line=bit)
    exact = _conductance_matrix(g, word, bit)
    v = Stream(1).uniform((6,)).double()
    largest = float(exact.max())
    found = memcore.effective_conductance(g, wires)
    torch.testing.assert_close(found, exact, rtol=0, atol=3e-5 * largest)
    for current in (
        memcore.circuit.solve(g, wires, memcore.circuit.Drive.read(v)).current,
        memcore.circuit.cell_currents(v, g, wires).sum(0),
    ):
        torch.testing.assert_close(current, v @ exact, rtol=0, atol=3e-5 * largest)


@pytest.mark.skipif(
    memcore.native.cpu() is None, reason="the reference of ladders loses digits across a break"
)
@pytest.mark.parametrize("columns", ["separate", "shared"])
def test_chips_have_broken_lines_of_their_own_for_life(columns):
    effect = {"name": "ir_drop", "segment": 1.0, "open_word_lines": 0.3, "columns": columns}
    device = {"name": "ideal", "r_on": 1e4, "r_off": 1e6}
    config = memcore.CrossbarConfig(device=device, nonidealities=[effect], tile=(8, 8))
    torch.manual_seed(0)
    layer = torch.nn.Linear(30, 12)
    first, again = (memcore.convert(layer, config, seed=3).crossbar for _ in range(2))
    other = memcore.convert(layer, config, seed=4).crossbar
    assert torch.equal(first.folded, again.folded)
    assert not torch.equal(first.folded, other.folded)
    broken = (first.circuit().wires.word_line > 1e8).any(-1)
    assert 0.15 < broken.double().mean() < 0.45
    assert first.solve(0.2 * torch.rand(30)).converged.all()


def test_a_word_line_that_is_broken_at_its_driver_delivers_nothing():
    g = torch.full((4, 3), 1e-4).double()
    driver = torch.tensor([0.0, math.inf, 0, 0], dtype=torch.float64)
    current = memcore.Crossbar(g, wires=Wires(driver=driver)) @ torch.ones(4).double()
    torch.testing.assert_close(current, torch.full((3,), 3e-4).double(), rtol=1e-4, atol=0)


def test_ends_and_resistances_of_each_line_are_those_of_wires():
    effect = {"name": "ir_drop", "segment": 5.0, "first": False, "last": False, "driver": 30.0}
    g = 1e-5 + 1e-4 * Stream(0).uniform((6, 5)).double()
    wires = Wires(word_line=5.0, bit_line=5.0, driver=30.0, first=False, last=False)
    expected = memcore.effective_conductance(g, wires)
    found = memcore.Crossbar(g, nonidealities=[effect]).folded[0].mT
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    drawn = memcore.Crossbar(
        g, nonidealities=[effect | {"driver": memcore.Uniform(10.0, 90.0)}]
    ).circuit()
    assert drawn.wires.driver.shape == (1, 6)
    assert len(drawn.wires.driver.unique()) == 6


def test_programmers_write_around_broken_lines():
    config = memcore.CrossbarConfig(
        device={"name": "linear_ion_drift"},
        programmer={"name": "write_verify", "max_pulses": 20},
        nonidealities=[{"name": "ir_drop", "segment": 1.0, "open_bit_lines": 0.4}],
        tile=(4, 4),
    )
    crossbar = memcore.convert(torch.nn.Linear(8, 4), config, seed=1).crossbar
    assert bool(crossbar.conductance.isfinite().all())
