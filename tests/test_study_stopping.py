"""Chips until the interval is tight: as many as that takes, with the coverage that is promised."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from memcore import study
from memcore.errors import StudyError
from memcore.study import General, files
from memcore.study.record import checked
from memcore.study.results import t_quantile
from memcore.study.stopping import needed

RULE = General(interval=0.25, chips=8, most_chips=10_000, metric={"name": "mse"})
MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)))
        model[1].bias.zero_()
    return model

def bars():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(80, 1, 4, 4, generator=generator)
    labels = flat()(images).argmax(1).detach()
    return Dataset(train=Split(images[:40], labels[:40]), test=Split(images[40:], labels[40:]))
"""
STUDY = {
    "study": {
        **{"model": "bars_tight:flat", "data": "bars_tight:bars"},
        **{"chips": 4, "interval": 3.0, "most_chips": 40},
    },
    "train": {"epochs": 0},
    "crossbar": {
        "device": {"name": "ideal", "r_on": 1e4, "r_off": 1e5},
        "nonidealities": [{"name": "d2d", "std": 0.1}],
    },
    "sweep": [{"name": "noise", "axes": {"nonidealities.d2d.std": [0.0, 0.05, 0.3]}}],
}


def normal(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.normal(0.0, 1.0, count)


def skewed(generator: np.random.Generator, count: int) -> np.ndarray:
    """Accuracies of chips below a ceiling, most good and a few bad, scaled to a spread of 1."""
    return (generator.beta(8.0, 2.0, count) - 0.8) / math.sqrt(0.8 * 0.2 / 11)


@pytest.mark.parametrize("draw", [normal, skewed])
def test_the_interval_holds_the_mean_as_often_as_promised(draw) -> None:
    generator = np.random.default_rng(0)
    trials, held, chips = 1500, 0, 0
    for _ in range(trials):
        first = draw(generator, RULE.chips)
        count = needed(list(first), RULE)
        values = np.concatenate([first, draw(generator, count - RULE.chips)])
        half = t_quantile(RULE.chips - 1) * first.std(ddof=1) / math.sqrt(count)
        assert half <= RULE.interval * (1 + 1e-12)
        held += abs(values.mean()) <= half
        chips += count
    error = math.sqrt(0.95 * 0.05 / trials)
    assert held / trials > 0.95 - 3 * error
    assert held / trials < 0.95 + 4 * error  # nor is it wide for nothing
    assert chips / trials == pytest.approx((t_quantile(7) / RULE.interval) ** 2, rel=0.1)


def test_stopping_at_the_first_tight_interval_would_miss_the_mean_more_often() -> None:
    generator = np.random.default_rng(1)
    trials, held = 600, 0
    for _ in range(trials):
        values, half = list(generator.normal(0.0, 1.0, 3)), math.inf
        while half > 0.6:
            values.append(generator.normal())
            spread = np.std(values, ddof=1)
            half = t_quantile(len(values) - 1) * spread / math.sqrt(len(values))
        held += abs(np.mean(values)) <= half
    assert held / trials < 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_the_number_of_chips_has_a_least_and_a_most() -> None:
    assert needed([1.0] * 8, RULE) == 8
    assert needed([1.0, 1.1] * 4, RULE) == 8
    assert needed([0.0, 1e6] * 4, RULE) == 10_000
    assert needed([0.0, 1e200] * 4, RULE) == 10_000
    assert needed([0.9, 0.91, 0.92], General(chips=3)) == 3
    # Half a percentage point, of accuracies in [0, 1].
    share = General(chips=3, interval=0.5)
    assert needed([0.90, 0.91, 0.92], share) == math.ceil((t_quantile(2) * 0.01 / 0.005) ** 2)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bars_tight.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "memcore.study.finishing.plot", lambda _, path: files.write_atomic(path, b"picture")
    )
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
def test_every_point_has_as_many_chips_as_it_needs(place: Path) -> None:
    results = study.run(STUDY, place / "out")
    exact, near, far = results
    assert len(exact.correct) == 4  # they are all equal
    assert 4 <= len(near.correct) < len(far.correct) <= 40
    for row in results:
        assert row.first == 4
        assert row.interval <= 0.03 or len(row.correct) == 40
    assert "4 to" in str(results)
    assert [row.correct for row in study.load(place / "out")] == [row.correct for row in results]
    forked = {"name": "processes", "workers": 2, "start": "fork"}
    study.run(STUDY, place / "forked", executor=forked)
    assert contents(place / "forked") == contents(place / "out")
    # Chips are those of a study with a fixed number of them.
    fixed = {**STUDY, "study": {**STUDY["study"], "interval": None, "chips": len(far.correct)}}
    assert study.run(fixed, place / "fixed").rows[2].correct == far.correct


def test_an_unfinished_point_gets_the_chips_that_it_lacks(place: Path) -> None:
    study.run(STUDY, place / "out")
    whole = contents(place / "out")
    (place / "out" / "points" / "noise-002.json").unlink()
    assert not study.load(place / "out").complete
    study.run(STUDY, place / "out")
    assert contents(place / "out") == whole


def test_what_does_not_go_with_an_interval_is_refused(place: Path) -> None:
    with pytest.raises(StudyError, match="interval needs all chips of a point"):
        study.run(STUDY, place / "out", shard="1/2")
    with pytest.raises(StudyError, match="interval needs a spread between chips"):
        study.run(STUDY, place / "out", chips=1)
    for interval in (0, -1, "tight", True):
        with pytest.raises(StudyError, match="interval"):
            study.read({"study": {"interval": interval}})


def test_records_that_know_of_no_interval_are_those_of_a_fixed_number(place: Path) -> None:
    fixed = {**STUDY, "study": {**STUDY["study"], "interval": None}}
    study.plan(fixed, place / "out")
    record = json.loads((place / "out" / "study.resolved.json").read_text())
    for key in ("interval", "most_chips"):
        del record["study"]["study"][key]
    assert checked(record) is not None


def test_no_point_begins_with_more_chips_than_it_may_have() -> None:
    content = {**STUDY, "study": {**STUDY["study"], "most_chips": 3}}
    with pytest.raises(StudyError, match="most_chips = 3 is below chips = 4"):
        study.read(content)
