import dataclasses
import inspect
import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import fitting
from memcore.cli import fit as cli_fit
from memcore.cli.main import main
from memcore.fitting import problem
from memcore.registry import device_file

COLUMNS = ("--column", "time=t (ms):ms", "--column", "voltage=V:V", "--column", "current=I:uA")
#: Where not even the superuser can write.
LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs the folder /proc")
HELD = ("--fixed", "p", "--fixed", "j", "--fixed", "thickness", "--fixed", "mobility")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    voltage = memcore.stimuli.sine(1.0, 1.0, dt=0.01, dtype=torch.float64)
    device = memcore.devices["linear_ion_drift"](r_on=150.0, r_off=12e3, x0=0.2)
    trace = memcore.simulate(device, voltage, 0.01)
    rows = zip(1e3 * trace.time, voltage, 1e6 * trace.current, strict=True)
    path = tmp_path / "loop.csv"
    path.write_text("t (ms),V,I\n" + "".join(f"{t:.9g},{v:.9g},{i:.9g}\n" for t, v, i in rows))
    return path


def test_a_measured_loop_becomes_a_device(measured: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "mine.toml", tmp_path / "fit.png"
    words = ["fit", str(measured), "--device", "linear_ion_drift", *COLUMNS, *HELD]
    done = CliRunner().invoke(main, [*words, "--plot", str(plot), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "r_off" in done.output
    assert plot.stat().st_size > 5_000
    device = memcore.CrossbarConfig(device=str(out)).device
    assert device.r_off == pytest.approx(12e3, rel=1e-3)  # type: ignore[attr-defined]
    assert device.x0 == pytest.approx(0.2, rel=1e-3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--column", "voltage"), "expected WHAT=HEADING:UNIT"),
        (("--column", "voltage=V"), "expected WHAT=HEADING:UNIT"),
        ((*COLUMNS, "--fixed", "p=1", "--fixed", "j"), "only NAME=NUMBER"),
        (COLUMNS[:4], "current"),
        ((*COLUMNS, "--column", "voltage=I:V"), "--column voltage is given twice"),
        ((*COLUMNS, "--fixed", "p=1", "--fixed", "p=2"), "--fixed p is given twice"),
    ],
)
def test_what_does_not_fit_is_an_error(
    measured: Path, words: tuple[str, ...], message: str
) -> None:
    out = measured.with_name("mine.toml")
    start = ["fit", str(measured), "--device", "linear_ion_drift", "-o", str(out)]
    done = CliRunner().invoke(main, [*start, *words])
    assert done.exit_code == 2
    assert message in done.output


def test_a_model_that_misses_the_data_changes_the_exit_code(tmp_path: Path) -> None:
    rows = [(0.01 * k, math.sin(0.0628 * k)) for k in range(100)]
    path, out = tmp_path / "loop.csv", tmp_path / "mine.toml"
    path.write_text(
        "t;V;I\n"
        + "".join(f"{t:.4f};{v:.6f};{math.sinh(6 * v):.6f}\n".replace(".", ",") for t, v in rows)
    )
    words = ["fit", str(path), "--device", "linear_ion_drift", "-o", str(out), "--starts", "1"]
    words += ["--column", "time=1:s", "--column", "voltage=2:V", "--column", "current=3:uA"]
    words += ["--delimiter", ";", "--decimal", ",", "--free", "r_on", "--free", "r_off"]
    words += ["--start", "r_on=2e3", "--bounds", "r_off=1e4:1e7", "--scale", "asinh"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3, done.output
    assert "misses the data" in done.output
    assert device_file.read(out)["uncertainty"]["r_on"] != 0
    settings = device_file.read(out)["provenance"]
    assert settings["start"]["r_on"] == 2e3
    assert settings["bounds"]["r_off"] == [1e4, 1e7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--start", "r_on"), "expected NAME=NUMBER"),
        (("--start", "r_on=1", "--start", "r_on=2"), "--start r_on is given twice"),
        (("--bounds", "r_on=1:2", "--bounds", "r_on=1:3"), "--bounds r_on is given twice"),
        (("--bounds", "r_on=1:x"), "expected NAME=LEAST:GREATEST"),
        (("--seed", "-1"), "seed=-1; expected an integer from 0"),
        (("--bounds", "r_on=3"), "expected NAME=LEAST:GREATEST"),
        (("--start", "r_on=1", "--preset", "strukov_2b"), "expected one of them"),
        (("--delimiter", "ab"), "expected one character"),
        (("--record", "0"), "record=0"),
    ],
)
def test_options_that_do_not_fit_are_named(
    measured: Path, words: tuple[str, ...], message: str
) -> None:
    out = measured.with_name("mine.toml")
    start = ["fit", str(measured), "--device", "linear_ion_drift", *COLUMNS, "-o", str(out)]
    done = CliRunner().invoke(main, [*start, *words])
    assert done.exit_code == 2
    assert message in done.output


def test_the_choices_of_the_command_are_those_of_the_fit() -> None:
    assert cli_fit.SCALES == problem.SCALES
    assert tuple(problem.LOSSES) == cli_fit.LOSSES
    shown = {option.name for option in cli_fit.fit.params}
    renamed = {"preset", "begin", "columns", "data", "device", "quiet", "plot", "out"}
    options = {field.name for field in dataclasses.fields(fitting.FitOptions)}
    of_effects = {"temperature", "spread"}
    assert of_effects <= set(inspect.signature(fitting.fit_retention).parameters)
    assert shown - renamed - {"effect"} - of_effects <= options
    assert options - shown <= {"units", "floor", "date", "progress", "start"}


def test_the_result_must_be_a_toml_file(measured: Path) -> None:
    words = ["fit", str(measured), "--device", "linear_ion_drift", *COLUMNS, "-o", "mine.txt"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "ends in .toml" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "nowhere/mine.toml"), "there is no folder 'nowhere' to write 'mine.toml'"),
        pytest.param(("-o", "/proc/mine.toml"), "'/proc/mine.toml' cannot be written", marks=LINUX),
        (("-o", "mine.toml", "--plot", "nowhere/fit.png"), "there is no folder 'nowhere'"),
        (("-o", "mine.toml", "--plot", "fit.txt"), "picture 'fit.txt'; expected a name that ends"),
        pytest.param(
            ("-o", "mine.toml", "--plot", "/proc/fit.png"), "'/proc/fit.png' cannot be", marks=LINUX
        ),
    ],
)
def test_what_cannot_be_written_is_said_before_the_search(
    measured: Path,
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memcore, "fit", lambda *_, **__: pytest.fail("the search began"))
    start = ["fit", str(measured), "--device", "linear_ion_drift", *COLUMNS]
    done = CliRunner().invoke(main, [*start, *words])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["loop.csv"]


def test_a_device_file_that_cannot_be_written_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(memcore.ConfigError, match=r"nowhere.mine\.toml' cannot be written"):
        device_file.write(tmp_path / "nowhere" / "mine.toml", {})
