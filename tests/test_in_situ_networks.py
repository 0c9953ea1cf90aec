"""Training in place of convolutions and whole networks, step by step against float64 programs.

Cells make no noise and nothing is drawn: counts are computed, or inputs and errors are -1, 0 and 1
and rates ask for one pulse of a product of 1.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.optim import InSitu

STEP, GAIN, PERIOD, TAIL, SHARE = 0.005, 0.1537, 4, 1.5, 0.25
DEVICES = {
    "even": {"name": "constant_step", "dw_min": STEP, "c2c": 0.0},
    "soft": {"name": "soft_bounds", "dw_min": STEP, "c2c": 0.0},
}
BOTH = pytest.mark.parametrize("device", DEVICES)
#: Tiles of 3 x 2 and 5 x 6 divide no matrix here.
MAPPERS = pytest.mark.parametrize("mapper", ["offset", "differential"])


def pulsed(w, count, device):
    """Positions within +-1 after signed pulses: even steps, or shares of the way that is left."""
    if device == "even":
        return np.clip(w + STEP * count, -1, 1)
    end = np.sign(count)
    return np.where(count != 0, end - (end - w) * (1 - STEP) ** np.abs(count), w)


def signs(random, *shape):
    """-1, 0 and 1, of which the first of each vector is not 0."""
    values = random.integers(-1, 2, shape).astype(float)
    values[..., 0] = random.choice([-1, 1], shape[:-1])
    return values


# -- rules with two arrays and more ----------------------------------------------------------------

RULES = {
    "tiki_taka2": {"momentum": 0.25},
    "chopped": {"fast_lr": 0.2, "regular": True, "flip": 1 / PERIOD},
    "agad": {"fast_lr": 0.2, "flip": 1 / PERIOD, "tail": TAIL},
}


class Program:
    """Both arrays of one group from the equations of the papers; two columns for three vectors."""

    def __init__(self, rule, device, start):
        self.rule, self.device, self.vectors, self.reads = rule, device, 0, 0
        self.fast, self.slow = np.zeros_like(start), start.copy()
        self.hidden, self.mean, self.reference = (np.zeros_like(start) for _ in range(3))
        self.sign, self.flipped = np.ones(start.shape[1]), np.zeros(start.shape[1], bool)

    def learn(self, x, d):
        self.fast = pulsed(self.fast, -np.outer(d, x * self.sign), self.device)
        self.vectors += 1
        for _ in range(0 if self.vectors % 3 else 2):
            self.show(self.reads % len(self.sign), self.reads // len(self.sign))
            self.reads += 1

    def show(self, j, sweep):
        v, chops = self.fast[:, j].copy(), self.rule != "tiki_taka2"
        if self.flipped[j]:
            self.reference[:, j], self.flipped[j] = self.mean[:, j], False
        less = v - self.reference[:, j] if self.rule == "agad" else v
        self.hidden[:, j] += GAIN / STEP * self.sign[j] * less
        if self.rule != "agad" or sweep > PERIOD:
            count = np.clip(np.trunc(self.hidden[:, j]), -1, 1)
            self.hidden[:, j] *= np.where(count != 0, 0.0 if chops else 0.25, 1.0)
            self.slow[:, j] = pulsed(self.slow[:, j], count, self.device)
        share = TAIL / PERIOD
        self.mean[:, j] = (1 - share) * self.mean[:, j] + share * v
        if chops and (sweep + 1) % PERIOD == 0:
            self.sign[j] *= -1
            self.flipped[j] = True


@BOTH
@MAPPERS
@pytest.mark.parametrize("rule", RULES)
def test_a_convolution_takes_the_steps_of_an_independent_program(rule, mapper, device):
    """The windows of all images are vectors, position by position; each group has its arrays."""
    random = np.random.default_rng(2)
    layer = nn.Conv2d(4, 6, 2, stride=2, groups=2, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(random.uniform(-1, 1, (6, 2, 2, 2))))
    config = CrossbarConfig(device=DEVICES[device], mapper=mapper, tile=(3, 2))
    mem = memcore.convert(layer, config)
    step = 2.0 * memcore.optim.granularity(mem)[""]  # of a pulse, with the headroom
    spec = {"name": rule, **RULES[rule], "transfer_lr": GAIN / step, "every": 3, "at_once": 2}
    optimizer = InSitu(mem, rule=spec, lr=step, order="exact")
    start = mem.weight.detach().view(2, 3, 8).numpy() / step * STEP
    programs = [Program(rule, device, each) for each in start]
    for _ in range(15):
        windows, errors = signs(random, 3, 2, 2, 2, 8), signs(random, 3, 2, 2, 2, 3)
        # [images, height, width, groups, channels, 2, 2] laid out as images
        images = windows.reshape(3, 2, 2, 4, 2, 2).transpose(0, 3, 1, 4, 2, 5).reshape(3, 4, 4, 4)
        upstream = errors.reshape(3, 2, 2, 6).transpose(0, 3, 1, 2)
        optimizer.zero_grad()
        (mem(torch.tensor(images)) * torch.tensor(upstream)).sum().backward()
        optimizer.step()
        for n, y, x in np.ndindex(3, 2, 2):
            for group, program in enumerate(programs):
                program.learn(windows[n, y, x, group], errors[n, y, x, group])
        found = mem.weight.detach().view(2, 3, 8).numpy() / step * STEP
        for group, program in enumerate(programs):
            np.testing.assert_allclose(found[group], program.slow, rtol=0, atol=0.01 * STEP)
    assert max(np.abs(p.slow - each).max() for p, each in zip(programs, start, strict=True)) > STEP


def hand_on(weaker, stronger, h, carry, device):
    """What a column of a residual array shows, to the one before it; all three change."""
    if carry:
        h += carry * (weaker * SHARE / STEP - h)
        count = np.clip(np.ceil(np.abs(h) - 0.6), 0, 1) * np.sign(h)
        h -= count
        weaker[:] = pulsed(weaker, -np.round(count / SHARE), device)
    else:
        h += GAIN / STEP * weaker
        count = np.clip(np.trunc(h), -1, 1)
        h[count != 0] = 0
    stronger[:] = pulsed(stronger, count, device)


@BOTH
@MAPPERS
@pytest.mark.parametrize("carry", [0.2, 0.0])
@pytest.mark.parametrize("tiles", [2, 3])
def test_residual_arrays_take_the_steps_of_an_independent_program(tiles, carry, mapper, device):
    random = np.random.default_rng(2)
    layer = nn.Linear(5, 4, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(random.uniform(-1, 1, (4, 5))))
    mem = memcore.convert(layer, CrossbarConfig(device=DEVICES[device], mapper=mapper, tile=(3, 2)))
    step = 2.0 * memcore.optim.granularity(mem)[""]
    lr = step * SHARE ** (tiles - 1) if carry else step
    rule = {"name": "residual", "tiles": tiles, "slower": 2, "carry": carry}
    optimizer = InSitu(mem, rule={**rule, "transfer_lr": GAIN / step}, lr=lr)
    start = mem.weight.detach().numpy() / step * STEP
    arrays = [*(np.zeros_like(start) for _ in range(tiles - 1)), start.copy()]  # the weakest first
    hidden = [np.zeros_like(start) for _ in range(tiles - 1)]

    for vector in range(100):
        x, d = signs(random, 5), signs(random, 4)
        arrays[0] = pulsed(arrays[0], -np.outer(d, x), device)
        for n in range(tiles - 1):
            if (vector + 1) % 2**n == 0:
                j = vector // 2**n % 5
                hand_on(arrays[n][:, j], arrays[n + 1][:, j], hidden[n][:, j], carry, device)
        optimizer.zero_grad()
        (mem(torch.tensor(x)[None]) @ torch.tensor(d)).sum().backward()
        optimizer.step()
        total = sum(SHARE**n * each for n, each in enumerate(reversed(arrays)))
        found = mem.weight.detach().numpy() / step * STEP
        np.testing.assert_allclose(found, total, rtol=0, atol=0.01 * STEP)
    handed_on = arrays[1] - (start if tiles == 2 else 0)
    assert np.abs(handed_on).max() > 0.5 * STEP


# -- whole networks --------------------------------------------------------------------------------


class Net(nn.Module):
    """A convolution with groups, and linear layers, of which one may be frozen."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)
        self.mid, self.fc, self.last = (
            nn.Linear(36, 7),
            nn.Linear(7, 5),
            nn.Linear(5, 3, bias=False),
        )

    def forward(self, x):
        h = torch.relu(self.mid(torch.tanh(self.conv(x)).flatten(1)))
        return self.last(torch.tanh(self.fc(h)))


def outputs(given, x):
    """What `Net` computes with these parameters."""
    h = F.conv2d(x, given["conv.weight"], given["conv.bias"], 2, 1, 1, 2)
    h = F.linear(torch.tanh(h).flatten(1), given["mid.weight"], given["mid.bias"]).relu()
    h = torch.tanh(F.linear(h, given["fc.weight"], given["fc.bias"]))
    return F.linear(h, given["last.weight"])


class Rest:
    """A parameter on cells and what its digital memory holds: whole steps are pulsed."""

    def __init__(self, weight, step, device):
        self.step, self.device = step, device
        self.position, self.chi = weight * (STEP / step), np.zeros_like(weight)

    @property
    def weight(self):
        return torch.tensor(self.position * (self.step / STEP)).requires_grad_()

    def learn(self, gradient, lr):
        self.chi -= lr * gradient
        count = np.trunc(self.chi / self.step)
        self.chi -= count * self.step
        self.position = pulsed(self.position, count, self.device)


@BOTH
@MAPPERS
@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_a_whole_network_takes_the_steps_of_an_independent_program(bias, mapper, device):
    """By a rate that falls, a layer frozen, with batches of one vector and of none."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net().double()
    net.fc.requires_grad_(False)
    mem = memcore.convert(
        net, CrossbarConfig(device=DEVICES[device], mapper=mapper, tile=(5, 6), bias=bias)
    )
    optimizer = InSitu(mem, rule="mixed_precision", lr=0.05)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
    steps = {each.name: each.granularity for each in optimizer.report().matrices}
    own, digital = {}, {}
    for name, p in mem.named_parameters():
        layer, kind = name.split(".")
        if layer != "fc" and (kind == "weight" or bias == "mapped"):
            own[name] = Rest(p.detach().numpy().copy(), steps[layer], device)
        else:
            digital[name] = p.detach().clone().requires_grad_(layer != "fc")
    x, y = Stream(9).normal((40, 2, 5, 5)).double(), Stream(10).normal((40, 3)).double()
    for size in (4, 1, 7, 0, 3, 8, 1, 2, 5, 4, 0, 5):
        given = {**{name: each.weight for name, each in own.items()}, **digital}
        for each in digital.values():
            each.grad = None
        lr = schedule.get_last_lr()[0]
        (outputs(given, x[:size]) - y[:size]).square().sum().backward()
        for name, each in own.items():
            each.learn(given[name].grad.numpy(), lr)
        for each in digital.values():
            if each.requires_grad:
                each.data -= lr * each.grad
        optimizer.zero_grad()
        (mem(x[:size]) - y[:size]).square().sum().backward()
        optimizer.step()
        schedule.step()
        x, y = x.roll(size, 0), y.roll(size, 0)
    for name, p in mem.named_parameters():
        wanted = own[name].weight if name in own else digital[name]
        torch.testing.assert_close(p, wanted, rtol=0, atol=0.05 * steps[name.split(".")[0]])
    assert all(np.abs(each.chi).max() < each.step for each in own.values())
