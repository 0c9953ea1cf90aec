"""The shapes in which instruments write are read, and marks are never taken for measurements."""

import math

import pytest
import torch

import memcore
from memcore import ConfigError, fitting

IV = {
    "columns": {"time": "t", "voltage": "V", "current": "I"},
    "units": {"time": "s", "voltage": "V", "current": "uA"},
}
RUNS = [("up", g) for g in (2, 3, 4, 5)] + [("down", g) for g in (4, 3, 2, 1)]


def iv(path, text, written="utf-8", **dialect):
    path.write_bytes(text.encode(written))
    return fitting.IVData.from_csv(path, **{**IV, **dialect})


def pulses(path, rows, columns=None, units=None, **options):
    """Pulse data of a file with the given lines."""
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return fitting.PulseData.from_csv(
        path,
        columns=columns or {"direction": "dir", "conductance": "G"},
        units=units or {"conductance": "uS"},
        **options,
    )


MARKS = [
    "9.91e37",
    "-9.9E+37",
    "199.999E+99",
    "1e99",
    "OVERFLOW",
    "ovld",
    "nan",
    "-inf",
    "#N/A",
    "---",
]


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_refused_with_its_line_or_left_out_as_declared(tmp_path, mark):
    text = f"t,V,I\n0,0,0\n1,1,2\n2,2,{mark}\n3,3,6\n"
    with pytest.raises(ConfigError, match=r"line 4: current is .*marks='drop'"):
        iv(tmp_path / "iv.csv", text)
    found = iv(tmp_path / "iv.csv", text, marks="drop")
    assert found.compared.tolist() == [True, True, False, True]
    assert len(found.voltage) == 4  # the cell has seen the voltage of the sample left out
    assert any("1 samples that an instrument marks" in line for line in found.remarks)


@pytest.mark.parametrize("cell", ["1_6", "0x10", "1e", "1,5,2", "٣", "1.6x", "", "infinity5"])
def test_what_no_instrument_writes_is_no_number(tmp_path, cell):
    with pytest.raises(ConfigError, match=r"line 3: current is"):
        iv(tmp_path / "iv.csv", f't,V,I\n0,0,0\n1,1,"{cell}"\n2,2,1\n')


def test_a_mark_of_ones_own_and_impossible_voltages(tmp_path):
    text = "t,V,I\n0,0,0\n1,1,-999\n2,2,1\n3,3,2\n"
    assert iv(tmp_path / "iv.csv", text, missing=["-999"]).compared.tolist()[1] is False
    with pytest.raises(ConfigError, match="line 3: voltage is '1e9'"):
        iv(tmp_path / "iv.csv", "t,V,I\n0,0,0\n1,1e9,1\n2,2,1\n")
    with pytest.raises(ConfigError, match=r"current is 9.91e\+37 at sample 1"):
        fitting.IVData(time=[0, 1, 2], voltage=[0, 1, 2], current=[0, 9.91e37, 1])
    with pytest.raises(ConfigError, match="complex numbers"):
        fitting.IVData(time=[0, 1, 2], voltage=[0, 1, 2], current=[0, 1j, 1])


def test_pulses_of_a_read_that_is_left_out_count_for_the_next(tmp_path):
    rows = ["dir,G", "up,2", "up,9.9e37", "up,4", "down,3", "down,2"]
    found = pulses(tmp_path / "p.csv", rows, marks="drop")
    assert found.count.tolist() == [1, 2, -1, -1]
    with pytest.raises(ConfigError, match="the last read of its direction"):
        pulses(tmp_path / "p.csv", ["dir,G", "up,2", "up,NaN", "down,3", "down,2"], marks="drop")


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        *[
            ("I (\u03bcA)", "I (\u00b5A)"),
            ("R (k\u2126)", "R (k\u03a9)"),
            ("I ", "I"),
            ("I", " I "),
        ],
        *[("I  (uA)", "I (uA)"), ("\uff29", "I")],
    ],
)
def test_headings_that_look_alike_are_the_same(tmp_path, there, asked):
    columns = {**IV["columns"], "current": asked}
    found = iv(tmp_path / "iv.csv", f"t,V,{there}\n0,0,0\n1,1,2\n2,2,4\n", columns=columns)
    assert torch.allclose(found.current, torch.tensor([0, 2e-6, 4e-6]).double())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    text = "t,V,I,\u00b5\n0,0,0,1\n1,1,2,1\n2,2,4,1\n"
    assert len(iv(tmp_path / "iv.csv", text, encoding).time) == 3


def test_other_encodings_are_declared_and_other_files_are_named(tmp_path):
    columns = {**IV["columns"], "current": "\u7535\u6d41"}
    text = "t,V,\u7535\u6d41\n0,0,0\n1,1,2\n2,2,4\n"
    found = iv(tmp_path / "iv.csv", text, "gb18030", encoding="gb18030", columns=columns)
    assert float(found.current[2]) == 4e-6
    with pytest.raises(ConfigError, match="encoding='utf-16-le'"):
        iv(tmp_path / "iv.csv", text, "utf-16-le")
    with pytest.raises(ConfigError, match="encoding='klingon' is unknown"):
        iv(tmp_path / "iv.csv", text, encoding="klingon")
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(ConfigError, match=r"is a workbook \(.xlsx.*save its table as CSV"):
        fitting.IVData.from_csv(tmp_path / "book.xlsx", **IV)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("t;V;I\n0,0;0,5;1E+0\n1,0;1,5;2,0\n2,0;2,5;3,0\n", {"delimiter": ";", "decimal": ","}),
        ("t\tV\tI\n0\t0.5\t1\n1\t1.5\t2\n2\t2.5\t3\n", {"delimiter": "tab"}),
        ("  t   V  I\n 0  0.5   1\n 1 1.5 2\n2 2.5 3\n", {"delimiter": " "}),
        ('"t","V","I"\n"0","0.5","1"\n"1","1.5","2"\n"2","2.5","3"\n', {}),
        ("t,0,1,2\nV,0.5,1.5,2.5\nI,1,2,3\n", {"transposed": True}),
        ("head\nx,y\n\nt,V,I\ns,V,uA\n0,0.5,1\n1,1.5,2\n2,2.5,3\n", {}),
        ("t,V,I\n(s),(V),(uA)\n0,0.5,1\n1,1.5,2\n2,2.5,3\n", {}),
    ],
    ids=["comma", "tab", "blank", "quoted", "rows", "header", "units"],
)
def test_dialects(tmp_path, text, dialect):
    found = iv(tmp_path / "iv.csv", text, **dialect)
    assert found.voltage.tolist() == [0.5, 1.5, 2.5]
    assert found.current.tolist() == pytest.approx([1e-6, 2e-6, 3e-6])


def test_messages_name_what_would_help(tmp_path):
    with pytest.raises(ConfigError, match="expected delimiter=';'"):
        iv(tmp_path / "iv.csv", "t;V;I\n0;0;0\n")
    with pytest.raises(ConfigError, match="declare decimal=','"):
        iv(tmp_path / "iv.csv", "t;V;I\n0,5;0;0\n", delimiter=";")
    with pytest.raises(ConfigError, match="are the same character"):
        iv(tmp_path / "iv.csv", "t,V,I\n", decimal=",")


def test_a_unit_of_the_file_that_is_not_the_declared_one_is_remarked(tmp_path):
    found = iv(tmp_path / "iv.csv", "t,V,I\ns,V,mA\n0,0,1\n1,1,2\n2,2,3\n")
    assert any("line 2 says that the unit of current is mA, but uA" in x for x in found.remarks)
    columns = {**IV["columns"], "current": "I (mA)"}
    text = "t,V,I (mA)\n0,0,1\n1,1,2\n2,2,3\n"
    found = iv(tmp_path / "iv.csv", text, columns=columns)
    assert any("'I (mA)' says that the unit of current is mA" in x for x in found.remarks)
    right = {**IV["units"], "current": "mA"}
    assert not iv(tmp_path / "iv.csv", text, columns=columns, units=right).remarks


def test_one_of_several_records_is_chosen(tmp_path):
    record = "Title, x\nName, t, V, I\nValue, 0, 0, {0}\nValue, 1, 1, {0}\nValue, 2, 2, {0}\n"
    for between in ("\n", ""):
        text = record.format(1) + between + record.format(2)
        with pytest.raises(ConfigError, match=r"holds 2 records, the second .* line [78]"):
            iv(tmp_path / "iv.csv", text)
        for number in (1, 2):
            found = iv(tmp_path / "iv.csv", text, record=number)
            assert found.current.tolist() == pytest.approx([1e-6 * number] * 3)
        with pytest.raises(ConfigError, match=r"record=3, but .* holds 2"):
            iv(tmp_path / "iv.csv", text, record=3)


@pytest.mark.parametrize("numbers", [(1, 2, 3), ("1", "2", "3")])
@pytest.mark.parametrize("head", ["", "made by an instrument\n# 1\n"])
def test_columns_without_headings_have_numbers(tmp_path, numbers, head):
    columns = dict(zip(("time", "voltage", "current"), numbers, strict=True))
    found = iv(tmp_path / "iv.csv", head + "0,0.5,1\n1,1.5,2\n2,2.5,3\n", columns=columns)
    assert found.voltage.tolist() == [0.5, 1.5, 2.5]
    with pytest.raises(ConfigError, match="numbers from 1"):
        iv(tmp_path / "iv.csv", "0,1,2\n", columns={"time": 0, "voltage": 1, "current": 2})


def test_a_number_of_a_column_is_no_cell_of_the_data(tmp_path):
    columns = {"time": 1, "voltage": 2, "current": 3}
    found = iv(tmp_path / "iv.csv", "0,5,1\n1,2,3\n2,2.5,3\n", columns=columns)
    assert found.voltage.tolist() == [5, 2, 2.5]
    named = {"time": "7", "voltage": "8", "current": "9"}
    found = iv(tmp_path / "iv.csv", "9,8,7\n1,2,3\n4,5,6\n7,8,9\n", columns=named)
    assert found.time.tolist() == [3, 6, 9]


@pytest.mark.parametrize(
    "words", [("P", "D"), ("1.2", "-1.1"), ("set", "reset"), ("+1", "-1"), ("LTP", "LTD")]
)
def test_directions(tmp_path, words):
    rows = [f"{words[0] if way == 'up' else words[1]},{g}" for way, g in RUNS]
    found = pulses(tmp_path / "p.csv", ["dir,G", *rows])
    assert found.count.tolist() == [1.0] * 4 + [-1.0] * 4


def test_amplitudes_that_differ_are_remarked(tmp_path):
    rows = ["dir,G", "1.0,2", "1.1,3", "1.2,4", "-1,3", "-1,2"]
    (remark,) = pulses(tmp_path / "p.csv", rows).remarks
    assert "amplitudes of SET pulses go from 1 to 1.2" in remark
    with pytest.raises(ConfigError, match="0 has no sign"):
        pulses(tmp_path / "p.csv", ["dir,G", "0,2", "1,3", "1,4"])


def test_currents_after_pulses_are_conductances_at_the_voltage_of_the_reads(tmp_path):
    rows = ["dir,I", *(f"{way},{0.1 * g}" for way, g in RUNS)]
    columns, units = {"direction": "dir", "current": "I"}, {"current": "uA"}
    found = pulses(tmp_path / "p.csv", rows, columns, units, read_voltage=0.1)
    assert found.conductance.tolist() == pytest.approx([1e-6 * g for _, g in RUNS])
    with pytest.raises(ConfigError, match="expected read_voltage=volts"):
        pulses(tmp_path / "p.csv", rows, columns, units)


def test_a_counter_that_begins_anew_is_understood(tmp_path):
    columns = {"pulse": "n", "direction": "dir", "conductance": "G"}
    rows = ["n,dir,G", "0,up,1", "1,up,2", "2,up,3", "0,down,3", "1,down,2", "2,down,1"]
    assert pulses(tmp_path / "p.csv", rows, columns).count.tolist() == [0, 1, 1, 0, -1, -1]
    rows = ["n,dir,G", "1,up,2", "2,up,3", "1,down,2", "2,down,1"]
    assert pulses(tmp_path / "p.csv", rows, columns).count.tolist() == [1, 1, -1, -1]
    rows = ["n,dir,G", "1,up,2", "3,up,3", "4,down,2", "6,down,1"]
    assert pulses(tmp_path / "p.csv", rows, columns).count.tolist() == [1, 2, -1, -2]
    with pytest.raises(ConfigError, match="descend within one direction, from 2 to 1 in row 3"):
        pulses(tmp_path / "p.csv", ["n,dir,G", "1,up,2", "2,up,3", "1,up,2"], columns)
    with pytest.raises(ConfigError, match="fractions"):
        pulses(tmp_path / "p.csv", ["n,dir,G", "0.5,up,2", "1,up,3", "1.5,up,2"], columns)


def test_potentiation_and_depression_side_by_side(tmp_path):
    columns = {"pulse": "n", "ltp": "up", "ltd": "down"}
    rows = ["n,up,down", "0,1,25", "1,10,12", "2,20,6", "3,25,"]
    found = pulses(tmp_path / "p.csv", rows, columns, {"ltp": "uS", "ltd": "uS"})
    assert found.count.tolist() == [0, 1, 1, 1, 0, -1, -1]
    assert found.conductance.tolist() == pytest.approx(
        [1e-6 * g for g in (1, 10, 20, 25, 25, 12, 6)]
    )
    ohms = pulses(tmp_path / "p.csv", rows, columns, {"ltp": "MOhm", "ltd": "MOhm"})
    assert float(ohms.conductance[1]) == pytest.approx(1e-7)
    twice = pulses(tmp_path / "p.csv", [*rows, *rows[1:]], columns, {"ltp": "uS", "ltd": "uS"})
    assert twice.count.tolist() == 2 * found.count.tolist()
    with pytest.raises(ConfigError, match="expected both ltp and ltd"):
        pulses(tmp_path / "p.csv", rows, {"ltp": "up"}, {"ltp": "uS"})


def test_a_mark_side_by_side_is_remarked_and_its_pulses_count_for_the_next(tmp_path):
    columns, units = {"pulse": "n", "ltp": "up", "ltd": "down"}, {"ltp": "uS", "ltd": "uS"}
    rows = ["n,up,down", "0,1,25", "1,9.91e37,12", "2,20,OVERFLOW", "3,25,4", "4,,3"]
    with pytest.raises(ConfigError, match=r"line 3: ltp is '9.91e37'.*marks='drop'"):
        pulses(tmp_path / "p.csv", rows, columns, units)
    found = pulses(tmp_path / "p.csv", rows, columns, units, marks="drop")
    assert found.count.tolist() == [0, 2, 1, 0, -1, -2, -1]
    assert found.remarks == ("2 reads that an instrument marks were left out",)
    own = [row.replace("9.91e37", "-999").replace("OVERFLOW", "-999") for row in rows]
    assert pulses(tmp_path / "p.csv", own, columns, units, missing=["-999"]).remarks
    last = ["n,up,down", "1,10,12", "2,NaN,6"]
    with pytest.raises(ConfigError, match="the last read of its direction"):
        pulses(tmp_path / "p.csv", last, columns, units, marks="drop")


def test_one_direction_alone_is_named(tmp_path):
    (tmp_path / "up.csv").write_text("dir,G\n" + "".join(f"up,{2 + k}\n" for k in range(20)))
    with pytest.raises(ConfigError, match="there are no RESET pulses"):
        memcore.fit(
            "tabular",
            tmp_path / "up.csv",
            columns={"direction": "dir", "conductance": "G"},
            units={"conductance": "uS"},
        )
    with pytest.raises(ConfigError, match="ltd is None; expected RESET pulses"):
        memcore.devices["tabular"].from_pulses(torch.linspace(1e-6, 2e-5, 20), None)


def test_a_restarted_counter_and_two_columns_make_the_same_device(tmp_path):
    def f(k, a):
        return (1 - math.exp(-k / a)) / (1 - math.exp(-20 / a))

    up = [1 + 24 * f(k, 7) for k in range(21)]
    down = [25 - 24 * f(k, 5) for k in range(21)]
    counted = [f"{k},up,{g:.6f}" for k, g in enumerate(up)]
    counted += [f"{k},down,{g:.6f}" for k, g in enumerate(down)]
    beside = [f"{k},{a:.6f},{b:.6f}" for k, (a, b) in enumerate(zip(up, down, strict=True))]
    made = []
    for head, rows in (("pulse,direction,conductance", counted), ("pulse,ltp,ltd", beside)):
        path = tmp_path / "p.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        columns = head.split(",")
        units = [what for what in columns if what in ("conductance", "ltp", "ltd")]
        options = {
            "columns": dict(zip(columns, columns, strict=True)),
            "units": dict.fromkeys(units, "uS"),
        }
        made.append(memcore.fit("tabular", path, **options).device)
    assert made[0] == made[1]
    state = made[0].state_of(torch.tensor([1e-6]))
    moved = made[0].pulses(state, torch.tensor([1]), memcore.Context(random=memcore.Stream(0)))
    assert float(made[0].conductance(moved)) == pytest.approx(4.390e-6, rel=1e-3)
