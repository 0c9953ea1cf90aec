import math

import pytest
import torch
from torch import nn

import memcore
from memcore import Converter, Lookup, UniformLevels
from memcore.crossbar.calibrated import Calibrated
from memcore.registry.specs import plugin


def port(ctx=None, **parameters):
    converter = plugin("converters", {"name": "uniform", **parameters}) if parameters else None
    return Calibrated(converter, memcore.Context(random=memcore.Stream(0)), torch.zeros(1))


def test_no_converter_passes_values_and_needs_no_range():
    x = torch.randn(5)
    assert port().is_ready
    assert port()(x) is x


def test_a_range_grows_with_what_is_seen_until_it_is_reset():
    p = port(bits=8)
    assert not p.is_ready
    p.observe(torch.tensor([-1.0, 2.0]))
    p.observe(torch.tensor([-3.0, 0.0]))
    p.bind()
    assert p.range.tolist() == [[-3.0, 2.0]]
    assert p.levels[0].step.item() == pytest.approx(3 / 127)
    p.reset()
    assert not p.is_ready
    assert p.range.isnan().all()


def test_a_fixed_range_is_there_from_the_start_and_stays():
    p = port(bits=8, full_scale=2.0)
    assert p.is_fixed
    assert p.is_ready
    p.observe(torch.tensor([100.0]))
    p.rescale(10.0)
    p.reset()
    assert p.range.tolist() == [[-2.0, 2.0]]


def test_a_range_can_be_told_in_another_unit():
    p = port(bits=8)
    p.observe(torch.tensor([-1.0, 2.0]))
    p.rescale(1e-6)
    torch.testing.assert_close(p.range, torch.tensor([[-1e-6, 2e-6]]))


def test_what_is_no_number_sets_no_range():
    p = port(bits=8)
    p.observe(torch.tensor([math.nan]))
    p.bind()
    assert not p.is_ready


def test_the_form_is_derived_and_no_part_of_the_state():
    p = port(bits=8)
    p.observe(torch.ones(1))
    p.bind()
    assert set(p.state_dict()) == {"range"}
    assert p.double().levels[0].step.dtype == torch.float64


class Table(Converter):
    def observe(self, values):
        return values.new_tensor([0.0, 1.0])

    def bind(self, full_scale, ctx):
        return Lookup(full_scale.mean().view(1), full_scale)


class PerColumn(Table):
    def bind(self, full_scale, ctx):
        return UniformLevels(torch.ones(3), 0, 1)


@pytest.mark.parametrize("converter", [Table(), PerColumn()])
def test_only_one_uniform_step_can_be_fused(converter):
    p = Calibrated(converter, memcore.Context(random=memcore.Stream(0)), torch.zeros(1))
    assert isinstance(p.form, nn.Module)
    assert p.levels is None


def test_a_port_prints_its_range():
    assert "range=[[-2.0, 2.0]]" in repr(port(bits=8, full_scale=2.0))
