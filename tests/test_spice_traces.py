"""Traces as text files and decks: read back here always, run by ngspice where it is installed."""

import csv
import re
import shutil

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import ConfigError, MemcoreError, SpiceError, fitting, simulate, spice, stimuli
from memcore.cli.main import main

ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
DT = 1e-9
SINE = stimuli.sine(0.8, 25e6, dt=DT).double()
RESISTOR = {"name": "ideal", "rate": 1e-12, "x0": 0.5}


def points(text):
    numbers = [
        float(x) for x in re.fullmatch(r"PWL\((.*)\)", text, re.DOTALL)[1].replace("+", " ").split()
    ]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def columns(path):
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    values = torch.tensor([[float(x) for x in row] for row in rows], dtype=torch.float64)
    return dict(zip(head, values.unbind(1), strict=True))


# -- text files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_has_all_digits_of_a_trace(tmp_path, dtype):
    trace = simulate("vteam", SINE.to(dtype), DT)
    assert trace.to_csv(tmp_path / "loop.csv") == tmp_path / "loop.csv"
    back = columns(tmp_path / "loop.csv")
    assert list(back) == ["time", "voltage", "current", "across", "conductance", "state_0"]
    for name in ("time", "voltage", "current", "across", "conductance"):
        assert torch.equal(back[name], getattr(trace, name).double())
    assert torch.equal(back["state_0"], trace.state[:, 0].double())


def test_each_cell_has_its_columns(tmp_path):
    trace = simulate("vteam", SINE, DT, shape=(2, 3), series=1e3)
    back = columns(trace.to_csv(tmp_path / "cells.csv"))
    assert torch.equal(back["voltage"], trace.voltage)
    assert torch.equal(back["current_1_2"], trace.current[:, 1, 2])
    assert torch.equal(back["across_0_1"], trace.across[:, 0, 1])
    assert torch.equal(back["state_0_1_0"], trace.state[:, 0, 1, 0])
    apart = simulate("vteam", SINE[:, None].expand(-1, 2), DT)
    assert "voltage_1" in columns(apart.to_csv(tmp_path / "apart.csv"))


def test_the_fit_reads_what_a_trace_writes(tmp_path):
    trace = simulate("vteam", SINE, DT)
    path = trace.to_csv(tmp_path / "loop.csv")
    names, units = ("time", "voltage", "current"), ("s", "V", "A")
    data = fitting.IVData.from_csv(
        path,
        columns={name: name for name in names},
        units=dict(zip(names, units, strict=True)),
    )
    assert torch.equal(torch.as_tensor(data.current).double(), trace.current)


def test_a_file_that_is_there_is_replaced(tmp_path):
    path = tmp_path / "loop.csv"
    path.write_text("old")
    simulate("vteam", SINE, DT, record="last").to_csv(str(path))
    assert len(columns(path)["time"]) == 1


def test_counts_of_lines_are_written(tmp_path):
    torch.manual_seed(0)
    model = memcore.convert(torch.nn.Linear(6, 3), memcore.CrossbarConfig(device="ideal"))
    with memcore.counting(model, traced=True) as counts:
        model(torch.ones(5, 6))
    (trace,) = counts.traces.values()
    with trace.to_csv(tmp_path / "lines.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["count", "number", "value"]
    for name in ("open", "ones"):
        values = [int(value) for kind, _, value in rows if kind == name]
        assert tuple(values) == getattr(trace, name)


@pytest.mark.parametrize("path", ["loop.txt", "loop", 3, None])
def test_other_names_are_refused(path):
    with pytest.raises(ConfigError, match=r"\.csv"):
        simulate("vteam", SINE, DT, record="last").to_csv(path)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        simulate("vteam", SINE, DT, record="last").to_csv(tmp_path / "none" / "loop.csv")


# -- sources ---------------------------------------------------------------------------------------


def test_points_have_all_their_digits():
    times = torch.arange(7, dtype=torch.float64) / 3e9
    volts = torch.linspace(-1, 1, 7, dtype=torch.float64) / 3
    expected = list(zip(times.tolist(), volts.tolist(), strict=True))
    assert points(spice.pwl(times, volts)) == expected
    assert points(spice.pwl(times.tolist(), volts.tolist())) == expected
    assert max(map(len, spice.pwl(times, volts).splitlines())) < 200


def test_held_samples_change_within_an_edge():
    found = points(spice.pwl([0.0, 1.0, 2.0, 3.0], [0.5, 0.5, -0.25, 0.0], edge=0.125))
    assert found == [(0.0, 0.5), (2.0, 0.5), (2.125, -0.25), (3.0, -0.25), (3.125, 0.0)]


@pytest.mark.parametrize(
    "given",
    [
        ([0.0, 1.0], [1.0]),
        ([], []),
        ([0.0, 0.0], [1.0, 2.0]),
        ([1.0, 0.5], [1.0, 2.0]),
        ([-1.0, 0.5], [1.0, 2.0]),
        ([0.0, float("nan")], [1.0, 2.0]),
        ([0.0, 1.0], [1.0, float("inf")]),
        ("ab", [1.0, 2.0]),
        ([0.0, 1.0], None),
        (torch.zeros(2, 2), torch.zeros(2)),
        (torch.arange(2.0), torch.zeros(2, dtype=torch.complex64)),
    ],
)
def test_what_is_no_waveform_is_refused(given):
    with pytest.raises(MemcoreError):
        spice.pwl(*given)


@pytest.mark.parametrize("edge", [0.0, -1.0, 1.0, 2.0, 1e-30, float("nan"), "fast", True])
def test_an_edge_lies_between_two_times(edge):
    with pytest.raises(MemcoreError, match="edge"):
        spice.pwl([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], edge=edge)


# -- decks -----------------------------------------------------------------------------------------


def middle(trace):
    return trace.time + DT / 2


@ngspice
def test_ngspice_draws_the_current_of_a_resistor():
    trace = simulate(RESISTOR, SINE, DT)
    text = spice.transient(trace)
    assert "Rc_0 s_0 0" in text
    found = spice.run_transient(text, timeout=60).at(middle(trace))
    torch.testing.assert_close(found["v(s_0)"], trace.voltage, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(-found["i(vs_0)"], trace.current, rtol=1e-9, atol=1e-18)


@ngspice
@pytest.mark.parametrize(
    ("device", "load"),
    [
        ("ideal", {}),
        ("vteam", {"series": 2e3}),
        ("vteam", {"series": 50.0, "limit": 1e-4}),
        ("yakopcic", {}),
        ({"name": "ideal", "rate": 3e7}, {"series": 1e5}),
    ],
)
def test_ngspice_runs_the_same_waveform(device, load):
    trace = simulate(device, SINE, DT, shape=2, seed=1, **load)
    found = spice.run_transient(spice.transient(trace), timeout=120).at(middle(trace))
    node = "c" if "series" in load else "s"
    largest = float(trace.current.abs().max())
    for cell in range(2):
        across = found[f"v({node}_{cell})"]
        torch.testing.assert_close(across, trace.across[:, cell], rtol=1e-7, atol=1e-9)
        current = -found[f"i(vs_{cell})"]
        torch.testing.assert_close(current, trace.current[:, cell], rtol=1e-6, atol=1e-8 * largest)


def test_a_cell_that_never_conducts_is_left_out():
    trace = simulate("ideal", SINE, DT)
    blocked = type(trace)(**{**vars(trace), "current": 0 * trace.current})
    assert "Bc_0 s_0 0" in spice.transient(trace)
    text = spice.transient(blocked)
    assert "* no current through the cell of s_0" in text
    assert not re.search("^[RB]c_0", text, re.MULTILINE)


@pytest.mark.parametrize("record", ["last", 2])
def test_every_sample_has_to_be_there(record):
    with pytest.raises(ConfigError, match="record='all'"):
        spice.transient(simulate("ideal", SINE, DT, record=record))


def test_what_cannot_be_a_deck_is_refused():
    with pytest.raises(MemcoreError, match="Trace"):
        spice.transient(SINE)
    trace = simulate("ideal", SINE, DT)
    with pytest.raises(ConfigError, match="edge"):
        spice.transient(trace, edge=DT)
    backwards = type(trace)(**{**vars(trace), "current": -trace.current})
    with pytest.raises(ConfigError, match="against their voltage"):
        spice.transient(backwards)
    with pytest.raises(ConfigError, match="1000"):
        spice.transient(simulate("ideal", SINE[:3], DT, shape=1001))


@ngspice
def test_a_deck_without_waves_is_told():
    with pytest.raises(SpiceError, match="no waves"):
        spice.run_transient("* nothing\n.control\nquit\n.endc\n.end\n", timeout=60)


# -- the command -----------------------------------------------------------------------------------


@ngspice
def test_the_command_writes_the_loop_of_a_device(tmp_path):
    table, deck = tmp_path / "loop.csv", tmp_path / "loop.cir"
    done = CliRunner().invoke(main, ["device", "vteam", "--csv", str(table), "--spice", str(deck)])
    assert done.exit_code == 0, done.output
    assert f"samples {table}" in done.output
    written = columns(table)
    waves = spice.run_transient(deck.read_text(), timeout=120)
    step = float(written["time"][1] - written["time"][0])
    found = waves.at(written["time"] + step / 2)
    torch.testing.assert_close(found["v(s_0)"], written["voltage"], rtol=1e-9, atol=1e-12)
    largest = float(written["current"].abs().max())
    torch.testing.assert_close(
        -found["i(vs_0)"], written["current"], rtol=1e-6, atol=1e-8 * largest
    )


def test_the_command_refuses_another_name_before_the_work(tmp_path):
    done = CliRunner().invoke(main, ["device", "vteam", "--csv", str(tmp_path / "loop.txt")])
    assert done.exit_code != 0
    assert "expected a name that ends in .csv" in done.output
