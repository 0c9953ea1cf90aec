"""Files as instruments export them are read, or refused with what to do about them."""

import pytest
import torch

import memcore
from memcore import ConfigError, fitting

UNITS = {"time": "s", "voltage": "V", "current": "A"}
PLAIN = {"time": "t", "voltage": "V", "current": "I"}

EASY_EXPERT = """SetupTitle, Bipolar sweep
PrimitiveTest, I/V Sweep
TestParameter, Channel.UnitType, SMU, SMU
TestParameter, Measurement.Primary.Compliance, 0.0001
MetaData, TestRecord.RecordTime, 11/28/2026 20:10:11
Dimension1, 4, 4, 4
DataName, V1, I1, Time
DataValue, 0, 1.2E-12, 0.01
DataValue, 0.1, 2.5E-7, 0.02
DataValue, 0.2, 5E-7, 0.03
DataValue, 0.1, 2.4E-7, 0.04
"""
LABVIEW = """LabVIEW Measurement\t
Separator\tTab
Decimal_Separator\t.
Date\t2026/11/28
***End_of_Header***\t
\t
Channels\t2\t\t
Y_Unit_Label\tVolts\tAmps\t
X0\t0.0000000000000000E+0\t0.0000000000000000E+0\t
***End_of_Header***\t\t\t
X_Value\tVoltage\tCurrent\tComment
0.000000\t0.000000\t0.000000\t
0.001000\t0.500000\t0.000001\t
0.002000\t1.000000\t0.000003\tset
0.003000\t0.500000\t0.000002\t
"""
KEITHLEY = """Time(1)\tAnodeV(1)\tAnodeI(1)\tTime(2)\tAnodeV(2)\tAnodeI(2)
0\t0\t0\t0\t0\t0
0.1\t0.5\t1e-6\t0.1\t0.4\t1e-6
0.2\t1\t#REF\t0.2\t0.8\t2e-6
0.3\t0.5\t1e-6\t\t\t
0.4\t0\t0\t\t\t

==================================
Formulas
Test Name\tsweep#1@1
"""


def read(path, text, columns=PLAIN, written="utf-8", units=UNITS, **dialect):
    path.write_bytes(text.encode(written))
    return fitting.IVData.from_csv(path, columns=columns, units=units, **dialect)


def test_records_of_easy_expert(tmp_path):
    columns = {"time": "Time", "voltage": "V1", "current": "I1"}
    found = read(tmp_path / "b1500.csv", EASY_EXPERT, columns)
    assert found.current.tolist() == [1.2e-12, 2.5e-7, 5e-7, 2.4e-7]
    with pytest.raises(
        ConfigError, match="holds 2 records, the second with its heading in line 18"
    ):
        read(tmp_path / "b1500.csv", 2 * EASY_EXPERT, columns)
    second = EASY_EXPERT.replace(" 5E-7", "199.999E+99")
    two = EASY_EXPERT + second
    with pytest.raises(ConfigError, match=r"line 21: current is '199.999E\+99'"):
        read(tmp_path / "b1500.csv", two, columns, record=2)


@pytest.mark.parametrize("decimal", [".", ","])
def test_measurements_of_labview(tmp_path, decimal):
    columns = {"time": "X_Value", "voltage": "Voltage", "current": "Current"}
    text = LABVIEW.replace(".", decimal)
    found = read(tmp_path / "x.lvm", text, columns, delimiter="tab", decimal=decimal)
    assert found.time.tolist() == [0, 1e-3, 2e-3, 3e-3]
    assert found.current.tolist() == [0, 1e-6, 3e-6, 2e-6]


def test_runs_of_keithley_side_by_side_end_where_each_ends(tmp_path):
    for run, volts in ((1, [0, 0.5, 1, 0.5, 0]), (2, [0, 0.4, 0.8])):
        columns = {"time": f"Time({run})", "voltage": f"AnodeV({run})"}
        columns["current"] = f"AnodeI({run})"
        options = {"delimiter": "tab", "marks": "drop"}
        found = read(tmp_path / "4200.txt", KEITHLEY, columns, **options)
        assert found.voltage.tolist() == volts
        foot = any("from line 8 on there is no number" in line for line in found.remarks)
        assert foot is (run == 1)  # in the columns of the other one there is nothing
        assert bool(found.compared.all()) is (run == 2)


def test_what_follows_the_data_is_left_out_only_where_it_holds_no_number(tmp_path):
    rows = "t,V,I\n0,0,1\n1,1,2\n2,2,3\n"
    (remark,) = read(tmp_path / "x.csv", rows + "End of data\n").remarks
    assert "from line 5 on" in remark
    with pytest.raises(ConfigError, match=r"line 5: time is ''; expected .* missing=\[''\]"):
        read(tmp_path / "x.csv", rows + ",Max,3\n")
    with pytest.raises(
        ConfigError, match=r"line 3: time is 'sweep down'; expected .* take the line"
    ):
        read(tmp_path / "x.csv", "t,V,I\n0,0,1\nsweep down\n1,1,2\n2,2,3\n")


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("20:10:11", "not a time of day or a date: .* dt=seconds"),
        ("2026-11-28T10:00:00", "not a time of day or a date"),
        ("+1.0E-09NADC", "without letters beside it"),
        ("1.2u", "without letters beside it"),
        ("NAI+1.0E-9", "without letters beside it"),
        ("1 234,5", "without separators of thousands"),
        ("1.234,5", "without separators of thousands"),
    ],
)
def test_cells_that_are_no_numbers_are_told_with_their_remedy(tmp_path, cell, remedy):
    with pytest.raises(ConfigError, match=f"line 3: current is .*{remedy}"):
        read(tmp_path / "x.csv", f"t;V;I\n0;0;1\n1;1;{cell}\n2;2;3\n", delimiter=";")


@pytest.mark.parametrize(
    "text",
    [
        "# t,V,I\n0,0.5,1\n1,1.5,2\n2,2.5,3\n",
        "% made by a program\nt,V,I\n% run 1\n0,0.5,1\n1,1.5,2\n// again\n2,2.5,3\n",
        "t,V,I\nsec,Volts,Amps\n0,0.5,1\n1,1.5,2\n2,2.5,3\n",
        "sep=,\nt,V,I\n0,0.5,1\n1,1.5,2\n2,2.5,3\n",
        "t,V,I\r0,0.5,1\r1,1.5,2\r2,2.5,3\r",
        "V\u0085,x\nt,V,I\n0,0.5,1\n1,1.5,2\n2,2.5,3\n",
    ],
    ids=["savetxt", "comments", "units", "excel", "mac", "ellipsis"],
)
def test_headings_comments_and_ends_of_lines(tmp_path, text):
    found = read(tmp_path / "x.csv", text, written="latin-1")
    assert found.voltage.tolist() == [0.5, 1.5, 2.5]
    assert not found.remarks


def test_lines_are_counted_as_an_editor_does(tmp_path):
    with pytest.raises(ConfigError, match="line 5: voltage is 'x'"):
        read(tmp_path / "x.csv", 'note,"a\nb"\nt,V,I\n0,0,1\n1,x,2\n2,2,3\n')


def test_a_heading_that_is_almost_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean 'I \(\u03bcA\)'"):
        read(tmp_path / "x.csv", "t,V,I (\u00b5A)\n0,0,1\n", {**PLAIN, "current": "I (uA)"})


def test_blank_lines_divide_records_without_headings(tmp_path):
    text = "0 1\n1 2\n2 3\n\n0 4\n1 5\n2 6\n"
    columns, units = {"voltage": 1, "current": 2}, {"voltage": "V", "current": "A"}
    options = {"columns": columns, "units": units, "delimiter": " ", "dt": 0.1}
    (remark,) = read(tmp_path / "x.dat", text, **options).remarks
    assert "2 parts, the second from line 5 on" in remark
    assert read(tmp_path / "x.dat", text, **options, record=2).current.tolist() == [4, 5, 6]
    with pytest.raises(ConfigError, match=r"record=3, but .* holds 2"):
        read(tmp_path / "x.dat", text, **options, record=3)
    timed = text.replace("\n", " 7\n").replace("\n 7", "\n")
    with pytest.raises(ConfigError, match=r"does not ascend at sample 3.*record=1"):
        read(tmp_path / "x.dat", timed, {"time": 1, "voltage": 2, "current": 3}, delimiter=" ")


def test_magnitudes_of_currents_are_remarked():
    time = torch.linspace(0, 1, 60, dtype=torch.float64)
    voltage = (6.28 * time).sin()
    remark = "magnitudes may have been saved"
    for current, wrong in ((1e-4 * voltage, False), (1e-4 * voltage.abs(), True)):
        data = fitting.IVData(time=time, voltage=voltage, current=current)
        found = memcore.fit("linear_ion_drift", data, free=["r_off"], starts=1, substeps=1)
        assert any(remark in line for line in found.warnings) is wrong
