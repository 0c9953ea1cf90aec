"""What reads do and find: disturb, telegraph noise, thermal noise, temperature."""

import dataclasses
import math

import pytest
import torch

import memcore
from memcore import ConfigError, NoEffectWarning, ReadStream, nonidealities

K, Q = 1.380649e-23, 1.602176634e-19


def count(x):
    return torch.tensor(x, dtype=torch.float64)


# -- read disturb ---------------------------------------------------------------------------------


def test_many_reads_are_one_long_pulse_of_the_device(arrays, ctx):
    array = arrays("linear_ion_drift")
    form = nonidealities["read_disturb"](voltage=0.2, duration=1e-6).bind(array, ctx)
    g = torch.full(array.shape, 2e-4, dtype=torch.float64)
    device = array.device
    volts = torch.full_like(g, 0.2)
    expected = device.conductance(device.step(device.state_of(g), volts, 1e-6 * 5e3, ctx))
    found = form(g, count(5e3))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert bool((found > g).all())  # a positive voltage SETs this device
    away = nonidealities["read_disturb"](voltage=-0.2, duration=1e-6).bind(array, ctx)
    assert bool((away(g, count(5e3)) < g).all())


def test_below_the_threshold_nothing_moves_and_it_says_so(arrays, ctx):
    array = arrays("vteam", v_off=0.5, v_on=-0.5)
    with pytest.warns(NoEffectWarning, match=r"0\.2 V do not move a Vteam"):
        form = nonidealities["read_disturb"](voltage=0.2).bind(array, ctx)
    g = torch.full(array.shape, 5e-3, dtype=torch.float64)
    torch.testing.assert_close(form(g, count(1e9)), g, rtol=1e-12, atol=0)


def test_reads_have_the_voltage_of_the_config():
    layer = torch.nn.Linear(4, 2)
    config = memcore.CrossbarConfig(
        device="vteam", read_voltage=0.01, nonidealities=["read_disturb"]
    )
    with pytest.warns(NoEffectWarning, match=r"0\.01 V do not move a Vteam"):
        memcore.convert(layer, config)  # thresholds at 0.02 V and -0.2 V
    memcore.convert(layer, dataclasses.replace(config, read_voltage=0.2))
    with pytest.raises(ConfigError, match="towards='hrs' without rate="):
        nonidealities["read_disturb"](towards="hrs")


def test_a_device_without_dynamics_needs_a_rate(arrays, ctx):
    array = arrays("pcm")
    with pytest.raises(ConfigError, match="give rate="):
        nonidealities["read_disturb"]().bind(array, ctx)
    form = nonidealities["read_disturb"](rate=1e-6, towards="hrs").bind(array, ctx)
    low, _ = array.nominal.nominal_range()
    g = torch.full(array.shape, 1e-5, dtype=torch.float64)
    expected = low + (g - low) * math.exp(-0.5)
    torch.testing.assert_close(form(g, count(5e5)), expected, rtol=1e-6, atol=0)


def test_reads_are_told_to_the_clock(converted, inputs):
    model = converted({"name": "read_disturb", "duration": 1e-4}, device="linear_ion_drift")
    before = model(inputs)
    memcore.age(model, reads=1e4)
    assert not torch.allclose(model(inputs), before, rtol=1e-3)
    memcore.program(model)
    torch.testing.assert_close(model(inputs), before)


# -- telegraph noise ------------------------------------------------------------------------------


def trapped(arrays, ctx, **parameters):
    array = arrays(shape=(1, 100, 100))
    form = nonidealities["rtn"](**{"share": 1.0, "spread": 0.0, **parameters}).bind(array, ctx)
    return form, torch.full((1, *array.shape), 1e-5)


def test_a_trap_is_occupied_for_its_share_of_the_time(arrays, ctx):
    form, g = trapped(arrays, ctx, amplitude=0.1, tau_c=3e-3, tau_e=1e-3)
    found = form(g, ReadStream(5, torch.arange(20)))
    occupied = (found < 0.99 * g).double()
    torch.testing.assert_close(found.unique(), torch.tensor([1e-5 / 1.1, 1e-5]))
    assert abs(float(occupied.mean()) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / occupied.numel())


def test_only_a_share_of_the_cells_has_a_trap(arrays, ctx):
    form, g = trapped(arrays, ctx, share=0.3)
    moved = (form(g, ReadStream(5, torch.arange(60))) != g).any(0).double()
    assert abs(float(moved.mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / moved.numel())


def test_reads_that_are_close_remember(arrays, ctx):
    """Correlation exp(-interval (1/tau_c + 1/tau_e)) from one read to the next."""
    form, g = trapped(arrays, ctx, tau_c=1e-3, tau_e=1e-3, interval=5e-4)
    x = (form(g, ReadStream(5, torch.arange(40))) != g).double().flatten(1)
    pair = torch.stack([x[:-1].flatten(), x[1:].flatten()])
    assert float(pair.corrcoef()[0, 1]) == pytest.approx(math.exp(-1.0), abs=0.01)
    effect = nonidealities["rtn"](interval=5e-4)
    f = torch.linspace(0, 5e6, 2_000_001, dtype=torch.float64)
    variance = float(torch.trapezoid(effect.spectrum(f), f))
    assert variance == pytest.approx(0.25, rel=1e-3)  # p (1 - p) of the step squared


def test_the_state_at_a_read_does_not_depend_on_the_batch(converted, inputs):
    effect = {"name": "rtn", "share": 1.0, "interval": 1e-3}
    whole, parts = converted(effect), converted(effect)
    expected = whole(inputs)
    found = torch.cat([parts(part) for part in inputs.split(32)])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_too_many_reads_to_remember_are_refused():
    with pytest.raises(ConfigError, match="at most 256 are followed"):
        nonidealities["rtn"](interval=1e-9)


# -- thermal noise --------------------------------------------------------------------------------


def test_thermal_noise_is_that_of_all_cells_of_a_line(arrays):
    ctx = memcore.Context(random=memcore.Stream(0), temperature=350.0)
    array = arrays(shape=(1, 8, 3))
    form = nonidealities["thermal_noise"](bandwidth=1e8).bind(array, ctx)
    g = 1e-5 * memcore.Stream(3).uniform(array.shape).double()
    form.settle(g, count(0.0))
    i = torch.tensor([[[1e-6, -2e-6, 0.0]]], dtype=torch.float64)
    expected = 4 * K * 350.0 * 1e8 * g.sum(1) + 2 * Q * 1e8 * i[0].abs()
    torch.testing.assert_close(form.variance(i)[0], expected, rtol=1e-6, atol=0)


def test_thermal_noise_reaches_the_outputs(converted, inputs):
    quiet, noisy = converted(), converted({"name": "thermal_noise", "bandwidth": 1e12})
    still = inputs[:1].expand(20_000, -1)
    difference = (noisy(still) - quiet(still)).double()
    crossbar = quiet[0].crossbar
    g = crossbar.conductance.double()
    volts = crossbar.input_scale
    v = crossbar.tiling.spread(still[:1].unsqueeze(1) * volts).double()
    i = torch.einsum("nar,arc->nac", v, g)[0]
    variance = 4 * K * 300 * 1e12 * g.sum(1) + 2 * Q * 1e12 * i.abs()
    expected = variance.sum(0).sqrt() * float(crossbar.gain) / volts
    torch.testing.assert_close(difference.std(0), expected, rtol=0.03, atol=0)


# -- temperature ----------------------------------------------------------------------------------


def test_hot_cells_conduct_as_the_law_says(arrays):
    ctx = memcore.Context(random=memcore.Stream(0), temperature=350.0)
    array = arrays(r_on=1e4, r_off=1e6)
    form = nonidealities["temperature"](ea_hrs=0.1, ea_lrs=0.0, alpha=2e-3).bind(array, ctx)
    g = torch.tensor([1e-6, 1e-5, 1e-4], dtype=torch.float64)
    activated = [math.exp(-ea / 8.617333262e-5 * (1 / 350 - 1 / 300)) for ea in (0.1, 0.05, 0.0)]
    metallic = [1 + 2e-3 * 50 * x for x in (0.0, 0.5, 1.0)]
    expected = g * torch.tensor(activated) / torch.tensor(metallic)
    torch.testing.assert_close(form(g), expected, rtol=1e-6, atol=0)


def test_at_the_reference_temperature_it_says_that_it_does_nothing(converted):
    with pytest.warns(NoEffectWarning, match="it has no effect"):
        converted("temperature")


def test_a_hot_layer_differs(converted, inputs):
    hot = converted("temperature", temperature=360.0)
    assert not torch.allclose(hot(inputs), converted()(inputs), rtol=1e-2)
