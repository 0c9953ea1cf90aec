from pathlib import Path
from typing import Any

import pytest

import memcore
from memcore.errors import StudyError
from memcore.study import Study, config, read
from memcore.study.config import packaged
from memcore.study.data import digits
from memcore.study.sweeps import configuration, points


def sweep(**content: Any) -> dict[str, Any]:
    return {"sweep": [{"name": "s", **content}]}


def crossbars(study: dict[str, Any]) -> list[dict[str, Any]]:
    return [point.crossbar for point in points(read(study))]


BASE: dict[str, Any] = {
    "crossbar": {
        "device": {"name": "linear_ion_drift", "r_on": {"normal": {"mean": 100.0, "std": 1.0}}},
        "mapper": "differential",
        "nonidealities": ["finite_states", {"name": "stuck_at", "p_lrs": 0.1}],
    }
}


def test_an_axis_may_be_a_path_with_its_values() -> None:
    found = crossbars({**BASE, **sweep(axes={"device.r_on.normal.std": [5, 10.5]})})
    assert [c["device"]["r_on"]["normal"]["std"] for c in found] == [5, 10.5]
    assert found[0]["device"]["r_on"]["normal"]["mean"] == 100.0


def test_several_axes_make_the_full_grid_and_the_last_runs_fastest() -> None:
    axes = {"read_voltage": [0.1, 0.2], "temperature": [300, 350, 400]}
    found = crossbars({**BASE, **sweep(axes=axes)})
    assert [(c["read_voltage"], c["temperature"]) for c in found] == [
        (v, t) for v in (0.1, 0.2) for t in (300, 350, 400)
    ]


def test_paths_of_one_axis_move_together_by_factors() -> None:
    axis = {"values": [2, 10], "moves": {"device.r_off": 100.0, "device.r_on.normal.std": 0.1}}
    found = crossbars({**BASE, **sweep(axes={"ratio": axis})})
    assert [c["device"]["r_off"] for c in found] == [200.0, 1000.0]
    assert [c["device"]["r_on"]["normal"]["std"] for c in found] == [0.2, 1.0]


def test_factors_do_not_leave_rounding_behind() -> None:
    axis = {"values": [3], "moves": {"read_voltage": 0.1}}
    assert crossbars({**BASE, **sweep(axes={"v": axis})})[0]["read_voltage"] == 0.3


@pytest.mark.parametrize("tiles", [[[16, 16], [32, 8], "none"], [(16, 16), (32, 8), "none"]])
@pytest.mark.parametrize("form", [lambda values: values, lambda values: {"values": values}])
def test_values_that_are_lists_are_set_as_they_are_and_shown_in_words(tiles, form) -> None:
    study = read({**BASE, **sweep(axes={"tile": form(tiles)})})
    found = points(study)
    assert [configuration(point).tile for point in found] == [(16, 16), (32, 8), None]
    assert [point.setting["tile"] for point in found] == ["16 x 16", "32 x 8", "none"]
    again = points(read(study.resolved()))
    assert [configuration(point).tile for point in again] == [(16, 16), (32, 8), None]


def test_values_that_are_tables_say_where_tables_belong() -> None:
    axis = {"values": [{"name": "uniform", "bits": 8}]}
    with pytest.raises(StudyError) as found:
        read({**BASE, **sweep(axes={"adc": axis})})
    (line,) = str(found.value).splitlines()
    assert "sweep[1].axes.adc.values: the value {'name': 'uniform', 'bits': 8} is a table" in line
    assert "the tables in moves" in line


def test_paths_of_one_axis_move_together_through_lists() -> None:
    axis = {"values": ["low", "high"], "moves": {"mapper": ["offset", "differential"]}}
    found = crossbars({**BASE, **sweep(axes={"kind": axis})})
    assert [c["mapper"] for c in found] == ["offset", "differential"]


def test_non_idealities_are_reached_by_name_and_by_number() -> None:
    axes = {"nonidealities.finite_states.states": [4], "nonidealities.1.p_lrs": [0.2]}
    (found,) = crossbars({**BASE, **sweep(axes=axes)})
    assert found["nonidealities"] == [
        {"name": "finite_states", "states": 4},
        {"name": "stuck_at", "p_lrs": 0.2},
    ]


def test_a_plugin_given_by_its_name_takes_parameters() -> None:
    (found,) = crossbars({**BASE, **sweep(axes={"mapper.clip": [0.9]})})
    assert found["mapper"] == {"name": "differential", "clip": 0.9}


def test_lanes_are_reached_by_their_number_and_parameters_of_their_plugins() -> None:
    crossbar = {
        "device": "ideal",
        "mapper": {"name": "bit_slice", "slice_bits": [3, 4]},
        "adc": "uniform",
        "lanes": [{"adc": "uniform"}, {"nonidealities": ["finite_states"]}],
    }
    axes = {"lanes.0.adc.bits": [5], "lanes.1.copies": [3]}
    given = {"lanes.1.nonidealities.finite_states.states": 9}
    (found,) = crossbars({**BASE, "crossbar": crossbar, **sweep(axes=axes, set=given)})
    assert found["lanes"] == [
        {"adc": {"name": "uniform", "bits": 5}},
        {"nonidealities": [{"name": "finite_states", "states": 9}], "copies": 3},
    ]


def test_set_holds_for_the_whole_sweep_and_for_no_other() -> None:
    sweeps = [
        {"name": "a", "set": {"nonidealities": []}, "axes": {"temperature": [300, 400]}},
        {"name": "b"},
    ]
    found = crossbars({**BASE, "sweep": sweeps})
    assert [len(c["nonidealities"]) for c in found] == [0, 0, 2]


def test_a_study_without_sweeps_is_one_point() -> None:
    assert [point.name for point in points(read(BASE))] == ["point-000"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("devcie.r_on", "crossbar has no 'devcie'; did you mean 'device'"),
        ("device.r_on.norml.std", "crossbar.device.r_on has no 'norml'; did you mean 'normal'"),
        ("nonidealities.stuck.p_lrs", "crossbar.nonidealities has no 'stuck'; did you mean"),
        ("nonidealities.2.p_lrs", "crossbar.nonidealities has no '2'"),
        ("device.r_on.normal.mean.x", "crossbar.device.r_on.normal.mean is 100.0, which has no"),
        ("adc.bits", "crossbar has no 'adc'"),
    ],
)
def test_a_path_that_leads_nowhere_is_explained(path: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        crossbars({**BASE, **sweep(axes={path: [1]})})
    assert words in str(caught.value)
    assert f"sweep 's' moves '{path}'" in str(caught.value)


def test_two_non_idealities_of_one_name_need_a_number() -> None:
    crossbar = {**BASE["crossbar"], "nonidealities": ["stuck_at", "stuck_at"]}
    with pytest.raises(StudyError, match="2 entries named 'stuck_at'; say which by its number"):
        crossbars({"crossbar": crossbar, **sweep(axes={"nonidealities.stuck_at.p_lrs": [1]})})


def test_a_setting_that_a_plugin_refuses_names_the_point() -> None:
    study = read({**BASE, **sweep(axes={"device.r_onn": [1]})})
    with pytest.raises(StudyError, match=r"(?s)sweep 's' at device.r_onn = 1:.*r_on"):
        configuration(points(study)[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"stduy": {}}, "the study has no key 'stduy'; did you mean 'study'"),
        ({"study": {"chps": 3}}, "study has no key 'chps'; did you mean 'chips'"),
        ({"train": {"epoch": 3}}, "train has no key 'epoch'; did you mean 'epochs'"),
        (sweep(axis={}), "sweep[1] has no key 'axis'; did you mean 'axes'"),
        (
            sweep(axes={"x": {"values": [1], "lable": "y"}}),
            "sweep[1].axes.x has no key 'lable'; did you mean 'label'",
        ),
        ({"study": {"chips": 0}}, "study.chips: input should be greater than or equal to 1; got 0"),
        ({"study": {"model": {"classes": 3}}}, "study.model: needs a name"),
        ({"sweep": [{}]}, "sweep[1] needs a key 'name'"),
        ({"sweep": [{"name": "a"}, {"name": "a"}]}, "two sweeps are named 'a'"),
        (sweep(axes={"mean": [1]}), "cannot be named 'mean', which is a column of the CSV"),
        (sweep(axes={"x": {"values": [1, 2], "moves": {"tile": [1]}}}), "to 1 settings, but there"),
        (sweep(axes={"x": {"values": ["a"], "moves": {"tile": 2.0}}}), "are not all numbers"),
    ],
)
def test_a_mistake_is_named_with_its_place(content: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        read(content)
    assert words in str(caught.value)


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    with pytest.raises(StudyError, match="there is no study file"):
        read(file)
    file.write_text("[study\n")
    with pytest.raises(StudyError, match=r"study\.toml' cannot be read: it is no valid TOML"):
        read(file)
    file.write_text("[study]\nchips = 'many'\n")
    with pytest.raises(StudyError, match=r"study\.toml: study\.chips: .* integer.*; got 'many'"):
        read(file)


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("[study]\nchips = 9\nseed = 4\n")
    study = read(file, chips=2, seed=None)
    assert (study.study.chips, study.study.seed) == (2, 4)
    assert study.folder == tmp_path


def test_python_callers_may_give_objects() -> None:
    config = memcore.CrossbarConfig(
        device=memcore.devices["linear_ion_drift"](r_on=memcore.Normal(100.0, 5.0)),
        nonidealities=["finite_states"],
    )
    moves = {"device.r_on.normal.std": 1.0, "nonidealities.finite_states.states": 2}
    axes = {"x": {"values": [4], "moves": moves}}
    (point,) = points(read({"crossbar": config, **sweep(axes=axes)}))
    changed = configuration(point)
    assert changed.device.r_on == memcore.Normal(100.0, 4.0)  # type: ignore[attr-defined]
    assert changed.nonidealities[0].states == 8  # type: ignore[attr-defined]


def test_a_resolved_study_reads_back_as_itself() -> None:
    study = read({**BASE, **sweep(axes={"x": {"values": [1, 2], "moves": {"temperature": 300}}})})
    again = Study.model_validate(study.resolved())
    assert again.resolved() == study.resolved()
    assert [p.crossbar for p in points(again)] == [p.crossbar for p in points(study)]


@pytest.mark.parametrize("name", packaged())
def test_a_packaged_study_is_known_by_its_name(name: str) -> None:
    study = read(name)
    assert study.study.name == name
    assert [configuration(point) for point in points(study)]


@pytest.mark.parametrize("name", packaged())
def test_a_packaged_study_says_where_images_are_moved_in_training(name: str) -> None:
    """Data sets bring shifts; a study says so beside them, or has none."""
    found, said = read(name), (Path(config.__file__).parent / f"{name}.toml").read_text()
    brought = {"digits": digits().augment, "cifar10": {"shift": 4, "flip": True}}
    recipe = found.train.over(brought.get(found.study.data["name"], {}))
    assert (recipe.shift > 0) == ("# which shifts images by up to" in said)
    assert recipe.flip == ("mirrors" in said)


def test_a_folder_of_its_name_hides_no_packaged_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results may lie in `demo`, from where one goes on with `memcore run demo`."""
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read("demo").study.name == "demo"
