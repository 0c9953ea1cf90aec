import math
from pathlib import Path

import pytest
import torch

import memcore
from memcore import ConfigError, native, simulate, stimuli
from memcore.dynamics.load import Load
from memcore.dynamics.simulate import Repeated

F64 = torch.float64
ORACLES = Path(__file__).parent / "oracles"


def oracle(name):
    lines = [x for x in (ORACLES / name).read_text().splitlines() if not x.startswith("#")]
    rows = torch.tensor([[float(x) for x in line.split(",")] for line in lines[1:]], dtype=F64)
    return dict(zip(lines[0].split(","), rows.T, strict=True))


def sweep(name, frequency, finer):
    """An oracle's columns, and its sine with `finer` samples for each of its rows."""
    table = oracle(name)
    dt = (table["t_s"][1] - table["t_s"][0]).item() / finer
    periods = round(table["t_s"][-1].item() * frequency)
    amplitude = round(table["V_V"].abs().max().item(), 2)
    voltage = stimuli.sine(amplitude, frequency, dt=dt, periods=periods, dtype=F64)
    return table, voltage, dt


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("name", "start"),
    [("vteam", "s0"), ("linear_ion_drift", "x0"), ("mms", "x0"), ("soft_bounds", "x0")],
)
def test_cells_begin_in_the_precision_of_the_waveform(name, start, dtype):
    device = memcore.devices[name](**{start: 0.3})
    voltage = torch.zeros(2, dtype=dtype)
    expected = torch.full((), 0.3, dtype=dtype)
    assert torch.equal(simulate(device, voltage, 1e-9).state[0, 0], expected)
    assert torch.equal(Repeated(voltage, 1e-9).states(device, 1)[0, 0, 0], expected)


@pytest.mark.parametrize(
    ("name", "file", "frequency", "start", "parameters", "tolerance"),
    [
        ("linear_ion_drift", "lid_nowindow_sine_1V_1Hz", 1.0, 0.1, {}, 1e-6),
        pytest.param(
            *("linear_ion_drift", "lid_joglekar_p1_sine_1V_1Hz"),
            *(1.0, 0.1, {"window": "joglekar"}, 1e-6),
            marks=pytest.mark.long,
        ),
        pytest.param(
            *("linear_ion_drift", "lid_prodromakis_p1_sine_1V_1Hz"),
            *(1.0, 0.5, {"window": "prodromakis"}, 1e-6),
            marks=pytest.mark.long,
        ),
        ("vteam", "vteam_default_sine_1V_50MHz_x0_0", 50e6, 0.0, {}, 1e-3),
        ("mms", "mms_sine_0p5V_100Hz", 100.0, 0.0, {}, 1e-4),
        ("yakopcic", "yakopcic_oblea_sine", 100.0, 0.11, {}, 1e-4),
    ],
)
def test_published_trajectories_are_reproduced(name, file, frequency, start, parameters, tolerance):
    table, voltage, dt = sweep(f"{file}.csv", frequency, finer=20)
    expected = table["x"] if "x" in table else table["x_m"] / 3e-9
    state = torch.full((1,), start, dtype=F64)
    found = simulate(memcore.devices[name](**parameters), voltage, dt, state=state, record=20)
    rows = len(found.time)
    assert rows in {len(expected), len(expected) - 1}
    torch.testing.assert_close(found.time, table["t_s"][:rows])
    torch.testing.assert_close(found.state[:, 0], expected[:rows], rtol=0, atol=tolerance)


def test_pulses_of_the_data_driven_model_are_exact():
    table = oracle("datadriven2018_DUT2_pulses_0p8V_100us.csv")
    voltage = table["V_V"][1:]
    state = torch.full((1,), 1.5 / 7, dtype=F64)
    found = simulate(memcore.devices["data_driven"](), voltage, 1e-4, state=state)
    r = found.device.resistance(found.state.movedim(1, 0))
    torch.testing.assert_close(r, table["R_ohm"][:-1], rtol=1e-9, atol=0)


def lobe_area(frequency):
    dt = 1 / frequency / 2000
    trace = simulate(
        memcore.devices["linear_ion_drift"](), stimuli.sine(1, frequency, dt=dt, dtype=F64), dt
    )
    half = slice(0, 1000)  # the loop of the positive half period
    v, i = trace.voltage[half], trace.current[half]
    return torch.trapezoid(torch.cat([i, i[:1]]), torch.cat([v, v[:1]])).abs().item()


def test_lobe_areas_are_those_of_the_closed_form_and_fall_with_the_frequency():
    areas = [lobe_area(f) for f in (1.0, 2.0, 5.0, 10.0, 100.0)]
    expected = [8.927705e-6, 3.450832e-6, 1.216601e-6, 5.852082e-7, 5.658805e-8]
    assert areas == pytest.approx(expected, rel=2e-3)
    assert lobe_area(100.0) / lobe_area(1000.0) == pytest.approx(10, rel=0.01)


def test_without_a_window_the_resistance_follows_the_flux():
    device, dt = memcore.devices["linear_ion_drift"](), 1e-3
    voltage = stimuli.sine(1.0, 1.0, dt=dt, periods=0.5, dtype=F64)
    trace = simulate(device, voltage, dt)
    r = 1 / trace.conductance
    push = 1e-14 * 100 / 1e-16 * (16e3 - 100)
    flux = torch.cat([torch.zeros(1, dtype=F64), voltage.cumsum(0)[:-1] * dt])
    torch.testing.assert_close(r, (r[0] ** 2 - 2 * push * flux).sqrt(), rtol=1e-9, atol=0)


def test_the_current_is_pinched_and_belongs_to_the_state():
    device = memcore.devices["vteam"]()
    voltage = torch.tensor([0.0, 0.5, 0.0, -0.5, 0.0])
    trace = simulate(device, voltage, 1e-9, shape=(3,))
    assert (trace.current[::2] == 0).all()
    torch.testing.assert_close(trace.current, trace.conductance * voltage[:, None])
    assert trace.time.tolist() == pytest.approx([0, 1e-9, 2e-9, 3e-9, 4e-9])


def test_a_stride_keeps_every_so_many_samples_of_the_whole():
    device, voltage = memcore.devices["mms"](), torch.sin(torch.arange(100.0) / 9)
    whole = simulate(device, voltage, 1e-5, shape=(4,))
    for stride in (1, 3, 100, 1000):
        some = simulate(device, voltage, 1e-5, shape=(4,), record=stride)
        for name in ("time", "voltage", "current", "state"):
            assert torch.equal(getattr(some, name), getattr(whole, name)[::stride])
        assert torch.equal(some.final, whole.final)
    last = simulate(device, voltage, 1e-5, shape=(4,), record="last")
    for name in ("time", "voltage", "current", "state"):
        assert torch.equal(getattr(last, name), getattr(whole, name)[-1:])
    assert torch.equal(last.final, whole.final)


@pytest.mark.parametrize("engine", ["auto", "python"])
def test_a_simulation_can_be_continued(engine):
    device, voltage = memcore.devices["vteam"](), torch.sin(torch.arange(50.0))
    whole = simulate(device, voltage, 1e-11, engine=engine)
    first = simulate(device, voltage[:20], 1e-11, engine=engine)
    second = simulate(device, voltage[20:], 1e-11, state=first.final, engine=engine)
    assert torch.equal(torch.cat([first.state, second.state]), whole.state)
    assert torch.equal(second.final, whole.final)


def test_cells_are_drawn_once_by_seed():
    device = memcore.devices["vteam"](r_on=memcore.Normal(50, 5, min=1), v_on=-0.3)
    voltage = stimuli.sine(1.0, 50e6, dt=1e-10)
    one, same, other = (simulate(device, voltage, 1e-10, shape=(50,), seed=s) for s in (0, 0, 1))
    assert torch.equal(one.current, same.current)
    assert torch.equal(one.device.r_on, same.device.r_on)
    assert (one.device.r_on != other.device.r_on).all()
    assert one.device.r_on.shape == (50,)


def test_a_waveform_for_each_cell_equals_each_cell_alone():
    device = memcore.devices["data_driven"]()
    voltage = 0.9 * torch.randn(40, 2, 3, generator=torch.Generator().manual_seed(0))
    together = simulate(device, voltage, 1e-4)
    assert together.state.shape == (40, 1, 2, 3)
    for i in range(2):
        for j in range(3):
            alone = simulate(device, voltage[:, i, j], 1e-4)
            torch.testing.assert_close(
                together.state[:, :, i, j], alone.state, rtol=1e-4, atol=1e-5
            )


def test_noise_depends_on_seed_cell_and_step():
    device = memcore.devices["mms"](switches=50, x0=0.5)
    voltage = torch.zeros(400)
    a, b = (simulate(device, voltage, 1e-5, shape=(300,), seed=s).state[:, 0] for s in (0, 1))
    assert (a[-1] != b[-1]).float().mean() > 0.9
    jumps = a.diff(dim=0)[100:]
    assert abs(torch.corrcoef(jumps[:, :2].T)[0, 1]) < 0.3
    assert len(jumps[:, 0].unique()) > 290


def test_gradients_reach_parameters_through_the_python_engine():
    r_on = torch.tensor(60.0, requires_grad=True)
    device = memcore.devices["vteam"](r_on=r_on)
    trace = simulate(device, torch.full((3,), -0.25), 1e-11)
    assert trace.engine.startswith("python: ")
    trace.current.sum().backward()
    assert r_on.grad is not None


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_double_precision_has_its_own_accuracy():
    voltage = stimuli.sine(1.0, 1.0, dt=1e-3, dtype=F64)
    device, state = memcore.devices["linear_ion_drift"](), torch.tensor([0.1], dtype=F64)
    fine, coarse = (simulate(device, v, 1e-3, state=state) for v in (voltage, voltage.float()))
    assert fine.engine == coarse.engine == "native"
    assert (fine.final.dtype, coarse.final.dtype) == (F64, torch.float32)
    assert fine.final.item() == pytest.approx(0.1, abs=1e-12)
    assert coarse.final.item() == pytest.approx(0.1, abs=1e-4)


def call(voltage=None, dt=1.0, device=None, **options):
    device = device or memcore.devices["vteam"]()
    return simulate(device, torch.zeros(3) if voltage is None else voltage, dt, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt": 0.0}, r"dt=0\.0; expected a finite number of s > 0"),
        ({"dt": -1.0}, r"dt=-1\.0; expected"),
        ({"dt": math.nan}, r"dt=nan; expected"),
        ({"voltage": torch.tensor([0.0, math.nan, math.inf])}, "2 of 3 samples of the voltage"),
        ({"voltage": torch.zeros(())}, r"voltage has shape \(\); expected \[time\]"),
        ({"voltage": torch.zeros(0)}, r"voltage has shape \(0,\); .* at least one sample"),
        ({"voltage": torch.zeros(3, dtype=torch.int64)}, "voltage is torch.int64; expected"),
        ({"voltage": [0.0]}, r"voltage is a list; expected a tensor \[time\]"),
        (
            {"voltage": torch.zeros(3, 4), "shape": (5,)},
            r"different shapes: shape \(5,\), voltage \[time, \*cells\] \(4,\)",
        ),
        (
            {"voltage": torch.zeros(3, 4), "state": torch.zeros(1, 5)},
            r"state \[k, \*cells\] \(5,\), voltage \[time, \*cells\] \(4,\)",
        ),
        ({"state": torch.zeros(2, 5)}, r"state has shape \(2, 5\); expected \(1, 5\)"),
        ({"state": torch.tensor([[math.nan]])}, "state has NaN or infinite values"),
        ({"record": 0}, "record=0; expected 'all', 'last' or an integer >= 1"),
        ({"record": "some"}, "record='some'; expected"),
        ({"engine": "fast"}, "engine='fast'; expected"),
        ({"shape": 2.5}, r"shape=2\.5; expected how many cells, or a tuple of integers"),
        ({"shape": (3, -1)}, r"shape=\(3, -1\); expected"),
        ({"device": 5}, "5 is no Memristor; expected a name"),
        ({"device": "none.toml"}, "there is no device file 'none.toml'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        call(**arguments)


class Siemens(memcore.devices["ideal"]):
    """Its state is its conductance."""

    def conductance(self, state):
        return state[0]


class Unbounded(Siemens):
    def conductance_range(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("device", "state", "message"),
    [
        ("vteam", [[-5.0]], r"1 of 1 cells .* Vteam cannot have: -0\.0002128 S, outside 0\.001 to"),
        (
            "vteam",
            [[0.0, 1.0, 1.01]],
            r"1 of 3 cells .* outside 0\.001 to 0\.02 S; expected device",
        ),
        ("ideal", [[-1e-3]], "Ideal cannot have"),
        (Siemens(r_on=1e4, r_off=1e6), [[2e-6, 5e-7]], r"1 of 2 cells .* outside 1e-06 to 0\.0001"),
        (Unbounded(), [[1e-3, -1e-9]], "1 of 2 cells .* Unbounded cannot have: -1e-09 S"),
        (Siemens(r_off=torch.tensor([1e6, 1e5])), [[3e-6, 3e-6]], "1 of 2 .* outside 1e-05"),
    ],
)
def test_a_state_of_no_real_cell_is_refused(device, state, message):
    device = memcore.devices[device]() if isinstance(device, str) else device
    state = torch.tensor(state)
    with pytest.raises(ConfigError, match=message):
        simulate(device, torch.zeros(2), 1e-9, state=state)


def test_a_state_belongs_to_the_window_of_its_own_cell():
    device = memcore.devices["data_driven"](r_off=torch.tensor([2e4, 2e5], dtype=F64))
    low, _ = device.conductance_range()
    ends = device.state_of(low)
    simulate(device, torch.zeros(2), 1e-9, state=ends)
    shared = memcore.devices["constant_step"](x0=0.5)
    for state in (torch.zeros(1, 2), torch.ones(1, 2)):
        simulate(shared, torch.zeros(2), 1e-9, state=state)


@pytest.mark.parametrize("name", ["vteam", "jart_vcm_v1b", "mms", "stanford_pku", "tabular"])
def test_cells_at_the_ends_of_their_window_can_go_on(name):
    device = memcore.devices[name]()
    for volts in (-3.0, 3.0):
        far = simulate(device, torch.full((50,), volts, dtype=F64), 1e-3)
        again = simulate(device, torch.zeros(2), 1e-3, state=far.final.float())
        g = device.conductance(far.final).item()
        assert again.conductance[0].item() == pytest.approx(g, rel=1e-5)


def test_a_device_may_be_named_as_in_a_config(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[device]\nname = "vteam"\nr_on = 60.0\n')
    vteam, voltage = memcore.devices["vteam"], torch.full((3,), 0.5)
    for spec, r_on in (
        ("vteam", 50.0),
        (vteam, 50.0),
        ({"name": "vteam", "r_on": 60.0}, 60.0),
        (file, 60.0),
        (str(file), 60.0),
    ):
        expected = simulate(vteam(r_on=r_on), voltage, 1e-9)
        assert torch.equal(simulate(spec, voltage, 1e-9).current, expected.current)
    with pytest.raises(memcore.UnknownPluginError, match="vteam"):
        simulate("vteem", voltage, 1e-9)


def test_a_number_of_cells_is_a_shape():
    assert call(shape=5).current.shape == (3, 5)


def test_a_device_with_cells_of_its_own_needs_their_shape():
    device = memcore.devices["vteam"](r_on=torch.tensor([50.0, 60.0]))
    with pytest.raises(ConfigError, match=r"r_on for cells \(2,\), .* expected shape=\(2,\)"):
        call(device=device)
    assert call(device=device, shape=(2,)).current.shape == (3, 2)


def test_a_trace_says_in_short_what_it_is():
    shown = repr(call(shape=(2,), engine="python"))
    assert shown == "Trace(Vteam, 3 samples of cells (2,), engine='python: asked for')"


@pytest.mark.parametrize("load", [Load(), Load(series=200.0)])
def test_one_waveform_through_many_devices_is_what_simulate_records(load):
    voltage = memcore.stimuli.sine(1.0, 1.0, dt=0.01, dtype=torch.float64)
    repeated = Repeated(voltage, 0.01, stride=4, load=load)
    for r_on in (100.0, torch.tensor([90.0, 110.0]).double(), torch.tensor([95.0, 99.0]).double()):
        device = memcore.devices["linear_ion_drift"](r_on=r_on)
        trace = memcore.simulate(device, voltage, 0.01, shape=2, record=4, series=load.series)
        assert torch.equal(repeated.states(device, 2), trace.state)
    with pytest.raises(ConfigError, match="NaN or infinite"):
        Repeated(voltage * math.nan, 0.01)
