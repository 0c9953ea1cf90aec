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
    a, b = Milo().curvature(us(62.5, 80.0, 110.0))  # numpy.polyval in log10 of siemens
    quadratic = [-2.383894789462042e-05, -1.389622857662226e-05, -6.524412307141493e-06]
    cubic = [9.319717522088006e-06, 3.1879107522242694e-06, -1.7100713030156114e-06]
    torch.testing.assert_close(a, torch.tensor(quadratic).double(), rtol=1e-7, atol=0)
    torch.testing.assert_close(b, torch.tensor(cubic).double(), rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("g", "forward", "backward"),
    [
        (62.5, 2.6455227716605897e-05, -3.8374701663916106e-05),
        (80.0, 3.692443169987247e-05, -4.38725459881836e-05),
        (110.0, 5.315513801033768e-05, -5.6417344163908424e-05),
    ],
)
def test_the_measured_current_bends_to_different_sides(us, g, forward, backward):
    v = torch.tensor([0.5, -0.5]).double()
    current = Milo().curved_current(us(g), v)
    expected = torch.tensor([forward, backward]).double()
    torch.testing.assert_close(current, expected, rtol=1e-7, atol=0)


def test_the_curved_current_is_pinched_and_passive(us):
    v = torch.arange(-10, 11).double() / 20
    for g in (62.5, 80.0, 110.0):
        current = Milo().curved_current(us(g), v)
        assert current[10] == 0
        assert (current * v >= 0).all()
        assert (current.diff() > 0).all()


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
