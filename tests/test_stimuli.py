import math

import pytest
import torch

from memcore import ConfigError, stimuli

F64 = torch.float64


def test_a_sine_has_its_amplitude_frequency_and_mean():
    v = stimuli.sine(2.0, 50.0, dt=1e-4, periods=3, offset=0.5, dtype=F64)
    assert v.shape == (600,)
    t = (torch.arange(600, dtype=F64) + 0.5) * 1e-4
    torch.testing.assert_close(v, 0.5 + 2 * torch.sin(2 * math.pi * 50 * t))
    assert v.mean().item() == pytest.approx(0.5, abs=1e-12)


def test_a_long_sine_keeps_its_phase_in_single_precision():
    v = stimuli.sine(1.0, 1e3, dt=1e-6, periods=1000)
    assert v.dtype == torch.float32
    torch.testing.assert_close(v[-1000:], v[:1000], rtol=0, atol=1e-6)


def test_a_triangle_sweeps_both_ways_at_constant_speed():
    v = stimuli.triangle(1.5, 1.0, dt=1e-3, negative=-0.5, dtype=F64)
    assert v.max().item() == pytest.approx(1.5, rel=5e-3)
    assert v.min().item() == pytest.approx(-0.5, rel=5e-3)
    assert v[:250].diff().tolist() == pytest.approx([1.5 / 250] * 249)
    assert v[750:].diff().tolist() == pytest.approx([0.5 / 250] * 249)
    assert v[:500].mean().item() == pytest.approx(0.75)
    assert v[500:].mean().item() == pytest.approx(-0.25)


def test_a_negative_amplitude_begins_downwards():
    torch.testing.assert_close(
        stimuli.triangle(-1.0, 1.0, dt=0.01), -stimuli.triangle(1.0, 1.0, dt=0.01)
    )


def test_pulses_have_exact_edges():
    v = stimuli.pulse_train(0.8, 3, width=2e-3, gap=1e-3, dt=1e-3, read=0.1)
    assert v.tolist() == pytest.approx([0.8, 0.8, 0.1] * 3)
    assert stimuli.pulse_train(1.0, 2, width=1.0, gap=0.0, dt=1.0).tolist() == [1.0, 1.0]


def test_widths_that_are_whole_numbers_of_samples_but_for_rounding_are_exact():
    for count in (1, 3, 7, 1000):
        v = stimuli.pulse_train(1.0, 2, width=count * 1e-9, gap=3 * 1e-10, dt=1e-10)
        assert v.tolist() == ([1.0] * (10 * count) + [0.0] * 3) * 2


def test_four_samples_are_enough_for_a_period():
    assert stimuli.triangle(1.0, 50e6, dt=5e-9).tolist() == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_potentiation_comes_before_depression():
    v = stimuli.ltp_ltd(1.0, -2.0, 2, width=1.0, gap=1.0, dt=1.0, cycles=2)
    assert v.tolist() == [1, 0, 1, 0, -2, 0, -2, 0] * 2


def test_a_staircase_includes_both_ends_and_comes_back():
    up = stimuli.staircase(0.0, 1.0, 3, width=2.0, dt=1.0)
    assert up.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    both = stimuli.staircase(0.0, 1.0, 3, width=1.0, dt=1.0, back=True)
    assert both.tolist() == [0, 0.5, 1, 0.5, 0]
    gaps = stimuli.staircase(1.0, 2.0, 2, width=1.0, gap=1.0, dt=1.0)
    assert gaps.tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stimuli.sine(1.0, 0.0, dt=1.0), "frequency=0.0; expected a finite number > 0"),
        (lambda: stimuli.sine(1.0, 1.0, dt=0.0), "dt=0.0; expected"),
        (lambda: stimuli.sine(1.0, 1.0, dt=9.0), "at least 4 samples in a period: dt <= 0.25"),
        (lambda: stimuli.sine(1.0, 1.0, dt=1.0), "a period is 1 s, but dt=1.0 s; expected"),
        (
            lambda: stimuli.triangle(1.0, 2.0, dt=0.15),
            "expected at least 4 samples in a period: dt <= 0.125",
        ),
        (lambda: stimuli.sine(1.0, 1.0, dt=0.25, periods=0.1), "expected dt to be smaller"),
        (
            lambda: stimuli.pulse_train(1.0, 1, width=1.5e-7, gap=1e-7, dt=1e-7),
            "width is 1.5e-07 s, 1.5 samples of dt=1e-07 s; expected a whole number of samples: "
            "width=1e-07 or 2e-07, or another dt",
        ),
        (
            lambda: stimuli.ltp_ltd(1, -1, 1, width=1.0, gap=0.7, dt=1.0),
            "gap is 0.7 s, 0.7 samples of dt=1.0 s; .* gap=1, or another dt",
        ),
        (lambda: stimuli.staircase(0, 1, 2, width=2.5, dt=1.0), "width=2 or 3, or another dt"),
        (lambda: stimuli.pulse_train(1.0, 1.5, width=1, gap=1, dt=1), "count=1.5; expected an int"),
        (lambda: stimuli.ltp_ltd(1, -1, 1, width=1, gap=0, dt=1, cycles=2.0), "cycles=2.0; expect"),
        (lambda: stimuli.pulse_train(1.0, 0, width=1.0, gap=0.0, dt=1.0), "count=0; expected"),
        (lambda: stimuli.pulse_train(1.0, 1, width=-1.0, gap=0.0, dt=1.0), "width=-1.0"),
        (lambda: stimuli.pulse_train(1.0, 1, width=1.0, gap=-1.0, dt=1.0), "gap=-1.0"),
        (lambda: stimuli.staircase(0.0, 1.0, 0, width=1.0, dt=1.0), "steps=0"),
        (lambda: stimuli.ltp_ltd(1, -1, 1, width=1.0, gap=0, dt=1.0, cycles=0), "cycles=0"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        call()
