"""A study file to begin with: it runs as it is, nothing is left out, and no text breaks it."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import memcore
from memcore import CrossbarConfig, study
from memcore.cli.main import main
from memcore.errors import ConfigError, StudyError, UnknownPluginError
from memcore.study.composing import text
from memcore.study.layered import arrays

EVIL = 'a\n[study]\nname = "b"\r\x00\x1b[2J\u2028\x85 """ \'\'\' # = \ud800'
TEXT = EVIL.replace("\ud800", "")
KINDS = {"devices": "device", "mappers": "mapper", "programmers": "programmer"}
PLUGINS = [
    *((kind, name) for kind in KINDS for name in memcore.registries()[kind]),
    *(("nonidealities", name) for name in memcore.registries()["nonidealities"]),
    *(("converters", name) for name in memcore.registries()["converters"]),
]


def settings(kind: str, name: str) -> dict[str, Any]:
    """Crossbars in which a plugin of a kind is."""
    if kind == "nonidealities":
        return {"device": "ideal", "nonidealities": [name]}
    if kind == "converters":
        return {"device": "ideal", "adc": name}
    return {"device": "ideal", KINDS[kind]: name}


def table(content: dict[str, Any], kind: str) -> dict[str, Any]:
    """The table of the plugin in a file."""
    crossbar = content["crossbar"]
    if kind == "nonidealities":
        (entry,) = crossbar["nonidealities"]
        return entry
    return crossbar[KINDS.get(kind, "adc")]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_file_of_every_plugin_is_read_as_its_defaults(kind: str, name: str) -> None:
    try:
        config = CrossbarConfig(**settings(kind, name))
    except ConfigError as error:
        pytest.skip(str(error))  # not with this device
    written = text("all", config)
    content = tomllib.loads(written)
    assert arrays(study.read(content).crossbar).to_mapping() == config.to_mapping()
    cls = memcore.registries()[kind][name]
    for field in dataclasses.fields(cls):
        line = next(
            n
            for n, each in enumerate(written.splitlines())
            if each.removeprefix("# ").startswith(f"{field.name} =")
        )
        assert line, f"{field.name} is not in the file"
        told = table(content, kind)
        assert field.name in told or f"\n# {field.name} =\n" in written
        if field.metadata.get("unit", "1") != "1":
            assert f"\n# [{field.metadata['unit']}]" in written
        doc = " ".join(field.metadata.get("doc", "").split())
        assert doc in " ".join(written.replace("\n# ", " ").split())


def test_lanes_are_tables_of_the_file() -> None:
    lanes = [{"copies": 2, "device": "pcm"}, {"adc": "sar", "nonidealities": ["finite_states"]}]
    mapper = {"name": "bit_slice", "slice_bits": [3, 4]}
    config = CrossbarConfig(device="ideal", mapper=mapper, adc="uniform", lanes=lanes)
    content = tomllib.loads(text("all", config))
    assert arrays(study.read(content).crossbar).to_mapping() == config.to_mapping()


def test_the_rest_of_the_study_has_its_defaults(tmp_path: Path) -> None:
    path = study.compose(tmp_path / "mine.toml", "vteam", adc="uniform")
    here = study.read(path)
    given = {"study": {"name": "mine", "checkpoint": "digits_vgg"}}
    bare = study.read({**given, "crossbar": here.crossbar})
    assert here.resolved() == bare.resolved()
    # A network of memcore keeps its own recipe.
    assert here.train.model_fields_set == bare.train.model_fields_set == set()
    for key in (*study.General.model_fields, *study.Recipe.model_fields):
        assert any(
            line.removeprefix("# ").startswith(f"{key} =") for line in path.read_text().splitlines()
        )


def test_the_sweep_at_the_end_is_one_when_it_is_uncommented(tmp_path: Path) -> None:
    path = study.compose(tmp_path / "mine.toml", "vteam")
    head, _, sweep = path.read_text().rpartition("\n# [[sweep]]")
    path.write_text(f"{head}\n[[sweep]]{sweep.replace(chr(10) + '# ', chr(10))}")
    (only,) = study.read(path).sweep
    assert only.axes["device.r_on"].values == (25.0, 50.0, 100.0)


def test_no_text_of_a_plugin_breaks_the_file() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(memcore.devices["ideal"]):  # type: ignore[misc]
        __doc__ = f"Odd {TEXT}\n\nMore."
        word: str = memcore.parameter(TEXT, EVIL, EVIL)
        presets = {EVIL: memcore.Preset(parameters={}, source=EVIL)}  # noqa: RUF012

    memcore.devices.register("odd_texts", Odd)
    try:
        written = text("odd", CrossbarConfig(device="odd_texts"))
    finally:
        memcore.devices.unregister("odd_texts")
    content = tomllib.loads(written)
    assert content["study"]["name"] == "odd"
    assert content["crossbar"]["device"]["word"] == TEXT
    written.encode()
    assert not any(ord(c) < 32 and c != "\n" for c in written)
    assert max(map(len, written.splitlines())) < 400


def test_the_command_writes_a_file_that_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("memcore.study.finishing.plot", lambda *_: None)
    words = "new-study my.study.toml --device stanford_pku --preset hfox_1p7nm --adc uniform"
    done = CliRunner().invoke(main, [*words.split(), "--effect", "d2d", "--effect", "ir_drop"])
    assert done.exit_code == 0, done.output
    assert "next: memcore run my.study.toml" in done.output
    content = tomllib.loads(Path("my.study.toml").read_text())
    assert content["study"]["name"] == "my-study"
    assert [each["name"] for each in content["crossbar"]["nonidealities"]] == ["d2d", "ir_drop"]
    assert content["crossbar"]["device"]["t_ox"] == 6.7e-9  # of the preset
    results = study.run("my.study.toml", tmp_path / "r", progress=False, chips=1, samples=4)
    assert results.complete


def test_a_file_that_is_there_is_kept_and_unknown_plugins_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("mine")
    with pytest.raises(StudyError, match=r"exists already; expected the name of a new file"):
        study.compose(path, "ideal")
    assert path.read_text() == "mine"
    with pytest.raises(UnknownPluginError, match=r"'vteem'\n.*'vteam'"):
        study.compose(tmp_path / "b.toml", "vteem")
    assert not (tmp_path / "b.toml").exists()


def test_parts_that_a_run_refuses_are_refused_before_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match="no pulse dynamics; write it with programmer='direct'"):
        study.compose(path, "on_off", programmer="write_verify")
    assert not path.exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("effect", "passes"),
    [
        ("drift", {"age": 2592000.0}),
        ("endurance", {"cycles": 1e6}),
        ({"name": "read_disturb", "rate": 1e-3}, {"reads": 1e6}),
        ({"name": "drift", "nu": 0.0}, {}),
        ("d2d", {}),
    ],
)
def test_effects_that_wait_for_something_get_it(
    effect: Any, passes: dict[str, float], tmp_path: Path
) -> None:
    path = study.compose(tmp_path / "a.toml", "ideal", nonidealities=[effect])
    general = study.read(path).study
    nothing = {"age": 0.0, "cycles": 0.0, "reads": 0.0}
    assert {key: getattr(general, key) for key in nothing} == {**nothing, **passes}
    study.run(path, tmp_path / "r", progress=False, chips=1, samples=4)  # says of no vain waiting
