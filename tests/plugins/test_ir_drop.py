"""Line resistance as an effect: its numbers, its approximations and how far these are from it."""

import pytest
import torch
from torch import nn

import memcore
from memcore import ArrayInfo, ConfigError, Context, CrossbarConfig, NoEffectWarning, Stream

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
        (22, 80e-9, 4.03e-8 * 80e-9 / (40e-9**2 * 1.9)),
        (22, None, 4.03e-8 * 80e-9 / (40e-9**2 * 1.9)),
        (14, 100e-9, 5.08e-8 * 100e-9 / (25e-9**2 * 2.0)),
        (130, None, 2.20e-8 * 350e-9 / (175e-9**2 * 1.6)),
    ],
)
def test_the_technology_node_gives_the_segment(node, pitch, expected):
    assert IR_DROP(node=node, pitch=pitch).segment_resistance == pytest.approx(expected)


def test_narrower_wires_resist_more():
    nodes = (130, 90, 65, 45, 32, 22, 14, 10)
    found = [IR_DROP(node=node).segment_resistance for node in nodes]
    assert found == sorted(found)
    assert 0.1 < found[0] < found[-1] < 5  # ohm for a cell, as published for these nodes


def test_one_line_may_differ():
    assert IR_DROP(segment=2.0, bit_line=0.5).resistances == (2.0, 0.5)
    assert IR_DROP().resistances == (1.0, 1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"segment": -1.0}, r"segment=-1\.0; expected a finite number of ohm >= 0"),
        ({"sense": float("inf")}, "sense=inf; expected a finite number of ohm >= 0"),
        ({"node": 28}, "node=28; expected one of 130, 90"),
        ({"node": 22, "segment": 1.0}, "expected one of the two"),
        (
            {"segment": memcore.Normal(1.0, 0.1)},
            r"segment=Normal\(.*; expected a finite number of ohm >= 0",
        ),
        (
            {"segment": torch.tensor(1.0)},
            r"segment=tensor\(1\.\); expected a finite number of ohm >= 0",
        ),
        ({"driver": torch.ones(9)}, r"driver=tensor\(.*; expected a finite number of ohm >= 0"),
        ({"bit_line": True}, "bit_line=True; expected a finite number of ohm >= 0"),
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
