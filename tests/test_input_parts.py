"""Inputs in parts, one behind the other, whose DACs have a range each."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

import memcore
from memcore import Converter, CrossbarConfig, Lookup, Operand, SerialLevels, Stream
from memcore.nn import Matrix
from memcore.testing.layer_case import Ohmic

PARTS = (3, 4)
OPERAND = Operand(Stream(2).child("w").normal((1, 5, 7)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serial(Converter):
    """Applies eight bits digit by digit."""

    def observe(self, values):
        return None if not values.numel() else values.new_tensor([-1.0, 1.0]) * values.abs().max()

    def bind(self, full_scale, ctx):
        del ctx
        return SerialLevels(full_scale[1:] / 127, -127, 127)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Converter):
    """Rounds to a table of seven levels."""

    def observe(self, values):
        return None if not values.numel() else torch.stack(values.aminmax())

    def bind(self, full_scale, ctx):
        del ctx
        values = torch.linspace(float(full_scale[0]), float(full_scale[1]), 7)
        return Lookup((values[1:] + values[:-1]) / 2, values)


def inputs(*factors, positive=()):
    x = Stream(3).child("x").normal((20, 1, sum(PARTS)))
    parts = [factor * part for factor, part in zip(factors, x.split(PARTS, -1), strict=True)]
    return torch.cat([p.abs() if k in positive else p for k, p in enumerate(parts)], -1)


def matrix(x, operand=OPERAND, **config):
    made = Matrix(operand, CrossbarConfig(device="ideal", **config), Stream(0), "m", PARTS)
    for port in ("input", "output"):
        made.crossbar.observe(port)
        made(x, operand)
    made.crossbar.observe(None)
    return made


@pytest.mark.parametrize("dac", ["uniform", Serial(), Table()], ids=["uniform", "serial", "table"])
def test_each_part_is_converted_in_its_own_range(dac):
    x = inputs(1.0, 100.0)
    crossbar = matrix(x, dac=dac).crossbar
    converter = crossbar.config.dac
    expected = [converter.bind(converter.observe(each), None)(each) for each in x.split(PARTS, -1)]
    torch.testing.assert_close(crossbar.driven(x), torch.cat(expected, -1), rtol=1e-6, atol=1e-6)


def test_small_inputs_keep_their_steps_beside_large_ones():
    x = inputs(0.01, 100.0)
    error = (matrix(x, dac="uniform").crossbar.driven(x) - x).abs().amax((0, 1))
    assert error[:3].max() < 0.01 * 3 / 127
    assert error[3:].max() < 100.0 * 4 / 127


def test_converters_of_one_array_are_signed_where_one_part_is():
    x = inputs(2.0, 1.0, positive=(0,))
    form = matrix(x, dac="uniform").crossbar.input.form
    assert (form.lo, form.hi) == (-127, 127)
    positive = inputs(2.0, 1.0, positive=(0, 1))
    form = matrix(positive, dac="uniform").crossbar.input.form
    assert (form.lo, form.hi) == (0, 255)
    assert form.step.unique().numel() == 2


@pytest.mark.parametrize("dac", ["uniform", Serial()], ids=["uniform", "serial"])
@pytest.mark.parametrize("bias", ["digital", "mapped"])
@pytest.mark.parametrize("tile", [None, (3, 5), (4, 2)])
def test_the_fused_kernel_reads_what_the_circuits_do(dac, bias, tile):
    x = inputs(1.0, 30.0)
    operand = OPERAND._replace(bias=torch.linspace(-1, 1, 5))
    way = {"dac": dac, "adc": {"name": "uniform", "bits": 12}, "bias": bias, "tile": tile}
    fused = matrix(x, operand, **way)
    assert type(fused.crossbar.reader).__name__ == "Tiled"
    circuits = matrix(x, operand, nonidealities=[Ohmic()], **way)
    assert type(circuits.crossbar.reader).__name__ == "Electrical"
    found, wanted = fused(x, operand), circuits(x, operand)
    assert (found - wanted).abs().max() < 2e-3 * wanted.abs().max()  # a step of the ADC, at ties


def test_volts_are_those_of_the_largest_input_of_all_parts():
    x = inputs(1.0, 100.0)
    crossbar = matrix(x, dac="uniform").crossbar
    assert crossbar.input_scale == pytest.approx(0.2 / float(x.abs().max()))


def test_a_saved_chip_keeps_the_ranges_of_its_parts():
    config = CrossbarConfig(
        device="ideal", dac="uniform", adc="uniform", layers=["joint_recurrent"]
    )
    x = Stream(4).child("x").normal((5, 2, 4))
    layer = nn.GRU(4, 3)
    one = memcore.convert(layer, config, calibration=9 * x)
    other = memcore.convert(layer, config, calibration=x)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert torch.equal(other(x)[0], one(x)[0])
    budget = memcore.check_ideal(one, x)
    assert budget, budget
