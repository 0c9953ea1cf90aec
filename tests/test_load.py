"""A resistor in series and a current limit, against Kirchhoff's law and a closed form."""

import math

import pytest
import torch

import memcore
from memcore import ConfigError

DRIFT = {"r_on": 100.0, "r_off": 16e3, "x0": 0.1}
SINH = {"a1": 2e-4, "a2": 1.5e-4, "b": 1.5, "A_p": 3.0, "A_n": 3.0, "V_p": 0.8, "V_n": 0.7}


def sine(samples, amplitude=1.2):
    """Half a period of 1 s, each voltage that of the middle of its step."""
    middle = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples / 2
    return amplitude * (2 * math.pi * middle).sin()


def test_a_memristor_behind_a_resistor_obeys_the_flux():
    """d/dt [(r_off + R) x - (r_off - r_on) x^2 / 2] = k v, whatever the waveform."""
    load, k = 5e3, 1e-14 * 100.0 / 1e-16
    device = memcore.devices["linear_ion_drift"](**DRIFT)

    def charge(x):
        return (16e3 + load) * x - 15.9e3 * x * x / 2

    for samples, within in ((100, 1e-4), (1000, 1e-6)):
        trace = memcore.simulate(device, sine(samples), 0.5 / samples, series=load)
        flux = float(trace.voltage.sum()) * 0.5 / samples
        moved = charge(float(trace.final)) - charge(0.1)
        assert moved == pytest.approx(k * flux, rel=within)


@pytest.mark.parametrize("engine", ["native", "python"])
@pytest.mark.parametrize(("series", "limit"), [(3e3, None), (0.0, 1e-4), (3e3, 5e-5)])
def test_voltages_add_up_and_no_current_exceeds_the_limit(series, limit, engine):
    device = memcore.devices["yakopcic"](**SINH, x0=0.05)
    voltage = torch.cat([sine(40, 1.5), sine(40, -1.5)])
    if engine == "native" and memcore.native.cpu() is None:
        pytest.skip("there is no native module")
    trace = memcore.simulate(device, voltage, 0.1, series=series, limit=limit, engine=engine)
    left = trace.across + series * trace.current - trace.voltage
    most = math.inf if limit is None else limit
    at_limit = (trace.current.abs() - most).abs() < 1e-9 * most
    assert bool((trace.current.abs() <= most * (1 + 1e-9)).all())
    assert bool(((left.abs() < 1e-9) | at_limit).all())
    assert limit is None or bool(at_limit.any())
    assert trace.device == device  # the cell is that of the caller


def test_without_a_load_nothing_changes():
    device = memcore.devices["linear_ion_drift"](**DRIFT)
    bare = memcore.simulate(device, sine(50), 0.01)
    assert torch.equal(bare.across, bare.voltage)
    assert torch.equal(memcore.simulate(device, sine(50), 0.01, series=0.0).current, bare.current)


def test_cells_share_a_source_with_a_resistor_each():
    device = memcore.devices["linear_ion_drift"](**DRIFT)
    trace = memcore.simulate(device, sine(50), 0.01, series=5e3, shape=3)
    single = memcore.simulate(device, sine(50), 0.01, series=5e3)
    assert trace.across.shape == trace.current.shape == (50, 3)
    assert torch.allclose(trace.current[:, 1], single.current, rtol=1e-6)


@pytest.mark.parametrize(
    "load", [{"series": -1.0}, {"series": "1"}, {"limit": 0.0}, {"limit": True}]
)
def test_a_load_that_does_not_fit_is_refused(load):
    with pytest.raises(ConfigError, match=next(iter(load))):
        memcore.simulate("linear_ion_drift", sine(5), 0.1, **load)
