"""Weights that are computed from parameters, tied, or lazy."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import memcore
from memcore import CrossbarConfig, Stream
from memcore.nn import Conv, Linear, MultiheadAttention, Recurrent

IDEAL = CrossbarConfig(device="ideal")
NOISY = CrossbarConfig(device="ideal", nonidealities=["read_noise"], tile=(4, 4))
X = Stream(5).normal((4, 6))


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


class LowRank(nn.Module):
    """W + B A, as an adapter that is part of the weight."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.a = nn.Parameter(torch.full((1, inputs), 0.3))
        self.b = nn.Parameter(torch.full((outputs, 1), 0.2))

    def forward(self, weight):
        return weight + self.b @ self.a


def old(function, **options):
    def wrapped(layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return function(layer, **options)

    return wrapped


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", 0.5)


def parametrized(make):
    def wrapped(layer):
        parametrize.register_parametrization(layer, "weight", make(layer))
        return layer

    return wrapped


COMPUTED = {
    "parametrize": parametrized(lambda layer: Doubled()),
    "low rank": parametrized(lambda layer: LowRank(*layer.weight.flatten(1).shape)),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old weight norm": old(nn.utils.weight_norm),
    "old spectral norm": old(nn.utils.spectral_norm, n_power_iterations=50),
    "pruned": pruned,
}
ways = pytest.mark.parametrize("compute", COMPUTED.values(), ids=COMPUTED)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def network(compute):
    model = seeded(lambda: nn.Sequential(compute(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3)))
    model.train()(X)  # what iterates in training has converged before it is written
    return model.eval()


def gradients(model, x=X):
    model.zero_grad()
    model(x).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@ways
@pytest.mark.parametrize(
    "config", [IDEAL, IDEAL.replace(tile=(3, 3), bias="mapped")], ids=["whole", "tiles"]
)
def test_what_is_computed_is_what_is_written(compute, config):
    model = network(compute)
    mem = memcore.convert(model, config)
    assert isinstance(mem[0], Linear)
    expected = model(X)
    torch.testing.assert_close(mem(X), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(mem[0].effective_weight, model[0].weight, rtol=0, atol=1e-5)


@ways
@pytest.mark.parametrize("training", [False, True])
def test_gradients_reach_the_parameters(compute, training):
    model = network(compute)
    mem = memcore.convert(model, IDEAL)
    expected, found = gradients(model.train(training)), gradients(mem.train(training))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4)


@ways
def test_training_and_writing_again_follow_the_digital_network(compute):
    model = network(compute)
    mem = memcore.convert(model, IDEAL)
    for each in (model, mem):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.05)
        each(X).square().sum().backward()
        optimizer.step()
    memcore.program(mem)
    torch.testing.assert_close(mem(X), model(X), rtol=0, atol=1e-4)
    assert memcore.check_ideal(mem, X).stale == ()


@ways
def test_going_back_restores_module_and_parameters(compute):
    model = network(compute)
    names, layer, expected = list(dict(model.named_parameters())), model[0], model(X)
    memcore.revert_(memcore.convert_(model, IDEAL))
    assert model[0] is layer
    assert list(dict(model.named_parameters())) == names
    torch.testing.assert_close(model(X), expected)


@ways
def test_copies_and_states_are_of_the_same_chip(compute):
    chip, other = (memcore.convert(network(compute), NOISY, seed=seed) for seed in (0, 1))
    expected = chip(X)
    chip[0].crossbar.reads.zero_()
    chip[2].crossbar.reads.zero_()
    state = {name: value.clone() for name, value in chip.state_dict().items()}
    if type(chip[0].weight) is nn.Parameter or parametrize.is_parametrized(chip[0]):
        torch.testing.assert_close(copy.deepcopy(chip)(X), expected)  # torch cannot copy the others
    other.load_state_dict(state)
    torch.testing.assert_close(other(X), expected)


@ways
def test_a_diagnosis_takes_the_layer_apart_and_together_again(compute):
    mem = memcore.convert(network(compute), NOISY)
    targets = network(compute)(X).detach()
    budget = memcore.diagnose(mem, [(X, targets)], lambda y, t: -float((y - t).square().mean()))
    assert [effect.name for effect in budget.effects] == ["read_noise"]


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("compute", [COMPUTED["parametrize"], COMPUTED["weight norm"]])
def test_a_computed_weight_compiles_into_one_graph(compute):
    mem = memcore.convert(network(compute), IDEAL)
    torch.compiler.reset()
    compiled = torch.compile(mem, fullgraph=True, backend="eager")
    assert torch.equal(compiled(X), mem(X))


def test_converting_in_training_leaves_a_spectral_norm_where_it_is():
    model = parametrizations.spectral_norm(nn.Linear(6, 5)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mem = memcore.convert(model, IDEAL)
    memcore.program(mem)
    assert mem.training
    after = mem.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_convolutions_and_attention_are_computed_too():
    conv = seeded(lambda: parametrizations.weight_norm(nn.Conv2d(2, 3, 3)))
    x = Stream(5).normal((2, 2, 5, 5))
    mem = memcore.convert(conv, IDEAL)
    assert isinstance(mem, Conv)
    torch.testing.assert_close(mem(x), conv(x), rtol=0, atol=1e-5)

    attention = seeded(lambda: nn.MultiheadAttention(6, 2))
    parametrize.register_parametrization(attention, "in_proj_weight", Doubled())
    parametrize.register_parametrization(attention.out_proj, "weight", Doubled())
    mem = memcore.convert(attention, IDEAL)
    assert isinstance(mem, MultiheadAttention)
    torch.testing.assert_close(mem(X, X, X)[0], attention(X, X, X)[0], rtol=0, atol=1e-5)
    mem(X, X, X)[0].sum().backward()
    assert attention.out_proj.parametrizations.weight.original.grad is None
    assert mem.out_proj.parametrizations.weight.original.grad is not None


@pytest.mark.parametrize("dac", [None, {"name": "uniform", "bits": 14}])
def test_recurrent_layers_are_computed_too(dac):
    lstm = seeded(lambda: parametrizations.weight_norm(nn.LSTM(6, 5), "weight_hh_l0"))
    model = nn.ModuleDict({"lstm": lstm})
    mem = memcore.convert(model, IDEAL.replace(dac=dac))
    assert isinstance(mem.lstm, Recurrent)
    if dac:
        memcore.calibrate(mem, X, forward=lambda model, x: model.lstm(x))
    found, expected = mem.lstm(X)[0], lstm(X)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 if dac else 1e-5)
    found.sum().backward()
    assert mem.lstm.parametrizations.weight_hh_l0.original1.grad is not None
    assert type(memcore.revert_(mem).lstm) is type(lstm)
    torch.testing.assert_close(mem.lstm(X)[0], expected)


def test_a_layer_may_be_parametrized_and_freed_on_the_chip():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5)))
    plain, layer = model(X), model[0]
    memcore.convert_(model, IDEAL)
    parametrize.register_parametrization(model[0], "weight", Doubled())
    memcore.program(model)
    expected = 2 * plain - layer.bias
    torch.testing.assert_close(model(X), expected, rtol=0, atol=1e-5)
    memcore.revert_(model)
    assert model[0] is layer
    torch.testing.assert_close(model(X), expected, rtol=0, atol=1e-5)
    memcore.convert_(model, IDEAL)
    parametrize.remove_parametrizations(model[0], "weight")
    memcore.revert_(model)
    assert not parametrize.is_parametrized(model[0])
    torch.testing.assert_close(model(X), expected, rtol=0, atol=1e-5)


def test_a_weight_that_is_a_buffer_stays_digital_and_says_so():
    layer = nn.Linear(6, 6)
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)
    mem = memcore.convert(nn.Sequential(nn.Linear(6, 6), layer), IDEAL)
    [(name, reason)] = memcore.summary(mem).digital
    assert name == "1"
    assert "its weight is no parameter" in reason


# -- lazy layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [memcore.convert, memcore.convert_])
def test_lazy_layers_are_refused_with_what_to_do(convert):
    model = nn.Sequential(nn.Linear(6, 5), nn.LazyLinear(3))
    text = r"1 is a LazyLinear that has no shapes yet.*call model\(inputs\) once, then convert"
    with pytest.raises(memcore.ConversionError, match=text):
        convert(model, IDEAL)
    assert type(model[0]) is nn.Linear  # nothing is half converted
    model(X)
    torch.testing.assert_close(memcore.convert(model, IDEAL)(X), model(X), rtol=0, atol=1e-5)


def test_a_lazy_layer_that_is_left_out_may_stay_lazy():
    model = nn.Sequential(nn.Linear(6, 5), nn.LazyLinear(3))
    mem = memcore.convert(model, IDEAL, filter_fn=lambda m, name: name == "0")
    assert memcore.summary(mem).share == 1.0
    assert mem(X).shape == (4, 3)


# -- tied weights ----------------------------------------------------------------------------------


class Language(nn.Module):
    """Its embedding and its head are one weight."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.body(self.embedding(tokens)).tanh())


TOKENS = torch.tensor([[0, 3, 6], [1, 1, 5]])


def test_a_head_stays_tied_to_its_embedding():
    model = seeded(Language)
    mem = memcore.convert(model, IDEAL)
    assert mem.head.weight is mem.embedding.weight
    torch.testing.assert_close(mem(TOKENS), model(TOKENS), rtol=0, atol=1e-5)
    found, expected = gradients(mem, TOKENS), gradients(model, TOKENS)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4)
    memcore.revert_(mem)
    assert mem.head.weight is mem.embedding.weight


def test_a_summary_names_what_is_tied_and_counts_it_once():
    found = memcore.summary(memcore.convert(seeded(Language), IDEAL))
    assert found.tied == (("embedding", "head"),)
    assert found.weights == (42 + 36, 42 + 36)
    assert "one weight, written into the arrays of each:\n  embedding, head" in str(found)
    assert [name for name, _ in found.digital] == ["embedding"]


def test_layers_of_one_weight_have_arrays_of_their_own_and_one_gradient():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)))
    model[2].weight = model[0].weight
    mem = memcore.convert(model, NOISY)
    assert mem[0].crossbar is not mem[2].crossbar
    assert mem[0].weight is mem[2].weight
    mem = memcore.convert(model, IDEAL)
    torch.testing.assert_close(
        gradients(mem)["0.weight"], gradients(model)["0.weight"], rtol=1e-3, atol=1e-4
    )
    assert memcore.summary(mem).tied == (("0", "2"),)


def test_a_module_that_is_used_twice_is_one_set_of_arrays_and_not_named_as_tied():
    layer = seeded(lambda: nn.Linear(6, 6))
    mem = memcore.convert(nn.Sequential(layer, nn.Tanh(), layer), NOISY)
    assert mem[0] is mem[2]
    assert memcore.summary(mem).tied == ()
