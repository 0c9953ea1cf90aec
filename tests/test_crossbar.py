import copy
import dataclasses
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import (
    CalibrationWarning,
    ConfigError,
    Crossbar,
    CrossbarConfig,
    NonIdeality,
    Stage,
    Stream,
)
from memcore.crossbar.readers import Electrical, Tiled

WINDOW = {"r_on": 1e4, "r_off": 1e6}
TILES = st.none() | st.tuples(st.integers(1, 9), st.integers(2, 9))


class Ohm(nn.Module):
    def forward(self, v, g):
        return torch.einsum("nar,marc->nac", v, g)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nodal(NonIdeality):
    """Ohm's law as a plugin: takes the way of any other product."""

    stage = Stage.MVM

    def bind(self, array, ctx):
        return Ohm()


class Retention(nn.Module):
    def forward(self, g, seconds):
        return g / (1 + seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(NonIdeality):
    stage = Stage.AGE

    def bind(self, array, ctx):
        return Retention()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleToCycle(NonIdeality):
    """A new draw at every write."""

    stage = Stage.PROGRAM

    def bind(self, array, ctx):
        draw = ctx.random.child("write", ctx.writes).uniform(array.shape)
        return memcore.Affine(gain=1 + 0.1 * draw)


def conductances(rows, cols, dtype=torch.float32):
    return (1e-6 + 9e-5 * Stream(1).uniform((rows, cols))).to(dtype)


def voltages(n, rows, dtype=torch.float32):
    return (0.4 * Stream(2).uniform((n, rows)) - 0.2).to(dtype)


def of_weight(weight, seed=0, constant=False, **settings):
    config = CrossbarConfig(**{"device": {"name": "ideal", **WINDOW}, **settings})
    return Crossbar.of_weight(weight, config, Stream(seed).child("fc"), constant=constant)


def weights(groups, rows, cols, dtype=torch.float64):
    return Stream(3).normal((groups, rows, cols), dtype=dtype)


def inputs(n, groups, rows, dtype=torch.float64):
    return Stream(4).normal((n, groups, rows), dtype=dtype)


def calibrated(crossbar, x):
    with pytest.warns(CalibrationWarning, match=f"first batch \\({len(x)} reads\\).*calibration="):
        crossbar(x)
    return crossbar


# -- a matrix of conductances ------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), TILES, st.booleans())
def test_currents_are_conductances_times_voltages(rows, cols, tile, nodal):
    g, v = conductances(rows, cols), voltages(5, rows)
    effects = [Nodal()] if nodal else []
    found = Crossbar(g, tile=tile, nonidealities=effects) @ v
    torch.testing.assert_close(found, v @ g, rtol=1e-5, atol=1e-11)


def test_one_vector_and_stacks_of_vectors_multiply():
    crossbar = Crossbar(conductances(3, 2))
    assert (crossbar @ voltages(1, 3)[0]).shape == (2,)
    assert (crossbar @ voltages(8, 3).view(2, 4, 3)).shape == (2, 4, 2)


def test_line_resistance_oracle_matrix_without_lines():
    g = torch.tensor([[1e-4, 2e-5, 5e-5], [1e-5, 8e-5, 3e-5], [6e-5, 4e-5, 9e-5]])
    found = Crossbar(g.double()) @ torch.tensor([0.2, 0.1, -0.15])
    assert found.tolist() == pytest.approx([1.2e-5, 6e-6, -5e-7])


def test_converters_of_a_bare_crossbar_are_in_volts_and_amperes():
    """A DAC whose full scale is 0.5 V leaves 0.5 V as it is, and the ADC sees true currents."""
    g, v = conductances(20, 6), voltages(50, 20)
    full = {"name": "uniform", "bits": 8}
    crossbar = Crossbar(g, dac={**full, "full_scale": 0.5}, adc={**full, "full_scale": 2e-4})
    applied = (v.double() * 127 / 0.5).round() * 0.5 / 127
    expected = (applied @ g.double() / (2e-4 / 127)).round()
    memcore.testing.assert_codes_close(crossbar @ v, expected * 2e-4 / 127, 2e-4 / 127)


@pytest.mark.parametrize(
    ("v", "text"),
    [
        (torch.zeros(4), r"v has shape \(4,\), but g has 3 rows; expected v \[..., 3\] in V"),
        (torch.zeros(3, 2), r"v has shape \(3, 2\), but g has 3 rows"),
        (torch.tensor(1.0), r"v has shape \(\), but g has 3 rows"),
    ],
)
def test_voltages_that_do_not_fit_are_refused(v, text):
    with pytest.raises(ConfigError, match=text):
        Crossbar(conductances(3, 2)) @ v


@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_arrays_of_weights_are_not_multiplied_as_conductances(bias):
    layer = memcore.convert(nn.Linear(3, 2), CrossbarConfig(device="ideal", bias=bias))
    with pytest.raises(ConfigError, match=r"hold weights.* expected a Crossbar of conductances"):
        layer.crossbar @ torch.zeros(3)


def test_resistances_are_not_taken_for_conductances():
    with pytest.raises(ConfigError, match=r"up to 1e\+04; expected siemens.* give 1 / R"):
        Crossbar(torch.tensor([[1e4, 2.0], [3.0, 1.0]]))


@pytest.mark.parametrize("g", [[[-1e-6]], [[float("nan")]], [[float("inf")]]])
def test_impossible_conductances_are_refused(g):
    with pytest.raises(
        ConfigError, match=r"negative entries or NaN, or infinite ones .*; expected siemens"
    ):
        Crossbar(torch.tensor(g))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 4)])
def test_a_crossbar_is_a_matrix(shape):
    with pytest.raises(ConfigError, match=r"expected \[rows, cols\] in S"):
        Crossbar(torch.zeros(shape))


# -- three ways to read ------------------------------------------------------------------------

GEOMETRY = st.tuples(st.integers(1, 2), st.integers(1, 10), st.integers(1, 10))


@given(GEOMETRY, TILES, st.sampled_from(["differential", "offset"]), st.booleans(), st.booleans())
def test_exact_and_electrical_reads_agree(geometry, tile, mapper, constant, nodal):
    weight, x = weights(*geometry), inputs(4, *geometry[:2])
    x_in = x[..., :-1] if constant else x
    x = torch.cat((x_in, torch.ones_like(x[..., :1])), -1) if constant else x
    effects = [Nodal()] if nodal else []
    crossbar = of_weight(weight, mapper=mapper, tile=tile, constant=constant, nonidealities=effects)
    assert crossbar.is_exact is not nodal
    expected = torch.einsum("ngk,gko->ngo", x, weight)
    torch.testing.assert_close(crossbar(x_in), expected, rtol=1e-6, atol=1e-6)


@given(
    GEOMETRY,
    TILES,
    st.sampled_from(["differential", "offset"]),
    st.sampled_from(["output", "column"]),
    st.booleans(),
    st.booleans(),
)
def test_tiled_and_electrical_reads_give_the_same_codes(geometry, tile, mapper, per, constant, dac):
    weight, x = weights(*geometry), inputs(30, *geometry[:2])
    x = x[..., :-1] if constant and geometry[1] > 1 else x
    constant = constant and geometry[1] > 1
    settings = {"mapper": mapper, "tile": tile, "adc_per": per, "constant": constant}
    # A range taken from the currents would make exact ties of some codes.
    settings |= {"adc": {"name": "uniform", "bits": 6, "full_scale": 2.34567e-5}}
    settings |= {"dac": "uniform" if dac else None}
    tiled, electrical = (of_weight(weight, nonidealities=e, **settings) for e in ([], [Nodal()]))
    if dac:
        tiled, electrical = calibrated(tiled, x), calibrated(electrical, x)
    assert isinstance(tiled.reader, Tiled)
    assert isinstance(electrical.reader, Electrical)
    step = tiled.gain * tiled.output.levels[0].step / tiled._volts
    memcore.testing.assert_codes_close(tiled(x), electrical(x), step)


@given(st.sampled_from(["differential", "offset"]), TILES)
def test_a_fine_adc_approaches_the_exact_product(mapper, tile):
    weight, x = weights(1, 9, 5), inputs(40, 1, 9)
    fine = calibrated(
        of_weight(weight, mapper=mapper, tile=tile, adc={"name": "uniform", "bits": 20}), x
    )
    exact = of_weight(weight, mapper=mapper, tile=tile)(x)
    torch.testing.assert_close(fine(x), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("per", ["output", "column"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_codes_are_those_of_an_independent_computation_of_one_tile(per, symmetric):
    weight, x = weights(1, 16, 8), inputs(200, 1, 16)
    converter = {"name": "uniform", "bits": 7, "symmetric": symmetric}
    crossbar = of_weight(weight, dac=converter, adc=converter, adc_per=per, read_voltage=0.3)
    crossbar = calibrated(crossbar, x)

    def quantise(values, low, high):
        if symmetric:
            step = max(-low, high) / 63
            return (values / step).round().clamp(-63, 63) * step
        # The finest 128 levels, zero among them, that cover the range.
        steps = {k: max(-low / k, high / (127 - k)) for k in range(1, 127)}
        below = min(steps, key=steps.get)
        return (values / steps[below]).round().clamp(-below, 127 - below) * steps[below]

    def ranged(values):
        return quantise(values, min(values.min(), 0.0), max(values.max(), 0.0))

    w, peak = weight[0], weight.abs().max()
    g = [1e-6 + 9.9e-5 * part.clamp(min=0) / peak for part in (w, -w)]
    volts = 0.3 / x.abs().max()
    currents = [volts * ranged(x[:, 0]) @ part for part in g]
    if per == "output":
        net = ranged(currents[0] - currents[1])
    else:
        both = ranged(torch.stack(currents))
        net = both[0] - both[1]
    expected = net * peak / 9.9e-5 / volts
    unit = (crossbar.gain * crossbar.output.levels[0].step / volts).item()
    memcore.testing.assert_codes_close(crossbar(x)[:, 0], expected, unit)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_constant_input_passes_any_dac(sign):
    """Also one whose inputs were all of one sign."""
    weight, x = weights(1, 6, 4), sign * inputs(50, 1, 5).abs()
    dac = {"name": "uniform", "bits": 12, "symmetric": False}
    crossbar = of_weight(weight, dac=dac, adc={"name": "uniform", "bits": 16}, constant=True)
    expected = torch.einsum("ngk,gko->ngo", nn.functional.pad(x, (0, 1), value=1.0), weight)
    torch.testing.assert_close(calibrated(crossbar, x)(x), expected, rtol=0, atol=2e-3)


def test_outputs_beyond_the_calibrated_range_saturate():
    crossbar = calibrated(of_weight(weights(1, 4, 1), adc="uniform"), inputs(20, 1, 4))
    far = crossbar(100 * inputs(20, 1, 4))
    assert far.abs().max() == crossbar(inputs(20, 1, 4)).abs().max()


def test_the_read_voltage_cancels():
    x = inputs(20, 1, 9)
    low, high = (of_weight(weights(1, 9, 4), read_voltage=v) for v in (0.1, 0.8))
    torch.testing.assert_close(low(x), high(x))


def test_gain_may_differ_by_column():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class ByColumn(type(memcore.mappers["differential"]())):
        def map(self, weight, device, ctx):
            scale = weight.abs().amax((0, 1))
            mapped = super().map(weight / scale, device, ctx)
            return dataclasses.replace(mapped, gain=mapped.gain * scale[None])

    weight, x = weights(2, 9, 4) * torch.tensor([1.0, 10, 100, 1000]), inputs(30, 2, 9)
    expected = torch.einsum("ngk,gko->ngo", x, weight)
    for adc in ({}, {"adc": "uniform"}, {"adc": "uniform", "adc_per": "column"}):
        crossbar = of_weight(weight, mapper=ByColumn(), tile=(4, 3), **adc)
        if adc:
            crossbar = calibrated(crossbar, x)
        error = (crossbar(x) - expected).abs().amax((0, 1)) / expected.abs().amax((0, 1))
        assert (error < 0.05).all()


# -- writing, ageing, noise ---------------------------------------------------------------------


def test_what_is_drawn_per_write_is_new_and_what_is_for_life_stays():
    effects = [CycleToCycle(), {"name": "stuck_at", "p_other": 0.3, "conductance": 1.0}]
    crossbar = of_weight(weights(1, 9, 9), nonidealities=effects)
    first = crossbar.conductance.clone()
    crossbar.write(weights(1, 9, 9))
    second = crossbar.conductance
    stuck = first == 1.0
    assert 0.1 < stuck.float().mean() < 0.5
    assert torch.equal(second == 1.0, stuck)
    assert (first != second)[~stuck].all()


def test_time_adds_up_and_writing_resets_the_clock():
    weight = weights(1, 5, 5)
    once, twice = (of_weight(weight, nonidealities=[Loss()]) for _ in range(2))
    fresh = once.conductance.clone()
    once.age(3.0)
    twice.age(1.0)
    twice.age(2.0)
    torch.testing.assert_close(once.conductance, fresh / 4)
    assert torch.equal(once.conductance, twice.conductance)
    assert torch.equal(once(inputs(3, 1, 5)), twice(inputs(3, 1, 5)))
    once.write(weight)
    assert torch.equal(once.conductance, fresh)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_time_only_passes(seconds):
    with pytest.raises(ConfigError, match="expected a finite number >= 0"):
        Crossbar(conductances(2, 2)).age(seconds)


def noisy(rows=1, seed=0, **settings):
    return of_weight(
        weights(1, rows, 50, torch.float32),
        seed=seed,
        nonidealities=[{"name": "read_noise", "relative": 0.1}],
        **settings,
    )


def test_a_batch_of_256_equals_eight_of_32_bit_for_bit():
    """One row: the product has no order of summation, so what could differ is the noise."""
    x = inputs(256, 1, 1, torch.float32)
    parts = noisy()
    assert torch.equal(noisy()(x), torch.cat([parts(part) for part in x.split(32)]))


def test_a_native_product_does_not_depend_on_the_batch():
    weight, x = weights(1, 300, 70, torch.float32), inputs(256, 1, 300, torch.float32)
    crossbar = calibrated(of_weight(weight, dac="uniform", adc="uniform"), x)
    assert torch.equal(crossbar(x), torch.cat([crossbar(part) for part in x.split(32)]))


@pytest.mark.parametrize("adc", [None, "uniform"])
def test_threads_change_no_noise(adc):
    x = inputs(256, 1, 1, torch.float32)
    one = noisy(adc=adc) if adc is None else calibrated(noisy(adc=adc), x)
    two = copy.deepcopy(one)
    expected = one(x)
    torch.set_num_threads(2)
    try:
        found = two(x)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found, expected)


def test_two_reads_and_two_chips_differ():
    x = inputs(10, 1, 1, torch.float32)
    crossbar = noisy()
    assert not torch.equal(crossbar(x), crossbar(x))
    assert not torch.equal(noisy()(x), noisy(seed=1)(x))
    assert torch.equal(noisy()(x), noisy()(x))


@pytest.mark.parametrize("mapper", ["differential", "offset"])
@pytest.mark.parametrize("adc", [None, {"name": "uniform", "bits": 16}])
def test_noise_of_a_column_has_the_summed_variance_of_its_cells(mapper, adc):
    """Against noise that is drawn cell by cell."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class CellByCell(NonIdeality):
        stage = Stage.READ

        def bind(self, array, ctx):
            return Cells()

    class Cells(nn.Module):
        def forward(self, g, stream):
            return g + 0.1 * g * stream.normal(g.shape[1:])

    weight, x = weights(1, 7, 5, torch.float32), inputs(1, 1, 7, torch.float32)
    settings = {"mapper": mapper, "tile": (4, 3), "adc": adc}
    reads = x.expand(20_000, 1, 7)
    found = []
    for effect in ({"name": "read_noise", "relative": 0.1}, CellByCell()):
        crossbar = of_weight(weight, nonidealities=[effect], **settings)
        if adc is not None:
            crossbar = calibrated(crossbar, reads)
        found.append(crossbar(reads)[:, 0].double())
    ideal = of_weight(weight, **{**settings, "adc": None})(x)[0, 0].double()
    for y in found:
        assert (((y.mean(0) - ideal) / y.std(0)).abs() < 4.5 / len(y) ** 0.5 + 1e-3).all()
    one, two = (torch.cov(y.T) for y in found)
    spread = two.diag().sqrt()
    assert ((one - two).abs() < 4.5 * (2 * 2 / len(reads)) ** 0.5 * spread * spread[:, None]).all()


# -- an ordinary module -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"dac": "uniform"}, {"dac": "uniform", "adc": "uniform"}, {"nonidealities": [Nodal()]}],
)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_read_the_same(settings, clone):
    crossbar, x = of_weight(weights(1, 9, 4), **settings), inputs(20, 1, 9)
    if "dac" in settings:
        crossbar = calibrated(crossbar, x)
    assert torch.equal(clone(crossbar)(x), crossbar(x))


def test_a_copy_goes_its_own_way():
    crossbar = noisy()
    other = copy.deepcopy(crossbar)
    crossbar(inputs(3, 1, 1, torch.float32))
    crossbar.write(weights(1, 1, 50, torch.float32))
    assert (other.reads, other.cells.writes) == (0, 0)


def test_what_is_derived_is_not_stored():
    keys = set(calibrated(of_weight(weights(1, 9, 4), adc="uniform"), inputs(9, 1, 9)).state_dict())
    assert keys == {
        "cells.programmed",
        "cells.gain",
        "cells.clock.segments",
        "cells.seed",
        "cells.writes",
        "cells.origin",
        "cells.rehearsals",
        "cells.rehearsed",
        "reads",
        "training_reads",
        "input.range",
        "output.range",
    }


def test_a_crossbar_prints_its_geometry():
    assert "9 -> 4, 6 arrays of 4 x 4" in repr(of_weight(weights(1, 9, 4), tile=(4, 4)))


@pytest.mark.parametrize(
    "verb", [lambda x: memcore.age(x, seconds=1.0), memcore.program, memcore.summary]
)
def test_verbs_of_networks_say_what_to_call_of_a_crossbar(verb):
    crossbar = memcore.Crossbar(torch.full((3, 2), 1e-5))
    with pytest.raises(memcore.ConversionError, match=r"crossbar\.age\(seconds"):
        verb(crossbar)
