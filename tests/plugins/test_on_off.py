"""A device made of measured on and off currents has their distributions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import ConfigError, Empirical, LogNormal, Stream, fitting
from memcore.cli.main import main

SPREADS = {"off": (1e-6, 0.3, 0.2), "on": (1e-4, 0.1, 0.05)}  # S; from device to device, of writes


def measured(seed: int, devices: int = 40, writes: int = 25) -> list[fitting.OnOffData]:
    rng = np.random.default_rng(seed)
    cells = []
    for number in range(devices):
        own = {
            state: g * np.exp(between * rng.standard_normal() + within * rng.normal(size=writes))
            for state, (g, between, within) in SPREADS.items()
        }
        cells.append(fitting.OnOffData(**own, label=f"chip {number}"))
    return cells


def written(device: memcore.Memristor, level: float, times: int = 2) -> np.ndarray:
    """Logarithms of 40 000 cells after each of some writes, [times, cells]."""
    (effect,) = device.effects()
    array = memcore.ArrayInfo(arrays=1, rows=200, cols=200, device=device, nominal=device)
    found = []
    for writes in range(times):
        form = effect.bind(array, memcore.Context(random=Stream(7), writes=writes))
        found.append(form(torch.full((1, 200, 200), level)).double().log().flatten().numpy())
    return np.stack(found)


@pytest.mark.parametrize("form", ["lognormal", "empirical"])
@pytest.mark.parametrize("state", ["on", "off"])
def test_cells_have_the_moments_of_the_table_in_both_parts(form: str, state: str) -> None:
    device = memcore.fit("on_off", measured(0), fixed={"form": form}).device
    level = getattr(device, f"g_{state}")
    logs = written(device, level)
    table = np.stack(
        [getattr(cell, state).log().numpy() for cell in measured(0)]
    )  # [devices, writes]
    within = table.var(1, ddof=1).mean()
    between = table.mean(1).var(ddof=1) - within / table.shape[1]
    assert logs.mean() == pytest.approx(table.mean(), abs=0.02 * math.sqrt(between + within))
    assert np.cov(logs)[0, 1] == pytest.approx(between, rel=0.06)
    assert logs.var(1).mean() == pytest.approx(between + within, rel=0.05)


def test_known_spreads_come_back() -> None:
    """Standard errors of an analysis of variance: s / sqrt(2 (devices - 1)), and of the writes."""
    for seed in range(4):
        device = memcore.fit("on_off", measured(seed)).device
        for state, (g, between, within) in SPREADS.items():
            life, cycle = (getattr(device, f"{part}_{state}").sigma for part in ("device", "cycle"))
            assert abs(life - between) < 3 * math.hypot(between, within / 5) / math.sqrt(78)
            assert abs(cycle - within) < 3 * within / math.sqrt(2 * 960)
            off = math.log(getattr(device, f"g_{state}") / g)
            assert abs(off) < 3.5 * between / math.sqrt(40)


def test_quantiles_are_those_of_numpy_where_rows_are_one_population() -> None:
    rng = np.random.default_rng(2)
    on = 1e-4 * np.exp(0.3 * rng.gamma(2.0, size=400))  # skewed, as no lognormal is
    table = fitting.OnOffData(on=on, off=1e-6 * np.exp(rng.uniform(size=300)))
    device = memcore.fit("on_off", table, fixed={"form": "empirical"}).device
    level = torch.full((200, 200), device.g_on)  # type: ignore[attr-defined]
    drawn = memcore.Crossbar(level, device=device).conductance.flatten().numpy()
    share = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(drawn, share), np.quantile(on, share), rtol=0.01)
    model = device.quantiles("on", torch.tensor(share)).numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(model, np.quantile(on, share), rtol=0.005)


def test_rows_of_several_devices_stay_as_they_are_from_write_to_write() -> None:
    table = fitting.OnOffData(on=[1e-4, 1.2e-4, 0.9e-4], off=[1e-6, 2e-6, 3e-6])
    device = memcore.fit("on_off", table, fixed={"rows": "devices"}).device
    first, second = written(device, device.g_on)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first, second)
    assert first.std() == pytest.approx(np.log([1.0, 1.2, 0.9]).std(ddof=1), rel=0.02)


def test_a_level_in_between_lies_between_the_states_of_its_cell() -> None:
    device = memcore.devices["on_off"](device_on=Empirical((0.5, 2.0)), cycle_off=LogNormal(1, 0.1))
    ends = [np.exp(written(device, g, 1)[0]) for g in (1e-6, 5.05e-5, 1e-4)]
    np.testing.assert_allclose(ends[1], 0.5 * (ends[0] + ends[2]), rtol=1e-5)


def test_draws_of_an_empirical_distribution_are_those_of_numpy() -> None:
    values = (3.0, 1.0, 2.0, 10.0)
    drawn = Empirical(values).sample(Stream(0), (200_000,)).numpy()
    share = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(np.quantile(drawn, share), np.quantile(values, share), rtol=0.02)
    assert Empirical(values).nominal == 2.5
    assert drawn.min() >= 1
    assert drawn.max() <= 10


@pytest.mark.parametrize("values", [(), (1.0,), "ab", (1.0, math.nan), (1.0, "x"), 3, None])
def test_what_is_no_list_of_values_is_refused(values: object) -> None:
    with pytest.raises(ConfigError, match="values of Empirical"):
        Empirical(values)  # type: ignore[arg-type]


ROWS = {
    "side by side": ("chip,Ion,Ioff\n,(uA),(nA)\n", "{0},{1},{2}\n", ["on=Ion:uA", "off=Ioff:nA"]),
    "one column": (
        "chip,state,I\n",
        "{0},LRS,{1}e-6\n{0},HRS,{2}e-9\n",
        ["state=state", "current=I:A"],
    ),
}


@pytest.mark.parametrize("shape", ROWS)
def test_a_file_becomes_a_device_that_configurations_read(shape: str, tmp_path: Path) -> None:
    head, row, columns = ROWS[shape]
    data, out = tmp_path / "table.csv", tmp_path / "mine.toml"
    cells = [(chip, 20 + chip + cycle, 100 + 10 * cycle) for chip in range(3) for cycle in range(4)]
    data.write_text(head + "".join(row.format(*cell) for cell in cells))
    words = ["fit", str(data), "--device", "on_off", "--read-voltage", "0.2", "-o", str(out)]
    words += [word for each in (*columns, "device=chip") for word in ("--column", each)]
    words += ["--fixed", "form=empirical", "--plot", str(tmp_path / "fit.png")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    device = memcore.CrossbarConfig(device=str(out)).device
    on = np.log([cell[1] * 1e-6 / 0.2 for cell in cells]).reshape(3, 4)
    assert device.g_on == pytest.approx(math.exp(on.mean()), rel=1e-9)  # type: ignore[attr-defined]
    assert isinstance(device.device_on, Empirical)  # type: ignore[attr-defined]
    assert isinstance(device.cycle_off, Empirical)  # type: ignore[attr-defined]
    assert device.device_off == 1.0  # type: ignore[attr-defined]  # all chips are alike when off


@pytest.mark.parametrize(
    ("head", "rows", "columns", "units", "message"),
    [
        ("on,off", "1e-6,1e-4", ("on", "off"), "S", "expected on above off"),
        ("on,off", "-1e-4,1e-6", ("on", "off"), "S", "on has values <= 0"),
        ("on,off", "1e-4,", ("on", "off"), "S", "has no conductance in the state off"),
        ("on,off", "1e-4,1e-6", ("on",), "S", "expected on and off"),
        ("on,off", "1e-4,1e-6", ("on", "off"), "A", "read_voltage"),
        ("on,off", "1e-4,9.91e37", ("on", "off"), "S", "no measurement"),
        ("state,conductance", "half,1e-6", ("state", "conductance"), "S", "state is 'half'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    tmp_path: Path, head: str, rows: str, columns: tuple[str, ...], units: str, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{head}\n{rows}\n{rows}\n")
    named = {name: units for name in columns if name != "state"}
    with pytest.raises(ConfigError, match=message):
        memcore.fit("on_off", path, columns={name: name for name in columns}, units=named)


def test_other_records_and_overlap_are_told() -> None:
    pulses = fitting.PulseData(count=[0, 1, -1], conductance=[1e-6, 2e-6, 1e-6])
    with pytest.raises(ConfigError, match="OnOff takes conductances of two states"):
        memcore.fit("on_off", pulses)
    near = fitting.OnOffData(on=[1e-6, 4e-6, 2e-6], off=[0.5e-6, 2e-6, 1e-6])
    assert "the states overlap" in str(memcore.fit("on_off", near))
    with pytest.raises(ConfigError):
        memcore.fit("tabular", near)


def test_the_report_tells_the_spreads_that_were_found() -> None:
    found = str(memcore.fit("on_off", measured(0)))
    assert "not fitted" not in found
    device = memcore.fit("on_off", measured(0)).device
    assert f"cycle_off: lognormal, median 1, sigma {device.cycle_off.sigma:.4g}" in found  # type: ignore[attr-defined]
    kept = str(memcore.fit("on_off", measured(0), fixed={"form": "empirical"}))
    assert "device_on: empirical, 40 values" in kept


def test_one_device_with_a_name_is_told_apart_from_rows_without() -> None:
    warnings = memcore.fit("on_off", measured(0, devices=1)).warnings
    assert any("there is chip 0 alone" in line for line in warnings)
    assert not any("no column" in line for line in warnings)


def test_currents_whose_prefix_was_forgotten_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("on,off\n10,0.1\n11,0.12\n")  # uA, declared as A
    words = ["--column", "on=on:A", "--column", "off=off:A", "--read-voltage", "0.1"]
    out = tmp_path / "cell.toml"
    done = CliRunner().invoke(
        main, ["fit", str(path), "--device", "on_off", *words, "-o", str(out)]
    )
    assert done.exit_code
    assert "siemens, at most 1 in a cell" in f"{done.output}{done.exception}"
    assert not out.exists()
