"""The study from end to end, on a network of one linear layer."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from memcore import study
from memcore.errors import StudyError
from memcore.study.locks import Locks

MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars(shade=1.0, broken=False):
    # Four classes, one bright line of four each, in noise.
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    images = 0.7 * torch.randn(400, 1, 4, 4, generator=generator)
    images[torch.arange(400), 0, labels] += shade
    if broken:
        images[350:] = float("nan")
    return Dataset(train=Split(images[:200], labels[:200]), test=Split(images[200:], labels[200:]),
                   classes=4)
"""
TOML = """
[study]
name = "bars"
model = "bars_study:flat"
data = "bars_study:bars"
chips = 3
seed = 1

[train]
epochs = 4
lr = 0.05
batch = 20

[crossbar]
device = { name = "ideal", r_on = 1e4, r_off = 1e5 }
nonidealities = [{ name = "read_noise", relative = 0.0 }]

[[sweep]]
name = "noise"
[sweep.axes]
"nonidealities.read_noise.relative" = [0.0, 0.2, 0.8]

[[sweep]]
name = "adc"
set = { adc = { name = "uniform", bits = 8 } }
[sweep.axes]
bits = { values = [2, 6], moves = { "adc.bits" = 1 } }
"""
POINTS = ["adc-000", "adc-001", "baseline", "noise-000", "noise-001", "noise-002"]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "bars_study.py").write_text(MODULE)
    file = tmp_path / "study.toml"
    file.write_text(TOML)
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that nothing was wrong with; tests copy it before they spoil it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "bars_study.py").write_text(MODULE)
    (folder / "study.toml").write_text(TOML)
    study.run(folder / "study.toml", folder / "out")
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "out"
    for file, content in contents(finished).items():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_bytes(content)
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a results folder but the lock."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def edited(toml: Path, before: str, after: str) -> Path:
    text = toml.read_text()
    assert before in text
    toml.write_text(text.replace(before, after))
    return toml


def test_the_folder_holds_what_was_promised(finished: Path) -> None:
    files = contents(finished)
    expected = {"study.resolved.json", "results.csv", "plot.png", "model.safetensors"}
    assert set(files) == expected | {f"points/{name}.json" for name in POINTS}
    assert files["plot.png"].startswith(b"\x89PNG")


def test_the_table_has_each_point_beside_the_baseline(finished: Path) -> None:
    lines = list(csv.DictReader((finished / "results.csv").read_text().splitlines()))
    assert [line["sweep"] for line in lines] == ["noise"] * 3 + ["adc"] * 2
    assert [line["bits"] for line in lines] == ["", "", "", "2", "6"]
    for line in lines:
        mean, drop, base = (float(line[key]) for key in ("mean", "drop", "baseline"))
        assert drop == pytest.approx(base - mean, abs=2e-6)
        assert float(line["high"]) - float(line["low"]) == pytest.approx(
            2 * float(line["ci95"]), abs=3e-6
        )
        assert (line["chips"], line["samples"]) == ("3", "200")


def test_an_exact_crossbar_loses_nothing_and_noise_costs_accuracy(finished: Path) -> None:
    results = study.load(finished)
    exact, _, loud = results.sweep("noise")
    assert results.baseline > 0.9
    assert exact.mean == results.baseline
    assert exact.interval == 0.0
    assert loud.mean < results.baseline - 0.02


def test_the_resolved_study_says_where_everything_comes_from(finished: Path) -> None:
    record = json.loads((finished / "study.resolved.json").read_text())
    plugins = {(p["kind"], p["name"]): p for p in record["plugins"]}
    assert ("devices", "ideal") in plugins
    assert ("converters", "uniform") in plugins
    ideal = plugins["devices", "ideal"]
    assert ideal["distribution"] == "memcore"
    assert ideal["version"] == record["versions"]["memcore"]
    assert record["versions"]["torch"] == str(torch.__version__)
    assert record["study"]["study"]["seed"] == 1
    assert record["study"]["train"]["optimizer"] == "adamw"
    assert record["crossbars"]["noise"]["mapper"]["name"] == "differential"


def test_what_is_loaded_is_what_was_run(finished: Path, toml: Path, out: Path) -> None:
    again = study.run(toml, out)
    loaded = study.load(finished)
    assert str(again) == str(loaded)
    assert [row.accuracies for row in again] == [row.accuracies for row in loaded]
    assert loaded.complete
    assert len(loaded) == 5


def test_a_second_run_evaluates_nothing_and_changes_nothing(
    toml: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("evaluated again")

    before = contents(out)
    monkeypatch.setattr("memcore.study.work.evaluate_chip", refuse)
    monkeypatch.setattr("memcore.study.training.Training.run", refuse)
    study.run(toml, out)
    assert contents(out) == before


def test_the_table_does_not_depend_on_the_batch_size(
    toml: Path, tmp_path: Path, finished: Path
) -> None:
    study.run(toml, tmp_path / "other", batch=7)
    for file in ("results.csv", "points/noise-002.json", "model.safetensors", "plot.png"):
        assert (tmp_path / "other" / file).read_bytes() == (finished / file).read_bytes()


def test_more_chips_keep_the_first_ones(toml: Path, tmp_path: Path, finished: Path) -> None:
    more = study.run(toml, tmp_path / "more", chips=5)
    for row, first in zip(more, study.load(finished), strict=True):
        assert row.correct[:3] == first.correct


def test_a_folder_goes_on_with_more_chips_and_ends_like_a_fresh_run(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chips that are there are not evaluated again, those of an unfinished run neither."""
    edited(toml, "seed = 1", 'seed = 1\ncost = ["array"]')
    fresh = study.run(toml, tmp_path / "fresh", chips=5)
    study.run(toml, tmp_path / "grown")
    study.run(toml, tmp_path / "torn", shard="1/2")
    count = len(list((tmp_path / "torn" / "units").rglob("*.json")))
    assert 0 < count < 15
    evaluated = []
    real = study.work.evaluate_chip
    monkeypatch.setattr(
        "memcore.study.work.evaluate_chip", lambda *a: (evaluated.append(a), real(*a))[1]
    )
    for name, known in (("grown", 15), ("torn", count)):
        evaluated.clear()
        results = study.run(toml, tmp_path / name, chips=5)
        assert len(evaluated) == 25 - known
        assert str(results) == str(fresh)
        assert contents(tmp_path / name) == contents(tmp_path / "fresh")


def test_a_run_that_is_stopped_while_it_takes_chips_over_loses_none(
    toml: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.run(toml, tmp_path / "fresh", chips=4)
    todo: list[Any] = []
    real = study.work.evaluate_chip
    monkeypatch.setattr(
        "memcore.study.work.evaluate_chip", lambda *a: (todo.append(a), real(*a))[1]
    )
    for place in ("Units.write", "Store.resolve", "Store.drop"):
        folder = tmp_path / place
        for file, content in contents(out).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        with monkeypatch.context() as patch:
            kind, name = place.split(".")
            patch.setattr(getattr(study.growing, kind), name, stop_at_the_second(kind, name))
            with pytest.raises(KeyboardInterrupt):
                study.run(toml, folder, chips=4)
        todo.clear()
        study.run(toml, folder, chips=4)
        assert len(todo) == 5
        assert contents(folder) == contents(tmp_path / "fresh")


def stop_at_the_second(kind: str, name: str) -> Any:
    real = getattr(getattr(study.growing, kind), name)
    calls = []

    def stopped(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == (2 if name == "write" else 1):
            raise KeyboardInterrupt
        return real(*args)

    return stopped


def test_fewer_chips_than_a_folder_holds_are_refused_with_what_to_do(toml: Path, out: Path) -> None:
    before = contents(out)
    with pytest.raises(StudyError, match=r"holds 3 chips of this study .*expected chips = 3 or"):
        study.run(toml, out, chips=2)
    assert contents(out) == before


def test_a_folder_does_not_grow_while_another_run_works_in_it(toml: Path, out: Path) -> None:
    before = contents(out)
    with Locks(out) as locks:
        locks.join()
        with pytest.raises(StudyError, match="another run is working in"):
            study.run(toml, out, chips=4)
    assert contents(out) == before


def test_the_same_chips_are_reused_at_every_setting(toml: Path, tmp_path: Path) -> None:
    edited(toml, "[0.0, 0.2, 0.8]", "[0.8, 0.8]")
    first, second = study.run(toml, tmp_path / "out").sweep("noise")
    assert first.correct == second.correct
    assert len(set(first.correct)) > 1


def test_another_seed_gives_other_chips(toml: Path, tmp_path: Path, finished: Path) -> None:
    other = study.run(toml, tmp_path / "other", seed=2)
    assert [r.correct for r in other] != [r.correct for r in study.load(finished)]


def test_samples_are_the_first_test_images(toml: Path, tmp_path: Path) -> None:
    results = study.run(toml, tmp_path / "few", samples=50)
    assert results.samples == 50
    assert {row.samples for row in results} == {50}


def test_one_chip_has_no_interval(toml: Path, tmp_path: Path) -> None:
    results = study.run(toml, tmp_path / "one", chips=1)
    assert [row.interval for row in results] == [None] * 5
    lines = list(csv.DictReader(results.csv.read_text().splitlines()))
    assert {line["ci95"] for line in lines} == {""}
    assert "±" not in str(results)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "torn or foreign"),
        (b'{"format": 1, "fingerprint": "', "torn or foreign"),
        (b'{"mine": true}', "torn or foreign"),
        (b"[1, 2]", "torn or foreign"),
        (b"\xff\xfe\x00", "torn or foreign"),
        (
            b'{"format": 1, "fingerprint": "0", "samples": 200, "correct": [1, 2, 3]}',
            "another study, network or data set",
        ),
    ],
)
def test_a_spoilt_point_is_evaluated_again_and_named(
    toml: Path,
    out: Path,
    finished: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    words: str,
) -> None:
    (out / "points" / "noise-001.json").write_bytes(content)
    with caplog.at_level(logging.WARNING, "memcore.study"):
        study.run(toml, out)
    (message,) = caplog.messages
    assert "points/noise-001.json" in message
    assert words in message
    assert contents(out) == contents(finished)


def test_a_point_moved_to_another_name_does_not_count(
    toml: Path, out: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (out / "points" / "noise-000.json").replace(out / "points" / "noise-002.json")
    study.run(toml, out)
    assert "points/noise-002.json belongs to another" in caplog.text
    assert contents(out) == contents(finished)


def test_a_point_that_the_study_does_not_have_is_left_out_and_named(
    toml: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (out / "points" / "noise-009.json").write_text("{}")
    assert len(study.run(toml, out)) == 5
    assert "points/noise-009.json is no point of this study" in caplog.text


def test_a_torn_checkpoint_is_trained_again_and_the_points_still_fit(
    toml: Path, out: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = out / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    study.run(toml, out)
    assert "model.safetensors is torn" in caplog.text
    assert contents(out) == contents(finished)


def test_points_of_other_weights_are_not_mixed_in(
    toml: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    file = out / "model.safetensors"
    with safe_open(str(file), framework="pt") as opened:
        metadata = opened.metadata()
    tensors = {name: 0.9 * tensor for name, tensor in load_file(str(file)).items()}
    save_file(tensors, str(file), metadata)
    study.run(toml, out)
    assert caplog.text.count("belongs to another study, network or data set") == len(POINTS)


def test_another_study_in_the_folder_is_refused_with_what_differs(toml: Path, out: Path) -> None:
    edited(toml, "[0.0, 0.2, 0.8]", "[0.0, 0.3, 0.8]")
    before = contents(out)
    with pytest.raises(StudyError) as caught:
        study.run(toml, out, chips=4)
    text = str(caught.value)
    assert "holds another study" in text
    assert "study.chips: 3 there, 4 now" in text
    assert (
        "sweep.noise.axes.nonidealities.read_noise.relative.values: [0.0, 0.2, 0.8] there" in text
    )
    assert "--out" in text
    assert "--fresh" in text
    assert contents(out) == before


def test_fresh_starts_over_and_keeps_the_network(
    toml: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(out)
    with caplog.at_level(logging.INFO, "memcore.study"):
        results = study.run(toml, out, chips=4, fresh=True)
    assert "using the network trained before" in caplog.text
    assert "already finished" not in caplog.text
    assert {len(row.correct) for row in results} == {4}
    assert contents(out)["model.safetensors"] == before["model.safetensors"]


def test_words_may_change_without_starting_over(toml: Path, out: Path, finished: Path) -> None:
    edited(toml, 'name = "bars"', 'name = "bars"\ntitle = "Bars in noise"')
    results = study.run(toml, out)
    assert str(results).startswith("Bars in noise")
    assert results.csv.read_bytes() == (finished / "results.csv").read_bytes()


def test_other_data_are_another_study(toml: Path, out: Path) -> None:
    edited(toml, 'data = "bars_study:bars"', 'data = { name = "bars_study:bars", shade = 2.0 }')
    with pytest.raises(StudyError, match=r"study\.data\.shade: absent there, 2\.0 now"):
        study.run(toml, out)


def test_a_checkpoint_is_loaded_instead_of_training(
    toml: Path, tmp_path: Path, finished: Path
) -> None:
    (tmp_path / "given.safetensors").write_bytes((finished / "model.safetensors").read_bytes())
    results = study.run(toml, tmp_path / "given", checkpoint="given.safetensors")
    assert not (tmp_path / "given" / "model.safetensors").exists()
    assert [r.correct for r in results] == [r.correct for r in study.load(finished)]


def test_an_empty_checkpoint_means_training(toml: Path, tmp_path: Path, finished: Path) -> None:
    edited(toml, "seed = 1", 'seed = 1\ncheckpoint = "none.pt"')
    results = study.run(toml, tmp_path / "trained", checkpoint="")
    assert (tmp_path / "trained" / "model.safetensors").exists()
    assert [r.correct for r in results] == [r.correct for r in study.load(finished)]


def test_converters_are_calibrated_on_training_images_only(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = study.chips.calibrate
    monkeypatch.setattr(
        study.chips,
        "calibrate",
        lambda model, images: (seen.append(images), real(model, images)),
    )
    edited(toml, "seed = 1", "seed = 1\ncalibration = 32")
    study.run(toml, tmp_path / "out", chips=2)
    namespace: dict[str, Any] = {}
    exec(MODULE, namespace)
    train = namespace["bars"]().train.images[:32]
    assert len(seen) == 4  # two chips at each of the two points with an ADC
    assert all(torch.equal(images, train) for images in seen)


def test_a_mistake_in_a_setting_is_found_before_training(toml: Path, tmp_path: Path) -> None:
    edited(toml, '"adc.bits" = 1', '"adc.bitz" = 1')
    with pytest.raises(StudyError, match=r"sweep 'adc' at bits = 2: .*'bitz'"):
        study.run(toml, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_outputs_that_are_not_numbers_are_no_accuracy(toml: Path, tmp_path: Path) -> None:
    edited(toml, 'data = "bars_study:bars"', 'data = { name = "bars_study:bars", broken = true }')
    with pytest.raises(StudyError, match="outputs are not finite"):
        study.run(toml, tmp_path / "out")


def test_nothing_is_discarded_while_another_run_works_in_the_folder(
    toml: Path, out: Path, finished: Path
) -> None:
    with Locks(out) as locks:
        locks.join()
        with pytest.raises(StudyError, match="another run is working in"):
            study.run(toml, out, fresh=True)
        study.run(toml, out)
    assert contents(out) == contents(finished)


def test_a_folder_without_a_study_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study"):
        study.load(tmp_path)


def test_an_unfinished_study_loads_what_there_is(out: Path) -> None:
    (out / "points" / "adc-001.json").unlink()
    results = study.load(out)
    assert not results.complete
    assert len(results) == 4
    assert "not complete" in str(results)


def test_an_unknown_device_to_compute_on_is_refused(toml: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="device 'tpu' cannot be used"):
        study.run(toml, tmp_path / "out", device="tpu")
