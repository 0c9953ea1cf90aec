"""Training in place in loops as people write them: frozen layers, precisions, restored states."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

import memcore
from memcore import ConfigError, CrossbarConfig, NoEffectWarning, Stream
from memcore.optim import InSitu

#: Noisy pulses that move a cell less, the nearer it is to the end it goes to.
SOFT = {"name": "soft_bounds", "dw_min": 0.005, "c2c": 0.3}
RULES = (
    *("sgd_pulsed", "sgd_counts", "mixed_precision", "one_sided"),
    *("tiki_taka", "tiki_taka2", "chopped", "agad", "residual"),
)
pytestmark = pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")
X = Stream(21).child("inputs").normal((16, 6))


def network(dtype=torch.float32, first=None, **more):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).to(dtype)
    if first is not None:
        model[0] = first(model[0])
    settings = {"device": SOFT, "mapper": "differential", "programmer": "direct", **more}
    return memcore.convert(model, CrossbarConfig(**settings))


def train(model, optimizer, steps=3):
    x = X.to(model[0].weight.dtype)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()


def weights(model):
    return [model[k].effective_weight.detach().clone() for k in (0, 2)]


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_weights_take_no_pulses(frozen):
    mem = network()
    mem[frozen].requires_grad_(False)
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    before = weights(mem)
    train(mem, optimizer)
    still = [torch.equal(a, b) for a, b in zip(before, weights(mem), strict=True)]
    assert still == [frozen == 0, frozen == 2]
    mem[frozen].requires_grad_(True)  # and does again what it did before
    train(mem, optimizer)
    assert not torch.equal(before[frozen // 2], weights(mem)[frozen // 2])


def test_what_is_digital_and_frozen_is_trained_once_it_is_thawed():
    mem = network()
    mem[0].bias.requires_grad_(False)
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    before = mem[0].bias.detach().clone()
    train(mem, optimizer)
    assert torch.equal(before, mem[0].bias)
    mem[0].bias.requires_grad_(True)
    train(mem, optimizer)
    assert not torch.equal(before, mem[0].bias)


@pytest.mark.parametrize("settings", [{}, {"bias": "mapped"}, {"tile": (4, 4)}])
def test_gradients_of_gradients_pulse_as_they_would_move_weights(settings):
    """A penalty on the slope of a network, against gradient descent of the plain one."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    config = CrossbarConfig(
        device={"name": "constant_step", "dw_min": 1e-5}, mapper="differential", **settings
    )
    mem = memcore.convert(plain, config)
    optimizer = InSitu(mem, rule={"name": "sgd_counts", "counts": "exact"}, lr=0.5)
    with torch.no_grad():
        for wanted, given in zip(plain.parameters(), mem.parameters(), strict=True):
            wanted.copy_(given)
    points = torch.randn(16, 6)
    for model in (plain, mem):
        x = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        (slope.square().sum() / 1000).backward()
    optimizer.step()
    step = max(each.granularity for each in optimizer.report().matrices)
    for wanted, found in zip(plain.parameters(), mem.parameters(), strict=True):
        moved = 0 if wanted.grad is None else 0.5 * wanted.grad
        torch.testing.assert_close(found, wanted - moved, rtol=0, atol=1.5 * step)
    assert 0.5 * float(plain[0].weight.grad.abs().max()) > 50 * step


@pytest.mark.parametrize("end", ["another", "released"])
def test_an_optimiser_that_hears_of_no_passes_says_so(end):
    mem = network()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    train(mem, optimizer)
    if end == "another":
        train(mem, InSitu(mem, rule="sgd_pulsed", lr=0.2))
    else:
        optimizer.release()
    (mem(X) - 1).square().mean().backward()
    with pytest.raises(ConfigError, match="not told to this InSitu"):
        optimizer.step()


def test_gradients_of_before_do_not_stay_where_none_come_from_now_on():
    mem = network()
    (mem(X) - 1).square().mean().backward()
    InSitu(mem, rule="sgd_pulsed", lr=0.2)
    assert [name for name, p in mem.named_parameters() if p.grad is not None] == [
        "0.bias",
        "2.bias",
    ]


def test_gradients_of_inputs_alone_pulse_nothing():
    """Inputs that are made worse for the network, and learned then, as in adversarial training."""
    mem, other = network(), network()
    first, second = (InSitu(m, rule="sgd_pulsed", lr=0.2) for m in (mem, other))
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad((mem(x) - 1).square().mean(), x)
    for model, optimizer in ((mem, first), (other, second)):
        (model(X + 0.1 * slope.sign()) - 1).square().mean().backward()
        optimizer.step()
    assert first.report() == second.report()
    assert all(torch.equal(*pair) for pair in zip(weights(mem), weights(other), strict=True))


@pytest.mark.parametrize("rule", RULES)
def test_a_network_in_double_precision_trains_as_one_in_single_precision(rule):
    single, double = network(), network(torch.float64)
    start = weights(single)
    for mem in (single, double):
        train(mem, InSitu(mem, rule=rule, lr=0.2))
    for old, one, other in zip(start, weights(single), weights(double), strict=True):
        assert other.dtype is torch.float64
        error = (one - other).abs().mean()
        assert error < 0.3 * (one - old).abs().mean() + 1e-6, error


@pytest.mark.parametrize("rule", RULES)
def test_a_network_in_bfloat16_trains_and_is_told_which_pulses_it_loses(rule):
    mem = network(torch.bfloat16)
    before = weights(mem)
    with pytest.warns(NoEffectWarning, match=r"30 % of single pulses.*bfloat16.*float32"):
        optimizer = InSitu(mem, rule=rule, lr=0.5)
    train(mem, optimizer, 10)
    assert any(not torch.equal(*pair) for pair in zip(before, weights(mem), strict=True))


def test_steps_that_bfloat16_keeps_are_trained_without_a_word():
    InSitu(network(torch.bfloat16, device={"name": "linear_step", "dw_min": 0.05}), lr=0.5)


@pytest.mark.parametrize("more", [{}, {"nonidealities": [{"name": "stuck_at", "p_lrs": 0.1}]}])
def test_cells_that_were_loaded_without_their_states_are_not_pulsed_away(more):
    """The best network so far comes back, and the next step would forget it again."""
    mem = network(**more)
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    train(mem, optimizer)
    best, of_best = copy.deepcopy([mem.state_dict(), optimizer.state_dict()])
    expected = weights(mem)
    train(mem, optimizer)
    mem.load_state_dict(best)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"of 0 were loaded.*optimizer\.load_state_dict"):
            train(mem, optimizer, 1)
        assert all(torch.equal(*pair) for pair in zip(expected, weights(mem), strict=True))
    optimizer.load_state_dict(of_best)
    train(mem, optimizer, 1)


def test_a_state_may_be_loaded_in_any_order_and_more_than_once():
    mem, other = network(), network()
    first, second = (InSitu(m, rule="tiki_taka", lr=0.2) for m in (mem, other))
    train(mem, first)
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        other.load_state_dict(mem.state_dict())
    for each in ((mem, first), (other, second)):
        train(*each)
    assert all(torch.equal(*pair) for pair in zip(weights(mem), weights(other), strict=True))


def test_cells_that_were_written_in_the_middle_of_a_training_are_told():
    mem = network()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    train(mem, optimizer)
    memcore.program(mem)
    with pytest.raises(ConfigError, match="of 0 were loaded or written since the last step"):
        train(mem, optimizer)
    train(mem, InSitu(mem, rule="sgd_pulsed", lr=0.2))


def test_a_network_that_was_moved_after_its_optimiser_was_made_is_told():
    mem = network()
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.2)
    mem.double()
    with pytest.raises(ConfigError, match=r"of 0 became torch\.float64.*after the network was"):
        train(mem, optimizer)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (parametrizations.weight_norm, {}),
        (lambda _: nn.LSTMCell(6, 5), {"layers": ["joint_recurrent_cell"]}),
    ],
)
def test_weights_that_are_computed_cannot_follow_pulses(first, more):
    mem = network(first=first, **more)
    with pytest.raises(ConfigError, match=r"of 0\S* are computed from parameters.*arrays of their"):
        InSitu(mem, lr=0.1)


@pytest.mark.parametrize("keep", [copy.deepcopy, lambda o: pickle.dump(o, io.BytesIO())])
def test_an_optimiser_is_no_copy_of_another_one(keep):
    optimizer = InSitu(network(), lr=0.1)
    with pytest.raises(ConfigError, match="expected a copy of the network, a new InSitu of that"):
        keep(optimizer)


def test_losses_that_are_scaled_are_refused():
    mem = network()
    optimizer, scaler = InSitu(mem, lr=0.1), torch.amp.GradScaler("cpu")
    scaler.scale(mem(X).sum()).backward()
    with pytest.raises(ConfigError, match="GradScaler came; expected losses that are not scaled"):
        scaler.step(optimizer)


def test_pulses_are_asked_for_by_no_transform():
    mem = network()
    InSitu(mem, lr=0.1)

    def loss(parameters):
        return functional_call(mem, parameters, (X,)).sum()

    with pytest.raises(ConfigError, match=r"pulse cells in place.*transform of torch\.func"):
        torch.func.grad(loss)(dict(mem.named_parameters()))


@pytest.mark.parametrize("rule", RULES)
def test_outputs_with_gains_of_their_own_learn_at_the_rate_that_was_asked_for(rule):
    """Weights and errors of an output that are c times as large take the same pulses."""
    c = torch.tensor([1.0, 0.5, 2.0, 0.5])
    draw = Stream(22).child
    plain, errors = nn.Linear(6, 4, bias=False), draw("errors").normal((16, 4))
    first = draw("weights").normal((4, 6))
    found = []
    for factor in (torch.ones(4), c):
        with torch.no_grad():
            plain.weight.copy_((first / first.abs().amax(1, keepdim=True)) * factor.unsqueeze(1))
        mapper = {"name": "differential", "scale": "column"}
        mem = memcore.convert(
            plain, CrossbarConfig(device=SOFT, mapper=mapper, programmer="direct")
        )
        optimizer = InSitu(mem, rule=rule, lr=0.05)
        before = mem.weight.detach().clone()
        for _ in range(8):
            optimizer.zero_grad()
            (mem(X) * errors * factor).sum().backward()
            optimizer.step()
        assert not torch.equal(mem.weight, before)
        found.append(mem.weight.detach() / factor.unsqueeze(1))
    torch.testing.assert_close(*found)


def test_tiles_with_gains_of_their_own_are_refused():
    mapper = {"name": "differential", "scale": "tile"}
    with pytest.raises(ConfigError, match=r"of 0 have gains of their own.*one gain for all inputs"):
        InSitu(network(mapper=mapper, tile=(3, 3)), lr=0.1)


def test_a_factor_against_drift_belongs_to_what_a_pulse_changes():
    mem = network(nonidealities=[{"name": "drift", "nu": 0.05}])
    fresh = memcore.optim.granularity(mem)
    memcore.age(mem, seconds=1e4)
    memcore.compensate(mem)
    optimizer = InSitu(mem, lr=0.1, headroom=1.0)
    for record in optimizer.report().matrices:
        factor = mem.get_submodule(record.name).crossbar.cells.correction.item()
        assert factor > 1.2
        assert record.granularity == pytest.approx(factor * fresh[record.name])


def test_a_rehearsal_that_nobody_makes_is_told():
    """A learned range of the DAC would stay where it began for the whole training."""
    mem = network(dac="uniform", training={"input_range": {}, "output_noise": 0.1})
    with pytest.warns(memcore.NoEffectWarning, match="input_range, output_noise of the setting"):
        InSitu(mem, lr=0.1)
