"""Fits of pulsed devices to reads that they made themselves: how close they come, at what cost."""

import dataclasses

import pytest
import torch

import memcore
from memcore import fitting
from memcore.fitting.predictions import Model, PulseModel

COUNT = [1] * 30 + [-1] * 30
#: Devices with parameters that are not those from which a fit starts.
DEVICES = {
    "exp_step": {"dw_min": 0.01, "x0": 0.2, "gamma_up": 3.0, "gamma_down": 3.0},
    "linear_step": {"dw_min": 0.05, "gamma_up": 0.7, "gamma_down": 0.3},
    "piecewise_step": {"dw_min": 0.04},
    "pow_step": {"dw_min": 0.05, "gamma_up": 1.2, "gamma_down": 2.0},
    "soft_bounds": {"dw_min": 0.06, "w_max": 1.2},
}


@pytest.mark.parametrize("name", DEVICES)
def test_what_a_model_made_without_noise_it_describes(name, pulse_by_pulse):
    device = memcore.devices[name](**DEVICES[name])
    data = fitting.PulseData(count=COUNT, conductance=pulse_by_pulse(device, COUNT))
    told = []
    found = memcore.fit(name, data, progress=told.append)
    assert found.relative < 1e-7
    assert not found.misfit
    # A fit that is exact is sought no further.
    assert not any("search 4 of 4" in text for text in told)


def test_a_whole_population_costs_one_simulation(monkeypatch, pulse_by_pulse):
    """Sets that differ in every parameter which acts are the cells of one array."""
    device = memcore.devices["exp_step"](dw_min=0.02)
    data = fitting.PulseData(count=COUNT, conductance=pulse_by_pulse(device, COUNT))
    model = PulseModel(device, data)
    acting = ("dw_min", "gain", "up_down", "w_max", "a", "b", "gamma_up", "A_up", "A_down")
    rows = [{name: getattr(device, name) * (1 + 0.01 * k) for name in acting} for k in range(5)]
    alone = torch.cat([model.predict([row]) for row in rows])
    simulated = []
    together = Model._together

    def counted(self, columns, count, seed):
        simulated.append(count)
        return together(self, columns, count, seed)

    monkeypatch.setattr(Model, "_together", counted)
    torch.testing.assert_close(model.predict(rows), alone, rtol=1e-12, atol=0)
    assert simulated == [len(rows)]


@pytest.mark.parametrize("name", [*DEVICES, "constant_step"])
def test_asymmetries_that_differ_from_cell_to_cell_are_those_of_the_cells(name):
    """s_up shrinks below 0 and s_down above 0, whichever cells stand beside one."""
    asymmetry = torch.tensor([-0.3, 0.0, 0.4], dtype=torch.float64)
    device = memcore.devices[name](dw_min=0.02)
    ctx = memcore.Context(random=memcore.Stream(0))
    many = dataclasses.replace(device, up_down=asymmetry)
    for count in (1, -1, 12):
        state = device.initial_state((3,), ctx).double()
        found = many.conductance(many.pulses(state, torch.full((3,), count), ctx))
        for k, each in enumerate(asymmetry.tolist()):
            one = dataclasses.replace(device, up_down=each)
            moved = one.pulses(state[:, k : k + 1], torch.tensor([count]), ctx)
            torch.testing.assert_close(found[k : k + 1], one.conductance(moved), rtol=1e-12, atol=0)
