"""`subtract_symmetry_point`: fast arrays that are led to their symmetry points, cell by cell."""

import warnings

import pytest
import torch
from torch import nn

import memcore
from memcore import CalibrationWarning, ConfigError, CrossbarConfig, Normal, Stream
from memcore.optim import InSitu
from memcore.registry.specs import plugin
from memcore.testing import checks_for

#: Every cell has its own bound and its own asymmetry.
SPREAD = {
    "name": "soft_bounds",
    "dw_min": 0.02,
    "imbalance": Normal(0.0, 0.3, min=-0.6, max=0.6),
    "w_max": Normal(1.0, 0.1, min=0.7, max=1.3),
}
FOUND = {"name": "tiki_taka", "subtract_symmetry_point": True}
ROWS = {"lines": "rows", "transfer_read": "exact"}
MAPPERS = pytest.mark.parametrize("mapper", ["differential", "offset"])
X, ERRORS = (Stream(7).child(name).normal((8, 10)) for name in ("inputs", "errors"))
pytestmark = pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")


def layer(device=SPREAD, mapper="differential", **settings):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        plain = nn.Linear(10, 10, bias=False)
    config = CrossbarConfig(device=device, mapper=mapper, programmer="direct", **settings)
    return memcore.convert(plain, config)


def trained(mem, rule=FOUND, steps=1, lr=0.01, **options):
    """The optimiser of a layer behind some steps, on vectors of their own."""
    optimizer = InSitu(mem, rule=rule, lr=lr, **options)
    train(mem, optimizer, range(steps))
    return optimizer


def train(mem, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        (mem(X.roll(step, 1)) * ERRORS).sum().backward()
        optimizer.step()


def parts_of(optimizer):
    """The rule's module, its points, and the fast array."""
    (trainer,) = optimizer._trainers
    return trainer.module, trainer.module.points, trainer.cells[0]


def in_closed_form(fast):
    """What cells of soft bounds show at their symmetry points, and the variance about them.

    A pair of pulses brings a cell nearer to its point by the sum of the slopes of both steps, and
    adds the variances of their noise. Reference cells take no pulses.
    """
    device, before, here = fast._device, fast.stored(), fast.state.clone()
    higher, lower = (device.dw_min * each for each in device.relative_scales)
    w_max, w_min = device.w_max, device.w_min
    point = (higher - lower) / (higher / w_max - lower / w_min)
    slope = higher / w_max - lower / w_min
    steps = (higher * (1 - point / w_max)).square() + (lower * (1 - point / w_min)).square()
    places = fast._mover.places
    position, own = (
        device.position(here),
        places.laid([torch.ones(1, 10, 10) for _ in places.signs]),
    )
    at_points = torch.where(own > 0, point, position)
    fast.state.copy_(device.state_at(at_points.to(here)))
    fast.resume()
    there = fast.stored()
    fast.state.copy_(here)
    fast.resume()
    assert torch.equal(fast.stored(), before)
    pulsed = 2 if fast.pair == "push_pull" else 1
    unit = fast.granularity / pulsed / device.dw_min  # weights for a position of 1
    return there, float(pulsed * unit**2 * (device.c2c**2 * steps / (2 * slope)).mean())


@MAPPERS
@pytest.mark.parametrize("more", [{}, ROWS], ids=["columns", "rows"])
def test_points_are_those_of_the_closed_form_to_a_pulse(mapper, more):
    module, points, fast = parts_of(trained(layer(mapper=mapper), {**FOUND, **more}, steps=0))
    points.find()
    expected, _ = in_closed_form(fast)
    assert (points.shown - expected).abs().max() < fast.granularity
    assert (fast.stored() - expected).abs().max() < fast.granularity  # the array is there
    assert expected.abs().mean() > 5 * fast.granularity
    assert module._shown(slice(2, 5)).abs().max() < fast.granularity


@MAPPERS
def test_noisy_points_are_as_near_as_the_noise_of_a_pair_lets_cells_be(mapper):
    optimizer = trained(layer({**SPREAD, "c2c": 0.3}, mapper), steps=0)
    _, points, fast = parts_of(optimizer)
    points.find()
    expected, variance = in_closed_form(fast)
    away = float((fast.stored() - expected).square().mean())
    assert away == pytest.approx(variance, rel=0.35)
    assert (points.shown - expected).square().mean() < 0.25 * variance


def test_points_are_read_as_transfers_read_through_converters_and_noise():
    """What a converter adds to every read of a column is subtracted with the point."""
    converted = {"dac": {"name": "uniform", "bits": 6}, "adc": {"name": "sar", "bits": 5}}
    shown = {}
    for how in ("converters", "exact"):
        mem = layer(nonidealities=["read_noise"], **converted)
        memcore.calibrate(mem, X)
        module, points, fast = parts_of(trained(mem, {**FOUND, "transfer_read": how}, steps=0))
        points.find()
        left = module._shown(slice(0, 10)).square().mean().sqrt()
        shown[how] = points.shown
        assert left < 0.25 * points.shown.square().mean().sqrt()
        assert (how == "exact") == bool(left < fast.granularity)
    assert (shown["converters"] - shown["exact"]).abs().max() > 1e-6


def test_net_pulses_lead_to_the_same_points():
    _, points, fast = parts_of(trained(layer(), order="net"))
    expected, _ = in_closed_form(fast)
    assert (points.shown - expected).abs().max() < fast.granularity


def test_measured_steps_lead_to_where_they_are_equal():
    """Curves of pulses up and down as a measurement gives them, and where a bisection meets."""
    n = torch.arange(81) / 80
    rising, falling = ((1 - (-a * n).exp()) / (1 - torch.tensor(-a).exp()) for a in (3.0, 1.0))
    up, down = (1e-5 + 9e-5 * each for each in (rising, 1 - falling))
    device = {"name": "tabular", "ltp": (tuple(up.tolist()),), "ltd": (tuple(down.tolist()),)}
    _, points, fast = parts_of(trained(layer(device, "offset"), steps=0))
    points.find()
    cell, ctx = fast._nominal, memcore.Context(random=Stream(0))
    low, high = 1e-5, 1e-4
    for _ in range(40):
        g = torch.tensor([0.5 * (low + high)], dtype=torch.float64)
        moved = sum(
            cell.conductance(cell.pulses(cell.state_of(g), torch.tensor([float(s)]), ctx)) - g
            for s in (1, -1)
        )
        low, high = (float(g), high) if moved > 0 else (low, float(g))
    scale = fast.granularity / fast._change  # weights for a siemens
    middle = sum(cell.nominal_range()) / 2
    assert points.shown.mean().item() == pytest.approx(scale * (low - middle), abs=fast.granularity)
    assert abs(low - middle) > 5 * fast._change


def test_each_pair_of_pulses_is_counted_in_pulses_energy_time_and_wear():
    """Between transfers, two trainings send the same trains: they differ by the pairs alone."""
    reports, worn = [], []
    for finds in (False, True):
        rule = {"name": "tiki_taka2", "every": 1000, "subtract_symmetry_point": finds}
        optimizer = trained(layer(), rule, steps=2)
        _, points, fast = parts_of(optimizer)
        reports.append(optimizer.report())
        worn.append(fast.crossbar.cells.clock.segments[:, 2].sum().item())
    without, found = reports
    pairs, (matrix,) = int(points.pairs), found.matrices
    assert found.pulses - without.pulses == pairs * 2 * 200  # of two cells for each weight
    device = fast._device
    assert found.time - without.time == pytest.approx(pairs * (device.t_set + device.t_reset))
    assert found.energy > without.energy * found.pulses / without.pulses / 2
    assert worn[1] > 10 * worn[0] > 0
    assert matrix.figures["pairs to the symmetry points"] == pairs > 0
    assert matrix.figures["RMS of the symmetry points"] == pytest.approx(
        points.shown.square().mean().sqrt().item()
    )
    assert "symmetry" not in str(without)


@pytest.mark.parametrize(("rule", "each"), [("tiki_taka", 1), ("tiki_taka2", 3)])
def test_reads_that_find_the_points_and_what_is_subtracted_are_additions(rule, each):
    """One for each weight of a read of the array, and of a column less its points."""
    mem = layer()
    optimizer = InSitu(mem, rule={**FOUND, "name": rule, "symmetry_pairs": 500}, lr=0.01)
    _, points, _ = parts_of(optimizer)
    reads, kept = [], points._read
    points._read = lambda: reads.append(1) or kept()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        train(mem, optimizer, range(2))
    (matrix,) = optimizer.report().matrices
    assert matrix.figures["transfers"] == 16
    assert matrix.additions == len(reads) * 100 + 16 * 10 * each
    assert matrix.activity.shift_adds == matrix.additions


@pytest.mark.parametrize("rule", ["tiki_taka", "agad"])
def test_a_training_resumes_at_its_symmetry_points_bit_for_bit(rule):
    noisy, spec = {**SPREAD, "c2c": 0.3}, {**FOUND, "name": rule}
    mem, again = layer(noisy), layer(noisy)
    optimizer, other = trained(mem, spec, steps=3), trained(again, spec, steps=0)
    again.load_state_dict(mem.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for network, each in ((mem, optimizer), (again, other)):
        train(network, each, range(3, 6))
    assert torch.equal(mem.weight, again.weight)
    (_, points, fast), (_, loaded, beside) = map(parts_of, (optimizer, other))
    assert torch.equal(points.shown, loaded.shown)
    assert torch.equal(fast.state, beside.state)
    assert points.shown.any()


def test_nothing_is_kept_or_sent_unless_it_is_asked_for():
    optimizer = trained(layer(), "tiki_taka", steps=0)
    assert not [key for key in optimizer.state_dict()["in_situ"] if "points" in key]
    asked = InSitu(layer(), rule=FOUND, lr=0.01)
    assert asked.report().pulses == 0  # before the first error


@pytest.mark.parametrize("rule", ["tiki_taka", "tiki_taka2", "chopped", "agad"])
def test_symmetry_points_keep_what_every_rule_promises(rule):
    for check in checks_for(plugin("updates", {**FOUND, "name": rule})):
        check()


def test_steps_that_are_never_equal_at_one_point_are_named():
    even = {"name": "constant_step", "dw_min": 0.01, "c2c": 0.3}
    with pytest.warns(CalibrationWarning, match=r"pulses after 448 pairs .*: more symmetry_pairs"):
        trained(layer(even), {**FOUND, "symmetry_pairs": 500})


def test_even_steps_without_noise_are_at_their_points_from_the_beginning():
    _, points, fast = parts_of(trained(layer({"name": "constant_step", "c2c": 0.0}), steps=0))
    points.find()
    assert int(points.pairs) == 64
    assert points.shown.abs().max() < 1e-3 * fast.granularity


def test_where_it_makes_no_sense_it_is_refused():
    with pytest.raises(ConfigError, match="Residual, whose network reads the faster arrays too"):
        plugin("updates", {"name": "residual", "subtract_symmetry_point": True})
    with pytest.raises(ConfigError, match="pulsed towards SET alone have no symmetry point"):
        InSitu(layer(), rule=FOUND, lr=0.01, pair="one_sided")
    with pytest.raises(ConfigError, match="symmetry_pairs"):
        plugin("updates", {**FOUND, "symmetry_pairs": 63})
