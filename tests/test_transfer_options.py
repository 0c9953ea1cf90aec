"""Options of the rules with two arrays, step by step against a program without memcore.

Inputs and errors are -1, 0 and 1, and rates ask for one pulse of a product of 1: every line of a
train then fires surely or never, so that nothing is drawn, and cells make no noise.
"""

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, Context, CrossbarConfig, Stream
from memcore.optim import InSitu
from memcore.registry.specs import plugin
from memcore.testing import checks_for

OUT, IN, FAST, SLOW = 4, 5, 0.01, 0.02  # steps of the arrays
LR, PERIOD, TAIL = FAST, 4, 1.5
#: Pulses of the slow array for a step of the fast one that is read; sums of it are never whole.
GAIN = 0.1537
ROWS = {"lines": "rows", "transfer_read": "exact"}
CHOPPED = {"name": "chopped", "fast_lr": 0.2, "regular": True, "flip": 1 / PERIOD}
AGAD = {"name": "agad", "fast_lr": 0.2, "flip": 1 / PERIOD, "tail": TAIL}
ABSOLUTE = {"auto_scale": False, "fast_lr": FAST}

CASES = {
    "the rest is kept": {"name": "tiki_taka2", "forget": False, "momentum": 0.23},
    "the threshold": {"name": "tiki_taka2", "thres_scale": 2.5},
    "rows": {"name": "tiki_taka2", **ROWS},
    "several columns": {"name": "tiki_taka2", "every": 3, "at_once": 2},
    "all columns": {"name": "tiki_taka2", "every": 7, "at_once": 50},
    "several rows": {"name": "tiki_taka2", "every": 2, "at_once": 3, **ROWS},
    "chopped outputs": {**CHOPPED, "flip_across": 0.3},
    "chopped inputs": {**CHOPPED, "flip_across": 0.3, **ROWS},
    "an absolute rate": {**CHOPPED, **ABSOLUTE},
    "a buffer of steps": {**CHOPPED, "buffer_granularity": 3.0},
    "a buffer of vectors": {**CHOPPED, "auto_granularity": 40.0, "every": 2},
    "vectors of several columns": {**CHOPPED, "auto_granularity": 40.0, "every": 3, "at_once": 2},
    "magnitudes": {
        **CHOPPED,
        "correct_gradient_magnitudes": True,
        "forget": False,
        "momentum": 0.23,
    },
    "agad, chopped outputs": {**AGAD, "flip_across": 0.3, "momentum": 0.5},
    "agad, a full buffer": {**AGAD, "forget": False, "momentum": 0.23, "buffer_cap": 1.2},
    "agad, rows": {**AGAD, "flip_across": 0.3, "at_once": 3, **ROWS},
    "agad, all of it": {
        **AGAD,
        **ABSOLUTE,
        "correct_gradient_magnitudes": True,
        "buffer_granularity": 2.0,
        "auto_granularity": 30.0,
    },
}
EACH = pytest.mark.parametrize("case", CASES)


class Program:
    """Both arrays of a rule in float64, on even steps, from the equations of the papers."""

    def __init__(self, case, start, shift):
        self.case, self.shift, self.vectors, self.reads = case, shift, 0, 0
        self.chops = case["name"] != "tiki_taka2"
        self.rows = case.get("lines") == "rows"
        self.count = OUT if self.rows else IN
        self.fast, self.slow = shift.copy(), start.copy()
        self.hidden, self.mean, self.reference = (np.zeros((OUT, IN)) for _ in range(3))
        self.h, self.g = np.ones(IN), np.ones(OUT)
        self.flipped, self.slots, self.additions = np.zeros(self.count, bool), 0, 0
        self.at_once = min(case.get("at_once", 1), self.count)

    @property
    def unit(self):
        """Reads of how much make a pulse at a rate of 1."""
        if not self.chops:
            return self.case.get("thres_scale", 1.0) * SLOW
        unit = self.case.get("buffer_granularity", 1.0) * FAST
        if "auto_granularity" in self.case:
            sweep = self.count * self.case.get("every", 1) / self.at_once
            unit *= self.case["auto_granularity"] / sweep
        if "correct_gradient_magnitudes" in self.case:
            unit *= FAST * SLOW / FAST  # the rate of the fast array is its step in these tests
        return unit

    @property
    def transfer_lr(self):
        return GAIN / FAST * self.unit / LR

    def learn(self, x, d, flips):
        self.fast -= FAST * np.outer(d * self.g, x * self.h)
        self.vectors += 1
        if self.vectors % self.case.get("every", 1):
            return
        for _ in range(self.at_once):
            self.show(self.reads % self.count, self.reads // self.count)
            self.reads += 1
            if self.reads % self.count == 0 and "flip_across" in self.case:
                across = self.h if self.rows else self.g
                across[flips(self.reads // self.count - 1, len(across))] *= -1

    def show(self, j, sweep):
        at = (j, slice(None)) if self.rows else (slice(None), j)
        v = self.fast[at] - self.shift[at]
        sign, h = np.outer(self.g, self.h)[at], self.hidden
        if self.case["name"] == "agad":
            if self.flipped[j]:
                self.reference[at], self.flipped[j] = self.mean[at], False
            h[at] += GAIN / FAST * sign * (v - self.reference[at])
            share = min(TAIL / PERIOD, 1)
            self.mean[at] = (1 - share) * self.mean[at] + share * v
            self.additions += 2 * v.size  # of the reference, and to the mean
        else:
            h[at] += GAIN / FAST * sign * v
        self.additions += v.size
        if "buffer_cap" in self.case:
            h[at] = np.clip(h[at], -self.case["buffer_cap"], self.case["buffer_cap"])
        if self.case["name"] != "agad" or sweep > PERIOD:
            self.send(at)
        if self.chops and (sweep + 1) % PERIOD == 0:
            (self.g if self.rows else self.h)[j] *= -1
            self.flipped[j] = True

    def send(self, at):
        m = self.case.get("momentum", 0.0 if self.chops else 0.1)
        n = np.clip(np.trunc(self.hidden[at]), -1, 1)
        if self.case.get("forget", True):
            self.hidden[at] *= np.where(n != 0, m, 1)
        else:
            self.hidden[at] -= (1 - m) * n
        self.additions += n.size
        self.slow[at] += SLOW * n
        self.slots += int(np.abs(n).max())


class Cells:
    """An array in float64 for a rule of memcore, whose pulses come one at a time."""

    shape = (1, OUT, IN)

    def __init__(self, start, shift, step):
        self.position, self.shift = torch.tensor(start + shift), torch.tensor(shift)
        self.granularity, self.slots = step, 0

    def pulse(self, up, down, slots=None):
        self.position = self.position + self.granularity * (up - down)[0].double()
        self.slots += slots

    def read(self, x):
        return torch.einsum("ngi,oi->ngo", x.double(), self.shown()).float()

    def shown(self):
        return self.position - self.shift


class Compared(Cells):
    """Cells of which a read shows a step up, a step down, or nothing."""

    def shown(self):
        return FAST * (super().shown() / FAST).round().sign()


def vectors(count):
    """Inputs and errors of which one is not 0 at least."""
    random = np.random.default_rng(5)
    for _ in range(count):
        x, d = random.integers(-1, 2, IN), random.integers(-1, 2, OUT)
        x[random.integers(IN)], d[random.integers(OUT)] = random.choice([-1, 1]), 1
        yield x.astype(float), d.astype(float)


def tensors(*arrays):
    return [torch.tensor(each).float().view(1, 1, -1) for each in arrays]


def flips_of(stream, share):
    """Which lines across flip behind a sweep, as the stream of a rule draws it."""

    def flips(sweep, lines):
        return stream.child("flips across", sweep).uniform((lines,)).numpy() < share

    return flips


def begin():
    shift = np.random.default_rng(1).uniform(-0.3, 0.3, (OUT, IN))
    return np.random.default_rng(2).uniform(-0.2, 0.2, (OUT, IN)), shift


@EACH
def test_an_option_takes_the_steps_of_an_independent_program(case):
    start, shift = begin()
    program, stream = Program(CASES[case], start, shift), Stream(0)
    fast, slow = Cells(0 * start, shift, FAST), Cells(start, 0 * shift, SLOW)
    rule = plugin("updates", {**CASES[case], "transfer_lr": program.transfer_lr})
    module = rule.bind((fast, slow), Context(random=stream))
    for x, d in vectors(300):
        program.learn(x, d, flips_of(stream, 0.3))
        module(*tensors(x, d), LR)
        np.testing.assert_allclose(fast.position.numpy(), program.fast, rtol=0, atol=1e-12)
        np.testing.assert_allclose(module.hidden[0].numpy(), program.hidden, rtol=0, atol=1e-4)
        np.testing.assert_allclose(slow.position.numpy(), program.slow, rtol=0, atol=1e-12)
        if program.chops:
            signs = (program.g, program.h) if program.rows else (program.h, program.g)
            np.testing.assert_array_equal(module.sign.numpy(), signs[0])
            across = np.ones(len(signs[1])) if module.across is None else module.across.numpy()
            np.testing.assert_array_equal(across, signs[1])
        if CASES[case]["name"] == "agad":
            for name in ("mean", "reference"):
                found = getattr(module, name)[0].numpy()
                np.testing.assert_allclose(found, getattr(program, name), rtol=0, atol=1e-6)
    assert np.abs(program.slow - start).max() > 3 * SLOW
    assert slow.slots == program.slots
    figures = module.figures()
    assert figures["rate of the fast array"] == pytest.approx(FAST)
    assert figures["rate of the slow array"] == pytest.approx(GAIN * SLOW / FAST)
    assert figures["transfers"] == program.reads / program.at_once
    assert figures["additions"] == program.additions > 0
    assert "flip_across" not in CASES[case] or (module.across == -1).any()


@EACH
def test_an_option_keeps_what_every_rule_promises(case):
    """To resume bit for bit among it; rates move cells of the kit a few pulses each."""
    for check in checks_for(plugin("updates", CASES[case])):
        check()


@pytest.mark.parametrize("lines", [{}, ROWS], ids=["columns", "rows"])
@pytest.mark.parametrize(("counting", "size"), [("vectors", 1), ("batches", 1), ("batches", 3)])
def test_tiki_taka_counts_what_it_is_told_to(counting, size, lines):
    """Reads are of one size, so that trains of the slow array are no draws either."""
    start, shift = begin()
    fast, slow = Compared(0 * start, shift, FAST), Cells(start, 0 * shift, SLOW)
    spec = {"name": "tiki_taka", "counting": counting, "every": 2, "at_once": 2, **lines}
    rule = plugin("updates", {**spec, "transfer_lr": SLOW / FAST / LR})
    module = rule.bind((fast, slow), Context(random=Stream(0)))
    count, reads, last = OUT if lines else IN, 0, start.copy()
    batch = [[], []]
    for number, (x, d) in enumerate(vectors(120), 1):
        for each, value in zip(batch, tensors(x, d), strict=True):
            each.append(value)
        if number % size:
            continue
        module(*map(torch.cat, batch), LR)
        batch = [[], []]
        if not number // size % 2:
            shown = fast.shown().numpy()
            for j in ((reads + k) % count for k in range(2)):
                at = (j, slice(None)) if lines else (slice(None), j)
                last[at] += SLOW / FAST * shown[at]
            reads += 2
        np.testing.assert_allclose(slow.position.numpy(), last, rtol=0, atol=1e-12)
    assert module.figures()["transfers"] == 120 // size // 2
    assert "additions" not in module.figures()  # what is read goes to the slow array at once
    assert np.abs(last - start).max() > 3 * SLOW


def test_a_rate_that_follows_the_data_is_what_magnitudes_are_corrected_by():
    fast, slow = (Cells(*begin(), step) for step in (FAST, SLOW))
    spec = {**AGAD, "correct_gradient_magnitudes": True, "transfer_lr": 3.0}
    module = plugin("updates", spec).bind((fast, slow), Context(random=Stream(0)))
    nothing = [torch.zeros(1, 1, n) for n in (IN, OUT)]
    module(*nothing, LR)
    assert module.figures()["rate of the slow array"] == 0  # nothing is known of gradients
    assert not module.hidden.any()
    for k in range(9):
        x, d = (Stream(k).child(n).normal((1, 1, n)) for n in (IN, OUT))
        module(x, d, LR)
    x, d = (float(each) for each in module.largest)
    rate = 0.2 * 5 * FAST / (x * d)
    assert module.figures()["rate of the fast array"] == pytest.approx(rate)
    assert module.figures()["rate of the slow array"] == pytest.approx(3 * LR / rate)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "tiki_taka", "lines": "rows"}, "expected transfer_read='exact'"),
        ({"name": "agad", "buffer_cap": 2.0}, "expected forget=False"),
        ({"name": "agad", "buffer_cap": 0.5, "forget": False}, "expected 0 or at least 1"),
        ({"name": "residual", "forget": False}, "expected carry=0"),
        ({"name": "chopped", "flip_across": 0.6}, r"in \[0, 0\.5\]"),
    ],
)
def test_options_that_contradict_each_other_are_refused(spec, text):
    with pytest.raises(ConfigError, match=text):
        plugin("updates", spec)


# -- on arrays ------------------------------------------------------------------------------------

EVEN = {"name": "constant_step", "dw_min": 0.005, "c2c": 0.0}
X, ERRORS = (Stream(23).child(name).normal((32, 5)) for name in ("inputs", "errors"))


def trained(rule, steps=3, **settings):
    """A layer after some steps, and its optimiser."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain = nn.Linear(5, 5)
    config = CrossbarConfig(**{"device": EVEN, "mapper": "differential", **settings})
    mem = memcore.convert(plain, config, calibration=X if config.dac else None)
    optimizer = InSitu(mem, rule=rule, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        (mem(X) * ERRORS).sum().backward()
        optimizer.step()
    return mem, optimizer


def read(optimizer, lines):
    """What the fast array shows, and what its cells stand for."""
    module, (fast, _) = optimizer._trainers[0].module, optimizer._trainers[0].cells
    fast.settle()
    held = fast.in_units(fast.crossbar.folded.mT).mT
    return module.lines.read(fast, lines, torch.device("cpu")), held


CONVERTED = {
    "dac": {"name": "uniform", "bits": 4},
    "adc": {"name": "uniform", "bits": 5},
    "nonidealities": ["read_noise"],
}


@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_exact_reads_have_no_converters_and_no_noise(bias):
    for how, spread in (("converters", True), ("exact", False)):
        rule = {"name": "agad", "transfer_read": how}
        _, optimizer = trained(rule, bias=bias, **CONVERTED)
        found, held = read(optimizer, slice(1, 3))
        assert held.any()
        off = (found - held[:, :, 1:3]).abs().max()
        assert (off > 1e-3 * held.abs().max()) == spread


@pytest.mark.parametrize("mapper", ["differential", {"name": "differential", "scale": "column"}])
def test_rows_are_what_columns_show_turned(mapper):
    _, optimizer = trained({"name": "tiki_taka2", **ROWS}, mapper=mapper)
    rows, held = read(optimizer, slice(1, 4))
    fast, _ = optimizer._trainers[0].cells
    assert torch.equal(rows, held[:, 1:4])
    torch.testing.assert_close(rows, fast.read_columns(slice(None))[:, 1:4])
    assert rows.any()


@pytest.mark.parametrize("mapper", ["offset", "differential"])
@pytest.mark.parametrize("case", ["rows", "several rows", "chopped inputs", "agad, rows"])
def test_a_network_takes_the_steps_of_an_independent_program(case, mapper):
    """From the loss of a layer through its hooks to the pulses of its cells, on even steps."""
    layer = nn.Linear(IN, OUT, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (OUT, IN))))
    mem = memcore.convert(layer, CrossbarConfig(device=EVEN, mapper=mapper))
    step = 2.0 * memcore.optim.granularity(mem)[""]  # of a pulse, with the headroom
    rule = {**CASES[case], "transfer_lr": GAIN / step}
    optimizer = InSitu(mem, rule=rule, lr=step, headroom=2.0)
    start = mem.weight.detach().double().numpy()
    program = Program(CASES[case], start / step * SLOW, np.zeros((OUT, IN)))
    flips = flips_of(mem.matrices["weight"].crossbar.cells.context().child("update").random, 0.3)
    for x, d in vectors(150):
        program.learn(x, d, flips)
        optimizer.zero_grad()
        (mem(torch.tensor(x).float().view(1, -1)) @ torch.tensor(d).float()).sum().backward()
        optimizer.step()
        found = mem.weight.detach().double().numpy() / step * SLOW
        np.testing.assert_allclose(found, program.slow, rtol=0, atol=0.1 * SLOW)
    assert np.abs(program.slow - start / step * SLOW).max() > SLOW


def test_vectors_one_by_one_are_no_batches():
    rule = {"name": "tiki_taka", "counting": "batches"}
    mem, _ = trained(rule)
    with pytest.raises(ConfigError, match="expected order='grouped'"):
        InSitu(mem, rule=rule, lr=0.01, order="exact")


@pytest.mark.parametrize("rule", ["tiki_taka", "tiki_taka2", "chopped", "agad", "residual"])
def test_rules_with_several_arrays_learn_from_rows(rule):
    spec = {"name": rule, "at_once": 2, "every": 3, **ROWS}
    begun, (mem, optimizer) = trained(spec, steps=0)[0], trained(spec, steps=8)
    (matrix,) = optimizer.report().matrices
    assert matrix.figures["transfers"] == 8 * 32 // 3
    down = -(ERRORS.T @ X) * (mem.weight - begun.weight).detach()
    assert down.sum() > 0.5 * down.abs().sum() > 0
