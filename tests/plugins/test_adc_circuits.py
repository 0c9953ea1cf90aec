"""SAR, ramp and pipeline ADCs against closed forms, and who shares one."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import (
    ConfigError,
    Context,
    CrossbarConfig,
    Lines,
    Stream,
    UniformLevels,
    converters,
    linearity,
)
from memcore.testing import checks_for
from memcore.testing.layer_case import Ohmic

CTX = Context(random=Stream(0))
CIRCUITS = ["sar", "ramp", "pipeline"]
#: An error of each circuit that is far below what any code sees.
TINY = {
    "sar": {"capacitor_std": 1e-9},
    "ramp": {"element_std": 1e-9},
    "pipeline": {"capacitor_std": 1e-9},
}
COUNT = 4000


def many(count=COUNT, cols=1):
    """So many arrays of some bit lines each, one group of word lines."""
    array = torch.arange(count)[:, None, None].expand(count, 1, cols)
    column = torch.arange(cols).expand(count, 1, cols)
    return dataclasses.replace(
        CTX, lines=Lines(arrays=count, cols=cols, array=array, column=column)
    )


def bound(name, ends=(0.0, 1.0), ctx=CTX, **parameters):
    scale = torch.tensor(ends, dtype=torch.float64)
    return converters[name](**parameters).bind(scale, ctx)


def thresholds(form, bits):
    """The inner thresholds in LSB of a form on [0, 1], [instances, codes - 1]."""
    return form.edges * (2**bits - 1) + 0.5


def assert_std(found, wanted):
    """Zero mean and this standard deviation, within five standard errors, column by column."""
    error = 5 * wanted / math.sqrt(len(found))
    assert bool((found.mean(0).abs() <= error).all())
    assert bool(((found.std(0) - wanted).abs() <= error / math.sqrt(2)).all())


@pytest.mark.parametrize("name", CIRCUITS)
@given(
    ends=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-2e-6, 1e-6), (20e-6, 40e-6)]),
    bits=st.integers(2, 10),
    symmetric=st.sampled_from([None, True, False]),
)
def test_without_errors_a_circuit_is_the_uniform_converter(name, ends, bits, symmetric):
    parameters = {"bits": bits, "symmetric": symmetric}
    form, plain = bound(name, ends, **parameters), bound("uniform", ends, **parameters)
    assert type(form) is UniformLevels
    assert (form.lo, form.hi, form.offset) == (plain.lo, plain.hi, plain.offset)
    assert torch.equal(form.step, plain.step)


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("more", [{}, {"split": 3}, {"cyclic": True}])
@given(
    ends=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-2e-6, 1e-6), (20e-6, 40e-6)]),
    bits=st.integers(4, 10),
    symmetric=st.sampled_from([None, True, False]),
)
def test_tables_and_stages_give_the_codes_of_the_uniform_converter(
    name, more, ends, bits, symmetric
):
    if not set(more) <= {field.name for field in dataclasses.fields(converters[name])}:
        return
    parameters = {"bits": bits, "symmetric": symmetric}
    form = bound(name, ends, **parameters, **TINY[name], **more)
    plain = bound("uniform", ends, **parameters)
    span = ends[1] - ends[0]
    x = torch.linspace(ends[0] - 0.3 * span, ends[1] + 0.3 * span, 4001, dtype=torch.float64)
    phase = ((x - plain.offset) / plain.step + 0.5) % 1
    clear = (phase > 1e-4) & (phase < 1 - 1e-4)  # of a threshold
    torch.testing.assert_close(form(x)[clear], plain(x)[clear], rtol=1e-12, atol=0)


# -- SAR -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [6, 8])
def test_mismatch_of_a_binary_array_bends_by_the_root_of_its_units(bits):
    sigma, units = 0.01, 2**bits
    form = bound("sar", ctx=many(), bits=bits, capacitor_std=sigma)
    k = torch.arange(1, units, dtype=torch.float64)
    # k of N units against their share of all N: the variance of a bridge.
    wanted = sigma * (k * (1 - k / units)).sqrt()
    assert_std(thresholds(form, bits) - k, wanted)


def test_the_middle_code_of_a_binary_array_has_the_largest_dnl():
    bits, sigma = 8, 0.01
    form = bound("sar", ctx=many(), bits=bits, capacitor_std=sigma)
    dnl = thresholds(form, bits).diff(dim=1) - 1
    middle = 2 ** (bits - 1) - 2  # of the code below the largest capacitor
    assert int(dnl.std(0).argmax()) == middle
    assert_std(dnl[:, middle], torch.tensor(sigma * math.sqrt(2**bits - 1 - 2**-bits)))


@pytest.mark.parametrize("split", [2, 4])
def test_a_split_array_has_fewer_units_and_so_a_larger_inl(split):
    bits, sigma = 8, 0.004
    form = bound("sar", ctx=many(), bits=bits, capacitor_std=sigma, split=split)
    middle = thresholds(form, bits)[:, 2 ** (bits - 1) - 1] - 2 ** (bits - 1)
    units = 2 ** (bits - split)
    # The bridge with the lower array is a unit, of the variance of capacitors in series.
    lower = 2.0**split
    bridge = lower / (lower - 1)
    small, large = lower / (bridge + lower), bridge / (bridge + lower)
    variance = small**4 * bridge + large**4 * lower
    inl = lower * math.sqrt(units / 4 + (variance - 1) / 4)
    assert_std(middle, torch.tensor(sigma * inl, dtype=torch.float64))


def test_a_finite_gain_scales_the_input():
    form = bound("sar", bits=8, amplifier_gain=40.0)
    assert float(linearity(form).gain) == pytest.approx(0.01, rel=1e-6)


def test_large_mismatch_misses_codes_and_stays_monotone():
    form = bound("sar", ctx=many(200), bits=8, capacitor_std=0.2)
    assert int(linearity(form).missing.max()) > 0
    assert bool((form.edges.diff(dim=1) >= 0).all())


def test_a_binary_search_is_what_the_thresholds_say():
    from memcore_plugins.converters.sar import searched

    levels = Stream(1).normal((30, 16), dtype=torch.float64).cumsum(1) * 0.3
    levels = levels + torch.arange(16)
    edges = searched(levels)
    x = torch.linspace(-2, 20, 777, dtype=torch.float64)
    for row, of_row in zip(levels, edges, strict=True):
        for value in x.tolist():
            code = 0
            for bit in (8, 4, 2, 1):
                if value >= row[code + bit]:
                    code += bit
            assert code == int((of_row <= value).sum())


# -- ramp ------------------------------------------------------------------------------------------


def test_the_ladder_of_a_ramp_bends_like_a_bridge_and_steps_like_its_elements():
    bits, sigma = 6, 0.02
    form = bound("ramp", ctx=many(), bits=bits, element_std=sigma)
    k = torch.arange(1, 2**bits, dtype=torch.float64)
    found = thresholds(form, bits) - k
    assert_std(found, sigma * (k * (1 - k / 2**bits)).sqrt())
    assert_std(found.diff(dim=1), torch.full((2**bits - 2,), sigma * math.sqrt(1 - 2**-bits)))


def test_bit_lines_of_an_array_share_the_ladder_and_have_comparators_of_their_own():
    ctx = many(50, cols=6)
    form = bound("ramp", ctx=ctx, bits=6, element_std=0.05, offset_std=0.01)
    edges = form.edges.view(50, 6, -1)
    off = edges - edges[:, :1]
    torch.testing.assert_close(off, off[..., :1].expand_as(off), rtol=0, atol=1e-12)
    assert float(off[:, 1:].abs().min()) > 0
    assert float((edges[1:, 0] - edges[:1, 0]).std(-1).min()) > 0


# -- pipeline --------------------------------------------------------------------------------------


def scalar_pipeline(x, bits, ratio, loss, thresholds, flash):
    """One conversion of x in [-1, 1], one decision at a time."""
    v, code = x, 2 ** (bits - 1)
    for stage in range(bits - 2):
        low, high = thresholds[stage]
        decided = 1 if v > high else -1 if v < low else 0
        v = ((1 + ratio[stage]) * v - ratio[stage] * decided) / loss[stage]
        code += decided * 2 ** (bits - 2 - stage)
    code += sum(v > edge for edge in flash) - 2
    return min(max(code, 0), 2**bits - 1)


@pytest.mark.parametrize("cyclic", [False, True])
def test_stages_are_those_of_a_conversion_one_decision_at_a_time(cyclic):
    bits = 7
    form = bound(
        "pipeline",
        ctx=many(20),
        bits=bits,
        capacitor_std=0.05,
        comparator_std=0.05,
        amplifier_gain=30.0,
        parasitic=0.4,
        cyclic=cyclic,
    )
    assert bool((form.ratio == form.ratio[:, :1]).all()) == cyclic
    # beta = C1 / (C1 + C2 + Cp); Cp is relative to the nominal C1, so that 1 / beta < 1 + c + 0.6
    assert bool((form.loss > 1 + 10**-1.5 * (1 + form.ratio)).all())
    x = torch.linspace(-0.1, 1.1, 501, dtype=torch.float64)
    code = form.code(x[:, None], torch.arange(20)[None])
    scaled = (x + 0.5 / (2**bits - 1)) * (2**bits - 1) / 2 ** (bits - 1) - 1
    for instance in range(20):
        rest = [each[instance].tolist() for each in (form.ratio, form.loss, form.thresholds)]
        flash = form.flash[instance].tolist()
        for place in range(0, 501, 7):
            wanted = scalar_pipeline(float(scaled[place]), bits, *rest, flash)
            assert int(code[place, instance]) == wanted


def test_comparators_of_stages_may_be_off_by_a_quarter():
    """The codes overlap: what one stage decides wrongly the next ones make up for."""
    ideal = bound("pipeline", bits=10, capacitor_std=1e-12)
    form = bound("pipeline", bits=10, capacitor_std=1e-12, ctx=many(200))
    shift = 0.24 * (2 * Stream(5).uniform(form.thresholds.shape, dtype=torch.float64) - 1)
    form.thresholds.add_(shift)
    x = Stream(6).uniform((5000, 1), dtype=torch.float64)
    every = form.code(x, torch.arange(200)[None])
    assert torch.equal(every, ideal.code(x, torch.zeros(1, dtype=torch.int64)).expand_as(every))


def test_the_jump_of_the_first_stage_has_the_variance_of_its_capacitors_and_the_next():
    bits, sigma = 12, 0.002
    form = bound("pipeline", ctx=many(), bits=bits, capacitor_std=sigma)
    at = 0.625 * 2**bits  # v = 1/4, in LSB above the lowest code's beginning
    low, high = (
        form.code(form.values.new_tensor([at + side - 0.5]) / (2**bits - 1), torch.arange(COUNT))
        for side in (-1e-6, 1e-6)
    )
    # The residues jump by (1 + d) for 1; of the second stage by d at 1/2 and at -1/2.
    wanted = math.sqrt(2) * sigma * 2 ** (bits - 2) * math.sqrt(1 + 1 / 4)
    assert float((high - low).double().std()) == pytest.approx(wanted, rel=0.05)


# -- offset, gain, noise, effective bits -----------------------------------------------------------


@pytest.mark.parametrize("name", CIRCUITS)
def test_offsets_and_gains_have_the_spread_that_was_asked_for(name):
    found = linearity(bound(name, ctx=many(1500), bits=5, offset_std=0.02))
    assert_std(found.offset, torch.tensor(0.02 * 32))
    assert float(found.inl.abs().max()) < 0.02
    found = linearity(bound(name, ctx=many(1500), bits=5, gain_std=0.01))
    assert float(found.gain.std()) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("bits", [5, 8, 10])
def test_effective_bits_are_those_of_the_noise(bits):
    """Noise of s LSB beside the s = 1 / sqrt(12) of rounding takes log2(1 + 12 s^2) / 2 bits."""
    for noise in (0.0, 0.5, 2.0):
        form = bound("sar", bits=bits, noise_std=noise / 2**bits, **TINY["sar"])
        wanted = bits - 0.5 * math.log2(1 + 12 * noise**2)
        assert float(linearity(form).enob) == pytest.approx(wanted, abs=0.05)


def test_a_code_density_test_finds_the_thresholds_of_a_table():
    form = bound("sar", ctx=many(20), bits=7, capacitor_std=0.05, offset_std=0.01)
    exact = linearity(form)

    class Hidden(memcore.Transfer):
        def code(self, x, instance):
            return form.code(x, instance)

    found = linearity(Hidden(form.values, form.instances, form.instance))
    torch.testing.assert_close(found.inl, exact.inl, rtol=0, atol=0.04)
    torch.testing.assert_close(found.dnl, exact.dnl, rtol=0, atol=0.04)
    torch.testing.assert_close(found.enob, exact.enob)


def test_linearity_says_what_it_takes():
    with pytest.raises(memcore.ArgumentTypeError, match="Lookup; expected"):
        linearity(memcore.Lookup(torch.tensor([0.0]), torch.tensor([0.0, 1.0])))
    with pytest.raises(ConfigError, match="3 codes"):
        linearity(bound("uniform", (-1.0, 1.0), bits=2))
    table = str(linearity(bound("sar", ctx=many(9), capacitor_std=0.1)))
    assert "of 9 converters" in table
    assert "ENOB" in table


# -- on arrays -------------------------------------------------------------------------------------


def layer_with(adc, *, seed=0, effects=(), adc_per="output", mapper="differential", **config):
    layer = nn.Linear(20, 10, bias=False)
    with torch.no_grad():
        layer.weight.copy_(Stream(7).uniform((10, 20)) - 0.5)
    x = Stream(8).uniform((64, 20))
    settings = {"tile": (8, 5), "rows_at_once": 3, **config}
    mem = memcore.convert(
        layer,
        CrossbarConfig(
            device="ideal",
            mapper=mapper,
            adc=adc,
            adc_per=adc_per,
            nonidealities=effects,
            **settings,
        ),
        seed=seed,
        calibration=x,
    )
    return mem, x


SPREAD = {
    "sar": {"capacitor_std": 0.1},
    "ramp": {"element_std": 0.25},
    "pipeline": {"capacitor_std": 0.02},
}


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("mapper", ["differential", "offset", "bit_slice"])
def test_groups_of_word_lines_come_out_of_the_converters_of_their_tile(name, adc_per, mapper):
    adc = {"name": name, "bits": 6, "offset_std": 0.01, **SPREAD[name]}
    mem, x = layer_with(adc, adc_per=adc_per, mapper=mapper)
    by_circuit, _ = layer_with(adc, adc_per=adc_per, mapper=mapper, effects=[Ohmic()])
    with torch.no_grad():
        torch.testing.assert_close(mem(x), by_circuit(x), rtol=1e-3, atol=2e-3)
        plain, _ = layer_with({"name": "uniform", "bits": 6}, adc_per=adc_per, mapper=mapper)
        assert float((mem(x) - plain(x)).abs().max()) > 0.01


def forms_of(mem):
    form = mem.crossbar.output.form
    return list(getattr(form, "forms", [form]))


@pytest.mark.parametrize(("columns", "each"), [(1, 5), (2, 3), (8, 1)])
def test_neighbouring_bit_lines_share_a_converter(columns, each):
    mem, _ = layer_with({"name": "sar", "capacitor_std": 0.1, "columns_per_adc": columns})
    (form,) = forms_of(mem)
    # 3 tiles of rows in groups of 3, 3 and 2 word lines; 2 tiles of columns.
    assert form.instance.shape == (1, 3 + 3 + 2, 10)
    assert form.instances == 3 * 2 * each
    assert len(form.instance.unique()) == 3 * 2 * each
    assert torch.equal(form.instance[0, 0], form.instance[0, 2])
    assert not torch.equal(form.instance[0, 2], form.instance[0, 3])
    wanted = torch.arange(10) // 5 * each + torch.arange(10) % 5 // columns
    assert torch.equal(form.instance[0, 0], wanted)


@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_lanes_and_parts_have_converters_of_their_own(adc_per):
    adc = {"name": "sar", "bits": 5, "capacitor_std": 0.1}
    mem, _ = layer_with(adc, adc_per=adc_per, mapper={"name": "bit_slice", "slice_bits": 4})
    forms = forms_of(mem)
    assert len(forms) == (2 if adc_per == "output" else 4)
    steps = [(form.edges / (form.values[1] - form.values[0])).flatten() for form in forms]
    for index, one in enumerate(steps):
        assert all(not torch.allclose(one, other) for other in steps[:index])


def test_a_chip_keeps_its_converters():
    adc = {"name": "sar", "capacitor_std": 0.1, "noise_std": 0.01}
    (mem, x), (other, _) = layer_with(adc), layer_with(adc, seed=1)
    (again, _) = layer_with(adc)
    mine, theirs = forms_of(mem)[0], forms_of(other)[0]
    assert torch.equal(mine.edges, forms_of(again)[0].edges)
    assert not torch.allclose(mine.edges, theirs.edges)
    memcore.program(mem)
    assert torch.equal(forms_of(mem)[0].edges, mine.edges)
    with torch.no_grad():
        read = mem(x)
    assert not torch.equal(mem(x), read)
    other.load_state_dict(mem.state_dict())
    assert torch.equal(forms_of(other)[0].edges, mine.edges)


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("few", [3, None])
def test_noise_of_conversions_adds_up_over_them(name, few):
    mem, x = layer_with({"name": name, "bits": 10, "noise_std": 0.02}, rows_at_once=few)
    x = x[:1].expand(20_000, -1)
    with torch.no_grad():
        y = mem(x)
    (low, high), crossbar = mem.crossbar.output.range[0], mem.crossbar
    full = (high - low).item() * 1024 / 1022 if low < 0 else (high - low).item()
    peak = max(abs(low.item()), high.item())
    full = 1024 * peak / 511 if low < 0 else peak * 1024 / 1023
    one = 0.02 * full * float(crossbar.gain) / crossbar.input_scale
    conversions = 3 if few is None else 8
    wanted = one * math.sqrt(conversions)
    assert y.std(0).tolist() == pytest.approx([wanted] * 10, rel=0.05)
    off = torch.corrcoef(y.T) - torch.eye(10)
    assert float(off.abs().max()) < 0.05


def test_a_reference_column_is_converted_once_for_the_outputs_of_its_array():
    mem, x = layer_with(
        {"name": "sar", "bits": 10, "noise_std": 0.02}, adc_per="column", mapper="offset"
    )
    x = x[:1].expand(20_000, -1)
    with torch.no_grad():
        y = mem(x)
    correlation = torch.corrcoef(y.T)
    # Four outputs beside a reference in an array of five bit lines; both draw the same noise.
    same = torch.arange(10) // 4
    wanted = torch.where(same[:, None] == same, 0.5, 0.0) + 0.5 * torch.eye(10)
    torch.testing.assert_close(correlation, wanted, rtol=0, atol=0.05)


def test_noise_of_a_dac_is_refused():
    dac = {"name": "sar", "noise_std": 0.1, "full_scale": 1.0}
    config = CrossbarConfig(device="ideal", dac=dac)
    with pytest.raises(ConfigError, match="Sar as a DAC has noise"):
        memcore.convert(nn.Linear(3, 2), config)


@pytest.mark.parametrize(
    ("name", "parameters", "text"),
    [
        ("sar", {"bits": 15}, "bits=15; expected an integer from 2 to 14"),
        ("sar", {"split": 8}, "split=8; expected fewer than bits=8"),
        ("ramp", {"columns_per_adc": 0}, "columns_per_adc=0"),
        ("pipeline", {"parasitic": -1.0}, "parasitic=-1.0"),
    ],
)
def test_impossible_circuits_are_refused(name, parameters, text):
    with pytest.raises(ConfigError, match=text):
        converters[name](**parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("sar", {"capacitor_std": 0.1, "offset_std": 0.01, "split": 3, "columns_per_adc": 2}),
        ("sar", {"noise_std": 0.1}),
        ("ramp", {"element_std": 0.2, "gain_std": 0.1, "bits": 6}),
        ("pipeline", {"capacitor_std": 0.1, "comparator_std": 0.02, "bits": 5}),
        ("pipeline", {"amplifier_gain": 40.0, "bits": 2}),
        ("uniform", {"ratios": "powers_of_two"}),
    ],
)
def test_circuits_with_errors_keep_the_promises_of_a_converter(name, parameters):
    for check in checks_for(converters[name](**parameters)):
        check()
