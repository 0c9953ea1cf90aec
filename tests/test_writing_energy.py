"""The energy of pulses is the integral of voltage times current while the cells move."""

import dataclasses

import pytest
import torch

import memcore
from memcore import Context, Stream, writing
from memcore.testing.cases import array, context
from memcore.writing import energy
from memcore.writing.energy import ACCURACY, energy_of

CTX = Context(random=Stream(0))
DRIFT = memcore.devices["linear_ion_drift"]()


def of_device(device, begin, volts, width):
    """Energy of cells in a state [k, n] during a pulse, by `energy_of`."""
    end = device.step(begin, volts, width, CTX)
    return energy_of(
        begin,
        end,
        width,
        moved=lambda cells, state, dt: device.step(state, volts[cells], dt, CTX),
        power=lambda cells, state: volts[cells] * device.current(state, volts[cells]),
    )


@pytest.mark.parametrize("width", [1e-3, 0.1, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_charge_of_a_drift_tells_its_energy(width, sign):
    """x moves by mobility r_on / D^2 times the charge, then the cell stays at its end."""
    x = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    volts = torch.full_like(x, float(sign))
    moved = DRIFT.step(x[None], volts, width, CTX)[0]
    charge = (moved - x) / (DRIFT.mobility * DRIFT.r_on / DRIFT.thickness**2)
    first, last = (DRIFT.r_on * each + DRIFT.r_off * (1 - each) for each in (x, moved))
    going = (first**2 - last**2) / (2 * (DRIFT.r_off - DRIFT.r_on))  # flux times the constant
    going = going / (DRIFT.mobility * DRIFT.r_on / DRIFT.thickness**2)
    rest = width - going * sign
    expected = charge * volts + torch.where(rest > 1e-9 * width, rest / last, 0)
    found = of_device(DRIFT, x[None], volts, width)
    assert float((found / expected - 1).abs().max()) < ACCURACY


@pytest.mark.parametrize("early", [0.5, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("ratio", [1e3, 1e-3, 1.1])
def test_cells_that_are_swept_away_early_are_followed(early, ratio):
    """The conductance falls or rises exponentially to `ratio` of itself, in a part of the pulse."""
    rate = torch.tensor([ratio], dtype=torch.float64).log() / early

    def moved(cells, state, dt):
        del cells
        return torch.minimum(state + dt, torch.full_like(state, early))

    def power(cells, state):
        del cells
        return (rate * state[0]).exp()

    begin = torch.zeros(1, 1, dtype=torch.float64)
    found = energy_of(begin, moved(None, begin, 1.0), 1.0, moved=moved, power=power)
    expected = (rate * early).expm1() / rate + ratio * (1 - early)
    assert float(found / expected) == pytest.approx(1, abs=ACCURACY)


def test_cells_that_stay_cost_no_step():
    begin = torch.rand(1, 5)
    stay = energy_of(begin, begin, 2.0, moved=None, power=lambda cells, state: state[0][cells])
    assert torch.equal(stay, 2.0 * begin[0])


# -- in programmers --------------------------------------------------------------------------------


@pytest.fixture
def exactly(monkeypatch):
    """Counts energies with a ten thousandth of the error."""

    def tighten():
        monkeypatch.setattr(energy, "ACCURACY", 1e-4 * ACCURACY)
        monkeypatch.setattr(energy, "_CHANGE", 2e-5 * ACCURACY)
        monkeypatch.setattr(energy, "_MISSED", 1e-5 * ACCURACY)

    return tighten


CASES = [
    ("write_verify", "linear_ion_drift", {}),
    ("write_verify", "vteam", {}),
    ("write_verify", "vteam", {"transistor": 20.0}),
    ("write_verify", "yakopcic", {"ramp": "amplitude"}),
    ("open_loop", "linear_ion_drift", {}),
    ("open_loop", "mms", {}),
    ("open_loop", "vteam", {"transistor": 200.0}),
    ("open_loop", "neurosim", {}),
    ("sequential_half_select", "vteam", {}),
    ("sequential_half_select", "vteam", {"scheme": "V/3", "order": "row"}),
    ("sequential_half_select", "yakopcic", {"passes": 2}),
    ("sequential_half_select", "linear_ion_drift", {"cell": "1t1r", "passes": 2}),
]
WIRES = memcore.Wires(word_line=2.0, bit_line=2.0)


def written(programmer, info, parameters):
    g = torch.tensor(info.nominal.nominal_range(), dtype=torch.float64)
    share = Stream(3).uniform(info.shape).double()
    target = g[0] + (g[1] - g[0]) * (0.1 + 0.8 * share)
    return memcore.programmers[programmer](**parameters).program(info, target, context())


@pytest.mark.parametrize(("programmer", "device", "parameters"), CASES)
@pytest.mark.parametrize("wires", [None, WIRES])
def test_programmers_count_the_integral(programmer, device, parameters, wires, exactly):
    if wires and (device != "vteam" or "transistor" in parameters):
        pytest.skip("one device behind wires is enough")
    cells = memcore.devices[device]()
    info = array(device=cells, spread=False, arrays=1, rows=4, cols=5)
    info = dataclasses.replace(info, wires=wires)
    found = written(programmer, info, parameters)
    exactly()
    expected = written(programmer, info, parameters)
    assert torch.equal(found.conductance, expected.conductance)
    error = (found.energy / expected.energy - 1).abs()
    assert float(error.max()) < ACCURACY


def test_half_selected_cells_that_are_swept_away_count_what_they_took(exactly):
    magic = memcore.devices["vteam"].preset("magic")
    info = array(device=magic, spread=False, arrays=1, rows=4, cols=5)
    found = written("sequential_half_select", info, {"scheme": "V/3"})
    exactly()
    expected = written("sequential_half_select", info, {"scheme": "V/3"})
    assert float((found.energy / expected.energy - 1).abs().max()) < ACCURACY


def test_a_pulse_to_a_drifting_cell_is_its_charge_times_the_voltage():
    info = array(device=DRIFT, spread=False, arrays=1, rows=4, cols=5)
    how = memcore.programmers["write_verify"]()
    cells = writing.SingleCells.of(
        info, torch.zeros(info.shape, dtype=torch.float64), context(), lines=how, reads=how
    )
    state = torch.linspace(0.05, 0.9, 20, dtype=torch.float64)[None]
    after = cells.all.pulse(state, 1.0, 0.05, "pulse", 0)
    per_charge = DRIFT.mobility * DRIFT.r_on / DRIFT.thickness**2
    inside = after.state[0] < 1
    charge = (after.state[0] - state[0]) / per_charge
    torch.testing.assert_close(after.energy[inside], charge[inside], rtol=ACCURACY, atol=0)
    assert inside.sum() > 5
