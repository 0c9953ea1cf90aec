import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import CrossbarConfig, converters

CTX = memcore.Context(random=memcore.Stream(0))
RANGES = st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)).map(lambda r: (r[0], r[0] + r[1]))
SIGNED = ["magnitude", "split", "twos_complement"]


def bound(name, ends, **parameters):
    scale = torch.tensor(ends, dtype=torch.float64)
    return converters[name](**parameters).bind(scale, CTX)


@given(
    RANGES,
    st.integers(2, 12),
    st.integers(1, 5),
    st.sampled_from(SIGNED),
    st.sampled_from([None, False]),
)
def test_digits_add_up_to_what_the_uniform_converter_gives(ends, bits, few, signed, symmetric):
    ends = (min(ends[0], 0.0), max(ends[1], 0.0))
    symmetric = None if signed == "twos_complement" else symmetric
    parameters = {"bits": bits, "symmetric": symmetric}
    form = bound("bit_serial", ends, bits_per_step=few, signed=signed, **parameters)
    x = torch.linspace(1.2 * ends[0], ends[1], 301, dtype=torch.float64)
    pairs = zip(form.places, form.digits(x), strict=True)
    total = sum(place * digit for place, digit in pairs)

    torch.testing.assert_close(total, form(x), rtol=1e-9, atol=1e-9 * max(map(abs, ends)))
    if signed != "twos_complement":  # which reaches one step further down
        assert torch.equal(form(x), bound("uniform", ends, **parameters)(x))


@pytest.mark.parametrize(
    ("signed", "bits", "few", "steps"),
    [
        ("magnitude", 8, 1, 7),
        ("magnitude", 8, 3, 3),
        ("split", 8, 1, 14),
        ("split", 8, 4, 4),
        ("twos_complement", 8, 1, 8),
        ("twos_complement", 8, 3, 4),
    ],
)
def test_the_phases_of_signed_inputs(signed, bits, few, steps):
    form = bound("bit_serial", (-1.0, 1.0), bits=bits, bits_per_step=few, signed=signed)
    assert form.steps == steps
    unsigned = bound("bit_serial", (0.0, 1.0), bits=bits, bits_per_step=few, signed=signed)
    assert unsigned.steps == -(-bits // few)


def test_only_magnitudes_take_a_driver_of_both_signs():
    x = torch.linspace(-1, 1, 99, dtype=torch.float64)
    for signed in SIGNED:
        lowest = bound("bit_serial", (-1.0, 1.0), signed=signed).digits(x).min()
        assert (float(lowest) < 0) == (signed == "magnitude")


@pytest.mark.parametrize("signed", SIGNED)
@pytest.mark.parametrize(("ends", "width"), [((-1.0, 1.0), 3), ((0.0, 1.0), 4)])
@pytest.mark.parametrize("few", [4, 5, 8])
def test_a_step_with_bits_to_spare_still_drives_the_whole_voltage(signed, ends, width, few):
    x = torch.linspace(*ends, 99, dtype=torch.float64)
    form = bound("bit_serial", ends, bits=4, bits_per_step=few, signed=signed)
    narrow = bound("bit_serial", ends, bits=4, bits_per_step=width, signed=signed)
    assert float(form.digits(x).abs().max()) == pytest.approx(narrow.step * max(-form.lo, form.hi))
    assert torch.equal(form.digits(x), narrow.digits(x))
    assert (form.places, form.planes) == (narrow.places, narrow.planes)


@pytest.mark.parametrize("signed", SIGNED)
@pytest.mark.parametrize("adc", [None, {"name": "uniform", "bits": 6}])
@pytest.mark.parametrize("effects", [[], ["read_noise"]])
def test_every_reader_gives_steps_with_bits_to_spare_the_same_currents(signed, adc, effects):
    """Folded, fused with codes of whole numbers, and electrical."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(10, 3), torch.randn(20, 10)
    mapper = {"name": "bit_slice", "weight_bits": 5, "slice_bits": 2}
    found = []
    for few in (3, 8):
        dac = {"name": "bit_serial", "bits": 4, "signed": signed, "bits_per_step": few}
        config = CrossbarConfig(
            device="ideal", mapper=mapper, dac=dac, adc=adc, nonidealities=effects
        )
        mem = memcore.convert(layer, config, calibration=x)
        found.append((mem(x), mem.crossbar.output.range.nan_to_num(0.0)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_each_phase_costs_conversions_of_a_small_dac():
    layer = torch.nn.Linear(10, 3)
    dac = {"name": "bit_serial", "bits": 8, "bits_per_step": 2, "full_scale": (0.0, 1.0)}
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", dac=dac))
    activity = mem.crossbar.plan.activity(5)
    assert activity.phases == 5 * 4
    assert activity.dac_conversions == {2: 5 * 4 * 10}
    assert activity.bits_in == 5 * 4 * 10 * 2


def test_it_is_calibrated_like_any_other():
    layer, x = torch.nn.Linear(10, 3), torch.randn(50, 10)
    found = []
    for name in ("bit_serial", "uniform"):
        config = CrossbarConfig(device="ideal", dac={"name": name, "calibration": "percentile"})
        found.append(memcore.convert(layer, config, calibration=x).crossbar.input.range)
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["bit_serial", "spike_code", "uniform"])
def test_one_bit_for_values_of_both_signs_is_refused_with_what_to_do(name):
    x = torch.tensor([[-1.0, 0.5, 2.0]])
    config = memcore.CrossbarConfig(device="ideal", dac={"name": name, "bits": 1})
    with pytest.raises(memcore.ConfigError, match=r"bits=1 has the levels 0 and one more.*bits=2"):
        memcore.convert(torch.nn.Linear(3, 2), config, calibration=x)
    chip = memcore.convert(torch.nn.Linear(3, 2), config, calibration=x.relu())
    assert chip(x.relu()).isfinite().all()
