"""Settings that change nothing are said, and pulses act on devices that know them."""

import dataclasses
import random
import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, NoEffectWarning, NonIdeality, Stage
from memcore.modelling import Pulsed

PULSED = [name for name in memcore.devices if issubclass(memcore.devices[name], Pulsed)]


def layer():
    torch.manual_seed(0)
    return nn.Linear(32, 16, bias=False)


def said(**settings):
    """What converting a layer, and nothing else, warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        memcore.convert(nn.Sequential(layer(), layer()), CrossbarConfig(**settings))
    return [str(warning.message) for warning in caught]


def test_a_programmer_without_pulses_is_said_of_lanes_that_know_them():
    slices = {"name": "bit_slice", "weight_bits": 5, "slice_bits": 2}
    settings = {"device": "ideal", "mapper": slices, "programmer": "direct"}
    (message,) = said(**settings, lanes=[{"device": "soft_bounds"}, {}])
    assert message.startswith("programmer='direct' sends no pulses: what 'soft_bounds' knows")
    assert (
        said(**{**settings, "programmer": "default"}, lanes=[{"device": "soft_bounds"}, {}]) == []
    )
    assert said(**{**settings, "device": "soft_bounds"}, lanes=[{"device": "ideal"}] * 2) == []


# -- who writes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PULSED)
def test_pulses_write_devices_that_know_them(name):
    open_loop = memcore.programmers["open_loop"]()
    for settings in ({}, {"programmer": None}, {"programmer": "default"}):
        assert CrossbarConfig(device=name, **settings).programmer == open_loop


def test_other_devices_are_put_into_their_state():
    for name in ("ideal", "vteam", "pcm", "stt_mram", "jart_vcm_v1b"):
        assert CrossbarConfig(device=name).programmer == memcore.programmers["direct"]()


def test_measured_currents_without_pulses_are_put_into_their_state():
    volts = torch.tensor([0.0, 0.1, 0.2])
    device = memcore.devices["tabular"].from_iv(
        volts, torch.stack([1e-5 * volts, 4e-5 * volts]), read_voltage=0.2
    )
    assert CrossbarConfig(device=device).programmer == memcore.programmers["direct"]()


def test_levels_that_were_measured_have_an_effect():
    """16 levels: each weight misses by up to half a step, a few per cent of the output."""
    draw = random.Random(3)
    up = [1e-6 * k for k in range(2, 19)]
    reads = [
        (s, g + 1e-8 * draw.gauss(0, 1)) for s, run in ((1, up[1:]), (-1, up[-2::-1])) for g in run
    ]
    data = memcore.fitting.PulseData(count=[s for s, _ in reads], conductance=[g for _, g in reads])
    device = memcore.fit("tabular", data).device
    model, x = layer(), torch.rand(100, 32)
    chip = memcore.convert(model, CrossbarConfig(device=device))
    with torch.no_grad():
        error = float((chip(x) - model(x)).norm() / model(x).norm())
    assert 0.01 < error < 0.2


def test_another_device_is_written_as_it_says():
    config = CrossbarConfig(device="vteam")
    assert config.replace(tile=None).replace(device="neurosim").programmer == (
        memcore.programmers["open_loop"]()
    )
    named = CrossbarConfig(device="vteam", programmer="direct").replace(device="neurosim")
    assert named.programmer == memcore.programmers["direct"]()
    assert config == CrossbarConfig(device="vteam", programmer="direct")
    given = CrossbarConfig.of_conductances(device="neurosim")
    assert given.programmer is None
    assert given.replace(tile=None).programmer is None


def test_a_config_of_a_pulsed_device_reads_back_equal():
    config = CrossbarConfig(device="neurosim")
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize("name", ["neurosim", "tabular", "soft_bounds"])
def test_direct_says_that_it_ignores_pulses(name):
    (message,) = said(device=name, programmer="direct")
    assert message.startswith(f"programmer='direct' sends no pulses: what '{name}' knows")
    assert said(device=name) == []


# -- temperature -----------------------------------------------------------------------------------

FEELING = [
    {"nonidealities": ["temperature"]},
    {"nonidealities": ["thermal_noise"]},
    {"nonidealities": ["retention"]},
    {"nonidealities": [{"name": "drift", "activation": 0.3}]},
]
NUMB = [
    {},
    {"nonidealities": ["d2d", "c2c", "read_noise"]},
    {"nonidealities": ["drift"]},
    {"nonidealities": [{"name": "retention", "p2_lrs": 0.0, "p2_hrs": 0.0, "mode": "sudden"}]},
    {"nonidealities": [{"name": "temperature", "ea_hrs": 0.0, "alpha": 0.0}]},
    {"device": "stanford_pku"},
    {"device": "mms"},
    {"device": "pcm"},
]


@pytest.mark.parametrize("settings", NUMB)
def test_a_temperature_that_nothing_feels_is_said_once(settings):
    messages = said(**{"device": "vteam", "temperature": 400.0, **settings})
    assert [m for m in messages if m.startswith("temperature=400 K changes nothing")] == messages
    assert len(messages) == 1
    assert said(**{"device": "vteam", **settings}) == []


@pytest.mark.parametrize("settings", FEELING)
def test_a_temperature_that_something_feels_is_not_remarked(settings):
    assert said(**{"device": "vteam", "temperature": 400.0, **settings}) == []


@pytest.mark.parametrize("settings", [*NUMB, *FEELING])
def test_what_is_said_of_temperature_is_true(settings):
    """Outputs of fresh or of old arrays change with the temperature unless a warning came."""
    outputs = []
    for temperature in (300.0, 400.0):
        config = CrossbarConfig(**{"device": "vteam", "temperature": temperature, **settings})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chip = memcore.convert(layer(), config)
            fresh = chip(torch.ones(1, 32))
            memcore.age(chip, seconds=1e7, temperature=350.0)
        outputs.append((fresh, chip(torch.ones(1, 32))))
    same = all(map(torch.equal, *outputs))
    assert same == (settings in NUMB)


def test_a_crossbar_says_it_too():
    with pytest.warns(NoEffectWarning, match="temperature=350 K changes nothing"):
        memcore.Crossbar(torch.full((3, 2), 1e-5), temperature=350.0)


@dataclass(frozen=True, kw_only=True)
class Foreign(NonIdeality):
    """An effect of a third party, which reads the temperature and says no more."""

    stage = Stage.READ

    def bind(self, array, ctx):
        del array
        return memcore.Affine(gain=300 / ctx.temperature)


def test_an_effect_that_reads_the_temperature_feels_it():
    assert said(device="vteam", temperature=400.0, nonidealities=[Foreign()]) == []


# -- conversions -----------------------------------------------------------------------------------


def test_conversions_per_column_want_a_converter():
    (message,) = said(device="ideal", adc_per="column")
    assert message.startswith("adc_per='column' changes nothing without an ADC")
    adc = {"name": "uniform", "bits": 8, "full_scale": 1e-4}
    assert said(device="ideal", adc_per="column", adc=adc) == []


def test_rows_at_once_change_no_output_without_a_converter():
    config = CrossbarConfig(device="ideal")
    x = torch.rand(5, 32)
    whole, parts = (
        memcore.convert(layer(), dataclasses.replace(config, rows_at_once=rows))
        for rows in (None, 4)
    )
    torch.testing.assert_close(whole(x), parts(x))
    with memcore.counting(whole) as one, memcore.counting(parts) as other:
        whole(x), parts(x)
    assert other.total.reads > one.total.reads
