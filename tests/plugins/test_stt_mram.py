import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, Context, CrossbarConfig, devices

Mram = devices["stt_mram"]
SHAPE = (1, 250, 400)


def require_share(found, p):
    n = found.numel()
    assert abs(float(found.double().mean()) - p) <= 4 * math.sqrt(p * (1 - p) / n)


@pytest.fixture
def bound(arrays, ctx):
    def bind(cell, writes=0):
        where = Context(random=ctx.random, writes=writes)
        info = arrays(cell, SHAPE)
        return [e.bind(info, where.child(type(e).__name__)) for e in cell.effects()]

    return bind


def test_resistances_follow_area_and_magnetoresistance():
    cell = Mram(ra=6e-12, area=2e-15, tmr=2.0, v_read=0.5)
    low, high = cell.conductance_range()
    assert 1 / high == pytest.approx(3000.0, rel=1e-9)
    assert 1 / low == pytest.approx(6000.0, rel=1e-9)  # half of the magnetoresistance is left


def test_probabilities_are_the_closed_forms():
    cell = Mram(delta=40.0)
    assert cell.lost(1e7) == pytest.approx(1 - math.exp(-1e16 * math.exp(-40)), rel=1e-9)
    assert cell.disturbed(0.5, 1e-3) == pytest.approx(1 - math.exp(-1e6 * math.exp(-20)), rel=1e-9)
    slow = Mram(delta=40.0, overdrive=1.2, write_time=1e-8, tau_d=1e-9)
    exponent = math.pi**2 * 10 * 0.2 / (1.2 * math.exp(4) - 1)
    assert slow.write_error() == pytest.approx(1 - math.exp(-exponent), rel=1e-9)
    assert Mram(write_time=4e-8).write_error() < Mram().write_error() < 1e-6


def test_a_target_takes_the_nearer_state_but_for_the_share_of_failures(bound):
    cell = Mram(overdrive=1.2, write_time=1e-8)
    low, high = cell.conductance_range()
    g = torch.full(SHAPE, 0.4 * low + 0.6 * high)
    first, second = (bound(cell, writes)[0](g) for writes in (0, 1))
    assert set(first.unique().tolist()) == {torch.tensor(e).item() for e in (low, high)}
    require_share(first < 0.5 * (low + high), cell.write_error())
    assert not torch.equal(first, second)


def test_resistances_are_normal_and_stay_for_life(bound, moments):
    first, second = (bound(Mram(), writes)[1] for writes in (0, 1))
    assert torch.equal(first.gain, second.gain)
    moments(1 / first.gain, 1.0, 0.05)


@pytest.mark.parametrize("seconds", [1e7, 1e8])
def test_bits_are_lost_at_the_thermal_rate(seconds, bound):
    cell = Mram(delta=40.0)
    low, high = cell.conductance_range()
    for g, other in ((low, high), (high, low)):
        start = torch.full(SHAPE, g, dtype=torch.float64)
        after = bound(cell)[2](start, torch.tensor(seconds))
        flipped = (after / start - 1).abs() > 0.1
        torch.testing.assert_close(after[flipped], torch.full_like(after[flipped], other))
        require_share(flipped, cell.lost(seconds))


def test_age_is_additive():
    def layer():
        torch.manual_seed(0)
        config = CrossbarConfig(device={"name": "stt_mram", "delta": 40.0})
        return memcore.convert(nn.Sequential(nn.Linear(30, 20)), config)

    a, b = layer(), layer()
    fresh = a[0].crossbar.conductance.clone()
    for seconds in (2e7, 8e7):
        memcore.age(a, seconds=seconds)
    memcore.age(b, seconds=1e8)
    assert torch.equal(a[0].crossbar.conductance, b[0].crossbar.conductance)
    assert not torch.equal(a[0].crossbar.conductance, fresh)


@pytest.mark.parametrize(
    "parameters", [{"ra": 1e-12}, {"tmr": 0.5}, {"delta": 20.0}, {"std": 0.2}, {"overdrive": 0.9}]
)
def test_what_the_model_does_not_cover_is_refused(parameters):
    with pytest.raises(ConfigError, match=f"SttMram: {next(iter(parameters))}="):
        Mram(**parameters)


def test_a_write_current_does_not_read():
    with pytest.raises(ConfigError, match="of the critical one"):
        Mram().disturbed(1.0, 1e-9)
