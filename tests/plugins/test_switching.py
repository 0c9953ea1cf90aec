import math

import pytest
import torch

import memcore
from memcore import Context, Stream
from memcore.modelling import advance, duration


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def end(log_rate, start, direction, dt, substeps):
    return advance(log_rate, numbers(start), numbers(direction), dt, substeps).item()


@pytest.mark.parametrize("substeps", [1, 2, 4, 7])
@pytest.mark.parametrize(("slope", "direction"), [(30.0, 1.0), (-30.0, -1.0), (-30.0, 1.0)])
def test_an_exponential_rate_is_integrated_exactly(slope, direction, substeps):
    start, pace = (0.1 if direction > 0 else 0.9), slope * direction
    for time in (1e-3, 0.02, 0.0331, 1.0, 1e6):
        rest = 1 - pace * time  # of 1 - s t, whose logarithm is the way
        far = -math.log(rest) / pace if rest > 0 else 2.0
        expected = min(max(start + direction * far, 0.0), 1.0)
        found = end(lambda x: slope * (x - start), start, direction, time, substeps)
        assert found == pytest.approx(expected, abs=1e-6)


def test_a_runaway_needs_no_second_pulse():
    def log_rate(x):
        return -100 * (1 - x) ** 2

    whole = end(log_rate, 0.5, 1.0, 1e11, 4)
    assert whole == 1.0
    assert end(log_rate, 0.5, 1.0, 1e7, 4) < 0.6


@pytest.mark.parametrize("substeps", [4, 16])
def test_a_curved_rate_equals_an_independent_integration(substeps):
    from scipy.integrate import quad

    def log_rate(x):
        return -12 * (x - 0.2) ** 2 - 6 * x

    for target in (0.3, 0.7, 0.95):
        time = quad(lambda x: math.exp(-log_rate(x)), 0.1, target, epsabs=0, epsrel=1e-10)[0]
        found = end(log_rate, 0.1, 1.0, time, substeps)
        assert found == pytest.approx(target, abs=0.3 / substeps**2)


def test_the_time_to_a_place_is_the_inverse_of_the_distance():
    push, slope = numbers(0.3, 0.3, 0.3, 3.0, 3.0), numbers(-5.0, 2.0, 0.0, 2.0, -800.0)
    far = numbers(math.log1p(1.5) / 5, -math.log1p(-0.6) / 2, 0.3, 0.1, 0.1)
    found = [
        duration(p.log(), s, d.item()).item() for p, s, d in zip(push, slope, far, strict=True)
    ]
    assert found[:3] == pytest.approx([1, 1, 1], rel=1e-3)
    assert found[3:] == pytest.approx([-math.expm1(-0.2) / 6, 1])


@pytest.mark.parametrize(("name", "substeps"), [("simmons", 8), ("team", 16), ("stanford_pku", 4)])
def test_pulses_that_outpace_their_substeps_make_one(name, substeps):
    device, ctx = memcore.devices[name](substeps=substeps), Context(random=Stream(0))
    state = torch.linspace(0, 1, 11, dtype=torch.float64)[None]
    for v in (-1.5, 1.5):
        voltage = torch.full((11,), v, dtype=torch.float64)
        for dt in (1e-6, 1e3):
            whole, parts = device.step(state, voltage, dt, ctx), state
            for _ in range(5):
                parts = device.step(parts, voltage, dt / 5, ctx)
            torch.testing.assert_close(whole, parts, rtol=0, atol=0.02)
