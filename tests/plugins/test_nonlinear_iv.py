import dataclasses
import math
from importlib import import_module

import pytest
import torch

import memcore
from memcore import ConfigError, LogNormal, Normal, devices, nonidealities

NonlinearIV = nonidealities["nonlinear_iv"]
V = torch.linspace(-0.3, 0.3, 13, dtype=torch.float64)
MILO = {62.5: (-23.8389479, 9.31971752), 110.0: (-6.52441231, -1.71007130)}  # uS: uA/V^2, uA/V^3


def one_cell(arrays, ctx, effect, v=V, g=2e-5):
    """Currents of a single cell, through the bound form."""
    form = effect.bind(arrays(shape=(1, 1, 1)), ctx).double()
    return form(v.view(-1, 1, 1), torch.full((1, 1, 1, 1), g, dtype=torch.float64)).flatten()


@pytest.mark.parametrize(
    "effect",
    [
        NonlinearIV(),
        NonlinearIV(v0=0.05, read_voltage=0.3),
        NonlinearIV(law="polynomial"),
        NonlinearIV(law="polynomial", coefficients=(0.3, -0.2, 0.1), read_voltage=0.1),
    ],
)
def test_the_conductance_is_that_at_the_read_voltage(arrays, ctx, effect):
    v = torch.tensor([effect.read_voltage or 0.2], dtype=torch.float64)
    torch.testing.assert_close(one_cell(arrays, ctx, effect, v), 2e-5 * v)


def test_the_read_voltage_is_that_of_the_config(arrays, ctx):
    array = dataclasses.replace(arrays(shape=(1, 1, 1)), read_voltage=0.35)
    v, g = torch.tensor([[[0.35]]]), torch.full((1, 1, 1), 2e-5)
    for law in ("sinh", "polynomial"):
        current = NonlinearIV(law=law).bind(array, ctx)(v, g[None])
        assert current.item() == pytest.approx(0.35 * 2e-5, rel=1e-6)


@pytest.mark.parametrize("v0", [0.02, 0.25, 5.0, 1e4])
def test_sinh_against_the_library_function(arrays, ctx, v0):
    expected = [2e-5 * 0.2 * math.sinh(v / v0) / math.sinh(0.2 / v0) for v in V.tolist()]
    found = one_cell(arrays, ctx, NonlinearIV(v0=v0))
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-6, atol=0)


def test_a_steep_curve_does_not_overflow_below_the_read_voltage(arrays, ctx):
    form = NonlinearIV(v0=1e-3).bind(arrays(shape=(1, 1, 1)), ctx)
    i = form(torch.tensor([0.2, 0.1, 0.0, -0.2]).view(4, 1, 1), torch.full((1, 1, 1, 1), 1e-5))
    torch.testing.assert_close(i.flatten(), torch.tensor([2e-6, 0.0, 0.0, -2e-6]))


def test_a_steep_curve_is_the_exponential_of_a_selector(arrays, ctx):
    i = one_cell(arrays, ctx, NonlinearIV(v0=0.01), torch.tensor([0.2, 0.19]).double())
    torch.testing.assert_close(i[0] / i[1], torch.tensor(math.e).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("v0", [0.02, 0.1, 0.25])
def test_half_bias_ratio_of_sinh(v0):
    expected = 2 * math.cosh(0.2 / (2 * v0))
    assert NonlinearIV(v0=v0).half_bias_ratio == pytest.approx(expected, rel=1e-12)
    assert NonlinearIV(v0=LogNormal(v0, 0.1)).half_bias_ratio == pytest.approx(expected, rel=1e-12)


def test_half_bias_ratio_of_a_polynomial():
    assert NonlinearIV(**NonlinearIV.neutral).half_bias_ratio == pytest.approx(2, rel=1e-12)
    cubic = NonlinearIV(law="polynomial", read_voltage=1.0).half_bias_ratio
    assert cubic == pytest.approx(0.75 / (0.5 - 0.25 * 0.125), rel=1e-12)


@pytest.mark.parametrize("g", MILO)
def test_polynomial_is_the_measured_curve_of_hfo2_cells(arrays, ctx, g):
    quadratic, cubic = MILO[g]
    effect = NonlinearIV(law="polynomial", coefficients=(quadratic / g, cubic / g))
    v = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)
    measured = devices["reram_milo"]().curved_current(torch.full_like(v, g * 1e-6), v)
    at_read = 1e-6 * (g * 0.2 + quadratic * 0.04 + cubic * 0.008)
    found = one_cell(arrays, ctx, effect, v, g=at_read / 0.2)
    torch.testing.assert_close(found, measured, rtol=1e-6, atol=1e-15)


def test_even_terms_depend_on_the_sign(arrays, ctx):
    effect = NonlinearIV(law="polynomial", coefficients=(0.5,))
    i = one_cell(arrays, ctx, effect)
    torch.testing.assert_close(i, 2e-5 * (V + 0.5 * V**2) / (1 + 0.5 * 0.2))


@pytest.mark.parametrize("effect", [NonlinearIV(v0=0.05), NonlinearIV(law="polynomial")])
def test_cells_are_passive_and_carry_nothing_at_0_volt(arrays, ctx, effect):
    i = one_cell(arrays, ctx, effect)
    assert (V * i >= 0).all()
    assert abs(i[6]) < 1e-12 * i.abs().max()
    assert (i.diff() > 0).all()


def test_the_model_and_the_product_agree(arrays, ctx):
    effect = NonlinearIV(v0=0.1)
    g = torch.full_like(V, 2e-5)
    torch.testing.assert_close(effect.current(g, V), one_cell(arrays, ctx, effect))


def test_cells_with_curves_of_their_own(arrays, ctx, monkeypatch):
    array = arrays(shape=(2, 5, 3))
    form = NonlinearIV(v0=Normal(0.1, 0.03, min=0.03)).bind(array, ctx).double()
    v0 = form.curve.v0
    assert len(v0.unique()) == v0.numel()
    v = memcore.Stream(1).normal((7, 2, 5)).double() * 0.1
    g = memcore.Stream(2).uniform((7, 2, 5, 3)).double() * 1e-5
    for cells in (g, g[:1]):
        volts = 0.2 * (v.unsqueeze(-1) / v0).sinh() / (0.2 / v0).sinh()
        expected = (volts * cells).sum(2)
        torch.testing.assert_close(form(v, cells), expected)
        monkeypatch.setattr(import_module(NonlinearIV.__module__), "_CHUNK", 60)
        torch.testing.assert_close(form(v, cells), expected)


def test_one_curve_is_a_product_of_the_curved_voltages(arrays, ctx):
    array = arrays(shape=(2, 5, 3))
    form = NonlinearIV(v0=0.1).bind(array, ctx)
    v = memcore.Stream(1).normal((7, 2, 5)) * 0.1
    g = memcore.Stream(2).uniform((7, 2, 5, 3)) * 1e-5
    volts = 0.2 * (v / 0.1).sinh() / math.sinh(2.0)
    for cells in (g, g[:1]):
        expected = torch.einsum("nar,narc->nac", volts, cells.expand(7, 2, 5, 3))
        torch.testing.assert_close(form(v, cells), expected)


def test_inputs_of_0_and_1_are_read_exactly_and_those_between_too_low(converted, inputs):
    bits = (inputs > 0.5).float()
    ideal, curved = converted(), converted(NonlinearIV(v0=0.1))
    torch.testing.assert_close(curved(bits), ideal(bits), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        curved(bits / 2), ideal(bits) / (2 * math.cosh(1)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("v0", [0.1, LogNormal(0.1, 0.2)])
@pytest.mark.parametrize("effects", [(), ("read_noise",)])
def test_a_layer_does_not_depend_on_the_batch(converted, inputs, v0, effects):
    whole, parts, other = (converted(*effects, NonlinearIV(v0=v0), seed=s) for s in (0, 0, 1))
    y = whole(inputs)
    split = torch.cat([parts(x) for x in inputs.split(32)])
    torch.testing.assert_close(y, split, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(y, converted(*effects)(inputs), rtol=1e-2)
    if effects or isinstance(v0, LogNormal):
        assert not torch.allclose(y, other(inputs), rtol=1e-3)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"law": "cosh"}, "expected one of sinh, polynomial"),
        ({"v0": 0.0}, "v0=0.0; expected a finite number of V >= 1e-09"),
        ({"read_voltage": -0.2}, "read_voltage=-0.2"),
        ({"coefficients": (math.nan,)}, "expected finite numbers"),
        ({"law": "polynomial", "coefficients": (-6.0,)}, "deliver power at 0.168 V"),
        ({"law": "polynomial", "coefficients": (6.0,)}, "deliver power at -0.2 V"),
    ],
)
def test_impossible_curves_are_refused(parameters, text):
    with pytest.raises(ConfigError, match=text):
        NonlinearIV(**parameters)


def test_cells_without_a_curve_are_refused(arrays, ctx):
    with pytest.raises(ConfigError, match="give the distribution a min > 0"):
        NonlinearIV(v0=Normal(0.1, 0.1)).bind(arrays(), ctx)
