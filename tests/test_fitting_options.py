"""Every option of a fit is looked at, and one that cannot act is refused."""

import dataclasses

import numpy as np
import pytest
import torch

import memcore
from memcore import ConfigError, fitting

T = 0.05 * torch.arange(20, dtype=torch.float64)
LOOP = fitting.IVData(time=T, voltage=T.sin(), current=1e-5 * T.sin())
PULSES = fitting.PulseData(
    count=[1, 1, 1, -1, -1, -1], conductance=[2e-5, 3e-5, 4e-5, 3e-5, 2e-5, 1e-5]
)
TABLE = {"columns": {"direction": "dir", "conductance": "G"}, "units": {"conductance": "uS"}}
ROWS = "dir,G\nup,20\nup,30\nup,35\ndown,25\ndown,15\ndown,10\n"
COLUMNS = {"columns": {"voltage": "V", "current": "I"}, "units": {"voltage": "V", "current": "uA"}}


def refused(message, device, data, **options):
    with pytest.raises(ConfigError, match=message):
        memcore.fit(device, data, **options)


def test_options_come_as_one_value_or_by_keyword():
    options = fitting.FitOptions(free=["r_on"], starts=1)
    by_value = memcore.fit("linear_ion_drift", LOOP, options=options, scale="asinh")
    by_keyword = memcore.fit("linear_ion_drift", LOOP, free=["r_on"], starts=1, scale="asinh")
    assert by_value.provenance == by_keyword.provenance
    assert by_value.provenance["settings"]["scale"] == "asinh"
    assert by_value.device == by_keyword.device
    assert options.scale == "linear"


def test_an_option_that_there_is_not_is_named():
    with pytest.raises(TypeError, match="has no parameter 'start_s'; did you mean 'starts'"):
        memcore.fit("linear_ion_drift", LOOP, start_s=8)
    with pytest.raises(memcore.MemcoreError, match="options is a dict; expected FitOptions"):
        memcore.fit("linear_ion_drift", LOOP, options={"starts": 8})


def test_options_are_refused_when_they_are_made():
    with pytest.raises(ConfigError, match="loss='l2'; expected one of linear, soft_l1"):
        fitting.FitOptions(loss="l2")


@pytest.mark.parametrize(
    "options",
    [
        *[{"dt": -5.0}, {"dt": 0.1}, {"resample": -1.0}, {"resample": True}, {"resample": 0.1}],
        *[{"substeps": -3}, {"substeps": 2}, {"floor": 0.1}, {"delimiter": ";"}],
    ],
    ids=str,
)
def test_pulses_have_no_times(options):
    (name,) = options
    refused(f"{name}=.*leave {name} out", "soft_bounds", PULSES, free=["dw_min"], **options)


def test_a_file_of_pulses_has_no_times_either(tmp_path):
    (tmp_path / "pulses.csv").write_text(ROWS)
    refused("dt=99.0 is of currents", "soft_bounds", tmp_path / "pulses.csv", dt=99.0, **TABLE)


@pytest.mark.parametrize(
    "options",
    [
        *[{"scale": "foo"}, {"scale": "asinh"}, {"floor": 0.1}, {"loss": "foo"}, {"starts": -3}],
        *[
            {"seed": 3},
            {"dt": 0.1},
            {"resample": True},
            {"substeps": 2},
            {"bounds": {"x0": (0, 1)}},
        ],
        *[{"free": ["x0"]}, {"fixed": ["x0"]}, {"delimiter": ";"}],
    ],
    ids=str,
)
def test_a_device_that_holds_what_was_measured_searches_nothing(options):
    (name,) = options
    refused(f"^{name}=", "tabular", PULSES, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 99.0}, "dt=99.0 describes a file"),
        ({"delimiter": ";"}, "delimiter=';' describes a file"),
        ({"floor": 0.1}, "floor=0.1 acts with scale='relative'"),
        ({"scale": "asinh", "floor": "much"}, "floor='much'"),
        ({"resample": "yes"}, "resample='yes'; expected True"),
        ({"resample": -1.0}, "resample=-1.0; expected True"),
        ({"resample": 5.0}, "resample=5.0 puts 20 samples on 1 points"),
        ({"substeps": True}, "substeps=True"),
        ({"starts": 1.5}, "starts=1.5"),
        ({"seed": "x"}, "seed='x'; expected an integer"),
        ({"date": 2026}, "date=2026; expected a text"),
        ({"bounds": {"r_off": (1e3, 1e5)}}, "bounds: r_off is not fitted"),
        ({"bounds": ["r_on"]}, "expected a mapping"),
        ({"start": ["r_on"]}, "expected a preset or values by name"),
    ],
    ids=str,
)
def test_options_of_a_measured_loop_are_looked_at(options, message):
    refused(message, "linear_ion_drift", LOOP, free=["r_on"], **options)


@pytest.mark.parametrize("dt", [-5.0, 0.0, float("inf"), "1"])
def test_samples_are_some_time_apart(tmp_path, dt):
    (tmp_path / "iv.csv").write_text("V,I\n0,0\n1,1\n2,2\n")
    path = tmp_path / "iv.csv"
    refused(r"dt=.*; expected seconds > 0", "linear_ion_drift", path, dt=dt, **COLUMNS)


def test_a_grid_on_which_most_samples_share_a_point_is_told():
    time = torch.linspace(0, 3, 90, dtype=torch.float64) ** 1.1
    data = fitting.IVData(time=time, voltage=time.sin(), current=1e-5 * time.sin())
    settings = {"resample": 0.11, "starts": 1, "substeps": 1}
    found = memcore.fit("linear_ion_drift", data, free=["r_off"], **settings)
    assert any("resample=0.11 puts 90 samples on 31 points" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"free": "r_on"}, r"free='r_on'; expected a list of names: free=\['r_on'\]"),
        ({"fixed": "r_on"}, r"fixed='r_on'; expected a list of names"),
        ({"free": []}, "free is empty"),
    ],
    ids=str,
)
def test_names_come_in_a_list(option, message):
    refused(message, "linear_ion_drift", LOOP, **option)


#: Values that fit no option, of every kind that a slip can be.
ODD = (
    *(-999, -1.5, float("nan"), 2**70, 10**400, 10**5000, True, 1j, "", "x", "\0", b"x"),
    *([], [","], [1], [None], [["r_on"]], {}, {1: 2}, {None: 1}, {"r_on": [1]}, {"r_on": None}),
    *(object(), len, torch.tensor(1.0), torch.ones(2), np.array([1, 2]), set(), iter(["r_on"])),
)


def answer(call):
    """What a call that fails says, which must be an error of the family; empty if it does not."""
    try:
        call()
    except memcore.MemcoreError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(fitting.FitOptions)])
def test_odd_values_are_refused_in_words(name, tmp_path):
    (tmp_path / "pulses.csv").write_text(ROWS)
    loop = ("linear_ion_drift", LOOP, {"free": ["r_on"], "starts": 1})
    pulses = ("tabular", tmp_path / "pulses.csv", TABLE)
    for value in ODD:
        refusal = answer(lambda: fitting.FitOptions(**{name: value}))  # noqa: B023
        assert not refusal or "expected" in refusal
        for device, data, base in () if refusal else (loop, pulses):
            said = answer(lambda: memcore.fit(device, data, **{**base, name: value}))  # noqa: B023
            words = ("expected", "leave", "there ", "it has", "valid number")
            assert not said or any(word in said for word in words)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"missing": -999}, r"missing=-999; expected a list of cells, as texts: missing="),
        ({"missing": None}, "missing=None; expected a list of cells"),
        ({"missing": [-999]}, r"missing=\[-999\]; expected a list of cells, as texts"),
        ({"delimiter": [","]}, r"delimiter=\[','\]; expected one character"),
        ({"seed": -1}, r"seed=-1; expected an integer from 0 to 2\*\*63 - 1"),
        ({"seed": 2**64}, "seed=18446744073709551616; expected an integer from 0"),
        ({"encoding": "rot13"}, "encoding='rot13' is unknown"),
        ({"loss": ["huber"]}, r"loss=\['huber'\]; expected one of linear"),
        ({"bounds": {"r_on": None}}, "expected a mapping: bounds="),
        ({"start": {"r_on": [1e3]}}, "expected a preset or values by name, as numbers"),
        ({"columns": {"time": None}}, "expected a mapping: columns="),
        ({"free": [1]}, r"free=\[1\]; expected a list of names"),
        ({"limit": 10**400}, "expected a current > 0 in A"),
    ],
    ids=str,
)
def test_what_an_option_expects_is_said(option, message):
    with pytest.raises(ConfigError, match=message):
        fitting.FitOptions(**option)


def test_numbers_of_numpy_and_of_torch_are_those_of_python():
    given = {"series": np.float64(1.0), "seed": np.int64(3), "start": {"r_on": torch.tensor(90.0)}}
    found = memcore.fit("linear_ion_drift", LOOP, free=["r_on"], starts=1, **given)
    assert found.provenance["start"]["r_on"] == 90.0
    assert {type(found.provenance["settings"][name]) for name in ("series", "seed")} == {float, int}
