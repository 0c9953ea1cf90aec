import dataclasses
import itertools
import math

import pytest
import torch
from memcore_plugins.devices import jart_vcm_v1b
from memcore_plugins.devices._jart import travel
from memcore_plugins.devices.jart_vcm_v1b import EPS0, UNIT, VOLT_PER_KELVIN, E, JartVcmV1b

import memcore

EXACT = JartVcmV1b(tabulated=False)
TABLE = JartVcmV1b()


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def at(device, *concentrations):
    """The state of concentrations in 1e26 per m^3."""
    n = volts(*concentrations) * UNIT / device.N_min
    return (n.log() / math.log(device.N_max / device.N_min))[None]


def rate(device, s, voltage):
    """dN/dt in 1e26 per m^3 and second, with the fading at the ends."""
    n = device.concentration(s)
    past = torch.where(voltage < 0, n / device.N_max, device.N_min / n) ** 10
    log_n = (n / UNIT).log()
    speed = voltage.abs() * device._response(voltage, log_n, 1).exp()
    return -voltage.sign() * n / UNIT * (1 - past) * speed


@pytest.mark.parametrize(
    ("device", "current_error", "rate_error"), [(EXACT, 1e-6, 1e-5), (TABLE, 2e-4, 3e-3)]
)
def test_rates_currents_and_temperatures_equal_the_oracle(
    device, current_error, rate_error, oracle
):
    v, n, rates, currents, kelvins = volts(*oracle("jart_oracle.json")["rate_table"]).T
    state = at(device, *n)
    close = torch.testing.assert_close
    close(device.current(state, v), currents, rtol=current_error, atol=0)
    close(device.temperature(state, v), kelvins, rtol=current_error, atol=0)
    close(rate(device, state[0], v), rates, rtol=rate_error, atol=0)


def some_cells(low, high, count=4000):
    draw = torch.Generator().manual_seed(3)
    s, v, sign = torch.rand(3, count, generator=draw, dtype=torch.float64)
    return s[None], (low + (high - low) * v) * torch.where(sign < 0.5, -1.0, 1.0)


@pytest.mark.parametrize(("low", "high", "error"), [(0.01, 0.1, 2e-3), (0.1, 1.5, 1e-3)])
def test_the_table_equals_the_solution(low, high, error):
    state, v = some_cells(low, high)
    found, expected = (device.current(state, v) for device in (TABLE, EXACT))
    torch.testing.assert_close(found, expected, rtol=error, atol=0)
    found, expected = (rate(device, state[0], v) for device in (TABLE, EXACT))
    torch.testing.assert_close(found, expected, rtol=8e-3, atol=0)


def test_the_solution_fulfils_the_equation_in_either_precision():
    state, v = some_cells(1e-3, 4.0)
    i = EXACT.current(state, v)
    n = EXACT.concentration(state[0]) / UNIT
    v_s = v.abs() - i.abs() * (sum(EXACT.ohmic(n)) + EXACT.series(i))
    thermal = VOLT_PER_KELVIN * EXACT.temperature(state, v)
    emitted = EXACT._log_emission(v_s, n, thermal, v > 0).exp()
    torch.testing.assert_close(emitted, i.abs(), rtol=1e-8, atol=0)
    single = EXACT.current(state.float(), v.float())
    torch.testing.assert_close(single.double(), i, rtol=1e-5, atol=0)


def mismatch(v, n, v_s):
    """Ln of the emitted current over that through the resistances for v > 0, in plain numbers."""
    area = math.pi * 45e-9**2
    disc = 0.4e-9 / (n * 1e26 * 2 * E * 4e-6 * area)
    plug = 2.6e-9 / (20e26 * 2 * E * 4e-6 * area)
    i = (v - v_s) / (disc + plug + 650 + 719.2437)
    for _ in range(30):
        hot = 719.2437 * (1 + 719.2437 * 3.92e-3 * 90471.47 * i * i)
        i = (v - v_s) / (disc + plug + 650 + hot)
    kelvin = 293 + i * (v_s + i * (disc + plug)) * 15.72e6 * 0.27
    lowered = E**3 * 2 * n * 1e26 * max(0.08 - v_s, 0) / (8 * math.pi**2 * (5.5 * EPS0) ** 3)
    phi, thermal = max(0.18 - lowered**0.25, 0), VOLT_PER_KELVIN * kelvin
    emitted = area * 6.01e5 * kelvin**2 * math.exp(-phi / thermal) * math.expm1(v_s / thermal)
    return math.log(emitted / i), i


@pytest.mark.parametrize(("v", "n"), [(0.2, 1.0), (0.3, 0.05), (0.35, 20.0), (0.5, 0.05)])
def test_of_three_solutions_it_is_the_one_that_is_connected_to_no_voltage(v, n):
    grid = [0.3 * k / 3000 for k in range(1, 3000) if 0.3 * k / 3000 < v]
    found = [mismatch(v, n, v_s) for v_s in grid]
    roots = [0.5 * (a[1] + b[1]) for a, b in itertools.pairwise(found) if (a[0] < 0) != (b[0] < 0)]
    assert len(roots) == 3
    for device in (EXACT, TABLE):
        assert device.current(at(device, n), volts(v)).item() == pytest.approx(roots[0], rel=2e-3)
    assert roots[0] == max(roots)
    assert roots[0] > 1.01 * roots[1]


def test_triangle_equals_the_oracle(oracle, trajectory):
    expected, fine = oracle("jart_v1b_triangular_1p3V_1Vps.csv"), 2
    t = torch.arange(399 * fine + 1, dtype=torch.float64) / (399 * fine) * 5.2
    wave = torch.where(t < 1.3, -t, torch.where(t < 3.9, t - 2.6, 5.2 - t))
    middle = 0.5 * (wave[1:] + wave[:-1])
    s = trajectory(TABLE, at(TABLE, 0.01), middle, 5.2 / 399 / fine)[::fine, 0, 0]
    n, v = TABLE.concentration(s) / UNIT, expected["V_V"]
    difference = (n / expected["N_1e26_m3"]).log().abs()
    assert difference.median() < 1e-8
    assert difference.quantile(0.95) < 1e-3
    assert difference.max() < 2e-2
    assert v[n > 1][0].item() == pytest.approx(-0.560, abs=1e-3)
    assert v[(n < 0.1) & (t[::fine] > 3)][0].item() == pytest.approx(0.932, abs=1e-3)
    current = TABLE.current(s[None], v)
    assert current.min().item() == pytest.approx(-7.655e-4, rel=1e-4)
    assert current.max().item() == pytest.approx(5.534e-4, rel=2e-4)
    torch.testing.assert_close(current, expected["I_A"], rtol=0, atol=1e-6)
    assert n[-1].item() == pytest.approx(0.00800931, rel=1e-4)


def test_travel_at_a_constant_speed_is_exact():
    y, push = volts(0.01, 0.1, 1.0, 5.0), volts(1e-3, 0.1, 2.0, 1e9)
    found = travel(torch.zeros_like, y, push, 16)
    # dy/dt = -(1 - e^(-10 y)): e^(10 y) - 1 decays exponentially.
    end = torch.log1p(torch.expm1(10 * y) * torch.exp(-10 * push)) / 10
    torch.testing.assert_close(y - found, end, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("v", [-0.6, 0.95])
def test_one_pulse_is_many_short_ones(v, trajectory):
    start, seconds = at(TABLE, 0.01 if v < 0 else 15.0), 0.05
    whole = EXACT.step(start, volts(v), seconds, None)
    finer = dataclasses.replace(EXACT, pieces=32)
    parts = trajectory(finer, start, volts(v).expand(40), seconds / 40)[-1]
    assert (whole - start).abs().item() > 0.05
    torch.testing.assert_close(whole, parts, rtol=0, atol=2e-3)


def test_the_conductance_is_that_of_a_low_positive_read():
    s = torch.linspace(0, 1, 9, dtype=torch.float64)[None]
    for v, error in ((1e-4, 1e-3), (0.5, 0.02)):
        chord = EXACT.current(s, torch.full((9,), v, dtype=torch.float64)) / v
        torch.testing.assert_close(chord, EXACT.conductance(s), rtol=error, atol=0)


def test_cells_that_differ_are_solved_one_by_one(ctx):
    device = JartVcmV1b.preset("bengel_variability")
    cells = device.sample((200,), ctx)
    bounds = {"N_min": (4e23, 2.5e25), "N_max": (1.8e27, 2.2e27)}
    bounds |= {"l": (0.36e-9, 0.44e-9), "r": (40.5e-9, 49.5e-9)}
    for name, (low, high) in bounds.items():
        drawn = getattr(cells, name)
        assert drawn.min() >= low * (1 - 1e-6)
        assert drawn.max() <= high * (1 + 1e-6)
        assert drawn.unique().numel() > 100
    s = torch.linspace(0.1, 0.9, 200, dtype=torch.float64)[None]
    voltage = torch.full((200,), -0.7, dtype=torch.float64)
    current, moved = cells.current(s, voltage), cells.step(s, voltage, 1e-6, ctx)
    for k in (0, 77, 199):
        one = JartVcmV1b(**{name: getattr(cells, name)[k].item() for name in bounds})
        one, v = dataclasses.replace(one, tabulated=False), voltage[k : k + 1]
        assert current[k].item() == pytest.approx(one.current(s[:, [k]], v).item(), rel=1e-6)
        assert moved[0, k].item() == pytest.approx(
            one.step(s[:, [k]], v, 1e-6, ctx).item(), abs=1e-6
        )


def test_a_table_is_made_once_for_each_set_of_parameters():
    jart_vcm_v1b._made.cache_clear()
    for device in (JartVcmV1b(), JartVcmV1b(), JartVcmV1b.preset("bengel")):
        device.current(at(device, 1.0), volts(0.1))
    assert jart_vcm_v1b._made.cache_info().misses == 1


@pytest.mark.skipif(memcore.native.cpu() is None, reason="memcore._cpu is not in use")
def test_cells_that_differ_run_natively():
    device = JartVcmV1b.preset("bengel_variability", pieces=8)
    voltage = volts(-0.6, -0.8, 1.0)
    traces = [
        memcore.simulate(device, voltage, 1e-5, shape=(20,), engine=engine)
        for engine in ("native", "python")
    ]
    # Drawn parameters are float32, and so is what Python calculates from them alone.
    torch.testing.assert_close(traces[0].final, traces[1].final, rtol=0, atol=2e-6)
    assert traces[0].engine == "native"
    assert traces[0].final.max() > 0.5


@pytest.mark.skipif(memcore.native.cpu() is None, reason="memcore._cpu is not in use")
def test_equal_cells_run_natively_by_the_equation_itself():
    voltage = 1.2 * torch.sin(torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64))
    trace = memcore.simulate(JartVcmV1b(), voltage, 1e-2)
    exact = memcore.simulate(EXACT, voltage, 1e-2, engine="python")
    assert trace.engine == "native"
    torch.testing.assert_close(trace.state, exact.state, rtol=0, atol=1e-9)
    looped = memcore.simulate(JartVcmV1b(), voltage, 1e-2, engine="python")
    torch.testing.assert_close(trace.state, looped.state, rtol=0, atol=2e-2)


@pytest.mark.parametrize(
    "parameters", [{"N_min": 3e27}, {"l": 5e-9}, {"r": 0.0}, {"s0": 2.0}, {"phi_n": 0.2}]
)
def test_nonsense_is_refused_by_name(parameters):
    with pytest.raises(memcore.ConfigError, match=next(iter(parameters))):
        JartVcmV1b(**parameters)
