"""Cells that a training writes in the order of the weights: the same as those on arrays."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import memcore
from memcore import Converter, CrossbarConfig, Mapped, Mapper, Part, Stream, UniformLevels, native
from memcore.crossbar import imagined
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.imagined import Imagination, Imagined
from memcore.crossbar.numbering import TRAINING
from memcore.crossbar.readers import InOrder, Unwritten
from memcore.nn.matrix import Matrix
from memcore.ops.crossbar_read import narrows
from memcore.ops.rehearsal import Known

BITS = {"name": "uniform", "bits": 8}
STATES = {"name": "finite_states", "states": 9}
#: Nothing is drawn in these, so that both ways give the same numbers.
QUIET = {
    "exact": {},
    "states": {"nonidealities": [STATES]},
    "converters": {"nonidealities": [STATES], "dac": BITS, "adc": BITS, "tile": (7, 5)},
    "few word lines": {"adc": BITS, "tile": (8, 8), "rows_at_once": 3},
    "mapped bias": {"nonidealities": [STATES], "bias": "mapped", "adc": BITS, "dac": BITS},
    "a scale for each column": {
        "mapper": {"name": "differential", "scale": "column"},
        "adc": BITS,
        "dac": BITS,
    },
    "linear in resistance": {"mapper": {"name": "differential", "linear_in": "resistance"}},
    "learned range": {"dac": BITS, "training": {"input_range": {"batches": 1}}},
}
with torch.random.fork_rng():
    torch.manual_seed(0)
    LAYERS = {
        "linear": (nn.Linear(18, 11), (6, 18)),
        "groups": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 6, 6)),
    }


def draws(*shape, name="x"):
    return Stream(5).child(name).normal(shape)


def rehearsed(layer, x, way, seed=0):
    """What the first step after a change reads."""
    config = CrossbarConfig(**{"device": "ideal", "training": {"chip": "any"}, **way})
    learned = config.training is not None and config.training.input_range is not None
    asks = config.adc is not None or (config.dac is not None and not learned)
    mem = memcore.convert(layer, config, calibration=x if asks else None, seed=seed).train()
    mem(x)
    with torch.no_grad():
        mem.weight.mul_(0.9)
    return mem, mem(x)


@dataclass(frozen=True, kw_only=True)
class InPrecision(Converter):
    """Levels whose step is a tensor of a precision of its own."""

    dtype: torch.dtype

    @property
    def resolution(self):
        return 8

    def observe(self, values):
        peak = values.abs().max() if values.numel() else None
        return None if peak is None else torch.stack([-peak, peak])

    def bind(self, full_scale, ctx):
        return UniformLevels(full_scale.abs().max().to(self.dtype) / 127, -127, 127)


@pytest.mark.parametrize("where", ["dac", "adc"])
def test_a_converter_that_calculates_in_double_precision_gives_the_same_levels(where):
    layer, size = LAYERS["linear"]
    single, double = (
        rehearsed(layer, draws(*size), {"dac": BITS, "adc": BITS, where: InPrecision(dtype=dtype)})
        for dtype in (torch.float32, torch.float64)
    )
    torch.testing.assert_close(double[1], single[1])
    for mem, _ in (single, double):
        memcore.program(mem.eval())
    torch.testing.assert_close(double[0](draws(*size)), single[0](draws(*size)))


class Levels(nn.Module):
    """What `UniformLevels` does, as a form that nobody knows."""

    def __init__(self, step):
        super().__init__()
        self.register_buffer("step", step)

    def forward(self, values):
        return (values / self.step).round().clamp(-127, 127) * self.step


@dataclass(frozen=True, kw_only=True)
class Fickle(Converter):
    """Levels that are another form where their range is narrow."""

    least: float

    def observe(self, values):
        peak = values.abs().max() if values.numel() else None
        return None if peak is None else torch.stack([-peak, peak])

    def bind(self, full_scale, ctx):
        peak = full_scale.abs().max()
        return Levels(peak / 127) if peak < self.least else UniformLevels(peak / 127, -127, 127)


@pytest.mark.parametrize("is_new", [True, False], ids=["another step", "the same step"])
def test_cells_are_laid_onto_arrays_once_the_form_of_a_converter_asks_for_them(is_new):
    """Nothing is drawn, so the outputs are those of a converter whose form stays as it was."""
    x, outputs, least = draws(16, 18), [], 0.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(18, 11)
    for _ in range(2):
        way = {"dac": BITS, "adc": Fickle(least=least), "training": {"input_range": {"batches": 1}}}
        mem, _ = rehearsed(layer, x, way)
        assert isinstance(source_of(mem).cells, Imagined)
        steps = int(mem.crossbar.cells.rehearsals)
        least = 0.75 * float(mem.crossbar.output.range.max())
        with torch.no_grad():
            mem.matrix.input_range.peak.mul_(2)  # half the volts, and half the range of currents
            if is_new:
                mem.weight.mul_(0.9)
        outputs.append(mem(x))
        assert int(mem.crossbar.cells.rehearsals) == steps + is_new
    assert not isinstance(source_of(mem).cells, Imagined)
    outputs[1].square().sum().backward()
    assert mem.weight.grad.isfinite().all()
    torch.testing.assert_close(*outputs)


def source_of(layer):
    return layer.matrix._rehearsing._source


def on_arrays(monkeypatch):
    monkeypatch.setattr(Imagination, "cells", lambda *arguments, **more: None)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("way", QUIET.values(), ids=QUIET)
def test_where_nothing_is_drawn_the_order_makes_no_difference(way, layer, monkeypatch):
    module, shape = layer
    x = draws(*shape)
    mem, in_order = rehearsed(module, x, way)
    assert isinstance(source_of(mem).cells, Imagined)
    on_arrays(monkeypatch)
    mem, arrays = rehearsed(module, x, way)
    assert not isinstance(source_of(mem).cells, Imagined)
    same = torch.isclose(in_order, arrays, rtol=1e-4, atol=1e-4).float().mean()
    rounds = "adc" in way or "nonidealities" in way  # a value may lie on the border of two codes
    assert same > 0.75 if rounds else same == 1


@pytest.mark.parametrize("r_on", [1e4, memcore.Normal(1e4, 1e3, min=1e3)], ids=str)
def test_cells_and_reads_have_the_distribution_of_those_on_arrays(r_on, monkeypatch):
    """Mean and spread of weights and of reads, with 40,000 cells and 20,000 reads."""
    way = {
        "device": {"name": "ideal", "r_on": r_on},
        "nonidealities": [
            {"name": "d2d", "std": 0.3},
            {"name": "c2c", "std": 0.1},
            {"name": "finite_states", "states": 40},
            {"name": "read_noise", "relative": 0.1},
        ],
    }
    module = nn.Linear(50, 400, bias=False)
    nn.init.constant_(module.weight, 0.5)
    module.weight.data[:, 25:] = -0.2
    x = torch.ones(50, 50)
    found = []
    for order in range(2):
        if order:
            on_arrays(monkeypatch)
        mem, y = rehearsed(module, x, way)
        folded = source_of(mem).folded[0]
        halves = [*folded.split(25, dim=1), (y - y.mean(0))]
        found.append(torch.stack([m for half in halves for m in (half.mean(), half.std())]))
    torch.testing.assert_close(found[0], found[1], rtol=0.03, atol=0.005)


READS = {
    "spread": {"nonidealities": ["d2d"]},
    "inputs": {"nonidealities": ["d2d", STATES], "dac": BITS},
    "noise": {"nonidealities": ["d2d", "read_noise"]},
    "converters": {"nonidealities": ["d2d"], "dac": BITS, "adc": BITS, "tile": (7, 5)},
    "all": {
        "nonidealities": ["d2d", STATES, "read_noise"],
        "dac": BITS,
        "adc": BITS,
        "tile": (7, 5),
    },
    "a scale for each column": {
        "nonidealities": ["d2d", "read_noise"],
        "mapper": {"name": "differential", "scale": "column"},
        "dac": BITS,
        "adc": BITS,
    },
    "mapped bias": {"nonidealities": ["d2d", "read_noise"], "bias": "mapped", "adc": BITS},
    "few word lines": {"nonidealities": ["read_noise"], "adc": BITS, "rows_at_once": 3},
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("way", READS.values(), ids=READS)
def test_outputs_and_gradients_are_those_of_double_precision(way, layer):
    """A code may lie on a border: one step of an ADC then, which few outputs have."""
    module, shape = layer
    x = draws(*shape)
    mem, _ = rehearsed(module, x, way)
    with torch.no_grad():
        mem.weight.mul_(0.9)
    x = 1.1 * x  # some are clipped, and none is the bound itself
    inputs = x.clone().requires_grad_()
    first = TRAINING + int(mem.crossbar.training_reads)
    y = mem(inputs)
    (y * draws(*y.shape, name="grad")).sum().backward()
    source = source_of(mem)
    exact = InOrder(*_doubled(source))
    exact.rounds = narrows(mem.weight)  # to bfloat16, as the kernel does
    rows, wanted = read_in_double(mem, x, exact, first)
    folded = source.folded.double()
    if mem.crossbar.constant:
        folded = folded[..., :-1]
    close = torch.isclose(y.detach().double(), wanted, rtol=1e-4, atol=1e-5)
    assert close.float().mean() > (0.97 if "adc" in way else 0.999)
    grad = draws(*y.shape, name="grad").double()
    again = rows.requires_grad_()
    applied = again if mem.crossbar.input.form is None else mem.crossbar.input.form.double()(again)
    weight = folded.clone().requires_grad_()
    product_of(mem, applied, weight).backward(grad)
    torch.testing.assert_close(inputs.grad.double(), rows.grad, rtol=1e-4, atol=1e-5)
    of_weight = weight.grad.reshape(mem.weight.shape)
    torch.testing.assert_close(mem.weight.grad.double(), of_weight, rtol=1e-4, atol=1e-5)


def _doubled(source):
    """What the reader of a step takes, in double precision."""
    reader = source.reader
    reader = reader.written if isinstance(reader, Unwritten) else reader
    around = reader.around
    dac, adc = copy.deepcopy(around.dac), copy.deepcopy(around.adc)
    noise = None if reader.variance is None else reader.variance.double()
    exact = around._replace(
        dac=None if dac is None else dac.double(), adc=None if adc is None else adc.double()
    )
    return Known(reader.folded.double(), noise, reader.gain.double()), exact


def read_in_double(mem, x, reader, first):
    """Inputs and outputs of a layer through another reader."""
    rows = x.double()
    number, groups = torch.tensor(first), mem.crossbar.tiling.groups
    if isinstance(mem, nn.Linear) or x.dim() == 2:
        y = reader(rows.unsqueeze(1), number).squeeze(1)
    else:
        windows = mem._window.cut(rows, groups)
        y = reader(windows.flatten(0, 2), number)
        y = y.reshape(*windows.shape[:3], -1).movedim(-1, 1)
    if mem.bias is not None and not mem.crossbar.constant:
        y = y + mem.bias.detach().double().view(-1, *[1] * (y.dim() - 2))
    return rows, y


def product_of(mem, x, folded):
    """The product that gradients are those of."""
    if x.dim() == 2:
        return nn.functional.linear(x, folded[0])
    return nn.functional.conv2d(x, folded.reshape(mem.weight.shape), groups=mem.groups)


LAWS = {
    "lognormal": [{"name": "d2d", "std": 0.3}],
    "normal": [{"name": "d2d", "std": 0.6, "distribution": "normal"}],  # some are drawn again
    "write": ["d2d", {"name": "c2c", "absolute": 1e-6}],
    "states": [STATES, {"name": "c2c", "std": 0.1}],
    "resistances": [{**STATES, "uniform_in": "resistance"}],
    "noise": ["d2d", {"name": "read_noise", "relative": 0.1, "std": 1e-7}],
}


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize("shape", [(11, 18), (70, 300), (1, 1), (29, 129)], ids=str)
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_cells_of_the_kernel_are_those_of_the_reference(law, shape, scale, monkeypatch):
    """But for rounding, and for a cell that lies between two states."""
    mapper = {"name": "differential", "scale": scale, "clip": 0.95}
    way = {"nonidealities": law, "adc": BITS, "dac": BITS, "tile": (40, 64), "mapper": mapper}
    torch.manual_seed(2)
    module = nn.Linear(shape[1], shape[0])
    x, found = draws(5, shape[1]), []
    for by_reference in range(2):
        if by_reference:
            monkeypatch.setattr(imagined, "is_plain", lambda _: False)
        mem, y = rehearsed(module, x, way)
        reader = source_of(mem).reader
        assert isinstance(reader, InOrder if by_reference else Unwritten)
        reader = reader if by_reference else reader.written
        found.append((reader.folded, reader.variance, y.detach()))
    for one, other in zip(*found, strict=True):
        if one is None:
            assert other is None
            continue
        close = torch.isclose(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()))
        assert close.float().mean() > 0.99


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@pytest.mark.parametrize("way", READS.values(), ids=READS)
@pytest.mark.parametrize("shape", [(11, 18), (70, 300)], ids=str)
def test_cells_written_on_the_way_are_read_as_those_that_are_kept(way, shape):
    """To the bit, for any size of the batch, and whether their weights are asked for."""
    mem, _ = rehearsed(nn.Linear(shape[1], shape[0]), draws(40, shape[1]), way)
    with torch.no_grad():
        mem.weight.mul_(0.9)
    x = draws(40, shape[1], name="again")
    matrix = mem.matrix.matrix_of(mem.operands()["weight"])
    source = mem.matrix._rehearsing.source(mem.crossbar, matrix)
    reader, first = source.reader, torch.tensor(7)
    if not isinstance(reader, Unwritten):
        pytest.skip("the kernel does not know these")
    x = x.unsqueeze(1)
    y, folded = reader.both(x, first, None, None, wants_folded=True)
    kept = reader.written
    assert torch.equal(folded.weight, kept.folded)
    assert torch.equal(y, reader(x, first))
    assert torch.equal(y, torch.cat([reader(x[:33], first), reader(x[33:], first + 33)]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "layer",
    [nn.Linear(6, 3), nn.Conv1d(6, 3, 2), nn.LSTM(6, 3)],
    ids=lambda each: type(each).__name__,
)
def test_weights_that_are_not_finite_are_refused_with_the_name_of_the_layer(layer, bad):
    way = {"device": "ideal", "nonidealities": ["read_noise"], "training": {"chip": "any"}}
    mem = memcore.convert(nn.Sequential(nn.Sequential(layer)), CrossbarConfig(**way)).train()
    with torch.no_grad():
        next(mem.parameters()).view(-1)[0] = bad
    with pytest.raises(memcore.ConfigError, match=r"0\.0.*(infinite or NaN|NaN or infinite)"):
        mem(draws(2, 6, 5).movedim(1, -1) if not isinstance(layer, nn.Conv1d) else draws(2, 6, 5))


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_a_first_layer_keeps_nothing_as_large_as_its_weights():
    """Neither cells nor their variances: a step has the gradient only, as that of the network."""
    way = {"nonidealities": ["d2d", STATES, "read_noise"], "dac": BITS, "adc": BITS}
    mem, _ = rehearsed(nn.Linear(400, 300), draws(8, 400), way)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        with torch.no_grad():
            mem.weight.mul_(0.9)
        y = mem(draws(8, 400))
    events = profiled.profiler.kineto_results.events()
    largest = max(event.nbytes() for event in events if event.name() == "[memory]")
    assert y.requires_grad
    assert largest < mem.weight.nbytes / 4


@pytest.mark.parametrize("way", [READS["noise"], READS["converters"], READS["all"]], ids=str)
@pytest.mark.parametrize("case", [(3, 1, 1), ((3, 2), (2, 1), 0), (2, 1, (0, 1))], ids=str)
def test_images_of_a_rehearsed_step_give_what_their_windows_give(way, case, monkeypatch):
    kernel, stride, padding = case
    torch.manual_seed(1)
    module = nn.Conv2d(4, 6, kernel, stride=stride, padding=padding, groups=2)
    found = []
    for windows in range(2):
        if windows:
            monkeypatch.setattr(Matrix, "_may_convolve", lambda *_: False)
        mem, _ = rehearsed(module, draws(3, 4, 7, 6), way)
        x = draws(3, 4, 7, 6, name="again").requires_grad_()
        y = mem(x)
        (y * draws(*y.shape, name="grad")).sum().backward()
        found.append((y.detach(), x.grad, mem.weight.grad, mem.bias.grad))
    assert torch.equal(found[0][0], found[1][0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_each_step_is_drawn_anew_and_reads_are_keyed_by_their_number():
    way = {"nonidealities": ["d2d", "read_noise"], "adc": BITS, "tile": (8, 8)}
    x = draws(12, 18)
    (first, y), (again, same) = (rehearsed(nn.Linear(18, 11), x, way) for _ in range(2))
    del again
    assert not torch.equal(y, same)  # two layers have other weights
    mem, whole = first, first(x)
    mem.crossbar.training_reads.sub_(12)
    halves = torch.cat([mem(x[:5]), mem(x[5:])])
    torch.testing.assert_close(whole, halves)
    before = source_of(mem).folded.clone()
    with torch.no_grad():
        mem.weight.mul_(1.0 + 1e-6)
    mem(x)
    assert (source_of(mem).folded - before).std() > 0.01 * before.std()


@pytest.mark.parametrize(
    "way",
    [
        {"nonidealities": [{"name": "ir_drop", "word_line": 1.0}]},
        {"nonidealities": [{"name": "stuck_at", "p_lrs": 0.1}]},
        {"nonidealities": ["thermal_noise"]},
        {"mapper": "offset"},
        {"device": "pcm_hermes"},
        {"adc": BITS, "adc_per": "column"},
        {"dac": BITS, "dac_per": "vector"},
        {"training": {"chip": "this"}},
    ],
    ids=str,
)
def test_where_the_place_of_a_cell_counts_it_is_written_on_arrays(way):
    mem, _ = rehearsed(nn.Linear(18, 11), draws(6, 18), way)
    assert not isinstance(source_of(mem).cells, Imagined)


@dataclass(frozen=True, kw_only=True)
class AsTheyAre(Mapper):
    """Weights that are conductances already, handed on without a copy."""

    cellwise = True

    def map(self, weight, device, ctx):
        del device, ctx
        return Mapped(parts=(Part(target=weight),), gain=weight.new_full((1,), 2.0))


def test_writing_in_the_order_of_the_weights_leaves_the_weights_alone():
    module = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.uniform_(1e-5, 1e-4)
    mem, _ = rehearsed(module, draws(4, 3), {"mapper": AsTheyAre()})
    assert isinstance(source_of(mem).cells, Imagined)
    assert torch.equal(mem.weight, 0.9 * module.weight)


def test_a_weight_that_is_not_finite_is_named():
    mem, _ = rehearsed(nn.Linear(18, 11), draws(6, 18), {})
    with torch.no_grad():
        mem.weight[0, 0] = torch.nan
    with pytest.raises(memcore.ConfigError, match="weights"):
        mem(draws(6, 18))


def test_a_step_of_an_optimiser_is_seen_at_a_glance(monkeypatch):
    mem, _ = rehearsed(nn.Linear(18, 11), draws(6, 18), {"nonidealities": ["d2d"]})
    optimizer = torch.optim.SGD(mem.parameters(), lr=0.1)
    looked = []
    of = Fingerprint.of
    monkeypatch.setattr(Fingerprint, "of", lambda matrix: looked.append(1) or of(matrix))
    for _ in range(3):
        optimizer.zero_grad()
        mem(draws(6, 18)).square().mean().backward()
        optimizer.step()
    assert not looked
    assert int(mem.crossbar.cells.rehearsals) == 3


@dataclass(frozen=True, kw_only=True)
class HalfMapped(memcore.mappers["differential"]):
    """A mapping of its own that inherits what another one says of itself."""

    def map(self, weight, device, ctx):
        mapped = super().map(weight, device, ctx)
        return Mapped(parts=mapped.parts, gain=0.5 * mapped.gain)


@dataclass(frozen=True, kw_only=True)
class HalfWritten(memcore.programmers["direct"]):
    """A routine of its own that inherits that another one is exact."""

    def program(self, array, target, ctx):
        exact = super().program(array, target, ctx).conductance
        return memcore.Programmed(conductance=0.5 * exact)


@dataclass(frozen=True, kw_only=True)
class Halving(memcore.nonidealities["c2c"]):
    """An effect of its own that inherits the steps of another one."""

    def bind(self, array, ctx):
        return memcore.Affine(gain=torch.full(array.shape, 0.5))


@pytest.mark.parametrize(
    "way",
    [{"mapper": HalfMapped()}, {"programmer": HalfWritten()}, {"nonidealities": [Halving()]}],
    ids=["mapper", "programmer", "effect"],
)
def test_what_a_plugin_replaces_alone_is_rehearsed_as_it_is_programmed(way):
    module, shape = LAYERS["linear"]
    mem, y = rehearsed(module, draws(*shape), way)
    memcore.program(mem.eval())
    torch.testing.assert_close(y, mem(draws(*shape)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize("size", [1e-40, 1e-44], ids=str)
def test_weights_that_have_decayed_to_almost_nothing_go_on_training(size, scale):
    """A dead column of a training with weight decay gets there: subnormal numbers."""
    layer = nn.Linear(6, 4, bias=False)
    way = {"device": "ideal", "mapper": {"name": "differential", "scale": scale}}
    mem = memcore.convert(layer, CrossbarConfig(**way, training={"chip": "any"})).train()
    with torch.no_grad():
        mem.weight[1 if scale == "column" else slice(None)] *= size
        mem.weight[:, 2] = 0.0
    x = draws(3, 6)
    torch.testing.assert_close(mem(x), nn.functional.linear(x, mem.weight), rtol=1e-4, atol=1e-5)


ASKED = []


@dataclass(frozen=True, kw_only=True)
class Noticing(memcore.mappers["differential"]):
    """The mapping, which notes when it is asked."""

    def map(self, weight, device, ctx):
        return super().map(weight, device, ctx)

    def two_parts(self, weight, device, ctx):
        ASKED.append(self.takes_largest)
        return super().two_parts(weight, device, ctx)


@pytest.mark.parametrize(("clip", "times"), [(1.0, 0), (0.5, 3)])
def test_a_mapper_is_asked_again_where_the_scale_is_its_own(clip, times):
    mem, _ = rehearsed(nn.Linear(18, 11), draws(6, 18), {"mapper": Noticing(clip=clip)})
    ASKED.clear()
    for _ in range(3):
        with torch.no_grad():
            mem.weight.mul_(0.5)
        mem(draws(6, 18))
    assert len(ASKED) == times
    weight, found = mem.weight.detach(), source_of(mem).folded[0]
    largest = found.abs().max()
    assert float(largest) == pytest.approx(float(weight.abs().quantile(clip)), rel=0.02)
    torch.testing.assert_close(found, weight.clamp(-largest, largest), rtol=1e-4, atol=1e-6)
