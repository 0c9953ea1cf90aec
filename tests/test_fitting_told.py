"""What `memcore.fit` says of measurements that it does not take as they are."""

import pytest
import torch

import memcore
from memcore import fitting
from memcore.errors import ConfigError
from memcore.fitting.predictions import PulseModel
from memcore.fitting.zeros import left_at_zero

CYCLE = [("1.6", 20), ("1.6", 29), ("1.6", 34), ("-1.4", 24), ("-1.4", 16), ("-1.4", 11)]
TABLE = {
    "columns": {"direction": "dir", "conductance": "G"},
    "units": {"conductance": "uS"},
}


def written(path, rows):
    path.write_text("\n".join(["dir,G", *(f"{way},{g}" for way, g in rows)]))
    return path


def remarks(found, word):
    return [text for text in found.warnings if word in text]


@pytest.mark.parametrize(("more", "word", "there"), [(1, "SET", 1), (2, "SET", 2), (5, "RESET", 2)])
def test_a_run_that_was_broken_off_is_left_out_and_said(tmp_path, more, word, there):
    whole = memcore.fit("tabular", written(tmp_path / "whole.csv", CYCLE * 2), **TABLE)
    path = written(tmp_path / "cut.csv", CYCLE * 2 + CYCLE[:more])
    found = memcore.fit("tabular", path, **TABLE)
    (text,) = remarks(found, "broken off")
    assert f"the last run of {word} pulses in device 0 has {there} of 3 pulses" in text
    assert "it is left out" in text
    if word == "SET":
        assert found.device.ltp == whole.device.ltp
    assert not remarks(whole, "broken off")


@pytest.mark.parametrize("device", ["tabular", "soft_bounds"])
@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, True),
        ({"v_set": 1.6, "v_reset": -1.4}, False),
        ({"v_set": -1.6, "v_reset": 1.4}, False),  # of a device of the other polarity
        ({"v_set": 1.6}, True),
    ],
)
def test_amplitudes_that_are_not_those_of_the_device_are_said(tmp_path, device, held, said):
    path = written(tmp_path / "pulses.csv", CYCLE * 2)
    own = {"name": device, **held} if device != "tabular" else device
    options = {"free": ["dw_min"], "starts": 1} if device != "tabular" else {"fixed": held or ()}
    found = memcore.fit(own, path, **TABLE, **options)
    texts = remarks(found, "amplitudes")
    assert bool(texts) == said
    if said:
        assert "has the amplitudes 1.6 and -1.4, of which the sign counts only" in texts[0]
        assert "v_set=1.6 and v_reset=-1.4" in texts[0]


@pytest.mark.parametrize("words", [("1", "-1"), ("up", "down"), ("1000", "-1000")])
def test_signs_words_and_millivolts_of_the_device_are_no_other_amplitudes(tmp_path, words):
    rows = [(words[0] if float(way) > 0 else words[1], g) for way, g in CYCLE]
    found = memcore.fit("tabular", written(tmp_path / "pulses.csv", rows), **TABLE)
    assert not remarks(found, "amplitudes")


@pytest.mark.parametrize(
    "settings",
    [{"start": {"r_on": 1 / 150}}, {"fixed": {"r_on": 1 / 150}}],
)
def test_siemens_for_ohm_are_refused_before_the_search(settings):
    voltage = memcore.stimuli.sine(1.0, 1.0, dt=0.01, dtype=torch.float64)
    device = memcore.devices["linear_ion_drift"](r_on=150.0, r_off=12e3)
    trace = memcore.simulate(device, voltage, 0.01)
    data = fitting.IVData(time=trace.time, voltage=voltage, current=trace.current)
    with pytest.raises(ConfigError, match=r"with r_on=0\.006.* is up to 150; expected siemens"):
        memcore.fit("linear_ion_drift", data, progress=pytest.fail, **settings)
    with pytest.raises(ConfigError, match="for ohm where siemens came"):
        memcore.fit({"name": "linear_ion_drift", "r_on": 1 / 150}, data, progress=pytest.fail)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_parameter_that_acts_on_one_side_of_zero_only_is_named(sign, pulse_by_pulse):
    """Steps up are smaller for `up_down` below 0, steps down for one above."""
    device = memcore.devices["constant_step"](dw_min=0.03)
    model = PulseModel(device, fitting.PulseData(count=[sign] * 5, conductance=[1e-5] * 5))
    (text,) = left_at_zero(model, {}, ())
    assert "up_down" in text


def test_a_parameter_at_zero_that_the_data_need_is_named(pulse_by_pulse):
    """Steps up and down of 10 % difference, which `constant_step` has with `up_down` only."""
    count = [1] * 30 + [-1] * 30
    device = memcore.devices["constant_step"](dw_min=0.03, up_down=0.1)
    data = fitting.PulseData(count=count, conductance=pulse_by_pulse(device, count))
    found = memcore.fit("constant_step", data)
    (text,) = remarks(found, "not fitted")
    assert "up_down" in text
    assert "c2c" not in text  # noise explains no mean
    assert "start={'up_down': ...}" in text
    begun = memcore.fit("constant_step", data, start={"up_down": 0.05})
    assert begun.relative < 1e-6
    assert not remarks(begun, "not fitted")
    assert not remarks(
        memcore.fit("constant_step", data, fixed=["up_down", "imbalance"]), "fitted,"
    )
