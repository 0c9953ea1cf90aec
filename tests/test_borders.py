"""What the public borders refuse, in words, and what threads may do at once."""

import copy
import dataclasses
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, circuit, plot
from memcore.contracts.units import MOST_SIEMENS

ADC = {"name": "uniform", "bits": 6}


def converted(**settings):
    torch.manual_seed(0)
    return memcore.convert(
        nn.Linear(8, 4), memcore.CrossbarConfig(**{"device": "ideal", **settings})
    )


def in_threads(work, count=4):
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(work, k) for k in range(count)]]


# -- threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(5))
def test_first_read_from_many_threads_calibrates_once(attempt):
    mem = converted(dac=ADC, adc=ADC, tile=(4, 4))
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(attempt))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", memcore.CalibrationWarning)
        expected = copy.deepcopy(mem)(x)
        outputs = in_threads(lambda _: mem(x))
    assert all(torch.equal(y, expected) for y in outputs)


def test_every_noisy_read_of_any_thread_has_a_number_of_its_own():
    mem = converted(nonidealities=[{"name": "read_noise", "std": 0.1}])
    x = torch.ones(1, 8)

    def many(_):
        with torch.no_grad():
            return [mem(x) for _ in range(50)]

    outputs = torch.cat([y for part in in_threads(many) for y in part])
    assert int(mem.crossbar.training_reads) == 200
    assert len(outputs.unique(dim=0)) == 200


def test_ageing_from_many_threads_loses_no_time():
    mem = converted(device="pcm")
    in_threads(lambda _: [memcore.age(mem, seconds=1.0) for _ in range(10)])
    assert float(mem.crossbar.seconds) == 40.0


def test_layer_with_its_lock_is_copied_and_pickled():
    mem = converted(adc=ADC)
    memcore.calibrate(mem, torch.randn(20, 8))
    x = torch.randn(3, 8)
    for twin in (copy.deepcopy(mem), pickle.loads(pickle.dumps(mem))):
        assert torch.equal(twin(x), mem(x))


# -- states ---------------------------------------------------------------------------------------

CELLS = "matrices.weight.crossbar.cells"
CROSSBAR = "matrices.weight.crossbar"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (f"{CELLS}.programmed", lambda g: g.fill_(float("nan"))),
        (f"{CELLS}.programmed", lambda g: g.fill_(float("inf"))),
        (f"{CELLS}.programmed", lambda g: g.neg_()),
        (f"{CELLS}.programmed", lambda g: g.mul_(1e13)),
        (f"{CELLS}.target", lambda g: g.fill_(1e9)),
        (f"{CELLS}.target", lambda g: g[0, 0].fill_(float("nan"))),
        (f"{CELLS}.gain", lambda gain: gain.fill_(float("nan"))),
        (f"{CELLS}.gain", lambda gain: gain.fill_(float("inf"))),
        (f"{CELLS}.gain", lambda gain: gain.zero_()),
        (f"{CELLS}.rehearsals", lambda n: n.fill_(-1)),
        (f"{CROSSBAR}.reads", lambda n: n.fill_(-1)),
        (f"{CROSSBAR}.training_reads", lambda n: n.fill_(-1)),
        (f"{CELLS}.clock.segments", lambda s: s[:, 0].zero_()),
        (f"{CELLS}.clock.segments", lambda s: s[:, 1].fill_(-1.0)),
        (f"{CELLS}.clock.segments", lambda s: s[:, 2].fill_(float("nan"))),
        (f"{CROSSBAR}.output.range", lambda r: r.fill_(float("inf"))),
        (f"{CROSSBAR}.output.range", lambda r: r.copy_(r.flip(1))),
        (f"{CROSSBAR}.output.range", lambda r: r.mul_(1e-38)),
    ],
)
def test_state_that_no_chip_has_is_refused_by_name_before_anything_is_taken(name, change):
    mem = converted(device="pcm", adc=ADC)
    memcore.calibrate(mem, torch.randn(20, 8))
    memcore.age(mem, seconds=10.0)
    before = copy.deepcopy(mem.state_dict())
    require_refused(mem, name, change)
    torch.testing.assert_close(mem.state_dict(), before, rtol=0, atol=0, equal_nan=True)


def of_several_layers():
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Sequential(nn.Linear(6, 4)))
    return memcore.convert(digital, memcore.CrossbarConfig(device="pcm"))


@pytest.mark.parametrize(
    "again", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: nn.ModuleDict({"inner": m})])
def test_a_state_that_one_layer_refuses_leaves_the_whole_network_as_it_was(again, wrap):
    mem = wrap(again(of_several_layers()))
    before = copy.deepcopy(mem.state_dict())
    state = {key: value + 1 for key, value in before.items() if "matrices" not in key}
    state |= {key: copy.deepcopy(value) for key, value in before.items() if "matrices" in key}
    (last,) = (key for key in state if key.endswith(f"2.0.{CELLS}.programmed"))
    good = copy.deepcopy(state)
    state[last].neg_()
    with pytest.raises(ConfigError, match=rf"{last} of the state has negative values"):
        mem.load_state_dict(state)
    torch.testing.assert_close(mem.state_dict(), before, rtol=0, atol=0, equal_nan=True)
    mem.load_state_dict(good)
    torch.testing.assert_close(mem.state_dict(), good, rtol=0, atol=0, equal_nan=True)


def test_a_network_that_is_digital_again_looks_at_no_state():
    mem = of_several_layers()
    assert mem._load_state_dict_pre_hooks
    reverted = memcore.revert_(mem)
    assert not reverted._load_state_dict_pre_hooks
    assert (
        len(
            memcore.convert_(
                reverted, memcore.CrossbarConfig(device="ideal")
            )._load_state_dict_pre_hooks
        )
        == 1
    )


def require_refused(mem, name, change):
    """A state of which only one entry is none, which is named with what was expected."""
    state = {key: value + 1 for key, value in mem.state_dict().items()}
    state |= {key: value for key, value in copy.deepcopy(mem.state_dict()).items() if "." in key}
    change(state[name])
    with pytest.raises(ConfigError, match=f"{name} of the state .*expected.*: look at"):
        mem.load_state_dict(state)


@pytest.mark.parametrize(
    ("cells", "name", "change"),
    [
        ("codes", "table", lambda table: table.mul_(1e13)),
        ("codes", "table", lambda table: table.neg_()),
        ("codes", "programmed", lambda codes: codes.fill_(200)),
        ("float16", "table", lambda unit: unit.fill_(float("nan"))),
        ("float16", "programmed", lambda bytes: bytes.fill_(0xFB)),
    ],
)
def test_state_of_packed_cells_that_no_cells_have_is_refused(cells, name, change):
    mem = converted(cells=cells, mapper="bit_slice")
    before = copy.deepcopy(mem.state_dict())
    require_refused(mem, f"{CELLS}.{name}", change)
    torch.testing.assert_close(mem.state_dict(), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("lines", ["row_order", "col_order"])
@pytest.mark.parametrize("change", [lambda at: at.fill_(99), lambda at: at.zero_()])
def test_state_with_a_line_twice_is_refused(lines, change):
    faults = [{"name": "stuck_at", "p_hrs": 0.1}]
    mem = converted(nonidealities=faults, faults="avoided")
    require_refused(mem, f"{CELLS}.{lines}", change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_range.peak", float("nan")),
        ("input_range.batches", -1),
        ("output_range.share", float("inf")),
        ("output_range.applied", 0.0),
    ],
)
def test_state_of_a_learned_range_that_is_none_is_refused(name, value):
    mem = converted(dac=ADC, adc=ADC, training={"input_range": {}, "output_range": {}})
    require_refused(mem, f"matrices.weight.{name}", lambda entry: entry.fill_(value))


def test_cells_drawn_widely_around_the_widest_window_are_loaded_again():
    device = {"name": "ideal", "r_on": 1.0, "r_off": 100.0}
    mem, other = (
        converted(device=device, nonidealities=[{"name": "c2c", "std": std}]) for std in (0.5, 0.1)
    )
    assert float(mem.crossbar.programmed.max()) > MOST_SIEMENS
    other.load_state_dict(mem.state_dict())
    assert torch.equal(other.crossbar.programmed, mem.crossbar.programmed)


def test_given_conductances_are_bounded_in_a_state_as_they_are_where_they_are_given():
    crossbar = memcore.Crossbar(torch.rand(3, 3))
    state = copy.deepcopy(crossbar.state_dict())
    state["cells.programmed"].fill_(1.5)
    with pytest.raises(
        ConfigError, match=r"cells.programmed .* too large values, 1.5 at \[0, 0, 0"
    ):
        crossbar.load_state_dict(state)


def test_what_no_state_may_hold_is_not_written():
    with pytest.raises(ConfigError, match=r"siemens of the layer are up to .*at most 1000.* c2c"):
        converted(nonidealities=[{"name": "c2c", "std": 10.0}])


def test_a_mapping_with_a_lane_that_counts_for_nothing_is_refused():
    class Nothing(memcore.mappers["differential"]):
        def map(self, weight, device, ctx):
            mapped = super().map(weight, device, ctx)
            return dataclasses.replace(mapped, gain=0 * mapped.gain)

    with pytest.raises(ConfigError, match=r"gain of a mapping is 0 in a lane.*expected"):
        converted(mapper=Nothing())


def test_state_of_a_chip_goes_back_and_forth():
    mem, other = converted(device="pcm", adc=ADC), converted(device="pcm", adc=ADC)
    memcore.calibrate(mem, torch.randn(20, 8))
    memcore.age(mem, seconds=10.0)
    other.load_state_dict(mem.state_dict())
    x = torch.randn(3, 8)
    assert torch.equal(mem(x), other(x))


# -- values out of proportion ---------------------------------------------------------------------

NORMAL = memcore.Normal(1e6, 1e7)


@pytest.mark.parametrize(
    "settings",
    [
        {"nonidealities": [{"name": "d2d", "std": float("inf")}]},
        {"nonidealities": [{"name": "read_noise", "std": float("inf")}]},
        {"nonidealities": [{"name": "temperature", "reference": 1.0}]},
        {"nonidealities": [{"name": "endurance", "p0_hrs": NORMAL}]},
        {"device": {"name": "simmons", "phi0": 300.0}},
        {"nonidealities": [{"name": "nonlinear_iv", "read_voltage": 1e-300}]},
        {"read_voltage": 1e30},
        {"nonidealities": [{"name": "rtn", "amplitude": 1e39}]},
        {"adc": {"name": "uniform", "bits": 6, "full_scale": 1e-45}},
        {"nonidealities": [{"name": "retention", "p0_lrs": 1e-300}]},
        {"nonidealities": [{"name": "ir_drop_profile", "segment": 1e39}]},
    ],
    ids=str,
)
def test_values_out_of_proportion_are_refused_or_give_finite_outputs(settings):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", memcore.MemcoreWarning)
            mem = converted(**settings)
            memcore.age(mem, seconds=100.0, cycles=10.0)
            outputs = mem(torch.ones(3, 8))
    except memcore.MemcoreError:
        outputs = torch.zeros(())
    assert outputs.isfinite().all()


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: memcore.CrossbarConfig(device="ideal", read_voltage=200),
            "read_voltage=200; expected .* of V > 0 up to 10: give volts, 200 mV is 0.2",
        ),
        (
            lambda: memcore.CrossbarConfig(device="ideal", temperature=300e3),
            "temperature=300000.0; expected .* of K > 0 up to 5000: give kelvin",
        ),
        (
            lambda: memcore.age(converted(), seconds=1.0, temperature=300e3),
            "temperature=300000.0; expected .* of K > 0 up to 5000: give kelvin",
        ),
        (
            lambda: memcore.age(converted(), seconds=1.0, temperature=-40.0),
            "temperature=-40.0; expected .*: give kelvin, 85 degrees Celsius is 358.15",
        ),
        (
            lambda: converted(device={"name": "ideal", "r_on": 5e-5}),
            r"the conductance of Ideal is up to 2e\+04; .* at most 1 in a cell: .* 1 / R",
        ),
        (
            lambda: memcore.effective_conductance(0 * G + 1e4, memcore.Wires()),
            r"g is up to 1e\+04; .* at most 1 in a cell: .* 1 / R",
        ),
        (
            lambda: memcore.programmers["write_verify"](set_width=100),
            "set_width=100; expected .*: give seconds, 100 ns is 1e-7",
        ),
        (
            lambda: memcore.programmers["write_verify"](reset_voltage=1200),
            "reset_voltage=1200; expected .* give volts, 200 mV is 0.2",
        ),
        (
            lambda: circuit.Transistor(gate_line=1500),
            "gate_line=1500; expected V, at most 1000: give volts",
        ),
        (
            lambda: circuit.ThresholdSelector(v_th=2e3, v_hold=1.0, r_on=1e3, r_off=1e6),
            "v_th=2000.0; expected V, above 0, at most 1000: give volts",
        ),
    ],
)
def test_other_units_than_si_are_asked_for(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(memcore.devices))
def test_every_device_and_preset_has_conductances_that_cells_have(name):
    device = memcore.devices[name]
    made = [device.preset(preset) for preset in device.presets]
    try:
        made.append(device())
    except memcore.MemcoreError:  # measured devices have no parameters of their own
        assert name == "tabular"
    for each in made:
        low, high = each.nominal_range()
        assert 0 < low < high <= MOST_SIEMENS


# -- arguments ------------------------------------------------------------------------------------

G = torch.full((3, 2), 1e-5)
ODD = torch.eye(3, 2).to_sparse()
TURNING = torch.ones(3, dtype=torch.complex64)
LINEAR, IDEAL = nn.Linear(2, 2), memcore.CrossbarConfig(device="ideal")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memcore.convert(None, IDEAL), "model=None; expec"),
        (
            lambda: memcore.convert(LINEAR, IDEAL, seed=2**64),
            "seed=18446744073709551616; expected an integer of 64 bits",
        ),
        (lambda: memcore.convert(LINEAR, IDEAL, seed=True), "seed=True; expected an integer"),
        (
            lambda: memcore.calibrate(converted(adc=ADC), 3),
            "the inputs are a int; expected a batch",
        ),
        (
            lambda: memcore.age(converted(), seconds=10**400),
            "seconds=1000.*; expected a finite number",
        ),
        (
            lambda: memcore.age(memcore.Crossbar(G), seconds=1.0),
            "a Crossbar is no network",
        ),
        (lambda: memcore.Crossbar(G) @ TURNING, "v is torch.complex64; expected real values"),
        (lambda: memcore.Crossbar(G).solve(TURNING), "v is torch.complex64; expected real values"),
        (
            lambda: memcore.Crossbar(G) @ torch.ones(3, device="meta"),
            "v is on the device meta; expected values",
        ),
        (lambda: memcore.Crossbar(G.to_sparse()), "conductance is sparse; expected a dense tensor"),
        (lambda: memcore.Crossbar(G.to(torch.float8_e4m3fn)), "conductance is torch.float8_e4m3fn"),
        (lambda: memcore.Crossbar(G.to("meta")), "conductance is on the device meta"),
        (lambda: memcore.Crossbar(G)(torch.ones(3)), r"x has shape \[3\]; expected \[n, 1, 3\]"),
        (lambda: memcore.Crossbar(G)([1.0, 2.0, 3.0]), "x is a list; expected a tensor"),
        (
            lambda: memcore.effective_conductance(G.to_sparse(), memcore.Wires(word_line=1.0)),
            "a tensor is torch.sparse_coo; expected a dense one",
        ),
        (
            lambda: memcore.CrossbarConfig(device="pcm", without=[1]),
            "without has 1; expected names of effects",
        ),
        (
            lambda: memcore.CrossbarConfig(device="ideal", tile=(True, 2)),
            r"tile=\(True, 2\); expected",
        ),
        (
            lambda: memcore.CrossbarConfig(device="ideal", temperature=True),
            "temperature=True; expected",
        ),
        (lambda: memcore.CrossbarConfig(device={"name": "ideal", "r_on": True}), "r_on=True"),
        (lambda: memcore.CrossbarConfig(device={"name": "ideal", "r_on": "2"}), "r_on='2'"),
        (
            lambda: memcore.stimuli.sine(1.0, "1e3", dt=1e-6),
            "frequency='1e3'; expected a finite number > 0",
        ),
        (
            lambda: memcore.simulate("vteam", torch.ones(3), True),
            "dt=True; expected a finite number of s > 0",
        ),
        (lambda: memcore.Stream(0).normal((3, -2)), r"shape=\(3, -2\); expected integers >= 0"),
        (
            lambda: memcore.CrossbarConfig.from_mapping({1: 2}),
            "a crossbar has no setting 1; there are device,",
        ),
        (
            lambda: memcore.convert(LINEAR, {"device": "ideal", 3: 4}),
            "a crossbar has no setting 3; there are device,",
        ),
        (
            lambda: converted(device=memcore.devices["neurosim"](nl_ltd=G)),
            r"NeuroSim: nl_ltd has shape \[3, 2\]; expected a number, or a distribution",
        ),
        (
            lambda: converted(nonidealities=[memcore.nonidealities["drift"](nu=G)]),
            r"nu has shape \[3, 2\]; expected one that broadcasts to the cells, \[2, 8, 4\]",
        ),
        (
            lambda: memcore.simulate("fefet", torch.ones(3), 1e-9),
            "FeFet cannot be simulated: .*; expected a device with dynamics",
        ),
        (lambda: memcore.devices["vteam"](alpha_on=[1, 2]), r"alpha_on=\[1, 2\]; expected a"),
        (
            lambda: memcore.devices["ideal"](r_off=2**64),
            "expected .*, of 64 bits if it is an integ",
        ),
        (lambda: memcore.converters["uniform"](symmetric=3), "symmetric=3; expected True or False"),
        (lambda: memcore.devices["piecewise_step"](up=3.0), "up=3.0; expected finite numbers"),
        (lambda: memcore.devices["tabular"](ltp="x"), "ltp='x'; expected rows of numbers"),
        (lambda: memcore.devices["tabular"](ltp=5), "ltp=5; expected rows of numbers"),
        (lambda: plot.hysteresis(3), "trace=3; expected a Trace: memcore.simulate returns one"),
        (lambda: plot.crossbar(3), "solution=3; expected a Solution"),
        (lambda: plot.programming(3), "written=3; expected a YieldReport or ArrayYield"),
        (lambda: plot.cumulative("ideal"), "device='ideal'; expected a Memristor"),
        (
            lambda: plot.cumulative(memcore.devices["ideal"](), cells=2**40),
            "cells=1099511627776; expected an integer >= 1 up to 134217728",
        ),
        (
            lambda: plot.cumulative(memcore.devices["ideal"](), cells=9, ax=3),
            "ax=3; expected Axes of matplotlib",
        ),
        (lambda: memcore.study.read({"crossbar": {"tile": ODD}}), "expected a dense tensor"),
        (lambda: memcore.Wires(word_line="1 ohm"), "word_line is '1 ohm'; .* or a tensor$"),
        (lambda: memcore.Wires(word_line=[1.0]), "is a list; .* or a tensor: use torch.as_tensor"),
    ],
)
def test_argument_that_does_not_fit_is_named(call, message):
    with pytest.raises(memcore.MemcoreError, match=message):
        call()
