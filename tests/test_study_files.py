"""The files of a study: foreign ones, broken ones, and a disk that gives up at any write."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from memcore import study
from memcore.errors import StudyError
from memcore.study import files

MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 4
    images = 0.7 * torch.randn(80, 1, 4, 4, generator=generator)
    images[torch.arange(80), 0, labels] += 1.0
    return Dataset(train=Split(images[:40], labels[:40]), test=Split(images[40:], labels[40:]))
"""
TOML = """
[study]
name = "bars"
model = "bars_files:flat"
data = "bars_files:bars"
chips = 2
[train]
epochs = 3
lr = 0.05
batch = 20
[crossbar]
device = { name = "ideal", r_on = 1e4, r_off = 1e5 }
nonidealities = [{ name = "read_noise", relative = 0.5 }]
[[sweep]]
name = "noise"
[sweep.axes]
"nonidealities.read_noise.relative" = [0.2, 0.8]
"""
POINT = "points/noise-001.json"
KILLS = int(os.environ.get("MEMCORE_KILLS", "60"))  # of the long test


@pytest.fixture(scope="module")
def case(sketch: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file beside its module, and in "out" what a run that nothing disturbs leaves."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "bars_files.py").write_text(MODULE)
    (folder / "study.toml").write_text(TOML)
    study.run(folder / "study.toml", folder / "out")
    return folder


@pytest.fixture
def out(case: Path, tmp_path: Path) -> Path:
    """A copy of the finished folder, to be spoilt."""
    for name, content in contents(case / "out").items():
        file = tmp_path / "out" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "out"


def run(case: Path, out: Path, **options: Any) -> study.Results:
    return study.run(case / "study.toml", out, **options)


def contents(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def resealed(content: dict[str, Any]) -> dict[str, Any]:
    open_ = {key: value for key, value in content.items() if key != "checksum"}
    return {**open_, "checksum": files.digest_json(open_)}


DEEP = "[" * 100_000 + "]" * 100_000
FOREIGN = [
    "{}",
    '{"mine": true}',
    '{"identity": "0", "format": 1}',
    '{"format": 1, "identity": "0", "study": [], "versions": {}, "plugins": [], "code": {}}',
    '{"format": 1, "identity": 3, "study": {"sweep": {}}, "versions": 4, "plugins": "x"}',
    "null",
    '"text"',
    "[]",
    "3",
    DEEP,
    '{"study": ' + DEEP + "}",
    '{"format": ' + "9" * 5000 + "}",
]


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_record_is_named_and_written_again(
    case: Path, out: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (out / "study.resolved.json").write_text(text)
    with pytest.raises(StudyError, match="holds no study"):
        study.load(out)
    run(case, out)
    assert "study.resolved.json is torn or foreign; writing it again" in caplog.text
    assert contents(out) == contents(case / "out")


@pytest.mark.parametrize("key", ["identity", "format", "versions", "plugins", "code", "study"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [1], {"sweep": [{"axes": 3}]}])
def test_a_record_with_one_odd_entry_is_foreign(
    case: Path, out: Path, caplog: pytest.LogCaptureFixture, key: str, value: Any
) -> None:
    file = out / "study.resolved.json"
    record = json.loads(file.read_text())
    if record[key] == value:
        pytest.skip("that is what it says")
    file.write_text(json.dumps({**record, key: value}))
    with pytest.raises(StudyError, match="holds no study"):
        study.load(out)
    run(case, out)
    assert "torn or foreign" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 0},
        {"samples": True},
        {"samples": "40"},
        {"samples": None},
        {"correct": []},
        {"correct": [True, False]},
        {"correct": [1.5, 2]},
        {"correct": [-1, 2]},
        {"correct": [41, 2]},
        {"correct": "12"},
        {"correct": {"0": 1}},
        {"scores": [float("nan"), 1.0]},
        {"scores": ["a", "b"]},
        {"fingerprint": None},
        {"format": "1"},
        {"correct": [1]},
        {"correct": [1, 2, 3]},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["points/noise-001.json", "points/baseline.json"])
def test_a_crafted_point_is_named_and_evaluated_again(
    case: Path, out: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], name: str
) -> None:
    if "baseline" in name and change == {"correct": [1]}:
        pytest.skip("one network has one count")
    content = json.loads((out / name).read_text())
    (out / name).write_text(json.dumps(resealed({**content, **change})))
    study_loads(out)
    run(case, out)
    assert f"{name} " in caplog.text
    assert "evaluating it again" in caplog.text
    assert contents(out) == contents(case / "out")


def study_loads(out: Path) -> None:
    """Loading leaves a crafted point out, or says that there is no baseline."""
    try:
        complete = study.load(out).complete
    except StudyError:
        complete = False
    assert not complete


@pytest.mark.parametrize("name", ["points/noise-001.json", "points/baseline.json"])
def test_an_edited_count_is_noticed(
    case: Path, out: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    content = json.loads((out / name).read_text())
    content["correct"][0] -= 1
    (out / name).write_text(json.dumps(content))
    run(case, out)
    assert f"{name} is not as it was written; evaluating it again" in caplog.text
    assert contents(out) == contents(case / "out")


@pytest.mark.parametrize("text", ["", "null", "[]", '"x"', DEEP, '{"correct": ' + DEEP + "}"])
def test_a_point_of_odd_text_is_evaluated_again(
    case: Path, out: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (out / POINT).write_text(text)
    run(case, out)
    assert f"{POINT} is torn or foreign" in caplog.text
    assert contents(out) == contents(case / "out")


@pytest.mark.parametrize(
    "name",
    [
        *("study.resolved.json", "model.safetensors", "results.csv", "plot.png"),
        *("training.snapshot", "points/baseline.json", POINT),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_in_the_way_of_a_file_is_named_before_the_work(
    case: Path, out: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    (out / name).unlink(missing_ok=True)
    (out / name).mkdir() if kind == "folder" else os.mkfifo(out / name)
    monkeypatch.setattr("memcore.study.training.Training.run", lambda *_: pytest.fail("trained"))
    for fresh in (False, True):
        with pytest.raises(StudyError, match="is no regular file") as caught:
            run(case, out, fresh=fresh)
        assert str(out / name) in str(caught.value)


def test_a_file_in_the_way_of_a_folder_is_named(case: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(StudyError, match=f"'{place}' cannot be written"):
            run(case, place)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "points").write_text("")
    with pytest.raises(StudyError, match="points' cannot be written"):
        run(case, tmp_path / "out")


def test_names_that_no_disk_takes_are_refused(case: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be written: File name too long"):
        run(case, tmp_path / ("x" * 256))
    for content in ({"study": {"name": "x" * 256}}, {"sweep": [{"name": "x" * 256}]}):
        with pytest.raises(StudyError, match="at most 100 characters"):
            study.read(content)
    with pytest.raises(StudyError, match="cannot be read"):
        study.read(tmp_path / ("x" * 256))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_named(case: Path, out: Path) -> None:
    out.chmod(0o555)
    try:
        with pytest.raises(StudyError, match="cannot be written: Permission denied"):
            run(case, out)
    finally:
        out.chmod(0o755)


def test_a_study_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(StudyError, match="is no regular file"):
        study.read(tmp_path / "pipe.toml")
    (tmp_path / "deep.toml").write_text("x = " + DEEP)
    with pytest.raises(StudyError, match="nested too deeply"):
        study.read(tmp_path / "deep.toml")


class Disk:
    """Counts the steps of writing files, and does something at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], None]) -> None:
        self.count, self.at, self.act = 0, at, act
        for owner, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "open"),
            (Path, "mkdir"),
            (Path, "unlink"),
            (files, "_sync_folder"),
        ):
            monkeypatch.setattr(owner, name, self.watched(getattr(owner, name)))

    def watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            mine = sys._getframe(1).f_globals.get("__name__", "").startswith("memcore.study")
            if mine:
                self.count += 1
                if self.count == self.at:
                    self.act()
            return real(*args, **options)

        return step


def full() -> None:
    raise OSError(28, "No space left on device")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", [full, interrupted])
@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_write_that_fails_at_any_step_loses_nothing(
    case: Path, tmp_path: Path, act: Callable[[], None], stride: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = Disk(patch, 0, act)
        run(case, tmp_path / "whole")
    assert contents(tmp_path / "whole") == contents(case / "out")
    assert whole.count > 40
    for at in range(1, whole.count + 1, stride):
        folder = tmp_path / f"at-{at}"
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, at, act)
            message = failure(case, folder)
        assert act is interrupted or message is None or str(folder) in message
        there, evaluated = finished(folder), list[str]()
        with pytest.MonkeyPatch.context() as patch:
            watch_evaluations(patch, evaluated)
            run(case, folder)
        assert contents(folder) == contents(case / "out"), at
        assert not there & set(evaluated), at


def failure(case: Path, folder: Path) -> str | None:
    """What a run that a disk disturbs says; None if the disturbed step did not matter."""
    try:
        run(case, folder)
    except (StudyError, KeyboardInterrupt) as error:
        return str(error)
    return None


def finished(folder: Path) -> set[str]:
    """The units that have a file, or whose point has one."""
    points = {file.stem for file in (folder / "points").glob("noise-*.json")}
    units = (folder / "units").glob("noise-*/*.json")
    return {f"{name}/{chip:04d}" for name in points for chip in range(2)} | {
        f"{file.parent.name}/{file.stem}" for file in units
    }


def watch_evaluations(patch: pytest.MonkeyPatch, evaluated: list[str]) -> None:
    from memcore.study import work

    real = work.evaluate

    def noted(plan: Any, unit: Any) -> Any:
        evaluated.append(f"noise-{unit.point:03d}/{unit.chip:04d}")
        return real(plan, unit)

    patch.setattr(work, "evaluate", noted)


def killed(case: Path, out: Path, at: int) -> bool:
    """Run in a process that is killed at a step of writing, if it comes to that one.

    The process is a fork of this one, which has imported everything and has no threads that work.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that may be there
        child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            try:
                run(case, out)
            finally:
                os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_run_killed_at_a_write_goes_on_with_the_same_bytes(case: Path, tmp_path: Path) -> None:
    assert killed(case, tmp_path / "out", 31)
    run(case, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(case / "out")


@pytest.mark.parametrize(
    ("trials", "seed"),
    [
        (3, 7),
        pytest.param(int(os.environ.get("MEMCORE_KILLS", "60")) // 3, 8, marks=pytest.mark.slow),
    ],
)
def test_runs_killed_at_random_writes_end_with_the_same_bytes(
    case: Path, tmp_path: Path, trials: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    kills = 0
    for trial in range(trials):
        folder = tmp_path / f"trial-{trial}"
        for _ in range(3):  # a run that was killed is resumed and killed again
            at = int(torch.randint(1, 75, (), generator=generator))
            kills += killed(case, folder, at)
        run(case, folder)
        assert contents(folder) == contents(case / "out"), trial
    assert kills >= trials


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    yield
    logging.getLogger("memcore.study").handlers = []
