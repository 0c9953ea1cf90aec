"""Loops that are not ours: schedulers, accumulation, closures, and one like those of libraries."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream

X, Y = Stream(1).child("x").normal((32, 9)), Stream(1).child("y").normal((32, 4))
WAY = {"nonidealities": [{"name": "d2d", "std": 0.2}]}


def network(**way):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 4))
    return memcore.convert(plain, CrossbarConfig(device="ideal", **WAY, **way)).train()


def loss_of(model, x=X, y=Y):
    return (model(x) - y).square().mean()


def steps(model):
    return int(model[0].crossbar.cells.rehearsals)


def test_a_scheduler_that_starts_at_zero_and_one_that_ends_there_train():
    mem = network()
    optimizer = torch.optim.AdamW(mem.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(k, 20 - k) / 10)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = loss_of(mem)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_an_optimiser_with_a_closure_reads_new_cells_for_each_trial_it_makes():
    mem = network()
    optimizer = torch.optim.LBFGS(mem.parameters(), lr=0.1, max_iter=4)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(mem)
        loss.backward()
        seen.append(steps(mem))
        return loss

    optimizer.step(closure)
    assert seen == list(range(len(seen)))
    assert len(seen) > 2


class Trainer:
    """The loop that libraries have: it knows of a model that returns its loss, and of nothing else.

    Batches are keyword arguments, gradients are accumulated and clipped, forward passes run in
    bfloat16, the best state is kept, and callbacks are told when an epoch ends.
    """

    def __init__(self, model: nn.Module, on_epoch_end: Callable[[nn.Module], object]) -> None:
        self.model = model
        self.on_epoch_end = on_epoch_end
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
        self.best, self.losses = float("inf"), []
        self.state = copy.deepcopy(model.state_dict())

    def train(self, batches, epochs):
        for _ in range(epochs):
            self.model.train()
            for number, batch in enumerate(batches, 1):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = self.model(**batch)["loss"]
                (loss / 2).backward()
                if number % 2 == 0:
                    nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
            self.on_epoch_end(self.model)
            self.losses.append(self.evaluate(batches))
            if self.losses[-1] < self.best:
                self.best, self.state = self.losses[-1], copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(self.state)

    @torch.no_grad()
    def evaluate(self, batches):
        self.model.eval()
        return sum(float(self.model(**batch)["loss"]) for batch in batches) / len(batches)


class WithLoss(nn.Module):
    """A model as such loops want it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs, labels):
        return {"loss": (self.body(inputs).float() - labels).square().mean()}


def test_a_loop_of_a_library_trains_evaluates_and_restores_a_converted_model():
    model = WithLoss(network())
    trainer = Trainer(model, on_epoch_end=memcore.program)
    halves = zip(X.split(8), Y.split(8), strict=True)
    batches = [{"inputs": x, "labels": y} for x, y in halves]
    before = trainer.evaluate(batches)
    trainer.train(batches, 8)
    assert steps(model.body) == 8  # of two steps an epoch, the first reads what was programmed
    assert trainer.best < 0.9 * before
    assert trainer.evaluate(batches) == pytest.approx(trainer.best)


def test_a_training_that_was_saved_within_a_step_goes_on_with_its_cells():
    """Gradients of one step are those of one chip, whoever saved between two batches of them."""
    mem, other = network(), network()
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.02) for m in (mem, other)]
    for half in (slice(0, 16), slice(16, 32)):
        loss_of(mem, X[half], Y[half]).backward()
    optimizers[0].step()
    optimizers[0].zero_grad()
    loss_of(mem, X[:16], Y[:16]).backward()
    other.load_state_dict(copy.deepcopy(mem.state_dict()))
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for to, of in zip(other.parameters(), mem.parameters(), strict=True):
        to.grad = of.grad.clone()
    for model, optimizer in zip((mem, other), optimizers, strict=True):
        loss_of(model, X[16:], Y[16:]).backward()
        optimizer.step()
        loss_of(model).backward()
        optimizer.step()
    assert steps(other) == steps(mem)
    for one, another in zip(mem.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, another)


def test_frozen_weights_are_on_the_same_cells_when_their_training_goes_on():
    """An adapter beside them has learned what these cells lack."""
    rehearsal = {"weight_noise": 0.1}
    mem, other = network(training=rehearsal), network(training=rehearsal)
    before = mem.requires_grad_(False)(X)
    other.load_state_dict(mem.state_dict())
    assert torch.equal(other.requires_grad_(False)(X), before)
    memcore.program(other)  # which begins another step, as it always has
    assert not torch.equal(other(X), before)


def test_an_average_of_a_network_is_written_into_its_own_cells():
    mem = network(dac="uniform")
    memcore.calibrate(mem, X)
    average = torch.optim.swa_utils.AveragedModel(mem)
    optimizer, seen = torch.optim.SGD(mem.parameters(), lr=0.2), []
    for _ in range(4):
        optimizer.zero_grad()
        loss_of(mem).backward()
        optimizer.step()
        average.update_parameters(mem)
        seen.append(mem[0].weight.detach().clone())
    memcore.program(average.module)
    held = average.module[0].crossbar.cells
    torch.testing.assert_close(average.module[0].weight.detach(), torch.stack(seen).mean(0))
    assert int(held.writes) == 1
    assert int(mem[0].crossbar.cells.writes) == 0
    average.eval()(X)  # and says nothing of cells that are out of date
