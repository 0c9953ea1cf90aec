"""What a choice makes unnecessary is left out, and nothing else changes."""

import dataclasses
import random
from typing import Any

import pytest
import torch

import memcore
from memcore import native
from memcore.dynamics import recording
from memcore.dynamics.recording import run as kernel
from memcore.dynamics.recording.graph import Value
from memcore.dynamics.recording.schedule import Skip, schedule

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made(memcore.Memristor):
    function: Any

    def conductance(self, state):
        return state[0]

    def step(self, state, voltage, dt, ctx):
        return self.function(state[0], voltage, ctx).unsqueeze(0)

    def initial_state(self, shape, ctx):
        return torch.full((1, *shape), 0.5)

    def state_of(self, conductance):
        return conductance.unsqueeze(0)


def programmed(function, *, shared=False):
    ctx = memcore.Context(random=memcore.Stream(0))
    state, voltage = torch.zeros(1, 8), torch.zeros(8)
    return recording.lower(
        recording.record(Made(function=function), state, voltage, 1.0, ctx), shared=shared
    )


def skips(program):
    return [line for line in program.lists[3] if line[0].startswith("skip")]


def costly(x):
    return torch.exp(torch.sin(torch.exp(torch.cos(x * 1.7)) + 1.0))


def test_the_arms_of_a_choice_are_left_out_together():
    program = programmed(lambda x, v, ctx: torch.where(v > x, costly(x), costly(x + 1)))
    (unless, if_) = skips(program)
    assert unless[0] == "skip_unless"
    assert if_[0] == "skip_if"
    computed = [line[0] for line in program.lists[3]]
    assert computed.count("exp") == 4  # two in each arm
    at = program.lists[3].index(unless)
    arm = program.lists[3][at + 1 : at + 1 + unless[1]]
    assert [line[0] for line in arm].count("exp") == 2


def test_what_is_needed_otherwise_is_not_left_out():
    program = programmed(lambda x, v, ctx: torch.where(v > x, costly(x), 0.0) + costly(x))
    assert not skips(program)


def test_choices_by_one_condition_have_one_test():
    def step(x, v, ctx):
        moving, hard = v > x, costly(x)
        return torch.where(moving, hard, x) + torch.where(moving, hard * v, 1.0)

    program = programmed(step)
    assert [line[1] >= 6 for line in skips(program)] == [True]


@pytest.mark.parametrize("cells", [1, 7, 64, 3000])
def test_results_are_those_of_the_plain_step_whoever_moves(cells):
    def step(x, v, ctx):
        moving = v.abs() > 0.5
        up = torch.where(v > 0.8, costly(x), torch.where(x > 0.5, costly(x + v), x))
        noise = 0.1 * ctx.random.normal(x.shape, device=x.device, dtype=x.dtype)
        return torch.where(moving, 0.3 * up + costly(noise + x) / 20, x) * 0.9

    device = Made(function=step)
    voltage = torch.randn(40, cells, generator=torch.Generator().manual_seed(1)) * 0.6
    voltage[10:20] = 0.1  # all rest
    voltage[20:30] = 0.9  # all move
    for waveform in (voltage, voltage[:, 0].contiguous()):
        found, expected = (
            memcore.simulate(device, waveform, 1.0, shape=(cells,), engine=engine)
            for engine in ("native", "python")
        )
        torch.testing.assert_close(found.state, expected.state, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_computes_operands_before_their_use_and_skips_only_its_arm(seed):
    draw = random.Random(seed)
    values = [Value("state", number=k) for k in range(3)]
    for i in range(3, 60):
        kind = draw.choice(["add", "mul", "lt", "where", "where"])
        count = 3 if kind == "where" else 2
        values.append(Value(kind, tuple(draw.randrange(max(0, i - 12), i) for _ in range(count))))
    outputs = [59, draw.randrange(30, 59)]
    needed, waiting = set(), list(outputs)
    while waiting:
        i = waiting.pop()
        if i not in needed:
            needed.add(i)
            waiting += values[i].operands
    computed = sorted(i for i in needed if i > 2)
    order = schedule(values, computed, outputs)
    assert sorted(e for e in order if not isinstance(e, Skip)) == computed
    for truths in range(8):  # whichever arms are left out, what is read was computed
        choose = random.Random(truths)
        decided: dict[int, bool] = {}
        known, at = {0, 1, 2}, 0
        while at < len(order):
            entry = order[at]
            at += 1
            if isinstance(entry, Skip):
                assert entry.condition in known
                if decided.setdefault(entry.condition, choose.random() < 0.5) == entry.where:
                    at += entry.count
                continue
            condition, *arms = values[entry].operands
            if values[entry].operation == "where" and condition in decided:
                read = {condition, arms[0 if decided[condition] else 1]}
            else:
                read = set(values[entry].operands)
            assert read <= known, (entry, values[entry])
            known.add(entry)
        assert set(outputs) <= known


def test_a_program_is_made_once_for_a_device_of_numbers(monkeypatch):
    made = []
    monkeypatch.setattr(
        "memcore.dynamics.simulate.lower", lambda *a, **k: made.append(1) or lower(*a, **k)
    )
    lower = recording.lower
    device, voltage = memcore.devices["vteam"](v_on=-0.31), torch.zeros(4)
    for _ in range(2):
        memcore.simulate(device, voltage, 1e-9)
    assert len(made) == 1
    memcore.simulate(device, voltage, 1e-9, seed=1)
    memcore.simulate(memcore.devices["vteam"](v_on=-0.32), voltage, 1e-9)
    assert len(made) == 3
    spread = memcore.devices["vteam"](v_on=memcore.Normal(-0.3, 0.01))
    for _ in range(2):
        memcore.simulate(spread, voltage, 1e-9, shape=(3,))
    assert len(made) == 4


def test_a_program_serves_all_cells_of_its_device_with_their_own_values(monkeypatch):
    made = []
    monkeypatch.setattr(
        "memcore.dynamics.simulate.lower", lambda *a, **k: made.append(1) or lower(*a, **k)
    )
    lower = recording.lower
    voltage = torch.tensor([-0.5, 0.4, -0.45], dtype=torch.float64)
    for factor in (1.0, 1.1, 1.2):
        cells = {"v_on": -0.37 * factor * torch.tensor([1.0, 1.02, 1.05]).double()}
        cells["s0"] = torch.tensor([0.9, 0.8, 0.7]).double() / factor
        device = memcore.devices["vteam"](**cells, k_on=-0.123)
        found, plain = (
            memcore.simulate(device, voltage, 1e-9, shape=(3,), engine=engine)
            for engine in ("native", "python")
        )
        assert torch.allclose(found.state, plain.state, rtol=1e-12)
    assert len(made) == 1
    single = torch.tensor([-0.37]).double()
    for factor in (1.0, 1.1):  # of one cell the value is a constant of its program
        device = memcore.devices["vteam"](v_on=factor * single, k_on=-0.123)
        found, plain = (
            memcore.simulate(device, voltage, 1e-9, shape=(1,), engine=engine)
            for engine in ("native", "python")
        )
        assert torch.allclose(found.state, plain.state, rtol=1e-6)


def test_a_step_that_a_notebook_changes_is_recorded_anew(monkeypatch):
    device, voltage = Made(function=_changing), torch.ones(3)
    first = memcore.simulate(device, voltage, 1.0).final
    monkeypatch.setitem(CHANGING, "rate", 2.0)
    assert memcore.simulate(device, voltage, 1.0).final == 2 * first


CHANGING = {"rate": 1.0}


def _changing(x, v, ctx):
    return CHANGING["rate"] * v


def test_cells_that_rest_run_none_of_what_moves_them():
    program = programmed(lambda x, v, ctx: torch.where(v > 5.0, costly(costly(x)), x), shared=True)
    state = torch.rand(1, 4)
    after, _ = kernel.run(program, state, torch.zeros(3), 0)
    assert torch.equal(after, state)
    assert len(skips(program)) == 1
    assert skips(program)[0][1] > 8


def test_thousands_of_choices_inside_of_each_other():
    def ladder(x, v, ctx):
        y = x
        for level in range(1500):
            y = torch.where(v > level, 0.999 * y + x, x - level)
        return y

    state, voltage = torch.rand(1, 3), torch.tensor([-1.0, 40.5, 2000.0])
    after, _ = kernel.run(programmed(ladder, shared=False), state.clone(), voltage[None], 0)
    expected = ladder(state[0], voltage, None)
    torch.testing.assert_close(after[0], expected, rtol=1e-4, atol=0)
