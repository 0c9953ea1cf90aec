"""The clock of an array adds up what passes, whatever the temperature."""

import copy
import math

import pytest
import torch

from memcore import ConfigError
from memcore.crossbar.clock import Clock


def test_equal_temperatures_share_a_segment():
    clock = Clock()
    for temperature, seconds in ((300.0, 1.0), (400.0, 2.0), (300.0, 4.0)):
        clock.advance(temperature, seconds=seconds)
    assert clock.segments.tolist() == [[300.0, 5.0, 0.0, 0.0], [400.0, 2.0, 0.0, 0.0]]
    assert clock.seconds == 7.0


def test_acceleration_weighs_each_segment():
    clock = Clock()
    clock.advance(300.0, seconds=10.0, reads=3.0)
    clock.advance(400.0, seconds=1.0, cycles=2.0)
    assert clock.elapsed("seconds", lambda t: (t - 290) / 10) == 10.0 + 11.0
    assert clock.elapsed("reads") == 3.0
    assert clock.elapsed("cycles") == 2.0


def test_two_accelerations_give_two_times():
    clock = Clock()
    clock.advance(300.0, seconds=10.0)
    clock.advance(400.0, seconds=1.0)
    assert clock.elapsed("seconds", lambda t: torch.stack([t / 100, 0 * t])).tolist() == [34.0, 0.0]
    assert Clock().elapsed("seconds", lambda t: torch.stack([t, t])).tolist() == [0.0, 0.0]


def test_a_rewrite_starts_time_again_and_wears_the_cells():
    clock = Clock()
    clock.advance(350.0, seconds=10.0, cycles=5.0, reads=3.0)
    clock.rewrite(300.0)
    assert [float(clock.elapsed(count)) for count in ("seconds", "cycles", "reads")] == [0, 6, 0]


@pytest.mark.parametrize(
    ("passed", "message"),
    [
        ({"seconds": -1.0}, r"seconds=-1\.0; time only passes"),
        ({"cycles": float("nan")}, "cycles=nan"),
        ({"reads": float("inf")}, "reads=inf"),
        ({"seconds": "3600"}, "seconds='3600'; time only passes; expected a finite number"),
        ({"cycles": None}, "cycles=None"),
    ],
)
def test_time_only_passes(passed, message):
    with pytest.raises(ConfigError, match=message):
        Clock().advance(300.0, **passed)


@pytest.mark.parametrize("temperature", [0.0, -5, math.nan, math.inf, "300"])
def test_nothing_is_at_zero_kelvin_or_below(temperature):
    with pytest.raises(ConfigError, match=f"temperature={temperature!r}; .* of K, above 0"):
        Clock().advance(temperature, seconds=1.0)


def test_casting_a_model_leaves_its_clock_exact():
    clock = Clock()
    clock.advance(300.0, seconds=2.0**40 + 1)
    assert clock.bfloat16().seconds == 2.0**40 + 1


def test_a_life_with_other_temperatures_can_be_loaded():
    clock, other = Clock(), Clock()
    clock.advance(300.0, seconds=1.0)
    clock.advance(350.0, seconds=2.0)
    other.load_state_dict(clock.state_dict())
    assert torch.equal(other.segments, clock.segments)
    later = copy.deepcopy(other)
    later.advance(300.0, seconds=1.0)
    assert other.seconds == 3.0
