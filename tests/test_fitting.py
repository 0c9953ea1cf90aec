"""Parameters come back from noisy data that they made, and what data do not tell is said."""

import ast
import math
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import torch

import memcore
from memcore import ConfigError, fitting
from memcore.fitting import search
from memcore.fitting.units import Quantity, factor
from memcore.registry.specs import plugin

DT = 0.01
TRUE = {"r_on": 150.0, "r_off": 12e3, "mobility": 1e-14, "x0": 0.2}
VOLTAGE = memcore.stimuli.sine(1.0, 1.0, dt=DT, dtype=torch.float64)
HELD = ("p", "j", "thickness", "mobility")


@pytest.fixture(scope="module")
def data():
    device = memcore.devices["linear_ion_drift"](**TRUE)
    trace = memcore.simulate(device, VOLTAGE, DT)
    noise = torch.randn(len(VOLTAGE), generator=torch.Generator().manual_seed(0)).double()
    current = trace.current + 0.005 * trace.current.abs().max() * noise
    return fitting.IVData(time=trace.time, voltage=VOLTAGE, current=current)


def test_known_parameters_come_back_and_survive_the_file(data, tmp_path):
    found = memcore.fit("linear_ion_drift", data, fixed=HELD)
    for name in ("r_on", "r_off", "x0"):
        parameter = found.parameters[name]
        assert parameter.identifiable
        assert abs(parameter.value - TRUE[name]) < 3 * parameter.uncertainty
    found.to_toml(tmp_path / "mine.toml")
    assert plugin("devices", tmp_path / "mine.toml") == found.device


def test_what_the_data_do_not_tell_is_named(data):
    device = {"name": "linear_ion_drift", **TRUE}
    found = memcore.fit(device, data, free=["r_on", "thickness", "mobility"], starts=1)
    assert not found.identifiable["thickness"]
    assert not found.identifiable["mobility"]
    assert any("thickness" in line and "mobility" in line for line in found.warnings)


def test_one_sample_far_more_sensitive_than_the_others_does_not_hold_the_search_up():
    """The border reaches the electrode just after one of 50 samples, which then sees all."""
    voltage = memcore.stimuli.sine(1.0, 1.0, dt=0.02, dtype=torch.float64)
    trace = memcore.simulate(memcore.devices["linear_ion_drift"](**TRUE), voltage, 0.02)
    exact = fitting.IVData(time=trace.time, voltage=voltage, current=trace.current)
    found = memcore.fit("linear_ion_drift", exact, free=["r_on", "r_off", "x0"])
    assert not found.warnings
    for name in ("r_on", "r_off", "x0"):
        # Fresh cells are of single precision.
        assert found.parameters[name].value == pytest.approx(TRUE[name], rel=1e-7)


def test_a_search_that_did_not_arrive_claims_no_uncertainty(data, monkeypatch, tmp_path):
    for name in ("_BOUT", "_MOST"):
        monkeypatch.setattr(search, name, 2)
    found = memcore.fit("linear_ion_drift", data, free=["r_on", "r_off"], starts=1)
    assert all(math.isnan(p.uncertainty) for p in found.parameters.values() if p.fitted)
    assert "ran out of evaluations" in str(found)
    assert str(found).count("unknown") == 3
    found.to_toml(tmp_path / "mine.toml")
    assert plugin("devices", tmp_path / "mine.toml") == found.device


def test_pulses_give_back_their_steps(pulse_by_pulse):
    device = memcore.devices["soft_bounds"](dw_min=0.03, w_max=1.2).nominal()
    count = torch.tensor([1] * 60 + [-1] * 60)
    exact = pulse_by_pulse(device, count)
    noise = torch.randn(120, generator=torch.Generator().manual_seed(1)).double()
    data = fitting.PulseData(count=count, conductance=exact + 5e-8 * noise)
    found = memcore.fit("soft_bounds", data, free=["dw_min", "w_max"])
    for name in ("dw_min", "w_max"):
        parameter = found.parameters[name]
        assert abs(parameter.value - getattr(device, name)) < 3 * parameter.uncertainty


@pytest.mark.parametrize(
    ("unit", "dimension", "size"),
    [
        *[("mV", "voltage", 1e-3), ("uA", "current", 1e-6), ("nA", "current", 1e-9)],
        *[("us", "time", 1e-6), ("ms", "time", 1e-3), ("mS", "conductance", 1e-3)],
        *[("kOhm", "resistance", 1e3), ("M\u03a9", "resistance", 1e6), ("%", "number", 0.01)],
    ],
)
def test_units_are_converted(unit, dimension, size):
    assert factor(unit, "x", Quantity(dimension)) == size


def test_a_unit_is_never_guessed(tmp_path):
    file = tmp_path / "iv.csv"
    file.write_text("t (ms),V (mV),I (uA)\n0,0,0\n1,100,2\n2,200,4\n")
    columns = {"time": "t (ms)", "voltage": "V (mV)", "current": "I (uA)"}
    units = {"time": "ms", "voltage": "mV", "current": "uA"}
    read = fitting.IVData.from_csv(file, columns=columns, units=units)
    assert torch.allclose(read.voltage, torch.tensor([0.0, 0.1, 0.2]).double(), rtol=1e-12)
    with pytest.raises(ConfigError, match=r"no unit is declared for 'current'"):
        fitting.IVData.from_csv(file, columns=columns, units={"time": "ms", "voltage": "mV"})
    with pytest.raises(ConfigError, match="is one of conductance; expected one of time"):
        fitting.IVData.from_csv(file, columns=columns, units={**units, "time": "mS"})


def test_importing_memcore_imports_no_scipy():
    code = "import sys, memcore; assert not {'scipy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_two_modules_of_the_room_know_each_other():
    """Not even in the body of a function or for a type checker."""
    folder = Path(fitting.__file__).parent
    graph = {}
    for path in folder.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        froms = {str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)}
        graph[f"memcore.fitting.{path.stem}"] = {
            n for n in froms if n.startswith("memcore.fitting.")
        }
    assert "memcore.fitting.picture" in graph["memcore.fitting.result"]
    TopologicalSorter(graph).prepare()  # raises where there is a circle
