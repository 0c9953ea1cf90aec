"""The uncertainties of a fit are those of its parameters: many data sets with known parameters."""

import math

import pytest
import torch

import memcore
from memcore import Stream, fitting

SETS = 40
LOOP = {"r_on": 150.0, "r_off": 12e3, "x0": 0.2}
PULSES = {"dw_min": 0.08, "w_max": 1.2}
COUNT = torch.tensor([2] * 7 + [-2] * 7)


def loop_data(number, samples, *, relative=False):
    """A loop with noise of 0.5 % of the largest current, or of 10 % of each."""
    dt = 1 / samples
    voltage = memcore.stimuli.sine(1.0, 1.0, dt=dt, dtype=torch.float64)
    trace = memcore.simulate(memcore.devices["linear_ion_drift"](**LOOP), voltage, dt)
    noise = Stream(number).normal(voltage.shape, dtype=torch.float64)
    size = 0.1 * trace.current.abs() if relative else 5e-3 * trace.current.abs().max()
    return fitting.IVData(time=trace.time, voltage=voltage, current=trace.current + size * noise)


def fitted_loop(number, _):
    """A loop of 40 samples."""
    data = loop_data(number, 40)
    return memcore.fit("linear_ion_drift", data, free=list(LOOP), start=LOOP, starts=1)


def fitted_pulses(number, pulse_by_pulse):
    """14 pulses up and 14 down, every second one read, with noise of 1 % of the window."""
    device = memcore.devices["soft_bounds"](**PULSES).nominal()
    exact = pulse_by_pulse(device, COUNT)
    noise = Stream(number).normal(exact.shape, dtype=torch.float64)
    data = fitting.PulseData(count=COUNT, conductance=exact + 2e-7 * noise)
    return memcore.fit("soft_bounds", data, free=list(PULSES), start=PULSES, starts=1)


@pytest.mark.parametrize(
    ("fit", "true"),
    [pytest.param(fitted_loop, LOOP, id="loop"), pytest.param(fitted_pulses, PULSES, id="pulses")],
)
def test_parameters_miss_the_truth_by_as_much_as_their_uncertainty_says(fit, true, pulse_by_pulse):
    found = [fit(number, pulse_by_pulse).parameters for number in range(SETS)]
    for name, value in true.items():
        z = torch.tensor([(p[name].value - value) / p[name].uncertainty for p in found])
        assert abs(float(z.mean())) < 4 * float(z.std()) / math.sqrt(SETS), name
        # Four standard errors of a deviation are 4 / sqrt(2 n) = 0.45; below that of chance.
        assert 0.7 < float(z.std()) < 1.4, name
        covered = float((z.abs() < 1).double().mean())
        expected = math.erf(1 / math.sqrt(2))
        error = math.sqrt(expected * (1 - expected) / SETS)
        assert abs(covered - expected) < 4 * error, name


def test_relative_differences_do_not_favour_what_noise_made_small():
    """Over the measured value they would: low by twice the variance, ten uncertainties here."""
    data = loop_data(0, 8000, relative=True)
    options = {"scale": "relative", "floor": 1e-9, "starts": 1}
    device = {"name": "linear_ion_drift", **LOOP}
    found = memcore.fit(device, data, free=["r_on", "r_off"], **options)
    for name in ("r_on", "r_off"):
        parameter = found.parameters[name]
        assert abs(parameter.value - LOOP[name]) < 4 * parameter.uncertainty, name
