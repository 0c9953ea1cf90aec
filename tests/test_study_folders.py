"""Results folders beside others: moved, watched, locked by what lives on, and with device files."""

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from memcore import study
from memcore.errors import StudyError
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
