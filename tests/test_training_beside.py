"""Training beside the arrays: adapters of frozen weights, and networks that will have aged."""

import math

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, Rehearsal, Stream
from memcore.nn import blocks

D2D = {"name": "d2d", "std": 0.4}


def draws(*shape, name="x"):
    return Stream(11).child(name).normal(shape)


X = draws(64, 12)


class Adapted(nn.Module):
    """y = base(x) + B A x, as `peft` wraps a layer; the base is frozen."""

    def __init__(self, base, rank):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def adapted(**way):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = Adapted(nn.Linear(12, 10), 4)
    config = CrossbarConfig(device="ideal", nonidealities=[D2D, "read_noise"], **way)
    return plain, memcore.convert(plain, config).train()


def fit(model, target, steps=150):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(X) - target).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_an_adapter_corrects_the_frozen_cells_of_one_chip():
    plain, mem = adapted(training="off")
    target = plain(X).detach()
    programmed = mem.base_layer.crossbar.programmed.clone()
    before = (mem(X) - target).square().mean().item()
    assert fit(mem, target) < 0.5 * before
    assert torch.equal(mem.base_layer.crossbar.programmed, programmed)
    assert mem.base_layer.weight.grad is None
    assert (mem.eval()(X) - target).square().mean() < 0.5 * before


def test_frozen_weights_are_rehearsed_anew_at_each_read_if_asked_to():
    """An adapter for all chips: beside frozen weights no step of theirs begins one."""
    _, once = adapted(training={"weight_noise": 0.05})
    _, mem = adapted(training={"anew": "read"})
    for model, count in ((once, 1), (mem, 3)):
        for _ in range(3):
            model(X).sum().backward()
        assert int(model.base_layer.crossbar.cells.rehearsals) == count
        assert model.lora_B.weight.grad is not None
    assert (mem(X) - mem(X)).std() > 0.1 * mem(X).std()


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_images_that_are_read_in_pieces_are_one_read(at_once, monkeypatch):
    """Cells are written once for a batch, and the gradient of all images is that of these cells."""
    monkeypatch.setattr(blocks, "_MOST", at_once)
    noise = [{"name": "c2c", "std": 0.1}]
    config = CrossbarConfig(device="ideal", nonidealities=noise, training={"anew": "read"})
    mem = memcore.convert(nn.Conv2d(2, 3, 3), config).train()
    images = draws(4, 2, 5, 5, name="images").requires_grad_()
    for count in (1, 2):
        images.grad = None
        mem(images).sum().backward()
        assert int(mem.crossbar.cells.rehearsals) == count
        with torch.no_grad():
            found = mem.matrix.weight_of_read(mem.operands()["weight"]).sum(1).view(2, 3, 3)
        torch.testing.assert_close(images.grad[:, :, 2, 2], found.sum((1, 2)).expand(4, -1))


@pytest.mark.parametrize("layers", [(), ("joint_recurrent",)], ids=["apart", "joint"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_all_steps_of_a_sequence_are_one_read(kind, layers):
    """A chip has the same cells at all of them: a new input at the end changes no step before."""
    config = CrossbarConfig(
        device="ideal", nonidealities=[D2D], training={"anew": "read"}, layers=layers
    )
    mem = memcore.convert(kind(12, 10, num_layers=2), config).train()
    x = draws(7, 3, 12, name="sequences")
    for count in (1, 2):
        mem(x)
        written = [int(m.crossbar.cells.rehearsals) for m in mem.matrices.values()]
        assert written == [count] * len(written)
    still = torch.zeros(40, 3, 12)  # the state comes to rest, and stays where it is
    y, _ = mem(still)
    torch.testing.assert_close(y[-1], y[-2], rtol=0, atol=1e-4)


def test_ages_are_drawn_between_the_first_and_the_last_with_a_uniform_logarithm():
    """The outputs of a drift with one exponent tell the age: `(t / t0)^-nu`."""
    config = CrossbarConfig(
        device="ideal",
        nonidealities=[{"name": "drift", "nu": 0.1, "t0": 1.0}],
        training={"seconds": (1e2, 1e6), "anew": "read"},
    )
    plain = nn.Linear(12, 10, bias=False)
    mem = memcore.convert(plain, config).train()
    ages = []
    for _ in range(60):
        scale = (mem(X) * plain(X)).sum() / plain(X).square().sum()
        ages.append(-10 * math.log10(scale.item()))
    assert 2.0 <= min(ages) < 2.5
    assert 5.5 < max(ages) <= 6.0 + 1e-3
    assert sum(ages) / len(ages) == pytest.approx(4.0, abs=0.5)  # sigma is 0.15


def test_a_network_that_was_trained_for_its_age_loses_less_with_it():
    """Exponents that differ from cell to cell are no common factor that could be taken out."""
    drift = {"name": "drift", "nu": {"normal": {"mean": 0.1, "std": 0.05, "min": 0.0}}, "t0": 1.0}
    target = torch.tanh(draws(64, 4, name="y"))
    losses = []
    for training in ({"effects": []}, {"seconds": (1e4, 1e6)}):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            plain = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 4))
        config = CrossbarConfig(device="ideal", nonidealities=[drift], training=training)
        mem = memcore.convert(plain, config).train()
        fit(mem, target, steps=150)
        old = 0.0
        for seed in range(3):
            chip = memcore.convert(memcore.revert_(mem), config, seed=seed).eval()
            memcore.age(chip, seconds=1e5)
            old += (chip(X) - target).square().mean().item()
        losses.append(old)
    assert losses[1] < 0.9 * losses[0], losses


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seconds": (10.0, 1.0)}, "expected one age, or a first and a last one"),
        ({"seconds": (0.0, 1.0)}, "seconds=0.0; expected a finite number > 0"),
        ({"anew": "always"}, "anew='always'; expected one of"),
    ],
)
def test_ages_and_times_that_do_not_fit_are_named(settings, text):
    with pytest.raises(ConfigError, match=text):
        Rehearsal(**settings)


def test_ages_read_back_equal():
    config = CrossbarConfig(device="ideal", training={"seconds": (1.0, 1e6), "anew": "read"})
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config
