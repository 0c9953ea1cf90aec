import dataclasses
import math

import pytest
import torch

from memcore import ConfigError, LogNormal, Memristor, devices, programmers

WRITE_VERIFY = programmers["write_verify"]
DYNAMIC = ["data_driven", "ideal", "linear_ion_drift", "mms", "stanford_pku", "vteam", "yakopcic"]


def targets(array, ctx, low=0.0, high=1.0):
    """Evenly spread over a part of the nominal window."""
    g_min, g_max = array.nominal.nominal_range()
    share = low + (high - low) * ctx.random.child("targets").uniform(array.shape)
    return g_min + (g_max - g_min) * share


def shares(done, array):
    """Errors as a share of the window."""
    low, high = array.nominal.nominal_range()
    return done.error / (high - low)


@pytest.mark.parametrize("name", DYNAMIC)
def test_writes_every_dynamic_device_with_its_defaults(arrays, ctx, name):
    array = arrays(name, shape=(2, 8, 8))
    done = WRITE_VERIFY().program(array, targets(array, ctx, 0.1, 0.9), ctx)
    assert done.verified.all()
    assert shares(done, array).abs().max() <= 0.0101
    assert (done.pulses > 0).float().mean() > 0.9
    for spent in (done.energy, done.time):
        assert (spent > 0).all()
        assert spent.isfinite().all()


@pytest.mark.parametrize("preset", ["demo", "pt_hf_ti", "ferroelectric", "magic"])
@pytest.mark.parametrize("ramp", ["width", "amplitude"])
def test_writes_to_one_percent_of_the_target(arrays, ctx, preset, ramp):
    array = arrays(devices["vteam"].preset(preset), shape=(1, 10, 10))
    target = targets(array, ctx)
    how = WRITE_VERIFY(
        tolerance_of="target",
        ramp=ramp,
        max_voltage=8.0 if (preset, ramp) == ("magic", "amplitude") else None,
    )
    done = how.program(array, target, ctx)
    assert done.verified.float().mean() > 0.95
    accepted = done.verified
    assert (done.error / target)[accepted].abs().max() <= 0.0101


@pytest.mark.parametrize(("name", "sign"), [("vteam", -1), ("ideal", 1), ("data_driven", -1)])
def test_the_polarity_is_that_of_the_device(arrays, name, sign):
    nominal = arrays(name).nominal
    rise, fall = (WRITE_VERIFY().ramp_of(nominal, up=up) for up in (True, False))
    assert math.copysign(1, rise[0].voltage) == sign == -math.copysign(1, fall[0].voltage)


def test_ramps_grow_and_end():
    vteam = devices["vteam"]()
    widths = [p.width for p in WRITE_VERIFY().ramp_of(vteam, up=True)]
    assert widths == sorted(widths)
    assert widths[1] / widths[0] == pytest.approx(1.5)
    how = WRITE_VERIFY(ramp="amplitude", set_voltage=1.2, increment=0.1, max_voltage=1.5)
    voltages = [p.voltage for p in how.ramp_of(vteam, up=True)]
    assert voltages == pytest.approx([-1.2, -1.3, -1.4, -1.5])
    assert len(WRITE_VERIFY(ramp="none").ramp_of(vteam, up=False)) == 1


def test_energy_is_voltage_times_current_times_time(arrays, ctx):
    array = arrays(r_on=1e4, r_off=1e4 + 1e-3, shape=(1, 1, 1))
    how = WRITE_VERIFY(set_voltage=2.0, set_width=1e-6, ramp="none", max_pulses=4, patience=10)
    done = how.program(array, torch.full(array.shape, 2e-4), ctx)
    reads = 5 * 0.2**2 * 1e-4 * 1e-7
    assert done.pulses.item() == 4
    assert done.energy.item() == pytest.approx(4 * 2.0**2 * 1e-4 * 1e-6 + reads, rel=1e-4)
    assert done.time.item() == pytest.approx(4e-6 + 5e-7)
    assert not done.verified


def test_stuck_cells_are_recognised_and_soon_given_up(arrays, ctx):
    array = arrays("vteam", shape=(1, 20, 20))
    stuck = torch.zeros(array.shape, dtype=torch.bool)
    stuck[0, ::4, ::3] = True
    speed = torch.where(stuck, 1e-9, 1.0)
    device = dataclasses.replace(array.device, k_on=-10.0 * speed, k_off=5e-4 * speed)
    array = dataclasses.replace(array, device=device)
    done = WRITE_VERIFY().program(array, targets(array, ctx, 0.2, 0.9), ctx)
    assert torch.equal(done.verified, ~stuck)
    assert done.pulses[stuck].max() < 40
    assert done.reversals[stuck].max() == 0


def test_a_cell_whose_window_ends_before_the_target_is_not_accepted(arrays, ctx):
    array = arrays("vteam", r_on=LogNormal(50.0, 0.3), shape=(1, 30, 30))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, high)
    done = WRITE_VERIFY().program(array, target, ctx)
    reachable = 1 / array.device.r_on >= high - 0.0099 * (high - low)
    assert torch.equal(done.verified, reachable)


def test_spread_between_cells_is_corrected_and_a_rewrite_starts_anew(arrays, ctx):
    array = arrays("vteam", k_off=LogNormal(5e-4, 0.5), shape=(2, 20, 20))
    target = targets(array, ctx)
    how = WRITE_VERIFY(read_noise=0.002)
    first, same = (how.program(array, target, ctx) for _ in "12")
    again = how.program(array, target, dataclasses.replace(ctx, writes=1))
    assert first.verified.float().mean() > 0.999
    assert torch.equal(first.conductance, same.conductance)
    assert not torch.equal(first.conductance, again.conductance)


def test_a_cell_is_written_the_same_whatever_the_others_need(arrays, ctx):
    """Draws belong to the cell, and cells that are done earlier change nothing."""
    array = arrays("mms", switches=100_000, shape=(1, 12, 12))
    target = targets(array, ctx, 0.2, 0.8)
    how = WRITE_VERIFY(tolerance=0.02, read_noise=0.001)
    whole = how.program(array, target, ctx)
    easy = target.clone()
    easy[0, 1:] = array.nominal.nominal_range()[0]
    alone = how.program(array, easy, ctx)
    torch.testing.assert_close(alone.conductance[0, 0], whole.conductance[0, 0])
    assert torch.equal(alone.pulses[0, 0], whole.pulses[0, 0])


def test_limits_on_pulses_and_reversals_hold(arrays, ctx):
    array = arrays("vteam", shape=(1, 20, 20))
    done = WRITE_VERIFY(max_pulses=10).program(array, targets(array, ctx), ctx)
    assert done.pulses.max() == 10
    assert not done.verified.all()
    noisy = WRITE_VERIFY(read_noise=0.2, max_reversals=3).program(array, targets(array, ctx), ctx)
    assert noisy.reversals.max() == 4  # the one too many ends it


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"growth": 1.0}, "growth=1.0; expected a finite number > 1"),
        ({"set_voltage": -1.0}, "set_voltage=-1.0.*knows the sign"),
        ({"tolerance": 0.0}, "tolerance=0.0; expected a finite number > 0"),
        ({"ramp": "time"}, "ramp='time'; expected one of width, amplitude, none"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        WRITE_VERIFY(**parameters)


def test_a_voltage_below_the_threshold_is_refused(arrays, ctx):
    array = arrays("vteam", shape=(1, 2, 2))
    how = WRITE_VERIFY(set_voltage=0.1)
    with pytest.raises(ConfigError, match=r"Vteam does not SET at -0\.1 V; expected a set_v"):
        how.program(array, targets(array, ctx), ctx)


def test_a_device_without_pulses_is_refused(arrays, ctx):
    array = arrays("pcm", shape=(1, 2, 2))
    with pytest.raises(ConfigError, match="programmer='direct'"):
        WRITE_VERIFY().program(array, targets(array, ctx), ctx)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Memristor):
    """1 uS more or less for each pulse of 1 s, with normal noise; at least 1 uS."""

    c2c: float = 0.1

    def conductance(self, state):
        return state[0] * 1e-6

    def step(self, state, voltage, dt, ctx):
        noise = ctx.random.normal(state.shape[1:], dtype=state.dtype)
        size = min(dt, 1.0)
        step = (voltage.sign() * (1 + self.c2c * noise) * size).unsqueeze(0)
        return (state + step).clamp(min=1)

    def initial_state(self, shape, ctx):
        return torch.ones(1, *shape)

    def state_of(self, conductance):
        return (conductance * 1e6).unsqueeze(0)

    def conductance_range(self):
        return 1e-6, 1e-4


def toy(arrays, ctx, c2c, **parameters):
    """Pulses and errors in uS of cells with a target of 20 uS +- 1 uS."""
    array = arrays(Toy(c2c=c2c), shape=(2, 300, 300))
    how = WRITE_VERIFY(
        **{"tolerance": 1e-6, "tolerance_of": "absolute", "ramp": "none", "patience": 10_000}
        | {"set_voltage": 1.0, "reset_voltage": 1.0, "set_width": 1.0, "reset_width": 1.0}
        | {"max_pulses": 1000, "max_reversals": 1000}
        | parameters
    )
    target = torch.full(array.shape, 20e-6, dtype=torch.float64)
    done = how.program(array, target, ctx)
    assert done.verified.all()
    return done.pulses.double(), done.error * 1e6


def near(sample, mean):
    """Within four standard errors, of this sample and of the one of the reference, as large."""
    return abs(sample.mean() - mean) <= 4 * sample.std() * (2 / sample.numel()) ** 0.5


STATISTICS = [  # c2c, mean pulses, their standard deviation, mean and deviation of the error
    (0.1, 18.502, 0.535, -0.4976, 0.3017),
    (0.3, 18.545, 1.308, -0.4550, 0.3561),
    (1.0, 18.857, 4.278, -0.2274, 0.5308),
    (3.0, 20.010, 11.841, -0.0483, 0.5759),
]


@pytest.mark.parametrize(("c2c", "pulses", "spread", "bias", "error"), STATISTICS)
def test_one_sided_approach_has_the_known_statistics(arrays, ctx, c2c, pulses, spread, bias, error):
    spent, missed = toy(arrays, ctx, c2c, centred=False)
    assert near(spent, pulses)
    assert spent.std() == pytest.approx(spread, rel=0.03)
    assert near(missed, bias)
    assert missed.std() == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("c2c", [0.1, 0.3])
def test_a_centred_stop_window_leaves_no_bias(arrays, ctx, c2c):
    """Half of the tolerance is what it takes away; half a pulse is what it costs."""
    spent, missed = toy(arrays, ctx, c2c)
    one_sided, _ = toy(arrays, ctx, c2c, centred=False)
    assert abs(missed.mean()) < 0.05
    assert 0.3 < spent.mean() - one_sided.mean() < 0.7


def test_read_noise_makes_lucky_reads(arrays, ctx):
    """With 1 uS of noise, more cells than the tolerance allows are accepted in error."""
    _, missed = toy(arrays, ctx, 0.1, centred=False, read_noise_std=1e-6)
    assert missed.std() == pytest.approx(0.86, rel=0.05)
    assert (missed.abs() > 1).float().mean() > 0.1
