"""Results folders beside others: moved, watched, locked by what lives on, and with device files."""

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from memcore import study
from memcore.cli.main import main
from memcore.errors import ConfigError, StudyError
from memcore.study.executors import made
from memcore.study.locks import Locks, is_worked_in

MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars():
    images, labels = torch.ones(8, 1, 4, 4), torch.arange(8) % 4
    return Dataset(train=Split(images, labels), test=Split(images, labels))

def broken():
    raise ValueError("no pool today")
"""
TOML = """
[study]
name = "bars"
model = "folder_bars:flat"
data = "folder_bars:bars"
chips = 2
cost = ["isaac"]
[train]
epochs = 0
[crossbar]
device = "mine.toml"
[[sweep]]
name = "device"
axes = { device = ["mine.toml", "other.toml"] }
"""


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a study with device files beside it, in another folder than the current one."""
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "folder_bars.py").write_text(MODULE)
    (folder / "study.toml").write_text(TOML)
    (folder / "mine.toml").write_text('[device]\nname = "ideal"\nr_on = 1e4\nr_off = 1e5\n')
    (folder / "other.toml").write_text('[device]\nname = "ideal"\nr_on = 1e4\nr_off = 1e6\n')
    monkeypatch.chdir(tmp_path)
    yield folder / "study.toml"
    sys.modules.pop("folder_bars", None)


def test_a_folder_is_read_from_anywhere_without_the_device_files(case: Path) -> None:
    study.run(case, "out", shard="1/1")
    (case.parent / "mine.toml").unlink()
    assert study.status("out").known == 4
    rows = study.load("out").rows
    assert [row.setting["device"] for row in rows] == ["mine.toml", "other.toml"]


def test_effect_files_of_a_study_lie_beside_it(case: Path) -> None:
    (case.parent / "drift.toml").write_text('[nonideality]\nname = "drift"\nnu = 0.07\n')
    given = 'device = "ideal"\nnonidealities = ["drift.toml"]'
    text = case.read_text().replace('device = "mine.toml"', given)
    case.write_text(text.replace("chips = 2", "chips = 2\nage = 1e3"))
    study.run(case, "out", shard="1/1")
    (case.parent / "drift.toml").unlink()
    assert study.load("out").study.crossbar["nonidealities"] == [{"name": "drift", "nu": 0.07}]


def test_a_changed_device_file_is_another_study(case: Path) -> None:
    study.plan(case, "out")
    other = case.parent / "other.toml"
    other.write_text(other.read_text().replace("1e6", "2e6"))
    with pytest.raises(StudyError, match=r"r_off.*1000000.0.*2000000.0"):
        study.plan(case, "out")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_locks_are_open_after_a_run_whatever_its_processes_do(tmp_path: Path) -> None:
    with Locks(tmp_path) as locks:
        locks.join()
        assert locks.take(3)
        assert is_worked_in(tmp_path)
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
        pool.submit(int, 1).result()
    with pool:
        assert not is_worked_in(tmp_path)
        with Locks(tmp_path) as again:
            assert again.take(3)
            again.join(alone=True)


def test_looking_at_a_folder_writes_nothing(case: Path) -> None:
    study.plan(case, "out")
    Path("out/.lock").unlink()
    assert not study.status("out").running
    assert not Path("out/.lock").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("folder_bars:broken", "fails: ValueError: no pool today; expected a function that"),
        ("os:putenv", "fails: TypeError: .*; expected a function that returns"),
        ("os:getcwd", "returns '.*; expected what offers concurrent.futures"),
    ],
)
def test_a_function_that_gives_no_pool_says_so(
    case: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(case.parent)
    with pytest.raises(ConfigError, match=told):
        study.run(case, "out", executor=name)


def test_a_pool_that_is_closed_is_told(case: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(StudyError, match=r"takes no units: .*; expected an open one"):
        study.run(case, "out", executor=pool)


def test_workers_of_a_cluster_that_exists_are_not_counted() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="expected one of them"):
        made({"name": "dask", "address": "tcp://head:8786"}, workers=3)


def test_a_scheduler_that_does_not_answer_is_told() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(StudyError, match="at 'nowhere' does not answer"):
        list(made({"name": "dask", "address": "nowhere"}).evaluate(abs, [1]))


def test_what_slurm_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    for name in ("sbatch", "srun"):
        command = tmp_path / name
        command.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    slurm = made({"name": "slurm", "partition": "nope", "folder": str(tmp_path / "jobs")})
    with pytest.raises(StudyError, match="Slurm takes no job: sbatch: error: invalid partition"):
        list(slurm.evaluate(abs, iter([1])))


def test_the_end_of_a_study_does_not_fail_on_a_result_that_comes_late(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.run(case, "out", shard="1/1")
    monkeypatch.setattr("memcore.study.finishing.plot", lambda *_: None)
    removed = Path.rmdir

    def late(folder: Path) -> None:
        (folder / "0009.json").touch()
        removed(folder)

    monkeypatch.setattr(Path, "rmdir", late)
    assert study.collect("out").complete
    assert study.load("out").complete


def test_tail_survives_foreign_files_and_controls_no_terminal(case: Path) -> None:
    study.run(case, "out", shard="1/1")
    folder = Path("out/units/device-000")
    (folder / "0007.json").write_text('{"scores": ["x"], "chip": 7, "setting": {}}')
    (folder / "0008.json").write_text('{"scores": [1], "chip": 8, "setting": {"a": "\\u001b[2J"}}')
    (folder / "0009.json").write_text("[]")
    done = CliRunner().invoke(main, ["tail", "out", "-n", "2"])
    assert done.output.splitlines() == [r"device-000 chip 8: 1  (a = \x1b[2J)"]


def test_a_shard_discards_nothing_of_the_others(case: Path) -> None:
    study.run(case, "out", shard="1/2")
    with pytest.raises(StudyError, match="expected one of fresh and shard"):
        study.run(case, "out", shard="2/2", fresh=True)
    assert study.status("out").known == 2
