"""Designs of sweeps: grids, listed settings, and points that are spread evenly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from memcore import study
from memcore.errors import StudyError
from memcore.study.config import Study, read
from memcore.study.files import read_json
from memcore.study.record import checked
from memcore.study.store import RESOLVED
from memcore.study.sweeps import points

CROSSBAR = {
    "device": {"name": "ideal", "r_on": 1e4, "r_off": 1e6},
    "adc": {"name": "uniform", "bits": 6},
    "nonidealities": [{"name": "d2d", "std": 0.0}],
}
STD, BITS, OFF = "nonidealities.d2d.std", "adc.bits", "device.r_off"
SPREAD: dict[str, Any] = {
    "name": "space",
    "design": "quasi_random",
    "points": 64,
    "axes": {
        STD: {"range": [0.0, 0.4]},
        BITS: {"range": [3, 8]},
        OFF: {"range": [1e5, 1e7], "scale": "log"},
    },
}


def asked(**sweep: Any) -> Study:
    return read({"crossbar": CROSSBAR, "sweep": [sweep]})


def settings(of: Study) -> list[dict[str, Any]]:
    return [point.setting for point in points(of)]


def test_points_fill_the_ranges_more_evenly_than_random_ones() -> None:
    found = settings(asked(**SPREAD))
    assert len(found) == 64
    unit = np.array([[s[STD] / 0.4, (np.log10(s[OFF]) - 5) / 2] for s in found]).clip(0, 1)
    mine = qmc.discrepancy(unit)
    random = [qmc.discrepancy(np.random.default_rng(k).random((64, 2))) for k in range(20)]
    assert mine < 0.3 * np.median(random)


def test_whole_numbers_are_taken_equally_often_and_stay_whole() -> None:
    bits = [s[BITS] for s in settings(asked(**SPREAD))]
    assert set(bits) == {3, 4, 5, 6, 7, 8}
    assert all(isinstance(each, int) for each in bits)
    assert max(map(bits.count, set(bits))) - min(map(bits.count, set(bits))) <= 3


def test_a_larger_number_begins_with_the_points_of_a_smaller_one() -> None:
    few = settings(asked(**{**SPREAD, "points": 10}))
    assert settings(asked(**SPREAD))[:10] == few


def test_points_reach_the_crossbars() -> None:
    for point in points(asked(**SPREAD)):
        assert point.crossbar["adc"]["bits"] == point.setting[BITS]
        assert point.crossbar["nonidealities"][0]["std"] == point.setting[STD]


def test_a_study_of_chosen_values_is_the_same_when_it_is_read_again() -> None:
    first = asked(**SPREAD)
    again = Study.model_validate(first.resolved())
    assert again.resolved() == first.resolved()
    assert settings(again) == settings(first)


def test_settings_that_are_listed_go_together() -> None:
    found = asked(name="both", design="listed", axes={STD: [0.0, 0.1, 0.2], BITS: [8, 6, 4]})
    assert [(s[STD], s[BITS]) for s in settings(found)] == [(0.0, 8), (0.1, 6), (0.2, 4)]


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"design": "listed", "axes": {STD: [0.0], BITS: [4, 6]}}, "as many values of each axis"),
        ({"design": "quasi_random", "axes": {STD: {"range": [0.0, 0.1]}}}, "number of its points"),
        ({"design": "quasi_random", "points": 3, "axes": {STD: [0.1]}}, "a range of each axis"),
        ({"design": "quasi_random", "points": 3}, "a range of each axis"),
        ({"points": 3, "axes": {STD: [0.1]}}, "'grid' takes no points"),
        ({"axes": {STD: {"range": [0.0, 0.1]}}}, "takes no range"),
        ({"axes": {STD: []}}, "values is empty"),
        ({"design": "sobol"}, "design"),
        (
            {"design": "quasi_random", "points": 3, "axes": {STD: {"range": [0.2, 0.1]}}},
            "the lower first",
        ),
        (
            {
                "design": "quasi_random",
                "points": 3,
                "axes": {STD: {"range": [0.0, 0.1], "scale": "log"}},
            },
            "above 0",
        ),
    ],
    ids=str,
)
def test_what_makes_no_design_is_refused(sweep: dict[str, Any], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        asked(name="odd", **sweep)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> study.Results:
    content = {
        "study": {"name": "space", "checkpoint": "digits_vgg", "chips": 2, "samples": 20},
        "crossbar": CROSSBAR,
        "sweep": [{**SPREAD, "points": 4}],
    }
    return study.run(content, tmp_path_factory.mktemp("space") / "out", progress=False)


def test_a_quasi_random_study_runs_and_is_read_again(results: study.Results) -> None:
    assert len(results) == 4
    assert results.complete
    again = study.load(results.folder)
    assert [row.setting for row in again] == [row.setting for row in results]
    assert checked(read_json(results.folder / RESOLVED)) is not None


def test_its_page_has_a_picture_for_each_axis(results: study.Results) -> None:
    text = study.report(results).read_text()
    for name in ("nonidealities_d2d_std", "adc_bits", "device_r_off"):
        assert f'data-name="space-space-{name}"' in text
    assert 'class="line"' not in text


def test_records_that_know_of_no_design_are_those_of_a_grid(tmp_path: Path) -> None:
    content = {
        "study": {"checkpoint": "digits_vgg", "chips": 1, "samples": 10},
        "crossbar": CROSSBAR,
        "sweep": [{"name": "bits", "axes": {BITS: [4, 8]}}],
    }
    study.run(content, tmp_path / "out", progress=False)
    record = read_json(tmp_path / "out" / RESOLVED)
    for sweep in record["study"]["sweep"]:
        assert sweep.pop("design") == "grid"
        assert sweep.pop("points") is None
        for axis in sweep["axes"].values():
            assert axis.pop("range") is None
    del record["study"]["study"]["reference"]
    assert checked(record) is not None


def test_values_beside_a_range_are_refused_unless_they_were_chosen_from_it() -> None:
    axes = {"dac.bits": {"range": [2, 8]}}
    sweep = {"name": "s", "design": "quasi_random", "points": 3, "axes": axes}
    (made,) = read({"sweep": [sweep]}).sweep
    assert read({"sweep": [made.model_dump(mode="json")]}).sweep == (made,)
    wrong = {**sweep, "axes": {"dac.bits": {"range": [2, 8], "values": [4, 5, 6]}}}
    with pytest.raises(StudyError, match=r"'dac.bits' has the values \[4, 5, 6\] and the range"):
        read({"sweep": [wrong]})
