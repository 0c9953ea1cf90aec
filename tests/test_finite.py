"""Whatever is accepted, conductances and outputs are finite, or an error says why not."""

import dataclasses
import math
import warnings
from dataclasses import dataclass

import pytest
import torch

import memcore
from memcore import ConfigError, CrossbarConfig, LogNormal, NonIdeality, Normal, Stage

ODD = (math.inf, 1e300, 1e39, 1e30, 1e10, 1e6, 1.0, -1.0, 1e-10, 1e-45, 1e-300)
SPREAD = (Normal(1e6, 1e7), LogNormal(1.0, 50.0))


def built(kind, name, field):
    """The instances that a plugin accepts with odd values of one parameter."""
    cls = getattr(memcore, kind)[name]
    spread = SPREAD if "Parameter" in str(field.type) else ()
    for value in (*ODD, *spread):
        try:
            yield cls(**{field.name: value})
        except memcore.MemcoreError:
            continue


def fields(kind):
    for name in getattr(memcore, kind):
        for field in dataclasses.fields(getattr(memcore, kind)[name]):
            if "unit" in field.metadata and isinstance(field.default, float | None):
                yield kind, name, field


def outputs(config):
    """Of a small layer, fresh and old."""
    torch.manual_seed(0)
    chip = memcore.convert(torch.nn.Linear(6, 4, bias=False), config)
    x = torch.rand(3, 6)
    yield chip(x)
    for passed in chip.crossbar.cells.effects.clocks:
        memcore.age(chip, **{passed: 1e4})
        yield chip(x)


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [case for kind in ("nonidealities", "devices") for case in fields(kind)],
    ids=lambda part: getattr(part, "name", part),
)
def test_odd_numbers_give_finite_outputs_or_an_error(kind, name, field):
    if (name, field.name) == ("tabular", "which"):
        pytest.skip("drawn, never given")
    for plugin in built(kind, name, field):
        device, effects = ("ideal", [plugin]) if kind == "nonidealities" else (plugin, [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                config = CrossbarConfig(
                    device=device,
                    nonidealities=effects,
                    programmer="direct",
                    tile=None,
                    temperature=350.0,
                )
                for y in outputs(config):
                    assert y.isfinite().all(), plugin
            except memcore.MemcoreError:
                continue


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("d2d", {"std": math.inf}),
        ("d2d", {"std": 1e30}),
        ("read_noise", {"std": math.inf}),
        ("read_noise", {"relative": 1e39}),
        ("temperature", {"reference": 1.0}),
        ("nonlinear_iv", {"read_voltage": 1e-300}),
        ("nonlinear_iv", {"read_voltage": 1e30}),
        ("rtn", {"amplitude": 1e39}),
        ("retention", {"p0_lrs": 1e-300}),
        ("ir_drop_profile", {"segment": 1e39}),
    ],
)
def test_parameters_beyond_arithmetic_are_refused_by_name(name, parameters):
    with pytest.raises(ConfigError, match=f"{next(iter(parameters))}="):
        memcore.nonidealities[name](**parameters)


def test_thresholds_below_nothing_are_refused():
    effect = {"name": "endurance", "p0_hrs": {"normal": {"mean": 1e6, "std": 1e7}}}
    with pytest.raises(ConfigError, match=r"cells drew hrs outside its range.*give the distri"):
        memcore.convert(
            torch.nn.Linear(6, 4), CrossbarConfig(device="ideal", nonidealities=[effect])
        )


def test_a_device_without_numbers_is_refused():
    words = r"conductances|the conductance of|=.*; expected a finite"
    for device, parameters in (
        ("simmons", {"phi0": 300.0}),
        ("stanford_pku", {"g_max": 1.0}),
        ("jart_vcm_v1b", {"r": 1e300}),
        ("pcm", {"g_max": 1e30}),
        ("yakopcic", {"a1": 1e-300}),
    ):
        with pytest.raises(ConfigError, match=words):
            memcore.devices[device](**parameters).nominal_range()


@dataclass(frozen=True, kw_only=True)
class Broken(NonIdeality):
    """Cells become NaN: when they are written, as they age, or when they are read."""

    stage = Stage.PROGRAM

    def bind(self, array, ctx):
        del array, ctx
        return memcore.Affine(gain=math.nan)


class Rotten(Broken):
    stage = Stage.AGE

    def bind(self, array, ctx):
        del array, ctx
        return _Rotten()


class _Rotten(torch.nn.Module):
    def forward(self, g, seconds):
        return g / (seconds == 0).to(g.dtype) if seconds else g


class Blurred(Broken):
    stage = Stage.READ


@pytest.mark.parametrize(("effect", "name"), [(Broken, "broken"), (Blurred, "blurred")])
def test_an_effect_that_leaves_no_numbers_is_named(effect, name):
    config = CrossbarConfig(device="ideal", nonidealities=["d2d", effect()])
    with pytest.raises(ConfigError, match=f"'{name}' makes 8192 of 8192 conductances infinite"):
        memcore.convert(torch.nn.Linear(64, 64, bias=False), config)


def test_ageing_that_leaves_no_numbers_is_named():
    config = CrossbarConfig(device="ideal", nonidealities=[Rotten()])
    chip = memcore.convert(torch.nn.Linear(64, 64, bias=False), config)
    with pytest.raises(ConfigError, match=r"'rotten' makes .* infinite or NaN"):
        memcore.age(chip, seconds=1.0)


def test_truth_values_of_cells_are_no_numbers():
    with pytest.raises(ConfigError, match=r"w_max=.*; expected a finite number"):
        memcore.devices["soft_bounds"](w_max=torch.ones(3, 2, dtype=torch.bool))


@pytest.mark.parametrize("table", [float("nan"), 2, b"x", ["x"]])
def test_a_parameter_that_is_a_text_takes_nothing_else(table):
    with pytest.raises(ConfigError, match=r"table=.*; expected a text, or None"):
        memcore.converters["sense_table"](table=table)
