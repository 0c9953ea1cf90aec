"""What `check_ranges` says of converters, against counting by hand."""

import math

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream, check_ranges

X = Stream(0).uniform((400, 20)) * 2 - 1


def converted(calibration=X, **config):
    layer = nn.Linear(20, 6)
    with torch.no_grad():
        layer.weight.copy_(Stream(1).normal((6, 20)))
    return memcore.convert(
        nn.Sequential(layer), CrossbarConfig(device="ideal", **config), calibration=calibration
    )


def test_even_values_have_the_bits_of_the_converter():
    mem = converted(dac={"name": "uniform", "bits": 6, "full_scale": 1.0}, calibration=None)
    (dac,) = check_ranges(mem, X).converters
    assert (dac.name, dac.kind, dac.lane) == ("0", "DAC", 0)
    assert (dac.lowest, dac.highest) == (-1.0, 1.0)
    assert dac.clipped == 0
    assert dac.bits == pytest.approx(math.log2(62), abs=0.05)  # steps of a range with a sign


def test_clipped_shares_are_of_all_batches():
    mem = converted(dac={"name": "uniform", "full_scale": 0.5}, calibration=None)
    batches = [0.4 * X[:100], X[100:]]
    (dac,) = check_ranges(mem, batches).converters
    beyond = torch.cat(batches).abs() > 0.5 * (1 + 2e-6)
    assert dac.clipped == pytest.approx(float(beyond.double().mean()), abs=1e-9)
    assert check_ranges(mem, batches[:1]).converters[0].clipped == 0


@pytest.mark.parametrize("adc_per", ["output", "column"])
def test_each_lane_is_told_apart(adc_per):
    mapper = {"name": "bit_slice", "slice_bits": 4}
    adc = {"name": "uniform", "bits": 5, "calibration": "percentile", "percentile": 90.0}
    mem = converted(mapper=mapper, adc=adc, adc_per=adc_per)
    crossbar = mem[0].crossbar
    seen = []
    crossbar.observe("clipping")
    crossbar.reader.watch = None
    kept = crossbar.observer.see_currents
    crossbar.observer.see_currents = lambda current: (seen.append(current), kept(current))
    mem(X)
    crossbar.observe(None)
    crossbar.observer.see_currents = kept
    current = seen[0]
    lanes = torch.tensor(crossbar.plan.values)

    found = check_ranges(mem, X).converters
    assert [(each.kind, each.lane) for each in found] == [("ADC", 0), ("ADC", 1)]
    for each in found:
        here = current[lanes == each.lane].double()
        share = ((here < each.lowest) | (here > each.highest)).double().mean()
        assert each.clipped == pytest.approx(float(share), abs=2e-3)
        assert 0.05 < each.clipped < 0.25
        step = (each.highest - each.lowest) / 30
        levels = (here / step).round().clamp(-15, 15) * step
        bits = 0.5 * math.log2(float(here.var() / (levels - here).square().mean()))
        assert each.bits == pytest.approx(bits, abs=0.02)


def test_nothing_changes_by_looking():
    mem = converted(
        dac="bit_serial",
        adc={"name": "sar", "capacitor_std": 0.05, "noise_std": 0.001},
        nonidealities=[{"name": "read_noise", "std": 1e-7, "relative": 0.0}],
    )
    before = {name: value.clone() for name, value in mem.state_dict().items()}
    table = str(check_ranges(mem, [(X, torch.zeros(400))]))
    assert all(torch.equal(value, before[name]) for name, value in mem.state_dict().items())
    assert "effective bits" in table
    assert table.count("DAC") == table.count("ADC") == 1


def test_without_converters_there_is_nothing_to_say():
    assert check_ranges(converted(calibration=None), X).converters == ()
