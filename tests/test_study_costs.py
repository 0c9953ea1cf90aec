"""Accuracy beside energy, time and area in a study, with the Pareto front."""

import csv
import dataclasses
import random
import sys

import pytest

from memcore import study
from memcore.errors import StudyError
from memcore.study.plots import figure
from memcore.study.prices import front, labels

MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 4
    images = 0.7 * torch.randn(240, 1, 4, 4, generator=generator)
    images[torch.arange(240), 0, labels] += 1.0
    return Dataset(train=Split(images[:160], labels[:160]), test=Split(images[160:], labels[160:]),
                   classes=4)
"""


@pytest.fixture
def bars(tmp_path, monkeypatch):
    (tmp_path / "cost_bars.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield {
        "study": {
            "name": "bars",
            "model": "cost_bars:flat",
            "data": "cost_bars:bars",
            "chips": 2,
            "cost": ["components", {"name": "mnsim", "adc": "mnsim_7"}],
        },
        "train": {"epochs": 3, "lr": 0.05, "batch": 20},
        "crossbar": {
            "device": "ideal",
            "dac": {"name": "uniform", "bits": 6},
            "adc": {"name": "uniform", "bits": 4},
        },
        "sweep": [{"name": "adc", "axes": {"adc.bits": [4, 6, 8]}}],
    }
    sys.modules.pop("cost_bars", None)


def test_table_csv_and_plot_have_the_costs(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("memcore.study.finishing._draw", lambda _: None)  # takes seconds
    results = study.run(bars, tmp_path / "out")
    for row in results:
        components, mnsim = results.prices[f"adc-{row.index:03d}"]
        assert (components.model, mnsim.model) == ("components", "mnsim")
        assert min(components.energy, components.time, components.area) > 0
    energies = [prices[0].energy for prices in results.prices.values()]
    assert energies == sorted(set(energies))  # a conversion of more bits takes more
    assert len({prices[1].energy for prices in results.prices.values()}) == 1  # shapes alone count
    text = str(results)
    assert "components energy" in text
    assert "Pareto front" in text
    with results.csv.open() as file:
        lines = list(csv.DictReader(file))
    assert float(lines[0]["components_energy_J"]) == pytest.approx(energies[0], rel=1e-5)
    assert float(lines[2]["mnsim_area_m2"]) > 0
    pytest.importorskip("matplotlib")
    drawn = figure(results)
    titles = [axes.get_title(loc="left") for axes in drawn.axes if axes.get_visible()]
    assert titles[1:] == [
        f"{what} of an inference by {model}"
        for model in ("components", "mnsim")
        for what in ("energy", "time", "area")
    ]


def test_numbers_on_logarithmic_axes_of_costs_are_plain(bars, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("memcore.study.finishing._draw", lambda _: None)  # takes seconds
    results = study.run(bars, tmp_path / "out")
    prices = {
        name: tuple(dataclasses.replace(each, energy=10.0 ** -(9 - number)) for each in priced)
        for number, (name, priced) in enumerate(results.prices.items())
    }
    drawn = figure(dataclasses.replace(results, prices=prices))
    drawn.canvas.draw()
    wide = [axes for axes in drawn.axes if axes.get_xscale() == "log"]
    assert wide
    for axes in wide:
        words = [label.get_text() for label in axes.get_xticklabels(which="both")]
        assert all(float(word) > 0 for word in words if word)


def test_costs_are_kept_and_another_model_evaluates_no_chip_again(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("memcore.study.finishing._draw", lambda _: None)  # takes seconds
    first = study.run(bars, tmp_path / "out")
    assert study.load(tmp_path / "out").prices == first.prices
    bars["study"]["cost"] = ["isaac"]
    monkeypatch.setattr("memcore.study.work.evaluate_chip", None)
    second = study.run(bars, tmp_path / "out")
    assert [row.mean for row in second] == [row.mean for row in first]
    assert [price.model for price in second.prices["adc-000"]] == ["isaac"]
    # The mean of eight images through one array after another: 16 steps of 100 ns each.
    assert second.prices["adc-000"][0].time == pytest.approx(16e-7)
    file = tmp_path / "out" / "costs.json"
    file.write_text("{torn")
    assert study.load(tmp_path / "out").prices == {}
    assert study.run(bars, tmp_path / "out").prices == second.prices


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (["mnsin"], r"study.cost: no cost model named 'mnsin'\n  did you mean: 'mnsim'"),
        ([{"name": "mnsim", "adcs": 0}], r"study.cost: .*adcs"),
        ([{"adc": "mnsim_7"}], r"study.cost\[1\]: needs a name"),
    ],
)
def test_a_model_that_there_is_not_is_named_before_the_training(bars, cost, words, monkeypatch):
    bars["study"]["cost"] = cost
    monkeypatch.setattr("memcore.study.network.Training", None)
    with pytest.raises(StudyError, match=words):
        study.run(bars)


def test_a_network_that_cannot_be_priced_names_the_point(bars):
    bars["crossbar"]["adc"] = {"name": "uniform", "bits": 3}
    bars["sweep"] = [{"name": "point"}]
    with pytest.raises(StudyError, match=r"sweep 'point': .*isaac_adc_3b"):
        study.run(bars)


def test_nothing_beats_a_point_of_the_front():
    assert front([(1, 0.5), (2, 0.9), (3, 0.8), (2, 0.9), (4, 0.95), (1, 0.4)]) == [
        *(True, True, False, True, True, False)
    ]
    drawn = random.Random(1)
    points = [(drawn.randint(0, 9), drawn.randint(0, 9)) for _ in range(40)]
    for (cost, quality), on in zip(points, front(points), strict=True):
        beaten = [p for p in points if p[0] <= cost and p[1] >= quality and p != (cost, quality)]
        assert on == (not beaten)


def test_models_of_one_name_are_told_apart():
    assert labels([{"name": n} for n in ("mnsim", "array", "mnsim", "mnsim")]) == [
        *("mnsim", "array", "mnsim_2", "mnsim_3")
    ]
