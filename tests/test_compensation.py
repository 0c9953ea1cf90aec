"""A digital factor against drift."""

import copy

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Stream


def draws(*shape, name="x"):
    return Stream(3).child(name).normal(shape)


def chip(layer=None, drift=None, **more):
    drift = {"name": "drift", "nu": 0.1} if drift is None else drift
    config = CrossbarConfig(**{"device": "ideal", "nonidealities": [drift], **more})
    asks = config.dac is not None or config.adc is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(30, 12) if layer is None else layer
    x = draws(50, *_inputs(layer)) if asks else None
    return memcore.convert(layer.eval(), config, calibration=x)


def _inputs(layer):
    return (4, 6) if isinstance(layer, nn.Conv1d) else (30,)


def error(mem, before, x):
    return (mem(x) - before).square().mean().sqrt().item()


@pytest.mark.parametrize("per", ["layer", "column"])
@pytest.mark.parametrize("reference", ["programmed", "exact"])
@pytest.mark.parametrize(
    "more", [{}, {"bias": "mapped"}, {"adc": "uniform", "dac": "uniform", "tile": (16, 16)}]
)
def test_drift_that_all_cells_share_is_taken_back(per, reference, more):
    mem, x = chip(**more), draws(20, 30, name="inputs")
    before = mem(x)
    memcore.age(mem, seconds=1e5)
    without = error(mem, before, x)
    mem.crossbar.correct((mem.crossbar.programmed / mem.crossbar.conductance).median())
    rounding = error(mem, before, x)  # what an ADC leaves with the true factor
    memcore.compensate(mem, per=per, reference=reference)
    assert error(mem, before, x) < 0.1 * without + rounding


def test_the_error_falls_at_every_time_where_cells_drift_differently():
    drift = {"name": "drift", "nu": {"normal": {"mean": 0.06, "std": 0.02}}}
    mem, x = chip(drift=drift), draws(20, 30, name="inputs")
    before = mem(x)
    for seconds in (1e2, 1e4, 1e6):
        memcore.age(mem, seconds=seconds)
        old = copy.deepcopy(mem)
        old.crossbar.correct(None)
        memcore.compensate(mem)
        assert error(mem, before, x) < 0.7 * error(old, before, x)


def test_a_factor_for_each_column_takes_back_what_columns_lose_differently():
    mem, x = chip(nn.Linear(30, 12, bias=False)), draws(20, 30, name="inputs")
    before = mem(x)
    mem.crossbar.programmed.mul_(torch.linspace(0.5, 1.0, 12))
    mem.crossbar.refresh()
    memcore.compensate(mem, per="layer", reference="exact")
    of_layer = error(mem, before, x)
    memcore.compensate(mem, per="column", reference="exact")
    torch.testing.assert_close(mem(x), before, rtol=1e-3, atol=1e-4)
    assert error(mem, before, x) < 0.1 * of_layer


def test_grouped_convolutions_are_compensated_too():
    mem, x = chip(nn.Conv1d(4, 6, 3, groups=2)), draws(5, 4, 6, name="images")
    before = mem(x)
    memcore.age(mem, seconds=1e5)
    without = error(mem, before, x)
    memcore.compensate(mem, per="column")
    assert error(mem, before, x) < 0.1 * without


@pytest.mark.parametrize(("reference", "times"), [("programmed", 2), ("exact", 1)])
def test_the_reads_that_it_costs_are_counted(reference, times):
    mem = chip()
    with memcore.counting(mem) as one:
        mem(draws(10, 30))
    with memcore.counting(mem) as counts:
        memcore.compensate(mem, probes=10, reference=reference)
    assert counts.total.reads == times * one.total.reads


def test_the_factor_lasts_until_the_cells_are_written_again_and_is_saved():
    mem, x = chip(), draws(20, 30, name="inputs")
    before = mem(x)
    memcore.age(mem, seconds=1e5)
    aged = mem(x)
    memcore.compensate(mem)
    other = chip()
    other.load_state_dict(mem.state_dict())
    torch.testing.assert_close(other(x), mem(x))
    assert not torch.allclose(mem(x), aged, rtol=0.1)
    memcore.program(mem)
    torch.testing.assert_close(mem(x), before)


def test_what_cannot_be_compensated_is_said():
    mem = memcore.convert(nn.Linear(30, 12).eval(), CrossbarConfig(device="ideal", dac="uniform"))
    with pytest.raises(ConfigError, match=r"no range yet; expected .*calibrate"):
        memcore.compensate(mem)
    with pytest.raises(ConfigError, match="per='row'; expected one of"):
        memcore.compensate(chip(), per="row")
