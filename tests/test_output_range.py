"""Ranges of ADCs that training finds."""

import copy
import io

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, LearnedOutputRange, Stream
from memcore.crossbar.readers.ranging import Slope
from memcore.nn.output_range import through_share
from memcore.report.variants import with_effects

traces = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
stale = pytest.mark.filterwarnings("ignore::memcore.StaleCellsWarning")


def draws(*shape, name="x"):
    return Stream(11).child(name).normal(shape)


X, TARGET = draws(24, 10, name="inputs"), draws(24, 4, name="targets")


def memristive(layer=None, calibration=X, learned=None, **settings):
    settings = {"adc": {"name": "uniform", "bits": 5}, "tile": (4, 4), **settings}
    config = CrossbarConfig(
        device="ideal", training={"output_range": {} if learned is None else learned}, **settings
    )
    layer = nn.Linear(10, 4) if layer is None else layer
    return memcore.convert(layer, config, calibration=calibration).train()


def share_of(mem):
    return mem.matrix.output_range.share


def train(mem, steps, optimizer, x=X, target=TARGET):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (mem(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0.2, 0.6, 0.95, 1.7])
def test_the_gradient_is_that_of_finite_differences_of_the_straight_through_surrogate(start):
    """In float64: what rounding adds is a constant, and what is beyond an end is the end."""
    layer = nn.Linear(10, 4).double()
    mem = memristive(layer, X.double(), {"start": start})
    g = draws(24, 4, name="g").double()
    y = mem(X.double())
    y.backward(g)
    crossbar = mem.crossbar
    levels = crossbar.output.form
    step = (levels.step * crossbar.gain[0].flatten()[0] / crossbar.input_scale).item()
    parts = [X.double()[:, k : k + 4] @ layer.weight.detach()[:, k : k + 4].T for k in (0, 4, 8)]
    rounded = [(p / step).clamp(levels.lo, levels.hi).round() for p in parts]
    added = [
        r - (p / step).clamp(levels.lo, levels.hi) for r, p in zip(rounded, parts, strict=True)
    ]

    def loss(share):
        size = step * share / start
        read = [
            size * ((p / size).clamp(levels.lo, levels.hi) + a)
            for p, a in zip(parts, added, strict=True)
        ]
        return (g * (sum(read) + layer.bias.detach())).sum().item()

    torch.testing.assert_close(y, step * sum(rounded) + layer.bias.detach())
    slope = (loss(start + 1e-7) - loss(start - 1e-7)) / 2e-7
    assert share_of(mem).grad.item() == pytest.approx(slope / 4**0.5, rel=1e-5)


def test_the_gradient_of_slices_with_own_ranges_is_that_of_finite_differences():
    adc = {"name": "uniform", "bits": 4, "calibration": "percentile", "percentile": 95.0}
    mem = memristive(
        nn.Linear(10, 4).double(),
        X.double(),
        adc={**adc, "ratios": "powers_of_two"},
        adc_per="column",
        dac={"name": "bit_serial", "bits": 4},
        mapper={"name": "bit_slice", "weight_bits": 5, "slice_bits": 2},
        learned={"start": 0.9},
    )
    g = draws(24, 4, name="g").double()
    mem(X.double()).backward(g)
    reader = mem.matrix._rehearsing.present.reader
    forms, seen = reader.adc, []
    reader.watch = seen.append
    reader(X.double()[:, None], mem.crossbar.reads)

    def loss(share):
        found = torch.zeros(24, 1, 4, dtype=torch.float64)
        for current, (_, place) in zip(
            seen, reader._phases(X.double()[:, None], None), strict=True
        ):
            read = []
            for value, lane in zip(current, forms.lanes, strict=True):
                form = forms.forms[lane]
                code = (value / form.step).clamp(form.lo, form.hi)
                size = share * form.step
                read.append(size * ((value / size).clamp(form.lo, form.hi) + code.round() - code))
            found += place * reader.added(torch.stack(read).sum(3))
        return (g[:, None] * found).sum().item()

    slope = (loss(1 + 1e-7) - loss(1 - 1e-7)) / 2e-7
    assert share_of(mem).grad.item() == pytest.approx(slope / 0.9 / 4**0.5, rel=1e-5)


def test_a_current_at_the_end_of_the_range_counts_as_one_beyond():
    """There a derivative of `clamp` has one value or another, by the version of torch."""
    mem = memristive(nn.Linear(4, 1, bias=False), torch.ones(1, 4))
    with torch.no_grad():
        mem.weight.fill_(0.25)
    memcore.program(mem)
    memcore.calibrate(mem, torch.ones(1, 4))
    y = mem(torch.ones(1, 4))
    y.sum().backward()
    assert share_of(mem).grad.item() == pytest.approx(y.item(), rel=1e-5)
    assert y.item() == pytest.approx(1.0, rel=1e-5)


def test_the_gradient_of_outputs_passes_inside_and_a_range_of_free_currents_shrinks_by_the_decay():
    share = torch.tensor(2.0, requires_grad=True)
    value = torch.ones(3, 1, 4, requires_grad=True)
    g = draws(3, 1, 4)
    for inside, pull in ((0.96, 0.2), (0.94, 0.0)):
        share.grad = value.grad = None
        slope = Slope(torch.full((3, 1, 4), 0.5), torch.full((3, 1, 4), inside))
        through_share(value, slope, share, 0.1).backward(g)
        torch.testing.assert_close(value.grad, inside * g)
        expected = 0.5 * g.sum().item() / 2 / 4**0.5 + pull
        assert share.grad.item() == pytest.approx(expected, rel=1e-5)


def test_weights_and_inputs_get_no_gradient_of_outputs_that_are_clipped():
    mem = memristive(learned={"start": 0.3}, tile=(16, 16))
    x = X.clone().requires_grad_()
    y = mem(x)
    peak = mem.crossbar.output.range.abs().max() * mem.crossbar.gain[0] / mem.crossbar.input_scale
    inside = ((X @ mem.weight.detach().T).abs() < peak).float()
    assert 0 < inside.mean() < 1
    g = draws(24, 4, name="g")
    y.backward(g)
    torch.testing.assert_close(mem.weight.grad, (g * inside).T @ X)
    torch.testing.assert_close(x.grad, (g * inside) @ mem.effective_weight)
    torch.testing.assert_close(mem.bias.grad, g.sum(0))


def test_reads_before_one_backward_pass_add_their_gradients():
    def gradient(together):
        mem = memristive(learned={"start": 0.4}, layer=copy.deepcopy(layer))
        inputs = [X, 2 * X]
        if together:
            sum(mem(x).square().sum() for x in inputs).backward()
        else:
            for x in inputs:
                mem(x).square().sum().backward()
        return share_of(mem).grad

    layer = nn.Linear(10, 4)
    torch.testing.assert_close(gradient(True), gradient(False))


# -- training -------------------------------------------------------------------------------------


def trained_alone(layer, start, optimizer, rate, **settings):
    """The losses of a network of which training finds the range only."""
    mem = memristive(layer, learned={"start": start}, **settings)
    mem.weight.requires_grad_(False)
    mem.bias.requires_grad_(False)
    with torch.no_grad():
        target = layer(X)
    made = getattr(torch.optim, optimizer)([share_of(mem)], lr=rate)
    return share_of(mem), train(mem, 300, made, target=target)


@pytest.mark.parametrize(
    ("start", "optimizer", "rate"),
    [(0.1, "SGD", 0.5), (0.1, "Adam", 0.05), (0.1, "RMSprop", 0.02), (10.0, "Adam", 0.05)],
)
def test_training_recovers_from_a_range_that_begins_badly(start, optimizer, rate):
    """As well as from the calibrated one; from too small a range and from too large a one."""
    layer = nn.Linear(10, 4)
    adc = {"name": "uniform", "bits": 6}
    share, losses = trained_alone(layer, start, optimizer, rate, adc=adc)
    _, calibrated = trained_alone(layer, 1.0, optimizer, rate, adc=adc)
    assert 0.7 < share.item() < 1.2
    assert losses[-1] < 0.05 * losses[0]
    assert min(losses[-20:]) < 1.5 * min(calibrated[-20:])


@pytest.mark.parametrize(("optimizer", "lr"), [("SGD", 0.1), ("Adam", 0.005), ("Adam", 0.05)])
def test_weights_and_a_range_from_a_poor_start_are_found_together_with_a_rate_for_the_range(
    optimizer, lr
):
    """As the documentation says: with the rate of the weights, Adam drives the range to nothing."""
    losses = {}
    for start in (0.1, 1.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layer, other = nn.Linear(10, 4), nn.Linear(10, 4)
        with torch.no_grad():
            target = other(X)
        mem = memristive(layer, learned={"start": start}, adc={"name": "uniform", "bits": 6})
        ranged = [share_of(mem)]
        rest = [p for p in mem.parameters() if p is not ranged[0]]
        groups = [{"params": rest, "lr": lr}, {"params": ranged, "lr": 15 * lr}]
        made = getattr(torch.optim, optimizer)(groups)
        losses[start] = min(train(mem, 150, made, target=target)[-20:])
        assert share_of(mem).item() > 0.5
    assert losses[0.1] < 2 * losses[1.0]


def test_evaluation_reads_with_the_range_that_was_found_and_calibration_leaves_it_alone():
    mem = memristive(learned={"start": 0.3})
    ranges = mem.crossbar.output.range.clone()
    train(mem, 10, torch.optim.Adam(mem.parameters(), lr=0.02))
    share = share_of(mem).item()
    memcore.program(mem)
    mem.eval()
    found = mem(X)
    torch.testing.assert_close(mem.crossbar.output.range, share * ranges)
    ordinary = memristive(mem.digital()).eval()
    ordinary.crossbar.output.range.copy_(mem.crossbar.output.range)
    ordinary.crossbar.refresh()
    torch.testing.assert_close(found, ordinary(X))
    with pytest.warns(memcore.NoEffectWarning, match="no layer has a converter with a range"):
        memcore.calibrate(mem, 5 * X)
    torch.testing.assert_close(mem(X), found)


@stale
@pytest.mark.parametrize("which", ["output_range", "input_range"])
def test_evaluation_after_a_pass_in_training_mode_has_the_present_range(which):
    mem = memcore.convert(
        nn.Linear(10, 4),
        CrossbarConfig(device="ideal", dac="uniform", adc="uniform", training={which: {}}),
        calibration=X,
    )
    mem(X)
    other = copy.deepcopy(mem)
    for model in (mem, other):
        found = getattr(model.matrix, which)
        with torch.no_grad():
            next(found.parameters()).mul_(0.5)
            if which == "input_range":
                found.batches.fill_(found.learned.batches)
    for model in (mem, other):
        model.train()
        if model is mem or which == "output_range":
            model(X)
        model.eval()
    with torch.no_grad():
        after_a_pass = mem(X)
        mem.crossbar.refresh()
        torch.testing.assert_close(after_a_pass, mem(X))
        if which == "input_range":
            torch.testing.assert_close(after_a_pass, other(X))


def test_calibration_before_training_is_that_of_the_converter():
    mem = memristive(learned={"start": 0.5}).eval()
    memcore.calibrate(mem, 4 * X)
    before = mem.crossbar.output.range.clone()
    mem(X)
    torch.testing.assert_close(mem.crossbar.output.range, before)
    mem.train()(X)
    torch.testing.assert_close(mem.crossbar.output.range, 0.5 * before)


def test_a_network_that_nobody_calibrated_begins_with_the_ranges_of_its_first_batch():
    mem = memristive(calibration=None, learned={"start": 0.5})
    with pytest.warns(memcore.CalibrationWarning):
        mem(X)
    before = mem.crossbar.output.range.clone()
    mem(X).sum().backward()
    torch.testing.assert_close(mem.crossbar.output.range, 0.5 * before)
    assert share_of(mem).grad is not None


def test_slices_keep_the_ratios_of_their_ranges():
    mem = memristive(
        adc={"name": "uniform", "bits": 5, "ratios": "powers_of_two"},
        mapper={"name": "bit_slice", "weight_bits": 5, "slice_bits": 2},
    )
    before = mem.crossbar.output.range.clone()
    train(mem, 5, torch.optim.Adam(mem.parameters(), lr=0.03))
    mem(X)
    ratio = mem.crossbar.output.range / before
    assert len(before) > 1
    assert (ratio == ratio[0, 0]).all()
    assert ratio[0, 0].item() == pytest.approx(share_of(mem).item())


def test_an_ADC_goes_on_to_cover_the_same_outputs_when_the_DAC_is_calibrated_anew():
    mem = memristive(dac={"name": "uniform", "bits": 8})
    mem(X)
    before, scale = mem.crossbar.output.range.clone(), mem.crossbar.input_scale
    memcore.calibrate(mem, 2 * X)
    assert mem.crossbar.input_scale == pytest.approx(scale / 2)
    torch.testing.assert_close(mem.crossbar.output.range, before / 2)


@stale
def test_a_state_has_the_range_and_a_loaded_network_goes_on_as_the_first():
    mem = memristive(learned={"start": 0.3})
    train(mem, 5, torch.optim.Adam(mem.parameters(), lr=0.02))
    mem(X)
    buffer = io.BytesIO()
    torch.save(mem.state_dict(), buffer)
    buffer.seek(0)
    other = memristive(calibration=None, learned={"start": 0.3})
    other.load_state_dict(torch.load(buffer))
    assert other.crossbar.output.is_fixed
    runs = [train(model, 5, torch.optim.SGD(model.parameters(), lr=0.1)) for model in (mem, other)]
    assert runs[0] == runs[1]
    torch.testing.assert_close(mem.eval()(X), other.eval()(X))


@pytest.mark.parametrize("settings", [{"dac_per": "vector", "dac": "uniform"}, {"bias": "mapped"}])
def test_scaled_vectors_and_mapped_biases_are_trained_too(settings):
    adc = {"name": "uniform", "bits": 8}
    share, losses = trained_alone(nn.Linear(10, 4), 0.1, "Adam", 0.05, adc=adc, **settings)
    assert 0.7 < share.item() < 1.2
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    ("layer", "shape", "groups"),
    [
        (lambda: nn.Conv2d(4, 4, 3, groups=2), (2, 4, 5, 5), "apart"),
        (lambda: nn.Conv2d(4, 4, 2, groups=2), (2, 4, 5, 5), "packed"),
        (lambda: nn.ConvTranspose2d(2, 3, 2), (2, 2, 3, 3), "apart"),
        (lambda: nn.LSTM(3, 4, batch_first=True), (2, 3, 3), "apart"),
    ],
)
def test_every_matrix_of_other_layers_has_a_range_of_its_own(layer, shape, groups):
    x = draws(*shape)
    mem = memristive(layer(), x, {"start": 0.5}, groups=groups, tile=(32, 32), dac="uniform")
    y = mem(x)
    (y[0] if isinstance(y, tuple) else y).square().sum().backward()
    shares = [p for name, p in mem.named_parameters() if name.endswith("output_range.share")]
    assert len(shares) == len(mem.matrices)
    assert all(float(share.grad) != 0 for share in shares)


@traces
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_network_trains_its_ranges_too():
    torch._dynamo.reset()
    mem = memristive(learned={"start": 0.4})
    other = copy.deepcopy(mem)
    compiled = torch.compile(other, backend="aot_eager")
    losses = train(compiled, 4, torch.optim.SGD(other.parameters(), lr=0.1))
    assert losses == pytest.approx(
        train(mem, 4, torch.optim.SGD(mem.parameters(), lr=0.1)), rel=1e-5
    )
    assert share_of(other).item() == pytest.approx(share_of(mem).item())


@traces
@stale
@pytest.mark.parametrize("which", ["output_range", "input_range"])
def test_a_compiled_evaluation_has_the_range_that_was_found(which):
    torch._dynamo.reset()
    settings = {"dac": "uniform", "adc": {"name": "uniform", "bits": 5}}
    learned = {"start": 0.4} if which == "output_range" else {"start": 1.0, "batches": 0}
    config = CrossbarConfig(device="ideal", training={which: learned}, **settings)
    mem = memcore.convert(nn.Linear(10, 4), config, calibration=X).train()
    train(mem, 3, torch.optim.Adam(mem.parameters(), lr=0.1))
    mem.eval()
    compiled = torch.compile(copy.deepcopy(mem), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(X), mem(X))


def test_variants_of_a_chip_read_with_the_range_that_was_found():
    ranges = {"output_range": {"start": 0.5}, "input_range": {"start": 2.0}}
    config = CrossbarConfig(
        device="ideal", dac={"name": "uniform", "bits": 20}, adc="uniform", training=ranges
    )
    mem = memcore.convert(nn.Linear(10, 4), config, calibration=X).train()
    x = X.clamp(-1.9, 1.9)
    train(mem, 3, torch.optim.Adam(mem.parameters(), lr=0.01), x=x)
    memcore.program(mem)
    mem.eval()
    variant = with_effects(mem, {"adc"})
    with torch.no_grad():
        assert variant.crossbar.config.dac is None
        same = (variant(x) - mem(x)).abs() < 1e-5
        assert same.float().mean() > 0.95  # others round to the next level


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adc", "text"),
    [
        (None, "there is no ADC"),
        ({"name": "uniform", "full_scale": 1e-5}, "range of the ADC is fixed"),
        ({"name": "sar", "offset_std": 0.01}, "no equidistant levels that are the same"),
        ({"name": "ramp", "offset_std": 0.01}, "no equidistant levels"),
        ({"name": "pipeline", "offset_std": 0.01}, "no equidistant levels"),
        ("integrate_fire", "no equidistant levels"),
        ("sense_table", "no equidistant levels"),
    ],
)
def test_a_range_that_cannot_be_learned_is_refused(adc, text):
    with pytest.raises(ConfigError, match=text):
        CrossbarConfig(device="ideal", adc=adc, training={"output_range": {}})


def test_an_ADC_of_one_lane_whose_range_cannot_be_learned_is_refused():
    with pytest.raises(ConfigError, match="range of the ADC is fixed"):
        CrossbarConfig(
            device="ideal",
            mapper={"name": "bit_slice", "weight_bits": 4, "slice_bits": 2},
            adc="uniform",
            lanes=[{}, {"adc": {"name": "uniform", "full_scale": 1e-5}}],
            training={"output_range": {}},
        )


def test_settings_read_back_equal_and_wrong_ones_are_named():
    config = CrossbarConfig(
        device="ideal", adc="uniform", training={"output_range": LearnedOutputRange(start=0.5)}
    )
    assert CrossbarConfig.from_mapping(config.to_mapping()) == config
    for value, text in (
        (3, "output_range=3; expected a LearnedOutputRange"),
        ({"strt": 3}, "output_range has no setting 'strt'; did you mean 'start'"),
        ({"start": 0}, r"^training\.output_range\.start=0; expected a finite number > 0"),
        ({"decay": -1}, r"^training\.output_range\.decay=-1; expected a finite number >= 0"),
    ):
        with pytest.raises(ConfigError, match=text):
            CrossbarConfig(device="ideal", adc="uniform", training={"output_range": value})


def test_ranges_go_with_their_converters_where_these_are_left_out():
    ranges = {"input_range": {}, "output_range": {}}
    config = CrossbarConfig(device="ideal", dac="uniform", adc="uniform", training=ranges)
    assert config.replace(adc=None).training.output_range is None
    assert config.without_adc().training.output_range is None
    assert config.without_adc().training.input_range is not None
    assert config.replace(dac=None).training.input_range is None
    model = memcore.convert(nn.Linear(10, 4), config, calibration=X)
    assert memcore.check_ideal(model, X)


def test_ranges_and_steps_of_before_without_a_dimension_are_loaded():
    def chip(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layer = nn.Linear(10, 4)
        step = memcore.LearnedStep(layer.weight, levels=7)
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", step)
        training = {"output_range": {"start": 0.5 + seed}, "input_range": {"start": 2.0 + seed}}
        config = CrossbarConfig(device="ideal", dac="uniform", adc="uniform", training=training)
        return memcore.convert(layer, config, calibration=X).train()

    old, new = chip(0), chip(1)
    old(X)
    state, numbers = old.state_dict(), [".share", ".peak", ".step"]
    changed = [name for name in state if name.endswith(tuple(numbers))]
    assert sorted(name[name.rindex(".") :] for name in changed) == sorted(numbers)
    new.load_state_dict({k: v.reshape(()) if k in changed else v for k, v in state.items()})
    found = new.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in changed)
    assert torch.equal(copy.deepcopy(new).eval()(X), old.eval()(X))
