import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, devices, mappers

DEVICE = devices["ideal"](r_on=1e4, r_off=2e5)
G_MIN, G_MAX = 1 / 2e5, 1 / 1e4
CTX = memcore.Context(random=memcore.Stream(0))
WEIGHTS = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12)


def mapped(weight, **parameters):
    mapper = mappers["differential"](**parameters)
    return mapper, mapper.map(weight, DEVICE, CTX)


def decoded(weight, **parameters):
    _, m = mapped(weight, **parameters)
    return m.weight()


@given(WEIGHTS)
def test_the_difference_of_the_columns_is_the_weight(values):
    weight = torch.tensor(values, dtype=torch.float64).view(1, -1, 1)
    torch.testing.assert_close(decoded(weight), weight, rtol=1e-9, atol=1e-12)


@given(WEIGHTS, st.sampled_from(["conductance", "resistance"]))
def test_targets_lie_in_the_window(values, linear_in):
    weight = torch.tensor(values).view(1, -1, 1)
    for part in [each.target for each in mapped(weight, linear_in=linear_in)[1].parts]:
        assert part.min() >= G_MIN * (1 - 1e-6)
        assert part.max() <= G_MAX * (1 + 1e-6)


def test_the_largest_weight_reaches_the_end_and_zero_the_start():
    _, m = mapped(torch.tensor([[[2.0], [0.0], [-2.0], [1.0]]], dtype=torch.float64))
    middle = (G_MIN + G_MAX) / 2
    positive, negative = (part.flatten().tolist() for part in [each.target for each in m.parts])
    assert positive == pytest.approx([G_MAX, G_MIN, G_MIN, middle])
    assert negative == pytest.approx([G_MIN, G_MIN, G_MAX, G_MIN])


def test_the_gain_is_analytic():
    _, m = mapped(torch.tensor([[[0.5], [-3.0]]]))
    assert m.gain.item() == pytest.approx(3.0 / (G_MAX - G_MIN))


def test_resistance_is_linear_in_the_weight_if_asked():
    """Eq. (1): the resistance of half the largest weight is halfway between r_off and r_on."""
    weight = torch.tensor([[[1.0], [0.5]]], dtype=torch.float64)
    _, m = mapped(weight, linear_in="resistance")
    assert (1 / m.parts[0].target).flatten().tolist() == pytest.approx([1e4, 1.05e5])
    half = (1 / 1.05e5 - G_MIN) / (G_MAX - G_MIN)
    found = decoded(weight, linear_in="resistance").flatten().tolist()
    assert found == pytest.approx([1.0, half])
    assert half < 0.1  # which is why it is not the default


def test_only_the_tail_beyond_the_quantile_is_clipped():
    weight = torch.linspace(-1, 1, 201, dtype=torch.float64).view(1, -1, 1)
    found = decoded(weight, clip=0.9)
    torch.testing.assert_close(found, weight.clamp(-0.9, 0.9))


def test_zero_weights_give_zero_outputs():
    assert torch.equal(decoded(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))


def test_the_weight_is_left_alone():
    weight = torch.randn(1, 4, 4)
    before = weight.clone()
    mapped(weight)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("clip", [0.0, 1.5, -1])
def test_an_impossible_quantile_is_refused(clip):
    with pytest.raises(ConfigError, match=r"clip=.*number (in \(0, 1\]|> 0), or None"):
        mappers["differential"](clip=clip)


def test_an_unknown_quantity_is_refused():
    with pytest.raises(ConfigError, match="expected one of conductance, resistance"):
        mappers["differential"](linear_in="weight")
