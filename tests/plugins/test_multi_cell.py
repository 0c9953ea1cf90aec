import pytest
import torch

import memcore
from memcore import ConfigError, mappers

DEVICE = memcore.devices["ideal"](r_on=1e4, r_off=1e5)
G_MIN, G_MAX = 1e-5, 1e-4
CTX = memcore.Context(random=memcore.Stream(0))


def mapped(weight, **parameters):
    return mappers["multi_cell"](**parameters).map(weight, DEVICE, CTX)


def column(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


@pytest.mark.parametrize("fill", ["alike", "in_turn"])
@pytest.mark.parametrize("add", ["analog", "digital"])
@pytest.mark.parametrize("significance", [(1.0,), (1.0, 1.0, 1.0), (4.0, 1.0), (1.0, 4.0, 1.0)])
@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_cells_of_any_significance_give_the_weights_back(significance, fill, add, scale):
    weight = memcore.Stream(0).normal((2, 7, 3), dtype=torch.float64)
    m = mapped(weight, significance=significance, fill=fill, add=add, scale=scale)
    torch.testing.assert_close(m.weight(), weight)
    pairs = len(significance) if add == "digital" else len(set(significance))
    assert (m.lanes, len(m.parts)) == (pairs, 2 * len(significance))


def test_the_first_cell_is_filled_before_the_second_one_conducts():
    m = mapped(column(1.0, 0.5, -0.25), significance=(1.0, 1.0), fill="in_turn")
    shares = [(part.target - G_MIN) / (G_MAX - G_MIN) for part in m.parts if part.sign > 0]
    torch.testing.assert_close(shares[0], column(1.0, 1.0, 0.0))
    torch.testing.assert_close(shares[1], column(1.0, 0.0, 0.0))


def test_a_weight_reaches_into_the_less_significant_cell_only_past_the_other():
    m = mapped(column(5.0, 4.5, -2.0), significance=(4.0, 1.0), fill="in_turn")
    shares = [(part.target - G_MIN) / (G_MAX - G_MIN) for part in m.parts]
    torch.testing.assert_close(shares[0], column(1.0, 1.0, 0.0))
    torch.testing.assert_close(shares[1], column(0.0, 0.0, 0.5))
    torch.testing.assert_close(shares[2], column(1.0, 0.5, 0.0))


@pytest.mark.parametrize("add", ["analog", "digital"])
@pytest.mark.parametrize("pairs", [1, 2, 4, 9])
def test_independent_errors_of_equal_pairs_average(pairs, add):
    layer = torch.nn.Linear(40, 50, bias=False)
    noise = {"name": "read_noise", "std": 1e-6, "relative": 0.0}
    mapper = {"name": "multi_cell", "significance": [1.0] * pairs, "add": add}
    config = memcore.CrossbarConfig(device=DEVICE, mapper=mapper, nonidealities=[noise])
    mem = memcore.convert(layer, config)
    x = torch.ones(400, 40)
    with torch.no_grad():
        off = mem(x) - layer(x)
    one = 1e-6 * float(layer.weight.detach().abs().max()) / (G_MAX - G_MIN) * (2 * 40) ** 0.5
    assert float(off.std()) == pytest.approx(one / pairs**0.5, rel=0.03)


def test_no_pair_is_refused():
    with pytest.raises(ConfigError, match="significance"):
        mappers["multi_cell"](significance=())
    with pytest.raises(ConfigError, match="significance"):
        mappers["multi_cell"](significance=(1.0, -1.0))
