import math

import pytest
import torch

from memcore import ConfigError, Context, devices

FeFet = devices["fefet"]
SHAPE = (1, 250, 400)


def test_window_is_that_of_the_manual():
    low, high = FeFet().conductance_range()
    assert 1 / high == pytest.approx(559.28e3, rel=1e-9)
    assert high / low == pytest.approx(45, rel=1e-9)


def test_writing_takes_the_nearest_level_with_the_noise_of_its_pulses(arrays, ctx, moments):
    cell = FeFet()
    low, high = cell.conductance_range()
    info, effect = arrays(cell, SHAPE), cell.effects()[0]
    first, second = (effect.bind(info, Context(random=ctx.random, writes=n)) for n in (0, 1))
    g = torch.full(SHAPE, low + (high - low) * 16.3 / 31, dtype=torch.float64)
    moments(first(g), low + (high - low) * 16 / 31, 0.005 * (high - low) * math.sqrt(16))
    assert not torch.equal(first(g), second(g))
    empty = torch.full(SHAPE, low, dtype=torch.float64)
    assert torch.equal(first(empty), empty)


def test_nucleation_limited_switching_is_the_closed_form():
    film = {"tau0": 1e-9, "v_a": 4.0, "a": 2.0, "b": 0.5}
    expected = 1 - math.exp(-((1e-6 / (1e-9 * math.exp(4.0))) ** 0.5))
    assert FeFet.switched(2.0, 1e-6, **film) == pytest.approx(expected, rel=1e-9)
    assert FeFet.switched(2.0, 0.0, **film) == 0
    assert FeFet.switched(1e-3, 1.0, **film) < 1e-12
    with pytest.raises(ConfigError, match="expected numbers > 0"):
        FeFet.switched(-2.0, 1e-6, **film)


def test_what_it_cannot_be_is_refused(arrays, ctx):
    with pytest.raises(ConfigError, match="states=1; expected an integer >= 2"):
        FeFet(states=1)
    write = FeFet().effects()[0].bind(arrays(FeFet(), (1, 2, 2)), ctx)
    with pytest.raises(ConfigError, match="map the weights into this window"):
        write(torch.full((1, 2, 2), 1e-5))


def test_noise_at_the_top_is_cut_off_as_documented(arrays, ctx):
    device = devices["fefet"]()
    shape = (1, 250, 400)
    write = device.effects()[0].bind(arrays(device, shape), ctx)
    top = torch.full(shape, device.g_max, dtype=torch.float64)
    missed = float((write(top) - top).mean())
    s = float(device.programming_std(top[0, 0, 0]))
    assert missed == pytest.approx(-s / math.sqrt(2 * math.pi), rel=0.02)
