"""A TOML file stands wherever a device's name may."""

import tomllib

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Normal
from memcore.cli.main import main
from memcore.errors import StudyError
from memcore.registry import device_file
from memcore.registry.specs import plain, plugin

VTEAM = memcore.devices["vteam"](r_on=123.456, v_on=-0.31, iv="exponential")


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "mine.toml"
    tables = {"device": plain(VTEAM), "provenance": {"data": 'a "loop".csv', "note": "µA, 5 %"}}
    device_file.write(file, tables)
    return file


def test_a_device_is_read_back_as_it_was_written(path):
    assert plugin("devices", str(path)) == plugin("devices", path) == VTEAM


def test_a_distribution_survives_the_file(tmp_path):
    spread = memcore.devices["ideal"](r_on=Normal(1e4, 50.0, min=1.0))
    device_file.write(tmp_path / "x.toml", {"device": plain(spread)})
    assert plugin("devices", tmp_path / "x.toml") == spread


@pytest.mark.parametrize("text", ['a "quoted" \\ path', "µ Ω 🙂", "two\nlines", ""])
def test_every_text_survives_the_file(tmp_path, text):
    file = tmp_path / "x.toml"
    table = {"text": text, "key with space": [1, 2.5, True], "none": None}
    device_file.write(file, {"device": {"name": "ideal"}, "provenance": table})
    read = device_file.read(file)["provenance"]
    assert read == {"text": text, "key with space": [1, 2.5, True]}


@pytest.mark.parametrize("number", [1e-9, 1e25, -0.0, 0.1 + 0.2, float("inf"), 5e-324])
def test_every_number_survives_the_file(tmp_path, number):
    device_file.write(tmp_path / "x.toml", {"device": {"name": "ideal", "r_on": number}})
    assert repr(device_file.read(tmp_path / "x.toml")["device"]["r_on"]) == repr(number)


def test_other_parameters_win_over_those_of_the_file(path):
    changed = plugin("devices", {"name": str(path), "r_on": 77.0})
    assert (changed.r_on, changed.v_on) == (77.0, VTEAM.v_on)


def test_a_preset_in_a_file_is_applied(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text('[device]\nname = "vteam"\npreset = "magic"\nr_on = 900.0\n')
    assert plugin("devices", file) == memcore.devices["vteam"].preset("magic", r_on=900.0)


def test_a_crossbar_and_a_converted_network_take_the_file(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    config = CrossbarConfig(device="mine.toml")
    assert config.device == VTEAM
    assert CrossbarConfig.from_mapping({"device": "mine.toml"}) == config
    net = memcore.convert(nn.Linear(5, 3), config)
    assert net(torch.rand(2, 5)).shape == (2, 3)
    (used, *_) = [p for p in memcore.provenance(net) if p["kind"] == "devices"]
    assert used["name"] == "vteam"
    assert used["parameters"]["r_on"] == 123.456


def test_a_study_finds_the_file_beside_itself(path, monkeypatch, tmp_path_factory):
    from memcore.study.config import read
    from memcore.study.sweeps import configuration, points

    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    file = path.parent / "study.toml"
    file.write_text(
        '[crossbar]\ndevice = "mine.toml"\n[[sweep]]\nname = "on"\n'
        'axes."device.r_on" = [100.0, 200.0]\n[[sweep]]\nname = "which"\n'
        'axes.device = ["mine.toml", "ideal"]\n'
    )
    made = [configuration(point).device for point in points(read(file))]
    assert [d.r_on for d in made[:2]] == [100.0, 200.0]
    assert {d.v_on for d in made[:2]} == {VTEAM.v_on}
    assert made[2:] == [VTEAM, memcore.devices["ideal"]()]


def test_a_study_says_that_the_file_is_missing(tmp_path):
    from memcore.study.config import read
    from memcore.study.sweeps import points

    (tmp_path / "study.toml").write_text('[crossbar]\ndevice = "mine.toml"\n')
    with pytest.raises(StudyError, match=r"no device file '.*mine.toml'"):
        points(read(tmp_path / "study.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[devise]\nname = "vteam"', r"no table 'devise'; did you mean 'device'\?"),
        ("[provenance]", "names no device; expected a table"),
        ("[device]\nr_on = 1.0", "names no device; expected a table"),
        ('[device]\nname = "b.toml"', "names another file, 'b.toml'"),
        ("[device", "no valid TOML"),
        ('[device]\nname = "vteam"\nr_onn = 1.0', "no parameter 'r_onn'; did you mean 'r_on'"),
        ('[device]\nname = "vteam"\nr_on = "x"', "r_on='x'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, message):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        plugin("devices", tmp_path / "x.toml")


def test_a_missing_file_and_an_unknown_device_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no device file 'nowhere.toml'; the current folder is"):
        CrossbarConfig(device="nowhere.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        plugin("devices", tmp_path / "folder.toml")
    (tmp_path / "x.toml").write_text('[device]\nname = "vteem"')
    with pytest.raises(memcore.UnknownPluginError, match="vteam"):
        plugin("devices", tmp_path / "x.toml")


def test_the_command_line_shows_a_file(path):
    done = CliRunner().invoke(main, ["device", str(path)])
    assert done.exit_code == 0, done.output
    assert "123.456" in done.output
    assert 'data: a "loop".csv' in done.output
    assert tomllib.loads(path.read_text())["provenance"]["note"] == "µA, 5 %"
