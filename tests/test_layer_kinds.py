"""Transposed convolutions, bilinear layers and embeddings on crossbars compute what torch does."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.nn import blocks
from memcore.testing.layer_case import Ohmic

#: Ways in which arrays compute what they hold: at once, and array by array.
WAYS = {
    "at once": {},
    "array by array": {"nonidealities": [Ohmic()], "tile": (3, 5)},
    "mapped bias": {"bias": "mapped", "nonidealities": [Ohmic()]},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
DTYPES = {torch.float32: 1e-5, torch.float64: 1e-6, torch.bfloat16: 0.05}
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
ON_REQUEST = ("embedding", "embedding_bag")


def asking(layer):
    """The layers to ask for, so that this one is converted."""
    return ON_REQUEST if isinstance(layer, nn.Embedding | nn.EmbeddingBag) else ()


def draws(*shape, dtype=torch.float32, name="x"):
    return Stream(5).child(name).normal(shape, dtype=torch.float64).to(dtype)


def results(model, *arguments):
    """Outputs, and gradients of inputs and parameters."""
    arguments = [
        a.clone().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        for a in arguments
    ]
    y = model(*arguments)
    (y * torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    leaves = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    inputs = {f"input {k}": leaf.grad for k, leaf in enumerate(leaves)}
    return {"y": y.detach(), **inputs, **{name: p.grad for name, p in model.named_parameters()}}


def assert_computes_the_same(layer, *arguments, way, tolerance=1e-5):
    wanted = results(copy.deepcopy(layer), *arguments)
    config = CrossbarConfig(device="ideal", layers=asking(layer), **way)
    found = results(memcore.convert(layer, config), *arguments)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        scale = max(float(value.abs().max()), 1e-2) if value.numel() else 1.0
        error = float((found[name] - value).abs().max()) if value.numel() else 0.0
        assert error <= tolerance * scale, f"{name} is off by {error / scale:.3g}"


# -- transposed convolutions -----------------------------------------------------------------------


@st.composite
def transposed(draw):
    dims, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2]))
    several = st.tuples(*[st.integers(1, 3)] * dims)
    kernel, stride, dilation = draw(several), draw(several), draw(several)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    most = [max(pair) - 1 for pair in zip(stride, dilation, strict=True)]
    return getattr(nn, f"ConvTranspose{dims}d")(
        2 * groups,
        3 * groups,
        kernel,
        stride=stride,
        padding=tuple(draw(st.integers(0, r)) for r in reach),
        output_padding=tuple(draw(st.integers(0, m)) for m in most),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )


@settings(max_examples=60)
@given(transposed(), st.sampled_from(list(WAYS.values())), st.booleans())
def test_transposed_convolutions_compute_what_the_digital_layers_do(layer, way, batched):
    space = (4, 3, 3)[: len(layer.kernel_size)]
    sizes = zip(space, layer.stride, layer.padding, layer.dilation, layer.kernel_size, strict=True)
    assume(all((n - 1) * s - 2 * p + d * (k - 1) >= 0 for n, s, p, d, k in sizes))
    x = draws(2, layer.in_channels, *space)
    assert_computes_the_same(layer, x if batched else x[0], way=way, tolerance=2e-5)


@dtypes
@ways
def test_transposed_convolutions_have_the_precision_of_their_parameters(dtype, way):
    layer = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, dtype=dtype)
    x = draws(2, 3, 4, 5, dtype=dtype)
    assert_computes_the_same(layer, x, way=way, tolerance=DTYPES[dtype])


@ways
def test_an_output_size_decides_what_the_stride_leaves_open(way):
    layer = nn.ConvTranspose2d(2, 3, 3, stride=3, padding=1)
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", **way))
    x = draws(2, 2, 4, 4)
    for size in ([10, 11], [12, 10], [2, 3, 11, 12]):
        torch.testing.assert_close(mem(x, size), layer(x, size), rtol=1e-4, atol=1e-5)
    with pytest.raises(memcore.ShapeError, match=r"expected from \[10, 10\] to \[12, 12\]"):
        mem(x, [9, 10])
    with pytest.raises(memcore.ShapeError, match=r"output_size=\[10\]"):
        mem(x, [10])


def test_each_input_position_is_one_read():
    layer = nn.ConvTranspose2d(3, 4, 3, stride=2)
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", adc="uniform", dac="uniform"))
    x = draws(2, 3, 5, 4)
    memcore.calibrate(mem, x)
    tiling = mem.crossbar.tiling
    assert (tiling.rows, tiling.cols) == (3, 4 * 9)
    with memcore.counting(mem) as counts:
        mem(x)
    assert counts.total.vectors == 2 * 5 * 4


CONVOLUTIONS = [
    nn.ConvTranspose1d(2, 3, 4, stride=2),
    nn.Conv1d(2, 3, 3, padding=1),
    nn.Conv1d(2, 4, 3, groups=2, stride=2, dilation=2),
]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
def test_images_in_blocks_are_read_as_at_once(layer, monkeypatch):
    config = CrossbarConfig(device="ideal", nonidealities=["read_noise"])
    x = draws(5, 2, 6)
    whole = memcore.convert(layer, config)(x)
    monkeypatch.setattr(blocks, "_MOST", 100)
    mem = memcore.convert(layer, config)
    with memcore.counting(mem) as counts:
        torch.testing.assert_close(mem(x), whole)
    assert counts.total.vectors % 5 == 0


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
def test_images_in_blocks_give_converters_the_ranges_of_all(layer, monkeypatch):
    x = draws(5, 2, 6) * torch.linspace(1, 3, 5).view(5, 1, 1)
    config = CrossbarConfig(device="ideal", dac="uniform", adc="uniform")
    calibrated = memcore.convert(layer, config, calibration=x).crossbar
    monkeypatch.setattr(blocks, "_MOST", 100)
    mem = memcore.convert(layer, config)
    with pytest.warns(memcore.CalibrationWarning):
        mem(x)
    torch.testing.assert_close(mem.crossbar.input.range, calibrated.input.range)
    torch.testing.assert_close(mem.crossbar.output.range, calibrated.output.range)


def test_windows_of_many_images_are_never_all_in_memory(monkeypatch):
    monkeypatch.setattr(blocks, "_MOST", 4000)
    mem = memcore.convert(
        nn.Conv2d(2, 3, 3), CrossbarConfig(device="ideal", nonidealities=[Ohmic()])
    )
    seen = []
    mem.crossbar.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    assert mem(draws(40, 2, 12, 12)).shape == (40, 3, 10, 10)
    assert max(seen) <= 4000
    assert sum(seen) == 40 * 100 * 18


def test_no_image_gives_no_image():
    layer = nn.ConvTranspose2d(2, 3, 2)
    for way in WAYS.values():
        mem = memcore.convert(layer, CrossbarConfig(device="ideal", **way))
        assert mem(torch.zeros(0, 2, 4, 4)).shape == (0, 3, 5, 5)


def test_effective_weights_have_the_shape_of_the_parameter():
    layer = nn.ConvTranspose1d(4, 6, 3, groups=2)
    mem = memcore.convert(layer, CrossbarConfig(device="ideal"))
    torch.testing.assert_close(mem.effective_weight, layer.weight, rtol=1e-4, atol=1e-5)
    assert mem.effective_bias is mem.bias


def test_images_that_do_not_fit_are_named():
    mem = memcore.convert(nn.ConvTranspose2d(2, 3, 2), CrossbarConfig(device="ideal"))
    for shape in ((1, 3, 4, 4), (2, 4), (1, 1, 2, 4, 4)):
        with pytest.raises(memcore.ShapeError, match=r"expected \[n, 2, \*space\]"):
            mem(torch.zeros(shape))


# -- bilinear layers -------------------------------------------------------------------------------


@ways
@dtypes
@pytest.mark.parametrize("lead", [(5,), (), (2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_computes_what_the_digital_layer_does(way, dtype, lead, bias):
    layer = nn.Bilinear(3, 4, 5, bias=bias, dtype=dtype)
    pair = draws(*lead, 3, dtype=dtype), draws(*lead, 4, dtype=dtype, name="y")
    assert_computes_the_same(layer, *pair, way=way, tolerance=DTYPES[dtype])


def test_pairs_in_blocks_are_read_as_at_once(monkeypatch):
    layer = nn.Bilinear(3, 4, 5)
    config = CrossbarConfig(device="ideal", nonidealities=["read_noise"])
    pair = draws(7, 3), draws(7, 4, name="y")
    whole = memcore.convert(layer, config)(*pair)
    monkeypatch.setattr(blocks, "_MOST", 24)
    torch.testing.assert_close(memcore.convert(layer, config)(*pair), whole)


def test_pairs_that_do_not_fit_are_named():
    mem = memcore.convert(nn.Bilinear(3, 4, 5), CrossbarConfig(device="ideal"))
    for shapes in (((2, 3), (3, 4)), ((2, 4), (2, 3)), ((), (4,))):
        with pytest.raises(memcore.ShapeError, match=r"expected \[\.\.\., 3\] and \[\.\.\., 4\]"):
            mem(*map(torch.zeros, shapes))


# -- embeddings ------------------------------------------------------------------------------------

TOKENS = torch.tensor([[1, 2, 10], [3, 0, 2]])


@ways
@dtypes
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("index", [TOKENS, TOKENS.int(), TOKENS[0, 1]], ids=["2d", "int32", "0d"])
def test_embeddings_compute_what_the_digital_layer_does(way, dtype, padding, index):
    layer = nn.Embedding(11, 4, padding_idx=padding, dtype=dtype)
    assert_computes_the_same(layer, index, way=way, tolerance=DTYPES[dtype])


BAGS = {
    "rows": (TOKENS, None),
    "offsets": (TOKENS.flatten(), torch.tensor([0, 2, 2, 5])),
}


@ways
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("arguments", BAGS.values(), ids=BAGS)
def test_bags_compute_what_the_digital_layer_does(way, mode, padding, last, arguments):
    layer = nn.EmbeddingBag(11, 4, mode=mode, padding_idx=padding, include_last_offset=last)
    index, offsets = arguments
    if last and offsets is not None:
        offsets = torch.cat([offsets, torch.tensor([6])])
    assert_computes_the_same(layer, index, offsets, way=way)
    if mode == "sum":
        weights = draws(*index.shape, name="weights")
        assert_computes_the_same(layer, index, offsets, weights, way=way)


def test_embeddings_stay_digital_until_a_configuration_names_them():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 40))
    mem = memcore.convert(model, CrossbarConfig(device="ideal"))
    assert type(mem[0]) is nn.Embedding
    reason = "Embedding is converted on request only, by layers=['embedding']"
    assert ("0", reason) in memcore.summary(mem).digital
    asked = memcore.convert(model, CrossbarConfig(device="ideal", layers=["embedding"]))
    assert type(asked[0]) is memcore.nn.Embedding
    assert memcore.summary(asked).digital == ()
    assert type(memcore.revert_(asked)[0]) is nn.Embedding


def test_a_name_pattern_decides_which_embedding_is_asked_for():
    model = nn.ModuleDict({"tokens": nn.Embedding(5, 3), "places": nn.Embedding(4, 3)})
    config = {"tokens": CrossbarConfig(device="ideal", layers=["embedding"])}
    mem = memcore.convert(model, config)
    assert type(mem["tokens"]) is memcore.nn.Embedding
    assert type(mem["places"]) is nn.Embedding


def test_layers_of_a_configuration_travel_with_it():
    config = CrossbarConfig(device="ideal", layers=["embedding"])
    assert CrossbarConfig.from_mapping(config.to_mapping()).layers == ("embedding",)
    with pytest.raises(
        memcore.ConfigError, match=r"layers has 3; expected names of memcore.layers"
    ):
        CrossbarConfig(device="ideal", layers=[3])
    unknown = CrossbarConfig(device="ideal", layers=["embeding"])
    with pytest.raises(
        memcore.RegistryError, match=r"no layer named 'embeding'\n  did you mean: 'embedding'"
    ):
        memcore.convert(nn.Embedding(5, 3), unknown)


def test_a_lookup_drives_one_word_line():
    noise = {"name": "read_noise", "relative": 0.1}
    layer = nn.Embedding(6, 4)
    with torch.no_grad():
        layer.weight.fill_(0.0)
        layer.weight[3] = 1.0
    config = CrossbarConfig(device="ideal", layers=["embedding"], nonidealities=[noise])
    mem = memcore.convert(layer, config)
    with memcore.counting(mem) as counts:
        mem(torch.tensor([3, 3, 1]))
    g = mem.crossbar.conductance.sum(dim=(0, 2))
    power = (mem.crossbar.input_scale**2) * (2 * g[3] + g[1])
    assert counts.total.vectors == 3
    assert counts.total.dissipation == pytest.approx(float(power), rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Embedding(5, 3, max_norm=1.0), "its max_norm changes the weights"),
        (nn.Embedding(5, 3, sparse=True), "its gradients are sparse"),
        (nn.EmbeddingBag(5, 3, scale_grad_by_freq=True), "its gradients are scaled by how often"),
    ],
)
def test_embeddings_that_do_more_than_look_up_stay_digital(layer, reason):
    config = CrossbarConfig(device="ideal", layers=ON_REQUEST)
    with pytest.raises(memcore.ConversionError, match=reason):
        memcore.convert(layer, config)


def test_indices_are_integers():
    mem = memcore.convert(nn.Embedding(5, 3), CrossbarConfig(device="ideal", layers=ON_REQUEST))
    with pytest.raises(memcore.ArgumentTypeError, match=r"the indices are torch.float32"):
        mem(torch.zeros(2))


# -- exported --------------------------------------------------------------------------------------

EXPORTED = {
    "transposed": (nn.ConvTranspose2d(2, 3, 3, stride=2), (draws(4, 2, 3, 3),)),
    "bilinear": (nn.Bilinear(3, 4, 5), (draws(4, 3), draws(4, 4))),
    "embedding": (nn.Embedding(11, 4), (torch.arange(4),)),
    "lstm": (nn.LSTM(3, 4, batch_first=True), (draws(4, 5, 3),)),
}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("case", EXPORTED.values(), ids=EXPORTED)
@pytest.mark.parametrize("way", [{}, {"dac": "uniform", "adc": "uniform"}], ids=["exact", "tiled"])
def test_a_batch_may_be_dynamic_in_an_export(case, way):
    layer, arguments = case
    config = CrossbarConfig(device="ideal", layers=asking(layer), **way)
    mem = memcore.convert(layer, config).eval()
    if way:
        memcore.calibrate(mem, [arguments])
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = tuple({0: batch} for _ in arguments)
    again = tuple(torch.cat([each, each[:3]]) for each in arguments)
    with torch.no_grad():
        exported = torch.export.export(mem, arguments, dynamic_shapes=shapes).module()
        found, wanted = exported(*again), mem(*again)
    if isinstance(wanted, tuple):
        found, wanted = found[0], wanted[0]
    torch.testing.assert_close(found, wanted)


def test_layers_that_were_asked_for_and_replaced_nothing_are_named():
    config = CrossbarConfig(device="ideal", layers=["joint_recurrent", "embedding"])
    found = r"layers=\['joint_recurrent', 'embedding'\] replaced no module; .* RNN, LSTM, GRU, Emb"
    with pytest.warns(memcore.NoEffectWarning, match=found):
        memcore.convert(nn.Linear(3, 2), config)
    # One configuration may serve several networks: it warns where it serves none of them.
    memcore.convert(nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)), config)


@pytest.mark.parametrize("way", [{}, {"nonidealities": ["read_noise"]}], ids=["exact", "noisy"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Linear(4, 3), (2, 5)), (nn.Linear(4, 3), ()), (nn.Conv2d(4, 3, 1), (2, 5, 6, 6))],
)
def test_inputs_that_do_not_fit_are_refused_however_they_are_read(way, layer, shape):
    mem = memcore.convert(layer, CrossbarConfig(device="ideal", **way))
    with pytest.raises(memcore.ShapeError, match=r"input has shape \[.*\]; expected \["):
        mem(torch.ones(shape))
