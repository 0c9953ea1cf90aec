"""Searches: settings that Optuna asks for, their front, and that one goes on where it was."""

import csv
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from memcore import study
from memcore.cli.main import main
from memcore.errors import MissingPackageError, StudyError
from memcore.study import space
from memcore.study.config import read
from memcore.study.metrics import Kind
from memcore.study.trials import Search, Trial

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

def fickle(outputs, targets):
    if len(outputs.unique()) < 100:
        return float("nan")
    return -float((outputs.argmax(1) != targets).float().mean())
"""
STD, BITS = "nonidealities.d2d.std", "adc.bits"
CONTENT: dict[str, Any] = {
    "study": {
        **{"name": "sought", "model": "bars_sought:flat", "data": "bars_sought:bars"},
        **{"chips": 2, "cost": ["components"]},
    },
    "train": {"epochs": 2, "lr": 0.05, "batch": 20},
    "crossbar": {
        "device": {"name": "ideal", "r_on": 1e4, "r_off": 1e5},
        "dac": {"name": "uniform", "bits": 6},
        "adc": {"name": "uniform", "bits": 6},
        "nonidealities": [{"name": "d2d", "std": 0.0}],
    },
    "sweep": [
        {
            "name": "space",
            "design": "quasi_random",
            "points": 2,
            "axes": {STD: {"range": [0.0, 0.5]}, BITS: {"range": [2, 8]}},
        }
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("search")
    (folder / "bars_sought.py").write_text(MODULE)
    return folder


def sought(place: Path, monkeypatch: pytest.MonkeyPatch, name: str, **options: Any) -> Search:
    monkeypatch.chdir(place)
    monkeypatch.setattr("memcore.study.finishing.plot", lambda *_: None)
    options = {"trials": 6, "batch": 3, "progress": False, **options}
    return study.search(CONTENT, place / name, **options)


def test_settings_lie_in_the_ranges_and_costs_are_the_second_aim(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sought(place, monkeypatch, "out")
    assert len(found.trials) == 6
    for trial in found.trials:
        assert 0.0 <= trial.setting[STD] <= 0.5
        assert trial.setting[BITS] in range(2, 9)
        assert isinstance(trial.setting[BITS], int)
        assert (trial.cost or 0.0) > 0
    for kept in found.front:
        assert not any(t.mean >= kept.mean and t.cost < kept.cost for t in found.trials)
    rows = list(csv.DictReader(found.csv.read_text().splitlines()))
    assert [float(row["mean"]) for row in rows] == pytest.approx([t.mean for t in found.trials])
    assert sum(row["front"] == "1" for row in rows) == len(found.front)
    assert "the front of accuracy and energy of 6 settings" in str(found)


def test_a_search_goes_on_where_it_was_and_trains_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = sought(place, monkeypatch, "more", trials=3)
    weights = place / "more" / "network" / "model.safetensors"
    times = {file: file.stat().st_mtime_ns for file in place.glob("more/batch-00000/points/*")}
    assert len(times) == 4  # three settings and the baseline
    monkeypatch.setattr("memcore.study.network.Training.run", None)
    whole = sought(place, monkeypatch, "more")
    assert [t.setting for t in whole.trials[:3]] == [t.setting for t in half.trials]
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    assert weights.exists()
    monkeypatch.undo()
    other = sought(place, monkeypatch, "again")
    assert [t.mean for t in other.trials] == [t.mean for t in whole.trials]


def test_a_search_whose_last_batch_was_smaller_goes_on_with_more_trials(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sought(place, monkeypatch, "grown", trials=4)
    times = {file: file.stat().st_mtime_ns for file in place.glob("grown/batch-*/points/*")}
    more = sought(place, monkeypatch, "grown", trials=7, batch=2)
    assert [t.setting for t in more.trials[:4]] == [t.setting for t in first.trials]
    assert len(more.trials) == 7
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    names = sorted(file.name for file in (place / "grown").glob("batch-*"))
    assert names == ["batch-00000", "batch-00003", "batch-00004", "batch-00006"]
    again = sought(place, monkeypatch, "grown", trials=7, batch=5)
    assert [(t.setting, t.mean) for t in again.trials] == [(t.setting, t.mean) for t in more.trials]


def test_a_search_of_other_settings_is_refused_and_starts_over_on_demand(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought(place, monkeypatch, "over", trials=2, batch=2)
    with pytest.raises(StudyError, match="--fresh"):
        sought(place, monkeypatch, "over", trials=3, batch=3, seed=1)
    found = sought(place, monkeypatch, "over", trials=3, batch=3, fresh=True)
    assert len(found.trials) == 3
    assert len(list((place / "over").glob("batch-*"))) == 1


def test_a_setting_without_a_finite_value_fails_and_the_others_go_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("memcore.study.finishing.plot", lambda *_: None)
    general = {**CONTENT["study"], "metric": "bars_sought:fickle", "cost": [], "chips": 1}
    sweep = {"name": "space", "axes": {BITS: [2, 8], STD: [0.0, 0.2]}}
    content = {**CONTENT, "study": general, "sweep": [sweep]}
    options: dict[str, Any] = {"trials": 7, "batch": 4, "progress": False}
    found = study.search(content, place / "fickle", **options)
    assert len(found.trials) == 7
    assert {trial.setting[BITS] for trial in found.failed} == {2}
    assert {trial.setting[BITS] for trial in found.trials if not trial.failed} == {8}
    assert found.best.setting[BITS] == 8
    assert all("gives nan" in trial.failed for trial in found.failed)
    assert "a setting has failed" in caplog.text
    assert f"{len(found.failed)} failed, the first one: " in str(found)
    rows = list(csv.DictReader(found.csv.read_text().splitlines()))
    assert [row["mean"] == "" for row in rows] == [bool(trial.failed) for trial in found.trials]
    again = study.search(content, place / "fickle", **options)
    assert str(again) == str(found)
    sweep["axes"] = {BITS: [2], STD: [0.0, 0.2]}
    with pytest.raises(StudyError, match=r"all 2 settings have failed, the first one: .*gives nan"):
        study.search(content, place / "none", trials=2, progress=False)


def test_a_digital_network_without_a_finite_value_ends_the_search(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "empty_sought.py").write_text("def metric(outputs, targets):\n    return 1e400\n")
    general = {**CONTENT["study"], "metric": "empty_sought:metric", "cost": []}
    with pytest.raises(StudyError, match=r"the digital network: metric .* gives inf"):
        study.search({**CONTENT, "study": general}, place / "inf", progress=False)


def test_chosen_values_stay_in_a_narrow_range_and_differ() -> None:
    pytest.importorskip("optuna")
    axes = {"temperature": {"range": [300.0, 300.01]}, STD: {"range": [0.0, 0.99996]}}
    sweep = {"name": "n", "design": "quasi_random", "points": 8, "axes": axes}
    (made,) = read({"sweep": [sweep]}).sweep
    choices = [{name: axis["range"][end] for name, axis in axes.items()} for end in (0, 1)]
    for one in (made, space.listed(made, choices)):
        for axis, (low, high) in zip(
            one.axes.values(), ([300.0, 300.01], [0, 0.99996]), strict=True
        ):
            assert len(set(axis.values)) == len(axis.values)
            assert all(low <= value <= high for value in axis.values)


def test_listed_values_are_chosen_with_what_they_move() -> None:
    pytest.importorskip("optuna")
    axes = {
        "kind": {"values": ["coarse", "fine"], "moves": {BITS: [3, 8]}},
        "std": {"values": [0, 10, 20], "moves": {STD: 0.01}},
    }
    sweep = read({"sweep": [{"name": "words", "axes": axes}]}).sweep[0]
    chosen = space.listed(sweep, [{"kind": 1, "std": 2}, {"kind": 0, "std": 2}])
    assert chosen.axes["kind"].values == ("fine", "coarse")
    assert chosen.axes["kind"].settings(0) == {BITS: 8}
    assert chosen.axes["std"].settings(1) == {STD: pytest.approx(0.2)}
    assert set(space.distributions(sweep)["std"].choices) == {0, 1, 2}


def test_the_front_goes_from_cheap_to_good() -> None:
    points = [(0.9, 3.0), (0.5, 1.0), (0.7, 2.0), (0.6, 2.5), (0.5, 4.0)]
    trials = tuple(Trial({"n": n}, mean, None, cost) for n, (mean, cost) in enumerate(points))
    found = Search(trials, 1.0, Kind("accuracy", is_share=True), "energy", Path())
    assert [trial.setting["n"] for trial in found.front] == [1, 2, 0]
    again = Search((*trials, *trials), 1.0, found.kind, "energy", Path())
    assert again.front == found.front
    errors = Search(trials, 0.0, Kind("error", smaller_is_better=True), "", Path())
    assert errors.best.mean == 0.5
    assert errors.front == (errors.best,)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trials": 0}, "trials=0; expected a whole number"),
        ({"batch": True}, "batch=True; expected a whole number"),
        ({"against": "money"}, "against='money'; expected one of energy, time, area"),
    ],
)
def test_what_no_search_takes_is_refused(options: dict[str, Any], told: str) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(StudyError, match=told):
        study.search(CONTENT, **options)


def test_a_study_with_several_sweeps_is_refused() -> None:
    pytest.importorskip("optuna")
    with pytest.raises(StudyError, match="takes the axes of one sweep"):
        study.search("demo")


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"memcore\[search\]"):
        study.search(CONTENT)


def test_the_command_shows_the_front(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("memcore.study.finishing.plot", lambda *_: None)
    (place / "s.toml").write_text(
        '[study]\nname = "s"\ncheckpoint = "digits_vgg"\nchips = 1\nsamples = 10\n'
        '[crossbar]\ndevice = "ideal"\nnonidealities = ["d2d"]\n[[sweep]]\nname = "s"\n'
        f'[sweep.axes]\n"{STD}" = [0.0, 0.3]\n'
    )
    done = CliRunner().invoke(main, ["search", "s.toml", "--trials", "2", "-q"])
    assert done.exit_code == 0, done.output
    assert "the best of 2 settings" in done.output
    assert (place / "results" / "s-search" / "search.csv").exists()
