"""Weights whose step training finds, and networks that imitate others."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import memcore
from memcore import ConfigError, CrossbarConfig, LearnedStep, ShapeError, Stream, distillation_loss


def draws(*shape, name="x"):
    return Stream(2).child(name).normal(shape)


def stepped(levels, step, weight):
    module = LearnedStep(weight, levels)
    with torch.no_grad():
        module.step.fill_(step)
    v = weight.clone().requires_grad_()
    return module, v, module(v)


def test_weights_are_multiples_of_the_step_up_to_the_last_level():
    weight = torch.tensor([[0.24, -0.26, 0.9, -5.0]])
    _, _, w = stepped(3, 0.5, weight)
    assert w.tolist() == [[0.0, -0.5, 1.0, -1.5]]


def test_the_gradients_are_those_of_the_paper():
    """round(v / s) - v / s inside, the last level beyond, times 1 / sqrt(n q)."""
    weight = torch.tensor([[0.24, -0.26, 0.9, -5.0]])
    module, v, w = stepped(3, 0.5, weight)
    g = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    w.backward(g)
    assert v.grad.tolist() == [[1.0, 2.0, 3.0, 0.0]]
    each = [1 * (0 - 0.48), 2 * (-1 + 0.52), 3 * (2 - 1.8), 4 * -3]
    assert module.step.grad.item() == pytest.approx(sum(each) / (4 * 3) ** 0.5)


def test_a_step_that_an_optimiser_made_negative_grows_again():
    weight = draws(20, 10)
    module = LearnedStep(weight, 7)
    start = module.step.item()
    with torch.no_grad():
        module.step.fill_(-0.1 * start)
    assert module(weight).abs().max().item() == pytest.approx(7e-3 * start, rel=1e-4)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        (module(weight) - weight).square().sum().backward()
        optimizer.step()
    assert module.step.item() > 0.5 * start


def test_a_bound_alone_rounds_nothing_and_moves_with_what_is_beyond_it():
    weight = torch.tensor([[0.2, -0.7, 0.9, 0.5]])
    module, v, w = stepped(None, 0.5, weight)
    torch.testing.assert_close(w, torch.tensor([[0.2, -0.5, 0.5, 0.5]]))
    w.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert v.grad.tolist() == [[1.0, 0.0, 0.0, 4.0]]
    assert module.step.grad.item() == pytest.approx((3.0 - 2.0) / 4**0.5)


def test_a_step_begins_as_in_the_paper_and_a_bound_at_three_standard_deviations():
    weight = draws(50, 40)
    step = LearnedStep(weight, 7).step.item()
    assert step == pytest.approx(2 * weight.abs().mean().item() / 7**0.5)
    assert LearnedStep(weight).step.item() == pytest.approx(3 * weight.std().item(), rel=1e-3)
    assert LearnedStep(torch.zeros(2, 2)).step.item() == 1.0


@pytest.mark.parametrize("levels", [None, 3])
def test_a_converted_network_trains_its_steps_and_holds_rounded_weights(levels):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(12, 8)
    parametrize.register_parametrization(layer, "weight", LearnedStep(layer.weight, levels))
    noisy = CrossbarConfig(device="ideal", nonidealities=[{"name": "d2d", "std": 0.05}])
    mem = memcore.convert(layer, noisy).train()
    (before,) = (p.clone() for n, p in mem.named_parameters() if n.endswith(".step"))
    optimizer = torch.optim.Adam(mem.parameters(), lr=0.02)
    x, y = draws(64, 12), draws(64, 8, name="y")
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (mem(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    (after,) = (p for n, p in mem.named_parameters() if n.endswith(".step"))
    assert not torch.equal(after, before)
    memcore.program(mem)
    ideal = memcore.convert(memcore.revert_(mem), CrossbarConfig(device="ideal")).eval()
    if levels is not None:
        found = (ideal.effective_weight / after.detach()).detach()
        torch.testing.assert_close(found, found.round(), rtol=0, atol=1e-3)
        assert found.abs().max() <= levels + 1e-3


def test_the_divergence_is_that_of_the_definition_and_reaches_the_student_only():
    ours, theirs = draws(5, 4).requires_grad_(), draws(5, 4, name="t").requires_grad_()
    loss = distillation_loss(ours, theirs, temperature=2.0)
    p, q = (theirs / 2).softmax(1), (ours / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    torch.testing.assert_close(ours.grad, 2 * (q - p).detach() / 5)
    assert theirs.grad is None


def test_a_share_of_the_divergence_leaves_the_rest_to_the_labels():
    ours, theirs, labels = draws(2, 3, 4), draws(2, 3, 4, name="t"), torch.ones(2, 3).long()
    whole, truth = (distillation_loss(ours, theirs, targets=labels, share=s) for s in (1.0, 0.0))
    torch.testing.assert_close(truth, nn.functional.cross_entropy(ours.view(6, 4), labels.view(6)))
    half = distillation_loss(ours, theirs, targets=labels, share=0.5)
    torch.testing.assert_close(half, (whole + truth) / 2)


def test_what_does_not_fit_is_named():
    with pytest.raises(ShapeError, match="the same for both"):
        distillation_loss(draws(2, 3), draws(2, 4))
    with pytest.raises(ConfigError, match=r"share=0\.5 without targets"):
        distillation_loss(draws(2, 3), draws(2, 3), share=0.5)
    with pytest.raises(ConfigError, match=r"outputs is a list; expected a tensor \[\.\.\., cl"):
        distillation_loss([1.0, 2.0], draws(2))
    for targets in ([0, 1], torch.zeros(3).long(), torch.zeros(2)):
        with pytest.raises(ConfigError, match=r"expected labels as an int64 tensor of shape \(2"):
            distillation_loss(draws(2, 3), draws(2, 3), share=0.5, targets=targets)
    with pytest.raises(ConfigError, match="levels=0"):
        LearnedStep(draws(2, 3), levels=0)
