"""Products that are looked up: layers, their tables, and a network of digits."""

import copy
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import memcore
from memcore import ConfigError
from memcore.compression import (
    CodebookConv2d,
    CodebookLinear,
    LookupActivation,
    kmeans,
    nearest,
    table_sizes,
    with_codebooks,
)

CONFIG = memcore.CrossbarConfig(device="ideal")
FORMS = {
    "products": lambda layer, x: layer(x),
    "one by one": lambda layer, x: layer.looked_up(x),
    "counters": lambda layer, x: layer.looked_up(x, counters=True),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def layers():
    """Digital layers with the inputs of a call."""
    return {
        "linear": (nn.Linear(12, 7), (5, 12)),
        "no bias": (nn.Linear(9, 4, bias=False), (2, 3, 9)),
        "conv": (nn.Conv2d(3, 5, 3, padding=1), (2, 3, 6, 5)),
        "strided": (nn.Conv2d(2, 4, (3, 2), stride=2, padding=(2, 0), dilation=2), (2, 2, 9, 8)),
    }


def with_books(layer, weights, inputs, x, product_bytes=4):
    kind = CodebookConv2d if isinstance(layer, nn.Conv2d) else CodebookLinear
    sizes = {"weights": weights, "inputs": inputs, "product_bytes": product_bytes}
    made = kind.like(layer, **sizes)
    made.take(layer.weight, kmeans(layer.weight, weights), kmeans(x, inputs)).freeze()
    return made


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", layers())
@torch.no_grad()
def test_ac_rap_1_few_integers_give_the_layer_bit_for_bit(kind, form):
    layer, shape = layers()[kind]
    layer.double()
    for parameter in layer.parameters():
        parameter.copy_(torch.randint(-4, 4, parameter.shape))
    x = torch.randint(-3, 5, shape).double()
    made = with_books(layer, 8, 8, x).double()
    assert torch.equal(FORMS[form](made, x), layer(x))


@pytest.mark.parametrize("kind", layers())
@torch.no_grad()
def test_ac_rap_2_counting_gives_what_gathering_gives(kind):
    layer, shape = layers()[kind]
    x = torch.randn(shape)
    made = with_books(layer, 6, 5, x)
    one, two = made.looked_up(x), made.looked_up(x, counters=True)
    assert torch.equal(one, two)
    torch.testing.assert_close(made(x), one, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one, layer(x), atol=1e-3)


@torch.no_grad()
def test_products_of_few_bytes_are_rougher():
    layer, x = nn.Linear(20, 6), torch.randn(9, 20)
    exact = with_books(layer, 16, 16, x)(x)
    error = [
        float((with_books(layer, 16, 16, x, b).looked_up(x) - exact).abs().max()) for b in (1, 2, 4)
    ]
    assert error[0] > 10 * error[1] > 100 * error[2]


def test_ac_rap_3_the_search_finds_the_smallest_distance():
    for _ in range(1000):
        book = torch.randn(int(torch.randint(1, 40, ()))).double().sort().values
        values = 2 * torch.randn(50).double()
        distance = (values.unsqueeze(1) - book).abs()
        found = distance.gather(1, nearest(book, values).unsqueeze(1)).squeeze(1)
        assert torch.equal(found, distance.min(1).values)


def test_ac_rap_3_distance_is_no_hamming_distance_and_ties_go_down():
    rows = torch.tensor([0.0, 7.0])
    assert nearest(rows, torch.tensor([8.0])).item() == 1
    assert nearest(rows, torch.tensor([3.5])).item() == 0


@pytest.mark.parametrize(("weights", "inputs", "size"), [(16, 16, 4), (4, 64, 2), (200, 3, 1)])
def test_ac_rap_4_bytes_are_those_of_the_formula(weights, inputs, size):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6))
    settings = {"weights": weights, "inputs": inputs, "product_bytes": size}
    x = [torch.rand(8, 1, 4, 4)]
    smaller, report = memcore.compress(model, CONFIG, [{"name": "codebook", **settings}], x)
    for name, count in (("0", 36), ("3", 96)):
        found = table_sizes(smaller)[name]
        codes = math.ceil(count * math.ceil(math.log2(weights)) / 8)
        assert (found.code_bytes, found.table_bytes) == (codes, weights * inputs * size)
        assert found.bytes == codes + weights * inputs * size
        note = f"{codes} bytes of codes and {weights * inputs * size} bytes of products"
        assert ("codebook", name, note) in report.notes
    assert "looked up" in str(report)
    assert "times fewer" not in str(report)


def test_rows_of_an_activation_are_quantiles():
    table = LookupActivation(64, nn.Tanh()).take(torch.linspace(-3, 3, 6400))
    x = torch.linspace(-3, 3, 500)
    assert (table(x) - x.tanh()).abs().max() < 0.05
    assert len(table(x).unique()) == 64
    assert table.table_bytes == 512
    x.requires_grad_()
    table(x).sum().backward()
    torch.testing.assert_close(x.grad, 1 - x.detach().tanh().square())


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.Tanh(),
        nn.Linear(8, 3),
    )


SETTINGS = {"weights": 8, "inputs": 8, "activation_rows": 16}


def test_a_network_is_saved_and_loaded(tmp_path):
    x = torch.rand(32, 1, 4, 4)
    smaller, _ = memcore.compress(network(), CONFIG, [{"name": "codebook", **SETTINGS}], [x])
    save_file(smaller.state_dict(), tmp_path / "x.safetensors")
    again = with_codebooks(network(), **SETTINGS)
    again.load_state_dict(load_file(tmp_path / "x.safetensors"))
    assert smaller[0].codes.dtype == torch.uint8
    assert not any(name.endswith("weight") for name in smaller.state_dict())
    torch.testing.assert_close(again.eval()(x), smaller.eval()(x), rtol=0, atol=0)


def test_gradients_go_straight_through_and_codes_follow():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 4, 4)
    target = x[:, 0, 0, :3].argmax(1)
    each = memcore.compressions["codebook"](**SETTINGS, epochs=6)
    start = network()
    made, report = memcore.compress(
        start,
        CONFIG,
        [each],
        [(x, target)] * 20,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    )
    losses = [figures["loss"] for _, _, figures in report.log]
    assert losses[-1] < 0.8 * losses[0]
    assert (made[3].weight_book - kmeans(start[3].weight, 8)).abs().max() > 1e-2


def test_what_has_no_table_stays_and_says_why():
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1, groups=2),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Flatten(2),
        nn.Conv1d(2, 2, 1),
        nn.Flatten(),
        nn.Linear(32, 2),
    )
    smaller, report = memcore.compress(model, CONFIG, ["codebook"], [torch.rand(4, 2, 4, 4)])
    notes = {name: text for _, name, text in report.notes}
    assert "groups" in notes["0"]
    assert "zero padding" in notes["1"]
    assert "Conv1d has no table" in notes["3"]
    assert list(table_sizes(smaller)) == ["5"]


def test_codebooks_that_do_not_fit_are_refused():
    for settings, message in (
        ({"weights": 0}, "weights"),
        ({"weights": 300}, "weights"),
        ({"product_bytes": 9}, "product_bytes"),
    ):
        with pytest.raises(ConfigError, match=message):
            memcore.compressions["codebook"](**settings)
        with pytest.raises(ConfigError, match=message):
            CodebookLinear(3, 2, **settings)
    with pytest.raises(ConfigError, match="finite numbers"):
        kmeans(torch.tensor([1.0, torch.nan]), 2)
    with pytest.raises(ConfigError, match="a whole network"):
        memcore.compress(nn.Linear(3, 2), CONFIG, ["codebook"], [torch.rand(4, 3)])


# -- digits ----------------------------------------------------------------------------------------


def lost(digits_cnn, seed, size):
    """Percentage points that codebooks of some size cost a digits network, without training."""
    model, loader = digits_cnn.trained(seed)
    each = {"name": "codebook", "weights": size, "inputs": size}
    smaller, _ = memcore.compress(model, CONFIG, [each], loader)
    return digits_cnn.accuracy(model) - digits_cnn.accuracy(smaller.eval())


def test_ac_rap_5_sixteen_entries_suffice_and_four_do_not(digits_cnn):
    assert lost(digits_cnn, 0, 16) <= 1.0
    assert lost(digits_cnn, 0, 4) >= 5.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_ac_rap_5_on_other_seeds(digits_cnn, seed):
    assert lost(digits_cnn, seed, 16) <= 1.0
    assert lost(digits_cnn, seed, 4) >= 5.0


# -- packed codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [3, 16, 200])
@pytest.mark.parametrize("kind", layers())
def test_packed_codes_give_what_entries_give(kind, weights):
    layer, shape = layers()[kind]
    x = torch.randn(shape)
    made = with_books(layer, weights, 5, x)
    with torch.no_grad():
        fast = made(x)
    torch.testing.assert_close(fast, made(x.clone().requires_grad_()).detach())


def test_packed_codes_follow_a_loaded_state_and_a_training():
    layer, x = nn.Linear(12, 7), torch.randn(5, 12)
    one, two = with_books(layer, 6, 5, x), with_books(nn.Linear(12, 7), 6, 5, x)
    with torch.no_grad():
        expected = one(x)
        assert not torch.equal(two(x), expected)
        two.load_state_dict(one.state_dict())
        assert torch.equal(two(x), expected)
        one.take(torch.zeros(7, 12), one.weight_book, one.input_book)
        assert not torch.allclose(one(x), expected), "codes that are trained are not packed"


@pytest.mark.parametrize(("name", "value"), [("codes", 200), ("weight_book", float("nan"))])
def test_a_state_that_no_codebook_has_is_refused_before_anything_is_taken(name, value):
    layer, x = nn.Linear(12, 7), torch.randn(5, 12)
    made = with_books(layer, 6, 5, x)
    before, state = (copy.deepcopy(made.state_dict()) for _ in range(2))
    state["bias"].add_(1)
    state[name].fill_(value)
    with pytest.raises(memcore.ConfigError, match=f"{name} of the state .*expected"):
        made.load_state_dict(state)
    torch.testing.assert_close(made.state_dict(), before, rtol=0, atol=0)


def test_packed_codes_follow_another_codebook():
    made, x = with_books(nn.Linear(12, 7), 6, 5, torch.randn(5, 12)), torch.randn(5, 12)
    with torch.no_grad():
        before = made(x) - made.bias
        made.recode(2 * made.weight_book)
        torch.testing.assert_close(made(x) - made.bias, 2 * before)


def test_a_gradient_passes_frozen_codes():
    layer, x = nn.Linear(12, 7), torch.randn(5, 12, requires_grad=True)
    made = with_books(layer, 6, 5, x.detach())
    made(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_coded_layers_compile_and_export():
    layer, x = nn.Linear(12, 7), torch.randn(5, 12)
    made = with_books(layer, 6, 5, x).eval()
    with torch.no_grad():
        compiled = torch.compile(made, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x), made(x))
        exported = torch.export.export(made, (x,)).module()
        torch.testing.assert_close(exported(x), made(x))
