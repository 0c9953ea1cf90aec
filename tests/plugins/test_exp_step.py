import dataclasses

import pytest
import torch
from memcore_plugins.devices.exp_step import ExpStep

import memcore


def at(device, *weights):
    return device.state_at(torch.tensor(weights, dtype=torch.float64))


@pytest.mark.parametrize(
    ("w", "up", "down"),
    [
        (-1.0, 0.00294901, 0.00108126),
        (0.0, 0.00148125, 0.00199144),
        (1.0, 0.00136077, 0.01307966),
    ],
)
def test_steps_equal_the_oracle(w, up, down):
    found = ExpStep().change(torch.tensor([w, w], dtype=torch.float64), torch.tensor([True, False]))
    assert found.tolist() == pytest.approx([up, -down], abs=6e-9)


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        (-1.0, 1, -0.99705099),
        (-1.0, 10, -0.971023),
        (-1.0, 100, -0.7478237),
        (-1.0, 400, -0.207551),
        (-1.0, 1000, 0.6555795),
        (1.0, -1, 0.9869203),
        (1.0, -10, 0.8842534),
        (1.0, -100, 0.3773771),
        (1.0, -400, -0.2639759),
        (1.0, -1000, -0.9981497),
    ],
)
def test_pulses_equal_the_oracle(start, count, expected, ctx):
    device = ExpStep()
    found = device.position(device.pulses(at(device, start), torch.tensor([count]), ctx)).item()
    assert found == pytest.approx(expected, abs=1e-7)


def test_the_default_is_the_reram_without_noise_and_spread():
    preset = dataclasses.replace(ExpStep.preset("reram_es").nominal(), c2c=0.0, write_std=0.0)
    assert preset == ExpStep()


def test_a_step_that_would_turn_round_is_none(ctx):
    device = ExpStep(A_up=1.0, A_down=1.0, a=1.0, b=0.0, gamma_up=5.0, gamma_down=5.0)
    w = torch.tensor([0.5], dtype=torch.float64)
    assert device.change(w, torch.tensor([True])).item() == 0
    for count in (1, 20):
        found = device.pulses(at(device, 0.5), torch.tensor([count]), ctx)
        assert device.position(found).item() == pytest.approx(0.5, abs=1e-12)
    below = device.position(device.pulses(at(device, -0.5), torch.tensor([10_000]), ctx)).item()
    assert below == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("a", [-0.5, 0.5])
@pytest.mark.parametrize("A", [-5.0, -0.1, 0.0, 0.8])
def test_many_pulses_equal_single_ones_for_every_shape(a, A, ctx):
    device = ExpStep(a=a, A_up=A, A_down=A, gamma_up=2.0, gamma_down=3.0, b=0.1, dw_min=0.004)
    state = at(device, *torch.linspace(-1, 1, 11).tolist())
    for sign in (1, -1):
        single = state
        for _ in range(60):
            single = device.pulses(single, torch.full((11,), sign), ctx)
        found = device.pulses(state, torch.full((11,), 60 * sign), ctx)
        torch.testing.assert_close(found, single, rtol=0, atol=1e-6)


def test_noise_of_pcm_knows_step_constant_and_position(ctx):
    device = ExpStep.preset("pcm").nominal()
    for w in (0.0, 0.5, 1.0):
        state = at(device, *[w] * 10)
        step = 0.01 * (1 + 27.235 * torch.exp(torch.tensor(-2.5 * w))).item()
        expected = 0.6 * (step + 0.042 + 0.108 * w)
        found = device.spread(device.position(state), torch.ones(10, dtype=torch.bool))
        assert found.tolist() == pytest.approx([expected] * 10, rel=1e-6)
    state = at(device, *[1.0] * 100_000)
    moved = device.position(device.pulses(state, torch.ones(100_000), ctx))
    assert moved.std().item() == pytest.approx(expected, rel=0.01)


def test_write_noise_of_reram(ctx):
    device = ExpStep.preset("reram_es").nominal()
    state = device.pulses(at(device, *[0.0] * 100_000), torch.ones(100_000), ctx)
    assert 2 * state[1].std().item() == pytest.approx(75 * 0.00135, rel=0.01)


@pytest.mark.parametrize("parameters", [{"a": 0.0}, {"gamma_up": 0.0}, {"noise_add": -1.0}])
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        ExpStep(**parameters)
