import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, devices, mappers

DEVICE = devices["ideal"](r_on=1e4, r_off=2e5)
G_MIN, G_MAX = 1 / 2e5, 1 / 1e4
CTX = memcore.Context(random=memcore.Stream(0))


def mapped(weight, **parameters):
    mapper = mappers["offset"](**parameters)
    return mapper, mapper.map(weight, DEVICE, CTX)


def decoded(weight, **parameters):
    _, m = mapped(weight, **parameters)
    return m.weight()


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12))
def test_a_single_column_keeps_both_signs(values):
    weight = torch.tensor(values, dtype=torch.float64).view(1, -1, 1)
    torch.testing.assert_close(decoded(weight), weight, rtol=1e-9, atol=1e-12)


def test_weights_span_the_window_around_its_middle():
    weight = torch.tensor([[[2.0], [0.0], [-2.0]]], dtype=torch.float64)
    targets = [part.target for part in mapped(weight)[1].parts]
    assert targets[0].flatten().tolist() == pytest.approx([G_MAX, (G_MIN + G_MAX) / 2, G_MIN])


def test_the_reference_is_one_column_at_the_middle():
    reference = mapped(torch.randn(3, 5, 7))[1].parts[1].target
    assert reference.shape == (3, 5, 1)
    torch.testing.assert_close(reference, torch.full((3, 5, 1), (G_MIN + G_MAX) / 2))


def test_an_error_of_a_cell_costs_twice_that_of_the_differential_mapping():
    weight = torch.randn(1, 4, 4)
    double = mappers["differential"]().map(weight, DEVICE, CTX)
    assert mapped(weight)[1].gain.item() == pytest.approx(2 * double.gain.item())


def test_only_the_tail_beyond_the_quantile_is_clipped():
    weight = torch.linspace(-1, 1, 201, dtype=torch.float64).view(1, -1, 1)
    torch.testing.assert_close(decoded(weight, clip=0.9), weight.clamp(-0.9, 0.9))


def test_an_impossible_quantile_is_refused():
    with pytest.raises(ConfigError, match=r"expected a finite number > 0, or None"):
        mappers["offset"](clip=0.0)
    with pytest.raises(ConfigError, match=r"expected a finite number in \(0, 1\], or None"):
        mappers["offset"](clip=1.5)
