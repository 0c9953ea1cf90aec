import ast
import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

import memcore
from memcore import ArrayInfo, Context, Cost, Memristor, NonIdeality, PluginLoadError, Stage, Stream
from memcore.contracts import BASES, CONTRACTS
from memcore.contracts.contract import Contract, contract_of, specifications
from memcore.contracts.parameters import parameter
from memcore.registry.hooks import Hooks
from memcore.registry.verify import SPOKEN_API, verify

WHO = "device 'rram' from memcore-acme 0.3 (acme:Rram)"


@dataclass(frozen=True, kw_only=True)
class Rram(Memristor):
    r_on: float | memcore.Distribution = 1e3
    r_off: float | memcore.Distribution = 1e5

    def conductance(self, state):
        return state[0]

    def step(self, state, voltage, dt, ctx):
        return state + 0 * voltage

    def initial_state(self, shape, ctx):
        return torch.full((1, *shape), 1e-4)

    def state_of(self, conductance):
        return conductance[None]


def refused(cls, kind="devices"):
    with pytest.raises(PluginLoadError) as error:
        verify(cls, kind, WHO)
    return str(error.value)


def test_good_plugin_passes():
    verify(Rram, "devices", WHO)


def test_misspelt_argument_is_named():
    @dataclass(frozen=True, kw_only=True)
    class Misspelt(Rram):
        def step(self, state, volts, dt, ctx):
            return state

    text = refused(Misspelt)
    assert text.startswith(f"{WHO}: ")
    assert "step(self, state, volts, dt, ctx)" in text
    assert "{'volts'}" in text


def test_swapped_arguments_are_shown_beside_the_right_ones():
    @dataclass(frozen=True, kw_only=True)
    class Swapped(Rram):
        def step(self, voltage, state, dt, ctx):
            return state

    assert refused(Swapped).endswith(
        "Swapped.step(self, voltage, state, dt, ctx) should be (self, state, voltage, dt, ctx)"
    )


@pytest.mark.parametrize("name", ["combine", "decode"])
def test_mapper_of_before_is_told_what_to_return_instead(name):
    def map(self, weight, device, ctx):
        return memcore.Mapped(parts=(memcore.Part(target=weight),), gain=torch.ones(1))

    methods = {"map": map, name: lambda self, current: current[0] - current[1]}
    old = dataclass(frozen=True, kw_only=True)(type("Old", (memcore.Mapper,), methods))

    text = refused(old, "mappers")
    assert f"defines {name}, which nothing calls" in text
    assert "return memcore.Mapped(parts=(Part(target=plus), Part(target=minus, sign=-1))" in text


def test_layer_says_what_it_replaces_and_what_it_computes():
    class Nothing(memcore.Layer):
        def forward(self, x):
            return x

    class Names(Nothing):
        replaces = ("acme.nn.Gate",)

    assert "has replaces = (); expected the modules" in refused(Nothing, "layers")
    assert "does not define operands" in refused(Names, "layers")


def test_missing_argument_is_an_error():
    @dataclass(frozen=True, kw_only=True)
    class Short(Rram):
        def step(self, state, voltage, dt):
            return state

    assert "should be (self, state, voltage, dt, ctx)" in refused(Short)


def test_method_inherited_from_a_mixin_is_checked_too():
    class Mixin:
        def state_of(self, g):
            return g

    @dataclass(frozen=True, kw_only=True)
    class Mixed(Mixin, Rram):
        pass

    assert "Mixed.state_of(self, g) should be (self, conductance)" in refused(Mixed)


def test_missing_methods_are_listed():
    @dataclass(frozen=True, kw_only=True)
    class Bare(Memristor):
        def conductance(self, state):
            return state

    assert refused(Bare) == f"{WHO} does not define initial_state, state_of, step"


def test_class_that_is_no_frozen_dataclass_is_refused():
    class Plain(Rram.__mro__[1]):  # Memristor
        conductance = Rram.conductance
        step = Rram.step
        initial_state = Rram.initial_state
        state_of = Rram.state_of

    assert "is no frozen dataclass; write @dataclass(frozen=True, kw_only=True)" in refused(Plain)


def test_nonideality_without_a_stage_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Nowhere(NonIdeality):
        def bind(self, array, ctx):
            return nn.Identity()

    assert "does not say when it acts; add stage = Stage.PROGRAM" in refused(
        Nowhere, "nonidealities"
    )


@pytest.mark.parametrize("other", [object, Context, memcore.Mapper, 3])
def test_plugin_in_the_wrong_group_is_told_the_right_base(other):
    assert refused(other).endswith("expected a subclass of memcore.Memristor")


# -- versions --------------------------------------------------------------------------------------


def with_api(api):
    return dataclass(frozen=True, kw_only=True)(type("Dated", (Rram,), {"api": api}))


@pytest.mark.parametrize("api", [SPOKEN_API, SPOKEN_API - 1])
def test_this_and_the_last_api_are_spoken(api):
    verify(with_api(api), "devices", WHO)


def test_plugin_for_a_later_api_asks_for_a_newer_memcore():
    assert refused(with_api(SPOKEN_API + 1)) == (
        f"{WHO} was written for Memristor API {SPOKEN_API + 1}; this memcore speaks {SPOKEN_API}; "
        "install a newer memcore"
    )


def test_plugin_for_an_old_api_asks_for_a_newer_plugin():
    assert refused(with_api(SPOKEN_API - 2)).endswith(
        "install a newer version of the plugin's package"
    )
    assert "API 'two'" in refused(with_api("two"))


# -- the contracts ---------------------------------------------------------------------------------


def test_a_contract_exists_for_every_registry():
    assert set(BASES) == set(memcore.registries())
    for kind, contract in CONTRACTS.items():
        assert contract.kind == kind
        assert getattr(memcore, contract.__name__) is contract


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: c.__name__)
def test_growth_rule_at_most_three_arguments_beside_the_context(contract):
    import inspect

    for name in specifications(contract):
        method = getattr(contract, name)
        arguments = [a for a in inspect.signature(method).parameters if a not in ("self", "ctx")]
        assert len(arguments) <= 3, f"{contract.__name__}.{name}"
        assert method.__doc__, f"{contract.__name__}.{name} says nothing of its promise"


def test_contract_of_a_plugin_is_found_through_inheritance():
    assert contract_of(Rram) is Memristor
    assert contract_of(Memristor) is Memristor
    assert contract_of(int) is None
    assert specifications(int) == []
    assert issubclass(Rram, Contract)


def test_stages_run_in_the_order_of_their_members():
    assert list(Stage) == [Stage.PROGRAM, Stage.AGE, Stage.READ, Stage.MVM, Stage.CURRENT]
    assert sorted(Stage) == list(Stage)


# -- defaults of a device --------------------------------------------------------------------------

CTX = Context(random=Stream(0))


def test_current_is_ohmic_unless_overridden():
    state, voltage = torch.tensor([[1e-4, 2e-4]]), torch.tensor([0.1, -0.2])
    assert torch.equal(Rram().current(state, voltage), state[0] * voltage)


def test_range_is_that_of_the_resistances():
    assert Rram(r_on=2e3, r_off=1e5).conductance_range() == (1e-5, 5e-4)


def test_device_without_resistances_must_state_its_range():
    @dataclass(frozen=True, kw_only=True)
    class Unnamed(Memristor):
        conductance = Rram.conductance
        step = Rram.step
        initial_state = Rram.initial_state
        state_of = Rram.state_of

    with pytest.raises(
        NotImplementedError, match=r"Unnamed has no parameters r_on and r_off; over"
    ):
        Unnamed().conductance_range()


def test_sample_draws_each_distribution_for_every_cell():
    device = Rram(r_on=memcore.Normal(1e3, 50.0), r_off=memcore.Normal(1e5, 1e3))
    sampled = device.sample((3, 4), CTX)

    assert sampled.r_on.shape == sampled.r_off.shape == (3, 4)
    assert torch.equal(sampled.r_on, device.sample((3, 4), CTX).r_on)
    z_on, z_off = (sampled.r_on - 1e3) / 50, (sampled.r_off - 1e5) / 1e3
    assert not torch.allclose(z_on, z_off), "each parameter has draws of its own"
    assert Rram().sample((3, 4), CTX) == Rram()


def test_nominal_replaces_each_distribution_by_its_nominal_value():
    device = Rram(r_on=memcore.Normal(1e3, 50.0), r_off=memcore.LogNormal(1e5, 0.3))
    assert device.nominal() == Rram(r_on=1e3, r_off=1e5)
    assert Rram().nominal() == Rram()


# -- records ---------------------------------------------------------------------------------------


def test_child_context_differs_only_in_its_stream():
    ctx = Context(random=Stream(0), temperature=350.0, writes=2)
    assert ctx.child("fc1", 3) == dataclasses.replace(ctx, random=Stream(0).child("fc1", 3))


def test_costs_add():
    one, two = Cost(energy=1.0, time=2.0, area=3.0), Cost(energy=10.0, time=20.0, area=30.0)
    assert one + two == Cost(energy=11.0, time=22.0, area=33.0)


def test_array_info_knows_its_shape_and_pickles():
    array = ArrayInfo(arrays=2, rows=3, cols=4, device=Rram(), nominal=Rram(), name="fc1")
    assert array.shape == (2, 3, 4)
    assert pickle.loads(pickle.dumps(array)) == array


def test_parameter_keeps_unit_and_meaning():
    @dataclass(frozen=True, kw_only=True)
    class Documented(Rram):
        v_on: float = parameter(-0.2, "V", "threshold")
        name: ClassVar[str] = "x"

    (field,) = (f for f in dataclasses.fields(Documented) if f.name == "v_on")
    assert (field.default, field.metadata["unit"], field.metadata["doc"]) == (
        -0.2,
        "V",
        "threshold",
    )


def test_every_hook_has_a_caller_that_is_no_test():
    # The kit calls all of them, and a hook that only the kit calls changes nothing.
    root = Path(__file__).parents[1]
    trees = {
        path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("memcore", "plugins/memcore_plugins")
        for path in (root / folder).rglob("*.py")
    }
    named = {
        node.attr
        for name, tree in trees.items()
        if not name.startswith("memcore/testing/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    hooks = {f"Hooks.{name}" for name in vars(Hooks) if name.startswith("memcore_")} | {
        f"{contract.__name__}.{name}"
        for contract in CONTRACTS.values()
        for name in specifications(contract)
    }
    uncalled = {hook for hook in hooks if hook.partition(".")[2] not in named}
    assert uncalled == set()
