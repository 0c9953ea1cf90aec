import math

import pytest
import torch

from memcore import ConfigError, Context, CrossbarConfig, devices

Hermes = devices["pcm_hermes"]
TWO = Hermes.preset("two_devices")


def log_branch(x, slope, offset, low, high):
    return min(max(slope * math.log(x) + offset, low), high)


@pytest.mark.parametrize(
    ("cell", "unit", "coefficients"),
    [
        (Hermes(), 10.35, [0.15781817, 2.32443916, -2.16310839, 0.68841818]),
        (TWO, 20.7, [0.16603222, 4.71806468, -8.48101252, 4.68961419]),
    ],
)
def test_programming_error_is_the_published_polynomial(cell, unit, coefficients, us):
    for x in (0.0, 0.1, 0.5, 1.0):
        expected = 1e-6 * sum(c * x**n for n, c in enumerate(coefficients))
        assert float(cell.programming_std(us(unit * x))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cell", [Hermes(), TWO])
def test_drift_and_noise_follow_both_branches(cell):
    one = cell.devices == 1
    for x in (0.01, 0.05, 0.2, 0.6, 1.0):
        g = torch.tensor(x * cell.g_max, dtype=torch.float64)
        if x < 0.0945:
            mean = log_branch(x, -0.0387, -0.0182, 0.0720, 0.13)
        else:
            mean = -0.0436 * x**2 - 0.0126 * x + 0.0736
        if one:
            spread = log_branch(x, -0.0120, -0.0023, 0.0124, 0.04)
            spread = spread if x < 0.3039 else -0.0165 * x**2 + 0.0116 * x + 0.0104
            q = log_branch(x, -0.0078, 0.0038, 0.0179, 0.04)
            q = q if x < 0.1591 else 0.0664 * x**3 - 0.1352 * x**2 + 0.0768 * x + 0.0088
        else:
            spread = log_branch(x, -0.0117, -0.0057, 0.0091, 0.04)
            spread = spread if x < 0.3055 else -0.0118 * x**2 + 0.0093 * x + 0.0073
            q = log_branch(x, -0.0117, -0.0069, 0.015, 0.04)
            q = q if x < 0.16 else 0.0069 * x**3 - 0.0280 * x**2 + 0.0211 * x + 0.0123
        assert float(cell.drift_mean(g)) == pytest.approx(mean, rel=1e-9)
        assert float(cell.drift_std(g)) == pytest.approx(spread, rel=1e-9)
        assert float(cell.noise_ratio(g)) == pytest.approx(q, rel=1e-9)


def test_time_counts_from_the_first_read():
    for cell, t0 in ((Hermes(), 200.0), (TWO, 300.0)):
        g, zero = torch.tensor(cell.g_max).double(), torch.zeros(()).double()
        nu = 0.0736 - 0.0126 - 0.0436
        expected = cell.g_max * ((3600 + t0) / t0) ** -nu
        assert float(cell.drifted(g, g, 3600.0, zero)) == pytest.approx(expected, rel=1e-6)
        band = math.log((3600 + t0 + 512e-9) / (2 * 512e-9))
        noise = float(cell.noise_ratio(g)) * cell.g_max * math.sqrt(band)
        assert float(cell.read_std(g, g, 3600.0)) == pytest.approx(noise, rel=1e-6)


def test_errors_of_writing_have_the_moments_of_the_fit(arrays, ctx, moments):
    cell, shape = Hermes(), (1, 250, 400)
    info = arrays(cell, shape)
    g = torch.full(shape, 5e-6, dtype=torch.float64)
    write = cell.effects()[0]
    first, second = (write.bind(info, Context(random=ctx.random, writes=n))(g) for n in (0, 1))
    moments(first, 5e-6, float(cell.programming_std(g[0, 0, 0])))
    assert not torch.equal(first, second)


def test_names_and_numbers_of_devices():
    names = ["hermes_programming", "hermes_drift", "hermes_read_noise"]
    assert list(CrossbarConfig(device="pcm_hermes").effects) == names
    with pytest.raises(ConfigError, match="devices=3; expected one of 1, 2"):
        Hermes(devices=3)
