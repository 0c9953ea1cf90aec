"""Writing again: from what the cells hold, past stuck cells, with the noise of a read."""

import copy

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig
from memcore.nn.reconfigured import reconfigured
from memcore.report.yields import yield_report

VTEAM = {"name": "vteam"}


def memristive(*effects, programmer="write_verify", seed=0, **settings):
    torch.manual_seed(0)
    layer = nn.Linear(20, 10, bias=False)
    config = CrossbarConfig(
        device=settings.pop("device", VTEAM),
        nonidealities=effects,
        programmer=programmer,
        **settings,
    )
    return memcore.convert(nn.Sequential(layer), config, seed=seed)


def crossbar(model):
    return model[0].crossbar


def test_writing_what_is_there_takes_hardly_a_pulse():
    model = memristive()
    first = yield_report(model).layers[0]
    memcore.program(model)
    again = yield_report(model).layers[0]
    assert first.pulses > 3
    assert again.pulses < 0.2 * first.pulses
    assert again.accepted >= first.accepted


def test_drifted_cells_are_written_from_where_they_are():
    still, moved = (
        memristive({"name": "drift", "nu": 0.3}),
        memristive({"name": "drift", "nu": 0.3}),
    )
    memcore.age(moved, seconds=1e7)
    for model in (still, moved):
        memcore.program(model)
    pulses = [yield_report(model).layers[0].pulses for model in (still, moved)]
    assert pulses[1] > pulses[0] + 1


@pytest.mark.parametrize("programmer", ["direct", "write_verify", "open_loop"])
@pytest.mark.parametrize("saved", [False, True])
def test_the_same_config_gives_the_same_chip_after_two_writes(programmer, saved):
    effects = ({"name": "c2c", "std": 0.05}, {"name": "drift", "nu": 0.1})
    model = memristive(*effects, programmer=programmer)
    memcore.age(model, seconds=100.0)
    memcore.program(model)
    memcore.age(model, seconds=10.0)
    if saved:
        other = memristive(*effects, programmer=programmer, seed=1)
        other.load_state_dict(model.state_dict())
        model = other
    layer = model[0]
    again = reconfigured(layer, lambda config: config)
    assert torch.equal(again.crossbar.conductance, layer.crossbar.conductance)


@pytest.mark.parametrize("programmer", ["direct", "write_verify", "open_loop"])
def test_stuck_cells_stay_where_they_are_whatever_follows(programmer):
    stuck = {"name": "stuck_at", "p_lrs": 0.1, "p_other": 0.1, "conductance": 7.7e-3}
    after = ({"name": "finite_states", "states": 4}, {"name": "d2d", "std": 0.2}, "c2c")
    model = memristive(stuck, *after, programmer=programmer)
    cells = crossbar(model).programmed
    assert 0.02 < float((cells == 7.7e-3).double().mean()) < 0.25
    held = cells == 7.7e-3
    memcore.program(model)
    assert torch.equal(crossbar(model).programmed == 7.7e-3, held)


def test_a_routine_does_not_accept_stuck_cells_and_the_report_counts_them():
    model = memristive({"name": "stuck_at", "p_hrs": 0.3})
    report = yield_report(model).layers[0]
    free = yield_report(memristive()).layers[0]
    assert report.stuck > 0.2 * report.cells * 0.5
    assert report.accepted < free.accepted


def test_verify_reads_carry_the_noise_of_the_configuration():
    noise = {"name": "read_noise", "relative": 0.05}
    quiet = {"name": "write_verify", "read_noise": 0.0}
    errors = [
        yield_report(memristive(noise, programmer=how)).layers[0].error
        for how in ("write_verify", quiet)
    ]
    assert errors[0] > 1.5 * errors[1]


def test_a_copy_is_rewritten_as_the_original_is():
    model = memristive({"name": "c2c", "std": 0.05})
    other = copy.deepcopy(model)
    for each in (model, other):
        memcore.program(each)
    assert torch.equal(crossbar(model).programmed, crossbar(other).programmed)
