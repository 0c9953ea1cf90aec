"""Presets are device files beside the model: all load, say their source, and are in SI units."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

import memcore
from memcore import ConfigError, Normal, Preset
from memcore.registry import device_file
from memcore.registry.specs import plugin
from memcore.testing.cases import ReferenceDevice

PLUGINS = Path(__file__).parents[1] / "plugins" / "memcore_plugins" / "devices"
FILES = sorted(PLUGINS.glob("*/*.toml"))
#: What a bundled parameter may be counted in: SI, with its products and powers; eV, nm and weights.
SI = {"1", "A", "Hz", "K", "S", "V", "eV", "m", "ohm", "s", "W", "weight", "nm"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_preset_is_a_device_file_that_makes_its_device_and_says_its_source(path):
    tables = device_file.read(path)
    name = tables["device"]["name"]
    assert name == path.parent.name
    cls = memcore.devices[name]
    made = cls.preset(path.stem)
    assert plugin("devices", path) == made
    assert len(cls.presets[path.stem].source) > 20
    assert set(tables["provenance"]) <= {"source", "validity"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_numbers_of_a_preset_are_in_si_units(path):
    fields = {f.name: f for f in dataclasses.fields(memcore.devices[path.parent.name])}
    for key in memcore.devices[path.parent.name].presets[path.stem].parameters:
        unit = fields[key].metadata["unit"]
        parts = unit.replace("(", " ").replace(")", " ").replace("/", " ").split()
        assert {part.partition("^")[0] for part in parts} <= SI, f"{key} is in {unit}"


def test_every_folder_of_presets_belongs_to_a_model_with_some():
    for folder in {path.parent for path in FILES}:
        assert folder.with_suffix(".py").exists()
    assert len(FILES) > 60


THIRD_PARTY = """
from dataclasses import dataclass
from memcore.testing.cases import ReferenceDevice
from memcore import Parameter, parameter

@dataclass(frozen=True, kw_only=True)
class Theirs(ReferenceDevice):
    r_on: Parameter = parameter(1e4, "ohm", "lowest resistance", above=0)
"""


@pytest.fixture
def theirs(tmp_path: Path):
    """A module of somebody else with a folder for presets beside it."""
    (tmp_path / "their_device.py").write_text(THIRD_PARTY)
    folder = tmp_path / "their_device"
    folder.mkdir()
    (folder / "soft.toml").write_text(
        '[device]\nname = "theirs"\nr_on = { normal = { mean = 2e4, std = 10.0 } }\n'
        '[provenance]\nsource = "measured"\n'
    )
    spec = importlib.util.spec_from_file_location("their_device", tmp_path / "their_device.py")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["their_device"] = module
    spec.loader.exec_module(module)
    yield module.Theirs, folder
    del sys.modules["their_device"]


def test_third_parties_ship_presets_as_files(theirs):
    cls, _ = theirs
    assert list(cls.presets) == ["soft"]
    assert len(cls.presets) == 1
    assert cls.presets["soft"].source == "measured"
    assert cls.preset("soft").r_on == Normal(2e4, 10.0)
    assert cls.preset("soft", r_on=3e4).r_on == 3e4
    assert cls().presets is cls.presets
    with pytest.raises(ConfigError, match=r"Theirs has no preset 'hard'; it has: soft"):
        cls.preset("hard")


def test_a_subclass_elsewhere_has_the_presets_of_its_base(theirs):
    cls, _ = theirs

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Ours(cls):
        """Adds nothing."""

    assert Ours.preset("soft") == Ours(r_on=Normal(2e4, 10.0))


def test_a_preset_with_a_misspelt_parameter_is_refused(theirs):
    cls, folder = theirs
    (folder / "typo.toml").write_text("[device]\nr_no = 1.0\n[provenance]\nsource = 'measured'\n")
    with pytest.raises(ConfigError, match=r"'typo' of Theirs sets 'r_no', .*did you mean 'r_on'"):
        cls.preset("typo")


def test_third_parties_give_presets_as_a_mapping():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Given(ReferenceDevice):
        """As devices did before presets were files."""

        presets: ClassVar = {"one": Preset(parameters={"r_on": 2e4}, source="measured")}

    assert Given.preset("one").r_on == 2e4
    assert ReferenceDevice.presets == {}


def test_nothing_is_read_before_it_is_asked_for(theirs):
    cls, folder = theirs
    (folder / "broken.toml").write_text("[device")
    assert cls.preset("soft").r_on == Normal(2e4, 10.0)
    with pytest.raises(ConfigError, match=r"preset file '.*broken.toml' cannot be read"):
        cls.preset("broken")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[device]\nr_on = 1.0\n", "has no 'provenance'; expected tables"),
        ("[device]\nr_on = 1.0\n[provenance]\n", "has no 'source'"),
        ("[device]\nr_on = {cauchy = {x = 1.0}}\n[provenance]\nsource = 's'\n", "no distribution"),
    ],
)
def test_what_is_wrong_in_a_preset_file_is_named(theirs, text, message):
    cls, folder = theirs
    (folder / "wrong.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        cls.preset("wrong")
