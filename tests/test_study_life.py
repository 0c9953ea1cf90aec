"""Studies in which time passes, and whose layers have crossbars of their own."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import memcore
from memcore import study
from memcore.errors import NoEffectWarning, StudyError
from memcore.study import read
from memcore.study.config import packaged
from memcore.study.layered import arrays, converted
from memcore.study.life import waiting
from memcore.study.models import digits_vgg
from memcore.study.sweeps import configuration, points

DRIFT = {"device": "vteam", "nonidealities": [{"name": "drift", "nu": 0.1, "t0": 1.0}]}


def content(crossbar: dict[str, Any], axes: dict[str, Any], **general: Any) -> dict[str, Any]:
    task = {"checkpoint": "digits_vgg", "chips": 1, "samples": 100, **general}
    return {"study": task, "crossbar": crossbar, "sweep": [{"name": "s", "axes": axes}]}


def test_a_study_that_ages_loses_what_the_aged_network_loses(tmp_path: Path) -> None:
    spread = {"nu": {"normal": {"mean": 0.1, "std": 0.1, "min": 0.0}}}
    crossbar = {"device": "vteam", "nonidealities": [{"name": "drift", "t0": 1.0, **spread}]}
    results = study.run(content(crossbar, {"age": [0, 1e8]}), tmp_path)
    young, old = results
    assert young.mean >= results.baseline - 0.02
    assert old.mean < young.mean - 0.05
    from memcore.study.checkpoints import load_weights, located
    from memcore.study.config import General
    from memcore.study.data import digits
    from memcore.study.evaluation import chip_seed, judged
    from memcore.study.metrics import accuracy

    network, data, general = digits_vgg(), digits(), General(chips=1)
    load_weights(network, located("digits_vgg", tmp_path))
    chip = memcore.convert(
        network, memcore.CrossbarConfig.from_mapping(crossbar), seed=chip_seed(general, 0)
    )
    memcore.age(chip, seconds=1e8)
    assert old.correct == (
        judged(chip.eval(), data, data.test.head(100), general, accuracy()).right,
    )


def test_an_effect_that_waits_in_vain_for_time_is_named(tmp_path: Path) -> None:
    axes = {"nonidealities.drift.nu": [0.0, 0.1, 5.0]}
    with pytest.warns(NoEffectWarning, match=r"sweep 's': drift had no effect.*give age, cycles"):
        study.run(content(DRIFT, axes, samples=10), tmp_path)


def test_effects_of_single_lanes_wait_too_and_those_left_out_do_not() -> None:
    slices = {"name": "bit_slice", "weight_bits": 5, "slice_bits": 2}
    lanes = [{"nonidealities": DRIFT["nonidealities"]}, {}]
    config = memcore.CrossbarConfig(device="ideal", mapper=slices, lanes=lanes)
    assert waiting([config, config]) == list(config.lanes[0].nonidealities)
    assert waiting([config.replace(without=["drift"])]) == []
    assert waiting([memcore.CrossbarConfig(**DRIFT, without=["drift"])]) == []
    aged = memcore.CrossbarConfig(device="pcm")  # whose drift nobody asked for
    assert waiting([aged]) == []


def test_time_that_nothing_feels_is_named(tmp_path: Path) -> None:
    with pytest.warns(NoEffectWarning, match=r"nothing that is configured changes with time"):
        study.run(content({"device": "ideal"}, {"age": [0.0, 10.0]}, samples=10), tmp_path)


def test_a_hot_age_without_an_age_is_named(tmp_path: Path) -> None:
    with pytest.warns(NoEffectWarning, match="age_temperature had no effect"):
        study.run(content({"device": "ideal"}, {}, samples=10, age_temperature=400.0), tmp_path)


@pytest.mark.parametrize("off", [{"axes": {"age": [1.0]}}, {"set": {"age": 1.0}}])
def test_time_is_known_as_an_axis_and_as_a_setting(off: dict[str, Any]) -> None:
    found = points(read({"crossbar": DRIFT, "sweep": [{"name": "s", **off}]}))
    assert [point.life.age for point in found] == [1.0]
    assert [
        point.life.age for point in points(read({"study": {"age": 1.0}, "crossbar": DRIFT}))
    ] == [1.0]


def test_cycles_reads_and_temperatures_are_settings_and_axes() -> None:
    axes = {"cycles": [1, 10], "temperature": [300, 350]}
    general = {"age_temperature": 398.0, "reads": 5}
    found = points(
        read({"study": general, "crossbar": DRIFT, "sweep": [{"name": "s", "axes": axes}]})
    )
    assert [(p.life.cycles, p.crossbar["temperature"]) for p in found] == [
        (1, 300),
        (1, 350),
        (10, 300),
        (10, 350),
    ]
    assert {(p.life.age_temperature, p.life.reads) for p in found} == {(398.0, 5.0)}
    (point,) = points(read({"study": {"temperature": 350.0}, "crossbar": DRIFT}))
    assert configuration(point).temperature == 350.0  # type: ignore[union-attr]


def test_factors_move_the_age_too() -> None:
    axis = {"values": [1, 24], "moves": {"age": 3600.0}, "unit": "h"}
    found = points(read({"crossbar": DRIFT, "sweep": [{"name": "s", "axes": {"age": axis}}]}))
    assert [point.life.age for point in found] == [3600.0, 86400.0]


@pytest.mark.parametrize(
    ("key", "value"),
    [("age", -1.0), ("age", float("nan")), ("cycles", "many"), ("age_temperature", 0.0)],
)
def test_a_life_that_cannot_be_is_refused(key: str, value: Any) -> None:
    with pytest.raises(StudyError, match=key):
        points(read({"crossbar": DRIFT, "sweep": [{"name": "s", "set": {key: value}}]}))
    with pytest.raises(StudyError, match=key):
        read({"study": {key: value}})


def test_other_ages_are_other_points(tmp_path: Path) -> None:
    study.run(content(DRIFT, {"age": [1.0, 2.0]}, samples=20), tmp_path)
    with pytest.raises(StudyError, match=r"sweep\.s\.axes\.age\.values: \[1\.0, 2\.0\] there"):
        study.run(content(DRIFT, {"age": [1.0, 3.0]}, samples=20), tmp_path)


LAYERED: dict[str, Any] = {
    "tile": [64, 64],
    "device": "ideal",
    "features.0": "digital",
    "features.*": {"device": "vteam"},
    "classifier": {"adc": {"name": "uniform", "bits": 6}},
}


def test_tables_under_globs_hold_for_the_layers_that_they_fit() -> None:
    chip = converted(digits_vgg(), arrays(LAYERED), seed=0)
    told = {
        name: (type(m.crossbar.config.device).__name__, m.crossbar.config.tile)
        for name, m in chip.named_modules()
        if (hasattr(m, "crossbar") and "." in name) or name == "classifier"
    }
    layers = {name.removesuffix(".weight") for name in told}
    assert "features.0" not in layers
    assert {device for name, (device, _) in told.items() if name.startswith("features")} == {
        "Vteam"
    }
    assert {tile for _, tile in told.values()} == {(64, 64)}
    assert isinstance(chip.features[0], torch.nn.Conv2d)  # type: ignore[index,union-attr]
    assert type(chip.classifier.crossbar.config.device).__name__ == "Ideal"  # type: ignore[union-attr]
    assert chip.classifier.crossbar.config.adc.bits == 6  # type: ignore[union-attr]


def test_without_a_device_for_all_the_other_layers_stay_digital() -> None:
    chip = converted(digits_vgg(), arrays({"classifier": {"device": "ideal"}}), seed=0)
    layers = [name for name, module in chip.named_modules() if hasattr(module, "crossbar")]
    assert {name.partition(".")[0] for name in layers} == {"classifier"}
    assert isinstance(chip.features[0], torch.nn.Conv2d)  # type: ignore[index,union-attr]


def test_axes_reach_into_the_tables_of_layers() -> None:
    axes = {"classifier.adc.bits": [4, 8], "features.*.device.r_on": [100.0]}
    found = points(read({"crossbar": LAYERED, "sweep": [{"name": "s", "axes": axes}]}))
    configs: list[Any] = [configuration(point) for point in found]
    assert [config["classifier"].adc.bits for config in configs] == [4, 8]
    assert {config["features.*"].device.r_on for config in configs} == {100.0}


def test_a_setting_for_all_reaches_the_layers_that_do_not_say_otherwise() -> None:
    axes = {"tile": [[16, 16]], "temperature": [350.0]}
    (point,) = points(read({"crossbar": LAYERED, "sweep": [{"name": "s", "axes": axes}]}))
    config: Any = configuration(point)
    assert {each.tile for each in config.values() if each is not None} == {(16, 16)}
    assert {each.temperature for each in config.values() if each is not None} == {350.0}


def test_a_study_of_layers_runs_and_says_what_each_had(tmp_path: Path) -> None:
    axes = {"classifier.adc.bits": [2, 8]}
    results = study.run(content(LAYERED, axes, samples=50), tmp_path)
    assert results.rows[0].mean < results.rows[1].mean
    loaded = study.load(tmp_path)
    assert str(loaded) == str(results)
    import json

    told = json.loads((tmp_path / "study.resolved.json").read_text())["crossbars"]["s"]
    assert told["features.0"] == "digital"
    assert told["features.*"]["device"]["name"] == "vteam"
    assert told["*"]["device"]["name"] == "ideal"


@pytest.mark.parametrize(
    ("crossbar", "words"),
    [
        ({"device": "ideal", "features.0": {"devcie": "ideal"}}, "no setting 'devcie'.*'device'"),
        ({"device": "ideal", "devicee": {"name": "vteam"}}, "taken for a pattern.*'device'"),
        ({"classifier": {"tile": [4, 4]}}, "needs a device"),
        ({"device": "ideal", "reed_voltage": 0.3}, "no setting 'reed_voltage'"),
    ],
)
def test_a_mistake_in_a_table_of_layers_is_named(crossbar: dict[str, Any], words: str) -> None:
    (point,) = points(read({"crossbar": crossbar}))
    with pytest.raises(StudyError, match=f"(?s){words}"):
        configuration(point)


def test_a_glob_that_fits_no_layer_lists_the_layers() -> None:
    with pytest.raises(StudyError, match=r"crossbar.clasifier fits no layer.*features\.0"):
        converted(digits_vgg(), arrays({"device": "ideal", "clasifier": {}}), seed=0)


def test_a_glob_that_fits_no_layer_is_found_before_the_training(tmp_path: Path) -> None:
    wrong = content({"device": "ideal", "clasifier": {}}, {}, checkpoint="")
    with pytest.raises(StudyError, match=r"crossbar.clasifier fits no layer"):
        study.run(wrong, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_the_order_of_globs_is_part_of_a_study(tmp_path: Path) -> None:
    first, second = {"features.*": "digital"}, {"*": {"tile": [8, 8]}}
    study.run(content({"device": "ideal", **first, **second}, {}, samples=10), tmp_path)
    with pytest.raises(StudyError, match="layers: "):
        study.run(content({"device": "ideal", **second, **first}, {}, samples=10), tmp_path)


def test_python_callers_may_give_a_configuration_for_each_glob() -> None:
    given = {"classifier": memcore.CrossbarConfig(device="ideal")}
    (point,) = points(read({"crossbar": given}))
    assert configuration(point) == given


def test_the_packaged_studies_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in packaged():
            assert points(read(name))
