import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, CrossbarConfig, NonIdeality, Normal, Stage, UnknownPluginError
from memcore.registry.specs import plugin, provided_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Product(NonIdeality):
    stage = Stage.MVM

    def bind(self, array, ctx):
        return torch.nn.Identity()


def test_a_plugin_is_a_name_a_mapping_a_class_or_an_instance():
    vteam = memcore.devices["vteam"]
    specs = ["vteam", {"name": "vteam"}, vteam, vteam()]
    assert {CrossbarConfig(device=spec).device for spec in specs} == {vteam()}


def test_a_single_effect_needs_no_list():
    for spec in ("d2d", {"name": "d2d"}, memcore.nonidealities["d2d"]()):
        config = CrossbarConfig(device="ideal", nonidealities=spec)
        assert config.nonidealities == (memcore.nonidealities["d2d"](),)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"device": {"name": "vteam", "r_on": "50 kOhms"}}, "expected a number in ohm"),
        ({"device": {"name": "vteam", "r_on": True}}, "expected a number in ohm"),
        ({"nonidealities": [{"name": "drift", "t0": "1 h"}]}, "expected a number in s"),
        ({"nonidealities": [{"name": "finite_states", "states": 2.5}]}, "expected a whole number$"),
    ],
)
def test_what_is_no_number_of_a_plugin_is_told_its_unit(settings, text):
    with pytest.raises(memcore.ConfigError, match=text):
        CrossbarConfig(**{"device": "ideal", **settings})


def test_parameters_reach_the_plugin():
    config = CrossbarConfig(
        device={"name": "ideal", "r_on": {"normal": {"mean": 2e3, "std": 10.0, "min": 1.0}}},
        adc={"name": "uniform", "bits": 5},
    )
    assert config.device.r_on == Normal(2e3, 10.0, min=1.0)
    assert config.adc.bits == 5


def test_resistances_given_by_the_user_are_what_a_mapper_plans_with():
    device = memcore.devices["vteam"](r_on=Normal(500.0, 10.0, min=1.0), r_off=2e4)
    low, high = device.nominal_range()
    assert (low, high) == pytest.approx((1 / 2e4, 1 / 500))


FULL = {
    "device": {"name": "ideal", "r_on": {"lognormal": {"median": 1e4, "sigma": 0.1}}},
    "mapper": {"name": "differential", "linear_in": "resistance"},
    "nonidealities": ["d2d", {"name": "stuck_at", "p_lrs": 0.1}],
    "tile": [64, 32],
    "adc": {"name": "uniform", "bits": 6, "full_scale": [-1e-5, 2e-5]},
    "bias": "mapped",
}


@pytest.mark.parametrize("mapping", [FULL, {**FULL, "tile": None}, {"device": "vteam"}])
def test_a_config_written_as_json_reads_back_equal(mapping):
    config = CrossbarConfig.from_mapping(mapping)
    assert CrossbarConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config


def test_a_config_reads_from_toml_alone_or_as_a_table(tmp_path):
    path = tmp_path / "x.toml"
    for head in ("", "[crossbar]\n"):
        path.write_text(head + 'device = "ideal"\ntile = [16, 8]\nadc = {name = "uniform"}\n')
        config = CrossbarConfig.from_toml(path)
        assert config.tile == (16, 8)
        assert config.adc == memcore.converters["uniform"]()


@pytest.mark.parametrize("none", ["none", False])
def test_a_format_without_null_can_ask_for_one_whole_array(none):
    assert CrossbarConfig.from_mapping({"device": "ideal", "tile": none}).tile is None


def test_a_changed_copy_leaves_the_original():
    config = CrossbarConfig(device="ideal")
    assert config.replace(tile=None).tile is None
    assert config.tile == (128, 128)


@pytest.mark.parametrize("tile", [128, (128,), (0, 8), (8, -1), (8.0, 8), "128", (1, 2, 3)])
def test_a_wrong_tile_is_named(tile):
    with pytest.raises(ConfigError, match=r"^tile=.*expected \(word lines, bit lines\) or None"):
        CrossbarConfig(device="ideal", tile=tile)


@given(
    st.sampled_from(["read_voltage", "temperature"]), st.sampled_from([0, -1.0, "1", None, 1e999])
)
def test_a_setting_that_is_no_positive_number_is_named(name, value):
    with pytest.raises(ConfigError, match=f"^{name}="):
        CrossbarConfig(device="ideal", **{name: value})


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"device": "vteem"}, UnknownPluginError, "did you mean: 'vteam'"),
        (
            {"device": {"name": "vteam", "r_onn": 50.0}},
            ConfigError,
            "'vteam' has no parameter 'r_onn'; did you mean 'r_on'",
        ),
        ({"device": {"r_on": 50.0}}, ConfigError, 'has no "name"; expected one of .*ideal, '),
        ({"device": 3}, ConfigError, "3 is no Memristor; expected a name"),
        ({"device": memcore.converters["uniform"]()}, ConfigError, "is no Memristor"),
        ({"device": {"name": "vteam", "r_on": "much"}}, ConfigError, "'vteam': r_on='much'"),
        (
            {"device": {"name": "ideal", "r_on": {"normol": {}}}},
            ConfigError,
            "no distribution 'normol'; did you mean 'normal'",
        ),
        (
            {"device": {"name": "ideal", "r_on": {"normal": {"mean": 1.0}}}},
            ConfigError,
            "'ideal': r_on: .*'std'",
        ),
        ({"device": {"name": "ideal", "r_on": {}}}, ConfigError, "expected a number or one dist"),
        ({"device": "ideal", "nonidealities": None}, ConfigError, "nonidealities=None; expected a"),
        ({"device": "ideal", "without": 1}, ConfigError, "without=1; expected a list"),
        ({"device": "ideal", "without": "d2d"}, ConfigError, "no effect 'd2d'; there are none"),
        ({"device": "ideal", "nonidealities": ["d2q"]}, UnknownPluginError, "'d2d'"),
        ({"device": "ideal", "bias": "analog"}, ConfigError, "bias='analog'; expected one of"),
        ({"device": "ideal", "adc_per": "tile"}, ConfigError, "adc_per='tile'"),
        (
            {"device": "ideal", "nonidealities": [Product(), Product()]},
            ConfigError,
            "in a way of its own",
        ),
        (
            {"device": "ideal", "adc": {"name": "uniform", "preset": "x"}},
            ConfigError,
            "has no presets; only devices do",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_a_way_out(settings, error, text):
    with pytest.raises(error, match=text):
        CrossbarConfig(**settings)


def test_a_misspelt_setting_is_named():
    with pytest.raises(ConfigError, match="no setting 'tiles'; did you mean 'tile'"):
        CrossbarConfig.from_mapping({"device": "ideal", "tiles": [8, 8]})


def test_a_config_without_device_lists_those_installed():
    with pytest.raises(ConfigError, match=r"needs a device; installed: .*ideal, .*vteam"):
        CrossbarConfig.from_mapping({})


def test_an_effect_is_left_out_by_name():
    config = CrossbarConfig(
        device="ideal", nonidealities=["d2d", "stuck_at", "d2d"], without=["d2d_2"]
    )
    assert list(config.effects) == ["d2d", "stuck_at"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noisy(type(memcore.devices["ideal"]())):
    """A device that is noisy by nature."""

    def effects(self):
        return (memcore.nonidealities["read_noise"](relative=0.3),)


def test_effects_of_the_device_act_before_those_configured_and_can_be_left_out():
    config = CrossbarConfig(device=Noisy(), nonidealities=["read_noise", "d2d"])
    assert list(config.effects) == ["read_noise", "read_noise_2", "d2d"]
    assert config.effects["read_noise"].relative == 0.3
    assert list(config.replace(without=["read_noise"]).effects) == ["read_noise_2", "d2d"]


def test_a_plugin_outside_the_registries_is_known_by_its_address():
    assert provided_name(Product()) == f"{Product.__module__}:Product"
    assert provided_name(plugin("devices", "vteam")) == "vteam"
