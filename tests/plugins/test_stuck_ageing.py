"""Cells that no pulse moves stay as they are, whatever passes."""

import warnings
from dataclasses import dataclass

import pytest
import torch

import memcore
from memcore import NonIdeality, Stage

STUCK = {"name": "stuck_at", "p_lrs": 0.2, "p_hrs": 0.1, "p_other": 0.1, "conductance": 0.0}
AGEING = [
    ("seconds", {"name": "drift", "nu": 0.1, "t0": 1.0}),
    ("seconds", {"name": "retention", "p0_lrs": 1.0, "p0_hrs": 1.0}),
    ("cycles", {"name": "endurance", "p0_lrs": 1.0, "p0_hrs": 1.0, "mode": "sudden"}),
    ("reads", {"name": "read_disturb", "rate": 1e-4}),
    ("reads", {"name": "read_disturb", "voltage": 1.0, "duration": 1e-9}),
]


def stuck_cells(crossbar):
    stuck = crossbar.cells.effects.stuck(
        crossbar.config.effects, crossbar.array(), crossbar.cells.context()
    )
    return ~stuck.isnan()


@pytest.mark.parametrize(("passes", "effect"), AGEING)
def test_stuck_cells_do_not_age(converted, passes, effect):
    device = "yakopcic" if "voltage" in effect else "ideal"
    model = converted(STUCK, effect, device=device)
    crossbar = model[0].crossbar
    before, stuck = crossbar.conductance.clone(), stuck_cells(crossbar)
    memcore.age(model, **{passes: 1e4})
    after = crossbar.conductance
    assert 100 < int(stuck.sum()) < stuck.numel() / 2
    assert torch.equal(after[stuck], before[stuck])
    assert (after[~stuck] != before[~stuck]).double().mean() > 0.5


@pytest.mark.parametrize("device", ["pcm", "reram_wan2022", "reram_cmo", "sonos"])
def test_stuck_cells_have_no_statistics_of_ageing(converted, device):
    model = converted({"name": "stuck_at", "p_lrs": 0.3}, device=device)
    crossbar = model[0].crossbar
    before, stuck = crossbar.conductance.clone(), stuck_cells(crossbar)
    memcore.age(model, seconds=1e5)
    assert torch.equal(crossbar.conductance[stuck], before[stuck])
    assert not torch.equal(crossbar.conductance, before)


def test_cells_stuck_in_lrs_conduct_what_they_did():
    model = memcore.convert(
        torch.nn.Linear(30, 20),
        memcore.CrossbarConfig(
            device="ideal",
            nonidealities=[
                {"name": "stuck_at", "p_lrs": 0.2},
                {"name": "drift", "nu": 0.1, "t0": 1.0},
            ],
        ),
    )
    memcore.age(model, seconds=1e6)
    g = model.crossbar.conductance
    assert bool((g == g.max()).double().mean() > 0.15)
    assert float(g.max()) == pytest.approx(1e-4, rel=1e-6)  # not 2.5e-5 S


def test_a_loaded_state_knows_which_cells_are_stuck(converted):
    effects = STUCK, AGEING[0][1]
    model, other = converted(*effects), converted(*effects, seed=5)
    memcore.age(model, seconds=1e4)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other[0].crossbar.conductance, model[0].crossbar.conductance)
    for each in (model, other):
        memcore.age(each, seconds=1e6)
    assert torch.equal(other[0].crossbar.conductance, model[0].crossbar.conductance)


@dataclass(frozen=True, kw_only=True)
class Corrosion(NonIdeality):
    """Every cell loses conductance, metal bridges too."""

    stage = Stage.AGE
    ages_stuck = True

    def bind(self, array, ctx):
        del array, ctx
        return _Halved()


class _Halved(torch.nn.Module):
    def forward(self, g, seconds):
        return g * 0.5 ** (seconds > 0).to(g.dtype)


def test_an_effect_may_ask_for_stuck_cells_too(converted):
    drift = {"name": "drift", "nu": 0.1, "t0": 1.0}
    model = converted({"name": "stuck_at", "p_lrs": 0.3}, drift, Corrosion())
    crossbar = model[0].crossbar
    before, stuck = crossbar.conductance.clone(), stuck_cells(crossbar)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        memcore.age(model, seconds=1e6)
    assert torch.equal(crossbar.conductance[stuck], 0.5 * before[stuck])
    assert (crossbar.conductance[~stuck] < 0.5 * before[~stuck]).any()
