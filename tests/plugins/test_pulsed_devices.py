"""What every pulsed device promises, for every published parameter set."""

import dataclasses
import pickle

import pytest
import torch

import memcore
from memcore import Memristor
from memcore.modelling import Pulsed

NAMES = [name for name in memcore.devices if issubclass(memcore.devices[name], Pulsed)]
DEVICES = {
    f"{name}-{preset or 'defaults'}": (name, preset)
    for name in NAMES
    for preset in (None, *memcore.devices[name].presets)
}
NOISY = [key for key, (name, preset) in DEVICES.items() if preset and preset != "stt_mram"]
CELLS = 100_000


def make(name, preset, **changes):
    cls = memcore.devices[name]
    device = cls() if preset is None else cls.preset(preset)
    return dataclasses.replace(device.nominal(), **changes)


def quiet(name, preset):
    noises = {"c2c": 0.0, "write_std": 0.0}
    known = {field.name for field in dataclasses.fields(memcore.devices[name])}
    return make(name, preset, **{key: noises[key] for key in noises.keys() & known})


@pytest.fixture(params=DEVICES)
def noiseless(request):
    return quiet(*DEVICES[request.param])


@pytest.fixture(params=DEVICES)
def device(request):
    return make(*DEVICES[request.param])


def window(device, n=21, dtype=torch.float64):
    low, high = device.conductance_range()
    return device.state_of(torch.linspace(low, high, n, dtype=dtype))


def one_by_one(device, state, count, ctx):
    sign = torch.full(state.shape[1:], 1.0 if count > 0 else -1.0)
    for n in range(abs(count)):
        state = device.pulses(state, sign, ctx.child(n))
    return state


def test_all_of_them_are_found():
    assert set(NAMES) >= {
        "constant_step",
        "linear_step",
        "soft_bounds",
        "exp_step",
        "pow_step",
        "piecewise_step",
        "neurosim",
    }


@pytest.mark.parametrize("count", [1, -1, 7, -7, 9, -9, 300, -300])
def test_many_pulses_equal_single_ones(noiseless, count, ctx):
    state = window(noiseless)
    expected = one_by_one(noiseless, state, count, ctx)
    found = noiseless.pulses(state, torch.full((21,), count), ctx)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_thousand_pulses_in_parts_are_a_thousand_pulses(noiseless, ctx):
    state = window(noiseless)
    for sign in (1, -1):
        count = torch.full((21,), 1000.0 * sign)
        halves = noiseless.pulses(noiseless.pulses(state, count / 2, ctx), count / 2, ctx)
        found = noiseless.pulses(state, count, ctx)
        torch.testing.assert_close(found, halves, rtol=0, atol=1e-6)


def test_cells_get_counts_of_their_own(noiseless, ctx):
    state = window(noiseless, 4)
    count = torch.tensor([0, 3, -40, 150])
    found = noiseless.pulses(state, count, ctx)
    for cell in range(4):
        alone = noiseless.pulses(state[:, cell : cell + 1], count[cell : cell + 1], ctx)
        torch.testing.assert_close(found[:, cell : cell + 1], alone, rtol=0, atol=1e-6)
    assert torch.equal(found[:, 0], state[:, 0])


def test_pulses_go_one_way_each_and_stay_in_the_window(noiseless, ctx):
    state = window(noiseless)
    low, high = noiseless.conductance_range()
    before = noiseless.conductance(state)
    for count in (1, 10, 1_000, 10**9):
        up, down = (
            noiseless.conductance(noiseless.pulses(state, torch.full((21,), n), ctx))
            for n in (count, -count)
        )
        assert (up >= before - 1e-9 * high).all()
        assert (down <= before + 1e-9 * high).all()
        assert (up <= high * (1 + 1e-9)).all()
        assert (down >= low * (1 - 1e-9)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_never_leaves_the_window(device, dtype, ctx):
    low, high = device.conductance_range()
    for count in (0.3, 1, 2, 50, 1e7, 1e300):
        for sign in (1, -1):
            state = window(device, 2_000, dtype)
            number = torch.full((2_000,), sign * count, dtype=torch.float64)
            found = device.conductance(device.pulses(state, number, ctx))
            assert found.dtype == dtype
            assert found.isfinite().all()
            assert found.min() >= low * (1 - 1e-5)
            assert found.max() <= high * (1 + 1e-5)


def test_a_pulse_is_a_step_of_its_amplitude_and_duration(device, ctx):
    state = window(device)
    for sign, (volts, seconds) in ((1, device.set_pulse), (-1, device.reset_pulse)):
        assert volts * device.polarity * sign > 0
        for amplitude in (volts, 1.2 * volts):
            voltage = torch.full((21,), amplitude)
            found = device.step(state, voltage, seconds, ctx)
            expected = device.pulses(state, torch.full((21,), sign), ctx)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        below = torch.full((21,), 0.99 * volts)
        assert torch.equal(device.step(state, below, seconds, ctx), state)


def test_a_pulse_in_two_halves_is_a_pulse(noiseless, ctx):
    state = window(noiseless)
    volts, seconds = noiseless.set_pulse
    voltage = torch.full((21,), volts, dtype=torch.float64)
    whole = noiseless.step(state, voltage, seconds, ctx)
    half = noiseless.step(state, voltage, seconds / 2, ctx)
    both = noiseless.step(half, voltage, seconds / 2, ctx)
    moved = (whole - state).abs().max().item()
    assert (both - whole).abs().max().item() <= 0.3 * moved


SINGLE = [
    pytest.param("constant_step", "gokmen_vlasov", {}, id="constant_step"),
    pytest.param("constant_step", None, {"c2c": 2.0}, id="constant_step-noisy"),
    pytest.param("linear_step", "capacitor", {}, id="capacitor"),
    pytest.param("linear_step", "ecram_mo", {}, id="ecram_mo"),
    pytest.param("soft_bounds", "reram_sb", {}, id="reram_sb"),
    pytest.param("soft_bounds", None, {"c2c": 0.5, "noise": "multiplicative"}, id="soft_bounds"),
    pytest.param("exp_step", "reram_es", {}, id="reram_es"),
    pytest.param("pow_step", None, {"c2c": 1.0}, id="pow_step"),
    pytest.param("piecewise_step", None, {"c2c": 1.0}, id="piecewise_step"),
    pytest.param("neurosim", "epiram", {"c2c": 0.002}, id="neurosim"),
]


@pytest.mark.parametrize(("name", "preset", "changes"), SINGLE)
@pytest.mark.parametrize("count", [20, -20])
def test_noise_of_many_pulses_has_the_moments_of_single_ones(name, preset, changes, count, ctx):
    device = make(name, preset, **changes)
    if hasattr(device, "write_std"):
        device = dataclasses.replace(device, write_std=0.0)
    start = torch.full((1, CELLS), 0.5, dtype=torch.float64)
    single = one_by_one(device, start, count, ctx.child("single"))
    at_once = device.pulses(start, torch.full((CELLS,), count), ctx.child("at once"))
    spread = single.std().item()
    error = spread * (2 / CELLS) ** 0.5
    assert spread > 0
    assert at_once.mean().item() == pytest.approx(single.mean().item(), abs=4 * error)
    assert at_once.std().item() == pytest.approx(spread, abs=4 * error / 2**0.5)


@pytest.mark.parametrize("key", NOISY)
@pytest.mark.parametrize("start", [0.0, 0.3, 1.0])
def test_noise_at_the_bounds_keeps_its_moments_to_a_percent_of_the_window(key, start, ctx):
    device = make(*DEVICES[key])
    assert device.c2c > 0
    if hasattr(device, "write_std"):
        device = dataclasses.replace(device, write_std=0.0)
    state = torch.full((1, 10_000), start)
    for count in (30, -30):
        single = one_by_one(device, state, count, ctx.child("single"))
        at_once = device.pulses(state, torch.full((10_000,), count), ctx.child("at once"))
        error = 4 * single.std().item() * (2 / 10_000) ** 0.5
        assert at_once.mean().item() == pytest.approx(single.mean().item(), abs=0.01 + error)
        assert at_once.std().item() == pytest.approx(single.std().item(), abs=0.01 + error)


def test_noise_is_that_of_the_context(ctx):
    device = make("exp_step", "reram_es")
    state, count = window(device), torch.full((21,), 40)
    first = device.pulses(state, count, ctx.child("write", 0))
    assert torch.equal(first, device.pulses(state, count, ctx.child("write", 0)))
    assert not torch.equal(first, device.pulses(state, count, ctx.child("write", 1)))


@pytest.mark.parametrize("name", [key for key in DEVICES if not key.endswith("defaults")])
def test_cells_are_drawn_once_and_differ(name, ctx):
    cls, preset = DEVICES[name]
    device = memcore.devices[cls].preset(preset)
    if cls == "neurosim":
        device = dataclasses.replace(device, nl_ltp=memcore.Normal(2.0, 0.3))
    cells, again = (device.sample((50,), ctx) for _ in range(2))
    cells, again = (dataclasses.replace(each, c2c=0.0) for each in (cells, again))
    state = cells.state_of(0.5 * sum(cells.conductance_range()) + torch.zeros(50))
    count = torch.full((50,), 3.0)
    moved = cells.conductance(cells.pulses(state, count, ctx)) - cells.conductance(state)
    assert torch.equal(cells.pulses(state, count, ctx), again.pulses(state, count, ctx))
    assert moved.std() > 0


def test_drawn_bounds_keep_their_signs_and_every_cell_conducts(ctx):
    for name, preset in DEVICES.values():
        cells = (
            memcore.devices[name].preset(preset) if preset else memcore.devices[name]()
        ).sample((20_000,), ctx)
        low, high = (torch.as_tensor(end) for end in cells.conductance_range())
        assert (low > 0).all()
        assert (high > low).all()


def test_write_noise_is_read_but_not_kept(ctx):
    device = make("soft_bounds", "reram_sb", c2c=0.0)
    state = device.state_of(torch.full((CELLS,), 3e-5, dtype=torch.float64))
    assert state.shape == (2, CELLS)
    once = device.pulses(state, torch.full((CELLS,), 1), ctx.child(0))
    assert once[0].std() < 1e-12
    spread = device.conductance(once).std().item()
    assert spread == pytest.approx(56 * 0.002 * device.g_unit, rel=0.01)
    twice = device.pulses(once, torch.full((CELLS,), 1), ctx.child(1))
    assert torch.corrcoef(torch.stack([once[1], twice[1]]))[0, 1].abs() < 0.02
    assert device.pulses(once, torch.zeros(CELLS), ctx.child(2)).equal(once)


def test_devices_survive_pickling(device, ctx):
    copy = pickle.loads(pickle.dumps(device))
    assert copy == device
    state, count = window(device), torch.full((21,), 5)
    assert torch.equal(copy.pulses(state, count, ctx), device.pulses(state, count, ctx))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepped(Memristor):
    set_pulse = (1.0, 1e-6)
    reset_pulse = (-1.0, 2e-6)

    def conductance(self, state):
        return 1e-5 * (1 + state[0])

    def step(self, state, voltage, dt, ctx):
        return (state + 1e4 * voltage * dt).clamp(0, 1)

    def initial_state(self, shape, ctx):
        return torch.zeros(1, *shape)

    def state_of(self, conductance):
        return (conductance * 1e5 - 1)[None]

    def conductance_range(self):
        return 1e-5, 2e-5


def test_other_devices_take_their_nominal_pulse_again_and_again(ctx):
    state = torch.full((1, 4), 0.5)
    found = Stepped().pulses(state, torch.tensor([0, 3, -2, 100]), ctx)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.53, 0.46, 1.0]]))


def test_devices_without_a_nominal_pulse_say_so(ctx):
    state = torch.full((1, 4), 0.5)
    with pytest.raises(NotImplementedError, match="Vteam does not say what a programming pulse"):
        memcore.devices["vteam"]().pulses(state, torch.ones(4), ctx)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "parameters", [{"v_set": -1.0, "v_reset": -1.0}, {"t_set": 0.0}, {"c2c": -0.1}, {"x0": 2.0}]
)
def test_nonsense_is_refused_by_name(name, parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        memcore.devices[name](**parameters)
