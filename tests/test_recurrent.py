"""Recurrent layers and cells on crossbars compute what torch's own do, whatever their options."""

import copy
import pickle
import warnings
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import memcore
from memcore import CrossbarConfig, Stream
from memcore.nn import recurrent_at_once
from memcore.testing.layer_case import Ohmic

JOINT = ("joint_recurrent", "joint_recurrent_cell")
#: Ways in which arrays compute what they hold: at once and array by array, apart and joint.
WAYS = {
    "at once": {},
    "array by array": {"nonidealities": [Ohmic()], "tile": (3, 5)},
    "joint": {"layers": JOINT},
    "joint, array by array": {"layers": JOINT, "nonidealities": [Ohmic()]},
    "mapped bias": {"bias": "mapped", "nonidealities": [Ohmic()]},
    "joint, mapped bias": {"bias": "mapped", "layers": JOINT},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
mappings = pytest.mark.parametrize("layers", [(), JOINT], ids=["apart", "joint"])
KINDS = [nn.RNN, nn.LSTM, nn.GRU]
kinds = pytest.mark.parametrize("kind", KINDS)
CELLS = {nn.RNNCell: 1, nn.LSTMCell: 2, nn.GRUCell: 1}
cells = pytest.mark.parametrize("kind", CELLS)
DTYPES = {torch.float32: 2e-5, torch.float64: 1e-6, torch.bfloat16: 0.08}

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


def draws(*shape, dtype=torch.float32, name="x"):
    return Stream(5).child(name).normal(shape, dtype=torch.float64).to(dtype)


def memristive(layer, *, calibration=None, seed=0, **way):
    config = CrossbarConfig(**{"device": "ideal", **way})
    return memcore.convert(layer, config, calibration=calibration, seed=seed)


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [each for part in value if part is not None for each in tensors(part)]


def floats(value):
    return [each for each in tensors(value) if each.is_floating_point()]


def leaf(value):
    """A copy of an argument that takes gradients."""
    if isinstance(value, PackedSequence):
        return PackedSequence(value.data.clone().requires_grad_(), *value[1:])
    if isinstance(value, tuple):
        return tuple(map(leaf, value))
    return None if value is None else value.clone().requires_grad_()


def results(model, *arguments):
    """All outputs, and the gradients of inputs, states and parameters."""
    arguments = [leaf(argument) for argument in arguments]
    outputs = floats(model(*arguments))
    sum(
        (y * torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view_as(y)).sum() for y in outputs
    ).backward()
    found = {f"output {k}": y.detach() for k, y in enumerate(outputs)}
    found |= {f"input {k}": x.grad for k, x in enumerate(floats(arguments))}
    return found | {name: p.grad for name, p in model.named_parameters()}


def assert_computes_the_same(layer, *arguments, way, tolerance=2e-5, seed=None):
    every = []
    for model in (copy.deepcopy(layer), memristive(layer, **way)):
        if seed is not None:
            torch.manual_seed(seed)
        every.append(results(model, *arguments))
    wanted, found = every
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        scale = max(float(value.abs().max()), 1e-1)
        error = float((found[name] - value).abs().max())
        assert error <= tolerance * scale, f"{name} is off by {error / scale:.3g}"


# -- sequences -------------------------------------------------------------------------------------


@st.composite
def sequences(draw):
    """A recurrent layer, its inputs and its first state, with any of the options."""
    kind = draw(st.sampled_from(KINDS))
    options = {
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    size = hidden = draw(st.integers(2, 5))
    if kind is nn.RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind is nn.LSTM and draw(st.booleans()):
        options["proj_size"] = hidden = draw(st.integers(1, size - 1))
    layer = kind(4, size, **options)
    steps, batch = draw(st.integers(1, 5)), draw(st.none() | st.integers(1, 3))
    lead = [steps] if batch is None else [steps, batch]
    if batch is not None and options["batch_first"]:
        lead.reverse()
    state = None
    if draw(st.booleans()):
        many = options["num_layers"] * (1 + options["bidirectional"])
        shape = [many] if batch is None else [many, batch]
        state = draws(*shape, hidden, name="h")
        if kind is nn.LSTM:
            state = (state, draws(*shape, size, name="c"))
    return layer, draws(*lead, 4), state


@settings(max_examples=120)
@given(sequences(), st.sampled_from(list(WAYS.values())))
def test_recurrent_layers_compute_what_the_digital_layers_do(case, way):
    layer, x, state = case
    assert_computes_the_same(layer, x, state, way=way)


@st.composite
def packed(draw):
    """Packed sequences of any order and lengths."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    x = draws(max(lengths), len(lengths), 4)
    return pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)


@settings(max_examples=60)
@given(sequences(), packed(), st.booleans(), st.sampled_from(list(WAYS.values())))
def test_packed_sequences_are_read_as_the_digital_layers_do(case, x, with_state, way):
    layer, _, _ = case
    state = None
    if with_state:
        shape = layer.num_layers * (1 + layer.bidirectional), int(x.batch_sizes[0])
        state = draws(*shape, layer.proj_size or layer.hidden_size, name="h")
        if isinstance(layer, nn.LSTM):
            state = (state, draws(*shape, layer.hidden_size, name="c"))
    assert_computes_the_same(layer, x, state, way=way)


@kinds
@ways
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_recurrent_layers_have_the_precision_of_their_parameters(kind, way, dtype):
    layer = kind(4, 3, num_layers=2, bidirectional=True, dtype=dtype)
    x = draws(5, 2, 4, dtype=dtype)
    assert_computes_the_same(layer, x, way=way, tolerance=DTYPES[dtype])


@kinds
@ways
@pytest.mark.parametrize("lengths", [None, [5, 3, 3]], ids=["dense", "packed"])
def test_dropout_between_layers_drops_what_the_digital_layer_drops(kind, way, lengths):
    layer = kind(4, 6, num_layers=3, dropout=0.4, batch_first=True)
    x = draws(3, 5, 4)
    if lengths is not None:
        x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True)
    assert_computes_the_same(layer.train(), x, way=way, seed=7)
    assert_computes_the_same(layer.eval(), x, way=way, seed=7)


# -- cells -----------------------------------------------------------------------------------------


@cells
@ways
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(3,), ()], ids=["batch", "one"])
@pytest.mark.parametrize("given_state", [True, False])
def test_cells_compute_what_the_digital_cells_do(kind, way, dtype, bias, lead, given_state):
    layer = kind(4, 5, bias=bias, dtype=dtype)
    states = [draws(*lead, 5, dtype=dtype, name=f"h{k}") for k in range(CELLS[kind])]
    state = None
    if given_state:
        state = tuple(states) if len(states) > 1 else states[0]
    x = draws(*lead, 4, dtype=dtype)
    assert_computes_the_same(layer, x, state, way=way, tolerance=DTYPES[dtype])


def test_a_cell_has_the_nonlinearity_of_the_digital_one():
    layer = nn.RNNCell(4, 5, nonlinearity="relu")
    assert_computes_the_same(layer, draws(3, 4), draws(3, 5, name="h"), way={})


# -- what is on arrays -----------------------------------------------------------------------------


def test_matrices_bear_the_names_of_their_parameters():
    layer = nn.LSTM(4, 6, num_layers=2, bidirectional=True, proj_size=2)
    parameters = [name for name, _ in layer.named_parameters() if name.startswith("weight")]
    assert sorted(memristive(layer).matrices) == sorted(parameters)
    joint = memristive(layer, layers=JOINT)
    ends = ["l0", "l0_reverse", "l1", "l1_reverse"]
    wanted = [name for end in ends for name in (f"weight_{end}", f"weight_hr_{end}")]
    assert list(joint.matrices) == wanted
    cell = memristive(nn.GRUCell(4, 3), layers=JOINT)
    assert [each.name for each in memcore.summary(cell).layers] == [""]
    assert cell.crossbar.tiling.rows == 4 + 3


@kinds
def test_every_step_reads_every_matrix(kind):
    model = nn.Sequential(kind(4, 3, num_layers=2, bidirectional=True))
    mem = memristive(model, nonidealities=["read_noise"])
    with memcore.counting(mem) as counts:
        mem(draws(5, 2, 4))
    assert {name: each.vectors for name, each in counts.items()} == {
        f"0.weight_{what}_l{k}{way}": 5 * 2
        for k in range(2)
        for way in ("", "_reverse")
        for what in ("ih", "hh")
    }


@kinds
def test_packed_sequences_cost_no_reads_behind_their_ends(kind):
    mem = memristive(nn.Sequential(kind(4, 3)), nonidealities=["read_noise"])
    x = pack_padded_sequence(draws(5, 3, 4), torch.tensor([5, 2, 1]))
    with memcore.counting(mem) as counts:
        mem(x)
    assert [each.vectors for each in counts.values()] == [8, 8]


@kinds
@mappings
@pytest.mark.parametrize("way", [{}, {"nonidealities": ["read_noise"]}], ids=["exact", "noisy"])
def test_no_way_past_the_arrays(kind, layers, way):
    """What the cells hold decides the outputs, in evaluation and without gradients too."""
    mem = memristive(kind(4, 3), layers=layers, **way).eval()
    with torch.no_grad():
        for parameter in mem.parameters():
            parameter.zero_()
        with pytest.warns(memcore.StaleCellsWarning):
            before = mem(draws(5, 2, 4))[0]
        memcore.program(mem)
        after = mem(draws(5, 2, 4))[0]
    assert before.abs().max() > 0.05 > after.abs().max()


@mappings
def test_input_and_state_have_ranges_of_their_own(layers):
    mem = memristive(nn.LSTM(4, 3), dac="uniform", calibration=50 * draws(6, 2, 4), layers=layers)
    if layers:
        (ranges,) = [matrix.crossbar.input.range for matrix in mem.matrices.values()]
    else:
        ranges = torch.cat([matrix.crossbar.input.range for matrix in mem.matrices.values()])
    assert ranges.shape == (2, 2)
    assert ranges[0].abs().max() > 20
    assert ranges[1].abs().max() <= 1


# -- calibrating, training, copying ----------------------------------------------------------------


@kinds
@mappings
def test_an_uncalibrated_layer_takes_its_ranges_from_all_steps_of_the_first_batch(kind, layers):
    x = draws(6, 3, 4)
    way = {"dac": "uniform", "adc": "uniform", "layers": layers}
    mem, wanted = memristive(kind(4, 3), **way), None
    with pytest.warns(memcore.CalibrationWarning, match=r"from the first batch \(18 reads\)"):
        found = mem(x)[0]
    torch.manual_seed(0)
    again = copy.deepcopy(mem)
    memcore.calibrate(again, x)
    wanted = again(x)[0]
    assert torch.equal(found, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mem(x)


@kinds
@mappings
def test_a_recurrent_layer_learns_through_its_arrays(kind, layers):
    torch.manual_seed(0)
    layer = nn.ModuleDict({"rnn": kind(4, 8), "out": nn.Linear(8, 1)})
    mem = memristive(layer, layers=layers)
    x = draws(6, 16, 4)
    wanted = x.cumsum(0)[..., :1].tanh()
    optimiser = torch.optim.Adam(mem.parameters(), lr=0.03)
    losses = []
    for _ in range(30):
        loss = (mem["out"](mem["rnn"](x)[0]) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        memcore.program(mem)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@mappings
def test_a_long_pass_that_is_run_again_draws_the_same_noise(layers):
    """As `torch.utils.checkpoint` does, which keeps nothing between the steps."""
    way = {"layers": layers, "nonidealities": ["read_noise"]}
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        mem = memristive(nn.LSTM(4, 3), **way)
        x = draws(90, 2, 4).requires_grad_()
        y = checkpoint(mem, x, use_reentrant=False)[0] if again else mem(x)[0]
        y.square().sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


@kinds
@mappings
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_the_way_back_keep_the_layer(kind, layers, clone):
    layer, x = kind(4, 3, num_layers=2, batch_first=True), draws(2, 5, 4)
    effects = [{"name": "d2d", "std": 0.2}]
    mem = memristive(layer, layers=layers, nonidealities=effects)
    again = clone(mem)
    assert torch.equal(again(x)[0], mem(x)[0])
    back = memcore.revert_(again)
    assert type(back) is kind
    torch.testing.assert_close(back(x)[0], layer(x)[0])
    back.double()
    assert back(x.double())[0].dtype == torch.float64


def test_a_recurrent_layer_answers_what_programs_ask_of_torch_s():
    layer = nn.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2)
    mem = memristive(layer)
    mem.flatten_parameters()
    assert (mem.hidden_size, mem.num_layers, mem.proj_size) == (3, 2, 2)
    shapes = [[p.shape for p in each] for each in layer.all_weights]
    assert [[p.shape for p in each] for each in mem.all_weights] == shapes
    assert "4, 3, proj_size=2, num_layers=2, bidirectional=True" in repr(mem)


class Tagger(nn.Module):
    """Tags for each word of padded sentences."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 8)
        self.rnn = nn.LSTM(8, 12, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(24, 2)

    def forward(self, words, lengths):
        x = pack_padded_sequence(self.words(words), lengths, batch_first=True, enforce_sorted=False)
        return self.tags(pad_packed_sequence(self.rnn(x)[0], batch_first=True)[0])


@pytest.fixture(scope="module")
def tagging():
    """A trained tagger, sentences with lengths, and tags: is this the first word again?"""
    torch.manual_seed(0)
    words = torch.randint(6, (64, 7))
    lengths = torch.randint(2, 8, (64,)).clamp(min=1)
    lengths[0] = 7
    tags = (words == words[:, :1]).long()
    model = Tagger()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        loss = nn.functional.cross_entropy(
            model(words, lengths).flatten(0, 1), masked(tags, lengths)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, words, lengths, tags


def masked(tags, lengths):
    """Tags of the words that there are; -100 behind the end of a sentence."""
    return torch.where(torch.arange(7) < lengths[:, None], tags, -100).flatten()


def share_right(model, words, lengths, tags):
    wanted = masked(tags, lengths)
    found = model(words, lengths).flatten(0, 1).argmax(-1)
    return float((found == wanted)[wanted >= 0].double().mean())


@mappings
def test_a_tagger_keeps_its_accuracy_on_arrays(tagging, layers, tmp_path):
    model, words, lengths, tags = tagging
    with torch.no_grad():
        best = share_right(model, words, lengths, tags)
        ideal = memristive(model, layers=layers)
        torch.testing.assert_close(ideal(words, lengths), model(words, lengths), rtol=0, atol=1e-3)
        way = {
            "device": "vteam",
            "nonidealities": [{"name": "read_noise", "relative": 0.02}],
            "dac": "uniform",
            "adc": "uniform",
            "layers": [*layers, "embedding"],
            "calibration": [(words, lengths)],
        }
        chip = memristive(model, **way)
        assert best > 0.95
        assert share_right(chip, words, lengths, tags) > best - 0.05
        torch.save(chip.state_dict(), tmp_path / "chip.pt")
        other = memristive(model, seed=1, **way)
        other.load_state_dict(torch.load(tmp_path / "chip.pt"))
        assert torch.equal(other(words, lengths), chip(words, lengths))
        torch.testing.assert_close(memcore.revert_(chip)(words, lengths), model(words, lengths))


# -- compiled and in less precision ----------------------------------------------------------------


@kinds
@mappings
def test_recurrent_layers_compile_in_one_graph(kind, layers):
    torch.compiler.reset()
    mem = memristive(kind(4, 3, num_layers=2, dropout=0.2), layers=layers).eval()
    x = draws(4, 2, 4)
    compiled = torch.compile(mem, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], mem(x)[0])


@pytest.mark.parametrize("kind", [*KINDS, *CELLS])
@ways
def test_autocast_computes_about_what_full_precision_does(kind, way):
    mem = memristive(kind(4, 3), **way)
    x = draws(2, 4) if kind in CELLS else draws(5, 2, 4)
    wanted = floats(mem(x))
    with torch.autocast("cpu", torch.bfloat16):
        found = floats(mem(x))
    for one, other in zip(found, wanted, strict=True):
        assert (one.float() - other).abs().max() < 0.03


def as_torch_gives(layer, given):
    """Outputs under autocast; rounded ones where oneDNN has no LSTM in bfloat16."""
    try:
        return floats(layer(*given))
    except RuntimeError as error:
        if "LSTM forward propagation primitive" not in str(error):
            raise
    with torch.autocast("cpu", enabled=False):
        return [each.bfloat16() for each in floats(layer(*given))]


OPTIONS = [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True, "bias": False}]


@pytest.mark.parametrize(
    ("kind", "options"), [*product(KINDS, OPTIONS), (nn.LSTM, {"proj_size": 2})], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("form", ["even", "packed", "one sequence", "with state"])
def test_autocast_gives_outputs_the_dtype_that_torch_gives_them(kind, form, dtype, options):
    layer = kind(4, 3, **options).to(dtype)
    x = draws(5, 2, 4, dtype=dtype)
    given = [pack_padded_sequence(x, torch.tensor([5, 3]))] if form == "packed" else [x]
    if form == "one sequence":
        given = [x[:, 0]]
    if form == "with state":
        given = [x, torch.utils._pytree.tree_map(torch.zeros_like, layer(x)[1])]
    mem = memristive(layer)
    for learns in (True, False):
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(learns):
            wanted, found = as_torch_gives(layer, given), floats(mem(*given))
        assert [each.dtype for each in found] == [each.dtype for each in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert (one.double() - other.double()).abs().max() < 0.03


# -- what does not fit -----------------------------------------------------------------------------


@kinds
def test_sequences_that_do_not_fit_are_named(kind):
    mem = memristive(kind(4, 3, batch_first=True))
    for shape in ((2, 5, 3), (4,), (2, 0, 4), (1, 2, 5, 4)):
        with pytest.raises(memcore.ShapeError, match=r"expected \[n, steps, 4\] or \[steps, 4\]"):
            mem(torch.zeros(shape))
    state = torch.zeros(1, 3, 3)
    state = (state, state) if kind is nn.LSTM else state
    with pytest.raises(memcore.ShapeError, match=r"hx have shapes \[\[1, 3, 3\]"):
        mem(torch.zeros(2, 5, 4), state)


@cells
def test_cell_inputs_that_do_not_fit_are_named(kind):
    mem = memristive(kind(4, 3))
    with pytest.raises(memcore.ShapeError, match=r"expected \[n, 4\] or \[4\]"):
        mem(torch.zeros(2, 3))
    with pytest.raises(memcore.ShapeError, match="the state hx has shapes"):
        mem(torch.zeros(2, 4), torch.zeros(3, 3))


def test_a_weight_that_a_hook_computes_is_written_as_computed():
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.LSTM(4, 3), "weight_hh_l0")
    chip = memcore.convert(layer, memcore.CrossbarConfig(device="ideal"))
    x = torch.randn(5, 2, 4)
    torch.testing.assert_close(chip(x)[0], layer(x)[0], rtol=0, atol=1e-5)
    chip(x)[0].sum().backward()
    assert chip.weight_hh_l0_v.grad is not None


@pytest.fixture
def taken(monkeypatch):
    """How often torch's own kernels were taken."""
    calls = []

    def watched(name, kernel):
        return lambda *arguments: (calls.append(name), kernel(*arguments))[1]

    for name, kernel in recurrent_at_once._KERNELS.items():
        monkeypatch.setitem(recurrent_at_once._KERNELS, name, watched(name, kernel))
    return calls


@kinds
@pytest.mark.parametrize("way", [{}, {"bias": "mapped"}, {"nonidealities": ["d2d"]}])
@pytest.mark.parametrize("lengths", [None, [5, 5, 5], [5, 3, 1]])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}])
def test_exact_reads_without_gradients_take_torch_s_kernel(kind, way, lengths, options, taken):
    mem = memristive(kind(4, 6, **options), **way).eval()
    x = draws(5, 3, 4)
    x = x if lengths is None else pack_padded_sequence(x, torch.tensor(lengths))
    in_steps = floats(mem(x))
    assert not taken
    with torch.no_grad():
        at_once = floats(mem(x))
    backwards = options.get("bidirectional", False) and lengths != [5, 3, 1]
    assert len(taken) == options.get("num_layers", 1) * (1 + backwards)
    for one, other in zip(at_once, in_steps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@kinds
@pytest.mark.parametrize(
    "way",
    [{"dac": {"name": "uniform", "bits": 8}}, {"nonidealities": ["read_noise"]}, {"layers": JOINT}],
)
def test_other_reads_do_not(kind, way, taken):
    x = draws(5, 3, 4)
    mem = memristive(kind(4, 6), calibration=x if "dac" in way else None, **way).eval()
    with torch.no_grad():
        mem(x)
        memristive(kind(4, 6)).double()(x.double())
    assert not taken


@kinds
@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_who_hooks_the_inputs_of_arrays_sees_each_step(kind, register, taken):
    mem = memristive(kind(4, 6)).eval()
    x, seen = draws(5, 3, 4), []
    with torch.no_grad():
        wanted = floats(mem(x))
        taken.clear()
        arrays = mem.matrices["weight_hh_l0"].crossbar
        handle = getattr(arrays.input, register)(lambda _, given, *__: seen.append(given[0]))
        found = floats(mem(x))
        assert not taken
        assert [each.shape[0] for each in seen] == [3] * 5
        handle.remove()
        mem(x)
    assert taken
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
