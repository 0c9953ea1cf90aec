"""The effects that statistical devices bring keep the promises of every non-ideality.

Those whose window the conductances of the kit leave are tested with their devices.
"""

import pytest
import torch

from memcore import ConfigError, CrossbarConfig, convert, devices, program
from memcore.modelling import require_inside
from memcore.testing import parametrize_with_checks

STATISTICAL = [
    "ecram",
    "fefet",
    "pcm",
    "pcm_hermes",
    "reram_cmo",
    "reram_milo",
    "reram_wan2022",
    "sonos",
    "stt_mram",
]


@parametrize_with_checks(
    *devices["pcm_hermes"](g_max=2e-4).effects(),
    *devices["reram_cmo"]().effects()[1:],
    *devices["sonos"]().effects()[1:],
    *devices["stt_mram"]().effects()[1:],
    expected_failures={"check_neutral_is_the_identity": "left out by its name, not by parameters"},
)
def test_effects_conform(check):
    check()


@pytest.mark.parametrize("name", STATISTICAL)
def test_a_layer_of_these_cells_is_finite_and_the_chip_is_reproducible(name):
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(20, 10))
    first, again, other = (convert(layer, CrossbarConfig(device=name), seed=s) for s in (0, 0, 1))
    g = [model[0].crossbar.conductance for model in (first, again, other)]
    assert g[0].isfinite().all()
    assert (g[0] >= 0).all()
    assert torch.equal(g[0], g[1])
    assert not torch.equal(g[0], g[2])
    assert first(torch.ones(3, 20)).isfinite().all()


@pytest.mark.parametrize("name", [n for n in STATISTICAL if n != "stt_mram"])
def test_a_rewrite_draws_the_error_anew(name):
    model = convert(torch.nn.Sequential(torch.nn.Linear(20, 10)), CrossbarConfig(device=name))
    before = model[0].crossbar.programmed.clone()
    program(model)
    assert not torch.equal(model[0].crossbar.programmed, before)


@pytest.mark.parametrize("name", STATISTICAL)
def test_each_refuses_to_be_pulsed(name, ctx):
    cell = devices[name]()
    state = cell.initial_state((3,), ctx)
    with pytest.raises(NotImplementedError, match="programmer='direct'"):
        cell.step(state, torch.ones(3), 1e-9, ctx)


@pytest.mark.parametrize("name", STATISTICAL)
def test_windows_are_those_of_the_fit_in_half_precision_too(name):
    """The ends of a window, rounded to bfloat16, are no conductances beyond the fit."""
    torch.manual_seed(0)
    chip = convert(torch.nn.Linear(12, 8).bfloat16(), CrossbarConfig(device=name))
    assert chip(torch.ones(2, 12, dtype=torch.bfloat16)).isfinite().all()


def test_conductances_beyond_the_rounding_of_half_precision_leave_the_fit():
    g = torch.tensor([1e-5, 1.02e-5], dtype=torch.bfloat16)
    require_inside(g[:1], 1e-6, 1e-5, "here")
    with pytest.raises(ConfigError, match="the fit holds from"):
        require_inside(g, 1e-6, 1e-5, "here")
    with pytest.raises(ConfigError, match="the fit holds from"):
        require_inside(torch.tensor([1.001e-5]), 1e-6, 1e-5, "here")
