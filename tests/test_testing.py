"""The conformance kit: each check passes a good plugin and fails one that breaks its promise."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import (
    Affine,
    Converter,
    Cost,
    CostModel,
    Gaussian,
    Mapped,
    Mapper,
    Memristor,
    NonIdeality,
    Part,
    Programmed,
    Programmer,
    Reference,
    Stage,
    Thresholds,
    UniformLevels,
)
from memcore.testing import (
    assert_codes_close,
    checks_for,
    checks_programmer_lines,
    parametrize_with_checks,
)
from memcore.testing.cases import ReferenceDevice, context

pytest_plugins = ["pytester"]

# -- good plugins ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Good(ReferenceDevice):
    """A device that keeps every promise."""


SPREAD = memcore.Normal(1e4, 100.0, min=5e3, max=2e4)


@dataclass(frozen=True, kw_only=True)
class Drawn(ReferenceDevice):
    r_on: Any = SPREAD


@dataclass(frozen=True, kw_only=True)
class Noise(NonIdeality):
    stage = Stage.READ
    neutral: ClassVar = {"relative": 0.0}
    relative: float = 0.05

    def bind(self, array, ctx):
        return Gaussian(relative=self.relative)


@dataclass(frozen=True, kw_only=True)
class Spread(NonIdeality):
    stage = Stage.PROGRAM
    neutral: ClassVar = {"std": 0.0}
    std: float = 0.1

    def bind(self, array, ctx):
        return Affine(gain=(self.std * ctx.random.normal(array.shape)).exp())


@dataclass(frozen=True, kw_only=True)
class Aging(NonIdeality):
    stage = Stage.AGE
    neutral: ClassVar = {"rate": 0.0}
    rate: float = 1e-5

    def bind(self, array, ctx):
        return Exponential(self.rate)


class Exponential(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, g, seconds):
        return g * torch.exp(-self.rate * seconds)


class Droop(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, v, g):
        g = g[0] if len(g) == 1 else g
        spec = "nar,arc->nac" if g.dim() == 3 else "nar,narc->nac"
        return torch.einsum(spec, v * (1 - self.share), g)


@dataclass(frozen=True, kw_only=True)
class Wires(NonIdeality):
    stage = Stage.MVM
    neutral: ClassVar = {"share": 0.0}
    share: float = 0.01

    def bind(self, array, ctx):
        return Droop(self.share)


@dataclass(frozen=True, kw_only=True)
class ColumnGain(NonIdeality):
    stage = Stage.CURRENT
    neutral: ClassVar = {"std": 0.0}
    std: float = 0.02

    def bind(self, array, ctx):
        return Affine(gain=1 + self.std * ctx.random.normal((array.arrays, array.cols)))


@dataclass(frozen=True, kw_only=True)
class TwoColumns(Mapper):
    def map(self, weight, device, ctx):
        low, high = device.conductance_range()
        peak = weight.abs().amax().clamp(min=1e-30)
        plus, minus = weight.clamp(min=0) / peak, (-weight).clamp(min=0) / peak
        parts = (
            Part(target=low + (high - low) * plus),
            Part(target=low + (high - low) * minus, sign=-1),
        )
        return Mapped(parts=parts, gain=(peak / (high - low)).reshape(1))


@dataclass(frozen=True, kw_only=True)
class TwoLanes(Mapper):
    """The share of a weight in steps of 1/8, and the rest, each in a lane with a reference."""

    def map(self, weight, device, ctx):
        low, high = device.conductance_range()
        peak = weight.abs().amax(dim=(0, 1)).clamp(min=1e-30)
        share = (weight / peak + 1) / 2
        coarse = (8 * share).floor().clamp(max=7) / 8
        parts = []
        for lane, (values, zero) in enumerate([(coarse, 0.5), (8 * (share - coarse), 0.0)]):
            reference = weight.new_full((*weight.shape[:2], 1), low + (high - low) * zero)
            parts += [
                Part(target=low + (high - low) * values, lane=lane),
                Reference(target=reference, lane=lane),
            ]
        of_one = 2 * peak / (high - low)
        return Mapped(parts=tuple(parts), gain=torch.stack([of_one, of_one / 8]))


@dataclass(frozen=True, kw_only=True)
class Rounding(TwoColumns):
    """Seven levels of either sign."""

    def map(self, weight, device, ctx):
        step = weight.abs().amax() / 7
        rounded = torch.where(step > 0, (weight / step).round() * step, 0 * weight)
        return dataclasses.replace(TwoColumns.map(self, rounded, device, ctx), step=step)


@dataclass(frozen=True, kw_only=True)
class Write(Programmer):
    def program(self, array, target, ctx):
        g = array.device.conductance(array.device.state_of(target))
        if array.stuck is not None:
            g = torch.where(array.stuck.isnan(), g, array.stuck.to(g.dtype))
        return Programmed(conductance=g, pulses=1.0)


@dataclass(frozen=True, kw_only=True)
class MidTread(Converter):
    bits: int = 6

    def observe(self, values):
        return torch.stack([values.min(), values.max()])

    def bind(self, full_scale, ctx):
        top = 2 ** (self.bits - 1) - 1
        return UniformLevels(full_scale.abs().max() / top, -top, top)


@dataclass(frozen=True, kw_only=True)
class Tariff(CostModel):
    def estimate(self, activity, array):
        counts = activity.pulses + activity.conversions
        return Cost(
            energy=1e-15 * activity.reads * array.rows + 1e-12 * counts,
            time=1e-8 * activity.reads,
            area=1e-12 * array.rows * array.cols,
        )


GOOD = (
    Good(),
    Drawn(),
    Noise(),
    Spread(),
    Aging(),
    Wires(),
    ColumnGain(),
    TwoColumns(),
    TwoLanes(),
    Rounding(),
    Write(),
    MidTread(),
    Tariff(),
)


@parametrize_with_checks(*GOOD)
def test_good_plugins_pass(check):
    check()


# -- sloppy plugins --------------------------------------------------------------------------------


def device(**methods):
    """A device that keeps every promise but those that `methods` break."""
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (Good,), methods))()


def in_place(self, state, voltage, dt, ctx):
    state += self.rate * dt * voltage
    return state.clamp_(0, 1)


def volatile(self, state, voltage, dt, ctx):
    return 0.5 + (ReferenceDevice.step(self, state, voltage, dt, ctx) - 0.5) * 2.0 ** (-dt)


def noisy_step(self, state, voltage, dt, ctx):
    moved = ReferenceDevice.step(self, state, voltage, dt, ctx)
    return (moved + 0.01 * torch.randn_like(moved)).clamp(0, 1)


def euler(self, state, voltage, dt, ctx):
    return (state + self.rate * dt * voltage * (1.05 - state)).clamp(0, 1)


def mean_step(self, state, voltage, dt, ctx):
    return (state + self.rate * dt * voltage.mean()).clamp(0, 1)


def branching_step(self, state, voltage, dt, ctx):
    return ReferenceDevice.step(self, state, voltage, dt, ctx) if voltage.max() > 0 else state


def square_wave(self, state, voltage, dt, ctx):
    # The shorter the step the larger its effect: no limit for dt -> 0.
    return (state + 1e-3 * voltage.sign()).clamp(0, 1)


def detached(self, state):
    slope = 1 / self.r_on - 1 / self.r_off
    return 1 / self.r_off + 0.5 * slope * (state[0] + state[0].detach())


DEVICES = [
    ("range_is_ordered", {"conductance_range": lambda self: (1e-4, 1e-5)}, "[0.0001, 1e-05] S"),
    ("range_is_ordered", {"conductance_range": lambda self: (-1e-6, 1e-4)}, "[-1e-06, 0.0001] S"),
    (
        "conductance_is_finite_and_positive",
        {"conductance": lambda self, state: 9e-5 * state[0] - 5e-6},
        "conductance range is [-5e-06, 8.5e-05] S",
    ),
    (
        "conductance_stays_in_its_range",
        {"step": lambda self, state, voltage, dt, ctx: state + self.rate * dt * voltage.abs()},
        "leave the range [1e-05, 0.0001] S",
    ),
    (
        "state_of_inverts_conductance",
        {"state_of": lambda self, conductance: 1 - Good().state_of(conductance)},
        "state_of(1e-05 S) has 0.0001 S",
    ),
    (
        "state_of_stops_at_the_ends",
        {"state_of": lambda self, conductance: ((conductance - 1e-5) / 9e-5).unsqueeze(0)},
        "clamp to [1e-05, 0.0001] S in state_of",
    ),
    (
        "shapes",
        {"initial_state": lambda self, shape, ctx: torch.zeros(shape)},
        "initial_state returns () for cells ()",
    ),
    (
        "shapes",
        {"current": lambda self, state, voltage: self.conductance(state).sum() * voltage.sum()},
        "current returns () for cells (5,)",
    ),
    ("cells_do_not_see_each_other", {"step": mean_step}, "a cell moves differently among others"),
    ("inputs_stay_as_they_are", {"step": in_place}, "step wrote into its input 'state'"),
    (
        "inputs_stay_as_they_are",
        {"current": lambda self, state, voltage: voltage.mul_(self.conductance(state))},
        "current wrote into its input 'voltage'",
    ),
    (
        "follows_the_dtype",
        {"state_of": lambda self, conductance: Good().state_of(conductance).float()},
        "state_of returns torch.float32 for torch.float64",
    ),
    (
        "follows_the_dtype",
        {"conductance": lambda self, state: Good().conductance(state).float()},
        "conductance returns torch.float32 for torch.float64",
    ),
    ("follows_the_device", {"step": branching_step}, "it cannot be run on another device"),
    ("same_seed_same_cells", {"step": noisy_step}, "the same seed gives other cells"),
    ("randomness_is_keyed", {"step": noisy_step}, "randomness outside ctx.random"),
    (
        "randomness_is_keyed",
        {"initial_state": lambda self, shape, ctx: torch.zeros(1, *shape) + np.random.rand()},
        "randomness outside ctx.random",
    ),
    ("holds_its_state_at_0_volt", {"step": volatile}, "state drifts at 0 V, by"),
    (
        "no_current_at_0_volt",
        {"current": lambda self, state, voltage: self.conductance(state) * voltage + 1e-9},
        "1e-09 A flow at 0 V",
    ),
    (
        "is_passive",
        {"current": lambda self, state, voltage: self.conductance(state) * voltage.abs()},
        "it delivers",
    ),
    ("set_and_reset_have_opposite_signs", {"polarity": -1}, "1 V raises the conductance, but"),
    (
        "set_and_reset_have_opposite_signs",
        {"step": lambda self, state, voltage, dt, ctx: state},
        "no voltage up to 8 V moves the conductance",
    ),
    (
        "set_and_reset_have_opposite_signs",
        {
            "step": lambda self, state, voltage, dt, ctx: (state + 1e6 * dt * voltage.abs()).clamp(
                0, 1
            )
        },
        "-1 V raises the conductance",
    ),
    (
        "survives_absurd_pulses",
        {
            "step": lambda self, state, voltage, dt, ctx: (
                state + 1e6 * dt * voltage.exp() * voltage.sign()
            ).clamp(0, 1)
        },
        "nan",
    ),
    ("splitting_a_pulse_changes_nothing", {"step": euler}, "two halves of that differ by"),
    ("halving_dt_converges", {"step": square_wave}, "has errors of"),
    ("gradients", {"conductance": detached}, "the gradient of conductance is wrong"),
    ("compiles", {"step": branching_step}, "torch.compile cannot take step in one graph"),
]


class Identity(nn.Module):
    def forward(self, x, *rest):
        return x


class Hot(memcore.Aging):
    """Accelerated relative to some other temperature than that of the arrays."""

    def acceleration(self, temperature):
        return temperature / 300

    def forward(self, g, elapsed):
        return g


class Averaged(Hot):
    def acceleration(self, temperature):
        return temperature.mean()


class Yearly(Hot):
    clock = "years"


class Plain(nn.Module):
    """Holds a tensor that is no buffer."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x, *rest):
        return x * self.gain


class Random(nn.Module):
    def forward(self, x, stream):
        return x * (1 + 0.1 * torch.randn_like(x))


class PerBatch(nn.Module):
    def forward(self, x, stream):
        return x * (1 + 0.1 * stream.normal(x.shape[1:]).mean(0, keepdim=True))


class Overstated(nn.Module):
    def forward(self, x, stream):
        return x * (1 + 0.1 * stream.normal(x.shape[1:]))

    def variance(self, x):
        return 2 * (0.1 * x) ** 2


class Shifted(nn.Module):
    def forward(self, x, stream):
        return x * (1.1 + 0.1 * stream.normal(x.shape[1:]))

    def variance(self, x):
        return (0.1 * x) ** 2


class InPlace(nn.Module):
    def forward(self, x, *rest):
        return x.mul_(1.1)


class Counting(nn.Module):
    def forward(self, x, *rest):
        return x * 1.1 if float(x.sum()) > 0 else x


class Single(nn.Module):
    def forward(self, x, *rest):
        return x.float()


class Flat(nn.Module):
    def forward(self, x, *rest):
        return x.flatten()


class Negative(nn.Module):
    def forward(self, x, *rest):
        return x - 1.0


def effect(form, stage=Stage.PROGRAM, **attributes):
    """A non-ideality that binds to what `form(array, ctx)` returns."""
    attributes = {"neutral": {"severity": 0.0}, "severity": 0.1, **attributes}
    attributes["__annotations__"] = {"severity": float}
    attributes |= {"stage": stage, "bind": lambda self, array, ctx: form(array, ctx)}
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (NonIdeality,), attributes))()


def local_form(array, ctx):
    class Local(Identity):
        pass

    return Local()


EFFECTS = [
    ("neutral_is_the_identity", effect(lambda a, c: Affine(1.1)), "still changes values by 10 %"),
    (
        "neutral_is_the_identity",
        effect(lambda a, c: Identity(), neutral={}),
        "does not say which parameters switch it off; declare neutral",
    ),
    (
        "neutral_is_the_identity",
        effect(lambda a, c: Droop(0.1), Stage.MVM),
        "still changes values by 10 %",
    ),
    ("neutral_is_the_identity", effect(lambda a, c: 3), "bind returns 3"),
    ("shapes", effect(lambda a, c: Flat()), "expected (2, 16, 8)"),
    ("shapes", effect(lambda a, c: Flat(), Stage.CURRENT), "expected (6, 2, 8)"),
    ("result_is_physical", effect(lambda a, c: Negative()), "conductances >= 0"),
    ("result_is_physical", effect(lambda a, c: Affine(torch.nan), Stage.READ), "finite"),
    ("no_time_no_ageing", effect(lambda a, c: Plain(0.9), Stage.AGE), "in no time"),
    ("acceleration_is_that_of_the_clock", effect(lambda a, c: Hot(), Stage.AGE), "runs [1.16666"),
    ("acceleration_is_that_of_the_clock", effect(lambda a, c: Averaged(), Stage.AGE), "returns ()"),
    ("shapes", effect(lambda a, c: Yearly(), Stage.AGE), "its clock is 'years'; expected one of"),
    (
        "statistics",
        effect(lambda a, c: Overstated(), Stage.READ),
        "0.5 times the variance",
    ),
    ("statistics", effect(lambda a, c: Shifted(), Stage.READ), "the noise has a mean of"),
    (
        "same_seed_same_effect",
        effect(lambda a, c: Affine(torch.randn(a.shape))),
        "two binds with one seed differ",
    ),
    (
        "randomness_is_keyed",
        effect(lambda a, c: Affine(torch.randn(a.shape))),
        "randomness outside ctx.random",
    ),
    (
        "randomness_is_keyed",
        effect(lambda a, c: Random(), Stage.READ),
        "randomness outside ctx.random",
    ),
    (
        "reads_do_not_depend_on_the_batch",
        effect(lambda a, c: PerBatch(), Stage.READ),
        "a read depends on the batch",
    ),
    (
        "inputs_stay_as_they_are",
        effect(lambda a, c: InPlace()),
        "wrote into its input 'argument 1'",
    ),
    (
        "tensors_are_buffers",
        effect(lambda a, c: Plain(torch.ones(a.shape))),
        "'gain' of the bound form would not follow .to(); register_buffer('gain', ...)",
    ),
    (
        "follows_to",
        effect(lambda a, c: Plain(torch.ones(a.shape))),
        "after .to() another device the bound form fails",
    ),
    ("follows_to", effect(lambda a, c: Single()), "returns torch.float32"),
    ("form_copies_and_pickles", effect(local_form), "the bound form cannot be copied"),
    ("compiles", effect(lambda a, c: Counting()), "in one graph"),
]


def mapper(method):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (TwoColumns,), {"map": method}))()


def remap(good=TwoColumns, part=None, **changes):
    """A `map` that changes what the good one returns, and each of its parts."""

    def sloppy(self, weight, device, ctx):
        mapped = good.map(self, weight, device, ctx)
        values = {key: change(getattr(mapped, key)) for key, change in changes.items()}
        if part is not None:
            values["parts"] = tuple(
                dataclasses.replace(each, **part(index, each))
                for index, each in enumerate(mapped.parts)
            )
        return dataclasses.replace(mapped, **values)

    return sloppy


def retarget(change):
    return remap(part=lambda index, each: {"target": change(each.target)})


def greedy_map(self, weight, device, ctx):
    weight.clamp_(-1, 1)
    return TwoColumns.map(self, weight, device, ctx)


class Moody(TwoColumns):
    def map(self, weight, device, ctx):
        mapped = TwoColumns.map(self, weight, device, ctx)
        deeper = len(ctx.random.path) - len(context().random.path)
        return dataclasses.replace(mapped, gain=mapped.gain * deeper)


def unguarded_map(self, weight, device, ctx):
    peak = weight.abs().amax()
    low, high = device.conductance_range()
    plus, minus = (low + (high - low) * (s * weight).clamp(min=0) / peak for s in (1, -1))
    parts = (Part(target=plus), Part(target=minus, sign=-1))
    return Mapped(parts=parts, gain=(peak / (high - low)).reshape(1))


MAPPERS = [
    ("targets_have_the_weights_shape", retarget(lambda t: t.flatten(1)), "of part 0 is (3, 35)"),
    (
        "targets_have_the_weights_shape",
        remap(TwoLanes, parts=lambda ps: tuple(Part(target=p.target, lane=p.lane) for p in ps)),
        "the target of part 1 is (3, 7, 1)",
    ),
    ("targets_have_the_weights_shape", remap(gain=lambda g: 1.0), "the gain is 1.0"),
    (
        "targets_have_the_weights_shape",
        remap(gain=lambda g: g[0]),
        "return a tensor [lanes], [lanes, cols] or",
    ),
    (
        "targets_have_the_weights_shape",
        remap(TwoLanes, gain=lambda g: g[0]),
        "return a tensor [lanes], [lanes, cols] or",
    ),
    (
        "targets_lie_in_the_window",
        retarget(lambda t: t / 2),
        "targets of normal weights lie in [5e-06, 5e-05] S",
    ),
    (
        "lanes_are_counted",
        remap(TwoLanes, part=lambda index, each: {"lane": 2 * each.lane}),
        "lanes are [0, 2]",
    ),
    (
        "lanes_are_counted",
        remap(TwoLanes, parts=lambda ps: (ps[1], ps[0], *ps[2:])),
        "lane 0 begins with a reference column",
    ),
    (
        "lanes_are_counted",
        remap(TwoLanes, parts=lambda ps: ps[:3]),
        "the lanes have [1, 0] reference columns",
    ),
    (
        "lanes_are_counted",
        remap(part=lambda index, each: {"sign": 0.5}),
        "the sign of part 0 is 0.5",
    ),
    ("parts_give_the_weights_back", remap(gain=lambda g: 1.01 * g), "off by 1 %"),
    (
        "parts_give_the_weights_back",
        remap(part=lambda index, each: {"sign": 1}),
        "normal weights come back as (3, 7, 5), off by",
    ),
    (
        "parts_give_the_weights_back",
        remap(TwoLanes, gain=lambda g: g.flip(0)),
        "normal weights come back as (3, 7, 5), off by",
    ),
    (
        "parts_give_the_weights_back",
        remap(Rounding, step=lambda step: 0.5 * step),
        "a mapper that rounds says the weight of one step",
    ),
    ("step_is_a_weight", remap(step=lambda step: 100.0), "the step of normal weights up to"),
    ("step_is_a_weight", remap(step=lambda step: torch.tensor(torch.nan)), "is nan"),
    ("arrays_compute_the_product", Moody.map, "outputs are off by"),
    ("zero_weights", unguarded_map, "zero weights come back as up to nan"),
    ("inputs_stay_as_they_are", greedy_map, "map wrote into its input 'weight'"),
    (
        "follows_the_dtype",
        retarget(lambda t: t.float()),
        "targets of torch.float64 weights are torch.float32",
    ),
    (
        "randomness_is_keyed",
        retarget(lambda t: t * (1 + 1e-9 * torch.rand(1))),
        "randomness outside ctx.random",
    ),
]


def programmer(program):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (Write,), {"program": program}))()


def rewritten(**changes):
    def sloppy(self, array, target, ctx):
        done = Write.program(self, array, target, ctx)
        values = {k: c(getattr(done, k)) if callable(c) else c for k, c in changes.items()}
        return dataclasses.replace(done, **values)

    return sloppy


def write_into_target(self, array, target, ctx):
    return Programmed(conductance=target.clamp_(1e-5, 1e-4))


PROGRAMMERS = [
    (
        "reaches_the_target_of_an_ideal_device",
        rewritten(conductance=lambda g: g + 1e-5),
        "accepted cells miss their target by up to 11.1 % of the window",
    ),
    (
        "reaches_the_target_of_an_ideal_device",
        rewritten(verified=False),
        "it gives up on 100 % of the cells",
    ),
    (
        "target_out_of_reach_gives_the_nearest_end",
        lambda self, array, target, ctx: Programmed(conductance=target),
        "targets 0.1 times as high leave conductances",
    ),
    ("reports_what_it_spent", rewritten(energy=-1.0), "energy lies between -1 and -1"),
    ("reports_what_it_spent", rewritten(pulses=torch.ones(3)), "pulses has shape (3,)"),
    (
        "follows_the_dtype",
        rewritten(conductance=lambda g: g.float()),
        "conductance is torch.float32 for torch.float64 targets",
    ),
    ("inputs_stay_as_they_are", write_into_target, "program wrote into its input 'target'"),
    (
        "same_seed_same_result",
        rewritten(conductance=lambda g: g * (1 + 0.01 * torch.rand(1))),
        "one seed gives two results",
    ),
    (
        "randomness_is_keyed",
        rewritten(conductance=lambda g: g * (1 + 0.01 * torch.rand(1))),
        "randomness outside ctx.random",
    ),
]


class Quantiser(nn.Module):
    """Steps of `step`, shifted, spoilt by `spoil`."""

    def __init__(self, step, spoil):
        super().__init__()
        self.register_buffer("step", torch.as_tensor(step))
        self.spoil = spoil

    def forward(self, x):
        return self.spoil(x, self.step)


def saturated(x, step):
    return (x / step).round().clamp(-31, 31) * step


SPOILT = [
    ("is_idempotent", lambda x, step: saturated(x, step) * 0.97, "converting twice moves values"),
    ("is_monotone", lambda x, step: -saturated(x, step), "while the input rises"),
    ("count_of_levels", lambda x, step: x.clamp(-31 * step, 31 * step), "levels for 6 bits"),
    ("count_of_levels", lambda x, step: 0 * x, "every value becomes the same"),
    (
        "zero_is_a_level",
        lambda x, step: ((x / step - 0.5).round().clamp(-31, 30) + 0.5) * step,
        "0 becomes",
    ),
    ("stays_in_range", lambda x, step: (x / step).round() * step, "it reaches from -1e+06"),
    (
        "stays_in_range",
        lambda x, step: (x / step).round().clamp(-15, 15) * step,
        "is off by 16 steps",
    ),
    ("inputs_stay_as_they_are", lambda x, step: x.div_(step).round_().mul_(step), "wrote into"),
    ("follows_to", lambda x, step: saturated(x, step).float(), "the result is no float64"),
    (
        "follows_to",
        lambda x, step: x if x.sum() > 9 else saturated(x, step),
        "the bound form fails",
    ),
    (
        "randomness_is_keyed",
        lambda x, step: saturated(x + 0.1 * torch.rand_like(x), step),
        "outside",
    ),
    (
        "compiles",
        lambda x, step: saturated(x, step) if float(x.sum()) < 9 else x,
        "in one graph",
    ),
]


def converter(spoil):
    def bind(self, full_scale, ctx):
        return Quantiser(full_scale.abs().max() / 31, spoil)

    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (MidTread,), {"bind": bind}))()


def observing(observe):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (MidTread,), {"observe": observe}))()


def agreeing(agree):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (MidTread,), {"agree": agree}))()


def differing(form):
    """A converter that differs, with a form of thresholds, levels and bit lines."""

    def bind(self, full_scale, ctx):
        levels = MidTread.bind(self, full_scale, ctx)
        values = levels.step * torch.arange(levels.lo, levels.hi + 1)
        edges = (values[1:] + values[:-1]) / 2
        return levels if ctx.lines is None else form(edges, values, ctx.lines)

    methods = {"bind": bind, "differs": True}
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (MidTread,), methods))()


def telling(told):
    """A converter that makes something else of true sums, or levels in their place."""

    class Told(memcore.Sums):
        rows = 4

        def sums(self, bits, cells, stream):
            true = torch.einsum("ngur,gurc->ngc", bits.float(), cells.float())
            return told(bits, true)

    def bind(self, full_scale, ctx):
        return MidTread.bind(self, full_scale, ctx) if told is None else Told()

    methods = {"bind": bind, "counts_open": True}
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (MidTread,), methods))()


def in_turn(bits, true):
    """Each read is told more than the one before it, where a line is open."""
    return true + bits.any() * torch.arange(len(bits)).view(-1, 1, 1)


def of_values(edges, values, lines):
    """Each value has a converter of its own, whatever its bit line."""
    count = lines.array.numel()
    shift = torch.linspace(0, 3, count)[:, None] * (values[1] - values[0])
    return Thresholds(edges + shift, values, torch.arange(count).view(lines.array.shape))


def drawn_at_once(edges, values, lines):
    count, instance = lines.shared(1)
    return Thresholds(edges * (1 + 0.1 * torch.rand(count, 1)), values, instance)


def cost(estimate):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (Tariff,), {"estimate": estimate}))()


COSTS = [
    (
        "nothing_costs_nothing",
        lambda s, activity, array: Cost(energy=1e-9),
        "no activity",
    ),
    (
        "costs_are_not_negative",
        lambda s, activity, array: Cost(energy=-1.0 * activity.reads),
        "energy of",
    ),
    ("costs_are_not_negative", lambda s, activity, array: 3.0, "estimate returns 3.0"),
    ("costs_add", lambda s, activity, array: Cost(time=activity.reads**2), "time of two runs is"),
    (
        "costs_add",
        lambda s, activity, array: Cost(area=activity.reads),
        "area depends on",
    ),
    (
        "cost_follows_the_array",
        lambda s, activity, array: Cost(energy=activity.reads / array.rows),
        "falls when rows and columns double",
    ),
]


def hooked(**methods):
    return dataclass(frozen=True, kw_only=True)(type("Sloppy", (Tariff,), methods))()


TABLES = [
    ("a_table_holds_costs_by_component", {"table": lambda s, layer: {"adc": 3.0}}, "the table of"),
    ("a_table_holds_costs_by_component", {"table": lambda s, layer: {}}, "no layer of a small"),
    (
        "a_table_holds_costs_by_component",
        {"events": lambda s, layer: {"reads": 0.5}},
        "event 'reads' is 0.5",
    ),
    (
        "a_table_holds_costs_by_component",
        {"table": lambda s, layer: {"adc": Cost(area=float("nan"))}},
        "'adc' of 'first' costs",
    ),
    (
        "twice_the_inputs_cost_twice_as_much",
        {"table": lambda s, layer: {"adc": Cost(energy=1e-9 * layer.positions)}},
        "energy of 'first' is",
    ),
    (
        "schedule_has_every_layer_that_takes_time",
        {"schedule": lambda s, layers: memcore.Timeline()},
        "not in the schedule",
    ),
    (
        "schedule_has_every_layer_that_takes_time",
        {
            "schedule": lambda s, layers: memcore.Timeline(
                tuple(memcore.Span(stage=each.name, start=2.0, end=1.0) for each in layers)
            )
        },
        "the schedule has Span",
    ),
]


@dataclass(frozen=True, kw_only=True)
class WithLambda(Good):
    rule: Any = field(default_factory=lambda: lambda: 3)


@dataclass(frozen=True, kw_only=True)
class AllEqual(Drawn):
    def sample(self, shape, ctx):
        return self.nominal()


@dataclass(frozen=True, kw_only=True)
class WithIdentity(Good):
    token: Any = field(default_factory=object)


@dataclass(frozen=True, kw_only=True)
class Misspelt(Good):
    def step(self, state, volts, dt, ctx):
        return state


SLOPPY = [
    *((f"check_{name}", device(**methods), text) for name, methods, text in DEVICES),
    *((f"check_{name}", plugin, text) for name, plugin, text in EFFECTS),
    *((f"check_{name}", mapper(method), text) for name, method, text in MAPPERS),
    *((f"check_{name}", programmer(method), text) for name, method, text in PROGRAMMERS),
    *((f"check_{name}", converter(spoil), text) for name, spoil, text in SPOILT),
    *((f"check_{name}", cost(estimate), text) for name, estimate, text in COSTS),
    *((f"check_{name}", hooked(**methods), text) for name, methods, text in TABLES),
    (
        "check_observes_a_range",
        observing(lambda self, values: values[:3]),
        "observe returns tensor",
    ),
    (
        "check_converters_of_lines_differ",
        differing(lambda edges, values, lines: nn.Flatten()),
        "become (4098, 24)",
    ),
    ("check_converters_of_lines_differ", differing(of_values), "are converted differently"),
    ("check_converters_of_lines_differ", differing(drawn_at_once), "two binds with one seed"),
    ("check_lanes_agree", agreeing(lambda self, ranges, gain: ranges / 2), "agree turns"),
    ("check_lanes_agree", agreeing(lambda self, ranges, gain: ranges * 2), "agreeing twice"),
    ("check_sums_are_told", telling(None), "bind returns UniformLevels"),
    ("check_sums_are_told", telling(lambda bits, true: true + 1), "without an open line"),
    ("check_sums_are_told", telling(lambda bits, true: true + 0.5 * bits.any()), "is told of"),
    ("check_sums_are_told", telling(in_turn), "depends on the reads before it"),
    ("check_fulfils_its_contract", Misspelt(), "{'volts'}"),
    ("check_same_seed_same_cells", AllEqual(), "two chips have equal cells"),
    ("check_pickles", WithLambda(), "it cannot be pickled"),
    ("check_deep_copies", WithIdentity(), "copy.deepcopy gives"),
]


@pytest.mark.parametrize(
    ("name", "plugin", "text"), SLOPPY, ids=[f"{type(p).kind}-{n}" for n, p, _ in SLOPPY]
)
def test_sloppy_plugin_fails_its_check(name, plugin, text):
    (check,) = (check for check in checks_for(plugin) if check.name == name)

    with pytest.raises(AssertionError) as error:
        check()

    message = str(error.value)
    assert any(part in message for part in text.split("|")), message
    assert type(plugin).__name__ in message, "it names the plugin"
    assert "; " in message, "it says what to do"


def function_of(plugin, name):
    return next(check.function for check in checks_for(plugin) if check.name == name)


def test_every_check_was_seen_to_fail():
    seen = {function_of(plugin, name) for name, plugin, _ in SLOPPY}
    every = {check.function for plugin in GOOD for check in checks_for(plugin)}
    every -= {*checks_programmer_lines.CHECKS}  # tests/test_testing_lines.py
    assert sorted(f"{f.__module__}.{f.__name__}" for f in every - seen) == []


# -- the kit ---------------------------------------------------------------------------------------


def test_check_that_crashes_names_plugin_and_error():
    def step(self, state, voltage, dt, ctx):
        raise ZeroDivisionError("dt is too small")

    failed = []
    for check in checks_for(device(step=step)):
        try:
            check()
        except AssertionError as error:
            failed.append(str(error))

    assert any(
        text.startswith("Sloppy(): check_shapes ended with ZeroDivisionError: dt is too small; ")
        for text in failed
    )


def test_class_instead_of_an_instance_is_refused():
    with pytest.raises(TypeError, match=r"pass an instance, MyRram\(\), not the class"):
        list(checks_for(Good))
    with pytest.raises(TypeError, match="3 is no memcore plugin"):
        list(checks_for(3))


def test_effects_of_a_device_are_checked_on_arrays_of_that_device():
    seen = []

    def bind(array, ctx):
        seen.append(array.nominal)
        return Negative()

    brought = effect(bind, neutral={})
    plugin = device(effects=lambda self: (brought,))
    failed = set()
    for check in checks_for(plugin):
        if check.plugin is brought:
            try:
                check()
            except AssertionError:
                failed.add(check.name)

    assert set(seen) == {plugin}
    assert "check_result_is_physical" in failed
    assert "check_neutral_is_the_identity" not in failed, "nothing switches a device's nature off"
    assert "check_shapes" not in failed


def test_misspelt_expected_failure_is_refused():
    with pytest.raises(ValueError, match="did you mean 'check_pickles'"):
        parametrize_with_checks(Good(), expected_failures={"check_pickle": "why"})


def marks(decorator):
    return {str(p.values[0]): p.marks for p in decorator.args[1]}


def test_expected_failure_is_a_strict_xfail_with_its_reason():
    found = marks(parametrize_with_checks(Good(), expected_failures={"check_pickles": "why"}))

    (mark,) = found["Good()-check_pickles"]
    assert (mark.name, mark.kwargs) == ("xfail", {"reason": "why", "strict": True})
    assert found["Good()-check_deep_copies"] == []


def test_each_plugin_may_have_expected_failures_of_its_own():
    def why(plugin: Memristor):
        return {"check_pickles": "fast"} if plugin.rate > 1e6 else {}

    found = marks(parametrize_with_checks(Good(), Good(rate=1e7), expected_failures=why))

    assert len(found["Good(rate=10000000.0)-check_pickles"]) == 1
    assert found["Good()-check_pickles"] == []


def test_kit_works_in_a_foreign_test_file(pytester):
    pytester.makepyfile(
        """
        from dataclasses import dataclass
        from memcore.testing import parametrize_with_checks
        from memcore.testing.cases import ReferenceDevice, context

        @dataclass(frozen=True, kw_only=True)
        class Leaky(ReferenceDevice):
            def step(self, state, voltage, dt, ctx):
                return 0.5 * super().step(state, voltage, dt, ctx)

        @parametrize_with_checks(
            Leaky(),
            expected_failures={
                "check_holds_its_state_at_0_volt": "forgets",
                "check_pickles": "not true",
            },
        )
        def test_conforms(check):
            check()
        """
    )

    result = pytester.runpytest_subprocess("-k", "holds_its or pickles or deep", "-rA")

    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*XFAIL*Leaky()-check_holds_its_state_at_0_volt*forgets"])
    result.stdout.fnmatch_lines(["*XPASS(strict)*not true*"])


# -- codes -----------------------------------------------------------------------------------------


def test_codes_may_differ_at_ties_only():
    expected = torch.arange(2000.0) * 0.1
    one_off, two_off, many = expected.clone(), expected.clone(), expected.clone()
    one_off[7] += 0.1
    two_off[7] -= 0.2
    many[:3] += 0.1

    assert_codes_close(expected, expected, 0.1)
    assert_codes_close(one_off, expected, 0.1)
    with pytest.raises(AssertionError, match=r"the worst is 2 off .* code 5 came, 7 was .* \(7,\)"):
        assert_codes_close(two_off, expected, 0.1)
    with pytest.raises(AssertionError, match="3 of 2000 codes differ"):
        assert_codes_close(many, expected, 0.1)


def test_codes_have_a_step_for_each_column():
    steps = torch.tensor([0.1, 1e-3])
    expected = torch.arange(4000.0).view(2000, 2) * steps
    other = expected.clone()
    other[3, 1] += 1e-3

    assert_codes_close(other, expected, steps)
    other[3, 1] += 1e-3
    with pytest.raises(AssertionError, match=r"\(3, 1\)"):
        assert_codes_close(other, expected, steps)


def test_codes_must_be_finite_and_of_one_shape():
    with pytest.raises(AssertionError, match=r"\(3,\) came, \(4,\) was expected"):
        assert_codes_close(torch.zeros(3), torch.zeros(4), 1.0)
    with pytest.raises(AssertionError, match="not finite"):
        assert_codes_close(torch.tensor([torch.nan]), torch.zeros(1), 1.0)


# -- the pytest plugin -----------------------------------------------------------------------------


def test_foreign_test_run_imports_no_torch(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_light():
            assert "memcore" in sys.modules
            assert "torch" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*native:*")


def test_header_of_a_run_about_memcore_tells_the_native_status(pytester):
    pytester.makepyprojecttoml('[project]\nname = "memcore-acme"\ndependencies = ["memcore"]')
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess()
    result.stdout.fnmatch_lines([f"memcore {memcore.__version__}, native: _cpu: *; _cuda: *"])


def test_importing_the_kit_imports_no_torch():
    code = "import sys, memcore.testing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(memcore.testing.__all__) <= set(dir(memcore.testing))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        memcore.testing.nothing  # noqa: B018


def test_registry_fixture_limits_discovery(site, registry):
    entries = {"memcore.devices": {"acme_rram": "acme:X"}}
    site.install("memcore-acme", entries)
    site.install("memcore-zeta", {"memcore.devices": {"zeta_rram": "zeta:X"}})

    assert "zeta_rram" in memcore.devices
    assert "acme_rram" in registry("memcore-acme")["devices"]
    assert "zeta_rram" not in memcore.devices
    assert "acme_rram" not in registry()["devices"]


def test_registry_fixture_forgets_what_a_test_registered(pytester):
    pytester.makepyfile(
        """
        import memcore
        from memcore.testing.cases import ReferenceDevice, context

        def test_first(registry):
            registry()["devices"].register("mine", ReferenceDevice)
            assert "mine" in memcore.devices

        def test_second():
            assert "mine" not in memcore.devices
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_stream_fixture_is_the_tests_own(stream, request):
    assert stream == memcore.Stream(0).child(request.node.name)
