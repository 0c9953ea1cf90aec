"""Training in place: pulses on the cells of a converted network."""

import copy
import io

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Stream
from memcore.optim import InSitu

#: Even steps of 1/400 of the window, without noise.
EVEN = {"name": "constant_step", "dw_min": 0.005, "c2c": 0.0}
MAPPERS = pytest.mark.parametrize("mapper", ["offset", "differential"])


def draws(*shape, name="x"):
    return Stream(9).child(name).normal(shape)


def memristive(model=None, device=EVEN, mapper="offset", **more):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(6, 4) if model is None else model
    config = CrossbarConfig(device=device, mapper=mapper, **more)
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
    mem = memristive(mapper=mapper)
    optimizer = InSitu(mem, rule=rule, lr=0.2)
    losses = train(mem, optimizer)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    torch.testing.assert_close(mem.effective_weight, mem.weight.detach())
    torch.testing.assert_close(mem.eval()(X), nn.functional.linear(X, mem.weight, mem.bias))


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


def test_opposite_pulses_pull_an_asymmetric_cell_and_net_hides_it():
    device = {"name": "soft_bounds", "dw_min": 0.02, "c2c": 0.0}
    weights = {}
    for order in ("grouped", "net"):
        mem = memristive(device=device)
        cells = memcore.optim.PulsedCells(mem.crossbar, net=order == "net")
        before = mem.effective_weight.clone()
        pulses = torch.full((1, 4, 6), 10.0)
        cells.pulse(pulses, pulses)
        cells.settle()
        weights[order] = (mem.effective_weight, before)
    after, before = weights["grouped"]
    assert (after.abs() < before.abs()).float().mean() > 0.9
    after, before = weights["net"]
    assert torch.equal(after, before)


@pytest.mark.parametrize("rule", sorted(memcore.updates))
def test_a_resumed_training_goes_on_bit_for_bit(rule):
    device = {"name": "soft_bounds", "dw_min": 0.005, "c2c": 0.3}
    mem, other = memristive(device=device), memristive(device=device)
    first, second = (InSitu(m, rule=rule, lr=0.1) for m in (mem, other))
    train(mem, first, 3)
    file = io.BytesIO()
    torch.save([mem.state_dict(), first.state_dict()], file)
    file.seek(0)
    state, of_optimizer = torch.load(file)
    other.load_state_dict(state)
    second.load_state_dict(of_optimizer)
    assert train(other, second, 3) == train(mem, first, 3)
    assert torch.equal(other.crossbar.programmed, mem.crossbar.programmed)


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
    assert set(optimizer.pulses) == {"0", "4"}
    assert all(count > 0 for count in optimizer.pulses.values())
    assert not torch.equal(mem[3].weight, scale)  # trained digitally


def test_stuck_cells_stay():
    mem = memristive(nonidealities=[{"name": "stuck_at", "p_lrs": 0.3}])
    stuck = mem.crossbar.programmed == mem.crossbar.programmed.max()
    before = mem.crossbar.programmed.clone()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.3, headroom=1.0)
    train(mem, optimizer, 10)
    assert torch.equal(mem.crossbar.programmed[stuck], before[stuck])
    assert not torch.equal(mem.crossbar.programmed, before)


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        ({"device": "ideal"}, {}, "training in place needs a device with pulses"),
        ({"nonidealities": ["c2c"]}, {}, "'c2c' acts when cells are written as a whole"),
        ({}, {"order": "any"}, "order='any'; expected 'exact'"),
        ({}, {"lr": 0}, "lr=0; expected a finite number > 0"),
    ],
)
def test_what_cannot_be_trained_in_place_is_said(settings, options, text):
    mem = memristive(**settings)
    with pytest.raises(ConfigError, match=text):
        InSitu(mem, **{"rule": "sgd_pulsed", "lr": 0.1, **options})
