"""Rules with two arrays, step by step against a program that knows nothing of memcore.

Inputs and errors are -1, 0 and 1, and rates ask for one pulse of a product of 1: every line of a
train then fires surely or never, so that nothing is drawn, and cells make no noise.
"""

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import Context, CrossbarConfig, Stream
from memcore.optim import InSitu
from memcore.registry.specs import plugin

OUT, IN, STEP = 4, 5, 0.01
PERIOD, TAIL = 4, 1.5
#: Pulses of the slow array for a step of the fast one that is read; sums of it are never whole.
GAIN = 0.1537

#: One pulse for the largest product: 0.2 of a train of 5 slots.
RULES = {
    "tiki_taka2": {"momentum": 0.25, "transfer_lr": GAIN / STEP},
    "chopped": {"fast_lr": 0.2, "regular": True, "flip": 1 / PERIOD, "transfer_lr": GAIN / STEP},
    "agad": {"fast_lr": 0.2, "flip": 1 / PERIOD, "tail": TAIL, "transfer_lr": GAIN / STEP},
}
#: Of the update of the fast array of `tiki_taka2`; the others find theirs from the data.
LR = STEP


class Program:
    """Both arrays of a rule in float64, from the equations of the papers.

    Cells have bounds of +-1 and steps of `STEP (1 -+ w)` if they are soft, or even ones; the zero
    of the fast cells is `shift` off the point where steps up and down are equal.
    """

    def __init__(self, rule, start, shift, *, soft):
        self.rule, self.soft, self.shift, self.time = rule, soft, shift, 0
        self.fast, self.slow = shift.copy(), start.astype(float)
        self.hidden, self.mean, self.reference = (np.zeros((OUT, IN)) for _ in range(3))
        self.sign, self.flipped = np.ones(IN), np.zeros(IN, bool)

    def pulsed(self, w, count):
        step = STEP * (1 - np.sign(count) * w) if self.soft else STEP
        return w + count * step

    def learn(self, x, d):
        chops = self.rule != "tiki_taka2"
        self.fast = self.pulsed(self.fast, -np.outer(d, x * self.sign if chops else x))
        j, sweep = self.time % IN, self.time // IN
        v = self.fast[:, j] - self.shift[:, j]
        self.show(j, sweep, v)
        self.time += 1
        if chops and (sweep + 1) % PERIOD == 0:
            self.sign[j] *= -1
            self.flipped[j] = True

    def show(self, j, sweep, v):
        if self.rule == "agad":
            if self.flipped[j]:
                self.reference[:, j], self.flipped[j] = self.mean[:, j], False
            share = min(TAIL / PERIOD, 1)
            self.mean[:, j] = (1 - share) * self.mean[:, j] + share * v
            v = v - self.reference[:, j]
        self.hidden[:, j] += GAIN / STEP * v * (1 if self.rule == "tiki_taka2" else self.sign[j])
        if self.rule == "agad" and not sweep > PERIOD:
            return
        count = np.clip(np.trunc(self.hidden[:, j]), -1, 1)
        kept = 0.25 if self.rule == "tiki_taka2" else 0.0
        self.hidden[:, j] = np.where(count != 0, kept * self.hidden[:, j], self.hidden[:, j])
        self.slow[:, j] = self.pulsed(self.slow[:, j], count)


class Cells:
    """An array in float64 for a rule of memcore, whose pulses come one at a time."""

    granularity, shape = STEP, (1, OUT, IN)

    def __init__(self, start, shift, *, soft):
        self.position, self.shift = torch.tensor(start + shift), torch.tensor(shift)
        self.soft = soft

    def pulse(self, up, down, slots=None):
        count = (up - down)[0].double()
        assert float((up + down).max()) <= 1
        step = STEP * (1 - count.sign() * self.position) if self.soft else STEP
        self.position = self.position + count * step

    def read(self, x):
        return torch.einsum("ngi,oi->ngo", x.double(), self.position - self.shift).float()


def vectors(count):
    """Inputs and errors of which one is not 0 at least."""
    random = np.random.default_rng(5)
    for _ in range(count):
        x, d = random.integers(-1, 2, IN), random.integers(-1, 2, OUT)
        x[random.integers(IN)], d[random.integers(OUT)] = random.choice([-1, 1]), 1
        yield x.astype(float), d.astype(float)


@pytest.mark.parametrize("soft", [True, False], ids=["soft bounds", "even steps"])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_takes_the_steps_of_an_independent_program(rule, soft):
    shift = np.random.default_rng(1).uniform(-0.3, 0.3, (OUT, IN))
    start = np.random.default_rng(2).uniform(-0.2, 0.2, (OUT, IN))
    program = Program(rule, start, shift, soft=soft)
    fast, slow = Cells(0 * start, shift, soft=soft), Cells(start, 0 * shift, soft=soft)
    module = plugin("updates", {"name": rule, **RULES[rule]}).bind(
        (fast, slow), Context(random=Stream(0))
    )
    for x, d in vectors(300):
        program.learn(x, d)
        one, error = (torch.tensor(each).float().view(1, 1, -1) for each in (x, d))
        module(one, error, LR)
        np.testing.assert_allclose(fast.position.numpy(), program.fast, rtol=0, atol=1e-12)
        np.testing.assert_allclose(module.hidden[0].numpy(), program.hidden, rtol=0, atol=1e-4)
        np.testing.assert_allclose(slow.position.numpy(), program.slow, rtol=0, atol=1e-12)
    assert np.abs(program.slow - start).max() > 3 * STEP


@pytest.mark.parametrize("mapper", ["offset", "differential"])
@pytest.mark.parametrize("rule", RULES)
def test_a_network_takes_the_steps_of_an_independent_program(rule, mapper):
    """From the loss of a layer through its hooks to the pulses of its cells, on even steps."""
    layer = nn.Linear(IN, OUT, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (OUT, IN))))
    config = CrossbarConfig(device={"name": "constant_step", "dw_min": 0.005}, mapper=mapper)
    mem = memcore.convert(layer, config)
    step = 2.0 * memcore.optim.granularity(mem)[""]  # of a pulse, with the headroom
    rates = {**RULES[rule], "transfer_lr": GAIN / step}
    optimizer = InSitu(mem, rule={"name": rule, **rates}, lr=step, headroom=2.0)
    start = mem.weight.detach().double().numpy()
    program = Program(rule, start / step * STEP, np.zeros((OUT, IN)), soft=False)
    for x, d in vectors(200):
        program.learn(x, d)
        optimizer.zero_grad()
        (mem(torch.tensor(x).float().view(1, -1)) @ torch.tensor(d).float()).sum().backward()
        optimizer.step()
        found = mem.weight.detach().double().numpy() / step * STEP
        np.testing.assert_allclose(found, program.slow, rtol=0, atol=0.1 * STEP)
