"""Training in place: pulses on the cells of a converted network."""

import copy
import dataclasses
import functools
import io
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import memcore
from memcore import ConfigError, CrossbarConfig, Stream, native
from memcore.optim import InSitu, trains

#: Even steps of 1/400 of the window, without noise.
EVEN = {"name": "constant_step", "dw_min": 0.005, "c2c": 0.0}
#: What is put where it should be is pulsed for the first time by its training.
pytestmark = pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")
MAPPERS = pytest.mark.parametrize("mapper", ["offset", "differential"])


def draws(*shape, name="x"):
    return Stream(9).child(name).normal(shape)


def memristive(model=None, device=EVEN, mapper="offset", programmer="direct", **more):
    """A network in its cells, which are put where they should be: training lays them anew."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(6, 4) if model is None else model
    config = CrossbarConfig(device=device, mapper=mapper, programmer=programmer, **more)
    return memcore.convert(model, config)


X, TARGET = draws(32, 6, name="inputs"), draws(32, 4, name="targets")


def train(model, optimizer, steps=40):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(X) - TARGET).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@MAPPERS
@pytest.mark.parametrize("rule", ["sgd_pulsed", "mixed_precision"])
def test_pulses_lower_the_loss_and_parameters_follow_the_cells(rule, mapper):
    mem = memristive(mapper=mapper, programmer="default")
    optimizer = InSitu(mem, rule=rule, lr=0.2)
    losses = train(mem, optimizer)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    torch.testing.assert_close(mem.effective_weight, mem.weight.detach())
    torch.testing.assert_close(mem.eval()(X), nn.functional.linear(X, mem.weight, mem.bias))


@pytest.mark.parametrize("rule", ["sgd_pulsed", "agad", "one_sided"])
def test_cells_that_differ_train_and_the_granularity_is_that_of_their_mean(rule):
    normal = memcore.Normal(0.0, 0.2, min=-0.5, max=0.5)
    device = {"name": "soft_bounds", "about": "symmetry", "offset": normal}
    device["w_max"] = memcore.Normal(1.0, 0.1, min=0.5, max=1.5)
    mem = memristive(device=device, mapper="differential")
    even = memristive(device={"name": "soft_bounds", "about": "symmetry"}, mapper="differential")
    losses = train(mem, InSitu(mem, rule=rule, lr=0.2), 10)
    assert losses[-1] < losses[0] or rule == "agad"  # whose first transfers come late
    InSitu(even, lr=0.2)  # which gives it as much headroom
    ratio = memcore.optim.granularity(mem)[""] / memcore.optim.granularity(even)[""]
    assert 0.8 < ratio < 1.25


@MAPPERS
def test_mixed_precision_on_even_steps_is_gradient_descent_within_a_pulse(mapper):
    mem = memristive(mapper=mapper)
    optimizer = InSitu(mem, rule="mixed_precision", lr=0.05, headroom=4.0)
    plain = copy.deepcopy(memcore.revert_(copy.deepcopy(mem)))
    sgd = torch.optim.SGD(plain.parameters(), lr=0.05)
    train(mem, optimizer, 20)
    train(plain, sgd, 20)
    step = memcore.optim.granularity(mem)[""]
    assert (mem.weight - plain.weight).abs().max() < 1.5 * step
    torch.testing.assert_close(mem.bias, plain.bias, rtol=0, atol=2 * step)


def test_a_pulse_changes_a_weight_by_the_granularity():
    for mapper in ("offset", "differential"):
        mem = memristive(mapper=mapper, bias="mapped")
        with torch.no_grad():
            mem.weight.zero_()
            mem.weight[0, 0] = 1.0
            mem.weight[1, 1] = -1.0
        memcore.program(mem)
        cells = memcore.optim.PulsedCells(mem.crossbar, headroom=2.0)
        before = mem.effective_weight.clone()
        up = torch.zeros(1, 4, 7)
        up[0, 0, 0] = 1
        cells.pulse(up, torch.zeros_like(up))
        cells.settle()
        found = (mem.effective_weight - before)[0, 0].item()
        assert found == pytest.approx(cells.granularity, rel=1e-3)
        assert ((mem.effective_weight - before).abs() > 1e-6).sum() == 1


def test_exact_order_makes_a_batch_of_its_vectors():
    one, many = memristive(), memristive()
    optimizers = [InSitu(m, rule="sgd_pulsed", lr=0.05, order="exact") for m in (one, many)]
    (many(X[:8]) - TARGET[:8]).square().sum().backward()
    optimizers[1].step()
    y = one(X[:8])
    errors = 2 * (y - TARGET[:8]).detach()
    trainer = optimizers[0]._trainers[0]
    for k in range(8):
        trainer.module(X[k : k + 1, None], errors[k : k + 1, None], 0.05)
    optimizers[0]._follow()
    assert torch.equal(one.crossbar.programmed, many.crossbar.programmed)


def applied(up, down, order):
    """Weights before and after some pulses on soft bounds of +-1 with steps of 2 %, no noise."""
    device = {"name": "soft_bounds", "dw_min": 0.02, "c2c": 0.0}
    mem = memristive(device=device)
    cells = memcore.optim.PulsedCells(mem.crossbar, net=order == "net")
    before = mem.effective_weight.clone()
    ones = torch.ones(1, 4, 6)
    if order == "exact":
        for _ in range(up):
            cells.pulse(ones, ones)
    else:
        cells.pulse(up * ones, down * ones)
    cells.settle()
    return before / mem.crossbar.gain / 1e-5, mem.effective_weight / mem.crossbar.gain / 1e-5


def test_opposite_pulses_pull_an_asymmetric_cell_and_net_hides_it():
    before, after = applied(10, 10, "grouped")
    kept, pushed = 0.98**20, (1 - 0.98**10) ** 2
    torch.testing.assert_close((after - kept * before).abs(), torch.full((4, 6), pushed))
    assert len((after - kept * before).sign().unique()) == 2  # either may come first
    before, after = applied(10, 10, "net")
    torch.testing.assert_close(after, before)


@MAPPERS
def test_trains_that_never_coincide_or_cancel_move_no_net_pulse(mapper):
    mem = memristive(mapper=mapper)
    optimizer, before = InSitu(mem, rule="sgd_pulsed", lr=1e-6, order="net"), mem.weight.clone()
    train(mem, optimizer, 3)
    assert torch.equal(mem.weight, before)
    assert optimizer.report().pulses == 0


def test_a_group_is_as_far_from_the_order_of_its_vectors_as_exchanges_of_pulses_take_it():
    """Exchanging an up with a down moves a cell of soft bounds by 2 dw^2 / b."""
    _, grouped = applied(8, 8, "grouped")
    _, exact = applied(8, 8, "exact")
    assert (grouped - exact).abs().max() <= 8 * 8 * 2 * 0.02**2
    assert not torch.equal(grouped, exact)


def test_noisy_pulses_of_a_group_have_the_mean_and_the_variance_of_their_order():
    """64 vectors on ten thousand cells with steps of a thousandth that vary by 30 %."""
    draw = Stream(4).child("pulses").uniform((64, 1, 100, 100))
    up, down = (draw < 0.1).float(), (draw > 0.9).float()
    moved = []
    for grouped in (False, True):
        model = nn.Linear(100, 100, bias=False)
        nn.init.zeros_(model.weight)
        config = CrossbarConfig(
            device={"name": "soft_bounds", "dw_min": 1e-3, "c2c": 0.3}, mapper="offset"
        )
        mem = memcore.convert(model, config, seed=int(grouped))
        cells = memcore.optim.PulsedCells(mem.crossbar)
        for one, other in [(up.sum(0), down.sum(0))] if grouped else zip(up, down, strict=True):
            cells.pulse(one, other)
        cells.settle()
        moved.append(mem.effective_weight.double().flatten() / cells.granularity)
    exact, group = moved
    noise = exact - (up - down).sum((0, 1)).double().flatten()
    pulses = (up + down).sum((0, 1)).mean().item()
    assert noise.std().item() == pytest.approx(0.3 * pulses**0.5, rel=0.05)
    for power, error in ((1, exact.var()), (2, 2 * exact.var() ** 2)):
        one, other = (each.mean() if power == 1 else each.var() for each in moved)
        assert abs(one - other) < 4 * (2 * error / len(group)).sqrt()


@pytest.mark.parametrize("rule", sorted(memcore.updates))
def test_a_resumed_training_goes_on_bit_for_bit(rule):
    device = {"name": "soft_bounds", "dw_min": 0.005, "c2c": 0.3}
    mapper = "differential" if memcore.updates[rule].pair == "one_sided" else "offset"
    mem, other = (memristive(device=device, mapper=mapper) for _ in range(2))
    first, second = (InSitu(m, rule=rule, lr=0.1) for m in (mem, other))
    train(mem, first, 2)
    file = io.BytesIO()
    torch.save([mem.state_dict(), first.state_dict()], file)
    file.seek(0)
    state, of_optimizer = torch.load(file)
    other.load_state_dict(state)
    second.load_state_dict(of_optimizer)
    assert train(other, second, 1) == train(mem, first, 1)
    assert torch.equal(other.crossbar.programmed, mem.crossbar.programmed)


@pytest.mark.parametrize("device", ["tabular", "soft_bounds"])
def test_cells_conduct_the_same_to_the_bit_once_their_state_is_loaded(device):
    # The conductance of tabular cells is computed natively, and what pulses make of them is not.
    mem = memristive(nn.Linear(64, 64), device)
    cells = memcore.optim.PulsedCells(mem.crossbar)
    up, down = (draws(1, 64, 64, name=name).abs().mul(3).floor() for name in ("up", "down"))
    cells.pulse(up, down)
    before = mem.crossbar.programmed.clone()
    cells.resume()
    assert torch.equal(mem.crossbar.programmed, before)


def test_a_network_of_several_kinds_of_layers_trains_and_counts_its_pulses():
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 4)
    )
    mem = memristive(model, device={"name": "soft_bounds", "dw_min": 0.005})
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    x, losses = X.view(32, 2, 3), []
    scale = mem[3].weight.detach().clone()
    for _ in range(40):
        optimizer.zero_grad()
        loss = (mem(x) - TARGET).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert {each.name for each in optimizer.report().matrices} == {"0", "4"}
    assert all(each.pulses > 0 for each in optimizer.report().matrices)
    assert not torch.equal(mem[3].weight, scale)  # trained digitally


def test_pairs_that_are_pushed_and_pulled_lie_about_the_middle_and_keep_their_weights():
    mem = memristive(mapper="differential")
    before = mem.effective_weight.clone()
    cells = memcore.optim.PulsedCells(mem.crossbar, headroom=2.0)
    torch.testing.assert_close(mem.effective_weight, before)
    higher, lower = mem.crossbar.programmed
    low, high = mem.crossbar.config.device.nominal_range()
    torch.testing.assert_close(higher + lower, torch.full_like(higher, low + high))
    assert cells.pair == "push_pull"


@pytest.mark.parametrize("mapper", ["offset", "differential"])
def test_a_second_optimiser_resumes_whenever_it_was_made(mapper):
    """In a new process the optimiser is made after the network has loaded its state."""
    mem, other = memristive(mapper=mapper), memristive(mapper=mapper)
    first = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    train(mem, first, 2)
    other.load_state_dict(mem.state_dict())
    second = InSitu(other, rule="sgd_pulsed", lr=0.3)
    second.load_state_dict(first.state_dict())
    assert train(other, second, 2) == train(mem, first, 2)
    assert second.report() == first.report()


def test_passes_before_a_step_are_one_batch():
    whole, parts = memristive(), memristive()
    optimizers = [InSitu(m, rule="sgd_pulsed", lr=0.05) for m in (whole, parts)]
    (whole(X) - TARGET).square().sum().backward()
    for half in (slice(0, 16), slice(16, 32)):
        (parts(X[half]) - TARGET[half]).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(whole.crossbar.programmed, parts.crossbar.programmed)
    assert whole.weight.grad is None  # the cells are moved, not the parameters


def test_pulses_energy_time_and_wear_are_counted():
    mem = memristive(device={**EVEN, "v_set": 2.0, "v_reset": -1.0, "t_set": 3e-6, "t_reset": 1e-6})
    cells = memcore.optim.PulsedCells(mem.crossbar)
    g = mem.crossbar.programmed[0, 0, :2].sum().item()  # inputs are word lines
    up, down = torch.zeros(1, 4, 6), torch.zeros(1, 4, 6)
    up[0, :2, 0] = 3
    cells.pulse(up, down)
    assert int(cells.pulses) == 6
    assert cells.energy.item() == pytest.approx(3 * 2.0**2 * 3e-6 * g, rel=1e-4)
    assert cells.time.item() == pytest.approx(3 * 4e-6)
    whole_way = 2 / EVEN["dw_min"]
    assert cells.wear == pytest.approx(
        6 / whole_way / 2 / mem.crossbar.programmed.numel(), rel=1e-3
    )


def test_training_wears_cells_and_goes_on_from_what_has_drifted():
    mem = memristive(nonidealities=[{"name": "drift", "nu": 0.02}])
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    train(mem, optimizer, 3)
    cycles = mem.crossbar.cells.clock.segments[:, 2].sum() - 1  # one of the conversion
    assert cycles == pytest.approx(optimizer.report().matrices[0].cycles, rel=1e-6)
    memcore.age(mem, seconds=1e3)
    drifted = mem.effective_weight.clone()
    optimizer.zero_grad()
    (mem(X) - TARGET).square().mean().mul(1e-6).backward()
    optimizer.step()
    assert mem.crossbar.cells.clock.seconds == 0
    step = memcore.optim.granularity(mem)[""]
    assert (mem.effective_weight - drifted).abs().max() < 1.5 * step


def test_a_fast_array_drifts_as_long_as_that_of_the_network():
    mem = memristive(nonidealities=[{"name": "drift", "nu": 0.02}])
    optimizer = InSitu(mem, rule="tiki_taka2", lr=0.1)
    train(mem, optimizer, 3)
    (fast,) = optimizer._trainers[0].beside
    before = fast.programmed.clone()
    memcore.age(mem, seconds=1e3)
    optimizer.zero_grad()
    (mem(X) - TARGET).square().mean().mul(1e-6).backward()
    optimizer.step()
    low, _ = mem.crossbar.config.device.nominal_range()
    drifted = fast.programmed[before > 1.5 * low] / before[before > 1.5 * low]
    assert drifted.median() == pytest.approx((1 + 1e3 / 20) ** -0.02, rel=1e-4)
    assert fast.cells.clock.seconds == 0


def test_a_residual_network_is_the_sum_of_its_arrays():
    mem = memristive(nonidealities=[{"name": "drift", "nu": 0.02}])
    rule = {"name": "residual", "tiles": 3, "share": 0.5, "slower": 1, "transfer_lr": 0.1}
    optimizer = InSitu(mem, rule=rule, lr=0.1)
    losses = train(mem, optimizer, 30)
    assert losses[-1] < losses[0]
    coarse, finest, middle = mem.matrix.crossbars
    expected = coarse.folded + 0.5 * middle.folded + 0.25 * finest.folded
    assert not torch.allclose(expected, coarse.folded)
    torch.testing.assert_close(mem.effective_weight, expected[0])
    torch.testing.assert_close(mem.weight.detach(), expected[0])
    torch.testing.assert_close(mem.eval()(X), nn.functional.linear(X, mem.weight, mem.bias))
    before = [each.folded.clone() for each in mem.matrix.crossbars]
    memcore.age(mem, seconds=1e4)
    assert all(
        not torch.equal(a, b.folded) for a, b in zip(before, mem.matrix.crossbars, strict=True)
    )
    optimizer.zero_grad()
    (mem.train()(X) - TARGET).square().mean().backward()
    optimizer.step()
    assert all(each.cells.clock.seconds == 0 for each in mem.matrix.crossbars)


def test_a_residual_network_is_one_array_once_it_is_written():
    mem = memristive(programmer="default")
    optimizer = InSitu(mem, rule={"name": "residual", "share": 0.5, "carry": 0.0}, lr=0.3)
    train(mem, optimizer, 20)
    optimizer.release()
    y, coarse = mem.eval()(X), mem.crossbar.folded[0].clone()
    assert torch.equal(copy.deepcopy(mem)(X), y)
    with pytest.raises(ConfigError, match=r"adds up 2 arrays of an earlier training.*program"):
        InSitu(mem, lr=0.1)
    memcore.program(mem)
    assert len(mem.matrix.crossbars) == 1
    few = 4 * memcore.optim.granularity(mem)[""]  # cells are written by whole pulses
    torch.testing.assert_close(mem.effective_weight, mem.weight.detach(), rtol=0, atol=few)
    assert (coarse - mem.weight).abs().max() > 4 * few
    InSitu(mem, lr=0.1)


def test_one_sided_slots_take_two_set_pulses_and_resets_take_time():
    device = {**EVEN, "v_set": 2.0, "v_reset": -1.0, "t_set": 3e-6, "t_reset": 1e-6}
    mem = memristive(mapper="differential", device=device)
    cells = memcore.optim.PulsedCells(mem.crossbar, pair="one_sided")
    up = torch.ones(1, 4, 6)
    cells.pulse(3 * up, up)
    assert cells.time.item() == pytest.approx(3 * 2 * 3e-6)
    cells.renew(0.75)
    assert cells.time.item() == pytest.approx(3 * 2 * 3e-6)  # no pair is full
    low, high = mem.crossbar.config.device.nominal_range()
    full = torch.full_like(mem.crossbar.programmed, high)
    full[1] -= 0.1 * (high - low)
    cells.state.copy_(cells._device.state_of(full))
    cells.resume()
    before, ways = cells.time.item(), 2 / EVEN["dw_min"]
    cells.renew(0.75)
    spent = ways * 1e-6 + 0.1 * ways * 3e-6
    assert cells.time.item() - before == pytest.approx(spent, rel=0.02)


def test_pairs_of_soft_bounds_keep_their_weights_when_they_are_reset():
    mem = memristive(mapper="differential", device={**EVEN, "name": "soft_bounds"})
    cells = memcore.optim.PulsedCells(mem.crossbar, pair="one_sided", headroom=2.0)
    low, high = mem.crossbar.config.device.nominal_range()
    full = torch.full_like(mem.crossbar.programmed, 0.95)
    full[1] -= 0.2 * (torch.arange(24.0).view(6, 4) / 24)
    cells.state.copy_(cells._device.state_of(low + (high - low) * full))
    cells.resume()
    before = mem.effective_weight.clone()
    cells.renew(0.75)
    cells.settle()
    torch.testing.assert_close(mem.effective_weight, before, rtol=0.02, atol=2 * cells.granularity)


def almost_full(**settings):
    """Pairs of which no cell but by noise is above 0.75 of its window, and their weights."""
    mem = memristive(mapper="differential", **settings)
    cells = memcore.optim.PulsedCells(mem.crossbar, pair="one_sided", headroom=2.0)
    low, high = mem.crossbar.config.device.nominal_range()
    share = torch.full_like(mem.crossbar.programmed, 0.7)
    share[1] = 0.5
    cells.state.copy_(cells._device.state_of(low + (high - low) * share))
    cells.resume()
    return mem, cells


def test_pairs_are_read_with_noise_before_they_are_reset():
    """A reading beyond 0.75 resets a pair at 0.7, and what was read is what is written."""
    mem, cells = almost_full()
    before = cells.state.clone()
    cells.renew(0.75)
    assert torch.equal(cells.state, before)
    model, window = nn.Linear(60, 50), mem.crossbar.config.device.nominal_range()
    std = 0.1 * (window[1] - window[0])
    noise = [{"name": "read_noise", "relative": 0.0, "std": std}]
    (mem, cells), (_, again) = (
        almost_full(model=copy.deepcopy(model), nonidealities=noise) for _ in "ab"
    )
    reads = mem.crossbar.reads.clone()
    for each in (cells, again):
        each.renew(0.75)
    assert torch.equal(cells.state, again.state)
    pair = (mem.crossbar.programmed - window[0]) / (window[1] - window[0])
    renewed = pair.amin(0) < 0.25
    share = 1 - 0.5 * (1 + math.erf(0.05 / 0.1 / 2**0.5))  # higher cells that are read above 0.75
    deviation = (share * (1 - share) / renewed.numel()) ** 0.5
    assert float(renewed.float().mean()) == pytest.approx(share, abs=5 * deviation)
    written = (pair[0] - pair[1])[renewed]
    assert 0.05 < float(written.std()) < 0.2  # the noise of two readings, not 0.2 exactly
    assert torch.equal(mem.crossbar.reads, reads)


def test_one_sided_pairs_only_rise_until_they_are_reset():
    mem = memristive(mapper="differential")
    optimizer = InSitu(mem, rule={"name": "one_sided", "refresh_every": 0}, lr=0.2)
    before, losses = mem.crossbar.programmed.clone(), train(mem, optimizer, 20)
    assert (mem.crossbar.programmed >= before - 1e-12).all()
    assert losses[-1] < losses[0]
    (trainer,) = optimizer._trainers
    cells = trainer.slow
    low, high = mem.crossbar.config.device.nominal_range()
    full = torch.full_like(mem.crossbar.programmed, 0.9)
    full[1] -= 0.2 * (torch.arange(24.0).view(6, 4) / 24)
    cells.state.copy_(cells._device.state_of(low + (high - low) * full))
    cells.resume()
    weights = mem.effective_weight.clone()
    cells.renew(0.75)
    cells.settle()
    assert mem.crossbar.programmed.min() == pytest.approx(low)
    torch.testing.assert_close(mem.effective_weight, weights, rtol=0, atol=cells.granularity)


@pytest.mark.parametrize("counts", ["exact", "implicit", "mean_count"])
def test_computed_numbers_of_pulses_take_the_same_time_in_any_order(counts):
    """Vectors come one after the other, whether their pulses are added up or not."""
    times = []
    for order in ("exact", "grouped"):
        mem = memristive()
        optimizer = InSitu(mem, rule={"name": "sgd_counts", "counts": counts}, lr=0.05, order=order)
        (mem(X) - TARGET).square().sum().backward()
        optimizer.step()
        times.append(optimizer.report().time)
    assert times[0] == pytest.approx(times[1], rel=1e-6)
    assert times[0] > 0


def test_more_parameters_are_refused_in_words():
    optimizer = InSitu(memristive(), lr=0.1)
    with pytest.raises(ConfigError, match=r"a group of parameters came; expected none: .*digital"):
        optimizer.add_param_group({"params": [nn.Parameter(X.clone())]})
    assert len(optimizer.param_groups) == 1


def test_trains_that_do_not_fit_are_named_once():
    mem = memristive()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=50.0)
    x = draws(1100, 6, name="many")
    mem(x).square().sum().backward()
    with pytest.warns(memcore.SaturationWarning, match="of the updates are clipped in the layer"):
        optimizer.step()
    quiet = memristive()
    optimizer = InSitu(quiet, rule="sgd_pulsed", lr=1e-7)
    quiet(x).square().sum().backward()
    with pytest.warns(memcore.SaturationWarning, match="use a higher lr"):
        optimizer.step()


def test_a_report_names_what_the_rule_did():
    mem = memristive()
    optimizer = InSitu(mem, rule="agad", lr=0.1)
    train(mem, optimizer, 2)
    report = optimizer.report()
    (matrix,) = report.matrices
    assert matrix.figures["transfers"] == 64
    assert report.pulses == matrix.pulses > 0
    lines = str(report).splitlines()
    assert lines[0] == "Agad, lr 0.1, 2 steps"
    assert "rate of the fast array" in lines[1]


def test_additions_to_the_buffers_between_arrays_are_reported_and_priced():
    """Two for each weight of a column: one to its buffer, one where that is looked at."""
    mem = memristive()
    optimizer = InSitu(mem, rule={"name": "residual", "tiles": 3, "warm": 8, "slower": 2}, lr=0.2)
    train(mem, optimizer, 3)
    report, vectors = optimizer.report(), 3 * len(X) - 8
    assert report.additions == 2 * (vectors + vectors // 2) * 4
    (matrix,) = report.matrices
    assert matrix.activity.shift_adds == report.additions
    assert "additions" in str(report)


def test_additions_of_a_digital_memory_are_reported_and_priced():
    """Two for each weight and vector: one to its memory, one at the transfer."""
    mem = memristive()
    optimizer = InSitu(mem, rule="mixed_precision", lr=0.2)
    train(mem, optimizer, 3)
    report, vectors = optimizer.report(), 3 * len(X)
    (matrix,) = report.matrices
    assert report.additions == 2 * vectors * 6 * 4
    assert "additions" in str(report)
    model, array = memcore.costs["components"](), mem.crossbar.array()
    cost = model.estimate(matrix.activity, array)
    without = model.estimate(dataclasses.replace(matrix.activity, shift_adds=0), array)
    each = memcore.components["isaac_shift_add"].need("energy_of_use")
    assert cost.energy - without.energy == pytest.approx(report.additions * each)
    assert without.energy == pytest.approx(report.energy)


def test_a_copy_and_a_released_network_have_gradients_again():
    mem = memristive()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    train(mem, optimizer, 1)
    again = copy.deepcopy(mem)
    optimizer.release()
    for each in (mem, again):
        torch.testing.assert_close(each(X), mem.eval()(X))
        each.train()(X).sum().backward()
        assert each.weight.grad is not None


def test_a_schedule_reaches_what_is_trained_digitally():
    mem = memristive()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    train(mem, optimizer, 1)
    schedule.step()
    train(mem, optimizer, 1)
    assert optimizer.report().lr == 0.05
    assert optimizer.digital.param_groups[0]["lr"] == 0.05


@functools.cache
def accuracy_without_cells(lr, epochs, batch):
    return accuracy_on_digits(None, lr, epochs, batch=batch)


def accuracy_on_digits(rule, lr, epochs, device=EVEN, mapper="differential", seed=2, batch=32):
    """Accuracy in % on 360 digits after training in place, or digitally without a rule."""
    data = load_digits()
    x, labels = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    order = Stream(5).child("split").uniform((len(x),)).argsort()
    train, test = order[:-360], order[-360:]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    if rule is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    else:
        model = memristive(model, device, mapper)
        optimizer = InSitu(model, rule=rule, lr=lr, headroom=4.0)
    for epoch in range(epochs):
        shuffled = train[Stream(6).child(epoch).uniform((len(train),)).argsort()]
        for some in shuffled.split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[some]), labels[some]).backward()
            optimizer.step()
    with torch.no_grad():
        return 100 * (model(x[test]).argmax(1) == labels[test]).float().mean().item()


def test_digits_are_learned_in_place_as_well_as_digitally():
    assert accuracy_on_digits("sgd_pulsed", 0.2, 4) > accuracy_without_cells(0.2, 4, 32) - 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::memcore.SaturationWarning")  # trains of a few slots, at times
@pytest.mark.parametrize(
    ("rule", "lr"),
    [
        ("sgd_counts", 0.4),
        ("mixed_precision", 0.4),
        ("one_sided", 0.4),
        ("tiki_taka", 0.4),
        ("tiki_taka2", 0.3),
        ("residual", 0.4),
        # Even steps forget nothing: fast arrays that move much, whose signs flip rarely.
        ({"name": "chopped", "fast_lr": 1.0, "flip": 0.02}, 0.2),
        ({"name": "agad", "fast_lr": 0.3}, 0.8),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else str(value),
)
def test_digits_are_learned_in_place_by_other_rules(rule, lr):
    digitally = accuracy_without_cells(0.4, 8, 64)
    assert accuracy_on_digits(rule, lr, 8, batch=64) > digitally - 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::memcore.SaturationWarning")  # trains of a few slots, at times
def test_agad_beats_pulses_alone_where_references_miss_the_symmetry_points():
    spread = {"normal": {"mean": 0.0, "std": 0.6, "min": -1.0, "max": 1.0}}
    soft = {"name": "soft_bounds", "about": "symmetry", "dw_min": 0.01, "offset": spread}
    better = 0
    for seed in range(5):
        alone, agad = (
            accuracy_on_digits(rule, 0.2, 3, {**soft, "c2c": 0.3}, "offset", seed)
            for rule in ("sgd_pulsed", "agad")
        )
        better += agad > alone
    assert better >= 4


def test_stuck_cells_stay():
    mem = memristive(nonidealities=[{"name": "stuck_at", "p_lrs": 0.3}])
    stuck = mem.crossbar.programmed == mem.crossbar.programmed.max()
    before = mem.crossbar.programmed.clone()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.3, headroom=1.0)
    train(mem, optimizer, 10)
    assert torch.equal(mem.crossbar.programmed[stuck], before[stuck])
    assert not torch.equal(mem.crossbar.programmed, before)


@MAPPERS
def test_pulses_reach_the_lines_that_weights_were_moved_to(mapper):
    """Arrays as large as needed train as those of a tile that is large enough."""
    settings = {
        "nonidealities": [{"name": "stuck_at", "p_hrs": 0.2}],
        "faults": "avoided",
        "spare_cols": 2,
    }
    losses = []
    for tile in (None, (16, 16)):
        mem = memristive(mapper=mapper, tile=tile, **settings)
        losses.append(train(mem, InSitu(mem, lr=0.1), steps=5))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_weights_that_are_tied_are_named_for_their_cells_drift_apart():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4))
    model[1].weight = model[0].weight
    mem = memristive(model)
    with pytest.warns(memcore.StaleCellsWarning, match=r"0\.weight and 1\.weight are one param"):
        optimizer = InSitu(mem, lr=0.2)
    train(mem, optimizer, 5)
    assert not torch.equal(mem[0].effective_weight, mem[1].effective_weight)
    torch.testing.assert_close(mem[1].effective_weight, mem[1].weight.detach())


def test_a_weight_that_an_embedding_looks_up_too_is_named():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.last = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.last.weight = self.table.weight

        def forward(self, x):
            return self.last(self.table(x))

    with pytest.warns(memcore.StaleCellsWarning, match=r"table\.weight and last\.weight"):
        InSitu(memristive(Tied()), lr=0.1)


def test_weights_that_are_tied_within_one_layer_are_named():
    layer = nn.LSTM(6, 4, bidirectional=True)
    layer.weight_hh_l0_reverse = layer.weight_hh_l0
    names = r"weight_hh_l0 and weight_hh_l0_reverse are one parameter"
    with pytest.warns(memcore.StaleCellsWarning, match=names):
        InSitu(memristive(layer), lr=0.1)


def in_place(model):
    """As `memristive`, of the very parameters of the network: a copy has memory of its own."""
    config = CrossbarConfig(device=EVEN, mapper="offset", programmer="direct")
    return memcore.convert_(model, config)


def test_parameters_in_the_same_memory_are_named_as_one():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4))
    model[1].weight = nn.Parameter(model[0].weight)
    with pytest.warns(memcore.StaleCellsWarning, match=r"0\.weight and 1\.weight are one param"):
        InSitu(in_place(model), lr=0.1)


def test_parameters_that_lie_one_behind_the_other_are_trained_as_others_are():
    """As `vector_to_parameters` leaves them: biases in the storage of weights are on no cells."""
    networks = []
    for flat in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(2)
            model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
        if flat:
            vector_to_parameters(parameters_to_vector(model.parameters()), model.parameters())
        mem = in_place(model)
        before = mem[0].bias.detach().clone()
        train(mem, InSitu(mem, lr=0.1), steps=3)
        assert not torch.equal(mem[0].bias, before)
        networks.append(mem)
    for one, other in zip(*(mem.parameters() for mem in networks), strict=True):
        assert torch.equal(one, other)


def test_digital_parameters_without_memory_of_their_own_kind_are_left_alone():
    """Lazy ones have none yet, and sparse ones none that a weight on cells could be in."""
    model = nn.Sequential(nn.Linear(6, 5), nn.LazyLinear(3))
    model.table = nn.Parameter(torch.eye(4).to_sparse())
    config = CrossbarConfig(device=EVEN, mapper="offset", programmer="direct")
    mem = memcore.convert_(model, config, filter_fn=lambda _, name: name == "0")
    optimizer = InSitu(mem, lr=0.1)
    mem(torch.ones(2, 6)).sum().backward()
    before = mem[0].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(mem[0].weight, before)


def test_one_layer_in_two_places_is_tied_and_trains_without_a_word():
    layer = nn.Linear(6, 6)
    InSitu(memristive(nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(6, 4))), lr=0.1)


def test_groups_that_share_arrays_are_not_trained_in_place():
    mem = memristive(nn.Conv2d(4, 4, 2, groups=2), groups="packed")
    with pytest.raises(ConfigError, match=r"2 groups of the layer.*expected.*groups='apart'"):
        InSitu(mem, lr=0.1)


@pytest.mark.parametrize("rule", ["sgd_pulsed", "mixed_precision", "tiki_taka2"])
@pytest.mark.parametrize(("factor", "text"), [(1.0, "inputs"), (float("nan"), "errors")])
def test_infinite_inputs_and_errors_move_no_cells(rule, factor, text):
    mem = memristive()
    optimizer = InSitu(mem, rule=rule, lr=0.1)
    before = mem.crossbar.programmed.clone()
    x = X / 0 if text == "inputs" else X
    (mem(x).sum() * factor).backward()
    with pytest.raises(ConfigError, match=f"{text} of .* are infinite or NaN; expected finite"):
        optimizer.step()
    assert torch.equal(mem.crossbar.programmed, before)


@pytest.mark.parametrize("lr", [-1.0, float("nan"), "fast"])
def test_a_rate_that_a_schedule_made_odd_is_refused(lr):
    mem = memristive()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    optimizer.param_groups[0]["lr"] = lr
    with pytest.raises(ConfigError, match=r"lr=.*; expected a finite number >= 0"):
        train(mem, optimizer, 1)


def test_a_state_of_something_else_is_refused():
    optimizer, other = (InSitu(memristive(), rule=r, lr=0.1) for r in ("sgd_pulsed", "agad"))
    for state in ({}, None, other.state_dict(), torch.optim.SGD([X], lr=0.1).state_dict()):
        with pytest.raises(ConfigError, match=r"expected what state_dict\(\) of an InSitu"):
            optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        ({"device": "ideal"}, {}, "training in place needs a device with pulses"),
        ({"nonidealities": ["c2c"]}, {}, "'c2c' acts when cells are written as a whole"),
        ({}, {"order": "any"}, "order='any'; expected 'exact'"),
        ({}, {"lr": 0}, "lr=0; expected a finite number > 0"),
        ({}, {"digital": "adam"}, "digital='adam'; expected a torch optimiser"),
        ({}, {"pair": "both"}, "pair='both'; expected 'reference'"),
        ({}, {"pair": "push_pull"}, "mapping that fits: mapper='differential'"),
        ({"mapper": "differential"}, {"pair": "reference"}, "mapper='offset'"),
        ({"mapper": {"name": "bit_slice"}}, {}, "lanes, digits of a weight"),
    ],
)
def test_what_cannot_be_trained_in_place_is_said(settings, options, text):
    mem = memristive(**settings)
    with pytest.raises(ConfigError, match=text):
        InSitu(mem, **{"rule": "sgd_pulsed", "lr": 0.1, **options})


@pytest.mark.skipif(native.cpu() is None, reason="there is no kernel to compare with")
@pytest.mark.parametrize("mapper", ["offset", "differential", "one_sided"])
@pytest.mark.parametrize("tile", [(4, 3), None])
@pytest.mark.parametrize("device", ["soft_bounds", "pow_step"])
def test_kernels_and_torch_train_alike(device, tile, mapper, monkeypatch):
    device = {"name": device, "dw_min": 0.01, "c2c": 0.3, "w_max": memcore.Normal(1.0, 0.1)}
    rule = "one_sided" if mapper == "one_sided" else "sgd_pulsed"
    mapper = "differential" if mapper == "one_sided" else mapper
    found = []
    for kernels in (True, False):
        mem = memristive(device=device, tile=tile, mapper=mapper)
        optimizer = InSitu(mem, rule=rule, lr=1.0)
        if not kernels:
            monkeypatch.setattr("memcore.optim.mover.Mover._kernel", lambda *_: None)
        train(mem, optimizer, steps=3)
        (cells,) = optimizer.report().matrices
        found.append((mem.weight.detach().clone(), cells))
    (one, of_one), (other, of_other) = found
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.abs().max()))
    assert of_one.pulses == of_other.pulses > 100
    assert of_one.energy == pytest.approx(of_other.energy, rel=1e-4)


@pytest.mark.skipif(native.cpu() is None, reason="there is no kernel to compare with")
@pytest.mark.parametrize("mapper", ["offset", "differential"])
@pytest.mark.parametrize("tile", [(5, 19), None])
@pytest.mark.parametrize("device", ["constant_step", "soft_bounds", "neurosim"])
def test_trains_move_cells_by_their_coincidences_to_the_bit(device, tile, mapper, monkeypatch):
    settings = {"name": device, "c2c": 0.02, "v_set": 1.0, "v_reset": -1.0}
    if device == "soft_bounds":
        settings |= {"dw_min": 0.01, "w_max": memcore.Normal(1.0, 0.1)}
    sent = trains(draws(7, 2, 21, name="in"), draws(7, 2, 37, name="out"), 0.1, 0.01)
    found, conv = [], nn.Conv1d(6, 74, 7, groups=2)
    for threads, at_once in ((1, False), (1, True), (2, True)):
        monkeypatch.setattr("memcore.optim.mover.is_known", lambda *_, known=at_once: known)
        mem = memristive(copy.deepcopy(conv), settings, mapper, tile=tile)
        cells = memcore.optim.PulsedCells(mem.crossbar)
        assert cells.shape == (2, 37, 21)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        for first in (0, 7):
            cells.take(sent, Stream(3).child("trains"), first)
        torch.set_num_threads(before)
        found.append(cells)
    one, *others = found
    for other in others:
        assert torch.equal(one.state, other.state)
        assert torch.equal(one.crossbar.programmed, other.crossbar.programmed)
        assert int(one.pulses) == int(other.pulses) > 1000
        torch.testing.assert_close(one.energy, other.energy, rtol=1e-12, atol=0)
        assert float(one.time) == float(other.time) > 0
