import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, converters

Converter = converters["uniform"]
CTX = memcore.Context(random=memcore.Stream(0))
RANGES = st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)).map(lambda r: (r[0], r[0] + r[1]))


def quantiser(low=-1.0, high=1.0, **parameters):
    scale = torch.tensor([low, high], dtype=torch.float64)
    return Converter(**parameters).bind(scale, CTX)


@pytest.mark.parametrize(("bits", "step"), [(2, 1.0), (4, 1 / 7), (8, 1 / 127)])
def test_a_symmetric_converter_has_an_odd_number_of_levels(bits, step):
    form = quantiser(bits=bits)
    assert form.step.item() == pytest.approx(step)
    assert form.hi - form.lo + 1 == 2**bits - 1


@pytest.mark.parametrize(("bits", "step"), [(2, 0.66667), (4, 0.13333), (8, 0.0078431)])
def test_an_asymmetric_converter_has_all_its_levels(bits, step):
    form = quantiser(1.0, 3.0, bits=bits, symmetric=False)
    assert form.step.item() == pytest.approx(step, rel=1e-4)
    assert form.hi - form.lo + 1 == 2**bits


@example((-5e-324, 6.0), 2, False)
@example((-6.0, 5e-324), 2, False)
@given(RANGES, st.integers(2, 12), st.booleans())
def test_values_in_range_err_by_half_a_step_and_zero_in_it_not_at_all(ends, bits, symmetric):
    form = quantiser(*ends, bits=bits, symmetric=symmetric)
    if symmetric or ends[0] <= 0 <= ends[1]:
        assert form(torch.zeros(1, dtype=torch.float64)).item() == 0
    x = torch.linspace(*ends, 200, dtype=torch.float64)
    assert ((form(x) - x).abs() <= 0.5 * form.step + 1e-9).all()
    codes = (form(x) - form.offset) / form.step
    assert (codes.diff() >= -1e-6).all()
    torch.testing.assert_close(codes, codes.round())


@pytest.mark.parametrize("ends", [(20e-6, 40e-6), (-5e-5, -1e-5), (0.0, 3.0), (-3.0, 0.0)])
def test_a_range_is_what_was_asked_for(ends):
    """Zero need not be in it."""
    form = quantiser(*ends, bits=8, symmetric=False)
    far = torch.tensor([-1e3, 1e3], dtype=torch.float64)
    assert form(far).tolist() == pytest.approx(list(ends), rel=1e-12)
    assert len(form(torch.linspace(*ends, 5000, dtype=torch.float64)).unique()) == 256


@given(RANGES, st.integers(2, 12))
def test_a_range_around_zero_reaches_less_than_a_step_further(ends, bits):
    form = quantiser(*ends, bits=bits, symmetric=False)
    low, high = form(torch.tensor([-1e9, 1e9], dtype=torch.float64)).tolist()
    step = form.step.item() * (1 + 1e-9)
    assert ends[0] - step < low <= ends[0] + 1e-9
    assert ends[1] - 1e-9 <= high < ends[1] + step


def test_without_a_choice_values_of_one_sign_are_unsigned():
    assert quantiser(0.0, 2.0, bits=4).hi - quantiser(0.0, 2.0, bits=4).lo == 15
    signed = quantiser(-0.1, 2.0, bits=4)
    assert (signed.lo, signed.hi) == (-7, 7)


@given(RANGES, st.integers(2, 12), st.booleans())
def test_what_is_converted_already_stays(ends, bits, symmetric):
    form = quantiser(*ends, bits=bits, symmetric=symmetric)
    once = form(torch.linspace(2 * ends[0], 2 * ends[1], 100, dtype=torch.float64))
    assert torch.equal(form(once), once)


def test_values_outside_saturate():
    assert quantiser(bits=8)(torch.tensor([-9.0, 9.0]).double()).tolist() == [-1.0, 1.0]


def test_the_error_of_a_busy_signal_is_a_step_over_root_twelve():
    form = quantiser(bits=8)
    x = 2 * memcore.Stream(0).uniform((400_000,), dtype=torch.float64) - 1
    assert (form(x) - x).square().mean().sqrt().item() == pytest.approx(
        form.step.item() / 12**0.5, rel=0.01
    )


def test_max_covers_everything_seen():
    assert Converter().observe(torch.tensor([-3.0, 0.0, 7.0])).tolist() == [-3.0, 7.0]


@pytest.mark.parametrize("symmetric", [True, False])
def test_percentile_leaves_out_the_tails(symmetric):
    x = torch.linspace(-1, 1, 2001)
    x[0], x[-1] = -50.0, 90.0
    found = Converter(calibration="percentile", percentile=99.0, symmetric=symmetric).observe(x)
    tail = 0.01 if symmetric else 0.02
    torch.testing.assert_close(found, torch.tensor([-1 + tail, 1 - tail]), rtol=0, atol=2e-3)


def test_a_fixed_range_does_not_look():
    converter = Converter(full_scale=(-1.0, 2.0))
    assert converter.observe(torch.tensor([55.0])).tolist() == [-1.0, 2.0]
    assert converter.observe(torch.zeros(0)).tolist() == [-1.0, 2.0]
    assert Converter(full_scale=3.0, symmetric=False).observe(torch.zeros(0)).tolist() == [0.0, 3.0]


def test_nothing_seen_is_no_range():
    assert Converter().observe(torch.zeros(0)) is None


@pytest.mark.parametrize("symmetric", [True, False])
def test_an_all_zero_signal_still_makes_a_converter(symmetric):
    form = quantiser(0.0, 0.0, symmetric=symmetric)
    assert form(torch.zeros(2, dtype=torch.float64)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"bits": 1, "symmetric": True}, "bits=1; expected an integer from 2"),
        ({"bits": 25}, "24"),
        ({"calibration": "mean"}, "calibration='mean'; expected one of max, percentile"),
        ({"percentile": 20.0}, "percentile=20.0"),
        ({"full_scale": -1.0}, "full_scale=-1.0; expected a peak > 0"),
        ({"full_scale": (2.0, 1.0)}, "full_scale="),
    ],
)
def test_impossible_converters_are_refused(parameters, text):
    with pytest.raises(ConfigError, match=text):
        Converter(**parameters)


@pytest.mark.parametrize(
    ("bits", "sigmas", "rel"),
    [
        (2, 1.2240, 0.01),  # 3 and 7 levels: Max, IRE Trans. Inf. Theory, 1960
        (3, 3 * 0.6508, 0.01),
        (5, 2.93, 0.05),  # 2^b levels, one more: Banner et al., NeurIPS 2019
        (6, 3.28, 0.05),
        (8, 3.89, 0.05),
    ],
)
def test_the_range_of_least_error_of_a_normal_signal_is_the_known_one(bits, sigmas, rel):
    x = memcore.Stream(0).normal((200_000,), dtype=torch.float64)
    found = Converter(bits=bits, calibration="least_error").observe(x)
    assert float(found[1]) == pytest.approx(sigmas, rel=rel)
    assert float(found[0]) == -float(found[1])


@pytest.mark.parametrize("symmetric", [None, True, False])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.5, 3.0])
def test_no_other_range_has_less_error(symmetric, shift):
    x = memcore.Stream(0).normal((20_000,), dtype=torch.float64).exp() - 1 + shift
    parameters = {"bits": 4, "symmetric": symmetric}
    found = Converter(**parameters, calibration="least_error").observe(x)

    def error(ends):
        return float((Converter(**parameters).bind(ends, CTX)(x) - x).square().mean())

    best = error(found)
    assert best <= error(Converter(**parameters).observe(x))
    for percentile in (99.9, 99.0, 95.0):
        other = Converter(**parameters, calibration="percentile", percentile=percentile)
        assert best <= error(other.observe(x)) * (1 + 1e-3)
    assert Converter(**parameters, calibration="least_error").of_all_values


def test_a_percentile_is_of_magnitudes():
    """A long negative tail is covered as well as a positive one."""
    x = memcore.Stream(0).uniform((10_000,), dtype=torch.float64)
    for values in (-x, x - 10, -x.square()):
        found = Converter(calibration="percentile", percentile=99.0).observe(values)
        share = float((values.abs() <= found[1]).double().mean())
        assert share == pytest.approx(0.99, abs=1e-3)
        assert float(found[0]) == -float(found[1])


@given(
    st.lists(st.floats(1e-9, 1e-3), min_size=2, max_size=5),
    st.lists(st.floats(1.0, 1e6), min_size=5, max_size=5),
    st.booleans(),
)
def test_steps_of_lanes_are_a_power_of_two_apart(peaks, gains, signed):
    converter = Converter(ratios="powers_of_two")
    high = torch.tensor(peaks, dtype=torch.float64)
    ranges = torch.stack([-0.5 * high if signed else 0 * high, high], dim=1)
    gain = torch.tensor(gains[: len(peaks)], dtype=torch.float64)
    agreed = converter.agree(ranges, gain)
    steps = torch.stack([converter.bind(each, CTX).step[0] for each in agreed]) * gain
    powers = (steps / steps.max()).log2()
    torch.testing.assert_close(powers, powers.round(), rtol=0, atol=1e-9)
    widened = agreed[:, 1] / high
    assert bool(((widened >= 1 - 1e-5) & (widened < 2)).all())
    assert float(widened.min()) == pytest.approx(1.0, rel=1e-5)


def test_lanes_without_signal_get_no_range_of_nan():
    converter = Converter(ratios="powers_of_two")
    ranges = torch.tensor([[0.0, 0.0], [-1.0, 2.0]])
    assert bool(converter.agree(ranges, torch.ones(2)).isfinite().all())
    assert converter.agree(0 * ranges, torch.ones(2)).abs().max() == 0


@pytest.mark.parametrize("calibration", ["max", "percentile", "least_error"])
def test_lanes_of_a_layer_are_added_by_shifts(calibration):
    layer = torch.nn.Linear(30, 7)
    adc = {"name": "uniform", "ratios": "powers_of_two", "calibration": calibration}
    config = memcore.CrossbarConfig(
        device="ideal", mapper={"name": "bit_slice", "slice_bits": (1, 2, 4)}, adc=adc
    )
    x = memcore.Stream(0).normal((50, 30))
    mem = memcore.convert(layer, config, calibration=x)
    crossbar = mem.crossbar
    steps = torch.stack([form.step[0] for form in crossbar.output.form.forms]) * crossbar.gain
    powers = (steps / steps.max()).log2()
    torch.testing.assert_close(powers, powers.round(), rtol=0, atol=1e-4)
    before = crossbar.output.range.clone()
    crossbar.refresh()
    assert torch.equal(crossbar.output.range, before)
