import pytest
import torch

from memcore import ConfigError, Gaussian, nonidealities

ReadNoise = nonidealities["read_noise"]


def test_noise_has_a_relative_and_a_constant_part(arrays, ctx):
    form = ReadNoise(relative=0.02, std=1e-7).bind(arrays(), ctx)
    assert isinstance(form, Gaussian)
    g = torch.tensor([0.0, 1e-5, 1e-4])
    expected = torch.tensor([1e-7**2, 1e-7**2 + 2e-7**2, 1e-7**2 + 2e-6**2])
    torch.testing.assert_close(form.variance(g), expected)


def test_the_neutral_parameters_are_silent(arrays, ctx):
    form = ReadNoise(**ReadNoise.neutral).bind(arrays(), ctx)
    assert torch.equal(form.variance(torch.ones(3)), torch.zeros(3))


@pytest.mark.parametrize("parameters", [{"relative": -0.1}, {"std": -1e-9}, {"std": float("nan")}])
def test_impossible_noise_is_refused(parameters):
    with pytest.raises(ConfigError, match=r"expected a finite number( of S)? in \[0, "):
        ReadNoise(**parameters)
