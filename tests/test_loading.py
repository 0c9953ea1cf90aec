"""Networks whose weights come layer by layer as they are converted."""

import json
from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import memcore
from memcore import CrossbarConfig
from memcore.nn import Layer

CONFIG = CrossbarConfig(device="ideal", dac="uniform", nonidealities=[{"name": "d2d", "std": 0.1}])
TOKENS = torch.arange(12).view(2, 6) % 9


class Decoder(nn.Module):
    """Embedding, two layers of a transformer, a tied head, and buffers with and without a state."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 16)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)
        )
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 9, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.transpose(1, 2)).transpose(1, 2))


def decoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Decoder().eval()


def empty(dtype=None):
    with torch.device("meta"):
        return Decoder().to(dtype).eval()


def state():
    return {name: t for name, t in decoder().state_dict().items() if name != "head.weight"}


def shards(folder, index=True):
    whole = state()
    homes = {name: f"part-{k % 3}.safetensors" for k, name in enumerate(whole)}
    for file in set(homes.values()):
        save_file({n: t for n, t in whole.items() if homes[n] == file}, folder / file)
    if index:
        content = {"metadata": {}, "weight_map": homes}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def expected():
    return memcore.convert(decoder(), CONFIG, calibration=TOKENS)(TOKENS)


@pytest.mark.parametrize("form", ["folder", "index", "files", "file"])
def test_an_empty_network_becomes_the_chip_that_the_full_one_does(form, tmp_path, expected):
    if form == "file":
        weights = tmp_path / "all.safetensors"
        save_file(state(), weights)
    else:
        weights = shards(tmp_path, index=form != "files")
        weights = str(weights / "model.safetensors.index.json") if form == "index" else weights
    model = memcore.convert_(empty(), CONFIG, weights=weights, calibration=TOKENS)
    assert torch.equal(model(TOKENS), expected)
    assert model.head.weight is model.embedding.weight
    assert not any(each.is_meta for each in model.state_dict().values())


class Watched(Mapping):
    """Weights that note how many layers were on arrays already when each was asked for."""

    def __init__(self, model):
        self.model, self.values, self.before = model, state(), {}

    def __getitem__(self, name):
        self.before[name] = sum(isinstance(each, Layer) for each in self.model.modules())
        return self.values[name]

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


def test_the_weights_of_a_layer_are_read_when_those_before_it_are_on_arrays():
    model = empty()
    weights = Watched(model)
    memcore.convert_(model, CONFIG, weights=weights)
    names = ["self_attn.in_proj_weight", "linear1.weight", "linear2.weight", "norm1.weight"]
    order = [weights.before[f"blocks.{k}.{name}"] for k in range(2) for name in names]
    assert order == [0, 1, 2, 3, 3, 4, 5, 6]


def test_values_take_the_dtype_of_the_network_and_its_device():
    model = memcore.convert_(empty(torch.bfloat16), CONFIG, weights=state(), device="cpu")
    assert model.blocks[0].linear1.crossbar.programmed.dtype == torch.bfloat16
    assert model.embedding.weight.dtype == torch.bfloat16


def test_a_file_may_be_replaced_once_it_was_read(tmp_path, expected):
    file = tmp_path / "all.safetensors"
    save_file(state(), file)
    model = memcore.convert_(empty(), CONFIG, weights=file, calibration=TOKENS)
    with file.open("r+b") as stream:
        stream.seek(-2000, 2)
        stream.write(bytes(2000))
    assert torch.equal(model(TOKENS), expected)
    assert torch.equal(memcore.revert_(model)(TOKENS), decoder()(TOKENS))


def test_parameters_that_need_not_move_are_kept():
    model = decoder()
    before = dict(model.named_parameters())
    memcore.convert_(model, CONFIG, device="cpu")
    assert all(before[name] is each for name, each in model.named_parameters() if name in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.linear1.weight"), "'blocks.1.linear1.weight' of the network"),
        (lambda s: s.update(other=torch.ones(1)), "the weights have 'other'"),
        (lambda s: s.update({"norm.bias": torch.ones(3)}), r"norm.bias .* has shape \[3\]"),
    ],
)
def test_weights_of_another_network_are_refused(change, message):
    weights = state()
    change(weights)
    with pytest.raises(memcore.ConversionError, match=message):
        memcore.convert_(empty(), CONFIG, weights=weights)


def test_an_empty_network_without_weights_is_refused():
    for convert in (memcore.convert, memcore.convert_):
        with pytest.raises(memcore.ConversionError, match=r"expected memcore.convert_\(.*weights="):
            convert(empty(), CONFIG)


def test_a_buffer_that_no_state_has_is_refused():
    model = empty()
    model.register_buffer("angles", torch.ones(3, device="meta"), persistent=False)
    with pytest.raises(memcore.ConversionError, match="'angles' of the network have no values"):
        memcore.convert_(model, CONFIG, weights=state())


def test_folding_needs_values():
    with pytest.raises(memcore.ConversionError, match="batch norms are folded before"):
        memcore.convert_(empty(), CONFIG, weights=state(), fold_batch_norm=True)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (3, "weights=3; expected the path"),
        ("nowhere.safetensors", "cannot be read"),
        (".", "0 indices and 0 files"),
    ],
)
def test_what_has_no_weights_is_refused(weights, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(memcore.ConfigError, match=message):
        memcore.convert_(empty(), CONFIG, weights=weights)


def test_a_broken_index_and_a_device_that_is_none_are_refused(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    with pytest.raises(memcore.ConfigError, match="expected JSON with a weight_map"):
        memcore.convert_(empty(), CONFIG, weights=index)
    for device in ("meta", "nothing"):
        with pytest.raises(memcore.ConfigError, match=f"device='{device}'"):
            memcore.convert_(decoder(), CONFIG, device=device)
