"""Training through the hardware: what a network in training mode reads, and what reaches it."""

import copy
import io

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.checkpoint import checkpoint

import memcore
from memcore import ConfigError, CrossbarConfig, LearnedRange, Rehearsal, StaleCellsWarning, Stream
from memcore.nn import blocks
from memcore.ops import quantize
from memcore.ops.surrogate import through_range

#: torch 2.13 trips over its own deprecation when it traces an autograd.Function.
traces = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
stale = pytest.mark.filterwarnings("ignore::memcore.StaleCellsWarning")

D2D = {"name": "d2d", "std": 0.5}
#: One way to read each.
WAYS = {
    "exact": {"nonidealities": [D2D]},
    "exact with DAC": {"nonidealities": [D2D], "dac": "uniform"},
    "tiled": {"nonidealities": [D2D], "dac": "uniform", "adc": "uniform", "tile": (16, 16)},
    "noisy": {"nonidealities": [D2D, "read_noise"], "adc": "uniform", "tile": (16, 16)},
    "mapped bias": {"nonidealities": [D2D], "bias": "mapped"},
    "weight noise": {"training": {"weight_noise": 0.05}},
    "output noise": {"training": {"output_noise": 0.05}},
    "learned range": {"dac": "uniform", "training": {"input_range": {"batches": 2}}},
    "learned output range": {
        "nonidealities": [D2D],
        "adc": {"name": "uniform", "bits": 6},
        "tile": (16, 16),
        "training": {"output_range": {}},
    },
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def draws(*shape, name="x"):
    return Stream(7).child(name).normal(shape)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 4))


def memristive(model=None, seed=0, **way):
    config = CrossbarConfig(**{"device": "ideal", **way})
    learned = config.training is not None and config.training.input_range is not None
    asks = config.adc is not None or (config.dac is not None and not learned)
    return memcore.convert(
        network() if model is None else model,
        config,
        seed=seed,
        calibration=draws(40, 9) if asks else None,
    ).train()


X, TARGET = draws(24, 9, name="inputs"), draws(24, 4, name="targets")


def train(model, steps, optimizer=None, x=X, target=TARGET):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# -- what is read ---------------------------------------------------------------------------------


@ways
def test_training_lowers_the_loss_and_leaves_the_cells_alone(way):
    mem = memristive(**way)
    before = [m.crossbar.programmed.clone() for m in (mem[0].matrix, mem[2].matrix)]
    losses = train(mem, 60)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    for matrix, g in zip((mem[0].matrix, mem[2].matrix), before, strict=True):
        assert torch.equal(matrix.crossbar.programmed, g)


def test_each_step_reads_cells_of_its_own_and_a_step_reads_the_same_ones():
    mem = memristive(nn.Linear(9, 4), nonidealities=[D2D])
    train(mem, 1)
    first, again = mem(X), mem(X)
    assert torch.equal(first, again)
    shift = mem.weight.detach().clone()
    with torch.no_grad():
        mem.weight.add_(1e-6)
    assert (mem(X) - first).abs().max() > 0.01 * first.abs().max()
    with torch.no_grad():
        mem.weight.copy_(shift)


def test_a_step_begins_however_the_weights_are_changed():
    mem = memcore.convert(nn.Linear(8, 4), CrossbarConfig(device="ideal", nonidealities=[D2D]))
    found = [mem.train()(draws(2, 8))]
    changes = [
        lambda: mem.weight.data.mul_(1.1),
        lambda: setattr(mem.weight, "data", 1.1 * mem.weight.data),
        lambda: torch.nn.utils.vector_to_parameters(1.1 * mem.weight.flatten(), [mem.weight]),
    ]
    for change in changes:
        with torch.no_grad():
            change()
        found.append(mem(draws(2, 8)))
    assert len(torch.stack(found).unique(dim=0)) == 1 + len(changes)


def test_before_the_first_step_the_programmed_cells_are_read():
    mem = memristive(nonidealities=[D2D])
    trained = mem(X)
    torch.testing.assert_close(trained, mem.eval()(X))


def test_the_rehearsed_spread_is_the_configured_one():
    mem = memristive(nn.Linear(9, 400, bias=False), nonidealities=[{"name": "d2d", "std": 0.2}])
    with torch.no_grad():
        programmed = mem.effective_weight - mem.weight
        mem.weight.mul_(0.9)
        seen = mem(torch.eye(9)).T - mem.weight
    assert seen.std().item() == pytest.approx(0.9 * programmed.std().item(), rel=0.1)
    assert torch.corrcoef(torch.stack([seen.flatten(), programmed.flatten()]))[0, 1].abs() < 0.1


def test_this_chip_keeps_what_is_for_life():
    """Stuck cells and spread stay, and what a rewrite draws anew is drawn anew."""
    mem = memristive(nn.Linear(9, 40), nonidealities=[D2D], training={"chip": "this"})
    with torch.no_grad():
        mem.weight.mul_(0.9)
        mem.bias.zero_()
        seen = mem(torch.eye(9))
        memcore.program(mem)
        torch.testing.assert_close(mem.eval()(torch.eye(9)), seen)
    drawn = memristive(nn.Linear(9, 40), nonidealities=["c2c"], training={"chip": "this"})
    with torch.no_grad():
        drawn.weight.mul_(0.9)
        before = drawn(X)
        memcore.program(drawn)
        assert not torch.allclose(drawn.eval()(X), before)


def test_effects_are_chosen_by_name():
    way = {"nonidealities": [D2D, "read_noise"], "training": {"effects": []}}
    mem = memristive(**way)
    torch.testing.assert_close(mem(X), network()(X))
    with pytest.raises(ConfigError, match="no effect 'd2dd'; did you mean 'd2d'"):
        CrossbarConfig(device="ideal", nonidealities=[D2D], training={"effects": ["d2dd"]})


def test_a_shared_layer_reads_the_same_cells_at_each_time():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x), self.layer(x)

    mem = memristive(Twice(), nonidealities=[D2D])
    for _ in range(3):
        with torch.no_grad():
            mem.layer.weight.mul_(0.9)
        a, b = mem(draws(3, 4))
        assert torch.equal(a, b)


@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_weight_noise_has_the_share_of_the_largest_weight(per):
    layer = nn.Linear(300, 40, bias=False)
    training = Rehearsal(weight_noise=0.1, weight_noise_per=per)
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", training=training)).train()
    with torch.no_grad():
        noise = mem(torch.eye(300)).T - layer.weight
    size = layer.weight.abs()
    largest = size.amax() if per == "tensor" else size.amax(1, keepdim=True)
    assert (noise / largest).std().item() == pytest.approx(0.1, rel=0.03)
    torch.testing.assert_close(mem.eval()(torch.eye(300)).T, layer.weight, rtol=1e-3, atol=1e-5)


def test_output_noise_has_the_share_of_the_largest_output_and_is_new_at_each_read():
    layer = nn.Linear(40, 300, bias=False)
    training = Rehearsal(output_noise=0.1)
    config = CrossbarConfig(device="ideal", training=training, tile=(20, 64))
    mem = memcore.convert(layer, config).train()
    with torch.no_grad():
        first, second = mem(torch.zeros(40, 40)), mem(torch.zeros(40, 40))
    expected = 0.1 * layer.weight.abs().max().item() / 2**0.5
    assert first.std().item() == pytest.approx(expected, rel=0.05)
    assert not torch.equal(first, second)


def test_cells_can_be_rehearsed_at_an_age():
    drift = {"name": "drift", "nu": 0.1}
    old = memristive(nonidealities=[drift], training={"seconds": 3600.0})
    with torch.no_grad():
        rehearsed = old(X)
        memcore.age(old, seconds=3600.0)
        torch.testing.assert_close(old.eval()(X), rehearsed)


def test_training_can_read_the_programmed_cells_and_says_that_they_are_stale():
    mem = memristive(nonidealities=[D2D], training="off")
    before = mem(X)
    with pytest.warns(StaleCellsWarning, match="parameters of the network have moved"):
        train(mem, 2)
    mem[2].bias.data.copy_(network()[2].bias)
    mem[0].bias.data.copy_(network()[0].bias)
    torch.testing.assert_close(mem(X), before)


# -- evaluation -----------------------------------------------------------------------------------


def test_evaluation_reads_the_programmed_cells_and_warns_once_if_parameters_have_moved():
    mem = memristive(nn.Linear(9, 4, bias=False), nonidealities=[D2D])
    before = mem.eval()(X)
    train(mem.train(), 5)
    mem.eval()
    with pytest.warns(StaleCellsWarning, match=r"expected memcore\.program\(model\)"):
        after = mem(X)
    assert torch.equal(mem(X), after)  # and no second warning
    torch.testing.assert_close(after, before)
    memcore.program(mem)
    assert not torch.allclose(mem(X), before)  # and no warning


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_became_infinite_or_nan_are_others_than_the_cells_hold(value):
    mem = memristive()
    with torch.no_grad():
        mem[0].weight[0, 0] = value
    with pytest.raises(ConfigError, match="infinite or NaN"):
        mem(X)
    with pytest.warns(StaleCellsWarning, match="parameters of the network have moved"):
        mem.eval()(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_weights_that_were_changed_past_the_count_of_torch_are_seen_to_move(dtype):
    """As `merge_adapter` of `peft` adds what adapters have learned, between two evaluations."""
    mem = memcore.convert(network().to(dtype), CrossbarConfig(device="ideal")).eval()
    x = X.to(dtype)
    with torch.no_grad():
        mem(x)
        version = mem[0].weight._version
        mem[0].weight.data += 0.1
        assert mem[0].weight._version == version
        with pytest.warns(StaleCellsWarning, match="expected memcore.program"):
            mem(x)
        memcore.program(mem)
        torch.testing.assert_close(mem(x), memcore.revert_(copy.deepcopy(mem))(x))


def test_a_first_read_that_was_followed_hides_no_change():
    mem = memcore.convert(network(), CrossbarConfig(device="ideal")).eval()
    with torch.no_grad():
        torch.func.vmap(mem)(X)
        mem(X)
        mem[0].weight.data += 0.1
        with pytest.warns(StaleCellsWarning, match="expected memcore.program"):
            mem(X)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_weights_that_are_computed_at_each_pass_are_seen_to_move(mode):
    mem = memristive(nn.utils.parametrizations.weight_norm(nn.Linear(9, 4))).eval()
    with mode():
        before = mem(X)
    with torch.no_grad():
        mem.parametrizations.weight.original0.mul_(1.5)
    with mode(), pytest.warns(StaleCellsWarning):
        after = mem(X)
    torch.testing.assert_close(after, before)
    memcore.program(mem)
    with mode():
        assert not torch.allclose(mem(X), before)  # and no warning


@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_a_saved_chip_remembers_whether_its_parameters_have_moved(bias):
    mem = memristive(nn.Linear(9, 4), bias=bias)
    train(mem, 2)
    other = memristive(nn.Linear(9, 4), bias=bias, seed=3)
    other.load_state_dict(mem.state_dict())
    with pytest.warns(StaleCellsWarning):
        other.eval()(X)
    memcore.program(mem)
    other.load_state_dict(mem.state_dict())
    torch.testing.assert_close(other.eval()(X), mem.eval()(X))


def test_another_precision_or_a_copy_is_no_change_of_parameters():
    mem = memristive(nn.Linear(9, 4)).eval()
    copy.deepcopy(mem)(X)
    mem.bfloat16()(X.bfloat16())
    mem.double()(X.double())


def test_a_copy_says_that_parameters_moved_which_nobody_read_before():
    """The copy of a parameter counts its changes from 0, as the parameter did when it was read."""
    mem = copy.deepcopy(memristive(nn.Linear(9, 4))).eval()
    mem(X)
    with torch.no_grad():
        mem.weight.add_(0.1)
    other = copy.deepcopy(mem)
    with pytest.warns(StaleCellsWarning):
        other(X)


def test_a_state_of_before_says_nothing_and_is_taken_as_it_is():
    mem = memristive(nn.Linear(9, 4)).eval()
    state = {k: v for k, v in mem.state_dict().items() if "origin" not in k}
    state = {k: v for k, v in state.items() if "rehearsals" not in k}
    other = memristive(nn.Linear(9, 4), seed=1).eval()
    other.load_state_dict(state)
    torch.testing.assert_close(other(X), mem(X))
    with torch.no_grad():
        other.weight.add_(0.1)
    with pytest.warns(StaleCellsWarning):
        other(X)


def test_programming_writes_what_was_trained():
    mem = memristive()
    train(mem, 20)
    memcore.program(mem)
    torch.testing.assert_close(mem.eval()(X), memcore.revert_(copy.deepcopy(mem))(X))


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_with_nothing_non_ideal_gradients_are_those_of_the_plain_network(bias):
    plain = network()
    mem = memristive(copy.deepcopy(plain), bias=bias)
    for model in (plain, mem):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        (model(X) - TARGET).square().mean().backward()
    assert mem[0].matrix._rehearsing._source is not None
    for a, b in zip(mem.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@ways
def test_the_gradient_of_an_input_is_that_of_the_rehearsed_weights(way):
    mem = memristive(nn.Linear(9, 4), **way)
    with torch.no_grad():
        mem.weight.mul_(0.9)
    x = (0.1 * draws(6, 9)).requires_grad_()
    upstream = draws(6, 4, name="up")
    mem(x).backward(upstream)
    read = mem.matrix._rehearsing._source.folded[0, :, :9]
    torch.testing.assert_close(x.grad, upstream @ read)
    applied = mem.crossbar.input(x.detach())
    torch.testing.assert_close(mem.weight.grad, upstream.T @ applied)
    torch.testing.assert_close(mem.bias.grad, upstream.sum(0))


def slopes(model, x):
    """Gradients of how steep a network is, which those of a penalty on it are."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    (of_x,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    of_x.square().sum().backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("dac", [None, {"name": "uniform", "bits": 16, "calibration": "max"}])
@pytest.mark.parametrize("kind", ["linear", "conv", "grouped"])
def test_gradients_of_gradients_are_those_of_the_plain_network(kind, dac):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        plain = {
            "linear": nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)),
            "conv": nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 2, padding=1)),
            "grouped": nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Conv2d(4, 2, 1)),
        }[kind].double()
    x = draws(6, 12) if kind == "linear" else draws(3, 2, 6, 6)
    quiet = {"training": {"weight_noise": 1e-12}}  # which is rehearsed from the first pass on
    config = CrossbarConfig(device="ideal", dac=dac, **quiet)
    mem = memcore.convert(plain, config, calibration=dac and 2 * x.double()).train()
    for found, expected in zip(slopes(mem, x.double()), slopes(plain, x.double()), strict=True):
        assert (found - expected).norm() < 1e-3 * expected.norm()


def test_rounding_passes_the_gradient_at_the_bound_and_stops_it_beyond():
    x = torch.tensor([-1.5, -1.0, 0.3, 1.0, 1.5], requires_grad=True)
    quantize.uniform(x, 0.25, -4, 4).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_the_gradient_of_a_range_is_the_closed_form_also_at_the_bound():
    x = torch.tensor([-3.0, -2.0, 0.5, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    peak = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    g = torch.tensor([0.3, -0.4, 0.5, -0.6, 0.7], dtype=torch.float64)
    through_range(x.detach().clamp(-2, 2), x, peak, 0.1).backward(g)
    assert x.grad.tolist() == [0, -0.4, 0.5, -0.6, 0]
    # From above only -0.6 wants a larger range, from below only 0.3; 80 % are clipped, no decay.
    assert peak.grad.item() == pytest.approx(2.0 * (-0.6 - 0.3))


def test_a_range_in_which_all_inputs_lie_shrinks_by_the_decay():
    x = torch.linspace(-1, 1, 9).requires_grad_()
    peak = torch.tensor(4.0, requires_grad=True)
    through_range(x.detach(), x, peak, 0.01).backward(torch.ones(9))
    assert peak.grad.item() == pytest.approx(0.04)


def test_where_the_gradient_wants_larger_inputs_its_range_is_that_of_finite_differences():
    """One clipped input: the loss falls with the range as the rule says, times the range."""
    peak, x = torch.tensor(2.0, dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64)

    def loss(r):
        return (x.clamp(-r, r) - 5).square().sum()

    r = peak.clone().requires_grad_()
    y = through_range(x.clamp(-peak, peak), x, r, 0.0)
    (y - 5).square().sum().backward()
    slope = (loss(peak + 1e-6) - loss(peak - 1e-6)) / 2e-6
    assert r.grad.item() == pytest.approx(peak.item() * slope.item(), rel=1e-6)


# -- keyed draws ----------------------------------------------------------------------------------


@ways
def test_the_same_seed_trains_the_same_network_and_another_one_another(way):
    runs = [memristive(seed=seed, **way) for seed in (0, 0, 1)]
    losses = [train(mem, 4) for mem in runs]
    assert losses[0] == losses[1]
    assert (losses[0] != losses[2]) == ("input_range" not in way.get("training", {}))


@pytest.mark.parametrize("way", ["exact", "tiled", "noisy", "weight noise", "output noise"])
def test_a_batch_in_two_parts_reads_what_the_whole_reads(way):
    whole, parts = memristive(**WAYS[way]), memristive(**WAYS[way])
    for mem in (whole, parts):
        with torch.no_grad():
            for parameter in mem.parameters():
                parameter.mul_(0.9)
    torch.testing.assert_close(torch.cat([parts(X[:10]), parts(X[10:])]), whole(X))


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = memristive(nonidealities=[D2D]), memristive(nonidealities=[D2D])
    for mem in (whole, parts):
        train(mem, 2)
        mem.zero_grad()
    (whole(X) - TARGET).square().sum().backward()
    for x, target in zip(X.split(6), TARGET.split(6), strict=True):
        (parts(x) - target).square().sum().backward()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@ways
@pytest.mark.parametrize("reentrant", [False, True])
def test_activations_that_are_recomputed_come_from_the_same_cells(way, reentrant):
    stored, again = memristive(**way), memristive(**way)
    for mem in (stored, again):
        train(mem, 3)
        mem.zero_grad()
    x = X.clone().requires_grad_()
    (stored(x) - TARGET).square().mean().backward()
    found = checkpoint(again, X.clone().requires_grad_(), use_reentrant=reentrant)
    (found - TARGET).square().mean().backward()
    for a, b in zip(stored.parameters(), again.parameters(), strict=True):
        if a.grad is not None or b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)


@ways
def test_a_resumed_training_goes_on_bit_for_bit(way):
    mem, other = memristive(**way), memristive(**way)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (mem, other)]
    train(mem, 3, optimizers[0])
    file = io.BytesIO()
    torch.save([mem.state_dict(), optimizers[0].state_dict()], file)
    file.seek(0)
    state, of_optimizer = torch.load(file)
    other.load_state_dict(state)
    optimizers[1].load_state_dict(of_optimizer)
    assert train(other, 3, optimizers[1]) == train(mem, 3, optimizers[0])


@ways
def test_a_copy_trains_as_the_original(way):
    mem = memristive(**way)
    train(mem, 3)
    other = copy.deepcopy(mem)
    assert torch.equal(other(X), mem(X))
    assert train(other, 3) == train(mem, 3)


class OfData(torch.optim.Optimizer):
    """Moves parameters behind autograd's back, as old optimisers do."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(parameter.grad, alpha=-0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, lr=0.01, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
        lambda p: torch.optim.RMSprop(p, lr=0.01),
        OfData,
    ],
    ids=["foreach", "fused", "rmsprop", "of data"],
)
def test_every_optimiser_begins_a_step_when_it_moves_the_weights(make):
    mem = memristive(nonidealities=[D2D])
    train(mem, 4, make(list(mem.parameters())))
    assert int(mem[0].crossbar.cells.rehearsals) == 3


def test_clipped_gradients_and_mixed_precision_work():
    mem = memristive(**WAYS["tiled"])
    optimizer = torch.optim.SGD(mem.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu")
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = (mem(X) - TARGET).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(mem.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@traces
@pytest.mark.parametrize("way", [w for w in WAYS if "range" not in w])
def test_a_compiled_step_is_one_graph_with_the_same_result(way):
    torch._dynamo.reset()
    mem = memristive(**WAYS[way])
    other = copy.deepcopy(mem)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    for model, parameters in ((mem, mem), (compiled, other)):
        optimizer = torch.optim.SGD(parameters.parameters(), lr=0.05)
        model.losses = train(model, 4, optimizer)
    assert compiled.losses == pytest.approx(mem.losses, rel=1e-5)
    for a, b in zip(mem.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@traces
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_learned_range_trains_in_a_compiled_network_too():
    torch._dynamo.reset()
    mem = memristive(**WAYS["learned range"])
    other = copy.deepcopy(mem)
    compiled = torch.compile(other, backend="aot_eager")
    losses = train(compiled, 4, torch.optim.SGD(other.parameters(), lr=0.05))
    assert losses == pytest.approx(train(mem, 4), rel=1e-5)


# -- learned ranges -------------------------------------------------------------------------------


def test_a_range_begins_as_the_mean_of_three_standard_deviations():
    mem = memristive(
        nn.Linear(9, 4), dac="uniform", training={"input_range": LearnedRange(batches=3)}
    )
    batches = [scale * X for scale in (1.0, 2.0, 4.0, 50.0)]
    with torch.no_grad():
        for x in batches:
            mem(x)
    expected = sum(3 * x.std(correction=0).item() for x in batches[:3]) / 3
    assert mem.matrix.input_range.peak.item() == pytest.approx(expected)
    assert mem.crossbar.input.range[0].tolist() == pytest.approx([-expected, expected])


def test_no_batch_that_sets_a_range_moves_it_by_its_gradient():
    found = LearnedRange(batches=3, decay=0.5)
    mem = memristive(nn.Linear(9, 4), dac="uniform", training={"input_range": found})
    optimizer, peaks = torch.optim.SGD(mem.parameters(), lr=0.1), []
    for scale in (1.0, 2.0, 4.0, 4.0):
        optimizer.zero_grad()
        mem(scale * X).square().mean().backward()
        optimizer.step()
        peaks.append(mem.matrix.input_range.peak.item())
    sigmas = [3 * scale * X.std(correction=0).item() for scale in (1.0, 2.0, 4.0)]
    assert peaks[:3] == pytest.approx([sum(sigmas[:k]) / k for k in (1, 2, 3)])
    assert peaks[3] != peaks[2]


def test_a_range_that_is_being_found_goes_on_from_a_state_that_is_loaded():
    """Also one of as many batches, which were others."""

    def layer():
        found = LearnedRange(batches=4)
        return memristive(nn.Linear(9, 4), dac="uniform", training={"input_range": found})

    mem, other = layer(), layer()
    with torch.no_grad():
        for one, x in ((mem, X), (mem, 2 * X), (other, 9 * X), (other, 8 * X)):
            one(x)
        other.load_state_dict(mem.state_dict())
        for one in (mem, other):
            one(3 * X)
    peaks = [each.matrix.input_range.peak.item() for each in (mem, other)]
    assert peaks[0] == pytest.approx(peaks[1])
    assert peaks[0] == pytest.approx(2 * 3 * X.std(correction=0).item())


def test_a_range_that_clips_what_matters_grows_and_evaluation_uses_it():
    learned = LearnedRange(start=0.1, batches=0)
    mem = memristive(
        nn.Linear(9, 4), dac={"name": "uniform", "bits": 8}, training={"input_range": learned}
    )
    optimizer = torch.optim.Adam(mem.parameters(), lr=0.02)
    with torch.no_grad():
        target = nn.Linear(9, 4)(X)
    losses = train(mem, 150, optimizer, target=target)
    peak = mem.matrix.input_range.peak.item()
    assert peak > 0.5
    assert losses[-1] < 0.2 * losses[0]
    memcore.program(mem)
    found = (mem.eval()(X) - target).square().mean().item()
    assert found == pytest.approx(losses[-1], rel=0.2)
    assert mem.crossbar.input.range[0, 1].item() == pytest.approx(peak)


@pytest.mark.parametrize("batches", [0, 3])
def test_reads_before_one_backward_pass_have_the_gradients_of_their_own_ranges(batches):
    """As in a loop over time, or in a loss of two passes: the sum of those of each alone."""
    layer = nn.Linear(9, 4)

    def gradients(together):
        learned = LearnedRange(start=0.5, batches=batches)
        mem = memristive(layer, dac="uniform", training={"input_range": learned})
        inputs = [(scale * X).requires_grad_() for scale in (1.0, 2.0)]
        if together:
            sum(mem(x).square().sum() for x in inputs).backward()
        else:
            for x in inputs:
                mem(x).square().sum().backward()
        peak = mem.matrix.input_range.peak.grad
        return [mem.weight.grad, *(x.grad for x in inputs), *([] if peak is None else [peak])]

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layers", [(), ("joint_recurrent",)], ids=["apart", "joint"])
def test_all_steps_of_a_sequence_are_one_batch_of_a_range(layers):
    """Its standard deviation is that of all states, and the decay pulls once."""
    x = draws(6, 5, 9, name="sequences")
    way = {"dac": {"name": "uniform", "bits": 16}, "layers": layers}
    found = LearnedRange(batches=2, start=9.0)
    mem = memristive(nn.LSTM(9, 4), training={"input_range": found}, **way)
    for count in (1, 2, 3):
        y, _ = mem(x)
        ranges = [matrix.input_range for matrix in mem.matrices.values()]
        assert {int(each.batches) for each in ranges} == {min(count, 2)}
    if not layers:
        states = torch.cat([torch.zeros(1, 5, 4), y[:-1]])
        sigmas = [3 * each.std(correction=0).item() for each in (x, states)]
        assert [each.peak.item() for each in ranges] == pytest.approx(sigmas, rel=1e-3)
    found = LearnedRange(batches=0, start=20.0, decay=0.5)
    mem = memristive(nn.LSTM(9, 4), training={"input_range": found}, **way)
    (0 * mem(x)[0]).sum().backward()  # nothing but the decay
    for matrix in mem.matrices.values():
        assert matrix.input_range.peak.grad.item() == pytest.approx(0.5 * 20.0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("training", [{"input_range": {"batches": 5}}, {"anew": "read"}], ids=str)
def test_steps_of_a_sequence_are_one_read_in_compiled_networks_too(training):
    x, way = draws(4, 3, 9, name="sequences"), {"dac": {"name": "uniform", "bits": 8}}
    if "anew" in training:
        way = {"nonidealities": ["d2d"]}
    outputs, begun = [], memristive(nn.LSTM(9, 4), training=training, **way)
    for compiled in (False, True):
        mem = copy.deepcopy(begun)
        run = torch.compile(mem, backend="eager") if compiled else mem
        outputs.append(run(x)[0].detach())
        ranges = [matrix.input_range for matrix in mem.matrices.values()]
        assert all(each is None or int(each.batches) == 1 for each in ranges)
    torch.testing.assert_close(*outputs)


def test_a_range_that_was_lost_between_two_sequences_is_refused():
    """As resharding of parameters may put it back, whatever the number of steps."""
    mem = memristive(
        nn.LSTM(9, 4),
        training={"input_range": LearnedRange(batches=3, start=9.0)},
        dac={"name": "uniform", "bits": 8},
    )
    x = draws(20, 3, 9, name="sequences")
    mem(x)
    with torch.no_grad():
        mem.matrices["weight_hh_l0"].input_range.peak.fill_(9.0)
    with pytest.raises(memcore.MemcoreError, match="range"):
        mem(x)


@pytest.mark.parametrize("which", ["input", "output"])
def test_a_range_does_not_depend_on_how_many_images_are_read_at_once(which, monkeypatch):
    """Nor does what its decay pulls it by."""
    images = draws(4, 2, 6, 6, name="images")
    converters = {"input": {"dac": "uniform"}, "output": {"adc": "uniform"}}[which]
    more = {"batches": 2} if which == "input" else {}
    found = []
    for at_once in (1 << 24, 1):
        monkeypatch.setattr(blocks, "_MOST", at_once)
        ranged = {f"{which}_range": {"decay": 0.5, "start": 1.0, **more}}
        config = CrossbarConfig(device="ideal", training=ranged, **converters)
        typical = None if which == "input" else 9 * images
        mem = memcore.convert(nn.Conv2d(2, 3, 3), config, calibration=typical).train()
        for scale in (1.0, 3.0, 0.1):
            mem.zero_grad()
            (0 * mem(scale * images)).sum().backward()
        range_ = getattr(mem.matrix, f"{which}_range")
        found.append([*(p.item() for p in range_.parameters()), *range_.parameters()])
    (one, grown), (many, also) = found
    assert one == pytest.approx(many)
    assert grown.grad.item() == pytest.approx(also.grad.item())
    assert grown.grad.item() == pytest.approx(0.5 * one)


def test_a_learned_range_wants_a_dac_without_a_range_of_its_own():
    training = {"input_range": {}}
    with pytest.raises(ConfigError, match="there is no DAC"):
        CrossbarConfig(device="ideal", training=training)
    with pytest.raises(ConfigError, match="range of the DAC is fixed"):
        CrossbarConfig(
            device="ideal", dac={"name": "uniform", "full_scale": 1.0}, training=training
        )


def test_calibration_leaves_a_learned_range_alone():
    mem = memristive(
        nn.Linear(9, 4), dac="uniform", adc="uniform", training={"input_range": {"start": 1.5}}
    )
    assert mem.crossbar.input.range[0].tolist() == [-1.5, 1.5]


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "text"),
    [
        ("on", r"training='on'; expected \"rehearsal\", \"off\""),
        ({"weight_nois": 1}, "training has no setting 'weight_nois'; did you mean 'weight_noise'"),
        ({"weight_noise": -1}, r"^training\.weight_noise=-1; expected a finite number >= 0"),
        ({"chip": "all"}, r"^training\.chip='all'; expected one of"),
        ({"input_range": 3}, r"^training\.input_range=3; expected a LearnedRange"),
        (
            {"input_range": {"strt": 3}},
            r"^training\.input_range has no setting 'strt'; did you mean 'start'",
        ),
        ({"input_range": {"start": -1}}, r"^training\.input_range\.start=-1; expected a finite"),
        ({"effects": 3}, r"^training\.effects=3; expected names of effects"),
    ],
)
def test_settings_that_do_not_fit_are_named(training, text):
    with pytest.raises(ConfigError, match=text):
        CrossbarConfig(device="ideal", dac="uniform", training=training)


@pytest.mark.parametrize(
    "training", ["off", {"weight_noise": 0.1, "effects": ["d2d"], "input_range": {"start": 2.0}}]
)
def test_settings_read_back_equal(training):
    config = CrossbarConfig(device="ideal", nonidealities=["d2d"], dac="uniform", training=training)
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config


# -- bounds of weights ----------------------------------------------------------------------------


def test_weights_are_clipped_after_each_step_and_biases_are_not():
    mem = memristive(nn.Sequential(nn.Linear(9, 4), nn.Linear(4, 4)))
    optimizer = torch.optim.SGD(mem.parameters(), lr=5.0)
    optimizer.register_step_post_hook(lambda *_: memcore.clip_weights(mem, largest=0.2))
    train(mem, 3, optimizer)
    assert mem[0].weight.abs().max().item() == pytest.approx(0.2)
    assert mem[0].bias.abs().max() > 0.2


def test_weights_are_clipped_at_standard_deviations_of_their_channel():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    before = layer.weight.detach().clone()
    mem = memristive(layer)
    memcore.clip_weights(mem, sigmas=1.0)
    for old, new in zip(before, mem.weight.detach(), strict=True):
        bound = old.std(correction=0)
        torch.testing.assert_close(new, old.clamp(-bound, bound))
    with pytest.raises(ConfigError, match="expected one of the two"):
        memcore.clip_weights(mem)


def test_weights_of_a_projection_that_a_module_within_the_layer_holds_are_clipped():
    """That of the outputs of attention; the bound is one of all encoders of transformers."""
    mem = memristive(nn.TransformerEncoderLayer(8, 2, 16))
    before = mem.self_attn.out_proj.weight.detach().clone()
    memcore.clip_weights(mem, sigmas=1.0)
    bound = before.std(1, correction=0, keepdim=True)
    expected = before.minimum(bound).maximum(-bound)
    torch.testing.assert_close(mem.self_attn.out_proj.weight.detach(), expected)
    assert not torch.equal(expected, before)


@pytest.mark.parametrize("layer", [nn.Linear(1, 9), nn.ConvTranspose2d(3, 6, 2, groups=3)], ids=str)
def test_an_output_of_one_weight_has_no_outliers(layer):
    """Its standard deviation is 0, which bounds nothing."""
    before = layer.weight.detach().clone()
    mem = memristive(layer)
    memcore.clip_weights(mem, sigmas=2.5)
    assert torch.equal(mem.weight.detach(), before)


# -- recipes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", memcore.recipes.__all__)
def test_a_recipe_trains_a_network(recipe):
    config = getattr(memcore.recipes, recipe)(device="ideal")
    mem = memcore.convert(network(), config).train()
    losses = train(mem, 60)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    memcore.program(mem)
    assert torch.isfinite(mem.eval()(X)).all()


# -- what it is for -------------------------------------------------------------------------------


def digits():
    data = load_digits()
    x = torch.tensor(data.data / 16, dtype=torch.float32)
    y = torch.tensor(data.target)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def fitted(model, x, y, steps=250):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def test_a_network_trained_with_a_spread_of_half_beats_a_plain_one_on_chips_with_it():
    x, y, x_test, y_test = digits()
    config = CrossbarConfig(device="ideal", nonidealities=[D2D])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    plain = fitted(start, x, y)
    aware = fitted(memcore.convert(plain, config).train(), x, y)
    accuracy = {}
    for name, model in (("plain", plain), ("aware", memcore.revert_(aware))):
        chips = [memcore.convert(model, config, seed=seed).eval() for seed in range(1, 9)]
        right = [(chip(x_test).argmax(1) == y_test).float().mean().item() for chip in chips]
        accuracy[name] = sum(right) / len(right)
    assert accuracy["aware"] > accuracy["plain"] + 0.03, accuracy
