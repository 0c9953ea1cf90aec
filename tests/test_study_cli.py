"""The commands `run` and `demo` where something outside of them fails."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from memcore import study
from memcore.cli.main import main
from memcore.errors import StudyError

TOML = """
[study]
name = "small"
title = 'costs $5 to $10'
checkpoint = "digits_vgg"
chips = 1
samples = 20
[crossbar]
device = "ideal"
"""

BARS = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    images = 0.7 * torch.randn(400, 1, 4, 4, generator=generator)
    images[torch.arange(400), 0, labels] += 1.0
    return Dataset(train=Split(images[:200], labels[:200]), test=Split(images[200:], labels[200:]))
"""
BARS_TOML = """
[study]
model = "bars_killed:flat"
data = "bars_killed:bars"
chips = 25
[train]
epochs = 20
lr = 0.05
batch = 20
[crossbar]
device = { name = "ideal", r_on = 1e4, r_off = 1e5 }
nonidealities = [{ name = "read_noise", relative = 0.0 }]
[[sweep]]
name = "noise"
[sweep.axes]
"nonidealities.read_noise.relative" = [0.0, 0.2, 0.8, 0.9]
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(TOML)
    return tmp_path / "small.toml"


def memcore(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def process(toml: Path, **streams: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memcore", "run", str(toml), "--out", str(toml.parent / "out")]
    return subprocess.run(command, text=True, check=False, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_the_output_is_told_and_the_table_kept(toml: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = process(toml, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (toml.parent / "out" / "results.csv").exists()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_is_no_reason_to_fail(toml: Path, closed: str) -> None:
    number = {"stdout": 1, "stderr": 2}[closed]
    other = {"stdout": "stderr", "stderr": "stdout"}[closed]
    done = process(toml, preexec_fn=lambda: os.close(number), **{other: subprocess.PIPE})
    assert done.returncode == 0
    assert "Traceback" not in getattr(done, other)
    assert (toml.parent / "out" / "results.csv").exists()


def test_a_reader_that_stops_reading_is_no_traceback(toml: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = process(toml, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert (toml.parent / "out" / "results.csv").exists()


def test_a_plot_that_fails_leaves_the_table(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = toml.parent / "out"
    assert memcore("run", toml, "--out", out).exit_code == 0
    assert (out / "plot.png").exists()

    def fail(*_: Any) -> None:
        raise ValueError("no font has this letter")

    monkeypatch.setattr("memcore.study.finishing.plot", fail)
    done = memcore("run", toml, "--out", out)
    assert done.exit_code == 0
    assert "digital baseline" in done.output
    assert "there is no plot: no font has this letter" in done.output
    assert "plot  none" in done.output
    assert not (out / "plot.png").exists()  # not that of an earlier run
    assert (out / "results.csv").exists()


def test_a_plot_that_cannot_be_written_says_where_the_table_is(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StudyError("'plot.png' cannot be written: No space left on device")

    monkeypatch.setattr("memcore.study.finishing.plot", fail)
    with pytest.raises(StudyError, match=r"the table is complete in '.*results\.csv'"):
        study.run(toml, toml.parent / "out")


def test_a_missing_plotting_package_leaves_the_table(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = memcore("run", toml, "--out", toml.parent / "out")
    assert done.exit_code == 0
    assert "there is no plot: the plot of a study needs matplotlib" in done.output


@pytest.mark.parametrize("words", [["run", "x" * 300], ["run", "s", "--out", "x" * 300]])
def test_names_that_are_too_long_are_told(
    toml: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toml.parent)
    (toml.parent / "s").write_text(TOML)
    done = memcore(*words)
    assert done.exit_code == 2
    assert "File name too long" in done.output


@pytest.mark.parametrize(
    ("general", "words"),
    [
        ({"chips": True}, "study.chips: input should be a valid integer"),
        ({"chips": "2"}, "study.chips: input should be a valid integer"),
        ({"chips": 2.0}, "study.chips"),
        ({"seed": True}, "study.seed"),
        ({"seed": 2**64}, "study.seed: input should be less than"),
        ({"seed": 1.5}, "study.seed"),
        ({"samples": 0}, "study.samples"),
        ({"batch": -1}, "study.batch"),
        ({"age": "1"}, "study.age"),
        ({"metric": 3}, "study.metric"),
        ({"model": []}, "study.model"),
        ({"name": "x\n"}, "study.name"),
        ({"name": ""}, "study.name"),
    ],
)
def test_what_only_resembles_a_number_or_a_name_is_refused(
    general: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError, match=words):
        study.read({"study": general})


@pytest.mark.parametrize("source", [3, None, [], b"x", object()])
def test_what_is_no_study_is_refused(source: Any) -> None:
    with pytest.raises(StudyError, match="expected a path"):
        study.run(source)
    with pytest.raises(StudyError, match="expected a path"):
        study.load(source)


@pytest.mark.parametrize("device", ["meta", "tpu", "", "cuda:99", "cpu:x"])
def test_a_device_that_does_not_compute_is_refused(toml: Path, device: str) -> None:
    with pytest.raises(StudyError, match="cannot be used"):
        study.run(toml, toml.parent / "out", device=device)


@pytest.mark.parametrize(
    "content",
    [
        {"sweep": 3},
        {"sweep": [3]},
        {"crossbar": 3},
        {"train": [1]},
        {"train": {"lr": "fast"}},
        {"train": {"lr": float("inf")}},
        {"train": {"epochs": True}},
        {"sweep": [{"name": "s", "axes": 3}]},
        {"sweep": [{"name": "s", "axes": {"x": {"values": 3}}}]},
        {"sweep": [{"name": "s", "axes": {"x": {"values": []}}}]},
        {"sweep": [{"name": "s", "axes": {"x": {"values": [1], "moves": {"tile": True}}}}]},
        {"sweep": [{"name": "s", "axes": {"x": {"values": [None]}}}]},
        {"sweep": [{"name": "s", "set": {"": 1}}]},
        {"sweep": [{"name": "s", "set": {"..": 1}}]},
        {"crossbar": {"device": "ideal", "nonidealities": [3]}},
        {"crossbar": {"device": "ideal", "nonidealities": 3}},
        {"crossbar": {"device": "ideal"}, "sweep": [{"name": "s", "set": {"device.r.x": 1}}]},
        {"crossbar": {"device": 3}},
        {},
    ],
    ids=str,
)
def test_odd_studies_are_errors_of_a_study(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(StudyError):
        study.run(content, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "bars_killed.py").write_text(BARS)
    toml = tmp_path / "study.toml"
    toml.write_text(BARS_TOML)
    folder = tmp_path / "killed"
    for file in ("study.resolved.json", "model.safetensors", "units/noise-001/0000.json"):
        kill_when(toml, folder, file)
        assert not (folder / "results.csv").exists()
    study.run(toml, folder)
    study.run(toml, tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


def kill_when(toml: Path, folder: Path, file: str) -> None:
    """Start a run in a fork of this process and kill it as soon as the file is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that may be there
        child = os.fork()
    if child == 0:
        try:
            study.run(toml, folder)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while not (folder / file).exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.filterwarnings("default")
def test_a_warning_is_told_like_any_other_message(toml: Path) -> None:
    toml.write_text(TOML + 'nonidealities = ["drift"]\n')
    done = memcore("run", toml, "--out", toml.parent / "out")
    assert done.exit_code == 0
    assert "warning: sweep 'point': drift had no effect" in done.output
    assert "NoEffectWarning" not in done.output


def test_devices_that_are_empty_are_refused() -> None:
    """As a variable of a shell is that was never set."""
    words = ["run", "demo", "--executor", "processes", "--devices", ""]
    done = CliRunner().invoke(main, words)
    assert done.exit_code
    assert "devices has ''" in f"{done.output}{done.exception}"
