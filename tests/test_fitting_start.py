"""A start moves what is fitted, and nothing else of the device that was given."""

import pytest
import torch

import memcore
from memcore import ConfigError, fitting

VTEAM, DRIFT = memcore.devices["vteam"], memcore.devices["linear_ion_drift"]
DT = 0.05
VOLTAGE = memcore.stimuli.sine(1.0, 1.0, dt=DT, dtype=torch.float64)
ONCE = {"free": ["r_on"], "starts": 1}


@pytest.fixture(scope="module")
def data():
    trace = memcore.simulate(DRIFT(), VOLTAGE, DT)
    return fitting.IVData(time=trace.time, voltage=VOLTAGE, current=trace.current)


@pytest.mark.parametrize(
    "device",
    [
        VTEAM(iv="exponential", r_off=5e3),
        {"name": "vteam", "iv": "exponential", "r_off": 5e3},
    ],
    ids=["instance", "mapping"],
)
def test_a_preset_to_start_with_leaves_the_device_given_as_it_is(data, device):
    found = memcore.fit(device, data, start="magic", **ONCE)
    assert (found.device.iv, found.device.r_off) == ("exponential", 5e3)
    assert found.device.alpha_on == VTEAM().alpha_on
    assert found.provenance["start"]["r_on"] == 1e3
    assert any("r_off=5000.0 (not 300000.0)" in line for line in found.warnings)


def test_a_device_file_is_a_device_given(data, tmp_path):
    (tmp_path / "mine.toml").write_text('[device]\nname = "linear_ion_drift"\np = 3.0\n')
    found = memcore.fit(tmp_path / "mine.toml", data, start="tutorial_b", **ONCE)
    assert (found.device.p, found.device.window) == (3.0, "none")
    assert found.provenance["start"]["r_on"] == 1e3


@pytest.mark.parametrize("device", ["linear_ion_drift", {"name": "linear_ion_drift"}, DRIFT])
def test_a_name_alone_says_nothing_and_the_preset_is_the_device(data, device):
    found = memcore.fit(device, data, start="tutorial_b", **ONCE)
    assert (found.device.window, found.device.thickness) == ("joglekar", 85e-9)
    assert not any("start=" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"device": VTEAM(iv="exponential"), "start": "magic"},
            r"start='magic' sets only what is fitted.*r_on.*'preset': 'magic'",
        ),
        ({"start": {"r_off": 5e3}}, r"r_off is not fitted;.*fixed=\{'r_off': 5000.0\}"),
        ({"start": {"r_on": 90.0}, "free": None, "fixed": ["r_on"]}, "r_on is not fitted"),
        ({"start": {"window": "biolek"}}, "start: LinearIonDrift has no number 'window'"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(data, options, message):
    device = options.get("device", "linear_ion_drift")
    rest = {name: value for name, value in options.items() if name != "device"}
    with pytest.raises(ConfigError, match=message):
        memcore.fit(device, data, **{**ONCE, **rest})


def test_nothing_is_fitted_to_start_with_in_a_device_that_holds_what_was_measured():
    pulses = fitting.PulseData(count=[1, 1, -1, -1], conductance=[2e-5, 3e-5, 2e-5, 1e-5])
    with pytest.raises(ConfigError, match=r"hold it by fixed=\{'read_voltage': 0.3\}"):
        memcore.fit("tabular", pulses, start={"read_voltage": 0.3})
