"""Measured files say what they mean, or are refused with the line that does not."""

import pytest
import torch

import memcore
from memcore import ConfigError, fitting

COLUMNS = {"time": "t", "voltage": "V", "current": "I"}
UNITS = {"time": "s", "voltage": "V", "current": "uA"}


def loop(path, text):
    path.write_text(text)
    return fitting.IVData.from_csv(path, columns=COLUMNS, units=UNITS)


@pytest.mark.parametrize("header", ["t,V,I", "t,V,I,,"])
def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path, header):
    """Decimal commas between commas would shift 0,187381315 into two columns."""
    text = f"{header}\n0,0,0\n20,0,187381315,19,5050864\n40,1,5\n"
    with pytest.raises(ConfigError, match=r"line 3 has 5 cells, the header 3;.*decimal commas"):
        loop(tmp_path / "iv.csv", text)


def test_blank_cells_at_the_end_of_a_row_mean_nothing(tmp_path):
    found = loop(tmp_path / "iv.csv", "t,V,I\n0,0,0,\n1,2,3, ,\n2,3,4\n")
    assert torch.equal(found.voltage, torch.tensor([0.0, 2.0, 3.0]).double())


def pulses(path, chips, runs=(20, 30, 35, 25, 15, 10)):
    """Three reads under SET and three under RESET of each chip, by the labels of its six rows."""
    words = ["up"] * 3 + ["down"] * 3
    rows = [
        f"{label},{word},{g}"
        for chip in chips
        for label, word, g in zip(chip, words, runs, strict=False)
    ]
    path.write_text("chip,dir,G\n" + "\n".join(rows) + "\n")
    return memcore.fit(
        "tabular",
        path,
        columns={"device": "chip", "direction": "dir", "conductance": "G"},
        units={"conductance": "uS"},
    )


def test_a_blank_label_is_no_further_device(tmp_path):
    with pytest.raises(ConfigError, match=r"line 3: device is blank;.*merged cells"):
        pulses(tmp_path / "merged.csv", [["A", *[""] * 5], ["B", *[""] * 5]])


def test_blanks_about_a_label_mean_nothing_and_its_case_must_not_tell_devices_apart(tmp_path):
    found = pulses(tmp_path / "blank.csv", [["A", " A", "A ", "A", "A", " A "], ["B"] * 6])
    assert found.provenance["data"]["records"] == 2
    with pytest.raises(ConfigError, match=r"line 8: device is 'a', but 'A' in line 2"):
        pulses(tmp_path / "case.csv", [["A"] * 6, ["a"] * 6])


def test_messages_call_devices_and_curves_by_their_labels(tmp_path):
    with pytest.raises(ConfigError, match=r"device 'C' \(from line 8 on\): count has shape \(1,\)"):
        pulses(tmp_path / "short.csv", [["A"] * 6, ["C"]])
    with pytest.raises(ConfigError, match=r"no RESET pulses in device 'C' \(from line 8"):
        pulses(tmp_path / "half.csv", [["A"] * 6, ["C"] * 3])
    with pytest.raises(ConfigError, match=r"in device 'A' \(from line 2 on\) the conductance does"):
        pulses(tmp_path / "turned.csv", [["A"] * 6], runs=(35, 30, 20, 10, 15, 25))
    path = tmp_path / "iv.csv"
    path.write_text("state,V,I\nhigh,-1,-1\nhigh,1,1\nlow,-1,1\nlow,1,-1\n")
    with pytest.raises(ConfigError, match=r"curve 'low' \(from line 4 on\) is .* away"):
        memcore.fit(
            "tabular",
            path,
            columns={"curve": "state", "voltage": "V", "current": "I"},
            units={"voltage": "V", "current": "uA"},
        )


@pytest.mark.parametrize("delimiter", [", ", "", "\n", '"', 1])
def test_columns_are_separated_by_one_character(tmp_path, delimiter):
    path = tmp_path / "iv.csv"
    path.write_text("t, V, I\n0, 0, 0\n1, 2, 3\n2, 3, 4\n")
    with pytest.raises(ConfigError, match=r"delimiter=.*; expected one character"):
        fitting.IVData.from_csv(path, columns=COLUMNS, units=UNITS, delimiter=delimiter)
    found = fitting.IVData.from_csv(path, columns=COLUMNS, units=UNITS)
    assert torch.equal(found.voltage, torch.tensor([0.0, 2.0, 3.0]).double())
