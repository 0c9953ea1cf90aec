"""Networks of Hugging Face's transformers, tiny and with random weights, where it is installed."""

import copy

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

import memcore
from memcore import CrossbarConfig
from memcore.nn import Layer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

IDEAL = CrossbarConfig(device="ideal")
NOISY = CrossbarConfig(
    device="ideal",
    nonidealities=["read_noise"],
    dac="uniform",
    adc="uniform",
    tile=(32, 32),
)
TOKENS = torch.arange(24).view(2, 12) % 11


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2, attn_implementation="sdpa"
    )
    return transformers.GPT2LMHeadModel(config)


def bert():
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    return transformers.BertModel(config)


def llama():
    config = transformers.LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    return transformers.LlamaForCausalLM(config)


MODELS = {"gpt2": gpt2, "bert": bert, "llama": llama}
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().eval()
        for name, parameter in model.named_parameters():  # those of transformers are tiny
            if parameter.dim() > 1 and "embed" not in name:
                nn.init.normal_(parameter, std=0.2)
        return model


def run(model):
    outputs = model(TOKENS)
    return outputs.logits if "logits" in outputs else outputs.last_hidden_state


def memristive(model):
    return [name for name, m in model.named_modules() if isinstance(m, Layer)]


@models
def test_a_model_computes_what_it_computed_and_goes_back(make):
    model = seeded(make)
    expected = run(model).detach()
    mem = memcore.convert(model, IDEAL)
    scale = expected.abs().max().item()
    torch.testing.assert_close(run(mem), expected, rtol=0, atol=1e-4 * scale)
    assert len(memristive(mem)) >= 8
    torch.testing.assert_close(run(memcore.revert_(mem)), expected)
    assert memristive(mem) == []


@models
def test_gradients_are_those_of_the_model(make):
    model = seeded(make).double()
    mem = memcore.convert(model, IDEAL)
    for each in (model, mem):
        run(each).square().mean().backward()
    digital, found = (
        {name: p.grad for name, p in each.named_parameters() if p.grad is not None}
        for each in (model, mem)
    )
    assert found.keys() == digital.keys()
    for name, gradient in digital.items():
        scale = gradient.abs().max().item() + 1e-9
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-5 * scale)


@models
def test_a_noisy_model_of_8_bits_is_near_the_digital_one_and_can_be_saved(make, tmp_path):
    model = seeded(make)
    expected = run(model).detach()
    mem = memcore.convert(model, NOISY, calibration={"input_ids": TOKENS})
    other = memcore.convert(model, NOISY, seed=1, calibration={"input_ids": TOKENS})
    with torch.no_grad():
        found = run(copy.deepcopy(mem))
        error = (found - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.3
        save_model(mem, str(tmp_path / "chip"))
        load_model(other, str(tmp_path / "chip"))
        assert torch.equal(run(other), found)


def test_all_products_of_gpt2_with_weights_are_on_arrays():
    model = seeded(gpt2)
    mem = memcore.convert(model, IDEAL)
    found = memcore.summary(mem)
    assert {layer.kind for layer in found.layers} == {"Conv1D", "Linear"}
    assert mem.lm_head.weight is mem.transformer.wte.weight
    assert found.tied == (("transformer.wte", "lm_head"),)
    lookups = 16 * 16  # of positions, which are no head
    assert found.share == pytest.approx(1 - lookups / found.weights[0])
    digital = {name.rpartition(".")[2]: reason for name, reason in found.digital}
    assert digital["wte"].startswith("Embedding is converted on request only")


def test_gpt2_writes_text_token_by_token():
    model = seeded(gpt2)
    mem = memcore.convert(model, IDEAL)
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    with torch.inference_mode():
        texts = [each.generate(TOKENS[:, :4], **options) for each in (model, mem)]
    assert torch.equal(*texts)
