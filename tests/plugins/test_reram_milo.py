import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, devices

Milo = devices["reram_milo"]


def test_error_of_writing_is_that_of_the_table(us):
    found = Milo().programming_std(us(50.0, 100.0, 150.0, 225.0))
    expected = us(4.326971, 3.871621, 3.416271, 2.733246)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("g", [50.0, 225.0])
def test_errors_of_writing_have_these_moments(g, arrays, ctx, moments, us):
    shape = (1, 250, 400)
    write = Milo().effects()[0].bind(arrays(Milo(), shape), ctx)
    target = torch.full(shape, 1e-6 * g, dtype=torch.float64)
    moments(write(target), 1e-6 * g, float(Milo().programming_std(us(g))))


def test_curvature_is_that_of_the_table(us):
    a, b = Milo().curvature(us(62.5, 80.0, 110.0))
    quadratic = [0.023093216816518068, 0.024469347613949116, 0.02632395879703464]
    cubic = [0.002802649913585203, 0.0029106452637048877, 0.003052973269901618]
    torch.testing.assert_close(a, torch.tensor(quadratic).double(), rtol=1e-7, atol=0)
    torch.testing.assert_close(b, torch.tensor(cubic).double(), rtol=1e-7, atol=0)


def test_the_curved_current_is_pinched_and_passive(us):
    v = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.5]).double()
    current = Milo().curved_current(us(80.0), v)
    assert current[2] == 0
    assert (current * v >= 0).all()
    expected = 1e-6 * (80 * 0.5 + 0.024469347613949116 / 4 + 0.0029106452637048877 / 8)
    assert float(current[-1]) == pytest.approx(expected, rel=1e-7)


def test_a_rewrite_draws_anew_and_time_changes_nothing():
    model = memcore.convert(nn.Sequential(nn.Linear(9, 7)), CrossbarConfig(device="reram_milo"))
    before = model[0].crossbar.conductance.clone()
    with pytest.warns(memcore.NoEffectWarning, match="nothing that is configured changes"):
        memcore.age(model, seconds=1e6)
    assert torch.equal(model[0].crossbar.conductance, before)
    memcore.program(model)
    assert not torch.equal(model[0].crossbar.conductance, before)


def test_what_the_fit_does_not_cover_is_refused(us):
    with pytest.raises(ConfigError, match="leaves the fitted range"):
        Milo(g_max=250e-6)
    with pytest.raises(ConfigError, match="fitted up to"):
        Milo().curved_current(us(80.0), torch.tensor([0.6]))
    with pytest.raises(ConfigError, match="the fit holds from"):
        Milo().curvature(us(50.0))
