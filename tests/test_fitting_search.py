"""Devices come back from loops of another integrator, and a model that misses the data says so.

The loops are made by Runge-Kutta steps in plain numpy from the published equations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import memcore
from memcore import ConfigError, fitting
from memcore.fitting.adequacy import misfit
from memcore.fitting.scaling import powers_of

Array = npt.NDArray[np.float64]
STEPS = 16  #: between two samples


def sine(amplitude: float, duration: float) -> Callable[[float], float]:
    """One period of a sine."""
    return lambda t: float(amplitude * np.sin(2 * np.pi * t / duration))


def vteam(p: dict[str, float], length: float = 3e-9) -> tuple[Any, Any, float]:
    """Rate and current of VTEAM with a linear resistance, and the first state."""

    def rate(s: float, v: float) -> float:
        if v > p["v_off"]:
            return p["k_off"] * (v / p["v_off"] - 1) ** p["alpha_off"] / length
        if v < p["v_on"]:
            return p["k_on"] * (v / p["v_on"] - 1) ** p["alpha_on"] / length
        return 0.0

    def current(s: Array, v: Array) -> Array:
        return v / (p["r_on"] + (p["r_off"] - p["r_on"]) * s)

    return rate, current, p["s0"]


def linear_ion_drift(p: dict[str, float]) -> tuple[Any, Any, float]:
    """The same of linear ion drift in a film of 10 nm, perhaps with a resistor in series."""
    load = p.get("series", 0.0)

    def resistance(x: Any) -> Any:
        return p["r_on"] * x + p["r_off"] * (1 - x) + load

    def rate(x: float, v: float) -> float:
        return float(p["mobility"] * p["r_on"] / 1e-16 * v / resistance(x))

    return rate, lambda x, v: v / resistance(x), p["x0"]


def yakopcic(p: dict[str, float]) -> tuple[Any, Any, float]:
    """The same of Yakopcic's model."""

    def rate(x: float, v: float) -> float:
        if v > p["V_p"]:
            push = p["A_p"] * (np.exp(v) - np.exp(p["V_p"]))
            far = np.exp(-p["alpha_p"] * (x - p["x_p"])) * (1 - x) / (1 - p["x_p"])
            return float(push * (far if x > p["x_p"] else 1.0))
        if v < -p["V_n"]:
            push = -p["A_n"] * (np.exp(-v) - np.exp(p["V_n"]))
            near = np.exp(p["alpha_n"] * (x + p["x_n"] - 1)) * x / (1 - p["x_n"])
            return float(push * (near if x < 1 - p["x_n"] else 1.0))
        return 0.0

    def current(x: Array, v: Array) -> Array:
        return np.where(v >= 0, p["a1"], p["a2"]) * x * np.sinh(p["b"] * v)

    return rate, current, p["x0"]


MODELS = {"vteam": vteam, "linear_ion_drift": linear_ion_drift, "yakopcic": yakopcic}


def loop(
    model: str, parameters: dict[str, float], wave: Callable[[float], float], time: Array
) -> tuple[Array, Array]:
    """Voltages and currents at the given times."""
    rate, current, state = MODELS[model](parameters)
    states = [state]
    for begin, end in pairwise(time):
        h = (end - begin) / STEPS
        for k in range(STEPS):
            t = begin + k * h
            a = rate(state, wave(t))
            b = rate(min(max(state + h / 2 * a, 0), 1), wave(t + h / 2))
            c = rate(min(max(state + h / 2 * b, 0), 1), wave(t + h / 2))
            d = rate(min(max(state + h * c, 0), 1), wave(t + h))
            state = min(max(state + h / 6 * (a + 2 * b + 2 * c + d), 0.0), 1.0)
        states.append(state)
    voltage = np.array([wave(t) for t in time])
    return voltage, current(np.array(states), voltage)


LOOPS = {
    "vteam": (
        {
            **{"r_on": 1101.0, "r_off": 8004.0, "v_on": -0.404, "v_off": 0.578, "s0": 0.9},
            **{"k_on": -5.9e-9, "k_off": 9.5e-9, "alpha_on": 3.0, "alpha_off": 3.0},
        },
        1.0,
    ),
    "linear_ion_drift": (
        {"r_on": 180.0, "r_off": 11e3, "mobility": 4e-9, "x0": 0.15},
        2e-6,
    ),
    "yakopcic": (
        {
            **{"a1": 3e-5, "a2": 2e-5, "b": 1.4, "A_p": 4e4, "A_n": 3e4, "V_p": 0.4, "V_n": 0.5},
            **{"alpha_p": 2.0, "alpha_n": 3.0, "x_p": 0.4, "x_n": 0.5, "x0": 0.1},
        },
        1e-3,
    ),
}


def measured(model, seed=0, samples=200, noise=3e-3):
    """A loop with noise of a share of the largest current."""
    parameters, duration = LOOPS[model]
    time = np.arange(samples) * duration / samples
    voltage, current = loop(model, parameters, sine(1.2, duration), time)
    draw = np.random.default_rng(seed).standard_normal(samples)
    current = current + noise * np.abs(current).max() * draw
    return fitting.IVData(time=time, voltage=voltage, current=current), parameters


def is_recovered(found, data, parameters, noise=3e-3):
    """Whether what is left over is the noise, and the uncertainties hold."""
    assert not found.misfit
    assert found.rms < 1.15 * noise * float(data.current.abs().max())
    for name, value in parameters.items():
        parameter = found.parameters[name]
        if parameter.identifiable:
            assert abs(parameter.value - value) < 4 * parameter.uncertainty, name
    assert any(found.identifiable.values())


@pytest.mark.parametrize("model", ["linear_ion_drift", "vteam"])
def test_a_device_comes_back_from_its_name_alone(model):
    """From parameters of another device, a million times slower or faster than the data."""
    data, parameters = measured(model)
    is_recovered(memcore.fit(model, data), data, parameters)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "seed"), [(m, s) for m in LOOPS for s in (1, 2)])
def test_other_noise_changes_nothing(model, seed):
    data, parameters = measured(model, seed)
    is_recovered(memcore.fit(model, data, seed=seed), data, parameters)


def drawn(model, seed):
    """A loop of a device of its own; those of the seeds 0 to 19 last from 1 us to 1 s."""
    random = np.random.default_rng(1000 + seed)
    duration = float(10 ** (-6 + 6 * seed / 19))

    def about(value, spread=0.3):
        if seed == 19:
            return value  # that of the other tests, over 1 s
        return value * float(np.exp(spread * random.standard_normal()))

    given, _ = LOOPS[model]
    kept = ("s0", "x0", "x_p", "x_n", "a2", "alpha_on", "alpha_off")
    spreads = {"v_on": 0.15, "v_off": 0.15, "V_p": 0.2, "V_n": 0.2, "mobility": 0.2, "a1": 1.0}
    spreads |= dict.fromkeys(("k_on", "k_off", "A_p", "A_n"), 0.5)
    #: Durations in s for which the speeds are those of the other tests.
    speeds = {"mobility": 2e-6, "k_on": 1.0, "k_off": 1.0, "A_p": 1e-3, "A_n": 1e-3}
    parameters = {
        name: value if name in kept else about(value, spreads.get(name, 0.3))
        for name, value in given.items()
    }
    for name in speeds.keys() & parameters.keys():
        parameters[name] *= speeds[name] / duration
    if model == "yakopcic":
        parameters["a2"] = parameters["a1"] * about(0.67)
    if model == "vteam" and not seed % 2:
        parameters["s0"] = 0.6
    time = np.arange(200) * duration / 200
    voltage, current = loop(model, parameters, sine(1.2, duration), time)
    current = current + 3e-3 * np.abs(current).max() * random.standard_normal(200)
    return fitting.IVData(time=time, voltage=voltage, current=current), parameters


#: Which of 20 loops of each model are fitted; all of them take six minutes of a processor.
FITTED = {"linear_ion_drift": range(20), "vteam": range(0, 20, 3), "yakopcic": range(0, 20, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("model", list(LOOPS))
def test_nine_of_ten_loops_are_found_from_the_name_alone(model):
    """Between 1 us and 1 s; each other one says that it misses the data; uncertainties hold."""
    recovered, deviations = [], []
    for seed in FITTED[model]:
        data, parameters = drawn(model, seed)
        found = memcore.fit(model, data)
        arrived = found.rms < 1.1 * 3e-3 * float(data.current.abs().max())
        assert arrived or found.misfit, seed
        recovered.append(arrived and not found.misfit)
        known = [found.parameters[n] for n in parameters if found.parameters[n].identifiable]
        if not found.misfit:
            deviations += [abs(p.value - parameters[p.name]) / p.uncertainty for p in known]
    assert np.mean(recovered) >= 0.9
    assert np.mean(np.array(deviations) <= 3) >= 0.95


@dataclass(frozen=True, kw_only=True)
class Folded(memcore.devices["ideal"]):
    """A resistor that is the same for a parameter and for its reciprocal."""

    fold: float = memcore.parameter(1.0, "1", "larger away from 1", above=0)

    def conductance(self, state):
        return (1 + torch.as_tensor(self.fold).log() ** 2) / self.r_on + 0 * state[0]


def test_an_uncertainty_reaches_another_valley():
    """Between the two the data object a little, so the slopes know of one only."""
    voltage = (0.1 * torch.arange(60, dtype=torch.float64)).sin()
    noise = torch.randn(60, generator=torch.Generator().manual_seed(2)).double()
    current = 1e-4 * (voltage * (1 + 0.1**2) + 0.011 * noise)
    data = fitting.IVData(time=torch.arange(60) * 0.1, voltage=voltage, current=current)
    found = memcore.fit(Folded(fold=1.3), data, free=["fold"]).parameters["fold"]
    other = 1 / found.value
    assert abs(math.log(found.value)) > 0.05
    assert abs(found.value - other) <= 3 * found.uncertainty


def test_a_resistor_in_series_is_no_part_of_the_device():
    parameters = {"r_on": 180.0, "r_off": 11e3, "mobility": 2e-14, "x0": 0.3}
    time = np.arange(200) / 200
    voltage, current = loop("linear_ion_drift", {**parameters, "series": 2e3}, sine(1.2, 1.0), time)
    data = fitting.IVData(time=time, voltage=voltage, current=current)
    fixed = {"mobility": 2e-14, "r_on": 180.0, "thickness": 1e-8, "p": 1.0, "j": 1.0}
    found = memcore.fit("linear_ion_drift", data, fixed=fixed, series=2e3, substeps=4)
    assert found.device.r_off == pytest.approx(11e3, rel=1e-3)
    assert found.device.x0 == pytest.approx(0.3, rel=1e-3)
    assert found.provenance["settings"]["series"] == 2e3


def limited():
    """A loop whose currents an instrument cuts at 0.15 mA, and the device."""
    true = {"a1": 2e-4, "a2": 1.5e-4, "b": 1.5, "A_p": 3.0, "V_p": 0.8, "x_p": 0.4, "x0": 0.05}
    ramp = torch.linspace(0, 1.5, 41, dtype=torch.float64)
    voltage = torch.cat([ramp, ramp.flip(0)])
    trace = memcore.simulate(memcore.devices["yakopcic"](**true), voltage, 0.12)
    current = trace.current.clamp(max=1.5e-4)
    start = memcore.devices["yakopcic"](**{**true, "a1": 1e-4})
    return start, fitting.IVData(time=trace.time, voltage=voltage, current=current)


def test_a_plateau_of_the_instrument_is_named_and_can_be_declared():
    start, data = limited()
    free = {"free": ["a1", "x0"]}
    blind = memcore.fit(start, data, starts=1, **free)
    assert any("current limit (compliance)" in line for line in blind.warnings)
    found = memcore.fit(start, data, limit=1.5e-4, **free)
    assert found.device.a1 == pytest.approx(2e-4, rel=1e-6)
    assert not any("compliance" in line for line in found.warnings)


def test_a_model_that_misses_the_data_claims_no_uncertainty():
    """A diode of fixed curvature is no linear ion drift, whatever its parameters."""
    time = torch.linspace(0, 1, 100, dtype=torch.float64)
    voltage = (2 * math.pi * time).sin()
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)).double()
    current = 1e-6 * (6 * voltage).sinh() + 1e-6 * noise
    data = fitting.IVData(time=time, voltage=voltage, current=current)
    found = memcore.fit("linear_ion_drift", data, starts=2)
    assert "misses the data" in found.misfit
    assert any("misses the data" in line for line in found.warnings)
    assert all(math.isnan(p.uncertainty) for p in found.parameters.values() if p.fitted)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_misfit(seed):
    """Neither where it grows with the signal, nor with outliers."""
    random = np.random.default_rng(seed)
    values = np.sin(np.linspace(0, 6, 200))
    even = 3e-3 * random.standard_normal(200)
    growing = 0.05 * values * random.standard_normal(200)
    assert not misfit(even, values - even)
    assert not misfit(growing, values - growing)
    outliers = even + np.where(random.random(200) < 0.02, 0.3, 0.0)
    assert not misfit(outliers, values - outliers)
    wrong = 6e-3 * np.sin(np.linspace(0, 20, 200))
    assert misfit(even + wrong, values - even)


def test_what_the_data_say_nothing_of_keeps_its_start_exactly():
    up, down = [4.0, 7.2, 9.6, 11.5, 12.9, 14.0], [11.0, 8.3, 6.1, 4.4, 3.1, 2.2]
    data = fitting.PulseData(count=[1] * 6 + [-1] * 6, conductance=[g * 1e-6 for g in (*up, *down)])
    found = memcore.fit("neurosim", data, fixed={"c2c": 0.0}, starts=2)
    begin = memcore.devices["neurosim"]()
    idle = ("v_set", "v_reset", "t_set", "t_reset")
    assert all(getattr(found.device, name) == getattr(begin, name) for name in idle)
    assert any(all(name in line for name in idle) for line in found.warnings)
    assert not any(found.identifiable[name] for name in idle)


def test_of_parameters_that_only_act_together_the_length_stays():
    data, parameters = measured("linear_ion_drift", samples=60)
    start = {"name": "linear_ion_drift", **parameters, "mobility": 5e-9}
    found = memcore.fit(start, data, free=["thickness", "mobility"], starts=1)
    assert found.device.thickness == 1e-8
    assert not found.identifiable["thickness"]


def test_runs_of_pulses_are_predicted_as_one_by_one(pulse_by_pulse):
    device = memcore.devices["neurosim"](c2c=0.0).nominal()
    count = [0, 1, 2, 1, -1, -1, 0, -3, 2]
    data = fitting.PulseData(count=count, conductance=pulse_by_pulse(device, count))
    found = memcore.fit(device, data, free=["r_on"], starts=1)
    assert torch.allclose(found.predicted, pulse_by_pulse(found.device, count), rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "powers"),
    [
        *[("V", (1, 0, 0, 0)), ("ohm", (1, -1, 0, 0)), ("1/V", (-1, 0, 0, 0))],
        *[("m/s", (0, 0, -1, 1)), ("m^2/(V s)", (-1, 0, -1, 2)), ("1", (0, 0, 0, 0)), ("eV", None)],
    ],
)
def test_units_say_what_a_parameter_scales_with(unit, powers):
    assert powers_of(unit) == powers


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_a_wrong_unit_of_the_current_is_remarked(factor):
    """Milliampere taken for microampere, and the other way round."""
    data, _ = measured("linear_ion_drift", samples=60)
    wrong = fitting.IVData(time=data.time, voltage=data.voltage, current=factor * data.current)
    device = {"name": "linear_ion_drift", "r_on": 180.0, "r_off": 11e3}
    found = memcore.fit(device, wrong, free=["x0"], starts=1)
    assert any("such as uA for mA" in line for line in found.warnings)
    right = memcore.fit(device, data, free=["x0"], starts=1)
    assert not any("such as uA for mA" in line for line in right.warnings)


def test_a_refused_load_is_named():
    data, _ = measured("linear_ion_drift", samples=40)
    with pytest.raises(ConfigError, match=r"series=-1.0; expected a resistance >= 0"):
        memcore.fit("linear_ion_drift", data, series=-1.0)
    with pytest.raises(ConfigError, match=r"limit=0; expected a current > 0"):
        memcore.fit("linear_ion_drift", data, limit=0)
