import dataclasses
import warnings

import pytest
import torch
from torch import nn

import memcore
from memcore import (
    CalibrationWarning,
    ConfigError,
    ConversionError,
    CrossbarConfig,
    NoEffectWarning,
    NonIdeality,
    Stage,
    Stream,
)
from memcore.errors import MemcoreWarning, PluginShadowWarning
from memcore.nn import Conv, Layer, Linear

IDEAL = CrossbarConfig(device="ideal")
BROKEN = CrossbarConfig(device="ideal", nonidealities=[{"name": "stuck_at", "p_hrs": 1.0}])
CONVERTERS = CrossbarConfig(
    device="ideal", dac={"name": "uniform", "bits": 4}, adc={"name": "uniform", "bits": 4}
)
X = Stream(5).normal((64, 6))


class Tower(nn.Module):
    """Children in a list, a dictionary and a sequence, one of them digital."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.heads = nn.ModuleDict({"a": nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3))})

    def forward(self, x):
        for block in self.blocks:
            x = block(x).relu()
        return self.heads["a"](x)


def memristive(model):
    return [name for name, m in model.named_modules() if isinstance(m, Layer)]


# -- there and back ------------------------------------------------------------------------------


def test_convert_leaves_the_original_alone():
    model = Tower()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mem = memcore.convert(model, BROKEN)
    memcore.program(mem)
    assert memristive(model) == []
    assert memristive(mem) == ["blocks.0", "blocks.1", "heads.a.1"]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert not {id(p) for p in model.parameters()} & {id(p) for p in mem.parameters()}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("programmer", ["direct", "write_verify"])
def test_weights_that_are_no_numbers_are_refused(value, programmer):
    layer = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        layer[0].weight[1, 2] = value
    config = memcore.CrossbarConfig(device="vteam", programmer=programmer)
    with pytest.raises(memcore.ConfigError, match="1 of 12 weights of 0 are infinite or NaN"):
        memcore.convert(layer, config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain(memcore.Memristor):
    r_on: float = memcore.parameter(1e4, "ohm", "mine")
    r_off: float = memcore.parameter(1e6, "ohm", "mine")

    def conductance(self, state):
        return state[0]

    def state_of(self, conductance):
        return conductance.unsqueeze(0)

    def initial_state(self, shape, ctx):
        return torch.full((1, *shape), 1 / self.r_off)

    def step(self, state, voltage, dt, ctx):
        return state


@pytest.mark.parametrize("r_on", [1e7, -1e4, 1e6])
def test_a_device_without_a_window_is_refused(r_on):
    with pytest.raises(memcore.ConfigError, match=r"Plain has conductances from .* <= lowest <"):
        memcore.convert(nn.Linear(4, 3), memcore.CrossbarConfig(device=Plain(r_on=r_on)))


def test_convert_in_place_keeps_the_model_and_its_parameters():
    model = Tower()
    parameters = dict(model.named_parameters())
    assert memcore.convert_(model, IDEAL) is model
    assert len(memristive(model)) == 3
    assert all(p is parameters[name] for name, p in model.named_parameters())


def test_revert_restores_the_very_layers_with_the_present_weights():
    model = Tower()
    layers = list(model.modules())
    memcore.convert_(model, IDEAL)
    with torch.no_grad():
        model.blocks[0].weight.fill_(0.25)
    assert memcore.revert_(model) is model
    assert list(model.modules()) == layers
    assert (model.blocks[0].weight == 0.25).all()


def test_a_layer_alone_is_converted_and_reverted():
    layer = nn.Linear(6, 2)
    mem = memcore.convert(layer, IDEAL)
    assert type(mem) is Linear
    assert type(memcore.revert_(mem)) is nn.Linear
    with pytest.raises(ConversionError, match=r"use model = memcore\.convert\(model, config\)"):
        memcore.convert_(layer, IDEAL)


def test_every_kind_of_layer_has_its_form():
    layers = [nn.Linear(2, 2), nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv3d(2, 2, 1)]
    mem = memcore.convert(nn.ModuleList(layers), IDEAL)
    assert [type(m) for m in mem] == [Linear, Conv, Conv, Conv]


# -- which layers ----------------------------------------------------------------------------------


def test_a_filter_leaves_layers_digital():
    mem = memcore.convert(Tower(), IDEAL, filter_fn=lambda m, name: name.startswith("blocks"))
    assert memristive(mem) == ["blocks.0", "blocks.1"]


def test_patterns_choose_configs_the_first_match_counts():
    configs = {"blocks.1": BROKEN, "blocks.*": IDEAL}
    mem = memcore.convert(Tower(), configs)
    assert memristive(mem) == ["blocks.0", "blocks.1"]
    assert mem.blocks[0].crossbar.config is IDEAL
    assert mem.blocks[1].crossbar.config is BROKEN


def test_a_table_of_settings_is_a_config():
    assert memristive(memcore.convert(Tower(), {"device": "ideal", "tile": [4, 4]}))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"block.*": IDEAL}, r"config\['block\.\*'\] fits no module; there are blocks\.0, blocks"),
        ({"*": "ideal"}, r"config\['\*'\] is 'ideal'; expected a CrossbarConfig"),
        ("ideal", "config is 'ideal'; expected a CrossbarConfig or a mapping"),
    ],
)
def test_a_config_that_fits_nothing_is_named(config, text):
    with pytest.raises(ConfigError, match=text):
        memcore.convert(Tower(), config)


def test_converting_twice_says_how_to_go_back():
    with pytest.raises(ConversionError, match=r"memristive layers already; call memcore\.revert_"):
        memcore.convert(memcore.convert(Tower(), IDEAL), IDEAL)


def test_nothing_to_convert_lists_why():
    with pytest.raises(ConversionError) as caught:
        memcore.convert(nn.ModuleDict({"norm": nn.LayerNorm(2), "act": nn.ReLU()}), IDEAL)
    first, second = str(caught.value).splitlines()
    assert first.startswith("nothing was converted; expected at least one of Bilinear, Conv1d, ")
    assert second == "  norm: no memristive form of LayerNorm"
    with pytest.raises(ConversionError, match=r"blocks\.0: left out by filter_fn"):
        memcore.convert(Tower(), IDEAL, filter_fn=lambda m, name: False)


def test_a_layer_without_weights_stays_digital_and_is_named():
    with pytest.warns(UserWarning, match="zero-element"):
        empty = nn.Linear(0, 4)
    nothing = r"\(the model\): its weight has shape \[4, 0\], so there is nothing to hold"
    with pytest.raises(ConversionError, match=nothing):
        memcore.convert(empty, IDEAL)
    assert memristive(memcore.convert(nn.Sequential(nn.Linear(2, 3), empty), IDEAL)) == ["0"]


@pytest.mark.parametrize("job", [memcore.program, memcore.summary, memcore.revert_])
def test_a_digital_network_says_to_convert_first(job):
    if job is memcore.revert_:
        model = Tower()
        assert job(model) is model
        return
    with pytest.raises(
        ConversionError, match=r"this Tower has no memristive layer; call memcore\."
    ):
        job(Tower())


def test_half_precision_stays_digital_and_says_so():
    with pytest.raises(ConversionError, match=r"0: float16 is too coarse for conductances in S"):
        memcore.convert(nn.Sequential(nn.Linear(2, 2).half()), IDEAL)


# -- structures ------------------------------------------------------------------------------------


def test_a_shared_layer_is_one_set_of_arrays():
    shared = nn.Linear(6, 6)
    mem = memcore.convert(nn.Sequential(shared, nn.ReLU(), shared), BROKEN)
    assert mem[0] is mem[2]
    model = memcore.revert_(mem)
    assert model[0] is model[2]
    assert type(model[0]) is nn.Linear


def test_shared_weights_stay_shared():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    mem = memcore.convert(model, IDEAL)
    assert mem[0].weight is mem[1].weight
    assert mem[0].crossbar is not mem[1].crossbar


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("effects", [[], ["read_noise"]])
def test_a_transformer_that_drops_padding_computes_the_same(effects):
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 1).eval(), X.view(4, 16, 6)
    mask = torch.arange(16).expand(4, 16) > torch.arange(12, 16).view(4, 1)
    mem = memcore.convert(model, IDEAL.replace(nonidealities=effects))
    with torch.no_grad():
        found, expected = (m(x, src_key_padding_mask=mask) for m in (mem, model))
    assert (expected[0, 13:] == 0).all()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.2 if effects else 1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_a_transformer_does_not_bypass_its_arrays_in_evaluation(masked):
    """In evaluation torch computes a whole encoder layer from its weights, in one call."""
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    x = X.view(4, 16, 6)
    mask = torch.arange(16).expand(4, 16) > 12 if masked else None
    for config in (BROKEN, IDEAL):
        mem = memcore.convert(model, config)
        with torch.no_grad():
            evaluated = mem(x, src_key_padding_mask=mask)
        with torch.enable_grad():
            trained = mem.train()(x, src_key_padding_mask=mask).detach()
            digital = model(x, src_key_padding_mask=mask).detach()
        torch.testing.assert_close(evaluated, trained)
        assert torch.allclose(evaluated, digital, atol=1e-3) is (config is IDEAL)


# -- hooks -----------------------------------------------------------------------------------------


def hooked():
    model, calls = nn.Sequential(nn.Linear(6, 6), nn.ReLU()), []
    note = lambda name: lambda *_: calls.append(name)  # noqa: E731
    handles = [
        model[0].register_forward_pre_hook(note("pre")),
        model[0].register_forward_hook(
            lambda m, args, kwargs, y: calls.append("kw"), with_kwargs=True
        ),
        model[0].register_full_backward_hook(note("back")),
    ]
    return model, calls, handles


def test_hooks_on_layers_survive_and_their_handles_still_work():
    model, calls, handles = hooked()
    memcore.convert_(model, IDEAL)
    x = X.clone().requires_grad_()
    model(x).sum().backward()
    assert calls == ["pre", "kw", "back"]
    for handle in handles:
        handle.remove()
    model(x).sum().backward()
    assert len(calls) == 3


def test_hooks_survive_going_back():
    model, calls, _ = hooked()
    memcore.revert_(memcore.convert_(model, IDEAL))
    model(X.clone().requires_grad_()).sum().backward()
    assert calls == ["pre", "kw", "back"]


def test_hooks_of_a_copy_are_of_the_copy():
    model, _, handles = hooked()
    mem = memcore.convert(model, IDEAL)
    handles[0].remove()
    assert len(mem[0]._forward_pre_hooks) == 1


@pytest.fixture
def heads_as_a_whole():
    class Whole(memcore.Layer):
        """Has no children that the old module had."""

        replaces = (nn.ModuleDict,)

        def operands(self):
            return {"first": memcore.Operand(torch.ones(1, 2, 3))}

        def forward(self, x):
            return self.read("first", x)

    yield memcore.layers.register("whole", Whole)
    memcore.layers.unregister("whole")


def test_a_layer_of_a_plugin_takes_the_place_of_a_module_as_a_whole(heads_as_a_whole):
    mem = memcore.convert(Tower(), IDEAL)
    assert isinstance(mem.heads, heads_as_a_whole)
    assert memristive(mem) == ["blocks.0", "blocks.1", "heads"]
    assert [line.name for line in memcore.summary(mem).layers][-1] == "heads.first"
    assert isinstance(memcore.revert_(mem).heads, nn.ModuleDict)


def test_layers_that_fail_to_load_leave_the_others_usable(site):
    site.install("memcore-acme", {"memcore.layers": {"acme": "no_such_module:Acme"}})
    with pytest.warns(MemcoreWarning, match="layer 'acme' is not used.*failed to import"):
        assert memristive(memcore.convert(nn.Linear(2, 2), IDEAL)) == [""]


def test_two_layers_for_one_module_are_told_apart(site):
    source = "import memcore, torch\nclass Mine(memcore.nn.Linear): pass\n"
    site.install(
        "memcore-acme", {"memcore.layers": {"acme": "acme:Mine"}}, modules={"acme": source}
    )
    with pytest.warns(PluginShadowWarning, match="replaces torch.nn.modules.linear.Linear"):
        mem = memcore.convert(nn.Linear(2, 2), IDEAL)
    assert type(mem) is Linear


# -- chips -----------------------------------------------------------------------------------------


def spread(seed, config=None, std=0.2):
    config = config or CrossbarConfig(device="ideal", nonidealities=[{"name": "d2d", "std": std}])
    return memcore.convert(nn.Sequential(*two_equal()), config, seed=seed)


def two_equal():
    one, two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    with torch.no_grad():
        for layer in (one, two):
            layer.weight.copy_(Stream(8).normal((6, 6)))
    return one, two


def test_the_same_seed_is_the_same_chip_and_another_is_another():
    chips = [spread(seed) for seed in (3, 3, 4)]
    g = [chip[0].crossbar.conductance for chip in chips]
    assert torch.equal(g[0], g[1])
    assert not torch.equal(g[0], g[2])


def test_converting_does_not_touch_the_global_generator():
    model = nn.Sequential(*two_equal())
    state = torch.get_rng_state()
    memcore.convert(model, BROKEN)
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_of_a_chip_are_different_arrays():
    chip = spread(0)
    assert not torch.equal(chip[0].crossbar.conductance, chip[1].crossbar.conductance)


def test_a_chip_under_two_settings_shares_its_draws():
    weak, strong = (spread(0, std=std)[0].crossbar for std in (0.1, 0.2))
    ideal = memcore.convert(nn.Sequential(*two_equal()), IDEAL)[0].crossbar.conductance
    torch.testing.assert_close(
        2 * (weak.conductance / ideal).log(),
        (strong.conductance / ideal).log(),
        rtol=1e-3,
        atol=1e-5,
    )


def test_spread_of_the_users_resistances_reaches_the_cells():
    device = {
        "name": "vteam",
        "r_on": {"normal": {"mean": 2e3, "std": 100.0, "min": 1.0}},
        "r_off": {"normal": {"mean": 4e4, "std": 1e3, "min": 1.0}},
    }
    crossbar = memcore.convert(nn.Linear(300, 300), CrossbarConfig(device=device)).crossbar
    low, high = crossbar.array().device.conductance_range()
    assert (1 / high).mean().item() == pytest.approx(2e3, rel=1e-3)
    assert (1 / high).std().item() == pytest.approx(100, rel=2e-2)
    assert (1 / low).mean().item() == pytest.approx(4e4, rel=1e-3)
    assert crossbar.conductance.max().item() <= 1 / 1500


# -- calibration -----------------------------------------------------------------------------------


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3))


def ranges(model):
    crossbars = [model[i].crossbar for i in (0, 3)]
    return torch.cat([port.range for c in crossbars for port in (c.input, c.output)])


@pytest.mark.parametrize("dac", [None, "uniform", {"name": "uniform", "bits": 3}])
@pytest.mark.parametrize("adc", [None, {"name": "uniform", "bits": 3}])
@pytest.mark.parametrize("effects", [[], ["read_noise"]])
def test_neither_the_cut_nor_the_order_of_batches_matters(dac, adc, effects):
    if dac is None and adc is None:
        return
    config = CrossbarConfig(device="ideal", dac=dac, adc=adc, nonidealities=effects)
    # The larger inputs come last in one case and first in the other.
    x = X[X.abs().amax(1).argsort()]
    batches = [x, x.split(32), x.flip(0).split(32), (half for half in x.split(16))]
    found = [ranges(memcore.convert(network().eval(), config, calibration=b)) for b in batches]
    if effects:  # noise differs from read to read
        torch.testing.assert_close(found[0], found[1], rtol=0.1, atol=1e-7, equal_nan=True)
        return
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=0, equal_nan=True)


def test_calibration_covers_the_inputs_and_the_currents():
    model = memcore.convert(network().eval(), CONVERTERS, calibration=X)
    assert model[0].crossbar.input.range.tolist() == [[X.min(), X.max()]]
    top = model[0].crossbar.output.range.abs().max() / (0.2 / X.abs().max())
    largest = nn.functional.linear(X, model[0].weight).abs().max() / model[0].crossbar.gain
    assert top.item() == pytest.approx(largest.item(), rel=0.1)


def test_calibration_takes_the_inputs_of_pairs():
    pairs = [(X, torch.zeros(64)), [X, torch.zeros(64)]]
    one, two = (memcore.convert(network(), CONVERTERS, calibration=b) for b in (pairs, X))
    assert torch.equal(ranges(one), ranges(two))


def test_calibration_leaves_mode_statistics_and_read_numbers():
    config = CONVERTERS.replace(nonidealities=["read_noise"])
    model = memcore.convert(network(), config, calibration=X)
    statistics = model[1].running_mean.clone()
    model(X)
    assert model.training
    assert not torch.equal(model[1].running_mean, statistics)
    assert model[0].crossbar.training_reads == 64
    memcore.calibrate(model, X)
    assert model[0].crossbar.training_reads == 64
    assert model.training
    model.eval()(X)
    memcore.calibrate(model, X)
    assert model[0].crossbar.reads == 64


def test_calibrating_again_starts_from_scratch():
    model = memcore.convert(network().eval(), CONVERTERS, calibration=100 * X)
    memcore.calibrate(model, X)
    torch.testing.assert_close(
        ranges(model), ranges(memcore.convert(network().eval(), CONVERTERS, calibration=X))
    )


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (X * torch.nan, r"layer '0' .* 384 of 384 values at its inputs are NaN or infinite"),
        ([X, X.clone().fill_diagonal_(torch.inf)], "6 of 384 values at its inputs are NaN or inf"),
        (X[:0], "nothing to calibrate with: 1 batches, and no input in any"),
        ([], "nothing to calibrate with: 0 batches"),
        ([half[:0] for half in X.split(32)], "nothing to calibrate with: 2 batches"),
    ],
)
@pytest.mark.parametrize("dac", [None, "uniform"])
def test_what_cannot_calibrate_is_refused(calibration, message, dac):
    config = CONVERTERS.replace(dac=dac)
    with pytest.raises(ConfigError, match=message):
        memcore.convert(network().eval(), config, calibration=calibration)


def test_an_empty_batch_among_others_is_no_obstacle():
    found = [
        ranges(memcore.convert(network().eval(), CONVERTERS, calibration=batches))
        for batches in (X, [X, X[:0]])
    ]
    torch.testing.assert_close(found[0], found[1])


def test_a_failing_batch_leaves_the_model_usable():
    model = memcore.convert(network().eval(), CONVERTERS, calibration=X)
    with pytest.raises(ValueError, match="expected"):
        memcore.calibrate(model, [X, X[:, :2]])
    assert not model.training
    with pytest.warns(CalibrationWarning):
        model(X)


def test_ranges_are_taken_from_the_first_batch_with_a_warning():
    model = memcore.convert(network().eval(), CONVERTERS)
    with pytest.warns(CalibrationWarning, match=r"first batch \(64 reads\)") as caught:
        first = model(X)
    assert len(caught) == 2
    assert torch.equal(model(X), first)


def test_fixed_and_calibrated_converters_mix():
    dac = {"name": "uniform", "full_scale": 2.0}
    with pytest.warns(memcore.SaturationWarning, match=r"the DAC of 0 clips 4\.69 % of its values"):
        model = memcore.convert(network().eval(), CONVERTERS.replace(dac=dac), calibration=X)
    assert model[0].crossbar.input.range.tolist() == [[-2.0, 2.0]]
    assert model[0].crossbar.output.range.isfinite().all()


def test_calibrating_nothing_warns():
    model = memcore.convert(network(), IDEAL)
    with pytest.warns(
        NoEffectWarning, match=r"no layer has a converter; calibrate\(\) had no effect"
    ):
        memcore.calibrate(model, X)


@pytest.mark.parametrize("full_scale", [1.0, 5e-7])
def test_calibrating_fixed_ranges_says_that_it_only_counts_what_they_clip(full_scale):
    adc = {"name": "uniform", "full_scale": full_scale}
    model = memcore.convert(network().eval(), CONVERTERS.replace(dac=None, adc=adc))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        memcore.calibrate(model, X)
    said, *clipped = (str(each.message) for each in caught)
    assert said.startswith("no layer has a converter with a range to calibrate: all are fixed")
    assert bool(clipped) == (full_scale < 1e-6)
    assert not any("had no effect" in each for each in (said, *clipped))
    assert all("clips" in each for each in clipped)


def test_calibration_counts_what_a_layer_with_fixed_ranges_clips_beside_others():
    fixed = CONVERTERS.replace(dac={"name": "uniform", "full_scale": 2.0}, adc=None)
    model = memcore.convert(network().eval(), {"0": fixed, "3": CONVERTERS})
    reads = model[0].crossbar.reads.clone()
    with pytest.warns(memcore.SaturationWarning, match=r"the DAC of 0 clips 4\.69 % of its values"):
        memcore.calibrate(model, X)
    assert model[3].crossbar.is_set
    assert torch.equal(model[0].crossbar.reads, reads)


@pytest.mark.filterwarnings("ignore:no layer has a converter:memcore.NoEffectWarning")
def test_calibration_looks_at_ranges_that_are_all_fixed():
    adc = {"name": "uniform", "full_scale": 5e-7}
    model = memcore.convert(network().eval(), CONVERTERS.replace(dac=None, adc=adc))
    reads = model[0].crossbar.reads.clone()
    with pytest.warns(memcore.SaturationWarning, match=r"the ADC of [03] clips \d+"):
        memcore.calibrate(model, X)
    assert torch.equal(model[0].crossbar.reads, reads)


@pytest.mark.parametrize("job", ["convert", "calibrate", "program", "age", "first batch"])
def test_what_happens_in_inference_mode_does_not_prevent_training(job):
    config = CONVERTERS.replace(nonidealities=[Loss()])
    model = memcore.convert_(network(), config)
    with torch.inference_mode():
        match job:
            case "convert":
                model = memcore.convert(network(), config)
            case "calibrate":
                memcore.calibrate(model, X)
            case "program":
                memcore.program(model)
            case "age":
                memcore.age(model, seconds=1.0)
            case "first batch":
                with pytest.warns(CalibrationWarning):
                    model(X)
    if job != "first batch":
        memcore.calibrate(model, X)
    model.load_state_dict(model.state_dict())
    memcore.program(model)
    model(X.clone().requires_grad_()).sum().backward()
    assert model[0].weight.grad.abs().sum() > 0


# -- time and rewriting ----------------------------------------------------------------------------


class Retention(nn.Module):
    def forward(self, g, seconds):
        return g / (1 + seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(NonIdeality):
    stage = Stage.AGE

    def bind(self, array, ctx):
        return Retention()


def test_calibrated_range_that_later_inputs_exceed_is_no_mistake():
    """The converters of one layer, once they are in use, change the inputs of the next one."""
    model = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 5))
    coarse = {"name": "uniform", "bits": 3}
    config = CrossbarConfig(device="ideal", dac=coarse, adc=coarse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            x = memcore.Stream(seed).normal((4, 6))
            memcore.convert(model, config, calibration=x)


def test_ageing_without_an_effect_of_time_warns():
    with pytest.warns(
        NoEffectWarning, match=r"changes with time; age\(seconds=\.\.\.\) had no effect"
    ):
        memcore.age(spread(0), seconds=1.0)


def test_time_adds_up_for_all_layers_until_they_are_programmed():
    once, twice = (spread(0, IDEAL.replace(nonidealities=[Loss()])) for _ in range(2))
    fresh = once(X)
    memcore.age(once, seconds=3.0)
    for seconds in (1.0, 2.0):
        memcore.age(twice, seconds=seconds)
    assert torch.equal(once(X), twice(X))
    assert not torch.allclose(once(X), fresh)
    memcore.program(once)
    torch.testing.assert_close(once(X), fresh)
    assert [layer.crossbar.cells.writes.item() for layer in once] == [1, 1]


def test_stuck_cells_survive_programming():
    config = CrossbarConfig(device="ideal", nonidealities=[{"name": "stuck_at", "p_lrs": 0.2}])
    chip = spread(0, config)
    before = [layer.crossbar.conductance for layer in chip]
    memcore.program(chip)
    assert all(torch.equal(a, b.crossbar.conductance) for a, b in zip(before, chip, strict=True))
