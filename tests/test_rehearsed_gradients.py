"""Gradients of rehearsed recurrent layers against a program in float64 that has no memcore in it.

`dL/dW = g x^T` with inputs as the DAC applies them, `dL/dx = W~^T g` with what the rehearsed cells
stand for, and nothing where the DAC clips. What reads give is played back, noise and ADC and all.
"""

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream

LEVELS = 15  # on each side of 0, of a DAC of 5 bits
WAY = {
    "device": "ideal",
    "dac": {"name": "uniform", "bits": 5},
    "adc": {"name": "uniform", "bits": 7},
    "tile": (8, 8),
    "nonidealities": ["d2d", "read_noise", {"name": "finite_states", "states": 17}],
}
LAYERS = {
    "LSTM": (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    "projected": (nn.LSTM, {"proj_size": 3}),
    "GRU": (nn.GRU, {"bidirectional": True}),
    "RNN": (nn.RNN, {"num_layers": 2}),
}


class Read(torch.autograd.Function):
    """One read of a matrix by the equations, whose outputs are given."""

    @staticmethod
    def forward(ctx, x, weight, held, peak, y):
        step = peak / LEVELS
        ctx.save_for_backward((x / step).round().clamp(-LEVELS, LEVELS) * step, held)
        ctx.inside = x.abs() <= peak
        return y.clone()

    @staticmethod
    def backward(ctx, g):
        applied, held = ctx.saved_tensors
        return (g @ held) * ctx.inside, g.T @ applied, None, None, None


class Program:
    """A recurrent layer in float64, whose reads give what those of a converted layer gave."""

    def __init__(self, mem, given):
        self.mem, self.given = mem, given
        self.parameters = {
            name: p.detach().double().requires_grad_() for name, p in mem.named_parameters()
        }

    def read(self, name, x):
        matrix, (inputs, y) = self.mem.matrices[name], self.given[name].pop(0)
        torch.testing.assert_close(x.detach(), inputs, rtol=1e-5, atol=1e-5)
        peak = matrix.crossbar.input.range.abs().max().double()
        held = matrix._rehearsing.present.folded[0].double()
        bias = self.parameters.get(name.replace("weight", "bias"))
        if bias is None:
            return Read.apply(x, self.parameters[name], held, peak, y)
        held = held[:, : x.shape[1]]  # without a bias on the arrays
        return Read.apply(x, self.parameters[name], held, peak, y - bias.detach()) + bias

    def step(self, x, z, state):
        """The hidden state and the others, of both products."""
        mode, (h, *rest) = self.mem.mode, state
        if mode == "LSTM":
            i, f, new, out = (x + z).chunk(4, -1)
            c = f.sigmoid() * rest[0] + i.sigmoid() * new.tanh()
            return out.sigmoid() * c.tanh(), c
        if mode == "GRU":
            (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), z.chunk(3, -1)
            kept, new = (xz + hz).sigmoid(), (xn + (xr + hr).sigmoid() * hn).tanh()
            return ((1 - kept) * new + kept * h,)
        return ((x + z).tanh(),)

    def direction(self, suffix, x):
        steps, n, _ = x.shape
        mem = self.mem
        products = self.read(f"weight_ih{suffix}", x.flatten(0, 1)).view(steps, n, -1)
        sizes = [mem.proj_size or mem.hidden_size, mem.hidden_size][: 1 + (mem.mode == "LSTM")]
        state, outputs = tuple(x.new_zeros(n, size) for size in sizes), [None] * steps
        for k in reversed(range(steps)) if suffix.endswith("reverse") else range(steps):
            state = self.step(products[k], self.read(f"weight_hh{suffix}", state[0]), state)
            if mem.proj_size:
                state = (self.read(f"weight_hr{suffix}", state[0]), *state[1:])
            outputs[k] = state[0]
        return torch.stack(outputs)

    def __call__(self, x):
        ways = ("", "_reverse") if self.mem.bidirectional else ("",)
        for k in range(self.mem.num_layers):
            x = torch.cat([self.direction(f"_l{k}{way}", x) for way in ways], -1)
        return x


@pytest.mark.parametrize("bias", ["digital", "mapped"])
@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_through_time_are_those_of_the_equations(kind, bias):
    make, options = LAYERS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        plain = make(5, 4, **options)
    x = Stream(4).child("x").normal((6, 3, 5))
    mem = memcore.convert(plain, CrossbarConfig(bias=bias, **WAY), calibration=0.8 * x).train()
    with torch.no_grad():
        for parameter in mem.parameters():
            parameter.mul_(0.9)  # so that cells are rehearsed
    given = {name: [] for name in mem.matrices}
    for name, matrix in mem.matrices.items():
        matrix.register_forward_hook(
            lambda _, args, y, kept=given[name]: kept.append(
                (args[0].detach().double().squeeze(1), y.detach().double().squeeze(1))
            )
        )
    inputs = x.clone().requires_grad_()
    y, _ = mem(inputs)
    g = Stream(5).child("g").normal(y.shape)
    y.backward(g)
    program, exact = Program(mem, given), x.double().requires_grad_()
    program(exact).backward(g.double())
    assert not any(given.values())  # each read was one of the program's
    found = {"x": inputs.grad, **{name: p.grad for name, p in mem.named_parameters()}}
    wanted = {"x": exact.grad, **{name: p.grad for name, p in program.parameters.items()}}
    for name, value in wanted.items():
        assert (found[name] - value).norm() < 1e-5 * value.norm(), name
