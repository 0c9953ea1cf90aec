"""`memcore train`: digits on the cells of a measured device."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

import memcore
from memcore.cli.main import main
from memcore.errors import SaturationWarning
from memcore.study import train_device

COLUMNS = ("--column", "direction=dir", "--column", "conductance=G (uS):uS")
PULSES = 200


def curve(bend: float) -> list[float]:
    """Conductances in uS after each pulse up, straight if `bend` is 0."""
    if not bend:
        return [10 + 90 * k / PULSES for k in range(1, PULSES + 1)]
    shape = [1 - math.exp(-bend * k / PULSES) for k in range(1, PULSES + 1)]
    return [10 + 90 * each / shape[-1] for each in shape]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    rows = [f"up,{g:.4f}" for g in curve(0.0)]
    rows += [f"down,{110 - g:.4f}" for g in curve(0.0)]
    path = tmp_path / "pulses.csv"
    path.write_text("\n".join(["dir,G (uS)", *rows]))
    return path


def told(*words: str) -> str:
    done = CliRunner().invoke(main, ["train", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_measured_pulses_become_accuracies_and_costs(measured: Path) -> None:
    pulse = ("--fixed", "v_set=2", "--fixed", "t_set=1e-6", "--fixed", "t_reset=1e-6")
    found = json.loads(told(str(measured), *COLUMNS, *pulse, "--json", "--epochs", "3"))
    accuracy = found["accuracy"]
    # Straight steps of half a per cent: within 3 points of floating point.
    assert accuracy["in_place"] > accuracy["float"] - 0.03 > 0.75
    assert found["set_pulse"] == [2.0, 1e-6]
    # Each pulse is one of a resistor of 10 to 100 uS, at 2 V or at the 1 V of a RESET, for 1 us.
    assert 1e-11 * found["pulses"] < found["energy"] < 4e-10 * found["pulses"]
    assert found["cycles"] > 0
    assert found["seed"] == 0
    steps = [each["granularity"] for each in found["matrices"].values()]
    assert len(steps) == 2


def test_one_seed_gives_one_table(measured: Path) -> None:
    words = (str(measured), *COLUMNS, "--epochs", "1", "--drift", "0")
    first = told(*words)
    assert told(*words) == first
    assert "accuracy in place" in first
    assert "pulses of 1 V for 100 ns" in first  # where nothing was said


def test_a_device_file_needs_no_columns(measured: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    columns = {"direction": "dir", "conductance": "G (uS)"}
    memcore.fit("tabular", measured, columns=columns, units={"conductance": "uS"}).to_toml(file)
    words = ("--epochs", "1", "--json")
    of_file, of_data = told(str(file), *words), told(str(measured), *COLUMNS, *words)
    assert json.loads(of_file) == json.loads(of_data)


def test_drift_takes_more_the_longer_it_lasts() -> None:
    """Exponents that differ between cells take weights apart; without any, nothing is lost."""
    device = {"name": "constant_step", "dw_min": 0.005}
    none, month = (train_device(device, epochs=2, drift=nu) for nu in (0.0, 0.2))
    assert none.aged == none.in_place == month.in_place
    assert month.aged < month.in_place - 0.02


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no --column says what the columns"),
        ((*COLUMNS, "--rule", "agat"), "did you mean: 'agad'"),
        ((*COLUMNS, "--device", "linear_ion_drift"), "what a programming pulse is"),
        (("--column", "conductance=G (uS):uS"), "direction"),
        ((*COLUMNS, "--lr", "0"), "lr=0.0; expected a finite number > 0"),
        ((*COLUMNS, "--age", "-1"), "seconds=-1"),
        ((*COLUMNS, "--age", "-1"), "the age of the cells"),
        ((*COLUMNS, "--drift", "nan"), "drift=nan; expected a finite number >= 0"),
        ((*COLUMNS, "--lr", "1e300"), "lr=1e+300; expected a finite number > 0 up to 1e+38"),
        ((*COLUMNS, "--rule", "AGAD"), "no update rule named 'AGAD'"),
        ((*COLUMNS, "--seed", "99999999999999999999999"), "expected an integer of 64 bits"),
        ((*COLUMNS, "--seed", "-9223372036854775809"), "expected an integer of 64 bits"),
        ((*COLUMNS, "--epochs", "0"), "0 is not in the range x>=1"),
        ((*COLUMNS, "--read-voltage", "0.2"), "no column holds one; leave read_voltage out"),
        ((*COLUMNS, "--fixed", "v_set"), "expected NAME=NUMBER"),
    ],
)
def test_what_does_not_fit_is_one_message(
    measured: Path, words: tuple[str, ...], message: str
) -> None:
    done = CliRunner().invoke(main, ["train", str(measured), *words])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_device_file_with_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("")
    done = CliRunner().invoke(main, ["train", str(file), *COLUMNS])
    assert done.exit_code == 2
    assert "which says all of it" in done.output


@pytest.mark.parametrize(
    "option", [("--delimiter", ";"), ("--device", "exp_step"), ("--missing", "-")]
)
def test_what_says_how_measurements_are_written_is_not_dropped_beside_a_device_file(
    tmp_path: Path, option: tuple[str, ...]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("")
    done = CliRunner().invoke(main, ["train", str(file), *option])
    assert done.exit_code == 2
    assert f"{option[0]} came with the device file" in done.output


def test_remarks_on_the_measurement_are_told(measured: Path) -> None:
    """A unit that is a thousand times another one changes the energy as much, not the accuracy."""
    measured.write_text(measured.read_text().replace("uS", "mS"))
    columns = ("--column", "direction=dir", "--column", "conductance=G (mS):uS")
    done = CliRunner().invoke(main, ["train", str(measured), *columns, "--epochs", "1"])
    assert done.exit_code == 0, done.output
    assert "warning: the heading 'G (mS)' says that the unit of conductance is mS" in done.stderr


def test_reads_that_failed_can_be_left_out_as_the_error_says(measured: Path) -> None:
    rows = measured.read_text().splitlines()
    rows[5], rows[9] = "up,OVERFLOW", "up,"
    measured.write_text("\n".join(rows))
    words = ["train", str(measured), *COLUMNS, "--epochs", "1"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    assert "marks='drop'" in refused.output
    done = CliRunner().invoke(main, [*words, "--marks", "drop", "--missing", ""])
    assert done.exit_code == 0, done.output
    assert "warning: 2 reads that an instrument marks were left out" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a file that is not empty"),
        ("dir,G (uS)\n", "has no rows below its header"),
        ("dir,G (uS)\nup,20\n", "'odd.csv' has 1 read of pulses; expected 3 or more"),
        ("dir,G (uS)\nup,20\nup,21\nup,22\n", "there are no RESET pulses in device 0"),
    ],
)
def test_a_file_of_too_little_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "odd.csv").write_text(text)
    done = CliRunner().invoke(main, ["train", str(tmp_path / "odd.csv"), *COLUMNS])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_settings_are_looked_at_before_a_device_is_fitted(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit takes minutes; an option that does not fit must not wait for it."""
    monkeypatch.setattr(memcore, "fit", lambda *_, **__: pytest.fail("a device was fitted"))
    for words in (("--lr", "0"), ("--rule", "agat"), ("--seed", str(2**63)), ("--drift", "-1")):
        done = CliRunner().invoke(main, ["train", str(measured), *COLUMNS, *words])
        assert done.exit_code == 2, done.output


def test_a_rate_that_is_far_too_high_is_said() -> None:
    """Units die in the first steps, so that few vectors ask for pulses at all."""
    device = {"name": "constant_step", "dw_min": 0.0125}
    with pytest.warns(SaturationWarning, match=r"100 % of the updates are clipped"):
        found = train_device(device, lr=1e4, epochs=1)
    assert found.in_place < 0.3
    with pytest.warns(SaturationWarning) as caught:
        train_device(device, lr=1e30, epochs=1)
    assert any("in floating point diverged" in str(each.message) for each in caught)
