"""Pulses behind wires: what cells see is what the circuit leaves of the voltage."""

import dataclasses

import pytest
import torch

import memcore
from memcore import ConfigError, NoEffectWarning, Wires, circuit, devices, native, programmers
from memcore.circuit import Drive, path_resistance, single_cell_voltage, solve
from memcore.contracts.layout import Layout
from memcore.testing.cases import array as cells_of
from memcore.testing.cases import context
from memcore.writing import Network, Path, SingleCells

HALF_SELECT = programmers["sequential_half_select"]
WRITE_VERIFY = programmers["write_verify"]
OPEN_LOOP = programmers["open_loop"]
MAGIC = devices["vteam"].preset("magic")  # 1 to 300 kilo-ohm; thresholds at -1.5 V and 0.3 V
WIRES = Wires(word_line=20.0, bit_line=10.0, driver=50.0, sense=30.0)

SEEN: list = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watched(devices["vteam"]):
    """Notes the conductances before a pulse and the voltages that cells see."""

    def step(self, state, voltage, dt, ctx):
        if voltage.numel() > 1 and dt < 1:
            SEEN.append((self.conductance(state).clone(), voltage.clone(), dt))
        return super().step(state, voltage, dt, ctx)


def watched():
    return Watched(**{f.name: getattr(MAGIC, f.name) for f in dataclasses.fields(MAGIC)})


def wired(array, wires=WIRES):
    return dataclasses.replace(array, wires=wires)


def targets(array, ctx):
    low, high = array.nominal.nominal_range()
    share = ctx.random.child("targets").uniform(array.shape)
    return (low + (high - low) * share).double()


def same(a, b):
    return all(
        torch.equal(torch.as_tensor(getattr(a, f.name)), torch.as_tensor(getattr(b, f.name)))
        for f in dataclasses.fields(a)
    )


def test_a_single_conducting_cell_has_its_path_in_series():
    ohm = path_resistance(3, 4, WIRES)
    for row in range(3):
        for col in range(4):
            expected = 50.0 + 20.0 * (col + 1) + 10.0 * (3 - row) + 30.0
            assert ohm[row, col].item() == pytest.approx(expected, rel=1e-12)
            g = torch.zeros(3, 4, dtype=torch.float64)
            g[row, col] = 1e-3
            drive = Drive.select(3, 4, row, col, 1.5)
            assert solve(g, WIRES, drive).device_voltage[row, col].item() == pytest.approx(
                1.5 / (1 + 1e-3 * expected), rel=1e-9
            )


def test_two_connected_ends_are_two_ways_in_parallel():
    wires = Wires(word_line=20.0, driver=5.0, drive="both")
    left, right = 5.0 + 20.0 * 2, 5.0 + 20.0 * 3
    expected = left * right / (left + right)
    assert path_resistance(1, 4, wires)[0, 1].item() == pytest.approx(expected, rel=1e-12)


def test_curved_cells_behind_their_path_meet_both_laws():
    law = circuit.Sinh(v0=0.4)
    g, ohm = torch.tensor([1e-5, 1e-3, 1e-2]).double(), torch.tensor([0.0, 300.0, 2e3]).double()
    v = torch.tensor([-1.0, 2.0, 3.0]).double()
    u = single_cell_voltage(v, g, ohm, law=law)
    torch.testing.assert_close(u + ohm * law.current(u, g), v, rtol=1e-10, atol=0)


@pytest.mark.parametrize("order", ["cell", "row"])
@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating"])
def test_cells_move_by_the_voltages_of_the_whole_circuit(arrays, ctx, scheme, order):
    array = wired(arrays(watched(), shape=(1, 4, 3)))
    SEEN.clear()
    how = HALF_SELECT(scheme=scheme, order=order, set_voltage=2.5, reset_voltage=0.55)
    how.program(array, targets(array, ctx), ctx)
    pulses = [(g.view(4, 3), v.view(4, 3)) for g, v, _ in SEEN if v.shape == (1, 12)]
    # From one state, the first try is with the voltage of that state.
    pulses = [now for k, now in enumerate(pulses) if not k or (now[0] != pulses[k - 1][0]).any()]
    assert len(pulses) >= 12
    for g, seen in pulses[:: max(1, len(pulses) // 12)]:
        row = int(seen.abs().amax(1).argmax())
        whole = 2.5 if seen[row].abs().max() > 0.55 else 0.55
        sign = seen.flatten()[seen.abs().argmax()].sign()
        fits = []
        for columns in _subsets(3) if order == "row" else ([[c] for c in range(3)]):
            on = torch.zeros(3, dtype=torch.bool)
            on[columns] = True
            drive = Drive.against(
                torch.arange(4) == row, on, sign * torch.tensor([whole]).double(), scheme
            )
            fits.append((solve(g.double(), WIRES, drive).device_voltage - seen).abs().max())
        assert min(fits) < 1e-6


def _subsets(count):
    return [[c for c in range(count) if mask >> c & 1] for mask in range(1, 1 << count)]


def test_sneak_currents_share_the_voltage_of_open_lines(arrays, ctx):
    """(n - 1) cells in parallel, then (n - 1)^2, then (n - 1) again: 3/7, 1/7 and 3/7 for n = 4."""
    array = arrays(watched(), shape=(1, 4, 4))
    low, high = array.nominal.nominal_range()
    array = dataclasses.replace(array, present=torch.full(array.shape, high).double())
    target = array.present.clone()
    target[0, 2, 1] = low
    SEEN.clear()
    HALF_SELECT(scheme="floating", reset_voltage=0.5).program(array, target, ctx)
    seen = next(v for _, v, _ in SEEN if v.shape == (1, 16)).view(4, 4)
    share = torch.full((4, 4), -1 / 7).double()
    share[2, :] = share[:, 1] = 3 / 7
    share[2, 1] = 1.0
    torch.testing.assert_close(seen.double(), 0.5 * share, rtol=1e-6, atol=0)


@pytest.mark.parametrize("how", [HALF_SELECT(), HALF_SELECT(order="row"), WRITE_VERIFY()])
def test_wires_without_resistance_change_nothing_at_all(arrays, ctx, how):
    array = arrays(MAGIC, shape=(2, 4, 3))
    target = targets(array, ctx)
    plain = how.program(array, target, ctx)
    assert same(plain, how.program(wired(array, Wires()), target, ctx))
    none = dataclasses.replace(how, wires="none")
    assert same(plain, none.program(wired(array), target, ctx))


@pytest.mark.parametrize(
    "access",
    [{"transistor": 200.0}, {"gate_line": 4.0, "body_effect": 0.3, "gain": 5e-3}],
    ids=["ohm", "gate"],
)
def test_a_row_of_one_cell_is_written_as_the_cell(arrays, ctx, access):
    """The network of a row, and the single cell behind its path, are one circuit."""
    array = wired(arrays(MAGIC, shape=(2, 5, 1)))
    target = targets(array, ctx)
    found = [
        HALF_SELECT(cell="1t1r", order=order, **access).program(array, target, ctx)
        for order in ("cell", "row")
    ]
    for name in ("conductance", "energy", "time"):
        torch.testing.assert_close(*(getattr(f, name) for f in found), rtol=1e-5, atol=0)


def test_a_gate_line_costs_the_direction_in_which_the_memristor_is_at_the_source(arrays, ctx):
    array = wired(arrays(MAGIC, shape=(1, 3, 3)))
    path = Path.of(array, circuit.Transistor(gate_line=2.5), torch.device("cpu"))
    state = array.nominal.state_of(torch.full((9,), 5e-4).double())
    cells = torch.arange(9)
    up, down = (
        path.seen(torch.full((9,), v).double(), array.nominal, state, cells) for v in (1.8, -1.8)
    )
    drive = Drive(
        word_line=torch.zeros(3).double(), bit_line=torch.tensor([1.8, 1.8, 1.8]).double()
    )
    assert bool((-down < 0.95 * up).all())
    alone = torch.where(torch.eye(9).bool(), 5e-4, 0.0).double().view(9, 3, 3)
    series = circuit.Transistor(gate_line=2.5)
    whole = solve(alone, WIRES, drive, series=series).device_voltage.reshape(9, 9).diagonal()
    torch.testing.assert_close(down, whole, rtol=1e-8, atol=0)


@pytest.mark.parametrize("how", [OPEN_LOOP, WRITE_VERIFY])
def test_cells_behind_a_wide_open_gate_line_are_written_as_without(arrays, ctx, how):
    array = arrays(MAGIC, shape=(1, 3, 3))
    target = targets(array, ctx)
    plain, behind = (
        how(**access).program(array, target, ctx)
        for access in ({}, {"gate_line": 900.0, "gain": 1e3})
    )
    torch.testing.assert_close(behind.conductance, plain.conductance, rtol=1e-4, atol=0)


def test_a_transistor_is_a_resistance_or_has_a_gate_line(arrays, ctx):
    array = arrays(MAGIC, shape=(1, 3, 3))
    with pytest.raises(ConfigError, match="expected one of them"):
        WRITE_VERIFY(transistor=100.0, gate_line=2.0).program(array, targets(array, ctx), ctx)


def test_far_cells_take_more_pulses_and_still_arrive(arrays, ctx):
    array = wired(arrays(MAGIC, shape=(1, 24, 24)), Wires(word_line=4.0, bit_line=4.0))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low + 0.7 * (high - low)).double()
    done = WRITE_VERIFY().program(array, target, ctx)
    assert bool(torch.as_tensor(done.verified).all())
    assert done.error.abs().max() <= 0.0101 * (high - low)
    pulses = done.pulses[0]
    assert pulses[-1, 0] < pulses[0, -1]  # next to driver and sense node; farthest from both
    assert (
        pulses.float().mean()
        > WRITE_VERIFY(wires="none").program(array, target, ctx).pulses[0].float().mean()
    )


def test_trains_in_open_loop_end_short_of_far_targets(arrays, ctx):
    array = wired(arrays(MAGIC, shape=(1, 16, 16)), Wires(word_line=4.0, bit_line=4.0))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low + 0.7 * (high - low)).double()
    missing = -OPEN_LOOP().program(array, target, ctx).error[0]
    assert (missing > 0).all()
    assert missing[0, -1] > missing[-1, 0]
    assert (missing.diff(dim=1) > -1e-9).all()


def test_a_train_behind_wires_is_what_many_short_steps_make_of_it(arrays, ctx):
    """One cell is SET in a passive array; its own current and that of its neighbours count."""
    array = wired(arrays(MAGIC, shape=(1, 3, 3)))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low).double()
    target[0, 0, 2] = low + 0.5 * (high - low)
    ends = [
        HALF_SELECT(accuracy=accuracy, set_voltage=2.5, read_time=0.0, tolerance=0.3).program(
            array, target, ctx
        )
        for accuracy in (0.02, 0.002)
    ]
    seconds, steps = float(ends[0].time[0, 0, 2]), 500
    state = array.device.initial_state(array.shape, ctx).double()
    solution = None
    for _ in range(steps):
        drive = Drive.select(3, 3, 0, 2, -2.5)  # of the polarity of a SET
        g = array.device.conductance(state)
        solution = solve(g, WIRES, drive, start=solution)
        state = array.device.step(state, solution.device_voltage, seconds / steps, ctx)
    exact = array.device.conductance(state)
    errors = [float((end.conductance - exact).abs().max() / (high - low)) for end in ends]
    assert exact[0, 0, 2] > low + 0.05 * (high - low)
    assert errors[1] < 0.004
    assert errors[1] <= errors[0] + 1e-4


def test_drivers_deliver_what_cells_and_wires_take(arrays, ctx):
    array = wired(arrays(MAGIC, shape=(1, 3, 4)))
    spent = {
        scheme: HALF_SELECT(scheme=scheme, read_time=0.0)
        .program(array, targets(array, ctx), ctx)
        .energy.sum()
        .item()
        for scheme in ("V/2", "V/3", "floating")
    }
    assert min(spent.values()) > 0
    assert spent["V/2"] > spent["floating"]  # nothing flows between open lines but sneak currents


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curved(devices["vteam"]):
    def current(self, state, voltage):
        return self.conductance(state) * torch.sinh(0.5 * voltage) / 0.5


def test_cells_that_are_not_ohmic_see_what_their_own_current_leaves(arrays, ctx):
    device = Curved(**{f.name: getattr(MAGIC, f.name) for f in dataclasses.fields(MAGIC)})
    array = wired(arrays(device, shape=(1, 3, 3)))
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low + 0.6 * (high - low)).double()
    done = WRITE_VERIFY(transistor=100.0).program(array, target, ctx)
    assert bool(torch.as_tensor(done.verified).all())
    once, often = (
        HALF_SELECT(passes=passes).program(array, target, ctx).error.abs().max()
        for passes in (1, 6)
    )
    assert often < 0.7 * once  # every pass reads again what the wires left undone


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize(
    ("scheme", "parts", "order"), [("V/2", 1, "row"), ("V/2", 2, "cell"), ("V/3", 1, "cell")]
)
def test_the_kernel_of_ohmic_cells_writes_what_the_solver_of_all_cells_writes(
    arrays, ctx, monkeypatch, scheme, parts, order
):
    array, how = chip(arrays, ctx, parts), HALF_SELECT(scheme=scheme, order=order)
    target = targets(array, ctx)
    monkeypatch.setattr("memcore.circuit.solve", None)  # has no part in it
    by_kernel = how.program(array, target, ctx)
    monkeypatch.undo()
    monkeypatch.setattr("memcore.circuit.ohmic.has_kernel", lambda *_: False)
    by_newton = how.program(array, target, ctx)
    assert torch.equal(by_kernel.pulses, by_newton.pulses)
    for name in ("conductance", "energy"):
        found, expected = (getattr(each, name) for each in (by_kernel, by_newton))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_stuck_cells_stay_and_carry_their_current(arrays, ctx):
    array = wired(arrays(MAGIC, shape=(1, 4, 4)))
    stuck = torch.full(array.shape, float("nan")).double()
    stuck[0, 1, 1] = 2e-3
    array = dataclasses.replace(array, stuck=stuck)
    done = HALF_SELECT(passes=2).program(array, targets(array, ctx), ctx)
    assert done.conductance[0, 1, 1].item() == pytest.approx(2e-3)
    assert not bool(torch.as_tensor(done.verified)[0, 1, 1])


def test_curved_cells_are_written_beside_stuck_ones(arrays, ctx):
    array = wired(arrays("yakopcic", shape=(1, 3, 3)), Wires(word_line=1.0, bit_line=1.0))
    stuck = torch.full(array.shape, float("nan")).double()
    stuck[0, 1, 1] = 1e-4
    done = HALF_SELECT().program(dataclasses.replace(array, stuck=stuck), targets(array, ctx), ctx)
    assert done.conductance.isfinite().all()
    assert done.conductance[0, 1, 1].item() == pytest.approx(1e-4)


@pytest.mark.parametrize("how", [OPEN_LOOP, WRITE_VERIFY, HALF_SELECT])
def test_pulses_that_no_longer_move_far_cells_are_said_to(arrays, ctx, how):
    """Devices of measured pulses know what these do, and nothing of lower ones."""
    device = devices["linear_step"](c2c=0.0)
    array = wired(arrays(device, shape=(1, 3, 3)))
    target = targets(array, ctx)
    with pytest.warns(NoEffectWarning, match="reach the farthest cells behind their lines"):
        short = how().program(array, target, ctx)
    v_set, v_reset = 1.2 * abs(device.v_set), 1.2 * abs(device.v_reset)
    long = how(set_voltage=v_set, reset_voltage=v_reset).program(array, target, ctx)
    low, high = array.nominal.nominal_range()
    assert (long.conductance - target).abs().mean() < 0.03 * (high - low)
    assert (short.conductance - target).abs().mean() > 0.1 * (high - low)


@pytest.mark.parametrize("how", [OPEN_LOOP, WRITE_VERIFY, HALF_SELECT])
def test_wires_may_be_given_for_each_segment(arrays, ctx, how):
    array = arrays(MAGIC, shape=(1, 3, 3))
    target = targets(array, ctx)
    each = Wires(word_line=torch.full((3, 3), 20.0), bit_line=10.0)  # float32, as a user has them
    found = how().program(wired(array, each), target, ctx)
    alike = how().program(wired(array, Wires(word_line=20.0, bit_line=10.0)), target, ctx)
    torch.testing.assert_close(found.conductance, alike.conductance, rtol=1e-9, atol=0)


@pytest.mark.parametrize("how", [OPEN_LOOP, HALF_SELECT])
def test_pulses_too_short_to_move_anything_are_said_to_be(arrays, ctx, how):
    array = arrays(MAGIC, shape=(1, 3, 3))
    with pytest.warns(NoEffectWarning, match=r"1e-30 s at -2.5 V do not move Vteam.*set_width"):
        how(set_voltage=2.5, set_width=1e-30).program(array, targets(array, ctx), ctx)


def layer(nonidealities, programmer, seed=0):
    torch.manual_seed(0)
    config = memcore.CrossbarConfig(
        device=MAGIC, programmer=programmer, nonidealities=nonidealities, tile=(8, 8)
    )
    return memcore.convert(torch.nn.Linear(8, 4), config, seed=seed)


def test_the_wires_of_the_config_act_in_writing_too():
    ir_drop = {"name": "ir_drop", "segment": 30.0}
    wires, ideal = (
        layer([ir_drop], {"name": "open_loop", "wires": which}) for which in ("array", "none")
    )
    g = [model.crossbar.programmed for model in (wires, ideal)]
    assert (g[0] <= g[1] * (1 + 1e-6)).all()
    assert (g[0] < 0.99 * g[1]).any()


def chip(arrays, ctx, parts, device=MAGIC):
    """Two arrays, or two parts of a weight on common word lines; lines in an order by lot."""
    array = dataclasses.replace(wired(arrays(device, shape=(4, 5, 3))), parts=2)
    lot = ctx.random.child("order")
    rows = lot.child("rows").uniform((4 // parts, 5)).argsort(-1)
    cols = lot.child("cols").uniform((4 // parts, 3 * parts)).argsort(-1)
    layout = Layout(parts=parts, row_order=rows, col_order=cols)
    return dataclasses.replace(array, layout=layout)


def as_it_lies(array):
    """The same arrays as they are on the chip, without a layout."""
    count = array.arrays // array.layout.parts
    size = {"arrays": count, "rows": 5, "cols": 3 * array.layout.parts, "parts": 1}
    return dataclasses.replace(array, **size, layout=Layout())


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("how", [OPEN_LOOP(), WRITE_VERIFY(transistor=100.0)])
def test_single_cells_have_the_way_that_leads_to_where_they_lie(arrays, ctx, how, parts):
    array = chip(arrays, ctx, parts)
    target = targets(array, ctx)
    found = how.program(array, target, ctx).conductance
    there = how.program(as_it_lies(array), array.layout.lay(target), ctx).conductance
    torch.testing.assert_close(found, array.layout.number(there), rtol=1e-9, atol=0)
    assert not torch.equal(found, how.program(wired(array, None), target, ctx).conductance)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("device", [MAGIC, devices["yakopcic"]()])
@pytest.mark.parametrize("scheme", ["V/2", "floating"])
def test_selections_act_where_lines_lie(arrays, ctx, scheme, device, parts):
    array = chip(arrays, ctx, parts, device)
    state = device.state_of(targets(array, ctx)).view(-1, 4, 15)
    driven = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    found = Network(array, scheme, None).seen(6, driven, 1.2, state)
    layout, there = array.layout, as_it_lies(array)
    on = torch.zeros(4, 5, 3).double()
    on[:, 2] = driven.double()
    on = layout.lay(on)
    law = circuit.OfDevice(
        device=device, state=torch.stack([layout.lay(row.view(4, 5, 3)) for row in state])
    )
    drive = Drive.against(on.any(2), on.any(1), torch.tensor([1.2]).double(), scheme)
    g = layout.lay(targets(array, ctx))
    expected = solve(g, there.wires, drive, law=law)
    seen = layout.number(expected.device_voltage).reshape(4, 15)
    torch.testing.assert_close(found.voltage, seen.to(found.voltage), rtol=1e-5, atol=1e-7)
    assert not seen[[1, 3]].any()  # nothing is driven there, in any part
    assert seen[2].any()
    given = (drive.word_line * expected.driver_current).sum(-1)
    if drive.bit_line is not None:
        given = given - (drive.bit_line * expected.current).sum(-1)
    lost = given - (expected.device_voltage * expected.cell_current).sum((-2, -1))
    assert found.lost.sum().item() == pytest.approx(lost.sum().item(), rel=1e-4)
    if parts == 2:
        assert found.lost[0].item() == pytest.approx(2 * found.lost[2].item(), rel=1e-6)


@pytest.mark.parametrize("order", ["cell", "row"])
def test_a_positive_column_disturbs_the_negative_one_beside_it(arrays, ctx, order):
    """Ideal lines: what is written in one part half-selects cells of the other."""
    array = chip(arrays, ctx, 2, watched())
    array = wired(array, Wires())
    low, high = array.nominal.nominal_range()
    target = torch.full(array.shape, low, dtype=torch.float64)
    target[:2] = 0.5 * (low + high)  # the other part is fresh, and is left alone
    SEEN.clear()
    HALF_SELECT(order=order, set_voltage=2.5).program(array, target, ctx)
    pulses = [voltage.abs() for _, voltage, _ in SEEN if voltage.shape == (4, 15)]
    most = torch.stack(pulses).amax((0, 2))
    assert most.tolist() == pytest.approx([2.5, 2.5, 1.25, 1.25])
    # Half of 6 V is beyond the threshold of 1.5 V: cells that nobody selects move.
    array = dataclasses.replace(array, device=MAGIC)
    done = HALF_SELECT(order=order, set_voltage=6.0).program(array, target, ctx)
    assert (done.conductance[2:] > 1.001 * low).any()


def test_columns_that_share_word_lines_are_written_one_after_the_other(arrays, ctx):
    array = chip(arrays, ctx, 2, watched())
    SEEN.clear()
    HALF_SELECT(set_voltage=2.5, reset_voltage=0.55).program(array, targets(array, ctx), ctx)
    pulses = [voltage for _, voltage, _ in SEEN if voltage.shape == (4, 15)]
    whole = torch.stack(pulses).view(-1, 2, 2, 15).abs() > 2
    assert whole.sum((1, 3)).max().item() == 1  # cells of a circuit that see it all


@pytest.mark.parametrize("how", ["open_loop", "sequential_half_select"])
def test_wires_of_sorted_and_shared_lines_act_in_writing(how):
    ir_drop = {"name": "ir_drop", "segment": 30.0}
    plain = layer([ir_drop], how).crossbar
    for more in ({"placement": "sorted"}, {"columns": "shared"}):
        other = layer([ir_drop | more], how).crossbar
        assert not torch.equal(plain.programmed, other.programmed)
        layout = other.cells.effects.product.layout(other.programmed)
        expected = layout.number(
            memcore.effective_conductance(
                layout.lay(other.conductance.double()), other.cells.effects.product.wires
            )
        )
        matrix = other.cells.effects.product.matrix(other.conductance).double()
        torch.testing.assert_close(matrix, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["ir_drop_series", "ir_drop_profile"])
def test_approximate_wires_are_said_not_to_act(name):
    with pytest.warns(NoEffectWarning, match=f"{name}', which approximates reads only"):
        layer([{"name": name, "segment": 5.0}], "open_loop")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scheme": "floating", "cell": "1t1r"}, "scheme='floating' with cell='1t1r'"),
        ({"transistor": 10.0}, "expected cell='1t1r'"),
        ({"gate_line": 2.0}, "gate_line=2.0 with cell='passive'; expected cell='1t1r'"),
        ({"wires": "some"}, "wires='some'; expected one of array, none"),
        ({"accuracy": 0.0}, "accuracy=0.0"),
    ],
)
def test_impossible_ways_of_writing_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        HALF_SELECT(**parameters)


def test_a_known_solution_is_where_the_next_one_begins():
    generator = torch.Generator().manual_seed(0)
    g = 1e-3 * torch.rand(12, 9, generator=generator, dtype=torch.float64)
    law = circuit.Sinh(v0=0.3)
    drive = Drive.select(12, 9, 3, 4, 1.2)
    cold = solve(g, WIRES, drive, law=law)
    g[3, 4] *= 1.01
    warm = solve(g, WIRES, drive, law=law, start=cold)
    torch.testing.assert_close(
        warm.cell_current, solve(g, WIRES, drive, law=law).cell_current, rtol=1e-7, atol=1e-15
    )
    assert warm.iterations < cold.iterations
    rest = Drive(word_line=torch.zeros(12, dtype=torch.float64))
    assert not solve(g, WIRES, rest, law=law, start=cold).cell_current.any()
    with pytest.raises(ConfigError, match=r"start is a solution of shape \[12, 9\]"):
        solve(g[:4], WIRES, Drive.select(4, 9, 0, 0, 1.0), start=cold)


def test_a_law_may_calculate_in_another_precision():
    g = 1e-3 * torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    v0 = torch.full((6, 5), 0.3, dtype=torch.float64)
    drive = Drive(word_line=torch.full((6,), 0.4))
    found = solve(g, WIRES, drive, law=circuit.Sinh(v0=v0)).current
    exact = solve(
        g.double(), WIRES, Drive(word_line=drive.word_line.double()), law=circuit.Sinh(v0=v0)
    ).current
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=0)


# -- a source that limits the current --------------------------------------------------------------


@pytest.mark.parametrize("name", ["vteam", "yakopcic"])
@pytest.mark.parametrize("wires", [None, WIRES])
def test_no_pulse_draws_more_than_the_limit(name, wires):
    limit, device = 2e-5, devices[name]()
    info = cells_of(device=device, spread=False, arrays=1, rows=3, cols=4)
    info, cells = dataclasses.replace(info, wires=wires), torch.arange(12)
    g = torch.linspace(*device.nominal_range(), 12, dtype=torch.float64)
    state, volts = device.state_of(g), torch.tensor([-2.0, 2.0] * 6, dtype=torch.float64)
    free = Path.of(info, 100.0, torch.device("cpu")).seen(volts, device, state, cells)
    path = Path.of(info, 100.0, torch.device("cpu"), limit=limit)
    held = path.seen(volts, device, state, cells)
    drawn, most = (device.current(state, u).abs() for u in (free, held))
    torch.testing.assert_close(most, drawn.clamp(max=limit), rtol=1e-6, atol=0)
    assert (drawn > 2 * limit).any()


def test_a_limited_pulse_moves_a_cell_as_its_simulation():
    drift = devices["linear_ion_drift"](x0=0.1)
    info = cells_of(device=drift, spread=False, arrays=1, rows=1, cols=1)
    how = OPEN_LOOP(current_limit=1e-4)
    cells = SingleCells.of(info, torch.zeros(1, 1, 1).double(), context(), lines=how, reads=how)
    begin = torch.tensor([[0.1]], dtype=torch.float64)
    found = cells.all.pulse(begin, 1.0, 0.5, "pulse", 0, parts=2000).state
    volts = torch.ones(1000, dtype=torch.float64)
    limited = memcore.simulate(drift, volts, 5e-4, state=begin, limit=1e-4)
    free = memcore.simulate(drift, volts, 5e-4, state=begin)
    expected = limited.conductance.flatten()[-1]
    # a part sees the voltage of its beginning
    torch.testing.assert_close(drift.conductance(found)[0], expected, rtol=2e-3, atol=0)
    assert float(free.conductance.flatten()[-1]) > 1.05 * float(expected)


def test_a_limit_is_refused_where_a_line_feeds_many_cells():
    for parameters in ({}, {"cell": "1t1r", "order": "row"}):
        with pytest.raises(ConfigError, match=r"current_limit=0\.0001.*expected cell='1t1r'"):
            HALF_SELECT(current_limit=1e-4, **parameters)
    HALF_SELECT(current_limit=1e-4, cell="1t1r")
