"""Attention and transformers on crossbars compute what torch's do, past no array."""

import copy
import itertools

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.nn import Layer, MultiheadAttention
from memcore.testing.layer_case import Ohmic

IDEAL = CrossbarConfig(device="ideal")
BROKEN = CrossbarConfig(device="ideal", nonidealities=[{"name": "stuck_at", "p_hrs": 1.0}])
#: Ideal ways of reading: one product with the folded matrix, and the currents of every tile.
EXACT, TILED = IDEAL, CrossbarConfig(device="ideal", tile=(4, 4), nonidealities=[Ohmic()])
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-6, torch.bfloat16: 5e-2}
N, QUERIES, KEYS = 2, 3, 4


def draws(*shape, dtype=torch.float32, name="x"):
    return Stream(5).child(name).normal(shape, dtype=torch.float32).to(dtype)


def seeded(make, seed=0):
    """A module whose parameters are the same every time, biases too, which begin as zeros."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make()
        for parameter in module.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter, mean=1.0, std=0.3)
    return module


def attention(dtype=torch.float32, **options):
    make = lambda: nn.MultiheadAttention(6, options.pop("num_heads", 2), **options)  # noqa: E731
    return seeded(make).to(dtype)


def assert_close(found, expected, dtype, scale=1.0):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    largest = max(expected.detach().abs().max().item(), 1e-3)
    tolerance = scale * TOLERANCE[dtype] * largest
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance, equal_nan=True)


def inputs(module, dtype, batched=True):
    """Query, key and value of the sizes of a module."""
    sizes = ((QUERIES, module.embed_dim), (KEYS, module.kdim), (KEYS, module.vdim))
    every = [draws(N, *size, dtype=dtype, name=str(k)) for k, size in enumerate(sizes)]
    if not batched:
        return [x[0] for x in every]
    return every if module.batch_first else [x.transpose(0, 1) for x in every]


OPTIONS = {
    "plain": {},
    "batch first": {"batch_first": True},
    "without bias": {"bias": False},
    "other sizes": {"kdim": 5, "vdim": 7},
    "one other size, no bias": {"vdim": 3, "bias": False, "batch_first": True},
    "added": {"add_bias_kv": True, "add_zero_attn": True},
    "all": {"kdim": 4, "add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    "one head": {"num_heads": 1},
}
MASKS = {
    "none": {},
    "padding": {"key_padding_mask": torch.arange(KEYS).expand(N, KEYS) > 2},
    "attention": {"attn_mask": torch.ones(QUERIES, KEYS, dtype=torch.bool).triu(1)},
    "attention of each head": {"attn_mask": draws(N * 2, QUERIES, KEYS, name="mask")},
    "both": {
        "key_padding_mask": torch.arange(KEYS).expand(N, KEYS) > 2,
        "attn_mask": torch.ones(QUERIES, KEYS, dtype=torch.bool).triu(2),
    },
    "causal": {
        "attn_mask": torch.ones(QUERIES, KEYS, dtype=torch.bool).triu(1),
        "is_causal": True,
    },
}


def masks_of(module, name, dtype, batched=True):
    masks = dict(MASKS[name])
    if name == "attention of each head":
        heads = (N if batched else 1) * module.num_heads
        masks["attn_mask"] = masks["attn_mask"][:heads].to(dtype)
    if not batched and "key_padding_mask" in masks:
        masks["key_padding_mask"] = masks["key_padding_mask"][0]
    return masks


@pytest.mark.parametrize("config", [EXACT, TILED], ids=["exact", "tiled"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_outputs_and_weights_are_those_of_torch(options, mask, config):
    module = attention(**options)
    mem = memcore.convert(module, config)
    assert type(mem) is MultiheadAttention
    for batched, weights in itertools.product([True, False], ["none", "averaged", "each"]):
        named = masks_of(module, mask, torch.float32, batched)
        asked = {"need_weights": weights != "none", "average_attn_weights": weights != "each"}
        expected = module(*inputs(module, torch.float32, batched), **named, **asked)
        found = mem(*inputs(module, torch.float32, batched), **named, **asked)
        assert_close(found[0], expected[0], torch.float32)
        assert (found[1] is None) is (expected[1] is None)
        if expected[1] is not None:
            assert_close(found[1], expected[1], torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("weights", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_are_those_of_torch_in_every_precision(options, weights, dtype):
    module = attention(dtype, **options)
    mem = memcore.convert(module, EXACT)
    named = masks_of(module, "both", dtype)
    grads = []
    for each in (module, mem):
        xs = [x.clone().requires_grad_() for x in inputs(module, dtype)]
        y, w = each(*xs, need_weights=weights, **named)
        loss = y.square().sum() if w is None else y.square().sum() + w.square().sum()
        loss.backward()
        grads.append(
            {"out": y}
            | {f"input {k}": x.grad for k, x in enumerate(xs)}
            | {name: p.grad for name, p in each.named_parameters()}
        )
    digital, found = grads
    assert found.keys() == digital.keys()
    for name, expected in digital.items():
        assert_close(found[name], expected, dtype, scale=3 if dtype is torch.bfloat16 else 1)


def test_masks_of_numbers_are_added_to_the_scores():
    module = attention(batch_first=True)
    mem = memcore.convert(module, EXACT)
    padding = torch.zeros(N, KEYS).masked_fill(MASKS["padding"]["key_padding_mask"], -torch.inf)
    named = {"attn_mask": draws(QUERIES, KEYS, name="mask"), "key_padding_mask": padding}
    xs = inputs(module, torch.float32)
    assert_close(mem(*xs, **named)[0], module(*xs, **named)[0], torch.float32)


@pytest.mark.parametrize("weights", [True, False])
def test_dropout_in_training_drops_what_torch_drops(weights):
    module = attention(dropout=0.5, batch_first=True).train()
    mem, xs, found = memcore.convert(module, EXACT), inputs(module, torch.float32), []
    assert mem.training
    for each in (module, mem):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            found.append(each(*xs, need_weights=weights)[0])
    assert_close(found[1], found[0], torch.float32)
    assert not torch.allclose(mem(*xs)[0], mem(*xs)[0])
    mem.eval()
    assert torch.equal(mem(*xs)[0], mem(*xs)[0])


def test_each_projection_has_converters_of_its_own():
    config = CrossbarConfig(device="ideal", dac="uniform", adc="uniform")
    module = attention(kdim=5, batch_first=True)

    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = module

        def forward(self, query, key, value):
            return self.attention(query, 10 * key, value)[0]

    xs = inputs(module, torch.float32)
    mem = memcore.convert(Cross(), config)
    memcore.calibrate(mem, [tuple(xs)])
    ranges = {
        name: m.crossbar.input.range.abs().max() for name, m in mem.attention.matrices.items()
    }
    assert list(ranges) == ["q_proj", "k_proj", "v_proj", "out_proj"]
    assert ranges["k_proj"] == pytest.approx(10 * xs[1].abs().max().item(), rel=1e-3)
    assert ranges["q_proj"] == pytest.approx(xs[0].abs().max().item(), rel=1e-3)


def test_a_summary_names_the_products_that_stay_digital():
    mem = memcore.convert(nn.ModuleDict({"a": attention()}), IDEAL)
    found = memcore.summary(mem)
    assert [layer.name for layer in found.layers] == [
        *("a.q_proj", "a.k_proj", "a.v_proj", "a.out_proj")
    ]
    assert found.share == 1.0
    assert found.weights == (4 * 36, 4 * 36)
    assert found.digital == (("a", "query times key, softmax, attention times value: no weights"),)


def test_keys_that_are_added_are_no_weights_of_a_matrix():
    mem = memcore.convert(nn.ModuleDict({"a": attention(add_bias_kv=True)}), IDEAL)
    assert memcore.summary(mem).weights == (4 * 36, 4 * 36)


def test_going_back_gives_the_very_module_with_the_present_parameters():
    module = attention()
    holder = nn.ModuleDict({"a": module})
    memcore.convert_(holder, IDEAL)
    assert holder.state_dict().keys() >= {"a.in_proj_weight", "a.out_proj.weight"}
    with torch.no_grad():
        holder["a"].out_proj.weight.fill_(0.25)
        holder["a"].in_proj_weight.fill_(0.5)
    assert memcore.revert_(holder)["a"] is module
    assert (module.out_proj.weight == 0.25).all()
    assert (module.in_proj_weight == 0.5).all()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            {"attn_mask": torch.zeros(2, 2)},
            memcore.ShapeError,
            r"attn_mask has shape \[2, 2\]; exp",
        ),
        ({"key_padding_mask": torch.zeros(1, 9)}, memcore.ShapeError, r"expected \[2, 4\]"),
        ({"is_causal": True}, memcore.ConfigError, "is_causal=True came without a mask"),
        (
            {"attn_mask": torch.zeros(QUERIES, KEYS, dtype=torch.int64)},
            memcore.ArgumentTypeError,
            "a mask has dtype torch.int64; expected torch.bool",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, error, text):
    module = attention(batch_first=True)
    mem = memcore.convert(module, IDEAL)
    with pytest.raises(error, match=text):
        mem(*inputs(module, torch.float32), **call)


def test_inputs_that_do_not_fit_are_named():
    mem = memcore.convert(attention(kdim=5), IDEAL)
    x = draws(3, 2, 6)
    with pytest.raises(memcore.ShapeError, match=r"expected \[queries, n, 6\], \[keys, n, 5\] and"):
        mem(x, x, x)


# -- transformers ----------------------------------------------------------------------------------


def encoder_layer(**options):
    options = {"dropout": 0.0, "batch_first": True, **options}
    return seeded(lambda: nn.TransformerEncoderLayer(8, 2, 12, **options))


def transformer(**options):
    options = {"dropout": 0.0, "batch_first": True, **options}
    return seeded(lambda: nn.Transformer(8, 2, 2, 2, 12, **options))


def decoder_layer(**options):
    options = {"dropout": 0.0, "batch_first": True, **options}
    return seeded(lambda: nn.TransformerDecoderLayer(8, 2, 12, **options))


SOURCE, TARGET = draws(2, 5, 8, name="source"), draws(2, 4, 8, name="target")
CAUSAL = nn.Transformer.generate_square_subsequent_mask(4)
PADDING = torch.arange(5).expand(2, 5) >= torch.tensor([[3], [5]])


def run(model, dtype=torch.float32):
    source, target = SOURCE.to(dtype), TARGET.to(dtype)
    if isinstance(model, nn.Transformer):
        return model(source, target, tgt_mask=CAUSAL.to(dtype), tgt_is_causal=True)
    if isinstance(model, nn.TransformerDecoderLayer):
        return model(target, source, tgt_mask=CAUSAL.to(dtype), memory_key_padding_mask=PADDING)
    return model(source, src_key_padding_mask=PADDING)


MODELS = {
    "encoder layer": encoder_layer,
    "norm first": lambda: encoder_layer(norm_first=True, activation="gelu"),
    "decoder layer": decoder_layer,
    "encoder": lambda: nn.TransformerEncoder(encoder_layer(), 2),
    "transformer": transformer,
}
nested = pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested tensors:UserWarning",
    "ignore:Support for mismatched key_padding_mask:UserWarning",
)
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@nested
@models
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_transformers_compute_what_torch_computes(make, dtype, mode):
    model = make().to(dtype).eval()
    mem = memcore.convert(model, EXACT)
    with mode():
        expected, found = run(model, dtype), run(mem, dtype)
    padded = torch.zeros_like(PADDING) if expected.shape[1] == 4 else PADDING
    seen = ~padded[:, : expected.shape[1]]  # what is under padding is nobody's business
    assert_close(found[seen], expected[seen], dtype)


@models
def test_gradients_of_transformers_are_those_of_torch(make):
    model = make().double().train()
    mem = memcore.convert(model, TILED)
    for each in (model, mem):
        run(each, torch.float64).square().mean().backward()
    digital, found = (
        {name: p.grad for name, p in each.named_parameters()} for each in (model, mem)
    )
    assert found.keys() == digital.keys()
    for name, expected in digital.items():
        assert_close(found[name], expected, torch.float64)


@nested
@models
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_evaluation_bypasses_no_array(make, mode):
    """torch computes a whole encoder layer from its weights in one call, if it is let."""
    model = make().eval()
    mem = memcore.convert(model, BROKEN)
    broken = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in broken.parameters():
            if parameter.dim() > 1:
                parameter.zero_()  # all cells are alike, so all weights are zero
    with mode():
        whole, found, expected = run(model), run(mem), run(broken)
    padded = torch.zeros_like(PADDING) if whole.shape[1] == 4 else PADDING
    seen = ~padded[:, : whole.shape[1]]
    assert not torch.allclose(found[seen], whole[seen], atol=1e-2)
    torch.testing.assert_close(found[seen], expected[seen], rtol=0, atol=1e-4)


@nested
def test_every_array_of_a_transformer_is_read_in_evaluation():
    mem = memcore.convert(transformer().eval(), IDEAL)
    with memcore.counting(mem) as counts, torch.inference_mode():
        run(mem)
    assert len(counts) == 2 * (4 + 2) + 2 * (8 + 2)
    assert [name for name, each in counts.items() if not each.reads] == []


@nested
def test_padding_that_torch_leaves_out_is_not_read():
    model = nn.TransformerEncoder(encoder_layer(), 1).eval()
    mem = memcore.convert(model, IDEAL)
    with memcore.counting(mem) as counts, torch.inference_mode():
        mem(SOURCE, src_key_padding_mask=PADDING)
    parts = counts["layers.0.linear1"].reads
    assert counts["layers.0.self_attn.q_proj"].reads == parts
    with memcore.counting(mem) as counts, torch.inference_mode():
        mem(SOURCE)
    assert parts * 10 == 8 * counts["layers.0.linear1"].reads  # 8 of 10 tokens are no padding


@nested
def test_nested_tensors_that_cannot_be_handled_say_what_to_do():
    mem = memcore.convert(attention(batch_first=True), IDEAL)
    x = torch.nested.nested_tensor([draws(3, 6), draws(2, 6)])
    y, weights = mem(x, x, x, need_weights=False)
    assert y.is_nested
    assert weights is None
    for call in (lambda: mem(x, x, x), lambda: mem(draws(2, 3, 6), x, x, need_weights=False)):
        with pytest.raises(memcore.ArgumentTypeError, match=r"all three nested.*to_padded_tensor"):
            call()


def test_attention_that_stays_digital_beside_arrays_computes_as_before():
    model = encoder_layer().eval()
    mem = memcore.convert(model, IDEAL, filter_fn=lambda m, name: isinstance(m, nn.Linear))
    assert [name for name, m in mem.named_modules() if isinstance(m, Layer)] == [
        *("linear1", "linear2")
    ]
    with torch.inference_mode():
        torch.testing.assert_close(mem(SOURCE), model(SOURCE))


class Own(nn.MultiheadAttention):
    """May compute anything."""


def test_a_subclass_stays_digital_with_its_out_proj_and_says_why():
    model = nn.ModuleDict({"own": Own(6, 2), "fc": nn.Linear(30, 30)})
    mem = memcore.convert(model, IDEAL)
    assert memcore.summary(mem).digital == (
        (
            "own",
            "no memristive form of Own, which may compute something else than MultiheadAttention",
        ),
        (
            "own.out_proj",
            "no memristive form of NonDynamicallyQuantizableLinear, which may compute something "
            "else than Linear",
        ),
    )
