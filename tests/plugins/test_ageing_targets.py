"""Statistics of ageing look up what a cell should hold; the references are drawn by NumPy."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig

DAY, YEAR = 86400.0, 365 * 86400.0
N = 400_000
Z = np.random.default_rng(1).standard_normal((2, N))
POLY = np.polynomial.polynomial.polyval


def pcm(x, seconds):
    """Nandakumar et al., ICECS (2019), uS."""
    left = np.maximum(25 * x + POLY(x, [0.26348, 1.9650, -1.1731]) * Z[0], 0)
    mean = np.clip(-0.0155 * np.log(x) + 0.0244, 0.049, 0.1)
    std = np.clip(-0.0125 * np.log(x) - 0.0059, 0.008, 0.045)
    return left * (1 + seconds / 20) ** -abs(mean + std * Z[1])


def hermes(x, seconds):
    """Le Gallo et al., Nat. Electron. (2023), one cell, above x = 0.31, uS."""
    left = 10.35 * x + POLY(x, [0.15781817, 2.32443916, -2.16310839, 0.68841818]) * Z[0]
    mean, std = POLY(x, [0.0736, -0.0126, -0.0436]), POLY(x, [0.0104, 0.0116, -0.0165])
    return np.maximum(left, 0) * (1 + seconds / 200) ** -abs(mean + std * Z[1])


def wan(x, seconds):
    """Wan et al., Nature (2022), 2 days, uS."""
    assert seconds == 2 * DAY
    first = POLY(x, [0.348, 16.030, -43.853, 45.393, -16.815])
    last = POLY(x, [0.782, 20.274, -43.507, 37.062, -11.934])
    left = np.maximum(40 * x + first * Z[0], 0)
    return np.maximum(left + np.sqrt(last**2 - first**2) * Z[1], 0)


def sonos(x, seconds):
    """Agrawal et al., IEDM (2022), 5 days, at 25 nA of 1.6 uA, uS at 0.1 V."""
    assert (x, seconds) == (25 / 1600, 5 * DAY)
    first, last = 19.88665 * -np.expm1(-25 / 176.3115), 34.57909 * -np.expm1(-25 / 207.34309)
    left = np.maximum(25 + first * Z[0], 0)
    moved = left + 2.4007 + np.sqrt(last**2 - first**2) * Z[1]
    return np.maximum(moved, 0) * 0.01


@pytest.mark.parametrize(
    ("device", "x", "seconds", "reference"),
    [
        ("pcm", 0.05, YEAR, pcm),
        ("pcm", 0.1, YEAR, pcm),
        ("pcm_hermes", 1.0, YEAR, hermes),
        ("pcm_hermes", 0.5, DAY, hermes),
        ("reram_wan2022", 0.05, 2 * DAY, wan),
        ("reram_wan2022", 0.5, 2 * DAY, wan),
        ("sonos", 25 / 1600, 5 * DAY, sonos),
    ],
)
def test_cells_age_as_their_target_says(device, x, seconds, reference):
    cell = memcore.devices[device]()
    g = torch.full((1, 200_000), x * cell.g_max, dtype=torch.float64)
    crossbar = memcore.Crossbar(g, device=cell)
    crossbar.age(seconds=seconds)
    found, expected = 1e6 * crossbar.conductance.flatten(), reference(x, seconds)
    std = expected.std()
    error = std * np.sqrt(1 / found.numel() + 1 / N)
    kurtosis = ((expected - expected.mean()) ** 4).mean() / std**4
    assert abs(float(found.mean()) - expected.mean()) < 4.5 * error
    assert abs(float(found.std()) - std) < 4.5 * error * np.sqrt((kurtosis - 1) / 4)


def test_a_year_of_the_hermes_cells_at_the_top():
    g = torch.full((1, 100_000), 10.35e-6)
    crossbar = memcore.Crossbar(g, device=memcore.devices["pcm_hermes"]())
    crossbar.age(seconds=YEAR)
    found = 1e6 * crossbar.conductance.double()
    assert float(found.mean()) == pytest.approx(8.43, abs=0.01)
    assert float(found.std()) == pytest.approx(1.00, abs=0.01)


def layer(device, seed=0, weights=0, **settings):
    torch.manual_seed(weights)
    config = CrossbarConfig(device=device, **settings)
    model = memcore.convert(nn.Sequential(nn.Linear(30, 20)), config, seed=seed)
    memcore.age(model, seconds=1e5)
    return model


@pytest.mark.parametrize("device", ["pcm", "reram_wan2022", "sonos"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_state_takes_the_targets_along(device, seed):
    model, other = layer(device), layer(device, seed=seed, weights=1)
    memcore.program(model)
    memcore.age(model, seconds=1e5)
    other.load_state_dict(model.state_dict())
    cells, same = other[0].crossbar.cells, model[0].crossbar.cells
    assert torch.equal(cells.target, same.target)
    assert torch.equal(cells.conductance, same.conductance)
    for each in (model, other):
        memcore.age(each, seconds=1e4)
    assert torch.equal(cells.conductance, same.conductance)


@pytest.mark.parametrize("device", ["pcm", "reram_wan2022"])
def test_copies_and_moves_keep_the_targets(device):
    model = layer(device)
    expected = model[0].crossbar.conductance
    twin = copy.deepcopy(model)
    assert torch.equal(twin[0].crossbar.conductance, expected)
    twin[0].crossbar.cells.target.zero_()
    assert torch.equal(model[0].crossbar.conductance, expected)
    torch.testing.assert_close(model.double()[0].crossbar.conductance, expected.double())


def test_training_the_weights_moves_no_target():
    model = layer("pcm")
    expected = model[0].crossbar.conductance.clone()
    with torch.no_grad():
        model[0].weight.mul_(2)
    memcore.age(model, seconds=0.0)
    assert torch.equal(model[0].crossbar.conductance, expected)


def test_a_state_of_before_looks_up_what_was_programmed():
    model = layer("pcm")
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("cells.target")}
    other = layer("pcm")
    other.load_state_dict(state)
    cells = other[0].crossbar.cells
    assert torch.equal(cells.target, cells.programmed)


def test_only_cells_whose_effects_ask_remember_their_target():
    for device, without in (("reram_cmo", ()), ("vteam", ()), ("pcm", ("pcm_drift",))):
        torch.manual_seed(0)
        config = CrossbarConfig(device=device, without=without)
        model = memcore.convert(nn.Sequential(nn.Linear(3, 2)), config)
        assert model[0].crossbar.cells.target is None
        assert not any(key.endswith("target") for key in model.state_dict())
