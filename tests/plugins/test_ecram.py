import math

import pytest
import torch

from memcore import ConfigError, Context, devices

Ecram = devices["ecram"]
SHAPE = (1, 250, 400)


@pytest.mark.parametrize(
    ("cell", "step", "c2c"),
    [(Ecram(), 0.001, 0.3), (Ecram.preset("metal_oxide"), 1.4107e-4, 2.0)],
)
def test_writing_has_the_noise_of_its_pulses(cell, step, c2c, arrays, ctx, moments):
    low, high = cell.conductance_range()
    info, effect = arrays(cell, SHAPE), cell.effects()[0]
    first, second = (effect.bind(info, Context(random=ctx.random, writes=n)) for n in (0, 1))
    g = torch.full(SHAPE, 0.5 * (low + high), dtype=torch.float64)
    moments(first(g), 0.5 * (low + high), c2c * step * math.sqrt(0.5 / step) * (high - low))
    assert not torch.equal(first(g), second(g))


def test_what_it_cannot_be_is_refused(arrays, ctx):
    with pytest.raises(ConfigError, match="pulse_step=0"):
        Ecram(pulse_step=0.0)
    write = Ecram().effects()[0].bind(arrays(Ecram(), (1, 2, 2)), ctx)
    with pytest.raises(ConfigError, match="map the weights into this window"):
        write(torch.full((1, 2, 2), 1e-4))


def test_noise_at_the_top_is_cut_off_as_documented(arrays, ctx):
    device = devices["ecram"]()
    shape = (1, 250, 400)
    write = device.effects()[0].bind(arrays(device, shape), ctx)
    top = torch.full(shape, device.g_max, dtype=torch.float64)
    missed = float((write(top) - top).mean())
    s = float(device.programming_std(top[0, 0, 0]))
    assert missed == pytest.approx(-s / math.sqrt(2 * math.pi), rel=0.02)
