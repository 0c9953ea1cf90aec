"""What the docstrings claim."""

import dataclasses
import math

import pytest
import torch
from memcore_example.column_gain import ExampleColumnGain
from memcore_example.rram import ExampleRram
from memcore_example.synapse import ExampleSynapse
from memcore_example.two_speeds import ExampleTwoSpeeds

import memcore
from memcore.testing.cases import array, context


def test_all_are_found_by_name():
    assert memcore.devices["example_synapse"] is ExampleSynapse
    assert memcore.devices["example_rram"] is ExampleRram
    assert memcore.nonidealities["example_column_gain"] is ExampleColumnGain
    assert memcore.programmers["example_two_speeds"] is ExampleTwoSpeeds


def after(voltage: float, seconds: float, x: float) -> float:
    state = torch.full((1, 1), x, dtype=torch.float64)
    v = torch.full((1,), voltage, dtype=torch.float64)
    return float(ExampleRram().step(state, v, seconds, context()))


def test_set_follows_the_closed_form():
    speed = 2 * 4e-7 * math.sinh(1 / 0.035)
    assert after(1.0, 1e-6, 0.3) == pytest.approx(1 - 0.7 * math.exp(-speed * 1e-6))
    assert after(-1.0, 1e-6, 0.3) == pytest.approx(0.3 * math.exp(-speed * 1e-6))


def test_time_constants_are_a_microsecond_at_1_volt_and_two_hours_at_a_read():
    assert after(1.0, 1e-6, 0.0) == pytest.approx(1 - math.exp(-1), rel=0.05)
    assert after(0.2, 2 * 3600.0, 0.0) == pytest.approx(1 - math.exp(-1), rel=0.1)


def pulsed(device: ExampleSynapse, x: float, count: int, cells: int = 1) -> torch.Tensor:
    state = torch.full((1, cells), x, dtype=torch.float64)
    return device.pulses(state, torch.full((cells,), count), context(count))[0]


def test_pulses_approach_the_bounds_geometrically():
    device = ExampleSynapse(up=0.05, down=0.1)
    for count in (1, 7, 300):
        assert float(pulsed(device, 0.2, count)) == pytest.approx(1 - 0.8 * 0.95**count)
        assert float(pulsed(device, 0.2, -count)) == pytest.approx(0.2 * 0.9**count)


def test_noise_of_many_pulses_has_the_spread_of_as_many_single_ones():
    device, singly = ExampleSynapse(c2c=0.3), torch.full((1, 4000), 0.2, dtype=torch.float64)
    for n in range(20):
        singly = device.pulses(singly, torch.ones(4000), context(n))
    at_once = pulsed(device, 0.2, 20, cells=4000)
    assert float(at_once.mean()) == pytest.approx(float(singly.mean()), abs=0.002)
    assert float(at_once.std()) == pytest.approx(float(singly.std()), rel=0.1)


def test_a_published_set_is_read_from_its_file():
    assert list(ExampleSynapse.presets) == ["fine"]
    fine = ExampleSynapse.preset("fine")
    assert (fine.up, fine.c2c) == (0.005, 0.3)


def test_gains_spread_as_declared_and_stay_for_life():
    info = array(arrays=50, rows=1, cols=100, spread=False)
    effect = ExampleColumnGain(std=0.05)
    gain = effect.bind(info, context(3)).gain

    assert gain.shape == (50, 100)
    assert float(gain.mean()) == pytest.approx(1.0, abs=5 * 0.05 / math.sqrt(5000))
    assert float(gain.std()) == pytest.approx(0.05, rel=5 / math.sqrt(2 * 5000))
    assert torch.equal(gain, effect.bind(info, context(3)).gain)


def test_negative_spread_is_refused():
    with pytest.raises(memcore.ConfigError, match=r"std=-0\.1; expected a finite number >= 0"):
        ExampleColumnGain(std=-0.1)


def written(how: ExampleTwoSpeeds, **told) -> memcore.Programmed:
    info = dataclasses.replace(array(device=ExampleRram(), rows=8, cols=8), **told)
    low, high = info.nominal.nominal_range()
    share = context(0, "targets").random.uniform(info.shape)
    return how.program(info, low + (0.1 + 0.8 * share) * (high - low), context())


def test_coarse_pulses_save_time_and_fine_ones_end_as_near_to_the_target():
    low, high = ExampleRram().nominal_range()
    both, fine = (
        written(ExampleTwoSpeeds(coarse=coarse, max_pulses=1000)) for coarse in (0.1, 0.01)
    )
    assert both.pulses.mean() < 0.5 * fine.pulses.mean()
    for done in (both, fine):
        assert done.verified.all()
        assert done.error.abs().max() <= 0.0101 * (high - low)


def test_far_cells_take_more_pulses_and_still_arrive():
    wires = memcore.Wires(word_line=50.0, bit_line=50.0)
    done, plain = written(ExampleTwoSpeeds(), wires=wires), written(ExampleTwoSpeeds())
    assert done.verified.all()
    assert done.pulses[:, 0, -1].mean() > plain.pulses[:, 0, -1].mean()
