"""What every dynamic device promises, for every published parameter set."""

import dataclasses
import pickle

import pytest
import torch

import memcore

NAMES = [
    "data_driven",
    "ideal",
    "linear_ion_drift",
    "mms",
    "nonlinear_ion_drift",
    "simmons",
    "sky130_reram",
    "stanford_pku",
    "team",
    "vteam",
    "yakopcic",
]
VOLATILE = {"mms"}
BY_DECADES = tuple(
    memcore.devices[name] for name in ("simmons", "sky130_reram", "stanford_pku", "team")
)

DEVICES = {
    f"{name}-{preset or 'defaults'}": (name, preset)
    for name in NAMES
    for preset in (None, *memcore.devices[name].presets)
}


def make(name, preset):
    cls = memcore.devices[name]
    return cls() if preset is None else cls.preset(preset)


@pytest.fixture(params=DEVICES)
def device(request):
    return make(*DEVICES[request.param])


def window(device, n=9, dtype=torch.float64):
    """States from the lowest to the highest conductance in geometric steps."""
    low, high = (torch.tensor(g, dtype=dtype) for g in device.conductance_range())
    return device.state_of(low * (high / low) ** torch.linspace(0, 1, n, dtype=dtype))


def test_the_current_is_pinched_and_passive(device):
    state = window(device)
    assert (device.current(state, torch.zeros(9, dtype=torch.float64)) == 0).all()
    for v in (-3.0, -0.1, 0.1, 3.0):
        voltage = torch.full((9,), v, dtype=torch.float64)
        assert (device.current(state, voltage) * voltage > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_pulse_leaves_the_state_in_its_window(device, dtype, ctx):
    state = window(device, dtype=dtype)
    low, high = device.conductance_range()
    for v in (-100.0, -3.0, -0.3, 0.0, 0.3, 3.0, 100.0):
        for dt in (1e-12, 1e-6, 1.0, 1e9):
            moved = device.step(state, torch.full((9,), v, dtype=dtype), dt, ctx)
            assert moved.dtype == dtype
            g = device.conductance(moved)
            assert g.isfinite().all()
            assert (g >= low * (1 - 1e-5)).all()
            assert (g <= high * (1 + 1e-5)).all()


def test_the_polarity_tells_which_voltage_sets(device, ctx):
    if hasattr(device, "delta_g0"):
        device = dataclasses.replace(device, delta_g0=0.0)
    state = window(device)
    before = device.conductance(state)
    set_, reset = [], []
    for v in (0.3, 1.0, 2.0, 6.0):
        voltage = torch.full((9,), v * device.polarity, dtype=torch.float64)
        for dt in (1e-9, 1e-3, 1e6):
            set_.append(device.conductance(device.step(state, voltage, dt, ctx)))
            reset.append(device.conductance(device.step(state, -voltage, dt, ctx)))
    if is_volatile(device):
        set_, reset = set_[-1:], reset[-1:]
    assert all((g >= before).all() for g in set_)
    assert all((g <= before).all() for g in reset)
    assert any((g > before).any() for g in set_)
    assert any((g < before).any() for g in reset)


def is_volatile(device):
    return any(isinstance(device, memcore.devices[name]) for name in VOLATILE)


def test_state_and_voltage_are_left_alone(device, ctx):
    state, voltage = window(device), torch.linspace(-1, 1, 9, dtype=torch.float64)
    copies = state.clone(), voltage.clone()
    device.step(state, voltage, 1e-6, ctx)
    device.current(state, voltage)
    assert torch.equal(state, copies[0])
    assert torch.equal(voltage, copies[1])


def test_the_state_of_a_conductance_has_that_conductance(device):
    low, high = device.conductance_range()
    g = torch.linspace(0, 1, 21, dtype=torch.float64) * (high - low) + low
    torch.testing.assert_close(device.conductance(device.state_of(g)), g, rtol=1e-9, atol=0)
    outside = device.conductance(device.state_of(torch.tensor([0.0, 1e9])))
    torch.testing.assert_close(outside.double(), torch.tensor([low, high]).double())


def test_without_voltage_nothing_moves(device, ctx):
    if is_volatile(device):
        pytest.skip("volatile by design")
    state = window(device)
    rested = device.step(state, torch.zeros(9, dtype=torch.float64), 1e6, ctx)
    assert torch.equal(rested, state)


def test_single_precision_agrees_with_double(device, ctx):
    for v in (-1.0, 1.0):
        for dt in (1e-9, 1e-4):
            state = window(device)
            fine = device.step(state, torch.full((9,), v, dtype=torch.float64), dt, ctx)
            coarse = device.step(state.float(), torch.full((9,), v), dt, ctx)
            scale = state.abs().amax(dim=1, keepdim=True) + 1e-30
            # Where rates change by decades, single precision takes their slopes more coarsely.
            atol = 1e-4 if isinstance(device, BY_DECADES) else 2e-5
            torch.testing.assert_close(coarse.double() / scale, fine / scale, rtol=0, atol=atol)


def test_devices_pickle(device):
    assert pickle.loads(pickle.dumps(device)) == device


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_one_graph(name, ctx):
    torch.compiler.reset()  # else the graphs of the same step that others compiled count
    device = memcore.devices[name]()
    state, voltage = window(device, dtype=torch.float32), torch.linspace(-1, 1, 9)

    @torch.compile(fullgraph=True, backend="eager")
    def step(state, voltage):
        return device.step(state, voltage, 1e-7, ctx), device.current(state, voltage)

    for found, expected in zip(
        step(state, voltage),
        (device.step(state, voltage, 1e-7, ctx), device.current(state, voltage)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(memcore.devices[name], "r_on")])
def test_cells_with_crossed_ends_stay_finite(name, ctx):
    device = memcore.devices[name](
        r_on=memcore.Uniform(500.0, 2000.0), r_off=memcore.Uniform(1000.0, 3000.0)
    )
    cells = device.sample((500,), ctx)
    assert (cells.r_on >= cells.r_off).any()
    state = cells.state_of(torch.full((500,), 1 / 1200.0))
    for v in (-2.0, 2.0):
        moved = cells.step(state, torch.full((500,), v), 1e-3, ctx)
        assert cells.conductance(moved).isfinite().all()
    equal = memcore.devices[name](r_on=torch.tensor([1e3]), r_off=torch.tensor([1e3]))
    assert equal.conductance(equal.state_of(torch.tensor([1e-3]))).isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(memcore.devices[name], "r_on")])
def test_open_loop_programming_shifts_every_cell_that_differs(name, ctx):
    device = memcore.devices[name](
        r_on=memcore.Normal(1e3, 50.0, min=500.0, max=2e3), r_off=memcore.Normal(1e5, 5e3, min=5e4)
    )
    cells, plan = device.sample((300,), ctx), device.nominal()
    low, high = plan.conductance_range()
    for where in (0.0, 0.3, 0.7, 1.0):
        target = torch.full((300,), low + where * (high - low))
        assert (cells.conductance(plan.state_of(target)) != target).all()


@pytest.mark.parametrize("name", NAMES)
def test_presets_say_where_they_come_from(name):
    cls = memcore.devices[name]
    for preset in cls.presets.values():
        assert len(preset.source) > 10
    with pytest.raises(memcore.ConfigError, match="has no preset 'nonsense'; it has: "):
        cls.preset("nonsense")
