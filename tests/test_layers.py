import copy
import dataclasses
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

import memcore
from memcore import CrossbarConfig, NonIdeality, Stage, Stream
from memcore.testing.layer_case import Ohmic

#: torch 2.13 trips over its own deprecation when it traces an autograd.Function.
traces = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


#: One way to read each, and all effects that a read can have.
WAYS = {
    "exact": {},
    "exact with DAC": {"dac": "uniform"},
    "tiled": {"dac": "uniform", "adc": "uniform", "tile": (16, 16)},
    "noisy": {"nonidealities": ["read_noise"], "tile": (16, 16)},
    "noisy with ADC": {"nonidealities": ["read_noise"], "adc": "uniform", "tile": (16, 16)},
    "electrical": {"nonidealities": [Ohmic()], "tile": (16, 16)},
    "mapped bias": {"bias": "mapped", "dac": "uniform", "adc": "uniform"},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def draws(*shape, dtype=torch.float32, name="x"):
    return Stream(5).child(name).normal(shape, dtype=dtype)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 5),
        )


X = draws(8, 2, 6, 6)


def memristive(model=None, x=X, seed=0, **way):
    config = CrossbarConfig(**{"device": "ideal", **way})
    needs_range = any(c is not None and c.full_scale is None for c in (config.dac, config.adc))
    return memcore.convert(
        network() if model is None else model,
        config,
        seed=seed,
        calibration=x if needs_range else None,
    )


# -- the same as the digital layer ---------------------------------------------------------------

HOW = st.fixed_dictionaries(
    {
        "mapper": st.sampled_from(["differential", "offset"]),
        "tile": st.none() | st.tuples(st.integers(1, 20), st.integers(2, 9)) | st.just((128, 128)),
        "bias": st.sampled_from(["digital", "mapped"]),
        "nonidealities": st.sampled_from([[], [Ohmic()]]),
        "device": st.sampled_from(["ideal", "vteam", "linear_ion_drift"]),
    }
)
DTYPE = st.sampled_from([torch.float32, torch.float64])


def assert_same(layer, x, how):
    """Equal to float32 rounding of the conductances, which differ by up to r_off/r_on."""
    expected = layer(x)
    found = memcore.convert(layer, CrossbarConfig(**how))(x)
    scale = expected.abs().max().item()
    double = expected.dtype == torch.float64
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=(1e-6 if double else 2e-5) * scale)


@given(HOW, DTYPE, st.booleans(), st.sampled_from([(7,), (1, 7), (3, 7), (2, 3, 7), (0, 7)]))
def test_linear_computes_what_the_digital_layer_does(how, dtype, bias, shape):
    layer = nn.Linear(7, 5, bias=bias, dtype=dtype)
    if shape[0] == 0:
        found = memcore.convert(layer, CrossbarConfig(**how))(torch.zeros(shape, dtype=dtype))
        assert found.shape == (0, 5)
        return
    assert_same(layer, draws(*shape, dtype=dtype), how)


@st.composite
def convolutions(draw):
    dims, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2]))
    several = st.tuples(*[st.integers(1, 3)] * dims)
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    if mode == "reflect" and dims == 3:
        mode = "zeros"
    padding = draw(st.sampled_from(["same", "valid"]) | st.tuples(*[st.integers(0, 1)] * dims))
    return getattr(nn, f"Conv{dims}d")(
        2 * groups,
        3 * groups,
        draw(several),
        stride=1 if padding == "same" else draw(several),
        dilation=draw(several),
        padding=padding,
        padding_mode=mode,
        groups=groups,
        bias=draw(st.booleans()),
        dtype=draw(DTYPE),
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@settings(max_examples=150)
@given(convolutions(), HOW, st.booleans())
def test_convolutions_compute_what_the_digital_layers_do(layer, how, batched):
    x = draws(2, layer.in_channels, *[8] * len(layer.kernel_size), dtype=layer.weight.dtype)
    if layer.padding_mode == "circular" and not batched:
        batched = True  # circular padding of torch wants a batch
    assert_same(layer, x if batched else x[0], how)


def test_an_empty_batch_gives_an_empty_batch():
    for way in ("exact", "tiled", "noisy", "electrical"):
        assert memristive(**WAYS[way])(X[:0]).shape == (0, 5)


def test_no_bias_stays_no_bias():
    for layer in (nn.Conv2d(2, 3, 3, bias=False), nn.Linear(4, 3, bias=False)):
        mem = memristive(layer)
        assert mem.bias is None
        assert mem.effective_bias is None
        assert [name for name, _ in mem.named_parameters()] == ["weight"]


def test_a_layer_is_called_as_the_digital_one():
    x = draws(2, 4)
    layer = nn.Linear(4, 3)
    torch.testing.assert_close(memristive(layer)(input=x), layer(x))
    assert memristive(nn.Conv2d(2, 4, 3))(input=X).shape == (8, 4, 4, 4)


@pytest.mark.parametrize("way", ["tiled", "noisy"])
def test_inputs_that_do_not_fit_are_named(way):
    linear, conv = memristive(**WAYS[way])[3], memristive(**WAYS[way])[0]
    with pytest.raises(ValueError, match=r"input has shape \[2, 72\]; expected \[\.\.\., 36\]"):
        linear(torch.zeros(2, 72))
    for shape in ((8, 3, 6, 6), (2, 6), (1, 8, 2, 6, 6)):
        with pytest.raises(ValueError, match=r"expected \[n, 2, \*space\] or \[2, \*space\]"):
            conv(torch.zeros(shape))


def test_print_shows_the_geometry():
    text = repr(memristive(tile=(16, 16)))
    assert "in_features=36, out_features=5" in text
    assert "2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1)" in text
    assert "18 -> 4, 4 arrays of 16 x 4" in text
    digital = nn.Sequential(nn.Linear(36, 5), nn.ReLU(), nn.LSTM(5, 3))
    noisy = CrossbarConfig(device="ideal", adc="uniform", nonidealities=["read_noise"])
    chip = memcore.convert(digital, noisy)
    assert len(repr(chip).splitlines()) == len(repr(digital).splitlines())


# -- the effective weights are what the layer computes with ----------------------------------------


@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_effective_weights_reproduce_a_disturbed_layer(bias):
    layer = nn.Linear(9, 4)
    effects = [{"name": "finite_states", "states": 5}, {"name": "stuck_at", "p_hrs": 0.2}]
    mem, x = memristive(layer, bias=bias, nonidealities=effects), draws(6, 9)
    assert not torch.allclose(mem.effective_weight, layer.weight, atol=1e-3)
    expected = nn.functional.linear(x, mem.effective_weight, mem.effective_bias)
    torch.testing.assert_close(mem(x), expected)


# -- copies ---------------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_compute_the_same(way, clone):
    mem = memristive(**way)
    assert torch.equal(clone(mem)(X), mem(X))


@ways
def test_reverting_a_copy_gives_back_the_parameters_of_the_copy(way):
    mem = copy.deepcopy(memristive(**way))
    parameters = {id(p) for p in mem.parameters()}
    assert {id(p) for p in memcore.revert_(mem).parameters()} == parameters


@ways
def test_double_precision_agrees_with_single(way):
    mem = memristive(**way)
    found = copy.deepcopy(mem).to(torch.float64)(X.double())
    expected = mem(X)
    assert found.dtype == torch.float64
    # Rounding may move a code of a converter.
    tolerance = 0.02 if "adc" in way or "dac" in way else 1e-5
    assert (found.float() - expected).abs().max() < tolerance * expected.abs().max()


@ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_decides_on_dtypes_and_on_no_array(way, dtype):
    mem = memristive(**way)
    plain = copy.deepcopy(mem)(X)
    with torch.autocast("cpu", torch.bfloat16):
        y = mem(X.to(dtype))
        y.float().square().sum().backward()
    assert y.dtype is torch.bfloat16
    # Rounding of what goes in may move a code of a converter.
    tolerance = 0.03 if "adc" in way or "dac" in way else 0.015
    assert (y.float() - plain).abs().max() < tolerance * plain.abs().max()
    assert all(p.grad.dtype is torch.float32 for p in mem.parameters())


@ways
@pytest.mark.parametrize("how", ["state_dict", "assign", "torch", "save_file", "save_model"])
def test_a_saved_chip_is_the_same_chip_in_a_model_of_another_seed(way, how, tmp_path):
    spread = {"name": "d2d", "std": 0.3}
    way = {**way, "nonidealities": [spread, *way.get("nonidealities", [])]}
    mem = memristive(**way)
    other = memristive(x=3 * X, seed=1, **way)
    for model in (mem, other):
        model(X)
    memcore.program(mem)
    assert not torch.equal(mem[3].crossbar.programmed, other[3].crossbar.programmed)
    _load(mem, other, how, tmp_path / "chip")
    for a, b in ((mem[0], other[0]), (mem[3], other[3])):
        assert torch.equal(a.crossbar.conductance, b.crossbar.conductance)
        assert torch.equal(a.crossbar.folded, b.crossbar.folded)
        for name, value in a.crossbar.state_dict().items():
            torch.testing.assert_close(
                b.crossbar.state_dict()[name], value, rtol=0, atol=0, equal_nan=True
            )
    assert torch.equal(mem(X), other(X))  # the noise of a read included
    for model in (mem, other):
        memcore.program(model)
    assert torch.equal(mem[3].crossbar.programmed, other[3].crossbar.programmed)


def _load(mem, other, how, path):
    match how:
        case "state_dict":
            other.load_state_dict(mem.state_dict())
        case "assign":
            other.load_state_dict(copy.deepcopy(mem.state_dict()), assign=True)
        case "torch":
            torch.save(mem.state_dict(), path)
            other.load_state_dict(torch.load(path, weights_only=True))
        case "save_file":
            save_file(mem.state_dict(), path)
            other.load_state_dict(load_file(path))
        case "save_model":
            save_model(mem, str(path))
            assert load_model(other, str(path)) == (set(), [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(NonIdeality):
    stage = Stage.AGE

    def bind(self, array, ctx):
        return Retention()


class Retention(nn.Module):
    def forward(self, g, seconds):
        return g / (1 + seconds)


def test_a_saved_chip_keeps_its_age():
    mem, other = (memristive(nonidealities=[Loss()], seed=seed) for seed in (0, 1))
    memcore.age(mem, seconds=7.0)
    other.load_state_dict(mem.state_dict())
    assert other[3].crossbar.seconds == 7.0
    assert torch.equal(mem(X), other(X))


# -- compilation ----------------------------------------------------------------------------------


@traces
@ways
def test_compiles_into_one_graph_with_the_same_result_bit_for_bit(way):
    torch._dynamo.reset()
    mem = memristive(**way)
    eager, compiled = mem, torch.compile(copy.deepcopy(mem), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for _ in range(2):  # read numbers advance
            assert torch.equal(eager(X), compiled(X))


@traces
@ways
def test_a_compiled_training_step_has_the_same_gradients(way):
    torch._dynamo.reset()
    mem = memristive(**way)
    other = copy.deepcopy(mem)
    expected = mem(X)
    expected.square().sum().backward()
    found = torch.compile(other, fullgraph=True, backend="aot_eager")(X)
    found.square().sum().backward()
    assert torch.equal(found, expected)
    for a, b in zip(mem.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_generated_code_draws_the_same_noise():
    """Inputs and cells whose product needs no rounding, so what could differ is the noise."""
    torch._dynamo.reset()
    layer = nn.Linear(1, 64, bias=False)
    mem = memristive(layer, nonidealities=[{"name": "read_noise", "std": 1e-6, "relative": 0.0}])
    x = torch.zeros(32, 1)
    x[::2] = 1.0
    compiled = torch.compile(copy.deepcopy(mem), fullgraph=True)
    with torch.no_grad():
        found, expected = compiled(x), mem(x)
    assert found[1::2].abs().max() == 0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@traces
def test_converters_without_range_cannot_be_compiled_and_say_what_to_do():
    torch._dynamo.reset()
    mem = memcore.convert(nn.Linear(4, 3), CrossbarConfig(device="ideal", adc="uniform"))
    compiled = torch.compile(mem, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"call memcore\.calibrate\(model, inputs\) before"):
        compiled(torch.zeros(2, 4))


# -- training -------------------------------------------------------------------------------------


def linear(way, **more):
    layer = nn.Linear(9, 4)
    return memristive(layer, draws(50, 9), **{**way, **more})


@ways
def test_the_gradient_of_an_input_is_that_of_the_effective_weights(way):
    disturbed = [*way.get("nonidealities", []), {"name": "d2d", "std": 0.3}]
    mem = linear(way, nonidealities=disturbed)
    x = 0.3 * draws(6, 9)
    x.requires_grad_()
    upstream = draws(6, 4, name="up")
    mem(x).backward(upstream)
    torch.testing.assert_close(x.grad, upstream @ mem.effective_weight)


@ways
def test_the_gradient_of_a_weight_goes_straight_through(way):
    mem, x, upstream = linear(way), draws(6, 9), draws(6, 4, name="up")
    mem(x).backward(upstream)
    applied = mem.crossbar.input(x)
    torch.testing.assert_close(mem.weight.grad, upstream.T @ applied)
    torch.testing.assert_close(mem.bias.grad, upstream.sum(0))


@ways
def test_convolution_gradients_are_those_of_the_digital_layer(way):
    """Where nothing but reading is imperfect, effective weights and weights are the same."""
    mem = memristive(nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2), X, **way)
    x = X.clone().requires_grad_()
    upstream = draws(8, 4, 3, 3, name="up")
    mem(x).backward(upstream)
    found = [x.grad, mem.weight.grad, mem.bias.grad]
    applied = mem.crossbar.input(X).clone().requires_grad_()
    digital = mem.digital()
    digital.zero_grad()
    expected = torch.autograd.grad(
        digital(applied), [applied, digital.weight, digital.bias], upstream
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max().item())


def test_inputs_that_a_dac_clips_get_no_gradient():
    mem = memristive(nn.Linear(2, 3), dac={"name": "uniform", "full_scale": 1.0}, x=draws(1, 2))
    x = torch.tensor([[0.5, 7.0]], requires_grad=True)
    mem(x).sum().backward()
    assert x.grad[0, 0] != 0
    assert x.grad[0, 1] == 0


@pytest.mark.parametrize("way", ["exact", "noisy"])
def test_a_mapped_bias_is_trained_also_beside_frozen_weights(way):
    layer = nn.Linear(9, 4)
    layer.weight.requires_grad_(False)
    mem = memristive(layer, bias="mapped", **WAYS[way])
    mem(draws(6, 9)).sum().backward()
    torch.testing.assert_close(mem.bias.grad, torch.full((4,), 6.0))
    assert mem.weight.grad is None


@ways
def test_training_changes_the_cells_only_when_they_are_programmed(way):
    way = {k: v for k, v in way.items() if k != "nonidealities"}
    mem, x = linear(way), draws(50, 9)
    before = mem.crossbar.conductance.clone()
    optimizer = torch.optim.SGD(mem.parameters(), lr=0.1)
    target = draws(50, 4, name="target")
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (mem(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert torch.equal(mem.crossbar.conductance, before)
        memcore.program(mem)
        torch.testing.assert_close(mem.effective_weight, mem.weight, rtol=1e-4, atol=1e-5)
        before = mem.crossbar.conductance.clone()
    assert losses[-1] < 0.9 * losses[0]


@traces
def test_data_parallel_training_runs_in_one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        mem = memristive(**WAYS["noisy with ADC"])
        alone = copy.deepcopy(mem)
        parallel = nn.parallel.DistributedDataParallel(mem)
        for model in (parallel, alone):
            model(X).square().sum().backward()
        for a, b in zip(mem.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
    finally:
        torch.distributed.destroy_process_group()


def test_the_mode_of_training_is_taken_over():
    assert memristive(nn.Linear(2, 2).eval()).training is False
    assert memristive(nn.Linear(2, 2).train()).training is True


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (nn.LSTM(6, 5, num_layers=2), [(4, 0, 6)]),
        (nn.GRU(6, 5, bidirectional=True, batch_first=True), [(0, 4, 6)]),
        (nn.Bilinear(5, 4, 3), [(0, 5), (0, 4)]),
    ],
    ids=["LSTM", "GRU", "Bilinear"],
)
def test_no_inputs_give_no_outputs_as_in_the_digital_layer(layer, shapes):
    config = CrossbarConfig(device="ideal", nonidealities=["read_noise"])
    mem = memcore.convert(copy.deepcopy(layer), config)
    outputs = [each(*map(torch.zeros, shapes)) for each in (mem, layer)]
    found, wanted = (y if isinstance(y, torch.Tensor) else y[0] for y in outputs)
    assert found.shape == wanted.shape
