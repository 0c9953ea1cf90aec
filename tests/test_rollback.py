"""What fails leaves a network as it was before."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

import memcore
from memcore import Aging, ConfigError, Converter, Gaussian, NonIdeality, Stage, UniformLevels

UNCALIBRATED = pytest.mark.filterwarnings("ignore::memcore.CalibrationWarning")


def converted(layer=None, **settings):
    torch.manual_seed(0)
    settings = {"device": "ideal", "tile": (4, 4), **settings}
    return memcore.convert(layer or nn.Linear(8, 4), memcore.CrossbarConfig(**settings))


@dataclass(frozen=True, kw_only=True)
class Moody(Converter):
    """Cannot be bound while `fails` is true."""

    fails: ClassVar[bool] = False

    def observe(self, values):
        return torch.stack(values.aminmax()) if values.numel() else None

    def bind(self, full_scale, ctx):
        if type(self).fails:
            raise RuntimeError("out of order")
        return UniformLevels(step=full_scale.abs().max() / 127, lo=-127, hi=127)


@dataclass(frozen=True, kw_only=True)
class Moodless(Moody):
    """The same for the outputs, so that each can fail alone."""

    fails: ClassVar[bool] = False


@UNCALIBRATED
@pytest.mark.parametrize("broken", [Moody, Moodless])
def test_a_first_read_that_fails_leaves_converters_waiting_for_a_range(broken, monkeypatch):
    mem = converted(dac=Moody(), adc=Moodless())
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    expected = copy.deepcopy(mem)(x)
    monkeypatch.setattr(broken, "fails", True)
    with pytest.raises(RuntimeError, match="out of order"):
        mem(10 * x)
    monkeypatch.setattr(broken, "fails", False)
    assert not mem.crossbar.is_set
    assert torch.equal(mem(x), expected)
    assert mem.crossbar.is_set


@UNCALIBRATED
def test_a_first_read_of_what_is_not_finite_sets_no_range():
    mem = converted(dac="uniform", adc="uniform")
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    expected = copy.deepcopy(mem)(x)
    with pytest.raises(ConfigError, match="1 of 40 values at its inputs are NaN or infinite"):
        mem(torch.where(torch.arange(40).view(5, 8) == 7, torch.nan, x))
    assert torch.equal(mem(x), expected)


class Fading(Aging):
    """Cells that give way a hundred seconds after they were written."""

    def forward(self, g, elapsed):
        return g * torch.where(elapsed > 100, torch.nan, 1 - elapsed / 200)


@dataclass(frozen=True, kw_only=True)
class Mayfly(NonIdeality):
    stage = Stage.AGE

    def bind(self, array, ctx):
        return Fading()


def test_ageing_that_is_refused_does_not_age():
    mem = converted(nonidealities=[Mayfly()])
    memcore.age(mem, seconds=50)
    before, cells = mem(torch.ones(1, 8)), mem.crossbar.conductance
    with pytest.raises(ConfigError, match="'mayfly' makes"):
        memcore.age(mem, seconds=60)
    assert mem.crossbar.seconds == 50
    assert torch.equal(mem(torch.ones(1, 8)), before)
    memcore.age(mem, seconds=0)
    assert torch.equal(mem.crossbar.conductance, cells)


def test_no_layer_ages_where_one_refuses():
    plain = memcore.CrossbarConfig(device="ideal", nonidealities=[{"name": "drift", "nu": 0.1}])
    network = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    torch.manual_seed(0)
    mem = memcore.convert(network, {"0": plain, "1": plain.replace(nonidealities=[Mayfly()])})
    memcore.age(mem, seconds=50)
    before = mem(torch.ones(1, 8))
    with pytest.raises(ConfigError, match="'mayfly' makes"):
        memcore.age(mem, seconds=60)
    assert [float(layer.crossbar.seconds) for layer in mem] == [50, 50]
    assert torch.equal(mem(torch.ones(1, 8)), before)


@dataclass(frozen=True, kw_only=True)
class Flicker(NonIdeality):
    stage = Stage.READ

    def bind(self, array, ctx):
        return Gaussian(1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_another_configuration_of_the_same_chip_goes_on_with_its_reads(training):
    mem = converted(nonidealities=[Flicker()])
    with torch.no_grad():
        mem(torch.ones(3, 8))
        mem.eval()(torch.ones(2, 8))
    matrix, operand = mem.train(training).matrix, mem.operands()["weight"]
    again = matrix.reconfigured(mem.crossbar.config, operand)
    assert (again.crossbar.training_reads, again.crossbar.reads) == (3, 2)
    with torch.no_grad():
        found, expected = again(torch.ones(1, 1, 8), operand), matrix(torch.ones(1, 1, 8), operand)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_converted_layer_is_in_the_mode_of_the_digital_one(training):
    mem = converted(nn.Linear(8, 4).train(training))
    again = mem.matrix.reconfigured(mem.crossbar.config, mem.operands()["weight"])
    assert {module.training for module in [*mem.modules(), *again.modules()]} == {training}


def test_a_chip_that_was_loaded_in_inference_mode_lives_on():
    settings = {"device": "pcm", "dac": "uniform", "adc": "uniform"}
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    first, second = (converted(**settings) for _ in range(2))
    memcore.calibrate(first, x)
    memcore.age(first, seconds=100.0)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    with torch.inference_mode():
        second.load_state_dict(state)
    assert not any(value.is_inference() for value in second.state_dict().values())
    for mem in (first.eval(), second.eval()):
        memcore.age(mem, seconds=5.0)
        memcore.program(mem)
    assert torch.equal(first(x), second(x))
