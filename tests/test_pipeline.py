"""Third-party effects of every stage, as plain modules, against sums written out by hand."""

import dataclasses

import pytest
import torch
from torch import nn

import memcore
from memcore import (
    Affine,
    Aging,
    ArrayInfo,
    ConfigError,
    Context,
    Effective,
    Gaussian,
    NonIdeality,
    Stage,
    Steady,
    Stream,
    UniformLevels,
)
from memcore.crossbar.clock import Clock
from memcore.crossbar.effects import Effects
from memcore.registry.specs import effect_names

IDEAL = memcore.devices["ideal"]()
ARRAY = ArrayInfo(arrays=2, rows=3, cols=4, device=IDEAL, nominal=IDEAL)
CTX = Context(random=Stream(0))
G = 1e-6 + 1e-4 * Stream(1).uniform(ARRAY.shape)
V = Stream(2).normal((5, 2, 3))
READS = torch.arange(5)


def clock(seconds=0.0, temperature=300.0, **passed):
    found = Clock()
    found.advance(temperature, seconds=seconds, **passed)
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Custom(NonIdeality):
    """Any module at any stage, for these tests."""

    stage = Stage.READ
    module: object

    def bind(self, array, ctx):
        return self.module


def at(stage, module):
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(
        type(f"At{stage.name}", (Custom,), {"stage": stage, "__module__": __name__})
    )
    return cls(module=module)


class Telegraph(nn.Module):
    """At each read every cell is off with probability 1/2."""

    def forward(self, g, stream):
        return g * stream.bernoulli(0.5, g.shape[1:])


class Squared(nn.Module):
    def forward(self, v, g):
        return torch.einsum("nar,marc->nac", v**2, g)


class Thermal(nn.Module):
    def forward(self, i, stream):
        return i + 1e-6 * stream.normal(i.shape[1:])


class Drift(nn.Module):
    def forward(self, g, seconds):
        return g * (1 + seconds) ** -0.1


def named(effects):
    return dict(zip(effect_names(effects), effects, strict=True))


def pipeline(*effects):
    return Effects(named(effects), ARRAY, CTX)


def product(v, g):
    return torch.einsum("nar,narc->nac", v, g.expand(len(v), *G.shape))


def key(name):
    return CTX.random.child(name, "read").key


def stream(effect):
    return memcore.ReadStream(key(*effect_names([effect])), READS)


def test_without_effects_a_read_is_ohm_and_kirchhoff():
    p = pipeline()
    assert p.is_product
    assert not p.is_stochastic
    torch.testing.assert_close(p.currents(V, G, READS), product(V, G))


def test_a_module_at_read_sees_each_read_apart():
    effect = at(Stage.READ, Telegraph())
    p = pipeline(effect)
    assert p.is_stochastic
    assert not p.is_product
    g = G * stream(effect).bernoulli(0.5, G.shape)
    torch.testing.assert_close(p.currents(V, G, READS), product(V, g))


def test_a_module_may_compute_the_product():
    p = pipeline(at(Stage.MVM, Squared()))
    assert not p.is_product
    torch.testing.assert_close(p.currents(V, G, READS), product(V**2, G))


def test_a_module_acts_on_the_currents_of_the_lines():
    effect = at(Stage.CURRENT, Thermal())
    noise = 1e-6 * stream(effect).normal((2, 4))
    torch.testing.assert_close(pipeline(effect).currents(V, G, READS), product(V, G) + noise)


def test_a_module_ages_with_the_clock():
    p = pipeline(at(Stage.AGE, Drift()))
    assert torch.equal(p.settled(G, clock()), G)
    torch.testing.assert_close(p.settled(G, clock(99.0)), G * 100**-0.1)
    assert p.is_product


def test_stages_act_in_their_order_and_effects_of_one_stage_in_the_users():
    read = [at(Stage.READ, Affine(2.0)), at(Stage.READ, Affine(1.0, 1e-5))]
    late, early = at(Stage.CURRENT, Affine(1.0, 1e-6)), at(Stage.AGE, Drift())
    p = pipeline(late, read[0], early, read[1])
    torch.testing.assert_close(p.settled(G, clock(99.0)), 2 * G * 100**-0.1 + 1e-5)
    swapped = pipeline(read[1], read[0])
    torch.testing.assert_close(swapped.settled(G, clock()), 2 * (G + 1e-5))
    torch.testing.assert_close(p.currents(V, G, READS), product(V, G) + 1e-6)


def test_steady_effects_after_a_noise_act_on_the_noisy_value():
    p = pipeline(at(Stage.READ, Telegraph()), at(Stage.READ, Affine(3.0)))
    assert torch.equal(p.settled(G, clock()), G)
    alone = pipeline(at(Stage.READ, Telegraph()))
    torch.testing.assert_close(p.currents(V, G, READS), 3 * alone.currents(V, G, READS))


def test_an_effect_of_writing_acts_once_when_written():
    effect = at(Stage.PROGRAM, Affine(0.5))
    assert torch.equal(Effects.written(G, named([effect]), ARRAY, CTX), G / 2)
    torch.testing.assert_close(pipeline(effect).currents(V, G, READS), product(V, G))


def test_reading_in_chunks_changes_nothing(monkeypatch):
    p = pipeline(at(Stage.READ, Telegraph()))
    whole = p.currents(V, G, READS)
    monkeypatch.setattr("memcore.crossbar.effects._CHUNK", 2 * G.numel())
    torch.testing.assert_close(p.currents(V, G, READS), whole)


def test_gaussian_cells_stay_a_product_with_noise():
    p = pipeline(memcore.nonidealities["read_noise"]())
    assert p.is_product
    assert p.is_stochastic
    [form] = p.noises
    assert isinstance(form, Gaussian)


@pytest.mark.parametrize("elsewhere", [[], [{"name": "nonlinear_iv", "v0": 1e3}]])
def test_the_variances_of_two_effects_add_up(elsewhere):
    noise = {"name": "read_noise", "relative": 0.0, "std": 1e-6}
    assert effect_names([memcore.nonidealities["read_noise"]()] * 2)[1] == "read_noise_2"
    read = memcore.Crossbar(G[0], nonidealities=[noise, noise, *elsewhere])
    found = read @ torch.ones(20_000, G.shape[1]) * 1e6
    assert found.var(0).tolist() == pytest.approx([2 * G.shape[1]] * G.shape[2], rel=0.05)


@pytest.mark.parametrize("name", ["read_noise", "stuck_at", "d2d"])
def test_an_effect_with_neutral_parameters_is_not_there(name):
    cls = memcore.nonidealities[name]
    effect = cls(**cls.neutral)
    assert not pipeline(effect).is_stochastic
    assert Effects.written(G, {name: effect}, ARRAY, CTX) is G


def test_noise_that_would_be_frozen_is_refused():
    with pytest.raises(ConfigError, match=r"returns Gaussian at Stage\.PROGRAM"):
        Effects.written(G, named([at(Stage.PROGRAM, Gaussian(1e-6))]), ARRAY, CTX)


@pytest.mark.parametrize("stage", Stage)
def test_a_form_must_be_a_module(stage):
    effect = at(stage, lambda g: g)
    bind = pipeline if stage > 0 else lambda e: Effects.written(G, named([e]), ARRAY, CTX)
    with pytest.raises(ConfigError, match=r"returned <function .*expected a form"):
        bind(effect)


def test_steady_forms_are_settled_ahead_of_reading():
    p = pipeline(at(Stage.READ, UniformLevels(1e-5, 0, 10)))
    assert not p.is_stochastic
    assert p.is_product
    torch.testing.assert_close(p.settled(G, clock()), (G / 1e-5).round() * 1e-5)


# -- what an ageing effect may count --------------------------------------------------------------


class Worn(Aging):
    clock = "cycles"

    def forward(self, g, elapsed):
        return g * 0.5**elapsed


class Baked(Aging):
    """Twice as fast at 400 K as at any other temperature."""

    def acceleration(self, temperature):
        return torch.where(temperature == 400.0, 2.0, 1.0)

    def forward(self, g, elapsed):
        return g / (1 + elapsed)


def test_an_ageing_effect_counts_what_it_says():
    p = pipeline(at(Stage.AGE, Worn()))
    torch.testing.assert_close(p.settled(G, clock(seconds=5.0, cycles=2.0, reads=3.0)), G / 4)
    assert p.clocks == {"cycles"}


def test_heat_makes_a_clock_run_faster():
    now = clock(seconds=3.0)
    now.advance(400.0, seconds=5.0)
    torch.testing.assert_close(pipeline(at(Stage.AGE, Baked())).settled(G, now), G / (1 + 3 + 10))


def test_an_unknown_clock_is_an_error_that_lists_the_known_ones():
    class Odd(Aging):
        clock = "years"

    with pytest.raises(ConfigError, match="clock='years'; expected one of seconds, cycles, reads"):
        pipeline(at(Stage.AGE, Odd())).settled(G, clock())


# -- products that are linear in the voltages -----------------------------------------------------


class Halved(Effective):
    def matrix(self, g):
        return g / 2


def test_a_linear_product_is_an_ordinary_one_with_another_matrix():
    p = pipeline(at(Stage.MVM, Halved()))
    assert p.is_exact
    torch.testing.assert_close(p.effective(G), G / 2)
    torch.testing.assert_close(p.currents(V, G, READS), product(V, G / 2))
    torch.testing.assert_close(p.product(V, G.unsqueeze(0)), product(V, G / 2))


def test_what_a_read_changes_passes_a_linear_product_cell_by_cell():
    p = pipeline(at(Stage.READ, Telegraph()), at(Stage.MVM, Halved()))
    plain = pipeline(at(Stage.READ, Telegraph()))
    assert not p.is_product
    noise = plain.currents(V, G, READS) - product(V, G)
    expected = product(V, G / 2) + noise / 4  # half of the voltage, half of the current
    torch.testing.assert_close(p.currents(V, G, READS), expected)


class Warm(Steady):
    """The same at every read, and curved in the conductance."""

    def forward(self, x):
        return x.sqrt()


def test_a_steady_module_acts_once_and_not_at_every_read():
    p = pipeline(at(Stage.READ, Warm()))
    assert p.is_exact
    torch.testing.assert_close(p.settled(G, clock()), G.sqrt())
    late = pipeline(at(Stage.READ, Telegraph()), at(Stage.READ, Warm()))
    plain = pipeline(at(Stage.READ, Telegraph()))
    torch.testing.assert_close(late.currents(V, G, READS), plain.currents(V, G.sqrt(), READS))


class Johnson(Gaussian):
    """Noise of a line that depends on all of its cells."""

    def settle(self, conductance, seconds):
        super().settle(conductance, seconds)
        self.total = conductance.sum(1)

    def variance(self, x):
        return self.total.square().expand_as(x)


def test_noise_of_the_lines_knows_the_conductances_that_a_read_finds():
    p = pipeline(at(Stage.AGE, Baked()), at(Stage.CURRENT, form := Johnson()))
    settled = p.settled(G, clock(seconds=1.0))
    torch.testing.assert_close(form.total, settled.sum(1))
    torch.testing.assert_close(settled, G / 2)
