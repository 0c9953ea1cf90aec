"""The chip in hand: what a diagnosis, a summary, a loader and a cast make of it."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import memcore
from memcore import CrossbarConfig, Stream

NOISE = CrossbarConfig(device="vteam", nonidealities=[{"name": "read_noise", "relative": 0.3}])
BITS = CrossbarConfig(device="vteam", dac="uniform", adc="uniform")
X = Stream(7).normal((400, 16))
traces = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def mlp(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def off(one, other):
    return float((one - other).detach().abs().max() / other.detach().abs().max())


def accuracy(model, x, y):
    return float((model(x).argmax(1) == y).double().mean())


# -- loaders and batches ---------------------------------------------------------------------------


def test_a_loader_may_shuffle():
    model = seeded(lambda: nn.Linear(16, 4))
    y = model(X).argmax(1)
    loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)
    found = memcore.diagnose(memcore.convert(model, NOISE), loader)
    assert found.digital == 1
    assert 0.6 < found.actual < 1


def test_a_loader_may_be_read_once_only():
    model = seeded(lambda: nn.Linear(16, 4))
    chip = memcore.convert(model, BITS)
    memcore.calibrate(chip, ((part, None) for part in X.split(100)))
    other = memcore.convert(model, BITS, calibration=X)
    assert torch.equal(chip(X), other(X))
    y = model(X).argmax(1)
    assert memcore.diagnose(chip, iter([(X, y)])).digital == 1


def test_calibration_holds_one_batch_at_a_time():
    class Loader:
        alive, most = 0, 0

        def __iter__(self):
            for part in X.split(20):
                batch = Batch(part.clone())
                yield batch, torch.zeros(20)
                del batch

    class Batch(torch.Tensor):
        def __init__(self, data):
            Loader.alive += 1
            Loader.most = max(Loader.most, Loader.alive)

        def __del__(self):
            Loader.alive -= 1

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(16, 4)

        def forward(self, x):
            return self.inner(x.as_subclass(torch.Tensor))

    memcore.calibrate(memcore.convert(Plain(), BITS), Loader())
    assert Loader.most <= 3


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.o = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, p, q):
        return {"logits": self.o(torch.relu(self.a(p) + self.b(q)))}


P, Q = X[:64, :8], X[:64, 8:]
FEEDS = {
    "tuple": ([(P, Q)], (P, Q), None),
    "tuple and targets": ([((P, Q), torch.zeros(64))], (P, Q), None),
    "three": ([(P, Q, torch.zeros(64))], (P, Q), None),
    "mapping": ([{"p": P, "q": Q}], {"p": P, "q": Q}, None),
    "forward": ([X[:64]], X[:64], lambda m, x: m(x[:, :8], x[:, 8:])),
}


@pytest.mark.parametrize(("batches", "inputs", "forward"), FEEDS.values(), ids=FEEDS)
def test_networks_of_two_inputs(batches, inputs, forward):
    net = seeded(Two)
    chip = memcore.convert(net, BITS.replace(device="ideal"))
    memcore.calibrate(chip, batches, forward=forward)
    expected = net(P, Q)["logits"]
    assert off(chip(P, Q)["logits"], expected) < 0.02
    assert memcore.check_ideal(chip, inputs, forward=forward)
    classes = expected.argmax(1)
    found = memcore.diagnose(chip, [(inputs, classes)], forward=forward)
    assert found.digital == 1
    assert memcore.cost(chip, batches, forward=forward).total.energy > 0


def test_targets_that_accuracy_cannot_judge_are_refused():
    chip = memcore.convert(mlp(), NOISE)
    with pytest.raises(memcore.ConfigError, match=r"targets are torch.float32.*metric=f"):
        memcore.diagnose(chip, [(X, X[:, :4])])
    found = memcore.diagnose(chip, [(X, X[:, :4])], lambda y, t: -float((y - t).square().mean()))
    assert found.digital < 0


@pytest.mark.parametrize("sizes", [1024, 32, 1])
def test_percentiles_do_not_depend_on_the_size_of_batches(sizes):
    dac = {"name": "uniform", "bits": 4, "calibration": "percentile", "percentile": 99.0}
    z = Stream(3).normal((1024, 16))
    config = CrossbarConfig(device="vteam", dac=dac)
    whole, parts = (
        memcore.convert(mlp(), config, calibration=each)[0].crossbar.input.range
        for each in (z, z.split(sizes))
    )
    assert torch.equal(whole, parts)
    assert float(whole[0, 1]) == pytest.approx(2.576, abs=0.05)  # of |N(0, 1)|


# -- what cells hold -------------------------------------------------------------------------------


def test_as_configured_is_the_chip_in_hand_and_moved_weights_are_named():
    model = mlp()
    y = model(X).argmax(1)
    chip = memcore.convert(model, CrossbarConfig(device="vteam", nonidealities=["read_noise"]))
    chip.eval()
    with torch.no_grad():
        chip[0].weight.neg_()
        chip[2].weight.neg_()
    with pytest.warns(memcore.StaleCellsWarning, match="'0', '2'.*memcore.program"):
        found = memcore.diagnose(chip, [(X, y)])
    assert found.actual == pytest.approx(accuracy(chip, X, y), abs=0.02)
    with pytest.warns(memcore.StaleCellsWarning):
        check = memcore.check_ideal(chip, X)
    assert not check
    assert check.stale == ("0", "2")
    memcore.program(chip)
    assert memcore.check_ideal(chip, X)


def test_reads_are_numbered_as_if_nothing_had_been_diagnosed():
    one, other = (memcore.convert(mlp(), NOISE) for _ in range(2))
    memcore.diagnose(one, [(X, mlp()(X).argmax(1))])
    memcore.check_ideal(one, X)
    assert torch.equal(one(X), other(X))


def test_a_state_of_a_digital_network_says_what_to_do():
    digital, chip = mlp(1), memcore.convert(mlp(), CrossbarConfig(device="vteam"))
    said = r"not its cells.*strict=False.*memcore\.program"
    with pytest.warns(memcore.StaleCellsWarning, match=said), pytest.raises(RuntimeError):
        chip.load_state_dict(digital.state_dict())
    with pytest.warns(memcore.StaleCellsWarning, match=said):
        chip.load_state_dict(digital.state_dict(), strict=False)
    memcore.program(chip)
    assert off(chip(X), digital(X)) < 1e-5


class Past(nn.Module):
    """Reads a weight past its layer, as torchvision's swin does."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.out(F.linear(x, self.qkv.weight))


def test_layers_that_a_network_reads_past_are_named():
    chip = memcore.convert(Past(), BITS)
    with pytest.warns(memcore.NoEffectWarning, match="no input reached 'qkv'"):
        memcore.calibrate(chip, X)
    chip = memcore.convert(Past(), NOISE)
    with pytest.warns(memcore.NoEffectWarning, match="did not call 'qkv'"):
        assert memcore.check_ideal(chip, X).unread == ("qkv",)
    with pytest.warns(memcore.NoEffectWarning, match="did not call 'qkv'"):
        memcore.diagnose(chip, [(X, X.argmax(1) % 4)])


@pytest.mark.parametrize("cast", [nn.Module.half, lambda m: m.to(torch.float16)])
def test_casts_that_ruin_conductances_are_refused(cast):
    chip = memcore.convert(mlp(), NOISE)
    with pytest.raises(memcore.ConversionError, match=r"cannot become float16.*bfloat16"):
        cast(chip)


def test_a_chip_in_bfloat16_computes_its_network():
    model = mlp().bfloat16()
    chip = memcore.convert(model, CrossbarConfig(device="vteam"))
    assert memcore.check_ideal(chip, X.bfloat16())


# -- what stays digital ----------------------------------------------------------------------------


def test_the_share_of_the_weights_is_told_and_little_of_it_is_warned_of():
    model = nn.Sequential(nn.Linear(16, 16), nn.Embedding(320, 64))
    with pytest.warns(memcore.PartialConversionWarning, match=r"by layers=\['embedding'\] \(1\)"):
        chip = memcore.convert(model, NOISE)
    found = memcore.summary(chip)
    assert found.share == pytest.approx(256 / (256 + 320 * 64))
    assert "1.23 % of the weights are on crossbars" in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        memcore.convert(model, NOISE, filter_fn=lambda layer, name: name == "0")


def test_a_summary_gives_the_true_reason():
    model = nn.Sequential(
        nn.Linear(16, 16, dtype=torch.float16),
        nn.Linear(16, 40),
        nn.Linear(8, 8, dtype=torch.complex64),
    )
    reasons = dict(memcore.summary(memcore.convert(model, NOISE)).digital)
    assert "float16 is too coarse" in reasons["0"]
    assert "complex" in reasons["2"]


def test_a_chip_may_be_pruned():
    chip = memcore.convert(mlp(), CrossbarConfig(device="vteam"))
    prune.l1_unstructured(chip[0], "weight", 0.5)
    memcore.program(chip)
    assert memcore.check_ideal(chip, X)
    expected = chip(X)
    digital = memcore.revert_(chip)
    assert (digital[0].weight == 0).double().mean() == 0.5
    assert off(digital(X), expected) < 1e-5


# -- converters ------------------------------------------------------------------------------------


def test_a_converter_behind_a_relu_uses_all_its_codes():
    model = seeded(lambda: nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4)))
    config = CrossbarConfig(device="vteam", dac={"name": "uniform", "bits": 4})
    chip = memcore.convert(model, config, filter_fn=lambda m, name: name == "2", calibration=X)
    assert len(chip[2].crossbar.input(model[:2](X)).unique()) == 16


def test_clipping_is_said():
    adc = {"name": "uniform", "bits": 8, "full_scale": 5e-7}
    config = CrossbarConfig(device="vteam", adc=adc)
    chip = memcore.convert(mlp(), config)
    with pytest.warns(memcore.SaturationWarning, match=r"the ADC of [02] clips \d.*full_scale"):
        found = memcore.diagnose(chip, [(X, mlp()(X).argmax(1))])
    assert found.clipped["0", "ADC"] > 0.9
    assert "clips" in str(found)


def test_a_scale_for_each_column_keeps_small_rows():
    layer = seeded(lambda: nn.Linear(32, 8, bias=False))
    x = Stream(1).normal((500, 32))
    with torch.no_grad():
        layer.weight[0] *= 100
    states = [{"name": "finite_states", "states": 32}]
    for mapper in ("differential", "offset"):
        errors = []
        for scale in ("matrix", "column"):
            mapping = {"name": mapper, "scale": scale}
            config = CrossbarConfig(device="ideal", nonidealities=states, mapper=mapping)
            y = memcore.convert(layer, config)(x)
            errors.append(((y - layer(x)).std(0) / layer(x).std(0))[1:].mean())
        assert errors[0] > 0.5
        assert errors[1] < 0.1


# -- torch around it -------------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_pass_that_is_computed_again_draws_the_same_noise(reentrant):
    model = mlp()
    plain, saving = (memcore.convert(model, NOISE) for _ in range(2))
    x = X.clone().requires_grad_()
    plain(x).square().sum().backward()
    checkpoint(saving, x, use_reentrant=reentrant).square().sum().backward()
    torch.testing.assert_close(saving[0].weight.grad, plain[0].weight.grad)
    assert int(saving[0].crossbar.training_reads) == int(plain[0].crossbar.training_reads) == 400


def test_outputs_of_a_convolution_may_be_viewed():
    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.f = nn.Conv2d(1, 6, 5), nn.Linear(864, 10)

        def forward(self, x):
            return self.f(F.max_pool2d(F.relu(self.c(x)), 2).view(-1, 864))

    images = torch.rand(2, 1, 28, 28)
    assert memcore.convert(LeNet(), NOISE)(images).shape == (2, 10)
    conv = nn.Conv2d(3, 4, 3)
    last = torch.rand(2, 3, 9, 9).to(memory_format=torch.channels_last)
    y = memcore.convert(conv, NOISE)(last)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_samples_can_be_mapped_over():
    chip = memcore.convert(mlp(), CrossbarConfig(device="vteam"))
    found = torch.func.vmap(lambda row: chip(row[None])[0])(X)
    torch.testing.assert_close(found, chip(X))


def test_noise_is_new_for_each_sample_that_is_mapped_over():
    chip = memcore.convert(mlp(), NOISE).eval()
    twin = copy.deepcopy(chip)
    for _ in range(2):
        found = torch.func.vmap(lambda row: chip(row[None])[0])(X)
        torch.testing.assert_close(found, twin(X))
    both = torch.func.vmap(torch.func.vmap(lambda row: chip(row[None])[0]))(X.reshape(2, -1, 16))
    torch.testing.assert_close(both.flatten(0, 1), twin(X))
    assert chip[0].crossbar.reads == twin[0].crossbar.reads


@pytest.mark.parametrize("training", [True, False])
def test_transforms_of_a_noisy_chip_give_the_gradients_of_its_reads(training):
    chip = memcore.convert(mlp(), NOISE).train(training)
    twin = copy.deepcopy(chip)
    parameters = dict(chip.named_parameters())

    def loss(given, x):
        return torch.func.functional_call(chip, given, (x,)).square().sum()

    found = torch.func.grad(loss)(parameters, X)
    twin(X).square().sum().backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, X[:, None])
    twin.zero_grad()
    twin(X).square().sum().backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, rtol=1e-4, atol=1e-4)
    chip.load_state_dict(twin.state_dict())
    slopes = torch.func.jacrev(lambda x: chip(x).sum(0))(X)
    given = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(twin(given)[:, 1].sum(), given)
    torch.testing.assert_close(slopes[1], expected)


@traces
def test_a_batch_may_be_dynamic_in_an_export():
    chip = memcore.convert(mlp(), NOISE).eval()
    program = torch.export.export(
        copy.deepcopy(chip), (X[:8],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    assert torch.allclose(program.module()(X[:5]), chip(X[:5]), atol=1e-6)


def test_warnings_point_at_the_line_that_asked():
    with pytest.warns(memcore.NoEffectWarning) as said:
        memcore.convert(mlp(), NOISE, calibration=X)
    assert {warning.filename for warning in said} == {__file__}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "parts of a batch, 0 of them: missing a required argument"),
        ((torch.ones(2, 3), torch.ones(2)), "2 of them: too many positional arguments"),
        ({"x": torch.ones(2, 3)}, "parts of a batch, x: missing a required argument"),
        ({3: torch.ones(2, 3)}, "parts of a batch, 3: "),
    ],
)
def test_parts_that_the_network_does_not_take_are_named(parts, text):
    mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
    with pytest.raises(memcore.ConfigError, match=text):
        memcore.check_ideal(mem, parts)
