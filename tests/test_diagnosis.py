import dataclasses
import warnings
from typing import ClassVar

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig, NoEffectWarning, NonIdeality, Stage, Stream
from memcore.crossbar.writings import Writings
from memcore.report.judged import accuracy
from memcore.report.variants import with_effects

X = Stream(5).normal((200, 6))
LOADER = [(X[:150], torch.zeros(150).long()), (X[150:], torch.zeros(50).long())]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleToCycle(NonIdeality):
    stage = Stage.PROGRAM

    def bind(self, array, ctx):
        draw = ctx.random.child("write", ctx.writes).uniform(array.shape)
        return memcore.Affine(gain=0.5 + draw)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 4)).eval()


def memristive(calibration=None, **settings):
    config = CrossbarConfig(**{"device": "ideal", **settings})
    return memcore.convert(network(), config, calibration=calibration)


def mean(output, target):
    return output.detach().double().abs().mean().item()


# -- the ideal check -------------------------------------------------------------------------------


@pytest.mark.parametrize("mapper", ["differential", "offset"])
@pytest.mark.parametrize("device", ["ideal", "vteam", "linear_ion_drift"])
@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_the_hardware_computes_the_network_when_nothing_disturbs_it(mapper, device, bias):
    mem = memristive(
        X,
        mapper=mapper,
        device=device,
        bias=bias,
        nonidealities=["d2d", "read_noise", {"name": "finite_states", "states": 2}],
        adc={"name": "uniform", "bits": 2},
    )
    check = memcore.check_ideal(mem, X)
    assert check
    assert check.ok
    assert check.error < 1e-4
    assert "the hardware computes the network" in str(check)


def test_the_mapping_of_eq_1_is_caught_with_the_layers_at_fault():
    mem = memristive(mapper={"name": "differential", "linear_in": "resistance"})
    check = memcore.check_ideal(mem, X)
    assert not check
    assert [name for name, _ in check.layers] == ["0", "3"]
    assert all(error > 0.1 for _, error in check.layers)
    text = str(check)
    assert "does NOT compute the network" in text
    assert "0: " in text
    assert "3: " in text


def test_a_hook_that_changes_outputs_is_part_of_the_network():
    mem = memristive(nonidealities=["d2d"])
    seen = []
    mem[0].register_forward_hook(lambda m, args, y: y.clamp(-1, 1))
    mem[0].register_forward_pre_hook(lambda m, args: seen.append(len(args[0])))
    check = memcore.check_ideal(mem, X)
    assert check.error < 1e-4
    assert max(error for _, error in check.layers) < 1e-4
    assert len(mem[0]._forward_hooks) == 1


@pytest.mark.parametrize("job", ["check_ideal", "diagnose"])
def test_the_model_is_as_before(job):
    mem = memristive(X, adc="uniform", nonidealities=["read_noise"]).train()
    mem[1].eval()
    modules = list(mem.named_modules())
    state = {k: v.clone() for k, v in mem.state_dict().items()}
    modes = [m.training for _, m in modules]
    memcore.check_ideal(mem, X) if job == "check_ideal" else memcore.diagnose(mem, LOADER)
    assert list(mem.named_modules()) == modules
    assert [m.training for _, m in modules] == modes
    for name, value in mem.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, equal_nan=True)


def test_the_model_is_as_before_when_a_batch_fails():
    mem = memristive(nonidealities=["read_noise"])
    modules = list(mem.named_modules())
    with pytest.raises(memcore.ShapeError, match="expected"):
        memcore.check_ideal(mem, X[:, :2])
    assert list(mem.named_modules()) == modules
    assert not mem[0]._forward_hooks


# -- the error budget ------------------------------------------------------------------------------


def test_the_budget_names_every_effect_once():
    mem = memristive(
        X,
        device={"name": "ideal", "r_on": {"lognormal": {"median": 1e4, "sigma": 0.1}}},
        nonidealities=["d2d", {"name": "stuck_at", "p_hrs": 0.1}],
        dac="uniform",
        adc="uniform",
    )
    budget = memcore.diagnose(mem, LOADER, mean)
    names = [effect.name for effect in budget.effects]
    assert names == ["device(r_on)", "d2d", "stuck_at", "dac", "adc"]
    assert all(effect.acts for effect in budget.effects)
    assert budget.digital == pytest.approx(budget.ideal, rel=1e-4)
    table = str(budget).splitlines()
    assert table[0].startswith(f"digital {budget.digital:.4g}, ideal arrays")
    assert [line.split()[0] for line in table[2 : 2 + len(names)]] == names


@pytest.mark.parametrize(
    "settings",
    [
        {"nonidealities": ["d2d", {"name": "stuck_at", "p_hrs": 0.2}]},
        {"nonidealities": ["d2d"], "dac": "uniform", "adc": {"name": "uniform", "bits": 4}},
        {"nonidealities": ["read_noise"], "device": "vteam"},
    ],
)
def test_as_configured_is_what_the_model_does(settings):
    needs = X if "adc" in settings else None
    mem = memristive(needs, **settings)
    budget = memcore.diagnose(mem, LOADER, mean)
    assert budget.actual == pytest.approx(mean(mem(X), None), rel=1e-6)
    for effect in budget.effects:
        if len(budget.effects) == 1:
            assert effect.alone == budget.actual
            assert effect.without == budget.ideal


def test_the_budget_is_that_of_the_last_write():
    mem = memristive(nonidealities=[CycleToCycle()])
    memcore.program(mem)
    memcore.program(mem)
    assert memcore.diagnose(mem, LOADER, mean).actual == pytest.approx(mean(mem(X), None), rel=1e-6)


@pytest.mark.parametrize(
    "effect",
    [
        {"name": "stuck_at"},
        {"name": "d2d", "std": 0.0},
        {"name": "read_noise", "relative": 0.0},
        {"name": "read_noise", "relative": 1e-12},
        {"name": "stuck_at", "p_other": 1e-9, "conductance": 1e-5},
    ],
)
def test_an_effect_that_does_nothing_is_named(effect):
    mem = memristive(nonidealities=[{"name": "d2d", "std": 0.1}, effect])
    name = effect["name"] + ("_2" if effect["name"] == "d2d" else "")
    with pytest.warns(NoEffectWarning, match=f"^'{name}' is configured but changed no output"):
        budget = memcore.diagnose(mem, LOADER)
    assert [e.acts for e in budget.effects] == [True, False]
    assert "changed nothing" in str(budget)


@pytest.mark.parametrize("effect", ["finite_states", "stuck_at", "d2d", "read_noise"])
def test_every_bundled_effect_acts(effect):
    parameters = {"stuck_at": {"p_lrs": 0.1}}.get(effect, {})
    mem = memristive(nonidealities=[{"name": effect, **parameters}])
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoEffectWarning)
        memcore.diagnose(mem, LOADER)


def test_the_cost_of_an_effect_is_read_off_the_table():
    mem = memristive(nonidealities=[{"name": "stuck_at", "p_hrs": 1.0}])
    [effect] = memcore.diagnose(mem, LOADER, mean).effects
    bias_alone = network()
    for layer in (bias_alone[0], bias_alone[3]):
        nn.init.zeros_(layer.weight)
    assert effect.alone == pytest.approx(mean(bias_alone(X), None), rel=1e-4)


def test_accuracy_is_the_share_of_right_classes():
    output = torch.eye(4)[torch.tensor([0, 1, 2, 3])]
    assert accuracy(output, torch.tensor([0, 1, 2, 0])) == 0.75


def test_what_each_component_costs_stands_beside_the_errors():
    both = {"dac": {"name": "uniform", "bits": 6}, "adc": {"name": "uniform", "bits": 7}}
    mem = memristive(X, nonidealities=["d2d"], **both)
    report = memcore.diagnose(mem, LOADER)
    alone = memcore.cost(mem, X)
    assert report.costs.total.energy == pytest.approx(alone.total.energy)
    assert set(report.costs.components) == {
        *("cells", "adc", "dac", "shift_add", "buffer", "programming")
    }
    assert "isaac16" in str(report)
    assert "component" in str(report)
    system = memcore.diagnose(mem, LOADER, cost={"name": "mnsim"})
    assert system.costs.total == memcore.cost(mem, X, model="mnsim").total
    assert memcore.diagnose(mem, LOADER, cost=None).costs is None
    with pytest.raises(memcore.UnknownPluginError, match="did you mean: 'components'"):
        memcore.diagnose(mem, LOADER, cost="component")


def test_costs_that_are_not_known_keep_no_diagnosis_from_being_made():
    mem = memristive(X, nonidealities=["d2d"], adc={"name": "uniform", "bits": 2})
    report = memcore.diagnose(mem, LOADER)
    assert report.costs is None
    assert "no costs are known: there is no component 'isaac_adc_2b'" in str(report)


def test_a_layer_alone_can_be_diagnosed():
    mem = memcore.convert(nn.Linear(6, 4), CrossbarConfig(device="ideal", nonidealities=["d2d"]))
    assert memcore.check_ideal(mem, X)
    assert memcore.diagnose(mem, LOADER, mean).effects[0].acts


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([], "the loader has no batches; expected batches"),
        (X, "the loader is Tensor; expected batches"),
        (None, "the loader is NoneType"),
        ([X], "batch 0 of the loader is Tensor; expected batches"),
        ([*LOADER, (X, X, X)], "batch 2 of the loader is 3 parts"),
    ],
)
def test_a_loader_that_does_not_fit_is_named(loader, message):
    with pytest.raises(ConfigError, match=message):
        memcore.diagnose(memristive(), loader)


# -- what a diagnosis costs ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counting(memcore.programmers["direct"]):
    """Writes as `direct` does, and counts."""

    writes: ClassVar[int] = 0

    def program(self, array, target, ctx):
        type(self).writes += 1
        return super().program(array, target, ctx)


def writes_of_a_diagnosis(rewritten, *effects, **settings):
    """For each layer, of which one writing is that of what the cells should hold by now."""
    mem = memristive(X, programmer=Counting(), nonidealities=effects, **settings)
    for _ in range(rewritten):
        memcore.program(mem)
    before = Counting.writes
    memcore.diagnose(mem, LOADER, mean, cost=None)
    return (Counting.writes - before) / 2


@pytest.mark.filterwarnings("ignore::memcore.NoEffectWarning")
@pytest.mark.parametrize("rewritten", [0, 2])
@pytest.mark.parametrize(
    ("effects", "settings", "writes"),
    [
        ([], {}, 1),
        (["d2d"], {}, 2),
        (["d2d", "c2c"], {}, 4),
        (["d2d", "c2c", {"name": "stuck_at", "p_lrs": 0.1}], {}, 8),
        (["read_noise", {"name": "drift", "nu": 0.1}], {"dac": "uniform", "adc": "uniform"}, 1),
        (["d2d", "read_noise", {"name": "drift", "nu": 0.1}], {"adc": "uniform"}, 2),
    ],
)
def test_variants_that_are_written_alike_are_written_once(effects, settings, writes, rewritten):
    assert writes_of_a_diagnosis(rewritten, *effects, **settings) == writes


@pytest.mark.filterwarnings("ignore::memcore.NoEffectWarning")
@pytest.mark.parametrize("programmer", ["direct", "write_verify"])
def test_variants_that_adopt_cells_are_those_that_are_written(programmer):
    wear = {"name": "drift", "nu": 0.2}
    mem = memristive(
        nonidealities=["c2c", {"name": "stuck_at", "p_lrs": 0.1}, "read_noise", wear, "ir_drop"],
        device="vteam",
        programmer=programmer,
    )
    memcore.program(mem)
    memcore.age(mem, seconds=100.0)
    writings = Writings()
    every = list(mem[0].crossbar.config.effects)
    for left_out in (every, [], ["drift"], ["read_noise"], ["ir_drop"], every[2:], every):
        keep = set(every) - set(left_out)
        adopted, written = with_effects(mem[0], keep, writings), with_effects(mem[0], keep)
        assert torch.equal(adopted.crossbar.programmed, written.crossbar.programmed)
        assert torch.equal(adopted.crossbar.conductance, written.crossbar.conductance)
        assert torch.equal(adopted.crossbar.folded, written.crossbar.folded)
        assert torch.equal(adopted(X[:5]), written(X[:5]))
