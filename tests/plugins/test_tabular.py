"""A measured device comes back as it was measured: curves, spread, and the file that holds both."""

import contextlib
import dataclasses
import math
import pickle

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import ConfigError, Context, CrossbarConfig, Stream, fitting
from memcore.circuit import Drive, OfDevice, solve
from memcore.cli.main import main
from memcore.contracts.wires import Wires
from memcore.nn.walk import require_layers
from memcore.registry.specs import plugin
from memcore.testing import checks_for

TABULAR = memcore.devices["tabular"]
LOW, HIGH, PULSES = 1e-5, 1e-4, 30
SPAN = HIGH - LOW
CELLS = 50_000


def original(**changes):
    parameters = {"nl_ltp": 2.4, "nl_ltd": -3.0, "n_ltp": PULSES, "n_ltd": PULSES, "c2c": 0.0}
    return memcore.devices["neurosim"](r_on=1 / HIGH, r_off=1 / LOW, **parameters | changes)


def measured(device, cycles=1, read_std=0.0, seed=0):
    """Runs of SET and of RESET pulses, [cycles, pulses + 1] each, as an instrument reads them."""
    ctx = Context(random=Stream(seed))
    state = device.state_of(torch.full((cycles,), LOW, dtype=torch.float64))
    g = [device.conductance(state)]
    for k in range(2 * PULSES):
        sign = torch.full((cycles,), 1 if k < PULSES else -1)
        state = device.pulses(state, sign, ctx.child("pulse", k))
        g.append(device.conductance(state))
    both = torch.stack(g, 1)
    both = both + read_std * ctx.random.child("read").normal(both.shape, dtype=torch.float64)
    return both[:, : PULSES + 1], both[:, PULSES:]


def three_devices():
    """Three windows, two cycles each."""
    scale = torch.tensor([0.8, 1.0, 1.3], dtype=torch.float64)[:, None, None]
    up, down = measured(original())
    return TABULAR.from_pulses(scale * up.expand(2, -1), scale * down.expand(2, -1))


def csv(path, devices=2, cycles=3):
    """The reads of some devices, the fresh cell first."""
    rows = ["chip,n,dir,G (uS)"]
    for d in range(devices):
        up, down = measured(original(c2c=0.01), cycles, seed=d)
        g = torch.cat([up[0, :1], torch.cat([up[:, 1:], down[:, 1:]], dim=1).flatten()])
        words = ["up", *(["up"] * PULSES + ["down"] * PULSES) * cycles]
        rows += [f"D{d},{n},{words[n]},{1e6 * x:.9g}" for n, x in enumerate(g.tolist())]
    path.write_text("\n".join(rows) + "\n")
    return path


COLUMNS = {"device": "chip", "pulse": "n", "direction": "dir", "conductance": "G (uS)"}
UNITS = {"conductance": "uS"}


# -- pulses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 7, 29, 30, -1, -12, -30])
def test_the_measured_device_is_replayed_from_wherever_a_cell_stands(count, ctx):
    made, model = TABULAR.from_pulses(*measured(original())), original()
    # A NeuroSim cell on its curve between two pulses is on a straight line between them.
    up, down = measured(model)
    g = (up if count >= 0 else down)[0]
    number = torch.full(g.shape, count)
    found = made.conductance(made.pulses(made.state_of(g), number, ctx))
    expected = model.conductance(model.pulses(model.state_of(g), number, ctx))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * SPAN)


def test_soft_bounds_are_replayed_to_the_error_of_straight_lines(ctx):
    model = memcore.devices["soft_bounds"](dw_min=0.1).nominal()
    state = model.state_of(torch.tensor([2e-5], dtype=torch.float64))
    counts = [torch.tensor([k]) for k in range(60)]
    up = [model.conductance(model.pulses(state, k, ctx)) for k in counts]
    top = model.pulses(state, counts[-1], ctx)
    down = [model.conductance(model.pulses(top, -k, ctx)) for k in counts]
    made = TABULAR.from_pulses(torch.cat(up), torch.cat(down))
    g = torch.linspace(2.1e-5, 3.9e-5, 41, dtype=torch.float64)
    for count in (3, -3):
        number = torch.full(g.shape, count)
        found = made.conductance(made.pulses(made.state_of(g), number, ctx))
        expected = model.conductance(model.pulses(model.state_of(g), number, ctx))
        # A straight line is off by an eighth of the second difference: 1 % of a step here.
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-8)


def test_falls_in_the_data_become_slopes_and_are_reported(ctx):
    clean = torch.linspace(LOW, HIGH, PULSES + 1, dtype=torch.float64)
    ripple = 4e-6 * torch.sin(2.0 * torch.arange(PULSES + 1, dtype=torch.float64))
    made = TABULAR.from_pulses(clean + ripple, clean.flip(0))
    curve = torch.tensor(made.ltp[0])
    assert (curve.diff() >= 0).all()
    assert (curve - clean).square().mean() < ripple.square().mean()
    assert made.departure == pytest.approx(
        float((curve.double() - clean - ripple).square().mean().sqrt()) / SPAN, rel=0.1
    )
    assert TABULAR.from_pulses(clean, clean.flip(0)).departure == 0


def test_plateaus_are_left_again(ctx):
    stairs = LOW + SPAN * torch.tensor([0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.7, 1.0, 1.0]).double()
    made = TABULAR.from_pulses(stairs, stairs.flip(0))
    state = made.state_of(torch.tensor([LOW], dtype=torch.float64))
    found = [made.conductance(made.pulses(state, torch.tensor([k]), ctx)) for k in range(9)]
    torch.testing.assert_close(torch.cat(found), stairs, rtol=0, atol=1e-5 * SPAN)


def test_pulses_before_the_first_read_are_no_plateau(tmp_path, ctx):
    """A cell below the first read rises by the first step that was measured, not by nothing."""
    model = original()
    up, down = (g.squeeze(0) for g in measured(model))
    rows = [f"{k},up,{1e6 * float(up[k]):.9g}" for k in range(5, PULSES + 1, 5)]
    rows += [f"{k},down,{1e6 * float(down[k]):.9g}" for k in range(5, PULSES + 1, 5)]
    path = tmp_path / "every_fifth.csv"
    path.write_text("\n".join(["n,dir,G (uS)", *rows]) + "\n")
    columns = {name: COLUMNS[name] for name in ("pulse", "direction", "conductance")}
    found = memcore.fit("tabular", path, columns=columns, units=UNITS)
    torch.testing.assert_close(found.predicted, found.measured, rtol=1e-6, atol=0)
    made = found.device
    assert made.nominal_range()[0] == pytest.approx(LOW, rel=1e-3)  # where the RESET pulses lead
    state = made.state_of(torch.tensor([LOW + 0.05 * SPAN], dtype=torch.float64))
    risen = made.conductance(made.pulses(state, torch.tensor([1.0]), ctx)) - made.conductance(state)
    assert float(risen) == pytest.approx(float(up[10] - up[5]) / 5, rel=1e-6)


def test_devices_whose_first_reads_differ_begin_together(tmp_path):
    """What one device shows between its reads counts where another one has its first."""
    rows = ["A,0,up,10", "A,10,up,60", "A,20,up,90", "A,10,down,40", "A,20,down,10"]
    rows += ["B,5,up,30", "B,20,up,90", "B,20,down,10"]
    path = tmp_path / "two.csv"
    path.write_text("\n".join(["chip,n,dir,G (uS)", *rows]) + "\n")
    found = memcore.fit("tabular", path, columns=COLUMNS, units=UNITS)
    first, second = found.device.ltp
    assert (first[0], first[5], first[-1]) == pytest.approx((3.5e-5, 6e-5, 9e-5))
    assert (second[0], second[-1]) == pytest.approx((3e-5, 9e-5))
    assert all(math.isfinite(g) for g in (*first, *second))


def test_a_curve_that_does_not_move_is_told_with_its_ends():
    flat, falling = torch.full((5,), 5e-5), torch.linspace(9e-5, 1e-5, 5)
    with pytest.raises(ConfigError, match="from 5e-05 to 5e-05 S in 4 of them"):
        TABULAR.from_pulses(flat, falling)
    with pytest.raises(ConfigError, match=r"from 9e-05 to 1e-05 S.*may be exchanged.*resistances"):
        TABULAR.from_pulses(falling, falling.flip(0))


@pytest.mark.parametrize("count", [9, -9])
def test_many_pulses_at_once_are_as_many_single_ones(count, ctx):
    up, down = measured(original())
    made = TABULAR.from_pulses(up, down, std_set=(1e-6, 3e-6), std_reset=(3e-6, 1e-6, 2e-6))
    state = made.state_of(torch.full((CELLS,), 4e-5, dtype=torch.float64))
    at_once = made.pulses(state, torch.full((CELLS,), count), ctx.child("at once"))
    single = state
    for k in range(abs(count)):
        single = made.pulses(single, torch.full((CELLS,), count // abs(count)), ctx.child(k))
    spread, third = float(single.std()), float(((single - single.mean()) ** 3).mean())
    assert float(at_once.mean() - single.mean()) == pytest.approx(
        0, abs=4 * spread * (2 / CELLS) ** 0.5
    )
    assert float(at_once.std()) == pytest.approx(spread, rel=4 / CELLS**0.5)
    assert float(((at_once - at_once.mean()) ** 3).mean()) == pytest.approx(
        third, abs=4 * spread**3 * (30 / CELLS) ** 0.5
    )


@pytest.mark.parametrize("read_std", [0.0, 1.5e-6])
def test_the_deviation_of_a_pulse_is_told_from_that_of_a_read(read_std):
    cycles, true = 120, 0.01 * SPAN
    made = TABULAR.from_pulses(*measured(original(c2c=0.01), cycles, read_std))
    # Variance of the estimate: 2 (sigma^2 + 2 read^2)^2 / n for the differences of reads, as much
    # again for their correlation.
    count = cycles * PULSES
    error = 2 * (true**2 + 2 * read_std**2) / true**2 / count**0.5
    for std in (made.std_set, made.std_reset):
        found = sum(s**2 for s in std) / len(std) / true**2
        nodes = len(std)
        assert found == pytest.approx(1, abs=4 * error * nodes**0.5)
    assert made.read_std**2 == pytest.approx(read_std**2, abs=4 * error * true**2)


def test_the_spread_of_the_replay_is_that_of_the_data(ctx):
    model = original(c2c=0.01)
    made = TABULAR.from_pulses(*measured(model, cycles=120))
    for count in (10, -10):
        number = torch.full((CELLS,), count)
        g = torch.full((CELLS,), 5e-5, dtype=torch.float64)
        found, expected = (
            d.conductance(d.pulses(d.state_of(g), number, ctx)) for d in (made, model)
        )
        # The data have 3600 pulses in each direction, of which some 1000 act here.
        assert float(found.std() / expected.std()) == pytest.approx(1, abs=4 / 2000**0.5)
        error = 4 * 0.01 * SPAN * (10 / 120) ** 0.5
        assert float(found.mean() - expected.mean()) == pytest.approx(0, abs=error)


def test_spread_can_be_switched_off(ctx):
    made = dataclasses.replace(three_devices(), std_set=(1e-6,), std_reset=(1e-6,))
    quiet = dataclasses.replace(made, c2c=0.0, d2d=False)
    cells = quiet.sample((1000,), ctx)
    after = cells.pulses(cells.initial_state((1000,), ctx), torch.full((1000,), 5), ctx)
    assert cells.conductance(after).std() < 1e-6 * SPAN
    noisy = made.sample((1000,), ctx)
    after = noisy.pulses(noisy.initial_state((1000,), ctx), torch.full((1000,), 5), ctx)
    assert noisy.conductance(after).std() > 1e-6


def test_each_cell_is_one_of_the_measured_devices_for_life(ctx):
    made = three_devices()
    cells = made.sample((CELLS,), ctx)
    shares = torch.bincount(cells.which) / CELLS
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=4 * (2 / 9 / CELLS) ** 0.5)
    state = cells.initial_state((CELLS,), ctx).double()
    for count in (0, 12, -4):
        state = cells.pulses(state, torch.full((CELLS,), count), ctx)
        g = cells.conductance(state)
        for d in range(3):
            alone = TABULAR(ltp=made.ltp[d : d + 1], ltd=made.ltd[d : d + 1])
            x = alone.state_of(torch.full((1,), alone.nominal_range()[0], dtype=torch.float64))
            for n in (0, 12, -4)[: (0, 12, -4).index(count) + 1]:
                x = alone.pulses(x, torch.tensor([n]), ctx)
            expected = alone.conductance(x).expand(int((cells.which == d).sum()))
            torch.testing.assert_close(g[cells.which == d], expected, rtol=0, atol=1e-9 * SPAN)
    assert made.nominal_range() == pytest.approx((LOW * 3.1 / 3, HIGH * 3.1 / 3))


def test_a_pulse_needs_the_declared_voltage_and_lasts_the_declared_time(ctx):
    made = TABULAR.from_pulses(
        *measured(original()), v_set=-2.0, v_reset=1.5, t_set=1e-6, t_reset=1e-3
    )
    state = made.state_of(torch.full((4,), 5e-5, dtype=torch.float64))
    volts = torch.tensor([-2.0, -1.9, 1.4, 0.0], dtype=torch.float64)
    found = made.step(state, volts, 2e-6, ctx)
    assert torch.equal(found[:, 1:], state[:, 1:])
    torch.testing.assert_close(
        found[:, :1], made.pulses(state[:, :1], torch.tensor([2]), ctx), rtol=0, atol=1e-12
    )
    down = made.step(state, -1.5 * volts.sign(), 1e-3, ctx)[:, 0]
    assert torch.equal(down, made.pulses(state, torch.full((4,), -1), ctx)[:, 0])


# -- currents --------------------------------------------------------------------------------------

VOLTS = torch.linspace(-0.4, 0.4, 17, dtype=torch.float64)
G = torch.tensor([1e-5, 4e-5, 1e-4], dtype=torch.float64)
BEND = torch.tensor([8.0, 3.0, 1.0], dtype=torch.float64)
CURRENT = G[:, None] * (VOLTS + BEND[:, None] * VOLTS**3) / (1 + BEND[:, None] * 0.04)


def test_measured_currents_come_back_and_lie_on_lines_between_states():
    made = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    assert made.nominal_range() == pytest.approx((1e-5, 1e-4))
    for g, row in zip(G, CURRENT, strict=True):
        state = made.state_of(g.expand(17))
        torch.testing.assert_close(made.current(state, VOLTS), row, rtol=1e-9, atol=0)
    half = made.state_of(torch.full((17,), 2.5e-5, dtype=torch.float64))
    torch.testing.assert_close(
        made.current(half, VOLTS), 0.5 * (CURRENT[0] + CURRENT[1]), rtol=1e-9, atol=1e-18
    )
    read = made.current(half[:, :1], torch.tensor([0.2], dtype=torch.float64))
    assert float(read) == pytest.approx(2.5e-5 * 0.2)
    far = made.current(half[:, :1], torch.tensor([0.8], dtype=torch.float64))
    assert float(far) == pytest.approx(float(made.current(half, VOLTS)[-1]) * 2)


def test_a_side_that_was_not_measured_is_the_mirror_image():
    both = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    right = TABULAR.from_iv(VOLTS[8:], CURRENT[:, 8:], read_voltage=0.2)
    assert right.iv_voltage == pytest.approx(both.iv_voltage)
    for mine, theirs in zip(right.iv_current, both.iv_current, strict=True):
        assert mine == pytest.approx(theirs)


def test_arrays_are_read_with_the_measured_currents(ctx, arrays):
    made = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    (effect,) = made.effects()
    array = arrays(made, (2, 5, 3))
    g = 9e-6 + 1e-4 * ctx.random.child("g").uniform(array.shape, dtype=torch.float64)
    v = 0.8 * ctx.random.child("v").uniform((4, 2, 5), dtype=torch.float64) - 0.4
    product = effect.bind(array, ctx)
    found = product(v, g[None])
    # Every cell by itself; those beyond the last state carry in proportion to their conductance.
    inside = g.clamp(1e-5, 1e-4)
    state = made.state_of(inside).expand(1, *g.shape)
    cells = torch.stack([made.current(state, x[..., None].expand(g.shape)) * g / inside for x in v])
    torch.testing.assert_close(found, cells.sum(-2), rtol=1e-9, atol=0)
    with pytest.raises(ConfigError, match=r"measured from -0.4 to 0.4 V: lower the read voltage"):
        product(2 * v, g[None])


def test_a_circuit_takes_the_measured_currents():
    made = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    state = made.state_of(torch.linspace(1e-5, 1e-4, 12, dtype=torch.float64).view(4, 3))
    volts = torch.tensor([0.3, 0.1, -0.2, 0.35], dtype=torch.float64)
    g, law = made.conductance(state), OfDevice(device=made, state=state)
    perfect = solve(g, Wires(), Drive.read(volts), law=law)
    expected = made.current(state, volts[:, None].expand(4, 3)).sum(0)
    torch.testing.assert_close(perfect.current, expected, rtol=1e-6, atol=0)
    # One cell behind 10 kohm: what the wire drops is missing at the cell.
    state, volts = state[:, 3:, 2:], torch.tensor([0.35], dtype=torch.float64)
    law = OfDevice(device=made, state=state)
    (current,) = solve(g[3:, 2:], Wires(driver=1e4), Drive.read(volts), law=law).current
    left = volts[0] - 1e4 * current
    assert 0 < float(left) < 0.3
    found = made.current(state, left.expand(1, 1))
    assert float(found) == pytest.approx(float(current), rel=1e-9)


def test_currents_alone_move_no_cell(ctx):
    made = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    with pytest.raises(NotImplementedError, match="programmer='direct'"):
        made.step(made.state_of(G), torch.ones(3).double(), 1e-6, ctx)


# -- use -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "device",
    [
        TABULAR(
            ltp=((1e-5, 3e-5, 4e-5, 5e-5), (1e-5, 2e-5, 4e-5, 6e-5)),
            ltd=((5e-5, 3e-5, 2e-5, 1e-5), (6e-5, 3e-5, 2e-5, 1e-5)),
            std_set=(1e-6, 2e-6),
            std_reset=(1e-6,),
        ),
        TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2),
    ],
    ids=["pulses", "currents"],
)
def test_a_measured_device_conforms(device):
    for check in checks_for(device):
        if check.name != "check_compiles":  # that of the defaults is compiled, and takes seconds
            check()


def test_the_spread_of_devices_is_reported_and_can_be_told_from_the_rest(converted):
    network = converted(device=three_devices())
    assert "device(d2d)" in str(memcore.summary(network))
    alike = converted(device=TABULAR.from_pulses(*measured(original())))
    assert "device" not in memcore.summary(alike).layers[0].effects
    g, mean = (
        next(iter(require_layers(net).values())).crossbar.conductance for net in (network, alike)
    )
    # Written as if all were the mean device, cells lie at 0.8, 1 and 1.3 of its mean of 3.1 / 3.
    ratio = (g / mean).flatten()
    shares = [float(((ratio - x / 1.0).abs() < 0.05).double().mean()) for x in (0.8, 1.0, 1.3)]
    assert sum(shares) == 1
    assert min(shares) > 0.2


def made_current(device, volts):
    return device.current(device.state_of(G), torch.full((3,), volts, dtype=torch.float64))


def test_arrays_of_measured_currents_are_ohmic_at_the_read_voltage(converted):
    device = TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.2)
    curved, ohmic = converted(device=device), converted(device=device, without=["measured_curves"])
    x = torch.eye(20)
    torch.testing.assert_close(curved(x), ohmic(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(curved(-x), -ohmic(x), rtol=1e-4, atol=1e-5)
    # At half the voltage the second and the third state carry these shares beyond the first one.
    at_half = made_current(device, 0.1) - made_current(device, 0.1)[0]
    low, high = (at_half / (0.2 * (G - G[0])))[1:].tolist()
    half = (curved(0.5 * x) / ohmic(x)).detach()
    assert low - 1e-3 < float(half.min()) < float(half.max()) < high + 1e-3
    assert high < 0.495


def test_a_measured_device_survives_pickling_and_simulation(ctx):
    made = dataclasses.replace(three_devices(), std_set=(1e-6,), std_reset=(1e-6,))
    assert pickle.loads(pickle.dumps(made)) == made
    cells = pickle.loads(pickle.dumps(made.sample((5,), ctx)))
    volts = torch.tensor([1.0] * 10 + [-1.0] * 10)
    trace = memcore.simulate(made, volts, 1e-7, shape=(5,), seed=1)
    assert cells.which.shape == trace.device.which.shape == (5,)
    assert (trace.conductance[10] > 3 * trace.conductance[0]).all()
    assert (trace.conductance[-1] < trace.conductance[10]).all()


TRAIN = {"set_voltage": 1.0, "reset_voltage": 1.0, "set_width": 1e-7, "reset_width": 1e-7}


@pytest.mark.parametrize(
    "programmer",
    [
        {"name": "direct"},
        {"name": "open_loop", **TRAIN, "max_pulses": PULSES},
        {"name": "write_verify", **TRAIN, "ramp": "none", "tolerance": 0.03},
    ],
    ids=lambda programmer: programmer["name"],
)
def test_a_network_of_measured_cells_classifies_digits(programmer):
    data = memcore.study.data.digits()
    images, labels = data.train.images[:400].flatten(1), data.train.labels[:400]
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    test, wanted = data.test.images.flatten(1), data.test.labels
    up, down = measured(original(nl_ltp=1.0, nl_ltd=-1.0))
    made = TABULAR.from_pulses(
        torch.stack([up, 1.05 * up]), torch.stack([down, 1.05 * down]),
        std_set=(5e-7,), std_reset=(5e-7,), c2c=float(programmer["name"] == "direct"),
    )  # fmt: skip
    config = CrossbarConfig(device=made, programmer=programmer, tile=(64, 10))
    direct = programmer["name"] == "direct"
    unused = pytest.warns(memcore.NoEffectWarning, match="sends no pulses")
    with unused if direct else contextlib.nullcontext():
        network = memcore.convert(model, config)
    with torch.no_grad():
        digital, analogue = (
            float((net(test).argmax(1) == wanted).float().mean()) for net in (model, network)
        )
    assert digital > 0.85
    assert digital - 0.1 < analogue
    (used,) = [p for p in memcore.provenance(network) if p["kind"] == "devices"]
    assert used["name"] == "tabular"
    assert used["parameters"]["ltp"] == [list(row) for row in made.ltp]


# -- files -----------------------------------------------------------------------------------------


def test_a_file_of_pulses_becomes_a_device_and_a_device_file(tmp_path):
    path = csv(tmp_path / "pulses.csv")
    found = memcore.fit(
        "tabular", path, columns=COLUMNS, units=UNITS, fixed={"v_set": 1.6, "t_set": 5e-8}
    )
    device = found.device
    assert (device.v_set, device.t_set) == (1.6, 5e-8)
    assert len(device.ltp) == 2
    assert len(device.ltp[0]) == PULSES + 1
    assert device == TABULAR.from_csv(path, columns=COLUMNS, units=UNITS, v_set=1.6, t_set=5e-8)
    up, _ = measured(original(c2c=0.01), 3, seed=1)
    assert torch.tensor(device.ltp[1]) == pytest.approx(up.mean(0).tolist(), abs=0.02 * SPAN)
    found.to_toml(tmp_path / "mine.toml")
    assert plugin("devices", tmp_path / "mine.toml") == device
    assert found.provenance["data"]["records"] == 2
    assert len(found.measured) == 2 * 3 * 2 * (PULSES + 1)
    assert found.relative < 0.05
    assert "tabular holds pulses.csv" in str(found)


def test_the_command_line_makes_the_same_device(tmp_path):
    path = csv(tmp_path / "pulses.csv", devices=1)
    out, plot = tmp_path / "mine.toml", tmp_path / "mine.png"
    words = ["--column", "pulse=n:1", "--column", "direction=dir:1"]
    words += [
        "--column",
        "conductance=G (uS):uS",
        "--fixed",
        "v_set=1.6",
        "--plot",
        str(plot),
        "-o",
        str(out),
    ]
    done = CliRunner().invoke(main, ["fit", str(path), "--device", "tabular", *words])
    assert done.exit_code == 0, done.output
    assert "there is one device" in done.output
    columns = {k: v for k, v in COLUMNS.items() if k != "device"}
    made = TABULAR.from_csv(path, columns=columns, units=UNITS, v_set=1.6)
    assert CrossbarConfig(device=str(out)).device == made
    assert plot.stat().st_size > 5_000
    shown = CliRunner().invoke(main, ["device", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "1 rows" in shown.output


def test_a_file_of_currents_becomes_a_device(tmp_path):
    path = tmp_path / "iv.csv"
    rows = [
        f"{name},{1e3 * v:.9g},{1e9 * i:.9g}"
        for name, row in zip(("mid", "low", "high"), CURRENT[[1, 0, 2]].tolist(), strict=True)
        for v, i in zip(VOLTS.tolist(), row, strict=True)
    ]
    path.write_text("state,V (mV),I (nA)\n" + "\n".join(rows) + "\n")
    found = memcore.fit(
        "tabular",
        path,
        columns={"curve": "state", "voltage": "V (mV)", "current": "I (nA)"},
        units={"voltage": "mV", "current": "nA"},
        fixed={"read_voltage": 0.2},
    )
    assert found.device.nominal_range() == pytest.approx((1e-5, 1e-4))
    assert found.relative < 1e-6
    assert found.unit == "A"
    found.to_toml(tmp_path / "mine.toml")
    assert plugin("devices", tmp_path / "mine.toml") == found.device


def test_reads_may_be_missing_and_numbered():
    """A read after every fifth pulse, none before the first run, the last run broken off."""
    up, down = (run[0] for run in measured(original()))
    cycle = [*up[5::5], *down[5::5]]
    g = torch.stack([*cycle, *cycle, *up[5:11:5]])
    count = torch.tensor(([5] * 6 + [-5] * 6) * 2 + [5] * 2)
    made = memcore.fit("tabular", fitting.PulseData(count=count, conductance=g)).device
    assert len(made.ltp[0]) == PULSES + 1
    torch.testing.assert_close(torch.tensor(made.ltp[0][::5]).double(), up[::5], rtol=1e-6, atol=0)
    straight = 0.5 * (made.ltp[0][10] + made.ltp[0][15])
    assert 0.5 * (made.ltp[0][12] + made.ltp[0][13]) == pytest.approx(straight)


# -- what does not fit -----------------------------------------------------------------------------

UP, DOWN = (run[0] for run in measured(original()))
EVERY = torch.tensor([1] * PULSES + [-1] * PULSES)
WHOLE = torch.cat([UP[1:], DOWN[1:]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TABULAR(ltp=((1.0, 2.0),), ltd=()), "1 rows of ltp and 0 of ltd"),
        (lambda: TABULAR(ltp=((2.0, 1.0),)), "row 0 of ltp .* ascending"),
        (lambda: TABULAR(ltp=((1.0, 2.0), (1.0, 2.0, 3.0))), "row 1 of ltp has 3 values"),
        (lambda: TABULAR(ltp=((-1.0, 2.0),)), "siemens > 0"),
        (lambda: TABULAR(ltp=(), ltd=()), "expected measured data"),
        (lambda: TABULAR(std_set=(-1.0,)), "std_set"),
        (lambda: TABULAR(iv_voltage=(0.0, 1.0), iv_current=((0.0, 1.0),)), "both signs"),
        (lambda: TABULAR.from_pulses(DOWN, UP), "does not rise under SET pulses.*exchanged"),
        (lambda: TABULAR.from_pulses(UP, -DOWN), "ltd has values <= 0"),
        (lambda: TABULAR.from_pulses(UP[:2], DOWN), r"ltp has shape \(2,\)"),
        (lambda: TABULAR.from_pulses(UP.expand(2, 1, -1), DOWN), "2 devices and ltd 1"),
        (lambda: TABULAR.from_iv(VOLTS, -CURRENT, read_voltage=0.2), "curve 0 is .* away"),
        (lambda: TABULAR.from_iv(VOLTS, CURRENT, read_voltage=0.5), "read_voltage=0.5.*-0.4 to"),
        (lambda: TABULAR.from_iv(VOLTS, CURRENT[:1], read_voltage=0.2), "two or more different"),
        (lambda: TABULAR.from_iv(VOLTS, VOLTS, read_voltage=0.2), "shape"),
        (
            lambda: memcore.fit(
                "tabular", fitting.PulseData(count=EVERY[:40], conductance=WHOLE[:40])
            ),
            "",
        ),
        (
            lambda: memcore.fit(
                "tabular", fitting.PulseData(count=EVERY[:20], conductance=WHOLE[:20])
            ),
            "no RESET pulses in device 0",
        ),
        (
            lambda: memcore.fit(
                "tabular", fitting.PulseData(count=EVERY, conductance=WHOLE), free=["c2c"]
            ),
            "nothing is searched; leave free out",
        ),
        (lambda: memcore.fit("tabular", torch.zeros(3)), "data is Tensor"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    if not message:
        make()
        return
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_column_that_tabular_does_not_know_is_named(tmp_path):
    path = csv(tmp_path / "pulses.csv", devices=1)
    with pytest.raises(ConfigError, match=r"expected some of .*device"):
        memcore.fit("tabular", path, columns={**COLUMNS, "cycle": "dir"}, units=UNITS)
    with pytest.raises(ConfigError, match="no unit is declared for 'conductance'"):
        memcore.fit("tabular", path, columns=COLUMNS)


def test_voltages_that_single_precision_cannot_tell_apart_are_one():
    volts = torch.tensor([0.0, 0.25, 0.5, 1 - 1e-9, 1.0], dtype=torch.float64)
    device = TABULAR.from_iv(volts, torch.stack([1e-5 * volts, 1e-4 * volts]), read_voltage=0.25)
    current = device.current(device.state_of(torch.tensor([5e-5])), torch.tensor([1.0]))
    torch.testing.assert_close(current, torch.tensor([5e-5]), rtol=1e-5, atol=0)


def test_a_single_cycle_may_be_read_now_and_then():
    count = torch.tensor([10.0] * 4 + [-10.0] * 4)
    g = torch.tensor([1, 2, 3, 4, 3, 2, 1.5, 1]) * 1e-5
    device = memcore.fit("tabular", fitting.PulseData(count=count, conductance=g)).device
    low, high = device.nominal_range()
    assert low == pytest.approx(1e-5, rel=1e-3)
    assert high == pytest.approx(4e-5, rel=1e-3)
