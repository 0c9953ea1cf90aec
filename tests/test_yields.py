import dataclasses

import pytest
import torch
from torch import nn

import memcore
from memcore import ArrayInfo, ConfigError, Programmed
from memcore.crossbar.yields import ArrayYield
from memcore.report.yields import yield_report


@pytest.fixture
def array():
    device = memcore.devices["ideal"](r_on=1e4, r_off=1e5)
    return ArrayInfo(arrays=1, rows=2, cols=2, device=device, nominal=device, name="fc")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def converted(model, **how):
    config = memcore.CrossbarConfig(device="vteam", programmer={"name": "write_verify", **how})
    return memcore.convert(model, config)


def test_counts_cells_pulses_energy_and_time(array):
    target = torch.full(array.shape, 5e-5)
    error = torch.tensor([[[1e-6, 0.0], [-2e-6, 4e-6]]])
    done = Programmed(
        conductance=target + error,
        pulses=torch.tensor([[[1, 2], [3, 10]]]),
        energy=torch.full(array.shape, 2e-12),
        verified=torch.tensor([[[True, True], [True, False]]]),
        time=torch.tensor(1e-6),
        reversals=torch.tensor([[[0, 0], [0, 2]]]),
    )
    record = ArrayYield.of(done, target, array)
    assert (record.cells, record.accepted, record.pulses, record.most_pulses) == (4, 0.75, 4, 10)
    assert record.reversals == 0.5
    assert record.energy == pytest.approx(8e-12)
    assert record.time == pytest.approx(4e-6)
    assert record.error == pytest.approx((21e-12 / 4) ** 0.5, rel=1e-3)
    assert record.worst == pytest.approx(2e-6, rel=1e-3)
    assert record.window == pytest.approx(9e-5)


def test_the_error_of_the_routine_is_taken_if_there_is_one(array):
    target = torch.full(array.shape, 5e-5)
    done = Programmed(conductance=target, error=torch.full(array.shape, 3e-6))
    assert ArrayYield.of(done, target, array).error == pytest.approx(3e-6)


def test_a_routine_that_says_nothing_is_reported_with_its_error(model):
    report = yield_report(memcore.convert(model, memcore.CrossbarConfig(device="vteam")))
    assert report.accepted == 1.0
    assert report.energy == report.pulses == 0.0
    assert all(layer.error < 1e-6 * layer.window for layer in report.layers)


def test_report_of_a_model_has_a_line_for_each_layer_and_the_totals(model):
    report = yield_report(converted(model))
    assert [layer.name for layer in report.layers] == ["0", "2"]
    assert report.accepted == 1.0
    assert report.cells == 90
    assert report.energy == pytest.approx(sum(layer.energy for layer in report.layers))
    lines = str(report).splitlines()
    assert len(lines) == 4
    assert "100 % of 90 cells accepted" in lines[-1]


def test_report_is_that_of_the_last_writing(model):
    mem = converted(model, read_noise=0.01)
    first = yield_report(mem)
    memcore.program(mem)
    assert yield_report(mem).layers[0].pulses != first.layers[0].pulses


def test_cells_that_were_given_up_show(model):
    report = yield_report(converted(model, max_pulses=3))
    assert report.accepted < 0.9


def test_plots_count_accepted_cells_and_errors(model):
    pytest.importorskip("matplotlib")
    report = yield_report(converted(model))
    ax = memcore.plot.programming(report)
    assert len(ax.get_lines()) == 2
    x, y = ax.get_lines()[0].get_data()
    assert y[-1] == pytest.approx(report.layers[0].accepted)
    assert x[-1] == report.layers[0].most_pulses
    one = dataclasses.replace(report.layers[0], name="")
    assert memcore.plot.programming(one, show="error").get_legend() is None
    with pytest.raises(ConfigError, match="show='time'; expected 'pulses' or 'error'"):
        memcore.plot.programming(report, show="time")
