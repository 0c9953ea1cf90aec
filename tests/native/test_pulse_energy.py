"""The native energy of pulses against the definition in Python, `energy_of`."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

import memcore
from memcore import Context, Memristor, Stream, native
from memcore.testing.cases import array
from memcore.writing import CellParameters, WithStuck, energy_of
from memcore.writing.energy import ACCURACY
from memcore.writing.metering import PulseMeter, behind_lines, of_cell

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

CTX = Context(random=Stream(0))
CELLS = 1500  #: more than a block of the kernel
#: Devices that must be recorded for any duration, with pulses that move them.
WIDTHS = {
    "data_driven": 1e-4,
    "ideal": 1e-7,
    "linear_ion_drift": 0.1,
    "mms": 1e-5,
    "sky130_reram": 1e-8,
    "stanford_pku": 1e-8,
    "vteam": 1e-9,
    "yakopcic": 1e-4,
}
SPREAD = {"r_on": memcore.Normal(50.0, 5.0, min=1.0), "r_off": memcore.Normal(1e3, 50.0)}


@dataclass
class Pulse:
    """A pulse to cells of a device."""

    device: Memristor
    begin: torch.Tensor
    volts: torch.Tensor
    width: float

    @classmethod
    def to(cls, device, width, dtype=torch.float64, cells=CELLS):
        low, high = device.nominal().nominal_range()
        drawn = device.sample((cells,), CTX)
        g = low + (high - low) * Stream(1).uniform((cells,)).to(dtype)
        volts = 4 * Stream(2).uniform((cells,)).to(dtype) - 2
        return cls(drawn, drawn.state_of(g).to(dtype), volts, width)

    @property
    def end(self):
        return self.device.step(self.begin, self.volts, self.width, CTX)

    def meter(self, power=of_cell, given=0):
        info = array(device=self.device, spread=False, arrays=1, rows=1, cols=CELLS)
        info = dataclasses.replace(info, device=self._laid(self.device))
        return PulseMeter(CellParameters(info, (CELLS,)), power, given)

    def _laid(self, device):
        tensors = {k: v for k, v in vars(device).items() if isinstance(v, torch.Tensor)}
        return dataclasses.replace(device, **{k: v.view(1, 1, -1) for k, v in tensors.items()})

    def natively(self, *given, power=of_cell):
        ends = self.begin, self.end
        meter = self.meter(power, len(given))
        return meter.energy(self.device, ends, self.volts, self.width, *given)

    def followed(self, *given, power=of_cell):
        def picked(cells):
            tensors = {k: v for k, v in vars(self.device).items() if isinstance(v, torch.Tensor)}
            return dataclasses.replace(self.device, **{k: v[cells] for k, v in tensors.items()})

        return energy_of(
            self.begin,
            self.end,
            self.width,
            moved=lambda cells, state, dt: picked(cells).step(state, self.volts[cells], dt, CTX),
            power=lambda cells, state: power(
                picked(cells), state, self.volts[cells], *(each[cells] for each in given)
            ),
        )


@pytest.mark.parametrize("shorter", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", WIDTHS)
def test_devices_spend_what_their_own_steps_say(name, shorter):
    pulse = Pulse.to(memcore.devices[name](), shorter * WIDTHS[name])
    assert (pulse.end != pulse.begin).any()
    torch.testing.assert_close(pulse.natively(), pulse.followed(), rtol=1e-6, atol=0)


def test_each_cell_has_its_own_parameters():
    pulse = Pulse.to(memcore.devices["vteam"](**SPREAD), 1e-8)
    torch.testing.assert_close(pulse.natively(), pulse.followed(), rtol=1e-6, atol=0)


def test_single_precision_is_accurate_enough():
    device, width = memcore.devices["vteam"](**SPREAD), 1e-8
    found = Pulse.to(device, width, torch.float32).natively()
    expected = Pulse.to(device, width).followed()
    torch.testing.assert_close(found.double(), expected, rtol=ACCURACY / 10, atol=0)


def test_lines_take_their_share():
    pulse = Pulse.to(memcore.devices["vteam"](), 1e-8)
    applied, ohm = 1.2 * pulse.volts, 50 * Stream(3).uniform((CELLS,)).double()
    found = pulse.natively(applied, ohm, power=behind_lines)
    expected = pulse.followed(applied, ohm, power=behind_lines)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_stuck_cells_are_resistors():
    pulse = Pulse.to(memcore.devices["vteam"](), 1e-8)
    at = torch.full((CELLS,), torch.nan, dtype=torch.float64)
    at[::3] = 1e-4
    cells = WithStuck(pulse.device, at)
    ends = pulse.begin, cells.step(pulse.begin, pulse.volts, pulse.width, CTX)
    found = pulse.meter().energy(cells, ends, pulse.volts, pulse.width)
    expected = pulse.width * pulse.volts**2 * 1e-4
    torch.testing.assert_close(found[::3], expected[::3])
    assert torch.equal(found[1::3], pulse.natively()[1::3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["vteam", "stanford_pku"])
def test_a_cell_spends_the_same_whoever_is_with_it(name, dtype):
    pulse = Pulse.to(memcore.devices[name](), WIDTHS[name], dtype)
    together, ends, meter = pulse.natively(), (pulse.begin, pulse.end), pulse.meter()
    for some in (slice(0, 1), slice(7, 20), slice(600, 1400)):
        few = tuple(state[:, some] for state in ends)
        alone = meter.energy(pulse.device, few, pulse.volts[some], pulse.width)
        assert torch.equal(alone, together[some])


def test_threads_make_no_difference():
    pulse, threads = Pulse.to(memcore.devices["vteam"](), 1e-8, cells=9000), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = pulse.natively()
        torch.set_num_threads(3)
        assert torch.equal(pulse.natively(), alone)
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, kw_only=True)
class Odd(memcore.devices["ideal"]):
    """A device of which something cannot be recorded."""

    what: str

    def step(self, state, voltage, dt, ctx):
        if self.what == "draws":
            return super().step(state, voltage * ctx.random.uniform(voltage.shape), dt, ctx)
        if self.what == "decides":
            return super().step(state, voltage, min(dt, 1.0), ctx)
        return super().step(state.flip(1).flip(1), voltage, dt, ctx)


@pytest.mark.parametrize("what", ["draws", "decides", "mixes cells"])
def test_what_cannot_be_recorded_is_left_to_python(what):
    pulse = Pulse.to(Odd(what=what), 1e-7)
    assert pulse.natively() is None


def test_what_is_no_plain_number_is_left_to_python():
    pulse = Pulse.to(memcore.devices["vteam"](), 1e-8)
    ends, meter = (pulse.begin, pulse.end), pulse.meter()
    assert meter.energy(pulse.device, ends, pulse.volts.float(), pulse.width) is None
    wanted = pulse.volts.clone().requires_grad_()
    assert meter.energy(pulse.device, ends, wanted, pulse.width) is None
