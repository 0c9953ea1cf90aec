"""Cells that hold whole numbers: read by look-ups, with what their circuits give."""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, native
from memcore.crossbar.readers import Electrical, Serial, Tiled, choose

_CPU = native.cpu()
pytestmark = pytest.mark.skipif(
    _CPU is None or not _CPU.looks_up_bytes(), reason="products of floats are faster here"
)

SLICES = {"name": "bit_slice", "slice_bits": 2}
DAC = {"name": "bit_serial", "signed": "twos_complement"}
#: No whole number of currents lies between two of its codes, as half of a calibrated range may.
ADC = {"name": "uniform", "bits": 8, "full_scale": 2.037e-4}
ENCODINGS = ("differential", "offset", "midpoint", "twos_complement")


def layer(inputs=70, outputs=11):
    torch.manual_seed(inputs)
    return nn.Linear(inputs, outputs)


def converted(module, x, **how):
    settings = {"device": "ideal", "tile": (32, 8), "mapper": SLICES, "dac": DAC, "adc": ADC}
    config = CrossbarConfig(**{**settings, **how})
    return memcore.convert(module, config, calibration=x).eval()


def in_float(monkeypatch, module, x, **how):
    """The same layer, read as cells of any kind are."""
    with monkeypatch.context() as patch:
        patch.setattr(choose, "_whole", lambda *_: None)
        return converted(module, x, **how)


def assert_codes_apart(found, wanted, few=0.01):
    """The same up to rounding, but for single codes whose current lies between two."""
    close = torch.isclose(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    assert float((~close).float().mean()) <= few
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05 * float(wanted.abs().max()))


@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("signed", ["magnitude", "split", "twos_complement"])
@pytest.mark.parametrize("bits_per_step", [1, 2])
def test_they_are_read_as_cells_of_any_kind_are(
    monkeypatch, encoding, signed, bits_per_step, adc_per
):
    module, x = layer(), torch.randn(9, 70)
    how = {
        "mapper": {**SLICES, "encoding": encoding},
        "dac": {"name": "bit_serial", "signed": signed, "bits_per_step": bits_per_step},
        "adc_per": adc_per,
    }
    mem, wide = converted(module, x, **how), in_float(monkeypatch, module, x, **how)
    assert isinstance(mem.crossbar.reader, Serial)
    assert isinstance(wide.crossbar.reader, Tiled)
    with torch.no_grad():
        assert_codes_apart(mem(x), wide(x))


def test_what_no_current_between_two_codes_disturbs_is_equal_to_the_bit(monkeypatch):
    """A lossless ADC gives each sum a code of its own."""
    module, x = layer(), torch.randn(9, 70)
    low, high = (float(end) for end in memcore.devices["ideal"]().nominal_range())
    unit = 0.2 * 128 / 127 * (high - low) / 3  # the largest code of the DAC is -128
    adc = {"name": "uniform", "bits": 12, "full_scale": 2047 * unit}
    mem = converted(module, x, adc=adc)
    assert isinstance(mem.crossbar.reader, Serial)
    torch.testing.assert_close(mem.crossbar.reader.factor, torch.ones(44), rtol=1e-5, atol=0)
    with torch.no_grad():
        assert torch.equal(mem(x), in_float(monkeypatch, module, x, adc=adc)(x))


@pytest.mark.parametrize("adc_per", ["output", "column"])
@pytest.mark.parametrize("shape", [(70,), (1, 70), (2, 3, 70)], ids=str)
def test_a_read_without_gradients_is_that_of_the_arrays_to_the_bit(shape, adc_per):
    module, x = layer(), torch.randn(shape)
    mem = converted(module, x.view(-1, 70), adc_per=adc_per)
    with torch.no_grad():
        of_arrays = mem.crossbar(x.view(-1, 1, 70)) + module.bias
        assert torch.equal(mem(x), of_arrays.view(*shape[:-1], 11))
        x[..., 0] = torch.nan
        assert mem(x).isnan().all()


def test_a_read_of_few_vectors_is_that_of_a_batch_to_the_bit():
    module, x = layer(outputs=150), torch.randn(40, 70)
    mem = converted(module, x)
    with torch.no_grad():
        together = mem(x)
        for count in (1, 2, 3, 6):
            assert torch.equal(torch.cat([mem(some) for some in x.split(count)]), together)


@pytest.mark.parametrize("rows", [1, 5, 16, 31])
def test_operation_units_are_read_too(monkeypatch, rows):
    module, x = layer(), torch.randn(9, 70)
    how = {"tile": (rows * 4, 8), "rows_at_once": rows}
    mem, wide = converted(module, x, **how), in_float(monkeypatch, module, x, **how)
    assert isinstance(mem.crossbar.reader, Serial)
    with torch.no_grad():
        assert_codes_apart(mem(x), wide(x))


def test_slices_of_different_widths_have_units_of_their_own(monkeypatch):
    how = {"mapper": {"name": "bit_slice", "slice_bits": (1, 2, 4)}}
    module, x = layer(), torch.randn(9, 70)
    mem, wide = converted(module, x, **how), in_float(monkeypatch, module, x, **how)
    assert isinstance(mem.crossbar.reader, Serial)
    with torch.no_grad():
        assert_codes_apart(mem(x), wide(x))


def test_convolutions_are_read_too(monkeypatch):
    torch.manual_seed(0)
    module, x = nn.Conv2d(4, 6, 3, padding=1, groups=2), torch.randn(2, 4, 7, 5)
    mem, wide = converted(module, x), in_float(monkeypatch, module, x)
    assert isinstance(mem.crossbar.reader, Serial)
    with torch.no_grad():
        assert_codes_apart(mem(x), wide(x))


DISTURBED = {
    "noise": {"nonidealities": [{"name": "read_noise", "relative": 0.01}]},
    "spread": {"nonidealities": [{"name": "d2d", "std": 1e-4}]},
    "wires": {"nonidealities": [{"name": "ir_drop"}]},
    "mapped bias": {"bias": "mapped"},
    "any input": {"dac": {"name": "uniform"}},
    "any weight": {"mapper": "differential"},
    "seven bits": {"mapper": {"name": "bit_slice", "slice_bits": 7}},
}


@pytest.mark.parametrize("how", DISTURBED.values(), ids=DISTURBED)
def test_other_cells_and_converters_keep_their_way(how):
    mem = converted(layer(), torch.randn(9, 70), **how)
    assert isinstance(mem.crossbar.reader, Tiled | Electrical)


def test_cells_that_age_lose_their_levels_and_a_rewrite_gives_them_back():
    effects = ["drift"]
    mem = converted(layer(), torch.randn(9, 70), nonidealities=effects)
    assert type(mem.crossbar.reader) is Serial
    memcore.age(mem, seconds=1e6)
    assert type(mem.crossbar.reader) is Tiled
    memcore.program(mem)
    assert type(mem.crossbar.reader) is Serial


def test_gradients_pass_as_they_do_through_other_reads(monkeypatch):
    module, x = layer(), torch.randn(9, 70)
    mem, wide = converted(module, x), in_float(monkeypatch, module, x)
    inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
    for each, given in zip((mem, wide), inputs, strict=True):
        each(given).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(mem.weight.grad, wide.weight.grad)


def test_other_dtypes_are_read_too():
    module, x = layer(), torch.randn(9, 70)
    mem = converted(module, x)
    with torch.no_grad():
        assert_codes_apart(mem.double()(x.double()).float(), converted(module, x)(x))


def test_reads_are_counted_as_others_are():
    module, x = layer(), torch.randn(9, 70)
    mem = converted(module, x)
    with memcore.counting(mem) as counts, torch.no_grad():
        y = mem(x)
    assert counts.total.vectors == 9
    with torch.no_grad():
        assert torch.equal(mem(x), y)


def test_it_compiles():
    module, x = layer(), torch.randn(9, 70)
    mem = converted(module, x)
    with torch.no_grad():
        y = mem(x)
        compiled = torch.compile(mem, backend="eager", fullgraph=True)
        assert torch.equal(compiled(x), y)
