"""Spikes in place of a DAC, and a counter in place of an ADC."""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream, converters

CTX = memcore.Context(random=Stream(0))


def bound(name, ends, **parameters):
    return converters[name](**parameters).bind(torch.tensor(ends, dtype=torch.float64), CTX)


@pytest.mark.parametrize("signed", ["split", "twos_complement"])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 0.7)])
def test_ac_pi_3_spikes_are_the_bits_of_a_serial_dac(signed, ends):
    x = Stream(4).normal((2000,))
    spikes = bound("spike_code", ends, signed=signed)
    serial = bound("bit_serial", ends, bits=16, signed=signed)
    assert spikes.places == serial.places
    assert torch.equal(spikes.digits(x), serial.digits(x))
    assert len(spikes.digits(x).unique()) == 2  # there is a spike or there is none


def test_ac_pi_3_a_layer_with_spikes_is_that_with_a_serial_dac_bit_for_bit():
    layer, x = nn.Linear(9, 4), torch.rand(20, 9)
    found = []
    for dac in ({"name": "spike_code"}, {"name": "bit_serial", "bits": 16, "signed": "split"}):
        config = CrossbarConfig(device="ideal", dac=dac, adc={"name": "uniform", "bits": 8})
        found.append(memcore.convert(layer, config, calibration=x)(x))
    assert torch.equal(*found)


def test_ac_pi_3_the_counter_is_the_floor_and_the_rest_stays():
    threshold = 0.37e-6
    form = bound("integrate_fire", (0.0, threshold * 65535), symmetric=False)
    assert float(form.threshold) == pytest.approx(threshold)
    charges = Stream(1).uniform((10_000,)).double() * 900 * threshold
    wanted = [int(q // float(form.threshold)) for q in charges.tolist()]
    spikes, left = form.count(charges)
    assert spikes.tolist() == wanted
    assert bool((left >= 0).all())
    assert bool((left < form.threshold).all())
    torch.testing.assert_close(form(charges), spikes * form.threshold)
    # One after another on one capacitor: what is left of a charge counts with the next one.
    total, rest = 0.0, torch.zeros((), dtype=torch.float64)
    for charge in charges[:200]:
        fired, rest = form.count(charge, rest)
        total += float(fired)
    assert total == int(charges[:200].sum() // form.threshold)
    assert total > sum(wanted[:200])


def test_it_rounds_towards_zero_on_both_sides():
    form = bound("integrate_fire", (-15.0, 15.0), bits=5)
    x = torch.tensor([-99.0, -2.9, -1.0, -0.9, 0.0, 0.9, 1.0, 2.9, 99.0], dtype=torch.float64)
    assert form(x).tolist() == [-15.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 15.0]
    even = torch.linspace(0, 15, 10_001, dtype=torch.float64)
    assert float((form(even) - even).mean()) == pytest.approx(-0.5, abs=0.01)


def test_a_threshold_needs_no_calibration():
    layer, x = nn.Linear(9, 4, bias=False), torch.rand(20, 9)
    config = CrossbarConfig(
        device="ideal", adc={"name": "integrate_fire", "threshold": 1e-8, "bits": 20}
    )
    mem = memcore.convert(layer, config)
    codes = mem(x) / mem.crossbar.gain / 1e-8 * mem.crossbar.input_scale
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-2)


def test_the_gradient_passes_inside_of_the_range():
    form = bound("integrate_fire", (-7.0, 7.0), bits=4)
    x = torch.tensor([-9.0, -2.5, 3.5, 9.0], dtype=torch.float64, requires_grad=True)
    form(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"bits": 1}])
def test_what_is_no_counter_is_refused(wrong):
    with pytest.raises(memcore.ConfigError):
        converters["integrate_fire"](**wrong)
