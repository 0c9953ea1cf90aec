"""The experiment of the talk on files in the official format, and what is told before it begins."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from memcore import study
from memcore.cli.main import main
from memcore.errors import StudyError
from memcore.study import checkpoints, estimate, estimate_units, models
from memcore.study.data import CIFAR10_TEST, CIFAR10_TRAIN

NAME = "vgg16_cifar10"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for CIFAR-10: a few records of noise in each of its six files."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar-10-batches-bin"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for name in (*CIFAR10_TRAIN, *CIFAR10_TEST):
        records = torch.randint(0, 256, (4, 3073), generator=generator, dtype=torch.uint8)
        records[:, 0] = torch.arange(4)
        (folder / name).write_bytes(records.numpy().tobytes())
    return folder.parent


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    torch.manual_seed(0)
    checkpoints.save_checkpoint(models.vgg16(), path, {})
    return path


def shortened(files: Path, **general: Any) -> dict[str, Any]:
    """The packaged study with the first value of each axis."""
    content = study.read(NAME).model_dump(exclude_unset=True)
    content["study"] |= {"data": {"name": "cifar10", "folder": str(files)}, **general}
    for sweep in content["sweep"]:
        for axis in sweep["axes"].values():
            axis["values"] = axis["values"][:1]
    return content


def test_the_study_asks_what_the_talk_asked() -> None:
    asked = study.read(NAME)
    assert [sweep.name for sweep in asked.sweep] == ["spread", "states", "ratio"]
    assert asked.study.reference is not None
    assert asked.study.reference.value == 91.41
    assert asked.crossbar["device"]["name"] == "linear_ion_drift"
    assert asked.crossbar["mapper"] == "differential"


def test_it_is_trained_and_evaluated_from_the_official_files(files: Path, tmp_path: Path) -> None:
    content = shortened(files, chips=1)
    content["train"] = {"epochs": 1}
    results = study.run(content, tmp_path / "out", progress=False)
    assert len(results) == 3
    assert results.samples == 4
    gained = 100 * results.baseline - 91.41
    assert f"91.41 %, difference {gained:+.2f} points" in str(results)


@pytest.mark.slow
def test_the_command_runs_all_of_it(files: Path, weights: Path, tmp_path: Path) -> None:
    words = ["run", NAME, "--data", str(files), "--checkpoint", str(weights), "--chips", "1"]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    results = study.load(tmp_path / "out")
    assert results.complete
    assert len(results) == 24
    assert "published by Lammie et al. (2020) 91.41 %" in done.output
    assert "91.41 %" in study.report(results).read_text()


def test_data_that_are_missing_name_the_option(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["run", NAME, "--data", str(tmp_path)])
    assert done.exit_code != 0
    assert f"'{tmp_path / 'data_batch_1.bin'}' is missing" in done.output
    assert "--data FOLDER" in done.output


def test_a_data_set_without_files_takes_no_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["run", "demo", "--data", str(tmp_path)])
    assert done.exit_code != 0
    assert "data 'digits' came with the folder" in done.output
    assert "needs no files; expected no folder, or data = 'cifar10' or 'mnist'" in done.output


def test_a_reference_is_no_part_of_what_figures_depend_on(tmp_path: Path) -> None:
    content = {"study": {"checkpoint": "digits_vgg", "chips": 1, "samples": 20}}
    content["crossbar"] = {"device": "ideal"}
    study.run(content, tmp_path / "out", progress=False)
    content["study"]["reference"] = {"value": 99.0}
    again = study.run(content, tmp_path / "out", progress=False)
    gained = 100 * again.baseline - 99.0
    assert f"published 99.00 %, difference {gained:+.2f} points" in str(again)


@pytest.mark.parametrize("reference", [{}, {"value": "high"}, {"value": float("nan")}, 91.0])
def test_a_reference_that_is_no_value_is_refused(reference: Any) -> None:
    with pytest.raises(StudyError, match="reference"):
        study.read({"study": {"reference": reference}})


# -- what is told before it begins -----------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """What is told of times, however short they are."""
    monkeypatch.setattr(estimate, "WORTH", 0.0)
    monkeypatch.setattr(estimate_units, "WORTH", 0.0)
    caplog.set_level(logging.INFO, "memcore.study")
    return lambda: [text for text in caplog.messages if " takes about " in text]


def test_times_are_told_before_a_training_and_before_the_chips(told: Any, tmp_path: Path) -> None:
    content = {
        "study": {"chips": 2, "samples": 20},
        "train": {"epochs": 1},
        "crossbar": {"device": "ideal"},
    }
    study.run(content, tmp_path / "told", progress=False)
    assert [text.split(" takes")[0] for text in told()] == [
        "the training",
        "evaluating 2 chips one after the other",
    ]


def test_measuring_a_time_changes_no_byte(
    told: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    content = {
        "study": {"chips": 2, "samples": 20, "seed": 4},
        "train": {"epochs": 2},
        "crossbar": {"device": "ideal", "nonidealities": ["read_noise", "d2d"]},
    }
    study.run(content, tmp_path / "told", progress=False)
    caplog.set_level(logging.WARNING, "memcore.study")
    study.run(content, tmp_path / "silent", progress=False)
    assert len(told()) == 2
    for name in ("results.csv", "model.safetensors"):
        assert (tmp_path / "told" / name).read_bytes() == (tmp_path / "silent" / name).read_bytes()


def test_a_time_is_about_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.5])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(clock))
    calls: list[int] = []
    assert estimate.second(lambda: calls.append(0)) == 0.5
    assert len(calls) == 2


def test_short_studies_are_told_no_time(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "memcore.study")
    content = {"study": {"checkpoint": "digits_vgg", "chips": 1, "samples": 20}}
    study.run({**content, "crossbar": {"device": "ideal"}}, tmp_path / "out", progress=False)
    assert not [text for text in caplog.messages if " takes about " in text]
